"""Clips of poses from videos with pose files and from pose files alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinesphere.clips import Augment, ClipSpec, Sampling
from kinesphere.clips.modalities.pose.attach import check_poses
from kinesphere.clips.modalities.pose.file import write_poses
from kinesphere.clips.modalities.pose.poses import Extent, Poses
from kinesphere.core.errors import InvalidAnnotation, UnreadableVideo
from kinesphere.core.skipped import Skipped
from kinesphere.data import ClipDataset, FrameCache, Item, Manifest, Opening, make_loader

SPEC = ClipSpec(Sampling.parse("uniform6"), (48, 64), "pose", resize="stretch", skeleton="coco17", people=2,
                mean=(0.5, 0.5), std=(0.5, 0.5))  # fmt: skip
RGB = ClipSpec(Sampling.parse("uniform6"), (48, 64), resize="stretch")


def poses(count: int, fps: float, size: tuple[int, int] = (48, 64)) -> Poses:
    """One person whose joints all move one pixel to the right per 1/25 s, in a frame of 48x64."""
    times = np.arange(count) / fps
    scale = np.array([size[1] / 64, size[0] / 48])
    place = np.stack([10 + 25 * times, np.full(count, 20.0)], -1)
    keypoints = np.tile(((place + 0.5) * scale - 0.5)[:, None, None], (1, 1, 17, 1)).astype(np.float32)
    keypoints += np.linspace(0, 1e-3, 17, dtype=np.float32)[:, None]
    return Poses(
        times, keypoints, np.ones((count, 1, 17), np.float32), np.array([1]), "coco17", size, fps=fps
    )


@pytest.fixture
def folder(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    for number in range(3):
        make_video(tmp_path / f"{number}.mp4", frames=25, tint=number)
    (tmp_path / "manifest.csv").write_text("path,label\n0.mp4,a\n1.mp4,b\n2.mp4,a\n")
    return tmp_path


def read(manifest: Manifest, index: int = 0, **options: object) -> Item | Skipped:
    return ClipDataset(manifest, options.pop("specs", SPEC), train=False, **options)[index]  # type: ignore[arg-type]


def test_files_beside_videos_named_in_the_table_and_missing(folder: Path) -> None:
    write_poses(poses(25, 25), folder / "0.mp4.pose.npz")
    write_poses(poses(50, 50, (96, 128)), folder / "else" / "one.pose.npz")
    (folder / "manifest.csv").write_text(
        "path,label,pose_file\n0.mp4,a,\n1.mp4,b,else/one.pose.npz\n2.mp4,a,\n"
    )
    manifest = Manifest.read(folder)
    first, second, third = (read(manifest, i) for i in range(3))
    assert isinstance(first, Item)
    assert isinstance(second, Item)
    assert first.inputs[0].shape == (1, 6, 2, 17, 3)
    # Another frame rate and another resolution, the same motion.
    np.testing.assert_allclose(first.inputs[0], second.inputs[0], atol=0.05)
    np.testing.assert_allclose(first.inputs[0][0, :, 0, 0, 0], [12, 16, 20, 24, 28, 32], atol=0.05)
    assert isinstance(third, Skipped)
    assert "no pose file" in third.reason
    assert "2.mp4.pose.npz" in third.reason


def test_pictures_and_joints_of_one_sample_go_together(folder: Path, tmp_path: Path) -> None:
    write_poses(poses(25, 25), folder / "0.mp4.pose.npz")
    manifest = Manifest.read(folder).select([0])
    cache = FrameCache(tmp_path / "cache", 10**8)
    augment = Augment(crop="random_resized", flip=1.0)
    dataset = ClipDataset(manifest, (RGB, SPEC), train=True, augment=augment, opening=Opening(cache=cache))
    batch = next(iter(make_loader(dataset, 1, workers=0)))
    pictures, joints = batch.inputs
    assert pictures.shape == (1, 1, 6, 3, 48, 64)
    assert joints.shape == (1, 1, 6, 2, 17, 3)
    # Mirrored with the picture, the person moves to the left.
    assert (joints[0, 0, :, 0, 0, 0].diff() < 0).all()


def test_broken_and_foreign_files_are_failures(folder: Path) -> None:
    manifest = Manifest.read(folder)
    path = folder / "0.mp4.pose.npz"
    path.touch()
    empty = read(manifest)
    assert isinstance(empty, Skipped)
    assert "is empty; delete it and extract" in empty.reason
    write_poses(poses(100, 25), path)
    longer = read(manifest)
    assert isinstance(longer, Skipped)
    assert "end at 3.96 s, but the video at 0.96 s; they belong to another video" in longer.reason
    write_poses(poses(25, 25, (48, 48)), path)
    cropped = read(manifest)
    assert isinstance(cropped, Skipped)
    assert "frames of 48x48 px, but these are 64x48 px, of another shape" in cropped.reason


def test_a_crop_of_the_pixels_cuts_nothing_from_the_box_about_the_people(folder: Path) -> None:
    square = poses(25, 25)
    places = square.keypoints + np.random.default_rng(0).uniform(-8, 8, (17, 2)).astype(np.float32)
    write_poses(replace(square, keypoints=places), folder / "0.mp4.pose.npz")
    pixels = RGB.with_(size=(24, 24), resize="short_side")
    people = SPEC.with_(size=(32, 32), resize="people")
    for specs in ((pixels, people), (people, pixels)):
        item = ClipDataset(
            Manifest.read(folder), specs, train=True, augment=Augment(crop="centre", enlarge=1.0, flip=0.0)
        )[0]
        assert isinstance(item, Item)
        joints = item.inputs[specs.index(people)][..., :1, :, :2]
        # Everybody, with room on all sides, fills the box as in testing.
        assert (joints.amin(), joints.amax()) == (pytest.approx(2.7, abs=0.6), pytest.approx(28.3, abs=0.6))


def test_poses_that_tell_their_video_fit_no_other() -> None:
    begins = np.arange(25) / 25
    own = replace(poses(25, 25), video=Extent.of(begins, 25.0))
    thinned = replace(poses(5, 5), video=own.video)
    for known in (own, thinned):
        check_poses(known, begins)
        check_poses(known, begins + 0.03 * (begins > 0.9))  # a clock that counts a little differently
        for other in (np.arange(24) / 25, np.arange(26) / 25, np.arange(25) / 20):
            with pytest.raises(
                InvalidAnnotation,
                match=r"are of a video of 25 frames to 0.96 s, but this one has \d+ to .* s; they belong to",
            ):
                check_poses(known, other)
    check_poses(replace(own, video=Extent(1, 0.0, 25.0)), np.zeros(1))


@pytest.mark.parametrize(("count", "fps"), [(22, 25), (28, 25), (5, 5), (10, 10), (50, 50)])
def test_poses_that_do_not_may_end_a_few_frames_off(count: int, fps: float) -> None:
    check_poses(poses(count, fps), np.arange(25) / 25)
    check_poses(replace(poses(count, fps), fps=None), np.arange(25) / 25)


@pytest.mark.parametrize(("count", "fps"), [(20, 25), (30, 25), (3, 5), (7, 5), (1, 25)])
def test_poses_that_end_elsewhere_are_of_another_video(count: int, fps: float) -> None:
    with pytest.raises(InvalidAnnotation, match=r"end at .* s, but the video at 0.96 s; they belong to"):
        check_poses(poses(count, fps), np.arange(25) / 25)


def test_a_video_without_people_is_used_and_noted(folder: Path) -> None:
    nobody = poses(25, 25)
    write_poses(replace(nobody, scores=nobody.scores * 0, boxes=np.empty(0)), folder / "0.mp4.pose.npz")
    item = read(Manifest.read(folder))
    assert isinstance(item, Item)
    assert not item.inputs[0].any()
    assert [note.reason.split(";")[1] for note in item.notes] == [" the clip is all zeros."]


def test_inputs_fused_with_pictures_fail_and_note_alike(folder: Path) -> None:
    manifest, path = Manifest.read(folder), folder / "0.mp4.pose.npz"
    lacking = read(manifest, specs=(RGB, SPEC))
    assert isinstance(lacking, Skipped)
    assert "no pose file" in lacking.reason
    path.touch()
    empty = read(manifest, specs=(RGB, SPEC))
    assert isinstance(empty, Skipped)
    assert "is empty; delete it and extract" in empty.reason
    nobody = poses(50, 50, (96, 128))
    write_poses(replace(nobody, scores=nobody.scores * 0, boxes=np.empty(0)), path)
    item = read(manifest, specs=(RGB, SPEC))
    assert isinstance(item, Item)
    assert item.inputs[0].any()
    assert not item.inputs[1].any()
    assert len(item.notes) == 1


def test_pose_files_stand_in_for_videos(tmp_path: Path) -> None:
    write_poses(poses(25, 25), tmp_path / "poses" / "0.pose.npz")
    (tmp_path / "manifest.csv").write_text("path,label,start,end\nposes/0.pose.npz,a,0.2,0.6\n")
    manifest = Manifest.read(tmp_path)
    item = read(manifest)
    assert isinstance(item, Item)
    np.testing.assert_allclose(item.inputs[0][0, :, 0, 0, 0], [15, 17, 18, 20, 21, 23], atol=1.05)
    pictures = read(manifest, specs=RGB)
    assert isinstance(pictures, Skipped)
    assert "holds poses and no frames; list the video itself" in pictures.reason
    track = Opening(extracting=False).open(manifest[0].path, (SPEC,))
    assert (track.size, track.fps, track.duration_s) == ((48, 64), 25, 1.0)
    with pytest.raises(UnreadableVideo, match="holds poses and no frames"):
        track.frames_at(np.zeros(1))


def test_a_video_opened_for_pictures_has_no_poses(folder: Path) -> None:
    from kinesphere.clips import MODALITIES

    with (
        Opening(extracting=False).open(folder / "0.mp4", (RGB,)) as video,
        pytest.raises(InvalidAnnotation, match="the source has none; run `kinesphere extract pose`"),
    ):
        MODALITIES.get("pose").read(video, SPEC)
