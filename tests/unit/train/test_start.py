"""What a run starts from: loaded and reset tensors, shared labels, and the chain of what taught them."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from kinesphere.core.errors import InvalidSetting
from kinesphere.evaluate import Report
from kinesphere.models import load_model
from kinesphere.models.provenance import Lesson, Provenance
from kinesphere.train import Recipe, train
from kinesphere.train.start import start_notes, taught


def listed(videos: Path, folder: Path, name: str, classes: dict[str, str]) -> Path:
    """Tiny videos under labels of their own."""
    path = folder / f"{name}.csv"
    rows = [f"{videos / kind / f'{i}.mp4'},{label}" for label, kind in classes.items() for i in range(8)]
    path.write_text("\n".join(["path,label", *rows]))
    return path


def test_a_chain_is_spelled_out(
    recipe: Recipe, videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = listed(videos, tmp_path, "base", {"bright": "bright", "dark": "dark"})
    fine = listed(videos, tmp_path, "fine", {"dark": "dark", "striped": "striped", "pale": "bright"})
    shared = ("train.epochs=1", "data.test=0.25")
    first = train(recipe.override(f"data.source={base}", f"out={tmp_path / 'first'}", *shared))
    assert not first.files.start.exists()
    with caplog.at_level(logging.INFO):
        second = train(
            recipe.override(
                f"data.source={fine}",
                f"out={tmp_path / 'second'}",
                f"model.pretrained={first.folder}",
                *shared,
            )
        )
    start = json.loads(second.files.start.read_text())
    (head,) = load_model(second.folder).card.head
    assert start["reset"] == [f"{head}.weight", f"{head}.bias"]
    assert start["loaded"]
    assert not set(start["loaded"]) & set(start["reset"])
    assert (start["shared"], start["new"], start["dropped"]) == (["dark"], ["pale", "striped"], ["bright"])
    clips = sum(load_model(first.folder).provenance.class_counts.values())
    assert start["taught"] == [f"base ({clips} clips, 2 classes)"]
    sentence = start["sentence"]
    assert "Labels: 1 shared (dark), 2 new (pale, striped), 1 of the weights not wanted." in sentence
    assert sentence in caplog.text
    assert "labels differ" not in caplog.text, "the sentence says it"
    assert sentence in Report.read(second.files.report).notes
    lessons = load_model(second.folder).provenance.lessons
    assert [lesson.data for lesson in lessons] == [("base",), ("fine",)]


def test_public_weights_come_first_in_the_chain() -> None:
    lesson = Lesson(("ut", "street"), (40, 160), (6, 2))
    origin = Provenance("trained", trained_on=("imagenet1k", "kinetics400"), lessons=(lesson,))
    assert taught(origin) == (
        "ImageNet-1K", "Kinetics-400", "ut (40 clips, 6 classes) + street (160 clips, 2 classes)",
    )  # fmt: skip
    assert Provenance.from_json(json.loads(json.dumps(origin.to_json()))) == origin
    assert "lessons" not in Provenance("initialised").to_json()
    for wrong in (Lesson, lambda *_: Provenance.from_json({"origin": "x", "lessons": [{"data": ["a"]}]})):
        with pytest.raises(InvalidSetting):
            wrong(("a",), (0,), (2,))


def test_a_damaged_start_is_told(tmp_path: Path) -> None:
    assert start_notes(tmp_path / "start.json") == ()
    (tmp_path / "start.json").write_text("[]")
    with pytest.raises(InvalidSetting, match="does not say what the run started from"):
        start_notes(tmp_path / "start.json")
