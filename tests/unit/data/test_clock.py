"""One clock for spans, clips, caches, files of poses and timelines: from the container's start."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from kinesphere.clips import ClipSpec, Sampling
from kinesphere.clips.modalities.flow.file import write_flow
from kinesphere.clips.modalities.pose.file import read_poses, write_poses
from kinesphere.clips.modalities.pose.poses import Extent, Poses
from kinesphere.clips.source import beside
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.skipped import Skipped
from kinesphere.data import ClipDataset, FrameCache, Item, Manifest, Opening, check
from kinesphere.video import Video

sys.path.insert(0, str(Path(__file__).parents[1] / "video"))

from makers import with_sound
from test_orientation import with_matrix

PLAIN = {"x264-params": "bframes=0"}
LEAD_S = 1.6
RGB = ClipSpec(Sampling.parse("uniform5"), (48, 64), resize="stretch")
POSE = ClipSpec(
    Sampling.parse("uniform5"), (48, 64), "pose", resize="stretch", skeleton="coco17", people=1,
    mean=(0.5, 0.5), std=(0.5, 0.5),
)  # fmt: skip
FLOW = ClipSpec(
    Sampling.parse("uniform5"), (16, 16), "flow", resize="stretch", mean=(0.5, 0.5), std=(0.5, 0.5)
)


@pytest.fixture
def late(tmp_path: Path) -> Path:
    path = tmp_path / "late.mkv"
    path.write_bytes(with_sound("matroska", options=PLAIN, picture_s=LEAD_S))
    return path


def moving(start_s: float) -> Poses:
    """A person who is at 10 px in the first of 25 frames and goes a pixel to the right in each."""
    keypoints = (
        np.zeros((25, 1, 17, 2), np.float32) + np.arange(25, dtype=np.float32)[:, None, None, None] + 10
    )
    times = start_s + np.arange(25) / 25
    extent = Extent(25, float(times[-1]), 25.0)
    return Poses(times, keypoints, np.ones((25, 1, 17), np.float32), np.array([0]), "coco17", (48, 64),
                 fps=25.0, video=extent)  # fmt: skip


def before_the_clock(path: Path) -> None:
    """Make a file what it was before files stated their clock."""
    with np.load(path) as file:
        content = {name: file[name] for name in file.files if name != "clock"}
    with path.open("wb") as target:
        np.savez(target, **content)


def item(path: Path, spec: ClipSpec, row: str = "", **options: object) -> Item | Skipped:
    table = path.with_name("table.csv")
    table.write_text(f"path,label,start,end\n{path.name},a,{row or ','}\n")
    return ClipDataset(Manifest.read(table), [spec], train=False, **options)[0]  # type: ignore[arg-type]


def test_spans_are_counted_from_where_a_player_counts(late: Path) -> None:
    found = item(late, RGB, "1.8,2.4")
    assert isinstance(found, Item)
    with Video.open(late) as video:
        middles = 1.8 + (np.arange(5) + 0.5) / 5 * 0.6
        expected = video.frames_at(middles, (48, 64)).data
    assert np.array_equal(np.asarray(found.inputs[0][0]), expected)


def test_a_whole_video_is_sampled_where_it_has_pictures(late: Path) -> None:
    whole, part = item(late, RGB), item(late, RGB, f"{LEAD_S},{LEAD_S + 1}")
    assert isinstance(whole, Item)
    assert isinstance(part, Item)
    assert np.array_equal(np.asarray(whole.inputs[0]), np.asarray(part.inputs[0]))
    levels = np.asarray(whole.inputs[0][0]).mean(axis=(1, 2, 3))
    assert (np.diff(levels) > 10).all()


def test_check_takes_spans_and_lengths_from_there(late: Path) -> None:
    (late.parent / "table.csv").write_text(
        "path,label,start,end\nlate.mkv,a,1.8,2.4\nlate.mkv,b,0.2,1.2\nlate.mkv,a,1.0,2.0\n"
    )
    found = check(Manifest.read(late.parent / "table.csv"), RGB, workers=1)
    outside = [problem for problem in found.problems if problem.kind == "span outside"]
    assert [len(problem.where) for problem in outside] == [1]
    assert "1 spans start after the last frame of their video, or end before its first" in outside[0].message
    assert not found.damaged
    assert isinstance(item(late, RGB, "0.2,1.2"), Skipped)


def test_a_cache_has_the_same_clock_and_takes_nothing_from_another(late: Path, tmp_path: Path) -> None:
    cache = FrameCache(tmp_path / "cache", 2**24)
    times = LEAD_S + np.array([0.5, 0.1])
    with Video.open(late) as video:
        direct = video.frames_at(times, (24, 32))
        known = video.frame_times()
    for _ in range(2):
        with cache.open(late, (1.8, 2.4)) as cached:
            assert np.array_equal(cached.frame_times(), known)
            got = cached.frames_at(times, (24, 32))
            assert np.array_equal(got.times, direct.times)
            assert np.array_equal(got.data, direct.data)
    facts = next(cache.folder.glob("??/*.json"))
    told = json.loads(facts.read_text())
    del told["mirrored"]  # as it was written before
    facts.write_text(json.dumps(told))
    with cache.open(late) as cached:
        assert cached.mirrored is False


def test_poses_of_the_old_clock_are_shifted(late: Path) -> None:
    target = late.with_name("late.mkv.pose.npz")
    write_poses(moving(LEAD_S), target)
    now = item(late, POSE, "1.8,2.4")
    assert isinstance(now, Item)
    assert read_poses(target).clock == 2
    write_poses(moving(0.0), target)
    before_the_clock(target)
    assert read_poses(target).clock == 1
    shifted = item(late, POSE, "1.8,2.4")
    assert isinstance(shifted, Item)
    np.testing.assert_allclose(np.asarray(shifted.inputs[0]), np.asarray(now.inputs[0]), atol=1e-3)
    with Opening(extracting=False).open(late, [POSE]) as video:
        assert beside(video, "pose").times[0] == pytest.approx(LEAD_S)
        assert beside(video, "pose").clock == 2


def test_poses_that_state_the_clock_and_fit_another_are_refused(late: Path) -> None:
    write_poses(moving(0.0), late.with_name("late.mkv.pose.npz"))
    found = item(late, POSE)
    assert isinstance(found, Skipped)
    assert "25 frames to 0.96 s, but this one has 25 to 2.56 s" in found.reason


def flow_beside(path: Path, frames: int) -> Path:
    target = path.with_name(path.name + ".flow.npz")
    fields = (np.full((16, 16, 2), float(n), np.float32) for n in range(frames - 1))
    write_flow(target, fields, size=(16, 16), method="dis", bound_px=30.0, frames=frames)
    return target


def test_flow_goes_by_frames_on_either_clock(late: Path) -> None:
    target = flow_beside(late, 25)
    now = item(late, FLOW, "1.8,2.4")
    before_the_clock(target)
    then = item(late, FLOW, "1.8,2.4")
    assert isinstance(now, Item)
    assert isinstance(then, Item)
    assert np.array_equal(np.asarray(now.inputs[0]), np.asarray(then.inputs[0]))


@pytest.mark.parametrize("kind", ["pose", "flow"])
def test_files_of_a_mirrored_video_made_before_are_refused(tmp_path: Path, kind: str) -> None:
    video, plain = tmp_path / "mirrored.mp4", tmp_path / "turned.mp4"
    video.write_bytes(with_matrix(-1, 0, 0, 1))
    plain.write_bytes(with_matrix(0, 1, -1, 0))
    for path in (video, plain):
        if kind == "flow":
            target = flow_beside(path, 4)
        else:
            target = path.with_name(path.name + ".pose.npz")
            times = np.arange(4) / 25
            joints, seen = np.ones((4, 1, 17, 2), np.float32), np.ones((4, 1, 17), np.float32)
            size = (32, 64) if path == video else (64, 32)
            write_poses(Poses(times, joints, seen, np.array([0]), "coco17", size, fps=25.0), target)
        spec = FLOW if kind == "flow" else POSE
        with Opening(extracting=False).open(path, [spec]) as source:
            assert source.size
        before_the_clock(target)
    with pytest.raises(InvalidAnnotation, match="of a mirrored video, made by a version of Kinesphere"):
        Opening(extracting=False).open(video, [spec])
    with Opening(extracting=False).open(plain, [spec]) as source:
        assert source.size == (64, 32)


def test_damage_shows_through_what_stands_around_a_video(tmp_path: Path) -> None:
    from kinesphere.core.errors import DamagedVideo

    path = tmp_path / "late.mkv"
    path.write_bytes(with_sound("matroska", options=PLAIN)[:-900])
    write_poses(moving(0.0), path.with_name("late.mkv.pose.npz"))
    with pytest.warns(DamagedVideo):
        video = Opening(extracting=False).open(path, [RGB])
    with video:
        assert video.damage
