"""Decoded frames on disk: one file per video, span and size, read by memory map.

A file holds the frames (uint8; frame by frame, rows, columns, RGB), their presentation times
(float64), a JSON footer, and the footer's length, CRC-32 and a magic number. The footer comes last
because a decoder's complaints are known only once it is done. Frames are stored raw: reading one is a
copy from the page cache, and they are the decoder's own bit for bit.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from kinesphere.core.errors import InvalidClip
from kinesphere.core.files import replacing
from kinesphere.core.structured import parse_json

_MAGIC = b"KNSPHFR1"
_TRAILER = struct.Struct("<II8s")


class DamagedFrameFile(Exception):
    """The file is not what was written. Internal: the cache decodes the video again."""


@dataclass(frozen=True, eq=False)
class FrameFile:
    """An open file of frames.

    Attributes:
        frames: uint8 `(N, H, W, 3)`, mapped from disk.
        times: `(N,)` presentation times in seconds.
        damage: What the decoder complained of when the frames were made.
    """

    frames: np.ndarray
    times: np.ndarray
    damage: tuple[str, ...]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Map a file after checking its footer and size.

        Raises:
            FileNotFoundError: If there is none.
            DamagedFrameFile: If footer or size are wrong.
        """
        with path.open("rb") as file:
            try:
                total = file.seek(0, 2)
                file.seek(max(total - _TRAILER.size, 0))
                length, checksum, magic = _TRAILER.unpack(file.read())
                file.seek(max(total - _TRAILER.size - length, 0))
                footer = file.read(length)
                if magic != _MAGIC or zlib.crc32(footer) != checksum:
                    raise DamagedFrameFile(f"{path} does not end in a valid footer.")
                fields = parse_json(footer, path.name, InvalidClip)
                height, width = fields["size"]
                shape = (fields["count"], height, width, 3)
                damage = tuple(map(str, fields["damage"]))
                if not all(type(side) is int and side > 0 for side in shape):
                    raise DamagedFrameFile(f"{path} says {shape} in its footer.")
                if total != frame_file_bytes(shape[0], (height, width)) + length:
                    raise DamagedFrameFile(f"{path} has not the size that its footer says.")
            except (struct.error, InvalidClip, ValueError, KeyError, TypeError, OverflowError) as error:
                raise DamagedFrameFile(f"{path} has no readable footer.") from error
            times = np.fromfile(path, np.float64, shape[0], offset=math.prod(shape))
        return cls(np.memmap(path, np.uint8, "r", shape=shape), times, damage)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """A copy of some frames, `(len(rows), H, W, 3)`."""
        return np.asarray(self.frames[rows])


def frame_file_bytes(count: int, size: tuple[int, int]) -> int:
    """Size of a file in bytes, the footer's text not counted."""
    return count * (size[0] * size[1] * 3 + 8) + _TRAILER.size


def write_frame_file(
    path: Path,
    blocks: Iterable[tuple[np.ndarray, np.ndarray]],
    damage: Callable[[], Iterable[str]],
) -> None:
    """Write a file block by block, in flat memory; readers see it once it is whole.

    Args:
        path: Where to.
        blocks: Pairs of frames `(n, H, W, 3)` uint8 and their times `(n,)`; at least one.
        damage: The decoder's complaints, asked for after the last block.
    """
    times = []
    size: tuple[int, ...] = ()
    with replacing(path) as temporary, temporary.open("wb") as file:
        for frames, timestamps in blocks:
            file.write(np.ascontiguousarray(frames).data)
            times.append(np.asarray(timestamps, np.float64))
            size = frames.shape[1:3]
        joined = np.concatenate(times)
        fields = {"count": len(joined), "size": size, "damage": list(damage())}
        footer = json.dumps(fields).encode()
        file.write(joined.tobytes() + footer)
        file.write(_TRAILER.pack(len(footer), zlib.crc32(footer), _MAGIC))
