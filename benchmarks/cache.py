"""What the frame cache saves: later epochs from the cache beside the fastest direct decoding.

    python -m benchmarks.cache

Videos, tasks and readers are those of `benchmarks.decode`: 16 frames spread over a 20 s clip, 16
successive ones, and all, as uint8 RGB of 128x171 pixels (H x W), each reader opening its file anew.
`cached` reads them from a `FrameCache` that an earlier epoch has filled; its frames must equal those of
direct decoding bit for bit. `filling` is the first epoch: all frames decoded and written. Ratios are taken
to the fastest reader of all, ours and the peers that are installed.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.readers import (
    SIZE,
    TASKS,
    Reader,
    Row,
    compare,
    fastest,
    faults,
    readers,
    reading_options,
)
from benchmarks.record import command_line, finish, goal, milliseconds, significant
from benchmarks.videos import RATE, source_videos
from kinesphere.data.cache.frames import FrameCache

CACHED = "cached"


def cached(cache: FrameCache) -> Reader:
    """Reads from `cache`, which it fills on the way."""

    def read(path: Path, indices: tuple[int, ...] | None) -> np.ndarray:
        with cache.open(path) as video:
            times = video.frame_times() if indices is None else np.asarray(indices) / RATE
            return video.frames_at(times, SIZE).data.transpose(0, 2, 3, 1)

    return Reader(CACHED, read)


def fill_s(cache: FrameCache, path: Path) -> float:
    """Seconds of decoding and storing a whole video."""
    cache.clear()
    begin = time.perf_counter()
    cached(cache).read(path, TASKS["dense"])
    return time.perf_counter() - begin


def gain(rows: list[Row], filling_s: float, stored_bytes: int) -> tuple[dict[str, str], float]:
    """One line of the table, and how many times faster the cache is."""
    ours = fastest(rows, lambda name: name == CACHED)
    direct = fastest(rows, lambda name: name != CACHED)
    if ours is None or direct is None or ours.seconds is None or direct.seconds is None:
        raise SystemExit(f"{rows[0].source}, {rows[0].task}: Kinesphere itself failed.")
    ratio = direct.seconds / ours.seconds
    row = {
        "video": ours.source,
        "task": ours.task,
        "cached, ms": milliseconds(ours.seconds),
        "fastest direct, ms": milliseconds(direct.seconds),
        "its name": direct.reader,
        "direct ÷ cached": significant(ratio),
        "filling once, ms": milliseconds(filling_s),
        "size, MiB": significant(stored_bytes / 2**20),
    }
    return row, ratio


def main() -> None:
    parser = command_line(__doc__)
    reading_options(parser)
    args = parser.parse_args()
    rows: list[Row] = []
    table: list[dict[str, str]] = []
    ratios: dict[str, list[float]] = {task: [] for task in TASKS}
    with source_videos(args.only, args.videos) as paths, tempfile.TemporaryDirectory() as scratch:
        cache = FrameCache(Path(scratch), 2**31)
        candidates, notes = readers()
        direct = [reader for reader in candidates if reader.name != "bare decoding"]
        for source, path in paths.items():
            filling_s = min(fill_s(cache, path) for _ in range(2))
            for task in TASKS:
                chosen = [*(reader for reader in direct if task in reader.tasks), cached(cache)]
                timed = compare(chosen, path, source.name, task, args.rounds)
                row, ratio = gain(timed, filling_s, cache.usage().used_bytes)
                table.append(row)
                ratios[task].append(ratio)
                rows += timed
    goals = [
        goal(f"later epochs, {task}, speed over the fastest direct reader", min(r, default=None), 5)
        for task, r in ratios.items()
    ]
    unequal = sum(row.reader == CACHED and row.difference != 0 for row in rows)
    goals.append(
        f"cached frames equal decoded ones bit for bit: {f'missed in {unequal} rows' if unequal else 'met'}"
    )
    finish("cache", "Frame cache", parser, args, table, goals, [*notes, *faults(rows)])


if __name__ == "__main__":
    main()
