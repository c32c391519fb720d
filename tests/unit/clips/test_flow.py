"""The flow modality: estimation, reading, geometry, drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from clip_fakes import FakeFrames
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.clips import MODALITIES, Augment, Clip, ClipSpec, Sampling, Views, contact_sheet, stack
from kinesphere.clips.clip import from_frames
from kinesphere.clips.geometry import Affine, Box, Size
from kinesphere.clips.modalities.flow.draw import WHEEL, colour_wheel
from kinesphere.clips.modalities.flow.methods import estimator, grey
from kinesphere.clips.spec import FlowMethod
from kinesphere.core.errors import InvalidClip, InvalidSetting, MissingExtra

SPEC = ClipSpec(Sampling.parse("4x1x1"), (56, 56), "flow", mean=(0.0, 0.0), std=(20.0, 20.0))
FLOW = MODALITIES.get("flow")


def texture(size: Size, seed: int = 0) -> np.ndarray:
    """A grey picture with structure at several scales."""
    noise = np.random.default_rng(seed).uniform(-1, 1, size).astype(np.float32)
    layers = [cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (1.5, 3, 6)]
    return cv2.normalize(sum(layers), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def swirl(size: Size, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two grey pictures and the true motion between them, smooth and up to some pixels."""
    generator = np.random.default_rng(seed)
    height, width = size
    angle, shift = generator.uniform(-0.04, 0.04), generator.uniform(-2, 2, 2)
    matrix = Affine(math.degrees(angle), shift_x=shift[0] / width, shift_y=shift[1] / height).matrix(size)
    first = texture((height + 64, width + 64), seed)
    inner = np.array([[1, 0, 32], [0, 1, 32]], np.float64)
    # Read the larger picture where each pixel of the second one came from, so that no edge comes in.
    back = cv2.invertAffineTransform(matrix)
    back[:, 2] += 32
    second = cv2.warpAffine(first, back, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    first = cv2.warpAffine(first, inner, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    points = np.stack([columns, rows, np.ones_like(rows)], -1)
    return first, second, (points @ matrix.T - points[..., :2]).astype(np.float32)


def end_point_error(one: np.ndarray, other: np.ndarray, border: int = 8) -> np.ndarray:
    inner = slice(border, -border)
    error: np.ndarray = np.linalg.norm(one - other, axis=-1)[..., inner, inner]
    return error


@dataclass
class Panning:
    """A texture that moves by `speed_px` per frame, at native size."""

    count: int = 12
    speed_px: tuple[float, float] = (2.0, -1.0)
    rate: float = 25
    size: Size = (112, 140)
    requests: int = 0
    tolerance_s: float = 0.0

    @property
    def fps(self) -> Fraction | None:
        return Fraction(self.rate)

    @property
    def duration_s(self) -> float | None:
        return self.count / self.rate

    def frame_times(self) -> np.ndarray:
        return np.arange(self.count) / self.rate

    def frames_at(self, times_s: np.ndarray, size: Size | None = None) -> FakeFrames:
        self.requests += 1
        height, width = self.size
        still = texture((height + 80, width + 80))
        frames = []
        for frame in np.floor(np.asarray(times_s) * self.rate + 1e-6):
            matrix = np.array([[1, 0, 40 - frame * self.speed_px[0]], [0, 1, 40 - frame * self.speed_px[1]]])
            picture = cv2.warpAffine(
                still, matrix, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            )
            target = size or self.size
            picture = cv2.resize(picture, (target[1], target[0]), interpolation=cv2.INTER_AREA)
            frames.append(np.repeat(picture[None], 3, 0))
        return FakeFrames(np.stack(frames), np.asarray(times_s))


def random_clip(size: Size = (40, 52), seed: int = 0, count: int = 2) -> Clip:
    fields = np.random.default_rng(seed).normal(0, 4, (count, *size, 2)).astype(np.float32)
    return Clip(from_frames(fields), np.arange(count) / 25, size, "flow")


def constant_clip(vector: tuple[float, float], size: Size = (40, 52)) -> Clip:
    fields = np.empty((2, *size, 2), np.float32)
    fields[:] = vector
    return Clip(from_frames(fields), np.arange(2) / 25, size, "flow")


# ------------------------------------------------------------------------------------------- estimation


@pytest.mark.parametrize(("method", "most_px"), [("dis", 0.15), ("farneback", 0.15), ("tvl1", 0.3)])
def test_estimators_find_a_smooth_motion(method: FlowMethod, most_px: float) -> None:
    size = (48, 56) if method == "tvl1" else (112, 140)
    first, second, truth = swirl(size)
    field = estimator(method)(first, second)
    assert field.dtype == np.float32
    assert np.median(end_point_error(field, truth)) < most_px


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_flipping_commutes_with_extraction(seed: int) -> None:
    first, second, _ = swirl((112, 140), seed)
    estimate = estimator("dis")
    clip = Clip(from_frames(estimate(first, second)[None]), np.zeros(1), (112, 140), "flow")
    flipped = FLOW.flip(clip, SPEC).frames()[0]
    direct = estimate(cv2.flip(first, 1), cv2.flip(second, 1))
    error = end_point_error(flipped, direct)
    assert np.median(error) < 0.05
    assert np.quantile(error, 0.9) < 0.1


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([(84, 105), (56, 70), (112, 112)]))
def test_resizing_commutes_with_extraction(seed: int, size: Size) -> None:
    first, second, _ = swirl((112, 140), seed)
    estimate = estimator("dis")
    clip = Clip(from_frames(estimate(first, second)[None]), np.zeros(1), (112, 140), "flow")
    resized = FLOW.resize(clip, size).frames()[0]
    small = [cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA) for picture in (first, second)]
    error = end_point_error(resized, estimate(*small))
    assert np.median(error) < 0.2
    assert np.quantile(error, 0.9) < 0.3


def test_dis_does_not_depend_on_the_number_of_threads() -> None:
    first, second, _ = swirl((112, 140))
    before = cv2.getNumThreads()
    try:
        fields = []
        for threads in (1, 3):
            cv2.setNumThreads(threads)
            fields.append(estimator("dis")(first, second))
    finally:
        cv2.setNumThreads(before)
    assert np.array_equal(*fields)


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_small_pictures_have_flow(method: FlowMethod) -> None:
    first, second, _ = swirl((12, 20))
    assert estimator(method)(first, second).shape == (12, 20, 2)


@pytest.mark.parametrize("left", [None, SimpleNamespace()])
def test_tvl1_names_what_an_opencv_without_it_lacks(monkeypatch: pytest.MonkeyPatch, left: object) -> None:
    monkeypatch.setattr(cv2, "optflow", left)
    with pytest.raises(MissingExtra, match=r"no-deps opencv-contrib-python-headless puts it back.*use dis"):
        estimator("tvl1")


def test_grey_is_luma() -> None:
    assert grey(np.full((2, 3, 4, 3), 90, np.uint8)).tolist() == np.full((2, 3, 4), 90).tolist()


# ---------------------------------------------------------------------------------------------- reading


def test_read_gives_the_motion_to_the_next_frame_in_pixels_of_the_clip() -> None:
    video = Panning()
    [clip] = FLOW.read(video, SPEC)
    assert clip.data.shape == (4, 2, 56, 56)
    assert clip.data.dtype == torch.float32
    assert video.requests == 1
    assert clip.times == pytest.approx([0.16, 0.2, 0.24, 0.28])
    middle = clip.data[:, :, 8:-8, 8:-8].flatten(2).median(-1).values
    torch.testing.assert_close(middle, torch.tensor([[1.0, -0.5]] * 4), atol=0.1, rtol=0)


def test_the_last_frame_has_the_motion_that_led_there() -> None:
    spec = SPEC.with_(sampling=Sampling.parse("3x1x1"))
    [clip] = FLOW.read(Panning(count=3), spec)
    assert torch.equal(clip.data[1], clip.data[2])
    assert not torch.equal(clip.data[0], clip.data[1])


def test_a_single_frame_does_not_move() -> None:
    [clip] = FLOW.read(Panning(count=1), SPEC)
    assert clip.repeated == 3
    assert not clip.data.any()


def test_vectors_are_counted_at_the_specs_rate() -> None:
    [native] = FLOW.read(Panning(rate=50), SPEC)
    [slow] = FLOW.read(Panning(rate=50, count=24), SPEC.with_(fps=25.0))
    assert np.diff(slow.times) == pytest.approx(0.04)
    ratio = (
        slow.data[:, :, 8:-8, 8:-8].flatten(2).median(-1).values
        / native.data[:, :, 8:-8, 8:-8].flatten(2).median(-1).values
    )
    torch.testing.assert_close(ratio, torch.full_like(ratio, 2.0), atol=0.1, rtol=0)


def test_all_views_come_from_one_request() -> None:
    video = Panning(count=40)
    clips = FLOW.read(video, SPEC.with_(short_side_px=64), views=Views(2, 10))
    assert video.requests == 1
    assert [clip.flipped for clip in clips] == 2 * list(Views(1, 10).flipped)
    for straight, mirrored in zip(clips[:5], clips[5:10], strict=True):
        assert torch.equal(straight.data.flip(3) * torch.tensor([-1.0, 1.0]).view(2, 1, 1), mirrored.data)


def test_training_frames_come_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    [clip] = FLOW.read(Panning(count=40), SPEC, generator=generator, enlarge=8 / 7)
    assert clip.frame_size == (64, 80)
    with pytest.raises(InvalidSetting, match="Training crops at random"):
        FLOW.read(Panning(), SPEC, generator=generator, views=Views(1, 3))


def test_letterboxes_do_not_move() -> None:
    [clip] = FLOW.read(Panning(), SPEC.with_(resize="letterbox"))
    assert clip.frame_size == (56, 56)
    assert not clip.data[:, :, :5].any()
    assert clip.data[:, :, 20:30].any()


def test_augmentation_gives_clips_of_the_specs_size() -> None:
    generator = torch.Generator().manual_seed(0)
    [whole] = FLOW.read(Panning(count=40), SPEC, generator=generator, enlarge=8 / 7)
    clip = Augment(flip=1.0, rand_augment=2, erase=1.0).apply(whole, SPEC, generator)
    assert clip.frame_size == (56, 56)
    assert clip.flipped
    assert stack([clip]).shape == (1, 4, 2, 56, 56)


# --------------------------------------------------------------------------------------------- geometry


@given(st.integers(0, 99))
def test_flipping_twice_changes_nothing(seed: int) -> None:
    clip = random_clip(seed=seed)
    once = FLOW.flip(clip, SPEC)
    assert once.flipped
    assert torch.equal(once.data[:, 0], -clip.data[:, 0].flip(2))
    assert torch.equal(once.data[:, 1], clip.data[:, 1].flip(2))
    assert torch.equal(FLOW.flip(once, SPEC).data, clip.data)


@given(st.integers(5, 90), st.integers(5, 90), st.floats(-9, 9), st.floats(-9, 9))
def test_resizing_scales_vectors_with_the_picture(height: int, width: int, x: float, y: float) -> None:
    clip = FLOW.resize(constant_clip((x, y)), (height, width))
    expected = torch.tensor([x * width / 52, y * height / 40]).view(1, 2, 1, 1)
    torch.testing.assert_close(clip.data, expected.expand(2, 2, height, width), atol=1e-4, rtol=1e-4)


@given(st.integers(0, 20), st.integers(0, 20))
def test_cropping_leaves_vectors_as_they_are(top: int, left: int) -> None:
    clip = random_clip()
    part = FLOW.crop(clip, Box(top, left, 20, 30))
    assert torch.equal(part.data, clip.data[:, :, top : top + 20, left : left + 30])


@given(st.floats(-60, 60), st.floats(-0.3, 0.3))
def test_warping_turns_vectors_with_the_picture(angle_deg: float, shear: float) -> None:
    matrix = Affine(angle_deg, shear_x=shear, shift_x=0.1).matrix((40, 52))
    clip = FLOW.warp(constant_clip((3.0, -2.0)), matrix, SPEC)
    expected = matrix[:, :2] @ np.array([3.0, -2.0])
    np.testing.assert_allclose(clip.data[:, :, 20, 26], np.tile(expected, (2, 1)), atol=1e-4)


def test_normalising_cuts_and_scales() -> None:
    batch = torch.tensor([[-50.0, 10.0], [5.0, 30.0]]).view(1, 2, 2, 1)
    ready = FLOW.normalise(batch, SPEC.with_(mean=(0.0, 10.0)), torch.float32)
    assert ready.flatten().tolist() == [-1.0, 0.5, -0.25, 0.5]


@pytest.mark.parametrize(
    "batch", [torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 4, 4, dtype=torch.uint8), torch.zeros(2, 4)]
)
def test_normalising_refuses_what_is_no_flow(batch: torch.Tensor) -> None:
    with pytest.raises(InvalidClip, match=r"Flow to normalise is floating point \(\.\.\., 2, H, W\)"):
        FLOW.normalise(batch, SPEC, torch.float32)


def test_specs_of_flow_have_two_components_and_a_method() -> None:
    with pytest.raises(InvalidSetting, match="A flow clip has x and y; got mean"):
        ClipSpec(Sampling.parse("4x1x1"), (56, 56), "flow")
    with pytest.raises(InvalidSetting, match="A clip's flow is one of dis, tvl1, farneback; got 'raft'"):
        SPEC.with_(flow="raft")
    with pytest.raises(InvalidSetting, match="Only a flow clip has flow='tvl1'; this is rgb"):
        ClipSpec(Sampling.parse("4x1x1"), (56, 56), flow="tvl1")
    assert ClipSpec.from_json(SPEC.with_(flow="tvl1").to_json()).flow == "tvl1"


# ---------------------------------------------------------------------------------------------- drawing


def test_the_wheel_runs_from_red_over_yellow_and_blue() -> None:
    assert WHEEL.shape == (55, 3)
    angles = {"right": (1, 0), "down": (0, 1), "left": (-1, 0), "up": (0, -1)}
    fields = np.array([list(angles.values())], np.float32)
    red, yellow, cyan, violet = colour_wheel(fields)[0].tolist()
    assert red == [255, 0, 0]
    assert yellow[:2] == pytest.approx([255, 255], abs=30)
    assert yellow[2] == 0
    assert cyan[0] == 0
    assert min(cyan[1:]) > 150
    assert violet[2] == 255
    assert violet[1] == 0


def test_still_points_are_white_and_too_long_vectors_dark() -> None:
    fields = np.array([[(0, 0), (1, 0), (2, 0), (6, 0)]], np.float32)
    still, half, full, beyond = colour_wheel(fields, longest_px=2)[0].tolist()
    assert still == [255, 255, 255]
    assert half == [255, 127, 127]
    assert full == [255, 0, 0]
    assert beyond == [191, 0, 0]


def test_clips_are_drawn_by_their_longest_vector() -> None:
    clip = constant_clip((0.0, 0.0))
    assert (FLOW.draw(clip) == 255).all()
    moving = constant_clip((-7.0, 0.0))
    assert FLOW.draw(moving)[0, 0, 0].tolist() == FLOW.draw(constant_clip((-3.0, 0.0)))[0, 0, 0].tolist()
    assert contact_sheet([moving]).dtype == np.uint8
