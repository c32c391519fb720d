"""Which frame is displayed at a time: one rule, for pixels, flow, poses and masks, however they are read."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from makers import SIZE, make

from kinesphere.clips import MODALITIES, ClipSpec, Sampling
from kinesphere.clips.modalities.flow.file import write_flow
from kinesphere.clips.modalities.mask.file import write_masks
from kinesphere.clips.modalities.pose.file import write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.reading import sampled
from kinesphere.clips.source import WrappedSource, displayed_rows
from kinesphere.clips.spec import Views
from kinesphere.data import FrameCache, Opening
from kinesphere.predict.long_video import Reader, SharedFrames
from kinesphere.video import Video
from kinesphere.video.frame_index import displayed

COUNT = 24
SAMPLING = Sampling("uniform", COUNT)
RGB = ClipSpec(SAMPLING, SIZE, resize="stretch")


def test_the_last_that_has_started_or_the_first() -> None:
    times = np.array([0.5, 1.0, 1.5])
    assert displayed(times, np.array([0.0, 0.5, 0.99, 1.0, 9.0]), 0.0).tolist() == [0, 0, 0, 1, 2]
    assert displayed(times, np.array([0.98, 0.992]), 0.01).tolist() == [0, 1]


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of 1/30 s, some of which begin within the clock's rounding after the middle of another.

    Their pixels, flow, poses and masks tell their number.
    """
    starts_ms = [1000 * i / 30 for i in range(COUNT)]
    for i in range(1, COUNT - 1):
        middle_ms = (starts_ms[i] + starts_ms[i + 1]) / 2 - 1000 / 30
        if middle_ms % 1 > 0.5:
            starts_ms[i] = math.ceil(middle_ms)
    path = tmp_path_factory.mktemp("uneven") / "clip.mkv"
    drawn = [np.full((*SIZE, 3), 20 + 9 * i, np.uint8) for i in range(COUNT)]
    options = {"crf": "0"}
    times = [round(start) for start in starts_ms]
    path.write_bytes(
        make(container="matroska", drawn=drawn, times=times, time_base=Fraction(1, 1000), options=options)
    )
    numbers = np.arange(COUNT)
    fields = np.zeros((COUNT - 1, *SIZE, 2), np.float32)
    fields[..., 0] = numbers[:-1, None, None] - 11
    write_flow(
        path.with_name("clip.mkv.flow.npz"), fields, size=SIZE, method="dis", bound_px=20, frames=COUNT
    )
    masks = np.broadcast_to((10 * numbers).astype(np.uint8)[:, None, None], (COUNT, *SIZE))
    write_masks(path.with_name("clip.mkv.mask.npz"), masks, size=SIZE, origin="numbers")
    joints = np.broadcast_to(numbers[:, None, None, None], (COUNT, 1, 17, 2)).astype(np.float32)
    with Video.open(path) as video:
        begins = video.frame_times()
    write_poses(
        Poses(begins, joints, np.ones((COUNT, 1, 17), np.float32), np.array([1]), "coco17", SIZE, fps=30.0),
        path.with_name("clip.mkv.pose.npz"),
    )
    return path


def spec_of(modality: str) -> ClipSpec:
    if modality == "pose":
        return RGB.with_(modality="pose", skeleton="coco17", mean=(0.5, 0.5), std=(0.5, 0.5))
    channels = {"rgb": 3, "flow": 2, "mask": 1}[modality]
    return RGB.with_(modality=modality, mean=(0.0,) * channels, std=(1.0,) * channels)


def numbers_in(modality: str, data: np.ndarray) -> np.ndarray:
    """The frames' numbers that a clip tells."""
    middle = data.mean(tuple(range(2, data.ndim)))[:, 0] if modality != "pose" else data[:, 0, 0, 0]
    return {"rgb": (middle - 20) / 9, "flow": middle + 11, "mask": middle / 10, "pose": middle}[modality]


@pytest.mark.parametrize("modality", ["rgb", "flow", "mask", "pose"])
def test_all_that_is_read_of_a_time_is_of_the_displayed_frame(uneven: Path, modality: str) -> None:
    spec = spec_of(modality)
    with Opening().open(uneven, [spec]) as video:
        (moment,) = sampled(video, spec, None)
        rows = displayed_rows(video, moment.times)
        assert (rows != displayed(video.frame_times(), moment.times, 0.0)).sum() > 3
        (clip,) = MODALITIES.get(modality).read(video, spec)
        np.testing.assert_allclose(clip.times, video.frame_times()[rows], atol=1e-9)
    # The last frame has the flow before it.
    wanted = rows.clip(max=COUNT - 2) if modality == "flow" else rows
    np.testing.assert_allclose(numbers_in(modality, clip.data.numpy()), wanted, atol=0.35)


def test_a_cache_and_a_long_video_display_the_same(uneven: Path, tmp_path: Path) -> None:
    with Video.open(uneven) as video, FrameCache(tmp_path, 2**24).open(uneven) as cached:
        times = video.frame_times() - 0.9 * video.tolerance_s
        times[0] = 0.0
        wanted = video.frames_at(times)
        assert np.array_equal(wanted.times, video.frame_times())
        assert np.array_equal(cached.frames_at(times, size=SIZE).data, wanted.data)
        reader = Reader.of(WrappedSource(video), [(RGB, (0.0, float(video.duration_s or 0)))], Views())
        (moment,) = sampled(video, RGB, None)
        read = SharedFrames(video, [reader]).frames_at(reader, moment.times, reader.size)
        assert np.array_equal(read.times, video.frames_at(moment.times).times)
