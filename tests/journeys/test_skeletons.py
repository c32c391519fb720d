"""From a skeleton data set to clips, by the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kinesphere.data import Manifest

Command = Callable[..., tuple[int, str, str]]


def test_import_skeletons_lists_what_it_leaves_out(kinesphere: Command, tmp_path: Path) -> None:
    source = tmp_path / "msr"
    source.mkdir()
    for subject in (1, 2):
        rows = np.random.default_rng(subject).normal(size=(20 * 10, 4))
        for action in (1, 4):
            np.savetxt(source / f"a{action:02d}_s{subject:02d}_e01_skeleton3D.txt", rows * action)
    np.savetxt(source / "a01_s03_e01_skeleton3D.txt", np.zeros((20, 4)))
    code, text, errors = kinesphere(
        "import-skeletons", "msr_action3d", source, "--out", tmp_path / "out", "--json"
    )
    assert code == 0, errors
    told = json.loads(text)
    assert (told["files"], told["samples"], told["failures"]) == (4, 4, 0)
    assert [each["path"] for each in told["skipped"]] == ["a01_s03_e01_skeleton3D.txt"]
    assert Manifest.read(told["manifest"]).splits == ("train", "test")
    code, text, errors = kinesphere("check", told["manifest"], "--label-column", "as1")
    assert code == 2
    code, text, errors = kinesphere(
        "check", told["manifest"], "--label-column", "as2", "--unlabelled", "skip", "--json"
    )
    wrong = [each["kind"] for each in json.loads(text)["problems"] if each["severity"] == "error"]
    assert (code, wrong) == (0, []), errors
    code, text, errors = kinesphere("import-skeletons", "msr_action3d", source, "--out", tmp_path / "out")
    assert "4 samples in 4 pose files" in text
    assert "left out" in text
    code, text, errors = kinesphere("check", told["manifest"], "--preview", tmp_path / "sheet.png")
    assert code == 0, errors
    assert "kinect20 (4); most people at a time: 1 (4)" in " ".join(text.split())
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    np.savetxt(source / "a00_s03_e01_skeleton3D.txt", rows)
    code, text, errors = kinesphere("import-skeletons", "msr_action3d", source, "--out", tmp_path / "out")
    assert code == 1
    assert "The set has actions 1 to 20, not 0" in " ".join(text.split())
    code, text, errors = kinesphere("import-skeletons", "msr_action", source, "--out", tmp_path / "out")
    assert code == 2
    assert "did you mean msr_action3d" in errors
    code, text, errors = kinesphere("extract", "pose", source, "--model", "huge")
    assert code == 2
    assert "The pose model is lite, full, heavy, or a .task file; got 'huge'" in " ".join(errors.split())


def test_what_estimators_wrote_lands_beside_the_videos(
    kinesphere: Command, mannequins: Path, tmp_path: Path
) -> None:
    video = Path(shutil.copy(next((mannequins / "videos").glob("*.mp4")), tmp_path / "clip.mp4"))
    result = {"image_id": 3, "keypoints": [20.0, 20.0, 0.9] * 17, "score": 0.9}
    (tmp_path / "clip.json").write_text(json.dumps([result]))
    words = ("import-skeletons", "coco", tmp_path / "clip.json", "--videos", video)
    code, text, errors = kinesphere(*words, "--json")
    assert code == 0, errors
    assert json.loads(text)["written"] == [str(tmp_path / "clip.mp4.pose.npz")]
    assert "may count frames from 0 or from 1" in text
    code, text, errors = kinesphere(*words, "--first-frame", 1, "--overwrite", "--json")
    assert (code, json.loads(text)["notes"]) == (0, [])
    wrong_one = {"image_id": 4, "keypoints": [20.0]}
    (tmp_path / "clip.json").write_text(json.dumps([result, wrong_one]))
    code, text, errors = kinesphere(*words, "--first-frame", 1, "--overwrite")
    assert code == 1
    assert "annotation 1: keypoints should be 51 numbers; got 1. It is left out" in " ".join(text.split())
    for wrong, match in (
        (("import-skeletons", "openpose", tmp_path), "name those with --videos"),
        (("import-skeletons", "jhmdb", tmp_path), "name it with --out"),
        ((*words[:1], "jhmdb", tmp_path, "--out", tmp_path, "--overwrite"), "are for coco and openpose"),
        ((*words, "--camera", "0"), "Cameras are for motion capture; coco has its own"),
    ):
        code, text, errors = kinesphere(*wrong)
        assert code == 2
        assert match in " ".join(errors.split())
