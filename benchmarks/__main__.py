"""Run the benchmarks one after the other, each in a fresh process, from the repository's root.

    python -m benchmarks [NAMES...]

Each keeps what it measured in `benchmarks/results/`. One whose peer packages are missing is left out and
named at the end; the others that miss a peer run without it and say so in their record.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.peers import MISSING_PEER
from benchmarks.record import RESULTS

NAMES = (
    "decode",
    "live",
    "live_visitors",
    "small_files",
    "cache",
    "inference",
    "zoo",
    "train",
    "probing",
    "loader",
    "growth",
    "large_lists",
    "threads",
    "startup",
    "alarms",
    "mannequin",
    "compact",
    "damaged",
    "coverage",
    "heatmaps",
    "activations",
    "extraction",
    "features",
    "background",
    "explained_sets",
    "planted",
    "planted_layers",
    "explain",
    "box_pixels",
    "box_poses",
    "box_fusion",
    "few_clips",
    "long_tail",
    "labels",
    "joint",
    "events",
    "robbery",
    "segments",
    "localise",
    "localise_video",
    "spatiotemporal",
    "people",
    "long_video",
    "keeps_up",
    "objects",
    "laboratory",
    "robustness",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAMES", help=f"of {', '.join(NAMES)}; default: all")
    names = parser.parse_args().names or NAMES
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    statuses = {}
    for name in names:
        print(f"\n=== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        statuses[name] = subprocess.run(command, cwd=Path(__file__).parents[1], check=False).returncode
    failed = False
    print(f"\nRecords are in {RESULTS}; `make docs` makes docs/benchmarks.md from them.")
    for name, status in statuses.items():
        if status == MISSING_PEER:
            print(f"{name}: left out, a package that it compares with is not installed")
        elif status:
            failed = True
            print(f"{name}: failed with exit status {status}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
