"""Nothing is opened that the user did not name, by any container that names other files."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from makers import make

from kinesphere.core.errors import UnreadableVideo
from kinesphere.video import Video, probe

CONCAT = "ffconcat version 1.0\nfile '{other}'\nduration 5\n"
NAMING = {
    "concat": CONCAT,
    "concat without its name": "# a comment\nfile '{other}'\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{other}\n#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
    '<AdaptationSet mimeType="video/mp4"><Representation id="1"><BaseURL>{other}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "asx": '<ASX version="3.0"><Entry><Ref href="{other}"/></Entry></ASX>',
    "pls": "[playlist]\nFile1={other}\nNumberOfEntries=1\n",
    "imf": '<?xml version="1.0"?><AssetMap xmlns="http://www.smpte-ra.org/schemas/429-9/2007/AM"></AssetMap>',
}
SUFFIXES = [".mp4", ".m3u8", ".mpd", ".ffconcat", ".sdp", ".ts", ""]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", NAMING)
def test_texts_that_name_other_files_are_refused_unopened(tmp_path, kind, suffix):
    pipe = tmp_path / "pipe.ts"
    os.mkfifo(pipe)  # whoever opens it hangs
    for lead in ("", "\ufeff", "\n\n"):
        path = tmp_path / f"clip{suffix}"
        path.write_text(lead + NAMING[kind].format(other="pipe.ts"), encoding="utf-8")
        began = time.monotonic()
        with pytest.raises(UnreadableVideo, match=r"names other files|cannot be read as a video"):
            Video.open(path, timeout_s=2)
        with pytest.raises(UnreadableVideo, match=r"names other files|cannot be read as a video"):
            Video.open(path.read_bytes(), timeout_s=2)
        assert time.monotonic() - began < 1


@pytest.mark.parametrize("kind", ["concat", "concat without its name", "hls", "pls"])
def test_a_neighbour_that_is_there_is_not_read(tmp_path, kind):
    neighbour = tmp_path / "neighbour.ts"
    neighbour.write_bytes(make(container="mpegts", count=5))
    os.utime(neighbour, (1, 1))
    path = tmp_path / "clip.mp4"
    path.write_text(NAMING[kind].format(other="neighbour.ts"))
    with pytest.raises(
        UnreadableVideo, match="it names other files, which are not opened; name the video file"
    ):
        Video.open(path)
    assert neighbour.stat().st_atime == 1


def test_patterns_are_names(tmp_path):
    pattern = tmp_path / "frame%03d.png"
    with pytest.raises(UnreadableVideo, match="does not exist"):
        Video.open(pattern)
    pattern.write_bytes(make(count=5))
    (tmp_path / "frame001.png").write_bytes(b"other")
    with pytest.raises(UnreadableVideo, match="cannot be read as a video"):
        Video.open(pattern)


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "clip.mp4")
    with pytest.raises(UnreadableVideo, match="not a video file"):
        Video.open(tmp_path / "clip.mp4")


class Counting(BaseHTTPRequestHandler):
    """Another host, which nobody should ask."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *args: None)
    Counting.asked = []
    here = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), here) as one,
        ThreadingHTTPServer(("127.0.0.1", 0), Counting) as two,
    ):
        for server in (one, two):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{one.server_port}", f"http://127.0.0.1:{two.server_port}"
        one.shutdown()
        two.shutdown()


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".mpd"])
@pytest.mark.parametrize("kind", ["concat", "hls", "dash", "sdp"])
def test_a_playlist_of_an_address_leads_to_no_other_host(tmp_path, hosts, kind, suffix):
    here, elsewhere = hosts
    (tmp_path / f"clip{suffix}").write_text(NAMING[kind].format(other=f"{elsewhere}/secret.ts"))
    with pytest.raises(UnreadableVideo, match="cannot be read as a video"):
        Video.open(f"{here}/clip{suffix}", timeout_s=3)
    assert Counting.asked == []


def test_videos_are_still_read_whatever_they_are_called(tmp_path):
    for container in ("mp4", "matroska", "mpegts", "flv", "avi", "h264"):
        path = tmp_path / f"{container}.m3u8"
        path.write_bytes(make(container=container, count=5))
        assert probe(path).frame_count == 5


FAULTS = Path(os.environ.get("KINESPHERE_TEST_DATA", "none"), "../faults/hostile")


@pytest.mark.skipif(not FAULTS.exists(), reason="KINESPHERE_TEST_DATA has no faults beside it")
def test_a_script_among_the_hostile_files():
    with pytest.raises(UnreadableVideo, match="is a concat script, not a video"):
        Video.open(FAULTS / "ffconcat_rel.mp4")
