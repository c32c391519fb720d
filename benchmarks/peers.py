"""Packages that benchmarks compare with and that Kinesphere does not need: see `requirements.txt`."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import torch

# The exit status of a benchmark that is nothing without a package that is missing (EX_UNAVAILABLE).
MISSING_PEER = 69


def stop_without(package: str) -> NoReturn:
    """End this benchmark for want of `package`."""
    print(
        f"{package} is not installed, and without it there is nothing to compare with: "
        "pip install --no-deps -r benchmarks/requirements.txt",
        file=sys.stderr,
    )
    sys.exit(MISSING_PEER)


def declare_torchvision_operators() -> None:
    """Let torchvision be imported whose compiled operators do not fit this torch; nothing here runs them.

    One that fits keeps its own.
    """
    spec = find_spec("torchvision")
    for library in Path(str(spec.origin)).parent.glob("_C*.so") if spec else ():
        with suppress(OSError):
            torch.ops.load_library(library)
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            torch.library.define(
                f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
