"""How costs grow with the input: each at 1, 10 and 100 times the size of its smallest.

    python -m benchmarks.growth [--only TEXT]

What concerns a part, such as a clip of a recording, a span of a long video or one sample of a data set,
should cost what the part holds, however large the whole is: its time stays. What concerns the whole, such as
a timeline or a split, should take ten times as long for ten times as much. Inputs are generated. Times are
the best of several; memory is the peak of what one call allocates. `result` is a digest of what came out at
the smallest size, so that two versions can be compared: where it is the same, so are the numbers.
"""

from __future__ import annotations

import gc
import hashlib
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.costs import COSTS, Call, Cost
from benchmarks.record import command_line, finish, goal, significant
from kinesphere.core.errors import KinesphereWarning
from kinesphere.data.dataset import Item
from kinesphere.predict.prediction import Prediction

SCALES = (1, 10, 100)
# Calls are repeated for so long, and not if one alone takes longer; what would take yet longer is left out.
_REPEAT_S, _ONCE_S, _LIMIT_S = 0.2, 5.0, 20.0
# Goals: at most twice what is in proportion. Noise, logarithms and processor caches that an input has
# outgrown stay below that; a cost that grows with the square is five times beyond.
_PART, _WHOLE = 2.0, 20.0


@dataclass(frozen=True)
class Measured:
    """Seconds and peak bytes of a cost at each scale, None where it would have taken too long."""

    seconds: tuple[float | None, ...]
    peaks: tuple[int | None, ...]
    result: str


def measure(cost: Cost, scales: Sequence[int], limit_s: float = _LIMIT_S) -> Measured:
    """One cost at each scale, on inputs of its own."""
    seconds: list[float | None] = []
    peaks: list[int | None] = []
    result = ""
    for scale in scales:
        # A cost that grows with the square would take a hundred times as long at ten times the size.
        growth = seconds[-1] / seconds[-2] if len(seconds) > 1 and seconds[-1] and seconds[-2] else 10.0
        if seconds and (seconds[-1] is None or seconds[-1] * growth > limit_s):
            seconds.append(None)
            peaks.append(None)
            continue
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore", KinesphereWarning)
            call = cost.prepare(cost.size * scale, Path(folder))
            value, took_s = best(call)
            seconds.append(took_s)
            peaks.append(peak(call) if cost.is_memory else None)
            result = result or digest(value)
    return Measured(tuple(seconds), tuple(peaks), result)


def best(call: Call) -> tuple[Any, float]:
    """What a call gives, and the least that it took, in seconds; the first one fills what is kept.

    As with `timeit`, garbage is collected before the calls and not in them: the collector looks at all that a
    process holds, which is not what a call costs.
    """
    gc.collect()
    value, first_s = _timed(call)
    if first_s > _ONCE_S:
        return value, first_s
    took = [_timed(call)[1]]
    while sum(took) < _REPEAT_S and len(took) < 50:
        took.append(_timed(call)[1])
    return value, min(took)


def _timed(call: Call) -> tuple[Any, float]:
    gc.disable()
    try:
        begun = time.perf_counter()
        value = call()
        return value, time.perf_counter() - begun
    finally:
        gc.enable()


def peak(call: Call) -> int:
    """Most bytes that a call holds at a time."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def digest(value: object) -> str:
    """Eight digits of what came out."""
    return hashlib.sha256(b"".join(_parts(value))).hexdigest()[:8]


def _parts(value: object) -> Iterator[bytes]:
    match value:
        case Item():
            yield from (x.numpy().tobytes() for x in value.inputs)
        case np.ndarray():
            yield np.ascontiguousarray(value).tobytes()
        case Prediction():
            yield value.probabilities.tobytes()
        case _:
            yield repr(value).encode()


def row(cost: Cost, measured: Measured) -> dict[str, str]:
    """One line of the table."""
    times = measured.seconds
    cells = {
        "cost": cost.name,
        "1x": f"{cost.size} {cost.unit}",
        **{f"{scale}x, ms": _shown(took, 1e3) for scale, took in zip(SCALES, times, strict=True)},
        f"{SCALES[0]}x to {SCALES[1]}x": _factor(times, 0, 1),
        f"{SCALES[1]}x to {SCALES[2]}x": _factor(times, 1, 2),
    }
    peaks = [_shown(held, 1 / 2**20) for held in measured.peaks]
    return cells | {
        "memory, MiB": " / ".join(peaks) if cost.is_memory else "",
        "result": measured.result,
    }


def _shown(value: float | None, scale: float) -> str:
    return "too long" if value is None else significant(value * scale)


def _factor(values: Sequence[float | None], one: int, other: int) -> str:
    small, large = values[one], values[other]
    return "" if small is None or large is None else significant(large / small, 2)


def held_against_goals(costs: Sequence[Cost], measured: Sequence[Measured]) -> list[str]:
    """Whether parts cost the same however large the whole is, and wholes what they hold."""
    lines = []
    for of, bound, what in (
        ("part", _PART, "of a hundred times as much, times its time of the smallest"),
        ("whole", _WHOLE, "ten times as much, times the time"),
    ):
        for cost, found in zip(costs, measured, strict=True):
            if cost.of != of:
                continue
            small, larger, large = found.seconds
            first = small if of == "part" else larger
            factor = None if first is None or large is None else large / first
            lines.append(goal(f"{cost.name}, {what}", factor, bound, at_most=True))
    return lines


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="costs whose names contain this")
    args = parser.parse_args()
    chosen = [cost for cost in COSTS if args.only in cost.name]
    measured, rows = [], []
    for cost in chosen:
        measured.append(measure(cost, SCALES))
        rows.append(row(cost, measured[-1]))
        print(" | ".join(rows[-1].values()), flush=True)
    finish("growth", "Growth with the input", parser, args, rows, held_against_goals(chosen, measured))


if __name__ == "__main__":
    main()
