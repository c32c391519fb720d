"""Two models on the same clips: counts, intervals, the clips of disagreement, and what each looked at."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from kinesphere.apps.cli.main import app
from kinesphere.apps.html.disagreement import render_disagreement
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.skipped import Skipped
from kinesphere.evaluate import Predictions
from kinesphere.explain.explaining import Question, explain
from kinesphere.explain.render.strips import strips
from kinesphere.models import create_model, save_model
from kinesphere.predict import VideoPredictor, load
from kinesphere.studies.answerers import Answerers
from kinesphere.studies.disagreement import disagreement
from kinesphere.studies.disagreement_maps import Extent, map_disagreement
from kinesphere.video import VideoWriter

LABELS = LabelSet(("hop", "skip", "wave"))


def answers(
    said: list[int], targets: list[int], sure: float = 0.8, paths: list[str] | None = None
) -> Predictions:
    count = len(said)
    probabilities = np.full((count, 3), (1 - sure) / 2)
    probabilities[np.arange(count), said] = sure
    names = tuple(paths or [f"{i}.mp4" for i in range(count)])
    return Predictions(
        LABELS, names, names, (None,) * count, tuple(str(i // 2) for i in range(count)), np.array(targets),
        probabilities, (None,) * count,
    )  # fmt: skip


TARGETS = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
FIRST, SECOND = [0, 0, 1, 1, 1, 0, 1, 2, 2, 0], [0, 0, 0, 1, 1, 1, 1, 2, 0, 0]


def test_outcomes_are_counted_by_class_with_a_paired_interval() -> None:
    found = disagreement(("a", "b"), answers(FIRST, TARGETS), answers(SECOND, TARGETS, 0.6))
    assert [(row.label, row.both, row.first, row.second, row.neither) for row in found.outcomes] == [
        (None, 5, 1, 2, 2), ("hop", 2, 0, 1, 1), ("skip", 2, 0, 1, 0), ("wave", 1, 1, 0, 1),
    ]  # fmt: skip
    gain = found.outcomes[0].gain
    assert gain.value == pytest.approx(0.1)
    assert gain.low is not None
    assert gain.high is not None
    assert gain.low < 0 < gain.value < gain.high
    assert found.verdict().startswith(
        "These clips do not tell which model is better: both are right about 5 of 10"
    )
    sure = disagreement(("a", "a"), answers([1] * 40, [0] * 40), answers([0] * 40, [0] * 40))
    assert sure.verdict().startswith(
        "a-2 is better: both are right about 0 of 40 clips, only a about 0, only a-2 about 40"
    )


def test_clips_of_disagreement_are_listed_the_farthest_apart_first(tmp_path: Path) -> None:
    first = answers(FIRST, TARGETS)
    first.probabilities[8] = (0.0, 0.0, 1.0)
    found = disagreement(("a", "b"), first, answers(SECOND, TARGETS, 0.6))
    assert {clip.id for clip in found.apart} == {"2.mp4", "5.mp4", "8.mp4"}
    clip = found.apart[0]
    assert (clip.id, clip.truth, clip.answers) == ("8.mp4", "wave", ("wave", "hop"))
    assert clip.distance == pytest.approx(0.8)
    assert clip.truth_probabilities == pytest.approx((1.0, 0.2))
    found.write(tmp_path)
    with (tmp_path / "disagreements.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["id"], rows[0]["answer_2"], rows[0]["distance"]) == ("8.mp4", "hop", "0.800000")
    assert json.loads((tmp_path / "comparison.json").read_text()) == json.loads(json.dumps(found.to_json()))


def test_pairs_of_classes_are_ranked_by_how_often_they_are_confused() -> None:
    found = disagreement(("a", "b"), answers(FIRST, TARGETS), answers(SECOND, TARGETS))
    assert [(each.truth, each.answer, each.counts, each.of) for each in found.confusions] == [
        ("hop", "skip", (2, 1), 4), ("wave", "hop", (1, 2), 3), ("skip", "hop", (1, 0), 3),
    ]  # fmt: skip


def test_clips_that_one_model_could_not_answer_are_left_out_and_listed() -> None:
    skipped = (Skipped("9.mp4", "it is damaged"),)
    first = replace(answers(FIRST[:9], TARGETS[:9]), skipped=skipped)
    found = disagreement(("a", "b"), first, answers(SECOND, TARGETS))
    assert found.clips == 9
    assert found.skipped == skipped


def test_tables_that_cannot_be_compared_are_refused() -> None:
    several = Predictions(
        LabelSet(LABELS.names, multi=True), ("a",), ("a",), (None,), (None,), np.array([[1, 0, 1]]),
        np.array([[0.9, 0.1, 0.8]]), (None,),
    )  # fmt: skip
    with pytest.raises(InvalidSetting, match="Models are compared by their one answer to a clip"):
        disagreement(("a", "b"), several, several)
    with pytest.raises(InvalidSetting, match="scored no clip in common"):
        disagreement(("a", "b"), answers([0], [0], paths=["x"]), answers([0], [0], paths=["y"]))


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two untrained models, and four videos of two classes."""
    root = tmp_path_factory.mktemp("room")
    rng = np.random.default_rng(0)
    for number in range(4):
        path = root / "videos" / LABELS.names[number % 2] / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        with VideoWriter(path, (32, 32), 12) as writer:
            for _ in range(12):
                writer.write(rng.integers(0, 256, (32, 32, 3), np.uint8))
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        save_model(create_model("kine_tiny", LABELS), root / name / "model.safetensors")
    return root


def test_maps_are_kept_and_clips_that_are_gone_are_told(room: Path, tmp_path: Path) -> None:
    paths = [str(path) for path in sorted(room.glob("videos/*/*.mp4"))] + [str(tmp_path / "gone.mp4")]
    first, second = (answers(said, [0] * 5, paths=paths) for said in ([1, 1, 1, 0, 2], [1, 0, 0, 0, 1]))
    found = disagreement(("one", "two"), first, second)
    models = Answerers(str(room / "one"), load), Answerers(str(room / "two"), load)
    told: list[tuple[int, int]] = []
    extent = Extent(clips=3, confusions=1, examples=1)
    maps = map_disagreement(
        found, models, tmp_path / "heat", extent, progress=lambda *done: told.append(done)
    )
    assert told[-1][0] == told[-1][1] == len(told)
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "heat").iterdir()}
    again = map_disagreement(found, models, tmp_path / "heat", extent)
    assert again == maps
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "heat").iterdir()} == kept
    (pair, (example,)) = maps.confusions[0]
    assert (pair.truth, pair.answer) == ("hop", "skip")
    assert {one.label for one in example.maps} == {"hop", "skip"}
    assert len(maps.apart) == 3
    (problem,) = maps.problems
    assert "gone.mp4" in problem
    page = render_disagreement(found, maps, data="videos")
    assert "hop, taken for skip" in page
    assert "No map: " in page
    shown = [*maps.apart, example]
    assert page.count("data:image/jpeg") == sum(
        len(m.strips.frames) for c in shown for m in c.maps if m.strips
    )


def test_a_clip_of_a_cross_validation_is_explained_by_the_fold_that_held_it_out(
    room: Path, tmp_path: Path
) -> None:
    paths = [str(path) for path in sorted(room.glob("videos/*/*.mp4"))]
    parts = [answers([1, 1], [0, 0], paths=paths[:2]), answers([1, 1], [0, 0], paths=paths[2:])]
    for fold, name in enumerate(("one", "two")):
        shutil.copytree(room / name, tmp_path / "crossed" / f"fold-{fold}")
        parts[fold].write(tmp_path / "crossed" / f"fold-{fold}" / "predictions.parquet")
    crossed = Predictions.pooled(parts)
    found = disagreement(("crossed", "one"), crossed, answers([0] * 4, [0] * 4, paths=paths))
    loaded: list[str] = []

    def told(name: str) -> VideoPredictor:
        loaded.append(Path(name).name)
        return load(name)

    models = Answerers(str(tmp_path / "crossed"), told), Answerers(str(room / "one"), told)
    maps = map_disagreement(found, models, tmp_path / "heat", Extent(clips=4, confusions=0))
    assert sorted(loaded) == ["fold-0", "fold-1", "one"]
    assert not maps.problems
    for mapped in maps.apart:
        network = load(room / ("one" if mapped.clip.id in parts[0].ids else "two"))
        alike = strips(explain(network, mapped.clip.path, Question(None, "skip")), mapped.clip.path)
        assert mapped.maps[0].strips == alike
    with pytest.raises(InvalidSetting, match=r"none of its folds held out x\.mp4; name the model"):
        models[0].of("x.mp4")
    with pytest.raises(InvalidSetting, match="is a cross-validation, which has a model for each fold"):
        models[0].one()


def test_the_command_compares_models_on_data_and_goes_on(room: Path, tmp_path: Path) -> None:
    words = ["study", "compare", str(room / "one"), str(room / "two")]
    told = CliRunner().invoke(app, [*words, str(room / "videos"), "--out", str(tmp_path / "out"), "--json"])
    assert told.exit_code == 0, told.output
    plain = json.loads(told.stdout)
    assert plain["clips"] == 4
    assert {file.name for file in (tmp_path / "out").iterdir()} >= {
        "report.html", "comparison.json", "disagreements.csv", "answers", "heat",
    }  # fmt: skip
    kept = [str(tmp_path / "out" / "answers" / f"0{i}.parquet") for i in (0, 1)]
    again = CliRunner().invoke(
        app,
        [
            *words,
            "--answers",
            kept[0],
            "--answers",
            kept[1],
            "--maps",
            "0",
            "--out",
            str(tmp_path / "b"),
            "--json",
        ],
    )
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["outcomes"] == plain["outcomes"]
    wrong = CliRunner().invoke(app, [*words, "--answers", kept[0], "--out", str(tmp_path / "c")])
    assert isinstance(wrong.exception, InvalidSetting)
    assert "--answers is given twice" in str(wrong.exception)
