"""Sampling and reading of real videos."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from kinesphere.clips import ClipSpec, Sampling, Views, clip_times
from kinesphere.clips.modalities import rgb
from kinesphere.video import Video

pytestmark = pytest.mark.real
ROOT = os.environ.get("KINESPHERE_TEST_DATA")
VIDEOS = sorted(Path(ROOT, "videos/samples").iterdir()) if ROOT else []
SPEC = ClipSpec(Sampling.parse("8x4x1"), (56, 56))

if not VIDEOS:
    pytest.skip("KINESPHERE_TEST_DATA names no folder with videos/samples", allow_module_level=True)


@pytest.mark.parametrize("path", VIDEOS, ids=lambda path: path.name)
def test_native_sampling_names_every_frame_once(path):
    with Video.open(path) as video:
        if video.info.variable_rate is not False:
            pytest.skip("only a constant rate promises a frame per period")
        spec = SPEC.with_(sampling=Sampling("dense", video.frame_count))
        (clip,) = clip_times(spec, None, float(video.fps), video.duration_s)
        shown = np.searchsorted(video.frame_times(), clip.times, side="right") - 1
    assert clip.repeated == 0
    assert np.array_equal(shown, np.arange(video.frame_count))


@pytest.mark.parametrize("path", VIDEOS, ids=lambda path: path.name)
def test_views_of_a_real_video(path):
    with Video.open(path) as video:
        clips = rgb.read(video, SPEC, views=Views(2, 3))
        duration_s = video.duration_s
    assert [tuple(clip.data.shape) for clip in clips] == [(8, 3, 56, 56)] * 6
    for clip in clips:
        assert 0 <= clip.times[0] < duration_s
        fresh = clip.times[: 8 - clip.repeated]
        assert (np.diff(fresh) > 0).all()
        assert clip.data.float().std() > 1
