"""Packages that are none of ours, but that those we use import where they are installed."""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from kinesphere.core.errors import BrokenPackage


@cache
def check_torchvision() -> None:
    """Refuse to go on where torchmetrics and Lightning would fail to import.

    They import torchvision where it is installed, and it cannot be imported beside another torch than the
    one that it was built for. Nothing of Kinesphere needs it.

    Raises:
        BrokenPackage: If it is there and cannot be imported.
    """
    import torch

    try:
        found = version("torchvision")
    except PackageNotFoundError:
        return
    try:
        importlib.import_module("torchvision")
    except Exception as error:
        raise BrokenPackage(
            f"torchvision {found} cannot be imported beside torch {torch.__version__} "
            f"({type(error).__name__}: {error}). Kinesphere does not need it, but torchmetrics and Lightning "
            "import it where it is installed: `pip uninstall torchvision`, or install the one that was built "
            "for this torch."
        ) from error
