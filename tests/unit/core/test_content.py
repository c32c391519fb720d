"""What a file holds is told of files alone."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kinesphere.clips.sidecar import Extracts
from kinesphere.core.content import content_key
from kinesphere.data.content import Content


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    """A pipe that nobody writes to, for as long as a test may wait."""
    path = tmp_path / "clip.mp4"
    os.mkfifo(path)
    end = os.open(path, os.O_RDWR)
    closing = threading.Timer(1, os.close, (end,))
    closing.start()
    yield path
    closing.join()


@pytest.mark.parametrize("look", [content_key, Content.of, lambda path: Extracts().find(path, ".pose.npz")])
def test_of_pipes_nothing_is_read(pipe: Path, look: Callable[[Path], object]) -> None:
    begun_s = time.monotonic()
    with contextlib.suppress(OSError):
        assert look(pipe) in (Content(), None)
    assert time.monotonic() - begun_s < 0.5


def test_files_of_the_same_bytes_share_a_key(tmp_path: Path) -> None:
    one, two, other = (tmp_path / name for name in ("one", "two", "other"))
    for path, content in ((one, b"a"), (two, b"a"), (other, b"b")):
        path.write_bytes(content)
    assert content_key(one) == content_key(two) != content_key(other)
    assert Content.of(one) == Content.of(two) != Content.of(other)


def test_folders_of_the_same_images_share_a_key(tmp_path: Path) -> None:
    for name in ("one", "two", "renamed", "other", "slower"):
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{'x' if name == 'renamed' else ''}{number}.jpg").write_bytes(bytes(300))
        (tmp_path / name / "fps.txt").write_text("10" if name == "slower" else "12")
    (tmp_path / "other" / "1.jpg").write_bytes(bytes(301))
    for look in (content_key, Content.of):
        one, two, *others = (look(tmp_path / name) for name in ("one", "two", "renamed", "other", "slower"))
        assert one == two
        assert len({one, *others}) == 4
