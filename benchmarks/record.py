"""How a benchmark keeps what it measured: one JSON file a benchmark, read by `make docs`."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from kinesphere.core.device import cpu_count, cpu_flags

RESULTS = Path(__file__).resolve().parent / "results"


def machine() -> str:
    """What was measured on, without names of hosts."""
    flags = cpu_flags()
    wide = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else platform.machine()
    bf16 = "native bf16" if {"avx512_bf16", "amx_bf16", "bf16"} & flags else "no native bf16"
    return f"{cpu_count()} CPU cores ({wide}, {bf16}), torch {torch.__version__}"


def write_record(
    name: str,
    title: str,
    command: str,
    rows: Sequence[Mapping[str, str | int | float]],
    goals: Sequence[str] = (),
) -> Path:
    """Write `results/<name>.json`.

    Args:
        name: File name without suffix.
        title: Headline in the docs.
        command: What to type to measure again.
        rows: The table; all rows have the columns of the first.
        goals: Lines that hold results against goals, misses included.
    """
    RESULTS.mkdir(exist_ok=True)
    record = {
        "title": title,
        "command": command,
        "machine": machine(),
        "rows": [dict(row) for row in rows],
        "goals": list(goals),
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
