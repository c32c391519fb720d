"""Files of flow and poses belong to their videos wherever a run, or a fold of one, reads these from."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from kinesphere.clips.modalities.flow import estimate
from kinesphere.clips.modalities.flow.file import write_flow
from kinesphere.clips.modalities.pose.file import write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.data import Manifest
from kinesphere.train import Recipe, cross_validate, train
from kinesphere.train.resolve import extracts, read_data

FRAMES, SIZE = 8, (32, 32)


@pytest.fixture
def data(videos: Path, tmp_path: Path) -> Path:
    """Two class folders of four videos, of which names repeat."""
    for label in ("bright", "dark"):
        for i in range(4):
            target = tmp_path / "data" / label / f"{i}.mp4"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(videos / label / f"{i}.mp4", target)
    return tmp_path / "data"


def store_flow(folder: Path) -> Path:
    for label in ("bright", "dark"):
        for i in range(4):
            fields = np.full((FRAMES - 1, *SIZE, 2), i, np.float32)
            path = folder / label / f"{i}.mp4.flow.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_flow(path, fields, size=SIZE, method="dis", bound_px=20.0, frames=FRAMES)
    return folder


def quick(tmp_path: Path, *overrides: str) -> Recipe:
    settings = {
        "data": {"source": "x"},
        "augment": {"preset": "none"},
        "train": {"epochs": 1, "batch_size": 4, "checkpoint_minutes": None},
        "compute": {"device": "cpu", "precision": "fp32", "workers": 0},
        "log": {"tensorboard": False},
        "out": str(tmp_path / "run"),
    }
    return Recipe.build(settings).override(*overrides)


FLOW = ("model.name=kine_small_flow", "clip.size=32", "clip.sampling=4x1x1", "clip.resize=stretch")


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.slow
def test_folds_read_the_flow_files_of_nested_and_linked_data(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    def estimated(*_: object) -> np.ndarray:
        raise AssertionError("flow was estimated although there are files of it")

    monkeypatch.setattr(estimate, "between_frames", estimated)
    if linked:
        (tmp_path / "link").symlink_to(data, target_is_directory=True)
        data = tmp_path / "link"
    folder = store_flow(tmp_path / "flow")
    recipe = quick(tmp_path, f"data.source={data}", f"data.extracts={folder}", *FLOW)
    result = cross_validate(recipe, 2, console=Console(quiet=True))
    assert result.report.clips == 8
    assert result.report.skipped == ()
    assert not list((tmp_path / "run").rglob("damaged.csv"))


def test_folds_of_several_sources_find_the_files_of_each(data: Path, tmp_path: Path) -> None:
    folder = store_flow(tmp_path / "flow")
    for label in ("bright", "dark"):
        rows = "".join(f"{i}.mp4,{label}\n" for i in range(4))
        (data / label / "manifest.csv").write_text(f"path,label\n{rows}")
    recipe = quick(
        tmp_path,
        f"data.source=[{data}/bright, {data}/dark]",
        f"data.extracts={folder}",
        "model.name=fc_tiny",
    )
    result = cross_validate(recipe, 2, console=Console(quiet=True))
    for run in result.runs:
        of_run = run.recipe.data
        for sample in read_data(of_run):
            here = extracts(of_run).path(sample.path, ".flow.npz")
            assert here == folder / sample.labels[0] / f"{sample.path.name}.flow.npz"


def test_folds_read_the_pose_files_that_a_table_names(data: Path, tmp_path: Path) -> None:
    rows = ["path,label,pose_file"]
    for label in ("bright", "dark"):
        for i in range(4):
            joints = np.random.default_rng(i).uniform(0, 31, (FRAMES, 1, 17, 2)).astype(np.float32)
            poses = Poses(
                np.arange(FRAMES) / 8,
                joints,
                np.ones((FRAMES, 1, 17), np.float32),
                np.array([1]),
                "coco17",
                SIZE,
                fps=8.0,
            )
            write_poses(poses, data / "joints" / f"{label}{i}.pose.npz")
            rows.append(f"{label}/{i}.mp4,{label},joints/{label}{i}.pose.npz")
    (data / "manifest.csv").write_text("\n".join(rows) + "\n")
    recipe = quick(tmp_path, f"data.source={data}", "model.name=dd_net_tiny")
    result = cross_validate(recipe, 2, console=Console(quiet=True))
    assert (result.report.clips, result.report.skipped) == (8, ())
    manifest = Manifest.read(data)
    manifest.write(tmp_path / "elsewhere" / "copy.parquet")
    again = Manifest.read(tmp_path / "elsewhere" / "copy.parquet")
    assert [each.sidecars for each in again] == [each.sidecars for each in manifest]


def test_flow_that_is_not_among_the_files_is_counted(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = store_flow(tmp_path / "flow")
    (folder / "dark" / "1.mp4.flow.npz").unlink()
    recipe = quick(
        tmp_path, f"data.source={data}", f"data.extracts={folder}", "data.val=0", "data.test=0", *FLOW
    )
    run = train(recipe, console=Console(quiet=True))
    assert "Of 8 training samples that were asked, 1 have no flow file in" in caplog.text
    (row,) = (run.folder / "damaged.csv").read_text().splitlines()[1:]
    assert "dark/1.mp4" in row
    assert "no flow file of it in" in row
