"""What every registered modality keeps, whatever its data are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinesphere.clips import MODALITIES, Clip, ClipSpec, Modality, Sampling, Views, stack
from kinesphere.clips.augment.settings import Augment
from kinesphere.clips.clip import from_frames
from kinesphere.clips.geometry import Box
from kinesphere.clips.modalities.flow.file import write_flow
from kinesphere.clips.modalities.mask.file import write_masks
from kinesphere.clips.modalities.pose.file import write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.core.errors import InvalidAnnotation, InvalidClip, InvalidSetting, UnreadableVideo
from kinesphere.models.runtime.measure import input_shape
from kinesphere.video import Frames

SIZE, COUNT, RATE = (32, 48), 8, 8.0
TIMES = np.arange(COUNT) / RATE


def _frames(channels: int, low: int, high: int, dtype: Any) -> Callable[[int], Clip]:
    def of(count: int) -> Clip:
        rng = np.random.default_rng(0)
        data = rng.integers(low, high, (count, *SIZE, channels)).astype(dtype)
        return Clip(from_frames(data), TIMES[:count], SIZE, {3: "rgb", 2: "flow", 1: "mask"}[channels])

    return of


def _joints(count: int) -> Clip:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 30, (count, 2, 17, 2))
    data = np.concatenate([points, np.ones((count, 2, 17, 1))], -1).astype(np.float32)
    return Clip(torch.from_numpy(data), TIMES[:count], SIZE, "pose", skeleton="coco17")


def _write_poses(path: Path) -> None:
    clip = _joints(COUNT).data.numpy()
    write_poses(Poses(TIMES, clip[..., :2], clip[..., 2], np.arange(2), "coco17", SIZE, fps=RATE), path)


def _write_flow(path: Path) -> None:
    fields = [np.full((*SIZE, 2), number, np.float32) for number in range(COUNT - 1)]
    write_flow(path, fields, size=SIZE, method="dis", bound_px=20.0, frames=COUNT)


def _write_masks(path: Path) -> None:
    write_masks(
        path, [np.full(SIZE, 30 * number, np.uint8) for number in range(COUNT)], size=SIZE, origin="x"
    )


def _rising(channels: int, levels: np.ndarray) -> np.ndarray:
    return levels[:, None, None, None] * np.ones((COUNT, channels, *SIZE))


@dataclass(frozen=True)
class Example:
    """What the tests need of a modality: clips of any length, a contract, and a file of `COUNT` frames."""

    clip: Callable[[int], Clip]
    spec: ClipSpec
    write: Callable[[Path], None] | None = None
    holds: Callable[[], np.ndarray] | None = None  # what is read of that file
    close: float = 0.0  # how far from what was written it may be


SPEC = ClipSpec(Sampling("dense", COUNT), SIZE)
EXAMPLES = {
    "rgb": Example(_frames(3, 0, 256, np.uint8), SPEC),
    "flow": Example(
        _frames(2, -9, 9, np.float32),
        SPEC.with_(modality="flow", mean=(0.0, 0.0), std=(20.0, 20.0)),
        _write_flow,
        lambda: _rising(2, np.minimum(np.arange(COUNT), COUNT - 2)),
        0.4,
    ),
    "mask": Example(
        _frames(1, 0, 256, np.uint8),
        SPEC.with_(modality="mask", mean=(0.5,), std=(0.5,)),
        _write_masks,
        lambda: _rising(1, 30 * np.arange(COUNT)),
        4,
    ),
    "pose": Example(
        _joints,
        SPEC.with_(modality="pose", skeleton="coco17", people=2, mean=(0.5, 0.5), std=(0.5, 0.5)),
        _write_poses,
        lambda: _joints(COUNT).data.numpy(),
        1 / 32,
    ),
}
NAMES = list(MODALITIES)


@dataclass
class Source:
    """A video of `COUNT` grey frames with what lies beside it."""

    frames: int = COUNT
    known: dict[str, Any] = field(default_factory=dict)
    size: tuple[int, int] = SIZE
    fps: Fraction | None = Fraction(8)
    tolerance_s: float = 0.0
    source: str = "a fake video"

    @property
    def duration_s(self) -> float | None:
        return self.frames / RATE if self.frames else None

    def frame_times(self) -> np.ndarray:
        return np.arange(self.frames) / RATE

    def frames_at(self, times_s: np.ndarray, size: tuple[int, int] | None = None) -> Frames:
        height, width = size or self.size
        grey = (np.asarray(times_s) * RATE).astype(np.uint8)
        return Frames(
            np.broadcast_to(grey[:, None, None, None], (len(grey), 3, height, width)).copy(), times_s
        )

    def beside(self, modality: str) -> Any:
        return self.known.get(modality)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def modality(name: str) -> Modality:
    return MODALITIES.get(name)


@pytest.fixture
def example(name: str) -> Example:
    assert name in EXAMPLES, f"give the modality {name!r} an example here"
    return EXAMPLES[name]


def same(one: Clip, other: Clip, within: float = 0.0) -> None:
    assert one.frame_size == other.frame_size
    assert one.flipped == other.flipped
    np.testing.assert_allclose(one.data.double(), other.data.double(), atol=within)


def test_flipping_twice_restores_the_clip(modality: Modality, example: Example) -> None:
    clip = example.clip(COUNT)
    once = modality.flip(clip, example.spec)
    assert once.flipped
    assert not torch.equal(once.data, clip.data)
    same(modality.flip(once, example.spec), clip, 1e-5)


def test_a_flipped_crop_is_the_mirrored_crop_of_the_flipped(modality: Modality, example: Example) -> None:
    clip = example.clip(COUNT)
    box = Box(4, 6, 20, 30)
    mirrored = Box(4, SIZE[1] - 6 - 30, 20, 30)
    cut_first = modality.flip(modality.crop(clip, box), example.spec)
    same(modality.crop(modality.flip(clip, example.spec), mirrored), cut_first, 1e-4)


def test_halving_commutes_with_cutting_and_flipping(modality: Modality, example: Example) -> None:
    clip = example.clip(COUNT)
    half = (SIZE[0] // 2, SIZE[1] // 2)
    small = modality.resize(clip, half)
    assert small.frame_size == half
    same(modality.flip(small, example.spec), modality.resize(modality.flip(clip, example.spec), half), 1e-4)
    cut = modality.resize(modality.crop(clip, Box(8, 4, 16, 24)), (8, 12))
    same(modality.crop(small, Box(4, 2, 8, 12)), cut, 1e-4)


def test_a_warp_by_nothing_changes_nothing(modality: Modality, example: Example) -> None:
    clip = example.clip(COUNT)
    same(modality.warp(clip, np.eye(2, 3), example.spec), clip, 1e-5)


def test_a_crop_outside_is_refused(modality: Modality, example: Example) -> None:
    with pytest.raises(InvalidClip, match="reaches outside the frame"):
        modality.crop(example.clip(2), Box(0, 0, SIZE[0] + 1, 8))


@pytest.mark.parametrize("count", [0, 1])
def test_clips_of_no_and_of_one_frame_go_the_same_way(
    modality: Modality, example: Example, count: int
) -> None:
    clip, spec = example.clip(count), example.spec
    for changed in (
        modality.flip(clip, spec),
        modality.crop(clip, Box(0, 0, 8, 8)),
        modality.resize(clip, (16, 16)),
        modality.warp(clip, np.eye(2, 3), spec),
    ):
        assert len(changed) == count
        assert changed.data.dtype == clip.data.dtype
    drawn = modality.draw(clip)
    assert (drawn.dtype, drawn.shape[0], drawn.shape[3]) == (np.uint8, count, 3)


def test_augmented_clips_are_what_a_network_takes(modality: Modality, example: Example) -> None:
    clip, spec = example.clip(COUNT), example.spec
    augment = Augment(preset="strong", joint_jitter=0.1)
    once, again = (augment.apply(clip, spec, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(once.data, again.data)
    batch = stack([once, again])
    assert batch.shape[1:] == input_shape(spec)[1:]
    network = modality.normalise(batch, spec, torch.float32)
    assert network.shape == batch.shape
    assert torch.isfinite(network).all()
    blended = modality.blend(network, network.flip(0), 0.5)
    assert blended.shape == batch.shape


def test_files_give_back_what_was_written(modality: Modality, example: Example, tmp_path: Path) -> None:
    sidecar = modality.sidecar
    if sidecar is None:
        pytest.skip("what is seen in the frames themselves has no file")
    assert example.write is not None
    path = tmp_path / f"clip.mp4{sidecar.suffix}"
    example.write(path)
    source = Source()
    source.known[example.spec.modality] = sidecar.attach(sidecar.open(path), source)
    [clip] = modality.read(source, example.spec)
    assert example.holds is not None
    np.testing.assert_allclose(clip.data, example.holds(), atol=example.close)
    first = path.read_bytes()
    with pytest.raises(InvalidAnnotation, match="another video"):
        sidecar.attach(sidecar.open(path), Source(frames=COUNT + 30))
    path.write_bytes(first[: len(first) // 2])
    with pytest.raises(InvalidAnnotation):
        sidecar.open(path)


def test_one_frame_fills_a_clip_and_none_is_refused(
    modality: Modality, example: Example, tmp_path: Path
) -> None:
    known = {}
    if modality.sidecar is not None and modality.sidecar.needed:
        assert example.write is not None
        example.write(path := tmp_path / f"clip.mp4{modality.sidecar.suffix}")
        known[example.spec.modality] = modality.sidecar.open(path)
    [clip] = modality.read(Source(1, known), example.spec)
    assert clip.repeated == COUNT - 1
    assert (clip.data == clip.data[:1]).all()
    with pytest.raises(UnreadableVideo, match="no frames to sample from"):
        modality.read(Source(0, known), example.spec)


def test_what_is_needed_and_missing_is_said(modality: Modality, example: Example) -> None:
    if modality.sidecar is not None and modality.sidecar.needed:
        with pytest.raises(InvalidAnnotation, match="kinesphere extract"):
            modality.read(Source(), example.spec)
    else:
        assert len(modality.read(Source(), example.spec, views=Views(2))) == 2


def test_contracts_and_clips_of_another_shape_are_refused(modality: Modality, example: Example) -> None:
    with pytest.raises(InvalidSetting, match="got mean"):
        example.spec.with_(mean=(0.0,) * 7, std=(1.0,) * 7)
    for setting, value in (("flow", "tvl1"), ("skeleton", "coco17"), ("dimensions", 3), ("align", "body")):
        if setting not in modality.settings:
            with pytest.raises(InvalidSetting, match=f"clip has {setting}="):
                example.spec.with_(**{setting: value})
    clip = example.clip(2)
    with pytest.raises(InvalidClip, match="clip is"):
        replace(clip, data=torch.zeros(2, 7, 5, 9))
    with pytest.raises(InvalidClip, match="a time per frame"):
        replace(clip, times=np.arange(3.0))
