"""A study of many runs as a user types it, and the same one killed at any moment."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kinesphere.core.files as core_files
from kinesphere.evaluate.predictions import Predictions
from kinesphere.evaluate.report import Report
from kinesphere.studies.matrix import Study
from kinesphere.studies.running import run_study, states
from kinesphere.studies.study_recipe import StudyRecipe
from kinesphere.synthetic import MannequinSettings
from kinesphere.synthetic.poses import pose_clips, write_pose_clips

# The fixture of that name: words in; `code`, `out` and `err` out.
Command = Callable[..., Any]
MOVEMENTS = ("fall", "jump", "wave")
KILLS = 20

WRITTEN = """
name: tiny
root: {root}
out: {out}
base:
  data: {{source: manifest.csv}}
  model: {{name: stgcn_tiny}}
  clip: {{sampling: uniform8}}
  augment: {{preset: none}}
  train: {{epochs: 2, batch_size: 8, checkpoint_minutes: null}}
  compute: {{device: cpu, workers: 0, threads: 1}}
  log: {{tensorboard: false}}
"""
MATRIX = """
matrix:
  start:
    - {name: scratch, model.pretrained: null}
    - {name: again, model.pretrained: "cell:scratch"}
"""
EVALUATED = """
seeds: [0]
evaluate:
  - {name: noise, noise: 0.3}
  - {name: loose, data: manifest.csv, unlabelled: true, label_column: split, expect: {test: [wave]},
     factor: movement}
"""


@pytest.fixture(scope="module")
def posed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with 48 pose files of three movements, split by performer, and their manifest."""
    settings = MannequinSettings(classes=MOVEMENTS, clips_per_class=8, splits=(0.5, 0.25, 0.25), performers=8)
    folder = tmp_path_factory.mktemp("posed")
    return write_pose_clips(pose_clips(settings), folder, {name: name for name in MOVEMENTS}).parent


def written(folder: Path, posed: Path, more: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(WRITTEN.format(root=posed, out=folder / "out") + more)
    return path


JOINT = """
include:
  - {name: alone}
  - name: both
    joint.sets: {one: {source: manifest.csv}, two: {source: manifest.csv, test: val, val: 0}}
compare: [[alone, both/one]]
"""


def test_one_set_is_held_against_two_trained_together(
    kinesphere: Command, posed: Path, tmp_path: Path
) -> None:
    path = written(tmp_path, posed, JOINT)
    ended = kinesphere("study", path, "train.epochs=1", "seeds=[0]", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert [cell["cell"] for cell in found["cells"]] == ["alone", "both/one", "both/two"]
    assert [(pair["first"], pair["second"]) for pair in found["pairs"]] == [("alone", "both/one")]
    assert found["cells"][1]["cost"]["parameters"] > 0
    again = kinesphere("study", path, "train.epochs=1", "seeds=[0]", "--dry-run", "--json")
    assert {run["state"] for run in json.loads(again.out)["cells"]} == {"done"}


@pytest.mark.slow
def test_a_study_goes_from_a_recipe_to_a_report_and_only_on(
    kinesphere: Command, posed: Path, tmp_path: Path
) -> None:
    path = written(tmp_path, posed, MATRIX + EVALUATED)
    planned = kinesphere("study", path, "--dry-run", "--json")
    assert planned.code == 0, planned.err
    rows = json.loads(planned.out)["cells"]
    assert [(row["cell"], row["state"]) for row in rows] == [("scratch", "to do"), ("again", "to do")]
    ended = kinesphere("study", path, "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert [cell["cell"] for cell in found["cells"]] == ["scratch", "again"]
    assert found["pairs"][0]["clips"] == 12
    noise, _, loose, _ = found["evaluations"]
    assert noise["change"]["value"] == pytest.approx(
        noise["score"]["value"] - found["cells"][0]["scores"]["top1"]["value"]
    )
    assert sum(sum(each.values()) for each in loose["answers"].values()) == 48
    assert loose["rules"][0]["labels"] == ["wave"]
    assert loose["factor"]["factor"] == "movement"
    page = Path(found["report"]).read_text(encoding="utf-8")
    assert "data:image/jpeg" in page
    run = Path(found["cells"][0]["runs"][0]["run"])
    assert (run / "report.html").is_file()
    kept = {file: file.stat().st_mtime_ns for file in run.rglob("*") if file.is_file()}
    again = kinesphere("study", "run", path)
    assert again.code == 0, again.err
    assert "report" in again.out
    assert {file: file.stat().st_mtime_ns for file in run.rglob("*") if file.is_file()} == kept
    other = run.parent.parent / "again" / "seed-0"
    compared = kinesphere("compare", run, other, "--json", "--out", tmp_path / "apart")
    assert compared.code == 0, compared.err
    assert json.loads(compared.out)["pairs"][0]["difference"] == found["pairs"][0]["difference"]
    assert (tmp_path / "apart" / "disagreements.csv").is_file()


@pytest.mark.slow
def test_drawn_settings_leave_the_test_alone_and_runs_have_processes(
    kinesphere: Command, posed: Path, tmp_path: Path
) -> None:
    more = "search: {draw: grid, settings: {optimizer.lr: [0.01, 0.000001]}}\n"
    path = written(tmp_path, posed, more)
    ended = kinesphere("study", path, "seeds=[3]", "--jobs", 2, "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    (choice,) = found["choices"]
    splits = {
        each.parent.parent.name: Report.read(each).protocol.split
        for each in (tmp_path / "out").rglob("seed-3/report.json")
    }
    closed = {"tiny-draw01", "tiny-draw02"} - {choice["chosen"]}
    assert splits == {choice["chosen"]: "test", closed.pop(): "val"}


@pytest.mark.slow
def test_killed_at_twenty_points_a_study_does_the_rest_only(posed: Path, tmp_path: Path) -> None:
    """Each process is ended before or after it gives a file its name, at another count of files each time."""
    folders = [tmp_path / name for name in ("whole", "killed")]
    whole, killed = (_planned(folder, posed) for folder in folders)
    assert _in_child(whole, None) == 0
    done: dict[str, int] = {}
    for number in range(KILLS):
        assert _in_child(killed, 1 + number * 7 % 9) == 9
        for run, state in states(killed):
            name = str(run.folder)
            if name in done:
                assert done[name] == _model(run.folder)
            elif state == "done":
                done[name] = _model(run.folder)
    assert 0 < len(done) < 6
    assert _in_child(killed, None) == 0
    for run, other in zip(whole.runs(whole.cells), killed.runs(killed.cells), strict=True):
        assert done.get(str(other.folder), _model(other.folder)) == _model(other.folder)
        ours, theirs = (Predictions.read(each.folder) for each in (run, other))
        assert np.array_equal(ours.probabilities, theirs.probabilities)


def _planned(folder: Path, posed: Path) -> Study:
    folder.mkdir()
    return Study.plan(StudyRecipe.load(written(folder, posed, MATRIX + "seeds: [0, 1, 2]\n")))


def _model(folder: Path) -> int:
    return (folder / "model.safetensors").stat().st_mtime_ns


class Silent:
    """Listens to nothing."""

    def begins(self, run: object, number: int, total: int) -> None: ...

    def ended(self, outcome: object) -> None: ...


def _in_child(study: Study, files: int | None) -> int:
    """Run a study in a process that dies at its so manieth file; its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        if files is not None:
            _die_at(files)
        code = int(bool(run_study(study, Silent()).failed))
    finally:
        os._exit(code)


def _die_at(files: int) -> None:
    commit, left = core_files.Scratch.commit, [files]

    def counted(self: core_files.Scratch) -> None:
        left[0] -= 1
        if left[0] == 0 and files % 2:
            os._exit(9)
        commit(self)
        if left[0] == 0:
            os._exit(9)

    core_files.Scratch.commit = counted  # type: ignore[method-assign]
