"""Changes of what surrounds people, and the mask modality."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from clip_fakes import FakeVideo
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.clips import MODALITIES, Augment, Clip, ClipSpec, Sampling, Views
from kinesphere.clips.augment.background import (
    GREY,
    change_background,
    check_background,
    composed,
    first_background,
    without_people,
)
from kinesphere.clips.clip import from_frames
from kinesphere.clips.geometry import Affine, Box
from kinesphere.clips.modalities.mask.file import MaskFile, write_masks
from kinesphere.clips.modalities.mask.reader import known_masks
from kinesphere.clips.spec import Resize
from kinesphere.core.errors import InvalidAnnotation, InvalidClip, InvalidSetting

SIZE = (40, 60)
MASK = MODALITIES.get("mask")
SPEC = ClipSpec(Sampling.parse("4x1x1"), (28, 28), "mask", mean=(0.5,), std=(0.5,))


def scene(count: int = 9) -> tuple[Clip, Clip, np.ndarray]:
    """A red person crosses a still, textured scene; the clip, its masks, and the scene without anybody."""
    empty = np.random.default_rng(0).integers(60, 200, (*SIZE, 3)).astype(np.uint8)
    frames = np.repeat(empty[None], count, 0)
    masks = np.zeros((count, *SIZE, 1), np.uint8)
    for i in range(count):
        left = 2 + 5 * i
        frames[i, 10:30, left : left + 8] = (255, 0, 0)
        masks[i, 10:30, left : left + 8] = 255
    times = np.arange(count) / 25
    return Clip(from_frames(frames), times, SIZE), Clip(from_frames(masks), times, SIZE, "mask"), empty


def pictures(clip: Clip) -> np.ndarray:
    return clip.frames()


def test_the_median_shows_what_is_behind_people() -> None:
    clip, masks, empty = scene()
    assert np.array_equal(without_people(pictures(clip), masks.frames()[..., 0])[0], empty)


def test_what_is_never_seen_is_painted_in() -> None:
    clip, masks, empty = scene(1)
    still = without_people(pictures(clip), masks.frames()[..., 0])[0]
    away = slice(16, None)
    assert np.array_equal(still[:, away], empty[:, away])
    assert not (still == (255, 0, 0)).all(-1).any()
    whole = np.full((1, *SIZE), 255, np.uint8)
    assert (without_people(pictures(clip), whole) == GREY).all()


@pytest.mark.parametrize("change", ["grey", "blur", "freeze", "median"])
def test_people_stay_as_they_are(change: str) -> None:
    clip, masks, _ = scene()
    changed = change_background(clip, masks, check_background(change))
    people = masks.frames()[..., 0] == 255
    assert np.array_equal(pictures(changed)[people], pictures(clip)[people])
    assert changed.data.dtype == torch.uint8
    assert np.array_equal(changed.times, clip.times)


def test_surroundings_become_what_they_should() -> None:
    clip, masks, empty = scene()
    around = masks.frames()[..., 0] == 0
    grey = pictures(change_background(clip, masks, "grey"))
    assert (grey[around] == GREY).all()
    blurred = pictures(change_background(clip, masks, "blur"))
    assert blurred[around].std() < 0.5 * pictures(clip)[around].std()
    assert blurred[around][:, 0].max() < 220  # the red of the person does not run out
    for still in (change_background(clip, masks, "freeze"), change_background(clip, masks, "median")):
        assert np.array_equal(pictures(still)[around], np.broadcast_to(empty, (9, *SIZE, 3))[around])


def test_frozen_surroundings_are_those_of_the_first_frame() -> None:
    clip, masks, empty = scene()
    frames = pictures(clip).copy()
    frames[1:, 32:, :] = 0  # it gets dark below, later
    still = first_background(frames, masks.frames()[..., 0])[0]
    assert np.array_equal(still, empty)


def test_people_can_be_removed() -> None:
    clip, masks, empty = scene()
    gone = pictures(change_background(clip, masks, "no_people"))
    assert np.array_equal(gone, np.broadcast_to(empty, gone.shape))
    silhouettes = pictures(change_background(clip, masks, "grey_people"))
    assert (silhouettes[masks.frames()[..., 0] == 255] == GREY).all()
    assert np.array_equal(silhouettes[:, 35:], pictures(clip)[:, 35:])


def test_surroundings_of_another_clip() -> None:
    clip, masks, _ = scene()
    other = clip.with_data(torch.full_like(clip.data, 9))
    swapped = pictures(change_background(clip, masks, "replace", other))
    assert (swapped[masks.frames()[..., 0] == 0] == 9).all()
    with pytest.raises(InvalidClip, match="takes a clip of the same length and size; there is none"):
        change_background(clip, masks, "replace")


def test_keep_keeps() -> None:
    clip, masks, _ = scene()
    assert change_background(clip, masks, "keep") is clip


def test_what_does_not_belong_together_is_refused() -> None:
    clip, masks, _ = scene()
    with pytest.raises(InvalidClip, match="Every frame needs its mask; got 9 frames and 1 masks"):
        change_background(clip, scene(1)[1], "grey")
    with pytest.raises(InvalidClip, match="with masks of its size"):
        change_background(clip, MASK.resize(masks, (20, 30)), "grey")
    with pytest.raises(InvalidSetting, match=r"The background is one of keep, grey, .*; got 'gray'"):
        check_background("gray")
    with pytest.raises(InvalidSetting, match=r"background\.0: Input should be .keep., .grey."):
        Augment(background=("beach",))  # type: ignore[arg-type]


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_soft_edges_mix_both_sides(inside: int, outside: int, share: int) -> None:
    shape = (1, 2, 2, 3)
    mixed = composed(
        np.full(shape, inside, np.uint8),
        np.full(shape, outside, np.uint8),
        np.full(shape[:3], share, np.uint8),
    )
    expected = (inside * share + outside * (255 - share)) / 255
    assert abs(int(mixed[0, 0, 0, 0]) - expected) <= 0.51


def test_changes_are_drawn_by_their_share() -> None:
    generator = torch.Generator().manual_seed(0)
    settings = Augment(background=("grey", "blur"), background_share=0.5)
    drawn = [settings.draw_background(generator) for _ in range(400)]
    assert {name: drawn.count(name) for name in set(drawn)} == {  # type: ignore[comparison-overlap]
        "keep": pytest.approx(200, abs=40),
        "grey": pytest.approx(100, abs=35),
        "blur": pytest.approx(100, abs=35),
    }
    assert Augment().draw_background(generator) == "keep"
    assert Augment(**settings.model_dump(mode="json")) == settings


# ------------------------------------------------------------------------------------------- modality


@dataclass
class Masks:
    """Masks of a whole video; those of frame n have the value n, unless they are given."""

    of: np.ndarray

    def masks(self, rows: np.ndarray) -> np.ndarray:
        return self.of[rows]


class Masked(FakeVideo):
    def __init__(
        self,
        frames: int,
        fps: Fraction = Fraction(25),
        size: tuple[int, int] = (240, 320),
        of: np.ndarray | None = None,
    ) -> None:
        super().__init__(frames, fps, size)
        numbers = np.arange(frames, dtype=np.uint8)[:, None, None]
        self._of = np.broadcast_to(numbers, (frames, 60, 80)) if of is None else of

    def beside(self, modality: str) -> object:
        return Masks(self._of) if modality == "mask" else None


def test_masks_are_read_as_clips() -> None:
    video = Masked(10, Fraction(25))
    [clip] = MASK.read(video, SPEC)
    assert clip.data.shape == (4, 1, 28, 28)
    assert clip.data[:, 0, 0, 0].tolist() == [3, 4, 5, 6]
    assert video.calls == []
    views = MASK.read(Masked(40), SPEC.with_(short_side_px=32), views=Views(2, 10))
    assert len(views) == 20
    with pytest.raises(InvalidAnnotation, match="have no masks; run `kinesphere extract mask`"):
        known_masks(FakeVideo(10))


def test_letterboxes_hold_nobody() -> None:
    [clip] = MASK.read(Masked(10), SPEC.with_(resize="letterbox"))
    assert not clip.data[:, :, 0].any()
    assert clip.data[:, :, 14].all()


def test_geometry_of_masks() -> None:
    _, masks, _ = scene()
    assert torch.equal(MASK.flip(masks, SPEC).data, masks.data.flip(3))
    assert MASK.resize(masks, (20, 30)).data.shape == (9, 1, 20, 30)
    assert MASK.crop(masks, Box(10, 2, 20, 8)).data[0].min() == 255
    moved = MASK.warp(masks, Affine(shift_x=0.5).matrix(SIZE), SPEC)
    assert torch.equal(moved.data[:, :, :, 30:], masks.data[:, :, :, :30])
    assert MASK.draw(masks).shape == (9, *SIZE, 3)
    ready = MASK.normalise(masks.data, SPEC, torch.float32)
    assert sorted(ready.unique().tolist()) == [-1, 1]
    with pytest.raises(InvalidClip, match=r"Masks to normalise are uint8 \(\.\.\., 1, H, W\); got"):
        MASK.normalise(masks.data.float(), SPEC, torch.float32)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 9999),
    st.sampled_from([(56, 112), (28, 56), (90, 181), (57, 113)]),
    st.sampled_from(["short_side", "stretch", "letterbox"]),
)
def test_flipping_commutes_with_reading(seed: int, stored: tuple[int, int], resize: Resize) -> None:
    blobs = np.random.default_rng(seed).uniform(0, 255, (10, 4, 5)).astype(np.float32)
    masks = np.stack([cv2.resize(blob, stored[::-1]) for blob in blobs]).astype(np.uint8)
    spec = SPEC.with_(resize=resize)
    [straight], [mirrored] = (
        # Of this size what is cut off, or padded, is as much on the left as on the right.
        MASK.read(Masked(10, size=(56, 112), of=of), spec)
        for of in (masks, masks[:, :, ::-1])
    )
    flipped = MASK.flip(straight, spec)
    assert flipped.flipped
    assert (flipped.data.int() - mirrored.data.int()).abs().max() <= 1


def test_mask_files_come_back(tmp_path: Path) -> None:
    _, masks, _ = scene()
    path = tmp_path / "clip.mp4.mask.npz"
    write_masks(path, masks.frames()[..., 0], size=SIZE, origin="test 1")
    file = MaskFile.open(path)
    assert (file.frames, file.size, file.origin) == (9, SIZE, "test 1")
    read = file.masks(np.array([8, 0]))
    assert np.abs(read.astype(int) - masks.frames()[[8, 0], ..., 0]).mean() < 4
    held = dict(np.load(path))
    np.savez(path, **held | {"planes": np.array(2)})
    with pytest.raises(InvalidAnnotation, match="holds 2 masks per frame, not 1; extract it again"):
        MaskFile.open(path)
