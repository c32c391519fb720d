from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from kinesphere.clips import Augment, ClipSpec, Sampling
from kinesphere.clips.modalities.pose.file import write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.preparation import Preparation
from kinesphere.clips.sidecar import Extracts
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.data import preflight
from kinesphere.data.dataset import ClipDataset
from kinesphere.data.manifest import Manifest
from kinesphere.data.preflight import Preflight, Problem, Spread, check
from kinesphere.data.preview import preview

SPEC = ClipSpec(Sampling.parse("4x2x1"), (24, 32))
POSE = ClipSpec(Sampling.parse("1x1x1"), (24, 32), "pose", skeleton="coco17", mean=(0.5,) * 2, std=(0.5,) * 2)


def found(result: Preflight, kind: str) -> Problem:
    (problem,) = (problem for problem in result.problems if problem.kind == kind)
    return problem


@pytest.fixture
def copy(data_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(data_folder, tmp_path / "copy"))


def test_sound_data_have_no_problems(manifest: Manifest) -> None:
    seen = []
    result = check(manifest, SPEC, workers=2, progress=lambda done, total: seen.append((done, total)))
    assert result.problems == ()
    assert not result.has_errors
    assert result.readable_share == 1
    assert result.classes == {"turn left": 3, "turn right": 3}
    assert (result.clips, result.files, result.splits) == (6, 6, {})
    assert result.durations_s == Spread(0.8, 1.2, 1.6, pytest.approx(7.2))
    assert (result.frame_rates, result.sizes, result.codecs) == ({"25": 6}, {"64x48": 6}, {"h264": 6})
    assert seen == [(i, 6) for i in range(1, 7)]


def test_unreadable_and_damaged_files_are_listed(copy: Path, make_video: Callable[..., Path]) -> None:
    (copy / "turn left/0.mp4").write_bytes(b"")
    (copy / "turn left/1.mp4").write_text("not a video at all, whatever its name says")
    (copy / "turn left/notes.txt").write_text("x")
    data = bytearray(make_video(copy / "turn right/9.mp4", frames=60).read_bytes())
    start = data.index(b"mdat") + 4
    data[start + 1500 : start + 2500] = bytes(1000)
    (copy / "turn right/9.mp4").write_bytes(bytes(data))
    result = check(Manifest.read(copy), workers=2, decode_all=True)
    assert [Path(failure.path).name for failure in result.unreadable] == ["0.mp4", "1.mp4"]
    assert "is empty" in result.unreadable[0].reason
    assert [Path(note.path).name for note in result.damaged] == ["9.mp4"]
    assert result.readable_share == pytest.approx(5 / 7)
    assert found(result, "unreadable").where == ("turn left/0.mp4", "turn left/1.mp4")
    assert "2 of 7 samples cannot be read and would be left out" in found(result, "unreadable").message
    assert "1 of 7 samples can be read only in part" in found(result, "damaged").message
    assert found(result, "ignored").where == ("turn left/notes.txt: no video's suffix",)
    assert not result.has_errors


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,label\nabsent.mp4,x\n")
    result = check(Manifest.read(tmp_path / "m.csv"), workers=1)
    assert result.has_errors
    expected = f"No sample can be read; check the paths, which count from the table's folder, {tmp_path}."
    assert result.problems[0].message == expected
    assert result.durations_s is None


def test_paths_as_seen_from_the_working_folder_are_told(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copy)
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "m.csv").write_text("path,label\nturn left/0.mp4,x\nturn left/1.mp4,x\n")
    message = check(Manifest.read(lists / "m.csv"), workers=1).problems[0].message
    assert message.startswith("No sample can be read; the paths are written as seen from the working folder")
    assert str(lists) in message


def test_labels_outside_the_set_and_empty_classes(data_folder: Path) -> None:
    manifest = Manifest.read(data_folder, labels=LabelSet(("turn left", "jump")))
    result = check(manifest, workers=2)
    assert "3 samples have labels outside the set: turn right" in found(result, "unknown label").message
    assert found(result, "unknown label").where == tuple(f"turn right/{i}.mp4" for i in range(3))
    assert found(result, "empty class").message == "the data has no sample of 1 classes: jump."
    assert result.classes == {"turn left": 3, "jump": 0, "turn right": 3}


def test_leaks_duplicates_and_conflicts(copy: Path) -> None:
    shutil.copy(copy / "turn left/0.mp4", copy / "turn left/again.mp4")
    shutil.copy(copy / "turn right/0.mp4", copy / "turn left/other.mp4")
    rows = [
        "path,label,group,split",
        "turn left/0.mp4,left,anna,train",
        "turn left/again.mp4,left,anna,test",
        "turn right/0.mp4,right,ben,train",
        "turn left/other.mp4,left,carl,train",
        "turn right/1.mp4,right,dora,test",
    ]
    (copy / "manifest.csv").write_text("\n".join(rows))
    result = check(Manifest.read(copy), workers=2)
    assert found(result, "group leak").where == ("anna",)
    assert found(result, "content leak").where == ("turn left/0.mp4 = turn left/again.mp4",)
    assert found(result, "label conflict").where == ("turn right/0.mp4 = turn left/other.mp4",)
    assert "2 files are copies of others" in found(result, "duplicate").message
    assert "3 × not in the folder's table" in found(result, "ignored").message
    assert [problem.severity for problem in result.problems] == ["error"] * 3 + ["warning"] * 2
    assert result.splits == {"train": {"left": 2, "right": 1}, "test": {"left": 1, "right": 1}}


def test_one_video_in_two_splits_is_a_leak(copy: Path) -> None:
    rows = ["path,label,start,end,split", "turn left/2.mp4,x,0,0.5,train", "turn left/2.mp4,x,0.5,1,test"]
    (copy / "manifest.csv").write_text("\n".join(rows))
    result = check(Manifest.read(copy), workers=1)
    assert found(result, "content leak").where == ("turn left/2.mp4",)


def test_spans_and_short_samples(copy: Path) -> None:
    rows = [
        "path,label,start,end",
        "turn left/2.mp4,x,0,1.6",  # all of it
        "turn left/2.mp4,x,0,2",  # ends late
        "turn left/2.mp4,x,9,10",  # starts late
        "turn left/2.mp4,x,0.5,0.6",  # too short
    ]
    (copy / "manifest.csv").write_text("\n".join(rows))
    manifest = Manifest.read(copy)
    result = check(manifest, SPEC, workers=1)
    late, cut = (problem for problem in result.problems if problem.kind == "span outside")
    assert (late.severity, late.where) == ("error", ("turn left/2.mp4@9.0-10.0",))
    assert (cut.severity, cut.where) == ("warning", ("turn left/2.mp4@0.0-2.0",))
    assert found(result, "short").where == ("turn left/2.mp4@0.5-0.6",)
    assert (
        "1 of 4 samples are shorter than a clip of 4x2x1; they would start over"
        in found(result, "short").message
    )
    padded = check(manifest, replace(SPEC, short_video="pad"), workers=1)
    assert "they would hold their last frame" in found(padded, "short").message


@pytest.mark.slow
def test_a_file_that_takes_too_long_counts_as_unreadable(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inspect(path: Path, **options: object) -> object:
        if path.parent.name == "turn left":
            time.sleep(600)
        return original(path, **options)

    original = preflight.inspect_file
    monkeypatch.setattr(preflight, "inspect_file", inspect)
    result = check(manifest, workers=2, timeout_s=2)
    assert len(result.unreadable) == 3
    assert "took longer than 2 s and was stopped" in result.unreadable[0].reason


def test_json_has_the_published_shape(manifest: Manifest) -> None:
    plain = json.loads(json.dumps(check(manifest, SPEC, workers=1).to_json()))
    assert {"classes", "clips", "unreadable", "problems"} < plain.keys()
    assert plain["clips"] == 6
    assert plain["durations_s"]["least"] == 0.8


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"timeout_s": 0}])
def test_settings_are_checked(manifest: Manifest, wrong: dict) -> None:
    with pytest.raises(InvalidSetting, match="at least one worker and a positive time"):
        check(manifest, **wrong)


def test_preview_draws_what_training_sees(copy: Path, tmp_path: Path) -> None:
    (copy / "turn left/0.mp4").write_bytes(b"")
    manifest = Manifest.read(copy)
    dataset = ClipDataset(manifest, SPEC, train=True, augment=Augment(flip=0))
    failures = preview(dataset, tmp_path / "sheet.png", count=6)
    assert [Path(failure.path).name for failure in failures] == ["0.mp4"]
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[0] > 5 * 100
    assert sheet.std() > 10


def test_preview_refuses_what_it_cannot_draw(copy: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(copy).select([0])
    dataset = ClipDataset(manifest, SPEC, train=False)
    with pytest.raises(InvalidSetting, match=r"a \.png or \.jpg image; got 'sheet\.bmp'"):
        preview(dataset, tmp_path / "sheet.bmp")
    manifest[0].path.unlink()
    with pytest.raises(InvalidSetting, match="None of 1 samples can be read; the first:"):
        preview(dataset, tmp_path / "sheet.png")


# ------------------------------------------------------------------------------------------------ poses


def walker(count: int, *, seen: float = 1.0, people: int = 1, space: bool = False) -> Poses:
    """People in a picture of 48x64 (or in metres), seen during the first share of the poses."""
    dimensions, size = (3, None) if space else (2, (48, 64))
    joints = np.random.default_rng(count).random((1, people, 17, dimensions)) * (1 if space else 40)
    scores = np.zeros((count, people, 17), np.float32)
    scores[: round(seen * count)] = 1
    keypoints = np.tile(joints, (count, 1, 1, 1)).astype(np.float32)
    return Poses(np.arange(count) / 25, keypoints, scores, np.arange(people), "coco17", size, fps=25)


@pytest.mark.parametrize("space", [False, True])
def test_manifests_of_pose_files(tmp_path: Path, space: bool) -> None:
    people = (walker(30, space=space), walker(50, people=2, space=space), walker(40, seen=0, space=space))
    for number, poses in enumerate(people):
        write_poses(poses, tmp_path / f"{number}.pose.npz")
    (tmp_path / "3.pose.npz").touch()
    rows = "".join(f"{number}.pose.npz,{'ab'[number % 2]}\n" for number in range(4))
    (tmp_path / "manifest.csv").write_text(f"path,label\n{rows}")
    manifest = Manifest.read(tmp_path)
    result = check(manifest, POSE, workers=1)
    assert [Path(failure.path).name for failure in result.unreadable] == ["3.pose.npz"]
    assert "is empty; delete it" in result.unreadable[0].reason
    assert result.durations_s == Spread(*map(pytest.approx, (1.2, 1.6, 2.0, 4.8)))
    assert (result.frame_rates, result.codecs) == ({"25": 3}, {})
    assert result.sizes == ({"in space": 3} if space else {"64x48": 3})
    assert result.poses is not None
    assert (result.poses.samples, result.poses.missing, result.poses.unusable) == (3, (), ())
    assert result.poses.skeletons == {"coco17": 3}
    assert result.poses.people == {"0": 1, "1": 1, "2": 1}
    assert result.poses.seen_share == pytest.approx(2 / 3)
    assert found(result, "nobody").where == ("2.pose.npz",)
    assert "1 of 4 samples show nobody at any time" in found(result, "nobody").message
    assert json.loads(json.dumps(result.to_json()))["poses"]["nobody"] == ["2.pose.npz"]


@pytest.mark.parametrize(
    ("columns", "told"), [("time_start,Time End", True), ("start,end", False), ("camera,fps", False)]
)
def test_spans_under_other_names_are_told(copy: Path, columns: str, told: bool) -> None:
    rows = "".join(
        f"{place}/{n}.mp4,{place},0,0.5\n" for place in ("turn left", "turn right") for n in range(3)
    )
    (copy / "labels.csv").write_text(f"path,label,{columns}\n{rows}")
    result = check(Manifest.read(copy / "labels.csv"), workers=1)
    problems = [each.message for each in result.problems if each.kind == "unread spans"]
    assert bool(problems) == told
    assert not told or "The columns 'time_start', 'Time End' are not read: every sample is its" in problems[0]


def test_joints_that_cannot_be_pixels_of_their_frames_are_told(tmp_path: Path) -> None:
    sound = walker(30)
    corner = sound.keypoints.copy()
    corner[0, 0, 0] = 70  # a guessed joint may lie outside
    written = {
        "sound": replace(sound, keypoints=corner),
        "space": walker(30, space=True),
        "exchanged": replace(sound, keypoints=sound.keypoints * 1.6, frame_size=(64, 24)),
        "fractions": replace(sound, keypoints=sound.keypoints / 48),
    }
    for name, poses in written.items():
        write_poses(poses, tmp_path / f"{name}.pose.npz")
    rows = "".join(f"{name}.pose.npz,{'ab'[number % 2]}\n" for number, name in enumerate(written))
    (tmp_path / "manifest.csv").write_text(f"path,label\n{rows}")
    result = check(Manifest.read(tmp_path), workers=1)
    told = found(result, "misplaced poses")
    assert told.where == ("exchanged.pose.npz", "fractions.pose.npz")
    assert "2 of 4 samples have joints far outside their frames, or all in one corner" in told.message
    assert result.to_json()["poses"]["misplaced"] == ["exchanged.pose.npz", "fractions.pose.npz"]


def test_videos_are_held_against_their_poses(copy: Path, tmp_path: Path) -> None:
    manifest, extracts = Manifest.read(copy), Extracts(tmp_path / "poses", copy)
    assert check(manifest, workers=1).poses is None
    lacking = check(manifest, POSE, extracts=extracts, workers=1)
    assert lacking.has_errors
    told = found(lacking, "no poses").message
    assert "6 of 6 samples have no pose file; run `kinesphere extract pose`" in told
    # Videos of 20, 30 and 40 frames; the poses of one are of another video, one shows nobody.
    for place, poses in (
        ("turn left/0", walker(20)),
        ("turn left/1", walker(30, seen=0.5)),
        ("turn right/1", walker(90)),
        ("turn right/2", walker(40, seen=0)),
    ):
        write_poses(poses, extracts.path(copy / f"{place}.mp4", ".pose.npz"))
    result = check(manifest, extracts=extracts, workers=1)
    assert not result.has_errors
    assert result.poses is not None
    assert result.poses.samples == 3
    assert result.poses.missing == ("turn left/2.mp4", "turn right/0.mp4")
    assert result.poses.unusable == ("turn right/1.mp4",)
    assert result.poses.nobody == ("turn right/2.mp4",)
    assert result.poses.seen_share == pytest.approx(0.5)
    assert "of another video; extract them again" in found(result, "unusable poses").message
    assert result.sizes == {"64x48": 6}


def test_files_are_held_against_those_that_a_model_learnt_from(copy: Path) -> None:
    for number, poses in enumerate((walker(20), walker(30))):
        origin = ("MediaPipe 0.10 pose_landmarker_lite", "MediaPipe 0.10 pose_landmarker_full")[number]
        write_poses(replace(poses, origin=origin), copy / f"turn left/{number}.mp4.pose.npz")
    write_poses(replace(walker(20), origin="OpenPose"), copy / "turn left/9.pose.npz")
    table = copy / "manifest.csv"
    names = ("0.mp4", "1.mp4", "2.mp4", "9.pose.npz")
    table.write_text("path,label\n" + "".join(f"turn left/{name},{name[0]}\n" for name in names))
    manifest = Manifest.read(table)
    learnt = Preparation(poses="pose_landmarker_full")
    told = found(check(manifest, POSE, preparation=learnt, workers=1), "other preparation")
    assert told.message.startswith(f"2 of {len(manifest)} samples have files made otherwise than those that")
    assert [place.partition(", the model learnt")[0] for place in told.where] == [
        "turn left/0.mp4: its poses come from pose_landmarker_lite",
        "turn left/9.pose.npz: its poses come from OpenPose",
    ]
    kinds = {problem.kind for problem in check(manifest, POSE, workers=1).problems}
    assert "other preparation" not in kinds


def test_files_of_one_frame_are_told(copy: Path, make_video: Callable[..., Path]) -> None:
    make_video(copy / "turn right/9.mp4", frames=1)
    told = found(check(Manifest.read(copy), SPEC, workers=1), "still")
    assert (told.where, told.severity) == (("turn right/9.mp4",), "warning")
    assert "1 of 7 samples are of files with one frame, in which nothing moves" in told.message


def test_preview_draws_every_input(copy: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(copy).select([0])
    write_poses(walker(20), manifest[0].path.with_name("0.mp4.pose.npz"))
    specs = (SPEC, ClipSpec(Sampling.parse("uniform4"), (48, 64), "pose", resize="stretch", skeleton="coco17",
                            mean=(0.5, 0.5), std=(0.5, 0.5)))  # fmt: skip
    heights = []
    for chosen in (specs[:1], specs):
        assert preview(ClipDataset(manifest, chosen, train=False), tmp_path / "sheet.png") == ()
        heights.append(cv2.imread(str(tmp_path / "sheet.png")).shape[0])
    assert heights[1] > 1.5 * heights[0]
