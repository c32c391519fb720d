from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from typing import ClassVar

import pytest

from kinesphere.core.download import cache_folder, download, verify
from kinesphere.core.errors import InvalidCheckpoint, MissingWeights
from kinesphere.models import WeightEntry
from kinesphere.models.weights.download import fetch

CONTENT = bytes(range(256)) * 4096
SHA = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.SimpleHTTPRequestHandler):
    """Serves files, and parts of them when asked."""

    asked: ClassVar[list[str | None]] = []
    claims: ClassVar[int] = 0

    def do_GET(self):
        part = self.headers.get("Range")
        type(self).asked.append(part)
        if self.path != "/w.pth":
            return self.send_error(404)
        start = int(part.removeprefix("bytes=").removesuffix("-")) if part else 0
        if start >= len(CONTENT):
            return self.send_error(416)
        self.send_response(206 if part else 200)
        if self.claims:
            self.send_header("Content-Length", str(self.claims))
        self.end_headers()
        self.wfile.write(CONTENT[start:])
        return None

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def address():
    Server.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KINESPHERE_WEIGHTS", raising=False)


def entry(url: str, sha256: str | None = SHA[:8]) -> WeightEntry:
    return WeightEntry("t", url, "torchvision", None, 3, sha256)


def test_download_verifies_and_caches(address):
    path = fetch(entry(f"{address}/w.pth"))
    assert path == cache_folder() / "w.pth"
    assert path.read_bytes() == CONTENT
    assert fetch(entry(f"{address}/w.pth")) == path
    assert len(Server.asked) == 1


def test_download_continues(address):
    part = cache_folder() / "w.pth.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:1000])
    assert fetch(entry(f"{address}/w.pth")).read_bytes() == CONTENT
    assert Server.asked == ["bytes=1000-"]
    assert not part.exists()


def test_a_complete_part_is_only_verified(address, tmp_path):
    (tmp_path / "w.pth.part").write_bytes(CONTENT)
    assert download(f"{address}/w.pth", tmp_path / "w.pth", SHA).read_bytes() == CONTENT


def test_a_wrong_digest_leaves_nothing_behind(address):
    with pytest.raises(InvalidCheckpoint, match=r"has sha256 .*, but 00000000 is published"):
        fetch(entry(f"{address}/w.pth", "00000000"))
    assert not list(cache_folder().iterdir())


def test_too_large_files_are_refused(address, tmp_path, monkeypatch):
    monkeypatch.setattr("kinesphere.core.download.LARGEST_BYTES", 1000)
    with pytest.raises(InvalidCheckpoint, match="larger than 1000 bytes"):
        download(f"{address}/w.pth", tmp_path / "w.pth")


def test_transfers_that_end_early_are_no_files(address, tmp_path, monkeypatch):
    monkeypatch.setattr(Server, "claims", len(CONTENT) + 5)
    with pytest.raises(OSError, match="ended after 1048576 of 1048581 bytes"):
        download(f"{address}/w.pth", tmp_path / "w.pth")
    assert not (tmp_path / "w.pth").exists()
    monkeypatch.setattr(Server, "claims", 1 << 50)
    with pytest.raises(InvalidCheckpoint, match="larger than"):
        download(f"{address}/w.pth", tmp_path / "v.pth")


def test_the_named_folder_comes_first(tmp_path, monkeypatch):
    (tmp_path / "w.pth").write_bytes(CONTENT)
    monkeypatch.setenv("KINESPHERE_WEIGHTS", str(tmp_path))
    assert fetch(entry("https://nowhere.invalid/w.pth")) == tmp_path / "w.pth"


def test_a_named_mirror_comes_before_upstream(address, monkeypatch):
    monkeypatch.setenv("KINESPHERE_WEIGHTS", f"{address}/")
    assert fetch(entry("https://nowhere.invalid/w.pth")).read_bytes() == CONTENT


def test_unreachable_weights_say_where_to_put_the_file(address):
    with pytest.raises(MissingWeights, match=r"gone\.pth .*404.* put it at .*KINESPHERE_WEIGHTS"):
        fetch(entry(f"{address}/gone.pth"))


def test_verify_takes_full_digests_and_prefixes(tmp_path):
    path = tmp_path / "w"
    path.write_bytes(CONTENT)
    for sha256 in (SHA, SHA[:8].upper(), None):
        assert verify(path, sha256) == path
