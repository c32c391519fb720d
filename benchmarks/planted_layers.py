"""Class-activation maps of a planted patch at a network's last block, and before its cells have mixed.

    python -m benchmarks.planted_layers [--seeds 10 11 12]

The protocol of `benchmarks.planted`, for the two kinds of networks whose blocks carry what a cell holds to
others: attention to all tokens of a clip, convolutions over a skeleton to the next joints; and for the LSTM,
whose frames are seen by layers of finer and finer cells.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import torch

from benchmarks.planted import (
    CLIPS,
    LEARNT,
    LEAST_POINTING,
    Judged,
    judged,
    recorded,
    settings,
    single_threaded,
)
from benchmarks.planted_clips import answered_right
from benchmarks.record import Row, command_line, finish, goal
from kinesphere.core.device import cpu_count

LAYERS = {
    "transformer": {
        "what the last block gives": "blocks.1",
        "what the last perceptron is given": "blocks.1.norm2",
        "what the last attention is given": "blocks.1.norm1",
        "what the first block gives": "blocks.0",
        "what the first attention is given": "blocks.0.norm1",
    },
    "LSTM": {
        "last layer": "backbone.layer4",
        "third layer": "backbone.layer3",
        "second layer": "backbone.layer2",
    },
    "skeleton": {"last block": "blocks.2", "first block": "blocks.0"},
}
"""By kind: what a layer is called, and its path."""
METHODS = ("gradcam", "gradcam++", "layercam")


def measured(kind: str, seeds: Sequence[int]) -> list[Row]:
    """The rows of a kind of network."""
    found: dict[tuple[str, str], list[Judged]] = {}
    for seed in seeds:
        clips, right = answered_right(kind, seed, CLIPS)
        if right < LEARNT:
            print(f"{kind} of seed {seed} has not learnt the task, {right:.0%} right: left out")
            continue
        for called, layer in LAYERS[kind].items():
            for method in METHODS:
                how = replace(settings(kind), layer=layer)
                found.setdefault((called, method), []).append(judged(kind, seed, method, clips, how))
    return [row(kind, called, method, each) for (called, method), each in found.items()]


def row(kind: str, called: str, method: str, each: Sequence[Judged]) -> Row:
    def mean(field: str) -> str:
        return f"{float(torch.cat([getattr(found, field) for found in each]).mean()):.3f}"

    return {
        "network": kind,
        "layer": called,
        "method": method,
        "clips": sum(len(found.strict) for found in each),
        "pointing": mean("strict"),
        "within a cell": mean("within"),
        "energy on the patch": mean("on_patch"),
        "on the distractor": mean("on_distractor"),
    }


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument("--kinds", nargs="+", default=list(LAYERS), choices=list(LAYERS))
    parser.add_argument("--processes", type=int, default=cpu_count())
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.processes, mp_context=context, initializer=single_threaded) as pool:
        tables = list(pool.map(measured, args.kinds, [args.seeds] * len(args.kinds)))
    kept = [each for each in recorded("planted_layers") if each["network"] not in args.kinds]
    found = [each for table in tables for each in table]
    rows = sorted([*found, *kept], key=lambda each: list(LAYERS).index(str(each["network"])))
    goals = [
        goal(f"{each['network']}, {each['layer']}, {each['method']}: pointing within a cell",
             float(str(each["within a cell"])), LEAST_POINTING, "")
        for each in rows
    ]  # fmt: skip
    note = (
        f"{len(args.seeds)} networks of each kind, less those that have not learnt the task. Rows of kinds "
        "that a run does not name stay as recorded."
    )
    finish("planted_layers", "Class-activation maps by layer", parser, args, rows, goals, [note])


if __name__ == "__main__":
    main()
