"""Reading the sample videos: exact frames, and what is left of them when damaged."""

from __future__ import annotations

import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from kinesphere.core.errors import DamagedVideo, VideoError
from kinesphere.video import Video

sys.path.insert(0, str(Path(__file__).parents[1]))

from damage import KINDS, damaged_videos

pytestmark = pytest.mark.real
ROOT = os.environ.get("KINESPHERE_TEST_DATA")
if not ROOT:
    pytest.skip("KINESPHERE_TEST_DATA is not set", allow_module_level=True)

SAMPLES = sorted(Path(ROOT, "videos/samples").iterdir())
SMALL = [path for path in SAMPLES if path.stat().st_size < 500_000]
SIZE = (32, 43)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_frames_at_gives_what_streaming_gives(path):
    with Video.open(path) as video:
        frames = list(video.stream(size=SIZE))
        times = video.frame_times()
        assert [frame.time_s for frame in frames] == pytest.approx(times)
        assert video.damage == []
        wanted = np.random.default_rng(0).permutation(len(times))[:12]
        got = video.frames_at(times[wanted], SIZE)
    assert np.array_equal(got.data, np.stack([frames[i].data for i in wanted]))


@pytest.mark.parametrize("path", SAMPLES[:6], ids=lambda path: path.name)
def test_frames_have_the_shape_that_the_header_shows(path):
    with Video.open(path) as video:
        assert video.frames_at([0.0]).data.shape == (1, 3, *video.size)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_samples_end_as_promised(kind, tmp_path):
    sources = [(path.name, path.read_bytes()) for path in SMALL]
    for item in damaged_videos(sources, 2 * len(KINDS), seed=1):
        if item.kind != kind:
            continue
        path = tmp_path / f"damaged{item.suffix}"
        path.write_bytes(item.data)
        used = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamagedVideo)
            try:
                with Video.open(path, threads=1) as video:
                    assert sum(1 for _ in video.stream(size=SIZE)) > 0
            except VideoError as error:
                assert str(path) in str(error), item  # noqa: PT017 - most files do not raise
        assert time.process_time() - used < 5, item
