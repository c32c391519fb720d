"""Systematically damaged videos: what copying, downloading, disks and people do to files.

Nothing is random beyond a seed: damage `i` of a set is the same on every machine.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import av
import numpy as np

CUTS = (1, 7, 16, 64, 300, 1000, 4096)
CUT_SHARES = (0.02, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.97, 0.999)
FLIP_RATES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
SUFFIXES = (".avi", ".mp4", ".mkv", ".mpg", ".txt", ".jpg", ".wav", ".ts", "")
# A flipped bit in a header matters more than one in a picture: these kinds aim there.
HEADER = 2048
KINDS = (
    "truncated", "truncated share", "flipped bits", "flipped header", "flipped tail", "zeroed stretch",
    "dropped stretch", "repeated stretch", "swapped header", "wrong suffix", "only the tail",
    "trailing garbage", "overwritten words", "no video",
)  # fmt: skip


@dataclass(frozen=True)
class Damaged:
    """One file: its kind of damage, what was done, the suffix of its name, and its bytes."""

    kind: str
    detail: str
    suffix: str
    data: bytes


def damaged_videos(sources: list[tuple[str, bytes]], count: int, seed: int = 0) -> Iterator[Damaged]:
    """`count` damaged files made from `sources` (name, bytes), all kinds by turns."""
    names = cycle(range(len(sources)))
    for i, kind in enumerate(islice(cycle(KINDS), count)):
        rng = np.random.default_rng((seed, i))
        first = next(names) if i % len(KINDS) == 0 else int(rng.integers(len(sources)))
        name, data = sources[first]
        _, other = sources[int(rng.integers(len(sources)))]
        yield _damage(kind, name, data, other, rng, i // len(KINDS))


def _damage(kind: str, name: str, data: bytes, other: bytes, rng: np.random.Generator, turn: int) -> Damaged:
    suffix = Path(name).suffix
    size = len(data)
    start = int(rng.integers(size))
    length = int(min(size - start, rng.integers(1, max(2, size // 8))))
    if kind == "truncated":
        kept = CUTS[turn % len(CUTS)]
        return Damaged(kind, f"{kept} bytes of {name}", suffix, data[:kept])
    if kind == "truncated share":
        share = CUT_SHARES[turn % len(CUT_SHARES)]
        return Damaged(kind, f"{share:.1%} of {name}", suffix, data[: int(size * share)])
    if kind == "flipped bits":
        rate = FLIP_RATES[turn % len(FLIP_RATES)]
        return Damaged(kind, f"{rate:g} of {name}", suffix, _flip(data, 0, size, rate, rng))
    if kind == "flipped header":
        rate = (1e-3, 4e-3, 2e-2)[turn % 3]
        return Damaged(kind, f"{rate:g} of {name}", suffix, _flip(data, 0, HEADER, rate, rng))
    if kind == "flipped tail":
        rate = (1e-4, 1e-3)[turn % 2]
        return Damaged(kind, f"{rate:g} of {name}", suffix, _flip(data, size - 16 * HEADER, size, rate, rng))
    if kind == "zeroed stretch":
        cut = data[:start] + bytes(length) + data[start + length :]
        return Damaged(kind, f"{length} at {start} of {name}", suffix, cut)
    if kind == "dropped stretch":
        return Damaged(kind, f"{length} at {start} of {name}", suffix, data[:start] + data[start + length :])
    if kind == "repeated stretch":
        cut = data[: start + length] + data[start:]
        return Damaged(kind, f"{length} at {start} of {name}", suffix, cut)
    if kind == "swapped header":
        head = int(rng.choice([32, 512, HEADER]))
        return Damaged(kind, f"{head} bytes onto {name}", suffix, other[:head] + data[head:])
    if kind == "wrong suffix":
        wrong = SUFFIXES[turn % len(SUFFIXES)]
        return Damaged(kind, f"{name} as {wrong or 'nothing'}", wrong, data)
    if kind == "only the tail":
        return Damaged(kind, f"from {start} of {name}", suffix, data[start:])
    if kind == "trailing garbage":
        return Damaged(kind, f"after {name}", suffix, data + rng.bytes(int(rng.integers(1, 100_000))))
    if kind == "overwritten words":
        return Damaged(kind, f"in {name}", suffix, _overwrite(data, rng))
    return _no_video(turn, suffix, rng)


def _flip(data: bytes, start: int, stop: int, rate: float, rng: np.random.Generator) -> bytes:
    """Flip about `rate` of the bits, at least one, between two positions."""
    start = max(0, start)
    stop = min(len(data), stop)
    array = np.frombuffer(data, np.uint8).copy()
    count = max(1, rng.binomial((stop - start) * 8, rate))
    where = rng.integers(start * 8, stop * 8, count)
    np.bitwise_xor.at(array, where // 8, (1 << (where % 8)).astype(np.uint8))
    return array.tobytes()


def _overwrite(data: bytes, rng: np.random.Generator) -> bytes:
    """Put the numbers that parsers trip over into the words of headers and indexes."""
    array = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        region = HEADER if rng.random() < 0.5 else len(data)
        at = int(rng.integers(min(region, len(data)) - 4))
        at = at if rng.random() < 0.5 else max(0, len(data) - 4 - at)
        word = rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0xFFFF])
        array[at : at + 4] = int(word).to_bytes(4, "big" if rng.random() < 0.5 else "little")
    return bytes(array)


def _no_video(turn: int, suffix: str, rng: np.random.Generator) -> Damaged:
    made = (
        ("zero-length", b""),
        ("text", b"path,label,group\n" + b"clip_01.mp4,walk,anna\n" * 200),
        ("noise", rng.bytes(20_000)),
        ("zeros", bytes(20_000)),
        ("sound", _sound()),
        ("playlist", b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/hostname\n"),
        ("page", b"<!DOCTYPE html><html><body>404 Not Found</body></html>" * 20),
    )
    detail, data = made[turn % len(made)]
    return Damaged("no video", detail, suffix, data)


def _sound() -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16_000))
    return target.getvalue()


def damage_packets(film: Path, target: Path, numbers: Collection[int], *, whole: bool) -> Path:
    """A copy of a video of which some packets are damaged.

    Args:
        film: An H.264 file.
        target: Where the copy is written.
        numbers: Which packets, in order of decoding.
        whole: Whether no frame comes of them; else half of each is lost, and decoders patch the frame.
    """
    with av.open(str(film)) as container, av.open(str(target), "w") as copy:
        stream = container.streams.video[0]
        out = copy.add_stream_from_template(stream)
        for number, packet in enumerate(container.demux(stream)):
            if not packet.size:
                continue
            data = bytes(packet)
            if number in numbers:
                kept = 5 if whole else len(data) // 2
                data = data[:kept] + bytes(len(data) - kept)
            made = av.Packet(data)
            made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
            made.duration, made.is_keyframe = packet.duration, packet.is_keyframe
            made.stream = out
            copy.mux(made)
    return target
