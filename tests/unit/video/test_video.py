"""Opening, describing, streaming, and every refusal."""

from __future__ import annotations

import subprocess
import sys
import threading
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from makers import RATE, make

from kinesphere.core.errors import (
    DamagedVideo,
    InvalidSetting,
    NoVideoStream,
    SourceTimeout,
    SpanOutsideVideo,
    UnreadableVideo,
)
from kinesphere.video import Frames, Video, open_source, probe
from kinesphere.video.damage import Patience

SIZE = (12, 16)


@pytest.fixture(scope="module")
def source():
    return make(options={"x264-params": "keyint=12"})


@pytest.fixture
def video(source):
    with Video.open(source) as opened:
        yield opened


def test_probe_tells_what_is_there(source):
    info = probe(source)
    assert (info.source, info.container, info.codec) == ("<bytes>", "mp4", "h264")
    assert (info.size, info.coded_size, info.pixel_format) == ((48, 64), (48, 64), "yuv420p")
    assert (info.fps, info.frame_count, info.variable_rate) == (RATE, 40, False)
    assert info.duration_s == pytest.approx(1.6)
    assert (info.rotation_deg, info.pixel_aspect, info.has_audio) == (0, 1, False)
    assert info.keyframes >= 3


@pytest.mark.parametrize("container", ["matroska", "mpegts", "h264", "flv"])
def test_headers_without_count_or_duration_do_not_matter(container):
    info = probe(make(container=container))
    assert (info.frame_count, info.fps) == (40, RATE)
    assert info.duration_s == pytest.approx(1.6)


def test_paths_with_colons_and_percents_are_files(tmp_path, source):
    path = tmp_path / "http:%03d*clip.mp4"
    path.write_bytes(source)
    assert probe(path).frame_count == probe(str(path)).frame_count == 40
    assert probe(path.as_uri()).frame_count == 40


def test_trailing_garbage_changes_nothing(source):
    with Video.open(source + b"\x00\x01garbage" * 500) as video:
        assert (video.frame_count, video.damage) == (40, [])


def test_stream_spans_are_half_open(video):
    times = [frame.time_s for frame in video.stream(0.4, 0.8, size=SIZE)]
    assert times == pytest.approx([n / RATE for n in range(10, 20)])


@pytest.mark.parametrize("fps", [10, 25, 60, Fraction(30000, 1001)])
def test_stream_resamples_to_the_frames_on_show(video, fps):
    grid = np.arange(np.ceil(1.2 * float(fps) - 1e-9)) / float(fps) + 0.2
    frames = list(video.stream(0.2, 1.4, size=SIZE, fps=fps))
    expected = video.frames_at(grid, SIZE)
    assert [frame.time_s for frame in frames] == expected.times.tolist()
    assert np.array_equal(np.stack([frame.data for frame in frames]), expected.data)


def test_stream_resamples_to_the_end(video):
    assert len(list(video.stream(fps=10))) == 16
    assert len(list(video.stream(fps=100))) == 160


def test_frames_are_channels_last_in_memory(video):
    data = video.frames_at([0.0, 0.5], SIZE).data
    assert data.shape == (2, 3, *SIZE)
    assert data.dtype == np.uint8
    assert data.transpose(0, 2, 3, 1).flags.c_contiguous


def test_two_reads_by_turns_are_refused(video):
    frames = video.stream(size=SIZE)
    next(frames)
    video.frames_at([1.0], SIZE)
    with pytest.raises(InvalidSetting, match="Another read moved this video"):
        next(frames)


def test_frames_check_their_shapes():
    with pytest.raises(InvalidSetting, match=r"Frames are \(T, 3, H, W\)"):
        Frames(np.zeros((2, 4, 4, 3), np.uint8), np.zeros(2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda v: v.frames_at([]), InvalidSetting, "one or more finite seconds"),
        (lambda v: v.frames_at([np.nan]), InvalidSetting, "one or more finite seconds"),
        (lambda v: v.frames_at([-0.5]), SpanOutsideVideo, "-0.500 s lies outside"),
        (lambda v: v.frames_at([1.7]), SpanOutsideVideo, "runs from 0 to 1.600 s"),
        (lambda v: v.frames_at([0], (0, 5)), InvalidSetting, r"A size is \(H, W\), positive"),
        (lambda v: v.frames_at([0], (9000, 9000)), InvalidSetting, "at most 8K"),
        (lambda v: v.stream(-1), InvalidSetting, "from start to a later end"),
        (lambda v: v.stream(1, 1), InvalidSetting, "from start to a later end"),
        (lambda v: v.stream(2.0), SpanOutsideVideo, "2.000 s lies outside"),
        (lambda v: v.stream(fps=0), InvalidSetting, r"fps must be in \(0, 1000\]"),
    ],
)
def test_refused_requests(video, call, error, message):
    with pytest.raises(error, match=message):
        call(video)


def wav() -> bytes:
    import io
    import wave

    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\0" * 800)
    return target.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "error", "message"),
    [
        ("empty.mp4", b"", UnreadableVideo, r"is empty \(0 bytes\)"),
        ("noise.mp4", bytes(range(256)) * 40, UnreadableVideo, "cannot be read as a video"),
        ("words.mp4", b"path,label\nclip.mp4,walk\n" * 50, UnreadableVideo, "cannot be read|not a video"),
        ("words.txt", b"path,label\nclip.mp4,walk\n" * 50, UnreadableVideo, "cannot be read|not a video"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", UnreadableVideo, "cannot be read|playlist"),
        ("sound.mp4", wav(), NoVideoStream, "holds no video, only audio"),
    ],
)
def test_files_that_are_no_videos(tmp_path, name, data, error, message):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(error, match=message):
        Video.open(path)


def test_a_header_alone_is_no_video():
    whole = make(container="matroska")
    with pytest.raises(UnreadableVideo, match=r"no video packet|no decodable frame|cannot be read"):
        Video.open(whole[: whole.index(b"\x1f\x43\xb6\x75")])


def test_absurd_frame_sizes_are_refused():
    header = b"YUV4MPEG2 W60000 H60000 F25:1 Ip A1:1 C420\nFRAME\n"
    with pytest.raises(UnreadableVideo, match=r"claims frames of 60000x60000|cannot be read as a video"):
        Video.open(header + b"\0" * 100)


def test_absurd_timestamps_are_replaced():
    source = make(container="matroska", count=3, times=[0, 40, 9_000_000], time_base=Fraction(1, 1000))
    with pytest.warns(DamagedVideo, match="1 of 3 timestamps are missing or contradict"):
        video = Video.open(source)
    with video:
        assert video.frame_times().tolist() == [0, 0.04, 0.08]


def test_sources_that_cannot_be(tmp_path):
    with pytest.raises(UnreadableVideo, match="does not exist; check the path"):
        Video.open(tmp_path / "none.mp4")
    for camera in ("7", "/dev/video77"):
        with pytest.raises(UnreadableVideo, match="does not exist; cameras are not read, so record a video"):
            Video.open(camera)
    with pytest.raises(UnreadableVideo, match="is a folder or a device"):
        Video.open(tmp_path)
    with pytest.raises(UnreadableVideo, match="got 0 bytes"):
        Video.open(b"")
    with pytest.raises(InvalidSetting, match="not read over gopher://"):
        Video.open("gopher://host/clip.mp4")


def test_settings_that_cannot_be(source):
    with pytest.raises(InvalidSetting, match="timeout_s must be positive"):
        Video.open(source, timeout_s=0)
    with pytest.raises(InvalidSetting, match="threads must be at least 1"):
        Video.open(source, threads=0)


@pytest.fixture
def server(tmp_path, source):
    (tmp_path / "clip.mkv").write_bytes(make(container="matroska", options={"x264-params": "keyint=12"}))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *args: None)


def test_addresses_stream_and_give_frames_at_times(server):
    with Video.open(f"{server}/clip.mkv") as video:
        assert len(list(video.stream(size=SIZE))) == 40
    with Video.open(f"{server}/clip.mkv") as video:
        assert video.frames_at([1.0, 0.2], SIZE).times.tolist() == [1.0, 0.2]
        assert video.frame_count == 40
    with pytest.raises(
        UnreadableVideo, match=r"cannot be read as a video .*; check the address and its server"
    ):
        Video.open(f"{server}/none.mkv")


def test_an_address_that_keeps_silent_times_out():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/clip.mp4"
        with pytest.raises(SourceTimeout, match=r"did not open within 0.3 s"):
            Video.open(url, timeout_s=0.3)


def test_patience_ends(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("kinesphere.video.damage.time.monotonic", lambda: clock[0])
    patience = Patience("clip.mp4", 2.0)
    clock[0] = 101.9
    patience.check()
    patience.renew()
    clock[0] = 104.0
    with pytest.raises(SourceTimeout, match=r"clip.mp4 gave no frame within 2 s"):
        patience.check()


def test_open_source_takes_files(source):
    with open_source(source) as video:
        assert isinstance(video, Video)


def test_a_loader_s_worker_decodes_with_one_thread(source, monkeypatch):
    import torch.utils.data

    assert Video.open(source)._cursor.threads >= 1
    monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: object())
    with Video.open(source) as video:
        assert video._cursor.threads == 1


def test_importing_the_room_does_not_load_torch():
    code = "import sys, kinesphere.video; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_frames_are_sliced_and_iterated_and_shown_by_shape() -> None:
    frames = Frames(np.zeros((4, 3, *SIZE), np.uint8), np.arange(4.0))
    assert repr(frames) == "Frames(data=uint8 (4, 3, 12, 16), times=float64 (4,))"
    assert frames[1:3].times.tolist() == [1.0, 2.0]
    assert [(frame.data.shape, frame.time_s) for frame in frames[2:]] == [
        ((3, *SIZE), 2.0),
        ((3, *SIZE), 3.0),
    ]


def test_what_is_done_with_a_frame_takes_none_of_the_source_s_time(source, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("kinesphere.video.damage.time.monotonic", lambda: clock[0])
    count = 0
    with Video.open(source, timeout_s=2.0) as video:
        for _ in video.stream(size=SIZE):
            clock[0] += 60.0
            count += 1
    assert count == 40
