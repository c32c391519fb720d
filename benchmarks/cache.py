"""What the frame cache saves: later epochs from the cache beside the fastest direct decoding.

    python -m benchmarks.cache --json cache.json

Videos, tasks and readers are those of `benchmarks.decode`: 16 frames spread over a 20 s clip, 16
successive ones, and all, as uint8 RGB of 128x171 pixels (H x W), each reader opening its file anew.
`cached` reads them from a `FrameCache` that an earlier epoch has filled; its frames must equal those of
direct decoding bit for bit (`difference` 0). `filling` is the first epoch: all frames decoded and
written. Ratios are taken to the fastest reader of all, ours and the peers that are installed.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from benchmarks.decode import (
    RATE,
    SECONDS,
    SIZE,
    SOURCES,
    TASKS,
    Reader,
    Row,
    compare,
    encode,
    pictures,
    readers,
)

from kinesphere.core.device import cpu_count
from kinesphere.data.cache import FrameCache


def cached(cache: FrameCache) -> Reader:
    """Reads from `cache`, which it fills on the way."""

    def read(path: Path, indices: tuple[int, ...] | None) -> np.ndarray:
        with cache.open(path) as video:
            times = video.frame_times() if indices is None else np.asarray(indices) / RATE
            return video.frames_at(times, SIZE).data.transpose(0, 2, 3, 1)

    return Reader("cached", "kinesphere", read)


def fill_s(cache: FrameCache, path: Path) -> float:
    """Seconds of decoding and storing a whole video."""
    cache.clear()
    begin = time.perf_counter()
    cached(cache).read(path, TASKS["dense"])
    return time.perf_counter() - begin


def table(rows: list[Row], filling: dict[str, float]) -> str:
    """Markdown: one line per video and task."""
    lines = [
        "| video | task | cached | fastest direct | its name | direct ÷ cached | filling, once |",
        "|---|---|--:|--:|---|--:|--:|",
    ]
    for source, task in dict.fromkeys((row.source, row.task) for row in rows):
        timed = {r.reader: r.seconds for r in rows if (r.source, r.task) == (source, task) and r.seconds}
        ours = timed.pop("cached")
        direct = min(timed, key=timed.__getitem__)
        cells = [
            source,
            task,
            f"{ours * 1e3:.2f} ms",
            f"{timed[direct] * 1e3:.1f} ms",
            direct,
            f"{timed[direct] / ours:.1f}",
            f"{filling[source] * 1e3:.0f} ms",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the frame cache; see the module's docstring.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="part of the names of the videos to read")
    parser.add_argument("--videos", type=Path, help="folder to keep the generated videos in")
    parser.add_argument("--json", type=Path, help="where to write all rows")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.videos or Path(scratch) / "videos"
        folder.mkdir(parents=True, exist_ok=True)
        cache = FrameCache(Path(scratch) / "cache", 2**31)
        candidates, absent = readers()
        direct = [reader for reader in candidates if reader.name != "bare decoding"]
        rows: list[Row] = []
        filling: dict[str, float] = {}
        for source in SOURCES:
            if args.only not in source.name:
                continue
            path = folder / f"{source.name.replace(' ', '_')}{source.suffix}"
            if not path.exists():
                encode(path, source, pictures(source.size, SECONDS * RATE))
            filling[source.name] = min(fill_s(cache, path) for _ in range(2))
            for task in TASKS:
                chosen = [reader for reader in direct if task in reader.tasks]
                rows += compare([*chosen, cached(cache)], path, source.name, task, args.rounds)
        stored_bytes = cache.usage().used_bytes
    print(table(rows, filling))
    unequal = [row for row in rows if row.reader == "cached" and row.difference != 0]
    print(f"cached frames equal direct decoding: {'no, see the rows' if unequal else 'yes'}")
    print(f"one video of {SECONDS} s takes {stored_bytes / 2**20:.1f} MiB in the cache")
    for package, reason in absent.items():
        print(f"not available: {package} ({reason})")
    if args.json:
        report = {
            "machine": {"cores": cpu_count(), "platform": platform.platform()},
            "stored_bytes": stored_bytes,
            "filling_s": filling,
            "rows": [asdict(row) for row in rows],
        }
        args.json.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
