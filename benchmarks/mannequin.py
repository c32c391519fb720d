"""Frames a second of the mannequin generator, encoding and truth files included.

Run: python benchmarks/mannequin.py [--workers 2] [--clips 16]. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from kinesphere.core.device import cpu_count
from kinesphere.data.mannequin import MannequinSettings, generate, plan_clips


def measure(settings: MannequinSettings, workers: int) -> dict[str, float]:
    """Generate a set in a temporary folder; the clock starts before the worker processes do."""
    frames = sum(round(plan.duration_s * settings.fps) for plan in plan_clips(settings))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        generate(settings, Path(folder) / "set", workers=workers)
        wall_s = time.perf_counter() - start
    return {"frames": frames, "wall_s": round(wall_s, 2), "frames_per_s": round(frames / wall_s, 1)}


def main() -> None:
    """Measure at the default size, 160×120."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--clips", type=int, default=16, help="videos of each of the default classes")
    options = parser.parse_args()
    settings = MannequinSettings(clips_per_class=options.clips)
    result = {
        "size": settings.size,
        "workers": options.workers,
        "cores": cpu_count(),
        **measure(settings, options.workers),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
