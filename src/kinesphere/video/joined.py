"""Files that another file was appended to, where the container's own index ends with the first.

MPEG streams and Matroska go on with the second recording (see `repair`); MP4, AVI and FLV do not, nor does
any player. That is worth a word.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import BinaryIO

from kinesphere.video.container import Source

# Top-level parts that are looked at; a live recording has two for every second.
_MOST_PARTS = 20_000
_NEAR_BYTES = 64


def is_followed(source: Source, container: str, read_to: int) -> bool:
    """Whether a local file holds another recording of the same container behind its first.

    Args:
        source: The file or bytes.
        container: FFmpeg's name of the format.
        read_to: Where the data of the last packet end.
    """
    try:
        with _opened(source) as file:
            if container.startswith("mov"):
                return _second_movie(file)
            if container == "avi":
                return _second_riff(file, read_to)
            if container == "flv":
                file.seek(read_to)
                return b"FLV\x01" in file.read(_NEAR_BYTES)
    except (OSError, struct.error, ValueError):
        return False
    return False


def _opened(source: Source) -> BinaryIO:
    return io.BytesIO(source.data) if source.kind == "bytes" else Path(source.location).open("rb")


def _second_movie(file: BinaryIO) -> bool:
    """Whether a second index stands among the boxes."""
    end = file.seek(0, io.SEEK_END)
    at, movies = 0, 0
    for _ in range(_MOST_PARTS):
        file.seek(at)
        header = file.read(16)
        if len(header) < 8 or at >= end:
            break
        size, kind = struct.unpack(">I4s", header[:8])
        if size == 1 and len(header) == 16:
            size = struct.unpack(">Q", header[8:])[0]
        movies += kind == b"moov"
        if size < 8 or movies > 1:
            break
        at += size
    return movies > 1


def _second_riff(file: BinaryIO, read_to: int) -> bool:
    """Whether a second file header follows what was read; long AVIs go on in parts of another name."""
    at, films = 0, 0
    for _ in range(_MOST_PARTS):
        file.seek(at)
        header = file.read(12)
        if len(header) < 12:
            break
        name, size, kind = struct.unpack("<4sI4s", header)
        films += name == b"RIFF" and kind == b"AVI " and (at == 0 or at >= read_to)
        if name != b"RIFF" or size < 4 or films > 1:
            break
        at += 8 + size + size % 2
    return films > 1
