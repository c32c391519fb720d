"""A benchmark before and after a change, in turn on one machine.

    python -m benchmarks.paired BEFORE NAME --columns COLUMN… [--rounds N] [--options=TEXT]

BEFORE is a checkout of the code as it was. Its package is measured by the script of this checkout, or with
`--own-script` by its own; rounds alternate, and each cell is the median. `change` is after ÷ before.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.record import command_line, finish, significant

HERE = Path(__file__).resolve().parents[1]

Cells = dict[tuple[str, ...], dict[str, float]]
"""The numbers of each row by column; a row is known by its texts."""


def measured(checkout: Path, scripts: Path, name: str, options: Sequence[str]) -> dict[str, Any]:
    """The record that one run of a benchmark gives of a checkout's package, wherever it would be kept."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "benchmarks"  # where the scripts lie is where they keep their records
        shutil.copytree(scripts / "benchmarks", copy, ignore=shutil.ignore_patterns("__pycache__"))
        paths = os.pathsep.join((folder, str(checkout / "src")))
        words = [sys.executable, "-m", f"benchmarks.{name}", *options]
        subprocess.run(words, cwd=folder, env={**os.environ, "PYTHONPATH": paths}, check=True)
        record: dict[str, Any] = json.loads((copy / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return record


def cells(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Cells:
    """The numbers in `columns`, by the texts before the first of them; other cells are left out."""
    found: Cells = {}
    for row in rows:
        names = list(row)
        first = min((names.index(column) for column in columns if column in names), default=len(names))
        key = tuple(str(row[name]) for name in names[:first] if _number(row[name]) is None)
        found[key] = {column: value for column in columns if (value := _number(row.get(column))) is not None}
    return found


def _number(text: object) -> float | None:
    try:
        return float(str(text))
    except ValueError:
        return None


def compared(before: Sequence[Cells], after: Sequence[Cells], columns: Sequence[str]) -> list[dict[str, str]]:
    """A row for each row and column that was measured after; empty where it was not measured before."""
    rows = []
    for key in after[0]:
        for column in columns:
            old, new = (
                [run[key][column] for run in runs if column in run.get(key, {})] for runs in (before, after)
            )
            if not new:
                continue
            was, now = median(old) if old else None, median(new)
            rows.append(
                {
                    "what": ", ".join(key),
                    "measured": column,
                    "before": "" if was is None else significant(was),
                    "after": significant(now),
                    "change": significant(now / was) if was else "",
                }
            )
    return rows


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("before", type=Path, metavar="BEFORE")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--columns", nargs="+", required=True, help="columns of the record to compare")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--own-script", action="store_true", help="measure the code before by its own script")
    parser.add_argument("--options", default="", metavar="TEXT", help="of the benchmark, as one text")
    args = parser.parse_args()
    scripts = args.before if args.own_script else HERE
    runs: dict[str, list[Cells]] = {"before": [], "after": []}
    for number in range(args.rounds):
        for side, checkout, source in (("before", args.before, scripts), ("after", HERE, HERE)):
            print(f"\n=== {args.name}, {side}, round {number + 1}", flush=True)
            record = measured(checkout.resolve(), source.resolve(), args.name, shlex.split(args.options))
            runs[side].append(cells(record["rows"], args.columns))
    rows = compared(runs["before"], runs["after"], args.columns)
    notes = [
        f"Medians of {args.rounds} rounds in turn.",
        "The code before was measured by "
        + ("its own script." if args.own_script else "the script of the code after."),
    ]
    name, title = f"paired_{args.name}", f"{record['title']}: before and after"
    finish(name, title, parser, args, rows, notes=notes, script="paired")


if __name__ == "__main__":
    main()
