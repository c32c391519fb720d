"""Whatever codec, container and number of threads: a frame asked for alone is the streamed one."""

from __future__ import annotations

import av
import numpy as np
import pytest
from makers import make

from kinesphere.video import Video

SIZE = (24, 32)
COUNT = 36
GOP = {"g": "12"}
B_FRAMES = {"g": "12", "bf": "2"}
X264 = {"x264-params": "keyint=12:bframes=3"}
X265 = {"x265-params": "log-level=none:keyint=12", "preset": "ultrafast"}
# Encoder, pixel format, options, containers.
ENCODERS = [
    ("libx264", "yuv420p", X264, "mp4 mov matroska flv mpegts avi"),
    ("libx264", "yuv420p", {"x264-params": "keyint=12:open-gop=1:bframes=3:b-pyramid=normal"}, "mp4"),
    ("libx265", "yuv420p", X265, "mp4 matroska mpegts"),
    ("libvpx", "yuv420p", {**GOP, "auto-alt-ref": "1", "lag-in-frames": "16"}, "webm matroska"),
    ("libvpx-vp9", "yuv420p", {**GOP, "deadline": "realtime", "cpu-used": "8"}, "webm mp4 ivf"),
    ("libvpx-vp9", "yuv420p", {**GOP, "auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "5"}, "webm"),
    ("libsvtav1", "yuv420p", {"preset": "12", **GOP}, "mp4 webm ivf"),
    ("libaom-av1", "yuv420p", {**GOP, "cpu-used": "8"}, "mp4 matroska"),
    ("mpeg4", "yuv420p", GOP, "mp4 avi"),
    ("mpeg4", "yuv420p", B_FRAMES, "mp4 avi matroska nut"),
    ("mpeg2video", "yuv420p", B_FRAMES, "mpegts mpeg mxf"),
    ("mpeg1video", "yuv420p", B_FRAMES, "mpeg"),
    ("msmpeg4", "yuv420p", GOP, "avi"),
    ("msmpeg4v2", "yuv420p", GOP, "avi"),
    ("wmv1", "yuv420p", GOP, "asf"),
    ("wmv2", "yuv420p", GOP, "asf"),
    ("flv", "yuv420p", GOP, "flv"),
    ("h263p", "yuv420p", GOP, "avi"),
    ("rv20", "yuv420p", GOP, "rm"),
    ("mjpeg", "yuvj420p", {}, "avi mov matroska"),
    ("prores_ks", "yuv422p10le", {}, "mov matroska"),
    ("cfhd", "yuv422p10le", {}, "mov"),
    ("ffv1", "yuv420p", GOP, "matroska avi"),
    ("huffyuv", "yuv422p", {}, "avi"),
    ("utvideo", "yuv420p", {}, "avi"),
    ("magicyuv", "yuv420p", {}, "avi"),
    ("png", "rgb24", {}, "mov"),
    ("jpeg2000", "yuv420p", {}, "mov"),
    ("qtrle", "rgb24", GOP, "mov"),
    ("svq1", "yuv410p", GOP, "mov"),
    ("flashsv", "bgr24", GOP, "flv"),
    ("snow", "yuv420p", GOP, "avi"),
    ("rawvideo", "yuv420p", {}, "avi nut"),
    ("gif", "rgb8", {}, "gif"),
    ("apng", "rgb24", {}, "apng"),
]
PAIRS = [
    pytest.param(encoder, pixels, options, container, id=f"{i}-{encoder}-{container}")
    for i, (encoder, pixels, options, containers) in enumerate(ENCODERS)
    for container in containers.split()
]


@pytest.mark.parametrize(("encoder", "pixels", "options", "container"), PAIRS)
def test_a_frame_asked_for_alone_is_the_streamed_one(encoder, pixels, options, container):
    if encoder not in av.codecs_available:
        pytest.skip(f"this PyAV has no encoder {encoder}")
    source = make(encoder, container, COUNT, pixel_format=pixels, options=options)
    with Video.open(source, threads=1) as video:
        frames = list(video.stream(size=SIZE))
        times = video.frame_times()
        assert [frame.time_s for frame in frames] == pytest.approx(times)
    assert len(frames) == COUNT
    whole = np.stack([frame.data for frame in frames])
    scattered = np.random.default_rng(0).permutation(COUNT)[:11]
    for threads in (1, 2, 4):
        with Video.open(source, threads=threads) as video:
            assert np.array_equal([f.data for f in video.stream(size=SIZE)], whole)
            for wanted in ([17], scattered, [35], [3], [29, 30, 31], [0], [22]):
                got = video.frames_at(times[wanted], SIZE)
                assert np.array_equal(got.times, times[wanted])
                assert np.array_equal(got.data, whole[wanted])
            assert video.damage == []


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize(
    ("encoder", "container"), [("mpeg4", "avi"), ("libx264", "avi"), ("libsvtav1", "mp4")]
)
def test_the_last_frame_asked_for_first_is_the_last_one(encoder, container, threads):
    options = {"mpeg4": B_FRAMES, "libx264": X264}.get(encoder, {"preset": "12", **GOP})
    source = make(encoder, container, 41, options=options)
    with Video.open(source) as video:
        *_, last = video.stream(size=SIZE)
    with Video.open(source, threads=threads) as video:
        got = video.frames_at([40 / 25], SIZE)
    assert got.times.tolist() == [last.time_s]
    assert np.array_equal(got.data[0], last.data)


@pytest.mark.parametrize("threads", [2, 3, 4])
@pytest.mark.parametrize("encoder", ["libx264", "libx265", "libvpx-vp9", "libsvtav1", "mpeg4"])
def test_stretches_shared_out_among_decoders_give_the_streamed_frames(encoder, threads):
    options = {"libx264": X264, "libx265": X265, "mpeg4": B_FRAMES, "libsvtav1": {"preset": "10", **GOP}}
    source = make(encoder, "mp4", 128, options=options.get(encoder, {**GOP, "cpu-used": "8"}))
    with Video.open(source, threads=1) as video:
        whole, times = [frame.data for frame in video.stream(size=SIZE)], video.frame_times()
    with Video.open(source, threads=threads) as video:
        wanted = np.arange(3, 128, 4)  # odd ones are leant on by none
        got = video.frames_at(times[wanted], SIZE)
        assert len(video._gatherer._helpers) > 1
    assert np.array_equal(got.data, np.stack(whole)[wanted])
    assert np.array_equal(got.times, times[wanted])
