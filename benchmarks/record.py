"""What all benchmarks share: their command line, how they state goals, and the record of what they measured.

A record is one JSON file in `results/`; `make docs` makes docs/benchmarks.md from them.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from kinesphere.core.device import cpu_count, cpu_flags

RESULTS = Path(__file__).resolve().parent / "results"

Row = Mapping[str, str | int | float]


def command_line(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the option of all benchmarks; each adds its own."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-record", action="store_true", help="print only, leave results/ as it is")
    return parser


def generated_sets(doc: str | None, seeds: int, clips: int, work: Path) -> argparse.ArgumentParser:
    """`command_line` with the number, size and place of generated sets, of which each seed has one."""
    parser = command_line(doc)
    parser.add_argument("--seeds", type=int, default=seeds, help=f"sets (default: {seeds})")
    parser.add_argument(
        "--clips", type=int, default=clips, help=f"clips of a class in all (default: {clips})"
    )
    parser.add_argument("--work", type=Path, default=work, help="folder of what is kept")
    return parser


def significant(value: float, digits: int = 3) -> str:
    """`value` with at least so many significant digits, never in powers of ten."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def milliseconds(seconds: float | None) -> str:
    """A cell of a table; empty for what was not timed."""
    return "" if seconds is None else significant(seconds * 1e3)


def goal(what: str, measured: float | None, bound: float, unit: str = "x", *, at_most: bool = False) -> str:
    """One line that holds a measurement against its bound; `None` for what this run left out."""
    wanted = f"(goal: {'at most' if at_most else 'at least'} {bound:g}{unit})"
    if measured is None:
        return f"{what} {wanted}: not measured in this run"
    met = measured <= bound if at_most else measured >= bound
    return f"{what}: {significant(measured)}{unit} {wanted}: {'met' if met else 'missed'}"


def finish(
    name: str,
    title: str,
    parser: argparse.ArgumentParser,
    args: argparse.Namespace,
    rows: Sequence[Row],
    goals: Sequence[str] = (),
    notes: Sequence[str] = (),
    *,
    script: str | None = None,
) -> None:
    """Print what was measured and, without `--no-record`, write the record.

    `script` names the module that measured where the record has another name.
    """
    print(f"\n{table(rows)}\n")
    print("\n".join([*goals, *notes]))
    if not args.no_record:
        print(write_record(name, title, _command(script or name, parser, args), rows, goals, notes))


def table(rows: Sequence[Row]) -> str:
    """Markdown with the columns of all rows; what a row does not have stays empty."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, ["---"] * len(columns), *([str(row.get(c, "")) for c in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_record(
    name: str,
    title: str,
    command: str,
    rows: Sequence[Row],
    goals: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Path:
    """Write `results/<name>.json`.

    Args:
        name: File name without suffix.
        title: Headline in the docs.
        command: What to type to measure again.
        rows: The table; all rows have the columns of the first.
        goals: Lines that hold results against goals, misses included.
        notes: Lines on what limits the results, such as peers that are not installed.
    """
    RESULTS.mkdir(exist_ok=True)
    record = {
        "title": title,
        "command": command,
        "machine": machine(),
        "rows": [dict(row) for row in rows],
        "goals": list(goals),
        "notes": list(notes),
    }
    path = RESULTS / f"{name}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)
    return path


def machine() -> str:
    """What was measured on, without names of hosts."""
    flags = cpu_flags()
    wide = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else platform.machine()
    bf16 = "native bf16" if {"avx512_bf16", "amx_bf16", "bf16"} & flags else "no native bf16"
    return f"{cpu_count()} CPU cores ({wide}, {bf16}), torch {torch.__version__}"


def _command(name: str, parser: argparse.ArgumentParser, args: argparse.Namespace) -> str:
    """The options that differ from their defaults; folders are left out, they differ between machines."""
    words = ["python", "-m", f"benchmarks.{name}"]
    plain = {action.dest: action.metavar for action in parser._actions if not action.option_strings}
    for option, value in vars(args).items():
        if value == parser.get_default(option) or (isinstance(value, Path) and option not in plain):
            continue
        if option not in plain:
            words.append(f"--{option.replace('_', '-')}")
        if isinstance(value, Path):
            words.append(str(plain[option]))
        elif isinstance(value, str) and value.startswith("-"):  # a word of its own would be an option
            words[-1] += f"={value}"
        elif value is not True:
            words += map(str, value if isinstance(value, list) else [value])
    return shlex.join(words)
