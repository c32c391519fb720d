"""A model knows which clips it learnt from; its own data test it on the others."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kinesphere.apps.cli.main import app
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidManifest
from kinesphere.data import Manifest
from kinesphere.evaluate import Report, evaluate
from kinesphere.models.create import load_model
from kinesphere.predict import load
from kinesphere.train import cross_validate
from kinesphere.train.recipe import Recipe
from kinesphere.train.resolve import read_data, resolve
from kinesphere.train.run import Run, train

from .conftest import write_video


@pytest.fixture(scope="module")
def run(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(recipe_of(videos, tmp_path_factory.mktemp("seen") / "run"))


def recipe_of(source: Path, out: Path, **sections: Any) -> Recipe:
    settings: dict[str, Any] = {
        "data": {"source": str(source), "val": 0.0, "test": 0.25},
        "model": {"name": "fc_tiny"},
        "augment": {"preset": "none"},
        "train": {"epochs": 1, "batch_size": 8, "checkpoint_minutes": None},
        "test": {"views": "2x1"},
        "compute": {"device": "cpu", "precision": "fp32", "workers": 0},
        "log": {"tensorboard": False},
        "out": str(out),
    }
    for name, changes in sections.items():
        settings[name] = {**settings.get(name, {}), **changes}
    return Recipe.build(settings)


def report_of(*arguments: str, code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(
        app, ["evaluate", *arguments, "--device", "cpu", "--precision", "fp32", "--json"]
    )
    assert result.exit_code == code, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def test_a_runs_own_data_are_scored_on_its_test_with_its_views(run: Run, videos: Path) -> None:
    found = report_of(str(run.folder), str(videos))
    own = json.loads((run.folder / "report.json").read_text())
    assert found["clips"] == own["clips"] == 6
    assert found["scores"] == own["scores"]
    assert found["protocol"]["split"] == "test"
    assert found["protocol"]["views"] == own["protocol"]["views"] == "2x1"
    assert "the 6 clips that it was tested on are scored" in found["notes"][0]
    assert "18 that it learnt from" in found["notes"][0]


def test_the_file_alone_knows_the_clips_under_other_names(run: Run, videos: Path, tmp_path: Path) -> None:
    shutil.copy(run.files.model, tmp_path / "alone.safetensors")
    for path in sorted(videos.glob("*/*.mp4")):
        target = tmp_path / "copy" / path.parent.name / f"renamed-{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    found = report_of(str(tmp_path / "alone.safetensors"), str(tmp_path / "copy"))
    assert (found["clips"], found["protocol"]["split"]) == (6, "test")


def test_clips_that_were_learnt_and_are_scored_are_said_loudly(
    run: Run, videos: Path, tmp_path: Path
) -> None:
    found = report_of(str(run.folder), str(videos), "--split", "all", "--out", str(tmp_path / "scored"))
    assert found["clips"] == 24
    (note,) = found["notes"]
    assert note == ("NOT A TEST: of 24 scored clips there are 18 that it learnt from. The score flatters.")
    assert note in (tmp_path / "scored" / "report.html").read_text()
    assert Report.read(tmp_path / "scored" / "report.json").notes == (note,)
    assert report_of(str(run.folder), str(videos), "--split", "train")["clips"] == 18
    result = CliRunner().invoke(app, ["evaluate", str(run.folder), str(videos), "--split", "spare"])
    assert isinstance(result.exception, InvalidManifest) or result.exit_code == 2


def test_foreign_data_that_overlap_are_scored_whole_and_the_overlap_is_counted(
    run: Run, videos: Path, tmp_path: Path
) -> None:
    for number in range(10):
        write_video(tmp_path / "new" / "bright" / f"{number}.mp4", "bright", 1000 + number)
    learnt = next(
        s.path for s in resolve(run.recipe, read_data(run.recipe.data))[1].train if "bright" in s.labels
    )
    shutil.copy(learnt, tmp_path / "new" / "bright" / "old.mp4")
    write_video(tmp_path / "new" / "dark" / "0.mp4", "dark", 2000)
    found = report_of(str(run.folder), str(tmp_path / "new"))
    assert (found["clips"], found["protocol"]["split"]) == (12, None)
    assert found["notes"] == [
        "NOT A TEST: of 12 scored clips there are 1 that it learnt from. The score flatters."
    ]


def test_python_scores_the_same_clips(run: Run, videos: Path, caplog: pytest.LogCaptureFixture) -> None:
    report = evaluate(
        load(run.folder, compute=Compute.choose("cpu", "fp32")), Manifest.read(videos), workers=0
    )
    assert (report.clips, report.protocol.split, report.protocol.views) == (6, "test", "2x1")
    assert report.scores == run.report.scores  # type: ignore[union-attr]
    assert "18 that it learnt from" in caplog.text


def test_prediction_takes_the_views_of_the_test(run: Run, videos: Path) -> None:
    predictor = load(run.folder)
    assert str(predictor.test_views) == "2x1"
    assert predictor.predict(videos / "dark" / "0.mp4").views == 2


def test_a_changed_file_in_its_place_is_known_by_its_path(run: Run, videos: Path, tmp_path: Path) -> None:
    from kinesphere.evaluate.seen import seen_by
    from kinesphere.models.checkpoint import read_provenance

    folder = Path(shutil.copytree(videos, tmp_path / "data"))
    again = train(recipe_of(folder, tmp_path / "run"))
    learnt = [row.path for row in _splits(again) if row.part == "train"]
    with learnt[0].open("ab") as file:
        file.write(b"\0" * 16)
    seen, _ = seen_by((read_provenance(again.files.model),))
    assert seen is not None
    manifest = Manifest.read(folder)
    met = seen.of(manifest)
    assert next(met[s.id] for s in manifest if s.path == learnt[0]) == "train"


def _splits(run: Run) -> Any:
    from kinesphere.train.splits_csv import SplitTable

    return SplitTable.read(run.files.splits)


def test_spans_of_a_file_that_was_learnt_from_are_told_apart(run: Run, videos: Path) -> None:
    from kinesphere.evaluate.seen import choose, seen_by

    manifest = Manifest.read(videos)
    seen, _ = seen_by((load_model(run.folder).provenance,))
    assert seen is not None
    part = tuple(replace(sample, span=(0.1, 0.3)) for sample in manifest)
    scored = choose(replace(manifest, samples=part), seen)
    assert "18 of files that it learnt from" in scored.notes[0]


def test_more_clips_than_a_model_file_tells_of_are_said(
    videos: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from kinesphere.data.content import contents_of
    from kinesphere.evaluate import seen

    manifest = Manifest.read(videos)
    clips = [(sample, "train") for sample in manifest]
    monkeypatch.setattr(seen, "_MOST", 10)
    assert seen.digests_of(clips, contents_of(s.path for s in manifest)) is None
    assert "holds up to 10 digests, these make 72. Keep the run's folder" in caplog.text


def test_a_trained_model_that_tells_nothing_is_said_to_tell_nothing(run: Run) -> None:
    from kinesphere.evaluate.seen import seen_by

    silent = replace(load_model(run.folder).provenance, clips=None)
    seen, notes = seen_by((silent,))
    assert seen is None
    assert "does not tell which clips it learnt from" in notes[0]


def test_a_cross_validation_answers_with_the_fold_that_did_not_see_the_clip(
    videos: Path, tmp_path: Path
) -> None:
    done = cross_validate(recipe_of(videos, tmp_path / "cv"), 2)
    found = report_of(str(done.folder), str(videos))
    assert found["clips"] == 24
    assert found["scores"] == done.report.to_json()["scores"]
    assert {fold["name"] for fold in found["folds"]} == {"fold-1", "fold-2"}
    write_video(tmp_path / "new" / "bright" / "0.mp4", "bright", 5000)
    write_video(tmp_path / "new" / "dark" / "0.mp4", "dark", 5001)
    result = CliRunner().invoke(app, ["evaluate", str(done.folder), str(tmp_path / "new")])
    assert result.exit_code != 0
    assert "2 of 2 clips are not in the test part" in str(result.exception) + result.output


def test_a_run_that_starts_from_another_inherits_its_split(
    run: Run, videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    second = recipe_of(videos, tmp_path / "second", model={"pretrained": str(run.folder)}, train={"seed": 7})
    _, parts = resolve(second, read_data(second.data))
    first = {row.id for row in _splits(run) if row.part == "test"}
    assert parts.test is not None
    assert {sample.id for sample in parts.test} == first
    assert parts.notes == ()
    report = train(second).report
    assert report is not None
    (note,) = report.notes
    assert note.startswith("Started from ")


def test_an_overlap_of_given_splits_with_what_the_start_learnt_is_in_log_and_report(
    run: Run, videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = Manifest.read(videos)
    learnt = {row.id for row in _splits(run) if row.part == "train"}
    tested = sorted(learnt)[::3] + sorted({s.id for s in manifest} - learnt)[:2]
    splits = {s.id: "test" if s.id in tested else "train" for s in manifest}
    manifest.with_splits(splits).write(tmp_path / "given.csv")
    third = train(
        recipe_of(
            tmp_path / "given.csv",
            tmp_path / "third",
            data={"test": "test"},
            model={"pretrained": str(run.folder)},
        )
    )
    said = "6 of 8 test clips have taught"
    assert said in caplog.text
    assert said in json.loads((third.folder / "report.json").read_text())["notes"][0]
    found = report_of(str(third.folder), str(tmp_path / "given.csv"))
    assert found["clips"] == 8
    assert any("6 that it was tested on and had learnt from" in note for note in found["notes"])


def test_new_clips_beside_those_of_the_start_are_drawn_from_and_the_rest_stays(
    run: Run, videos: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(videos, tmp_path / "more"))
    for label in ("bright", "dark", "striped"):
        for number in range(20, 28):
            write_video(folder / label / f"{number}.mp4", label, 7000 + 50 * len(label) + number)
    second = recipe_of(folder, tmp_path / "second", model={"pretrained": str(run.folder)})
    _, parts = resolve(second, read_data(second.data))
    assert parts.test is not None
    tested = {sample.id for sample in parts.test}
    learnt = {row.id for row in _splits(run) if row.part == "train"}
    assert not tested & learnt
    assert {row.id for row in _splits(run) if row.part == "test"} <= tested
    assert len(tested) == 12  # a quarter of 48
    assert parts.notes == ()


def test_one_new_clip_of_a_class_beside_those_of_the_start_stays_in_training(
    run: Run, videos: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(videos, tmp_path / "more"))
    for number in range(20, 24):
        write_video(folder / "bright" / f"{number}.mp4", "bright", 8000 + number)
    write_video(folder / "dark" / "20.mp4", "dark", 9000)
    second = recipe_of(folder, tmp_path / "second", model={"pretrained": str(run.folder)})
    _, parts = resolve(second, read_data(second.data))
    assert parts.test is not None
    assert {row.id for row in _splits(run) if row.part == "test"} <= {s.id for s in parts.test}
