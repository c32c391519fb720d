"""The benchmark of a few clips draws without leaks, trains both starts alike and says what it found."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import few_clips, record

from kinesphere.core.labels import LabelSet
from kinesphere.data import Manifest
from kinesphere.models import create_model, save_model
from kinesphere.video import VideoWriter


@pytest.fixture
def videos(tmp_path: Path) -> Callable[[Path, Path], Manifest]:
    """Four groups with a bright and a dark video each."""
    lines = ["path,label,group"]
    for group in range(4):
        for label, level in (("bright", 200), ("dark", 20)):
            path = tmp_path / f"{label}{group}.mp4"
            with VideoWriter(path, (32, 32), 12) as writer:
                for _ in range(8):
                    writer.write(np.full((32, 32, 3), level + group, np.uint8))
            lines.append(f"{path},{label},{group}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return lambda data, work: Manifest.read(tmp_path / "labels.csv")


def test_no_group_is_on_both_sides_of_a_draw() -> None:
    groups = [str(i // 6) for i in range(60)]
    targets = np.array([i % 3 for i in range(60)])
    for seed in range(5):
        learn, test = few_clips.draw(targets, groups, 5, seed)
        assert np.bincount(targets[learn]).tolist() == [5, 5, 5]
        assert not {groups[row] for row in learn} & {groups[row] for row in test}
        assert len(test) == 42
    assert few_clips.draw(targets, groups, 5, 0) != few_clips.draw(targets, groups, 5, 1)


def test_it_runs_goes_on_and_keeps_a_record(videos, tmp_path, monkeypatch, capsys) -> None:
    torch.manual_seed(0)
    box = tmp_path / "box"
    recogniser = create_model("kine_tiny", LabelSet(("a", "b", "c")))
    save_model(recogniser, box / "basic_rgb.safetensors")
    sets = {"ut": few_clips.RealSet("two brightnesses", (1, 2), 3, videos)}
    monkeypatch.setattr(few_clips, "SETS", sets)
    monkeypatch.setattr(few_clips, "FOLDER", box)
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setenv(few_clips.DATA, str(tmp_path))
    work = tmp_path / "work"
    monkeypatch.setattr(sys, "argv", ["few_clips", "--draws", "2", "--work", str(work)])
    few_clips.main()
    first = capsys.readouterr().out
    assert first.count("ut 1 0 ") == 3
    few_clips.main()
    assert "ut 1 0 " not in capsys.readouterr().out
    assert (tmp_path / "results" / "few_clips.json").is_file()
    kept = (work / "answers.jsonl").read_text().splitlines()
    assert len(kept) == 2 * 2 * 3


def test_differences_are_told_in_words() -> None:
    gains = ["+20.0 points [+5.0, +30.0]", "-20.0 points [-30.0, -5.0]", "+1.0 points [-3.0, +5.0]"]
    (line,) = few_clips.held([{"box – scratch": gain} for gain in gains])
    assert "better in 1 of 3 rows, worse in 1 (" in line
    assert line.endswith("no difference shown in 1.")


def test_joints_before_a_kinect_fall_on_its_image() -> None:
    from kinesphere.clips.modalities.pose.poses import Poses

    joints = np.zeros((2, 1, 20, 3), np.float32)
    joints[..., 2] = 2.0
    joints[..., 3, 1] = 0.5
    poses = Poses(np.arange(2) / 30, joints, np.ones((2, 1, 20), np.float32), np.array([1]), "kinect20", None)
    seen = few_clips.in_pixels(poses)
    assert seen.keypoints[0, 0, 0].tolist() == [320, 240]
    assert seen.keypoints[0, 0, 3].tolist() == [320, 240 - 525 / 4]
