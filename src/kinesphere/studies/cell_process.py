"""A process that trains one cell: an order as JSON on standard input, what went wrong on standard output."""

from __future__ import annotations

import json
import os
import sys

from kinesphere.core.signals import end_silently, end_with

FAILED = 3
"""Exit code of a cell that failed; the reason is the last line of standard output."""


def main(threads: int, parent: int) -> int:
    """Train the order.

    Args:
        threads: That torch computes with.
        parent: Process that this one ends with.
    """
    end_silently()
    end_with(parent)
    import torch

    from kinesphere.studies.cell_run import Order, train_cell

    torch.set_num_threads(threads)
    try:
        train_cell(Order.from_json(json.load(sys.stdin)))
    except Exception as error:  # whatever it is, the other cells go on
        sys.stdout.write("\n" + json.dumps(f"{type(error).__name__}: {error}"))
        return FAILED
    return 0


if __name__ == "__main__":
    code = main(int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.flush()
    os._exit(code)
