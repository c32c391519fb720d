"""Frames a second of the mannequin generator, encoding and truth files included; and its memory.

python -m benchmarks.mannequin
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from benchmarks.record import command_line, finish, goal, significant
from kinesphere.synthetic import (
    CROWD_CLASSES,
    Crowd,
    MannequinSettings,
    generate,
    generate_people,
    plan_clips,
)

_PEOPLE = MannequinSettings(
    classes=CROWD_CLASSES, size=(240, 320), fps=10, performers=60, splits=(1.0, 0.0, 0.0)
)
_HOUR_S = 3600.0


def generation_s(make: Callable[[Path], object]) -> float:
    """Seconds to generate a set; the clock starts before the worker processes do."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        make(Path(folder) / "set")
        return time.perf_counter() - start


def row(what: str, size: str, workers: int, frames: int, wall_s: float) -> dict[str, str | int]:
    """A row of the table."""
    return {
        "what": what,
        "size": size,
        "workers": workers,
        "frames": frames,
        "seconds": significant(wall_s),
        "frames/s": significant(frames / wall_s),
    }


def people(folder: Path, count: int, crowd: Crowd, workers: int, joints_only: bool) -> None:
    """Recordings of several people."""
    generate_people(_PEOPLE, folder, count=count, crowd=crowd, joints_only=joints_only, workers=workers)


def peak_mb(seconds: float) -> float:
    """The most memory of a process that draws one recording of two people."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_drawn_mb, (seconds,))


def _drawn_mb(seconds: float) -> float:
    crowd = Crowd(people=(2, 2), duration_s=seconds)
    generation_s(partial(people, count=1, crowd=crowd, workers=1, joints_only=False))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts KiB


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--workers", type=int, default=2, help="the goal is about 2")
    parser.add_argument("--clips", type=int, default=16, help="videos of each of the default classes")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of recordings of several people")
    parser.add_argument("--joints", type=float, default=_HOUR_S, help="length of recordings of joints alone")
    args = parser.parse_args()
    settings = MannequinSettings(clips_per_class=args.clips)
    frames = sum(round(plan.duration_s * settings.fps) for plan in plan_clips(settings))
    wall_s = generation_s(partial(generate, settings, workers=args.workers))
    height, width = settings.size
    rows = [row("movements", f"{width}x{height}", args.workers, frames, wall_s)]
    for what, low, high in (("1 person", 1, 1), ("2 people", 2, 2), ("4 people", 4, 4)):
        drawn = partial(
            people, count=2, crowd=Crowd(people=(low, high), duration_s=args.seconds), joints_only=False
        )
        took_s = generation_s(partial(drawn, workers=args.workers))
        rows.append(row(what, "320x240", args.workers, 2 * round(args.seconds * _PEOPLE.fps), took_s))
    for what, count in (("joints of 1 person", 1), ("joints of 3 people", 3)):
        crowd = Crowd(people=(count, count), duration_s=args.joints)
        took_s = generation_s(partial(people, count=1, crowd=crowd, workers=1, joints_only=True))
        rows.append(row(what, "no pixels", 1, round(args.joints * _PEOPLE.fps), took_s))
    measured = frames / wall_s if args.workers == 2 else None
    short, long = peak_mb(args.seconds), peak_mb(4 * args.seconds)
    goals = [
        goal(f"{width}x{height} on 2 cores", measured, 150, " frames/s"),
        goal("memory of a video four times as long", long / short, 1.15, at_most=True),
    ]
    notes = [
        (
            f"memory of drawing two people at 320x240: {short:.0f} MB for {args.seconds:g} s, {long:.0f} MB "
            f"for {4 * args.seconds:g} s"
        ),
        "people, joints: 10 frames a second, boxes, facts and pose files included",
    ]
    finish("mannequin", "Generating movements", parser, args, rows, goals, notes)


if __name__ == "__main__":
    main()
