"""Loading a program's libraries without looking for garbage among them.

torch alone makes some hundred thousand objects that stay to the end. Python's collector goes through all of
them again and again while they are made, at every full collection of the run, and once more when the process
ends: together a quarter of the time that torch takes to load and leave (`python -m benchmarks.startup`).
"""

from __future__ import annotations

import gc


def begin_loading() -> None:
    """Let the collector rest until `end_loading`; for a whole program, before it loads anything large."""
    gc.disable()


def end_loading() -> None:
    """Let the collector work again, on what is made from now on; does nothing unless loading has begun."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
