"""From a skeleton data set to clips, by the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from kinesphere.data import Manifest


def kinesphere(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kinesphere", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})


def test_import_skeletons_lists_what_it_leaves_out(tmp_path: Path) -> None:
    source = tmp_path / "msr"
    source.mkdir()
    for subject in (1, 2):
        rows = np.random.default_rng(subject).normal(size=(20 * 10, 4))
        np.savetxt(source / f"a01_s{subject:02d}_e01_skeleton3D.txt", rows)
    np.savetxt(source / "a01_s03_e01_skeleton3D.txt", np.zeros((20, 4)))
    ended = kinesphere("import-skeletons", "msr_action3d", source, "--out", tmp_path / "out", "--json")
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert (told["files"], told["samples"]) == (2, 2)
    assert [each["path"] for each in told["skipped"]] == ["a01_s03_e01_skeleton3D.txt"]
    assert Manifest.read(told["manifest"]).splits == ("train", "test")
    shown = kinesphere("import-skeletons", "msr_action3d", source, "--out", tmp_path / "out")
    assert "2 samples in 2 pose files" in shown.stdout
    assert "left out" in shown.stdout
    looked = kinesphere("check", told["manifest"], "--preview", tmp_path / "sheet.png")
    assert looked.returncode == 0, looked.stderr
    assert "kinect20 (2); most people at a time: 1 (2)" in " ".join(looked.stdout.split())
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    wrong = kinesphere("import-skeletons", "msr_action", source, "--out", tmp_path / "out")
    assert wrong.returncode == 2
    assert "did you mean msr_action3d" in wrong.stderr
    model = kinesphere("extract", "pose", source, "--model", "huge")
    assert model.returncode == 2
    assert "The pose model is lite, full, heavy, or a .task file; got 'huge'" in " ".join(
        model.stderr.split()
    )
