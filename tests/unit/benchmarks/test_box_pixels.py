"""The recogniser in the box: labels, data and recipe belong together; scores count what they say."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import box_clips, box_pixels
from benchmarks.box import CLASSES, MOVEMENTS, NOTHING_ELSE
from benchmarks.box_pixels import MODEL, RECIPE, Answers, fall_rows, goals_of, interaction_rows

from kinesphere.core.labels import LabelSet
from kinesphere.models.create import load_model
from kinesphere.predict.timeline import Timeline
from kinesphere.train import Recipe


def test_recipe_and_data_have_the_labels_in_one_order() -> None:
    assert Recipe.load(RECIPE).data.labels == CLASSES
    kicks, others = (
        box_clips.settings_of("together", label, "train", 60) for label in ("kick", NOTHING_ELSE)
    )
    assert kicks.classes == MOVEMENTS["kick"]
    assert kicks.clips_per_class == 20
    assert abs(others.clips_per_class * len(others.classes) - 120) < len(others.classes)
    seeds = {
        name: {split: box_clips.settings_of(name, "kick", split, 8).seed for split in ("train", "val")}
        for name in box_clips.FILMED
    }
    assert len({seed for each in seeds.values() for seed in each.values()}) == 2 * len(seeds)


def test_the_model_file_is_small_and_knows_the_labels() -> None:
    assert MODEL.stat().st_size <= 4.3e6
    recogniser = load_model(MODEL)
    assert recogniser.labels.names == CLASSES
    assert any("Apache-2.0" in note for note in recogniser.provenance.notes)
    clips = torch.rand(2, 1, 3, 72, 96).expand(2, 16, 3, 72, 96)
    with torch.inference_mode():
        one, other = recogniser.eval()(clips).softmax(1)
    torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    assert CLASSES[int(one.argmax())] == NOTHING_ELSE


def answers(*said: tuple[str, str, float]) -> Answers:
    """(truth, answer, its probability); the rest class has what is left."""
    table = np.zeros((len(said), len(CLASSES)))
    for row, (_, name, p) in zip(table, said, strict=True):
        row[CLASSES.index(NOTHING_ELSE)] = 1 - p
        row[CLASSES.index(name)] += p
    return Answers(table, tuple(truth for truth, _, _ in said), tuple("abcdefgh"[: len(said)]))


def test_scores_are_among_the_mapped_movements_with_the_rest_and_among_all() -> None:
    rows = interaction_rows(
        answers(
            ("kick", "kick", 0.4), ("kick", "punch", 0.9), ("push", "walk", 0.9), (NOTHING_ELSE, "jump", 0.9)
        )
    )
    kick, punch, push, rest, total = rows
    assert [row["clips or windows"] for row in rows] == [2, 0, 1, 1, 4]
    assert kick["among its mapped movements"].startswith("50.0 %")
    assert kick[f"with {NOTHING_ELSE}"].startswith("0.0 %")
    assert rest[f"with {NOTHING_ELSE}"].startswith("100.0 %")
    assert total[f"among all {len(CLASSES)}"].startswith("0.0 %")
    assert punch["among its mapped movements"] == ""
    assert push["most frequent answers"] == "walk 1"


def line(*said: str) -> Timeline:
    table = np.zeros((len(said), len(CLASSES)))
    table[np.arange(len(said)), [CLASSES.index(name) for name in said]] = 1.0
    spans = np.stack([np.arange(len(said)), np.arange(len(said)) + 2.0], axis=1)
    return Timeline(table, spans, LabelSet(CLASSES, ordered=True), "x.mp4")


def test_a_fall_is_to_be_found_in_one_recording_and_not_in_the_other() -> None:
    lines = {
        "fall, colour": line("walk", "fall"), "daily activity, colour": line("walk", "sit down"),
        "fall, depth and colour": line("walk", "fall"), "daily activity, depth and colour": line("fall"),
    }  # fmt: skip
    assert [goal.rpartition(": ")[2] for goal in goals_of(lines)] == ["met", "missed"]
    first = fall_rows(lines)[0]
    assert first["clips or windows"] == 2
    assert first[f"among all {len(CLASSES)}"] == "1 called fall, at most 1.00 of it"


@pytest.mark.slow
def test_a_small_twin_is_made_by_the_same_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = replace(
        box_clips.FILMED["together"], size=(36, 48), fps=6, duration_s=(0.5, 0.5), splits=(1.0, 0.0, 0.0),
        performers=2, scenes=2,
    )  # fmt: skip
    monkeypatch.setattr(box_clips, "FILMED", {"together": few})
    monkeypatch.setattr(box_pixels, "MODEL", tmp_path / "box" / "twin.safetensors")
    shorter = ("model.arguments={width: 4}", "train.epochs=1", "train.ema=null", "schedule.warmup_epochs=0")
    monkeypatch.setattr(box_pixels, "CHANGES", shorter)
    made = box_pixels.remake(tmp_path / "work", clips=1)
    recogniser = load_model(made)
    assert recogniser.labels.names == CLASSES
    assert recogniser.provenance.scores.keys() == {"top1 on generated people"}
    with (tmp_path / "work" / "clips" / "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == set(CLASSES)
    assert {row["split"] for row in rows} == {"train", "val"}
