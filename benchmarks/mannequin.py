"""Frames a second of the mannequin generator, encoding and truth files included.

python -m benchmarks.mannequin
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.record import command_line, finish, goal, significant
from kinesphere.synthetic import MannequinSettings, generate, plan_clips


def generation_s(settings: MannequinSettings, workers: int) -> float:
    """Seconds to generate a set; the clock starts before the worker processes do."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        generate(settings, Path(folder) / "set", workers=workers)
        return time.perf_counter() - start


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--workers", type=int, default=2, help="the goal is about 2")
    parser.add_argument("--clips", type=int, default=16, help="videos of each of the default classes")
    args = parser.parse_args()
    settings = MannequinSettings(clips_per_class=args.clips)
    frames = sum(round(plan.duration_s * settings.fps) for plan in plan_clips(settings))
    wall_s = generation_s(settings, args.workers)
    height, width = settings.size
    row = {
        "size": f"{width}x{height}",
        "workers": args.workers,
        "frames": frames,
        "seconds": significant(wall_s),
        "frames/s": significant(frames / wall_s),
    }
    measured = frames / wall_s if args.workers == 2 else None
    goals = [goal(f"{width}x{height} on 2 cores", measured, 150, " frames/s")]
    finish("mannequin", "Generating movements", parser, args, [row], goals)


if __name__ == "__main__":
    main()
