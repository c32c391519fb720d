"""What estimators wrote for videos becomes the videos' pose files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinesphere.annotations.extract import extract
from kinesphere.annotations.extract.estimator_outputs import OutputReader, match_outputs
from kinesphere.annotations.formats.coco import read_coco
from kinesphere.clips.modalities.pose.file import read_poses
from kinesphere.clips.modalities.pose.poses import Extent
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.video import Video

FRAMES, SIZE = 12, (48, 64)


def joints(t: int, count: int = 17) -> list[float]:
    """Somebody who moves to the right."""
    places = np.random.default_rng(0).uniform(5, 40, (count, 2)) + np.array([t, 0])
    return np.column_stack([places, np.full(count, 0.9)]).ravel().tolist()


def results(frames: list[int], name: Callable[[int], Any] = int) -> str:
    """COCO results as detectors write them: only frames with people."""
    return json.dumps([{"image_id": name(t), "keypoints": joints(t), "score": 1} for t in frames])


@pytest.fixture
def videos(tmp_path: Path, make_video: Callable[..., Path]) -> list[Path]:
    return [make_video(tmp_path / "videos" / f"{label}/0.mp4", frames=FRAMES) for label in ("jive", "waltz")]


def test_coco_results_of_some_frames_take_the_videos_clock(tmp_path: Path, videos: list[Path]) -> None:
    for label, first in (("jive", 0), ("waltz", 1)):
        path = tmp_path / "coco" / label / "0.json"
        path.parent.mkdir(parents=True)
        frames = [t for t in range(FRAMES) if t not in (4, 5)]
        path.write_text(results(frames, lambda t, first=first: f"frame_{t + first:05d}.jpg"))
    (tmp_path / "coco" / "other.json").write_text(results([0]))
    outputs, unused = match_outputs("coco", tmp_path / "coco", videos, tmp_path / "videos")
    assert [path.name for path in unused] == ["other.json"]
    assert [outputs[video].parent.name for video in videos] == ["jive", "waltz"]
    done = extract(videos, OutputReader("coco", outputs), workers=1)
    assert done.failures == ()
    for video in videos:
        poses = read_poses(video.with_name("0.mp4.pose.npz"))
        with Video.open(video) as source:
            np.testing.assert_allclose(poses.times, source.frame_times())
        assert poses.frame_size == SIZE
        assert poses.present[:, 0].tolist() == [t not in (4, 5) for t in range(FRAMES)]
        np.testing.assert_allclose(poses.keypoints[3, 0], np.reshape(joints(3), (17, 3))[:, :2], atol=0.05)
    assert len(extract(videos, OutputReader("coco", outputs), workers=1).kept) == 2
    other = extract(videos, OutputReader("openpose", outputs), workers=1)
    assert "holds poses of COCO keypoints; overwrite it" in other.failures[0].reason


def test_openpose_folders_are_found_by_name(tmp_path: Path, videos: list[Path]) -> None:
    for label in ("jive", "waltz"):
        folder = tmp_path / "openpose" / label / "0"
        folder.mkdir(parents=True)
        for t in range(FRAMES if label == "jive" else FRAMES + 5):
            people = [{"pose_keypoints_2d": joints(t, 25)}] if label == "jive" else []
            (folder / f"0_{t:012d}_keypoints.json").write_text(json.dumps({"people": people}))
    outputs, unused = match_outputs("openpose", tmp_path / "openpose", videos, tmp_path / "videos")
    assert unused == ()
    done = extract(videos, OutputReader("openpose", outputs), workers=1)
    assert done.written == (videos[0],)
    assert read_poses(videos[0].with_name("0.mp4.pose.npz")).skeleton == "openpose25"
    assert "up to 16, but the video has 12 frames; it belongs to another" in done.failures[0].reason
    # One folder and one video need no common name.
    alone, _ = match_outputs("openpose", tmp_path / "openpose" / "waltz" / "0", videos[:1])
    assert list(alone) == videos[:1]


def test_wrong_outputs_are_listed_and_the_others_go_on(tmp_path: Path, videos: list[Path]) -> None:
    for label, people in (("jive", [3]), ("waltz", [])):
        folder = tmp_path / "openpose" / label / "0"
        folder.mkdir(parents=True)
        for t in range(FRAMES):
            (folder / f"0_{t:012d}_keypoints.json").write_text(json.dumps({"people": people}))
    outputs, _ = match_outputs("openpose", tmp_path / "openpose", videos, tmp_path / "videos")
    done = extract(videos, OutputReader("openpose", outputs), workers=1)
    assert done.written == (videos[1],)
    assert "person 0: a person should be an object; got 3" in done.failures[0].reason


def test_outputs_tell_their_video_and_what_was_left_out(tmp_path: Path, videos: list[Path]) -> None:
    results = [{"image_id": t, "keypoints": joints(t)} for t in range(FRAMES)] + [
        {"image_id": 3, "bbox": [1]}
    ]
    for label, entries in (("jive", results), ("waltz", [])):
        path = tmp_path / "coco" / label / "0.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(entries))
    outputs, _ = match_outputs("coco", tmp_path / "coco", videos, tmp_path / "videos")
    done = extract(videos, OutputReader("coco", outputs), workers=1)
    assert done.written == tuple(videos)
    assert "1 of 13 annotations have no keypoints; they are left out" in done.notes[0].reason
    assert done.notes[1].reason == "nobody was found in any frame"
    with Video.open(videos[0]) as source:
        expected = Extent.of(source.frame_times(), float(source.fps))
    assert read_poses(videos[0].with_name("0.mp4.pose.npz")).video == expected


def test_videos_without_output_are_listed_and_doubtful_ones_refused(
    tmp_path: Path, videos: list[Path]
) -> None:
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco" / "a.json").write_text(results([0]))
    (tmp_path / "coco" / "b.json").write_text(results([0]))
    outputs, unused = match_outputs("coco", tmp_path / "coco", videos)
    assert (outputs, len(unused)) == ({}, 2)
    done = extract(videos, OutputReader("coco", outputs), workers=1)
    assert "Nothing is named like it; its keypoints would be in 0.json" in done.failures[1].reason
    missing = extract([tmp_path / "two"], OutputReader("coco", outputs), workers=1)
    assert missing.failures[0].reason.endswith("two does not exist; check the path.")
    (tmp_path / "coco" / "0.json").write_text(results([0]))
    with pytest.raises(InvalidSetting, match=r"0.json could belong to .*jive/0.mp4 or to .*waltz/0.mp4; put"):
        match_outputs("coco", tmp_path / "coco", videos)
    with pytest.raises(InvalidAnnotation, match=r"holds no openpose keypoints: a folder of \*_keypoints"):
        match_outputs("openpose", tmp_path / "coco", videos)
    with pytest.raises(InvalidAnnotation, match=r"holds no coco keypoints: a .json file for each video"):
        match_outputs("coco", tmp_path / "videos" / "jive", videos)


def write_coco_set(folder: Path, **frames: list[int]) -> dict[str, Path]:
    """COCO results of each class's only video."""
    folder.mkdir()
    for label, numbers in frames.items():
        (folder / label).mkdir()
        (folder / label / "0.json").write_text(results(numbers, lambda t: f"frame_{t:05d}.jpg"))
    return {label: folder / label / "0.json" for label in frames}


def present(video: Path) -> list[int]:
    poses = read_poses(video.with_name("0.mp4.pose.npz"))
    return np.flatnonzero(poses.present.any(1)).tolist()


@pytest.mark.parametrize("kind", ["coco", "openpose"])
def test_the_numbering_is_decided_over_all_files_of_a_set(
    tmp_path: Path, videos: list[Path], kind: str
) -> None:
    # Both count from 1; only the second tells, for the first sees nobody in the first and the last frame.
    frames = {"jive": range(2, FRAMES), "waltz": range(5, FRAMES + 1)}
    if kind == "coco":
        write_coco_set(tmp_path / "out", **{label: list(numbers) for label, numbers in frames.items()})
    else:
        for label, numbers in frames.items():
            (tmp_path / "out" / label / "0").mkdir(parents=True)
            for t in numbers:
                content = json.dumps({"people": [{"pose_keypoints_2d": joints(t, 25)}]})
                (tmp_path / "out" / label / "0" / f"0_{t:012d}_keypoints.json").write_text(content)
    outputs, _ = match_outputs(kind, tmp_path / "out", videos, tmp_path / "videos")
    done = extract(videos, OutputReader(kind, outputs), workers=1)
    assert (done.failures, done.notes) == ((), ())
    assert present(videos[0]) == list(range(1, FRAMES - 1))
    assert present(videos[1]) == list(range(4, FRAMES))
    poses = read_poses(videos[0].with_name("0.mp4.pose.npz"))
    # The joints of number 2 are those of the second frame.
    count = 17 if kind == "coco" else 25
    np.testing.assert_allclose(
        poses.keypoints[1, 0], np.reshape(joints(2, count), (count, 3))[:, :2], atol=0.05
    )


def test_a_set_that_leaves_the_numbering_open_is_asked_about(tmp_path: Path, videos: list[Path]) -> None:
    write_coco_set(tmp_path / "out", jive=[3, 4, 5], waltz=[2, 7])
    outputs, _ = match_outputs("coco", tmp_path / "out", videos, tmp_path / "videos")
    done = extract(videos, OutputReader("coco", outputs), workers=1)
    assert present(videos[0]) == [3, 4, 5]
    assert "may count frames from 0 or from 1" in done.notes[0].reason
    assert "--first-frame" in done.notes[0].reason
    done = extract(videos, OutputReader("coco", outputs, 1), workers=1, overwrite=True)
    assert (done.notes, present(videos[0]), present(videos[1])) == ((), [2, 3, 4], [1, 6])


def test_images_that_are_some_frames_take_their_times(tmp_path: Path, videos: list[Path]) -> None:
    images = [{"id": 50 + t, "width": 64, "height": 48, "file_name": f"{t:04d}.jpg"} for t in (0, 4, 8)]
    entries = [{"image_id": 50 + t, "keypoints": [*joints(t)[:-1], 2]} for t in (0, 4, 8)]
    (tmp_path / "0.json").write_text(json.dumps({"images": images, "annotations": entries}))
    done = extract(videos[:1], OutputReader("coco", {videos[0]: tmp_path / "0.json"}), workers=1)
    assert done.failures == ()
    poses = read_poses(videos[0].with_name("0.mp4.pose.npz"))
    with Video.open(videos[0]) as source:
        np.testing.assert_allclose(poses.times, source.frame_times()[[0, 4, 8]])
        assert poses.fps == pytest.approx(float(source.fps) / 4)


def test_openpose_frames_without_a_file_are_frames_without_people(tmp_path: Path, videos: list[Path]) -> None:
    for t in (0, 1, 5):
        content = json.dumps({"people": [{"pose_keypoints_2d": joints(t, 25)}]})
        (tmp_path / f"0_{t:012d}_keypoints.json").write_text(content)
    done = extract(videos[:1], OutputReader("openpose", {videos[0]: tmp_path}), workers=1)
    assert (done.failures, present(videos[0])) == ((), [0, 1, 5])
    assert len(read_poses(videos[0].with_name("0.mp4.pose.npz"))) == FRAMES


def test_a_damaged_frame_is_left_out_and_counts_as_a_failure(tmp_path: Path, videos: list[Path]) -> None:
    for t in range(FRAMES):
        content = json.dumps({"people": [{"pose_keypoints_2d": joints(t, 25)}]})
        (tmp_path / f"0_{t:012d}_keypoints.json").write_text(content if t != 3 else content[:40])
    done = extract(videos[:1], OutputReader("openpose", {videos[0]: tmp_path}), workers=1)
    assert done.written == (videos[0],)
    assert (done.wrong, done.notes[0].is_failure) == (1, True)
    assert "0_000000000003_keypoints.json is no JSON" in done.notes[0].reason
    assert present(videos[0]) == [t for t in range(FRAMES) if t != 3]


@pytest.mark.skipif("KINESPHERE_TEST_DATA" not in os.environ, reason="KINESPHERE_TEST_DATA names no folder")
def test_openpose_files_that_end_before_the_video(tmp_path: Path) -> None:
    faults = Path(os.environ["KINESPHERE_TEST_DATA"]).parent / "faults" / "skeletons"
    if not faults.is_dir():
        pytest.skip("there is no folder `faults` beside KINESPHERE_TEST_DATA")
    video = Path(shutil.copy(faults / "clip.mp4", tmp_path / "clip.mp4"))
    outputs, _ = match_outputs("openpose", faults / "op_nofile_end", [video])
    done = extract([video], OutputReader("openpose", outputs), workers=1)
    assert (done.failures, done.notes) == ((), ())
    poses = read_poses(video.with_name("clip.mp4.pose.npz"))
    assert (len(poses), poses.present.any(1)[:30].all(), poses.present[30:].any()) == (40, True, False)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (results([0, 1], lambda t: "ab"[t]), "lists 2 of 12 frames, and 'a' does not number them"),
        (results([3, 40]), "numbers its images up to 40, but the video has 12 frames; it belongs to another"),
        ('["a"]', "its entries should be objects"),
        ('{"images": [{"id": 1}], "annotations": []}', "images have id, width and height; one is"),
        ('{"images": 3, "annotations": []}', "its entries should be objects"),
    ],
)
def test_wrong_coco_files_name_what_is_wrong(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "0.json"
    path.write_text(text)
    with pytest.raises(InvalidAnnotation, match=match):
        read_coco(path, fps=25, frame_size=SIZE, frames=FRAMES)
