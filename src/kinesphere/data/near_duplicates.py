"""Videos that show the same although their bytes differ: encoded anew, at another size, or cut out.

What moves where, and when, is compared, and not what frames look like: clips of one fixed camera look alike,
and only copies move alike. Of each video small grey frames are read at eight a second; the differences of
neighbours, averaged over a grid of cells, are its rows, and twelve rows one after the other a window. Two
windows agree where the cosine between them is high, and two videos where enough windows agree at one shift in
time.

To find candidates without comparing all windows with all, windows are hashed by the signs of random
projections (Charikar 2002), and only those are compared that agree in one band of their bits.

T frames, W windows, C = CELLS² cells, F = FRAMES·C numbers of a window.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesphere.core.errors import KinesphereError
from kinesphere.core.parallel import bounded_map
from kinesphere.data.faults import Problem
from kinesphere.data.manifest import Manifest, shown_path
from kinesphere.video import Video

RATE = 8.0
"""Frames that are read of each second."""
FRAMES, CELLS = 12, 6
_SIDE = 48
_LONGEST_S = 120.0
# A window counts where cells change by as much on average, of 255; below there is noise of the encoder alone.
_LEAST_MOTION = 0.4
ALIKE = 0.9
"""Least cosine of two windows that agree."""
LEAST_WINDOWS = 6
"""Least windows of two videos that agree at one shift."""
_LEAST_SHARE = 0.5
_BANDS, _BITS = 8, 12
# Of a band's bucket with more windows than this, nothing is compared: all the world is in it.
_FULLEST = 400


@dataclass(frozen=True)
class NearDuplicate:
    """Two videos of which one likely is a copy, or a part, of the other.

    Attributes:
        one: A video.
        other: Another one.
        shift_s: When the other one's beginning is in the first, in seconds.
        windows: How many windows agree.
    """

    one: Path
    other: Path
    shift_s: float
    windows: int


def motion_of(path: Path) -> np.ndarray:
    """`(T, C)` float32: how much each cell changes, of 255, from frame to frame, eight times a second.

    Raises:
        KinesphereError: If the video cannot be read.
    """
    with Video.open(path, threads=1) as video:
        end_s = min(video.info.duration_s or _LONGEST_S, video.info.start_s + _LONGEST_S)
        times = np.arange(video.info.start_s, end_s - 1e-3, 1 / RATE)
        if len(times) < FRAMES + 1:
            return np.zeros((0, CELLS**2), np.float32)
        frames = video.frames_at(times, (_SIDE, _SIDE)).data.mean(1, dtype=np.float32)
    changes = np.abs(np.diff(frames, axis=0))
    cell = _SIDE // CELLS
    cells: np.ndarray = changes.reshape(len(changes), CELLS, cell, CELLS, cell).mean((2, 4))
    return cells.reshape(len(cells), CELLS**2)


def windows_of(motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The windows of a video in which something moves.

    Args:
        motion: `(T, C)`.

    Returns:
        `(W, F)` float32 of length 1 and without their mean, and `(W,)` the number of the first frame of each.
    """
    if len(motion) < FRAMES:
        return np.zeros((0, FRAMES * motion.shape[1]), np.float32), np.zeros(0, int)
    rows = np.lib.stride_tricks.sliding_window_view(motion, FRAMES, axis=0)
    flat = np.ascontiguousarray(rows.transpose(0, 2, 1)).reshape(len(rows), -1)
    moving = flat.mean(1) >= _LEAST_MOTION
    # The square root keeps one strong movement from being all that counts.
    flat = np.sqrt(flat[moving])
    flat = flat - flat.mean(1, keepdims=True)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    return (flat / np.maximum(norms, 1e-9)).astype(np.float32), np.flatnonzero(moving)


def near_duplicates(windows: Mapping[Path, tuple[np.ndarray, np.ndarray]]) -> list[NearDuplicate]:
    """Pairs of videos that agree in enough windows at one shift, in the order of the first ones.

    Args:
        windows: Of each video, as `windows_of` gives them.
    """
    paths = [path for path, (rows, _) in windows.items() if len(rows)]
    if len(paths) < 2:
        return []
    rows = np.concatenate([windows[path][0] for path in paths])
    starts = np.concatenate([windows[path][1] for path in paths])
    owner = np.repeat(np.arange(len(paths)), [len(windows[path][0]) for path in paths])
    agreeing: dict[tuple[int, int], Counter[int]] = defaultdict(Counter)
    for first, second in _candidates(rows, owner):
        if float(rows[first] @ rows[second]) >= ALIKE:
            agreeing[int(owner[first]), int(owner[second])][int(starts[first] - starts[second])] += 1
    found = []
    for (one, other), shifts in sorted(agreeing.items()):
        shorter = min(len(windows[paths[number]][0]) for number in (one, other))
        # The clocks of two files differ by fractions of a step: neighbouring shifts are one.
        near = {s: shifts[s - 1] + n + shifts[s + 1] for s, n in shifts.items()}
        shift = max(shifts, key=lambda s: (near[s], shifts[s], -abs(s)))
        count = min(near[shift], shorter)
        if count >= max(LEAST_WINDOWS, _LEAST_SHARE * shorter):
            found.append(NearDuplicate(paths[one], paths[other], shift / RATE, count))
    return found


def _candidates(rows: np.ndarray, owner: np.ndarray) -> Iterable[tuple[int, int]]:
    """Pairs of windows of different videos that agree in one band of their bits, each once."""
    rng = np.random.default_rng(0)
    planes = rng.standard_normal((rows.shape[1], _BANDS * _BITS)).astype(np.float32)
    bits = (rows @ planes > 0).reshape(len(rows), _BANDS, _BITS)
    keys = bits @ (1 << np.arange(_BITS))
    seen: set[tuple[int, int]] = set()
    for band in range(_BANDS):
        order = np.argsort(keys[:, band], kind="stable")
        edges = np.flatnonzero(np.diff(keys[order, band])) + 1
        for bucket in np.split(order, edges):
            if not 1 < len(bucket) <= _FULLEST:
                continue
            for i, first in enumerate(bucket.tolist()):
                for second in bucket[i + 1 :].tolist():
                    pair = (first, second) if owner[first] < owner[second] else (second, first)
                    if owner[first] != owner[second] and pair not in seen:
                        seen.add(pair)
                        yield pair


def find_near_duplicates(
    paths: Sequence[Path],
    *,
    workers: int = 1,
    timeout_s: float = 60.0,
    progress: Callable[[int, int], None] | None = None,
) -> list[NearDuplicate]:
    """Near-duplicates among some videos; those that cannot be read take no part.

    Args:
        paths: The videos, each once.
        workers: Processes that read them.
        timeout_s: Longest time for one.
        progress: Called with the number of videos done and of all.
    """
    found: dict[Path, tuple[np.ndarray, np.ndarray]] = {}
    for number, (path, motion) in enumerate(
        bounded_map(_motion_or_none, paths, workers=workers, timeout_s=timeout_s), start=1
    ):
        if isinstance(motion, np.ndarray):
            found[path] = windows_of(motion)
        if progress is not None:
            progress(number, len(paths))
    return near_duplicates({path: found[path] for path in paths if path in found})


def _motion_or_none(path: Path) -> np.ndarray | None:
    try:
        return motion_of(path)
    except KinesphereError:
        return None


def near_duplicate_problems(manifest: Manifest, found: Iterable[NearDuplicate]) -> list[Problem]:
    """Near-duplicates in several splits, which a test would flatter by, and others.

    Args:
        manifest: The samples with their splits.
        found: Pairs of their files.
    """
    splits: dict[Path, set[str]] = defaultdict(set)
    for path, split in zip(manifest.table.paths, manifest.table.splits, strict=True):
        if split is not None:
            splits[path].add(split)
    crossing: list[str] = []
    within: list[str] = []
    for pair in found:
        parts = splits[pair.one] | splits[pair.other]
        (crossing if len(parts) > 1 else within).append(_said(pair, manifest, parts))
    problems = []
    if crossing:
        message = (
            f"{len(crossing)} pairs of videos in several splits show the same, so that a test would flatter; "
            "keep each pair in one split, or give both one group."
        )
        problems.append(Problem("error", "near duplicate", message, tuple(crossing)))
    if within:
        message = (
            f"{len(within)} pairs of videos of one split show the same; remove one, or give both one group."
        )
        problems.append(Problem("warning", "near duplicate", message, tuple(within)))
    return problems


def _said(pair: NearDuplicate, manifest: Manifest, splits: Collection[str]) -> str:
    one, other = (shown_path(path, manifest.root) for path in (pair.one, pair.other))
    later = (
        f", {abs(pair.shift_s):.1f} s {'into' if pair.shift_s > 0 else 'before'} the first"
        if pair.shift_s
        else ""
    )
    named = f" ({' and '.join(sorted(splits))})" if len(splits) > 1 else ""
    return f"{one} = {other}{later}{named}"
