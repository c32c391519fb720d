"""One damaged file of poses, flow or masks ends nothing: it is counted, and the exit code says so."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kinesphere.clips.modalities.pose.file import write_poses
from kinesphere.clips.modalities.pose.poses import Poses

Command = Callable[..., tuple[int, str, str]]
QUICK = ("train.epochs=1", "train.batch_size=4", "compute.workers=0", "log.tensorboard=false")


def rubbish_inside(path: Path) -> None:
    """Overwrite the compressed bytes of the largest array; the archive's own tables stay sound."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = max(archive.infolist(), key=lambda each: each.compress_size)
    name, extra = content[entry.header_offset + 26], content[entry.header_offset + 28]
    begin = entry.header_offset + 30 + name + extra
    content[begin : begin + entry.compress_size] = b"\xff" * entry.compress_size
    path.write_bytes(content)


@pytest.fixture
def skeletons(tmp_path: Path) -> Path:
    """Twelve pose files in three splits; one of the training part is damaged in its compressed bytes."""
    folder = tmp_path / "set"
    rows = ["path,label,split"]
    for number in range(12):
        joints = np.random.default_rng(number).uniform(0, 40, (12, 1, 17, 2)).astype(np.float32)
        poses = Poses(
            np.arange(12) / 10,
            joints,
            np.ones((12, 1, 17), np.float32),
            np.array([1]),
            "coco17",
            (48, 64),
            fps=10.0,
        )
        write_poses(poses, folder / f"{number}.pose.npz")
        split = "test" if number % 3 == 2 else "train"
        rows.append(f"{number}.pose.npz,{'ab'[number % 2]},{split}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    rubbish_inside(folder / "3.pose.npz")
    return folder


def test_training_lists_it_and_ends_with_one(kinesphere: Command, skeletons: Path, tmp_path: Path) -> None:
    words = ("train", skeletons, "model.name=dd_net_tiny", "data.val=0", "data.max_unreadable=0.5", *QUICK)
    code, text, errors = kinesphere(*words, f"out={tmp_path / 'run'}")
    assert code == 1, errors
    assert "1 files could not be read in training" in text + errors
    assert "3.pose.npz" in (tmp_path / "run" / "unreadable.csv").read_text()
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert (report["clips"], report["skipped"]) == (4, [])

    rubbish_inside(skeletons / "5.pose.npz")
    code, text, errors = kinesphere(
        "evaluate", tmp_path / "run", skeletons, "--split", "test", "--out", tmp_path / "scores", "--json"
    )
    assert code == 1, errors
    report = json.loads(text)
    assert report["clips"] == 3
    assert [Path(each["path"]).name for each in report["skipped"]] == ["5.pose.npz"]

    sources = [skeletons / f"{number}.pose.npz" for number in (2, 3, 4)]
    code, text, errors = kinesphere("predict", *sources, "--model", tmp_path / "run", "--json")
    assert code == 1, errors
    answers = [json.loads(line) for line in text.splitlines()]
    assert ["error" in each for each in answers] == [False, True, False]
    assert "is not a readable pose file" in answers[1]["error"]


def test_flow_files_that_are_damaged_are_counted(
    kinesphere: Command, mannequins: Path, tmp_path: Path
) -> None:
    for number, video in enumerate(sorted((mannequins / "videos").glob("*.mp4"))[:6]):
        target = tmp_path / "set" / "ab"[number % 2] / video.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, target)
    code, _, errors = kinesphere("extract", "flow", tmp_path / "set", "--short-side", "32", "--workers", "1")
    assert code == 0, errors
    damaged = sorted((tmp_path / "set").rglob("*.flow.npz"))[0]
    content = dict(np.load(damaged))
    np.savez(damaged, **content | {"facts": np.array("[" * 99_999)})
    words = ("model.name=kine_small_flow", "clip.size=32", "clip.sampling=4x1x1", "data.max_unreadable=0.5")
    code, _, errors = kinesphere(
        "train", tmp_path / "set", *words, "data.val=0", "data.test=0", *QUICK, f"out={tmp_path / 'run'}"
    )
    assert code == 1, errors
    assert damaged.name.removesuffix(".flow.npz") in (tmp_path / "run" / "unreadable.csv").read_text()
