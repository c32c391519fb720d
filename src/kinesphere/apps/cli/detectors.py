"""Detectors of actions in long recordings, which the verbs tell from recognisers by their files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinesphere.apps.cli.event_options import say_doubts

if TYPE_CHECKING:
    from kinesphere.core.device import Compute
    from kinesphere.localise.prediction import LocalisingPredictor
    from kinesphere.predict import Opening

Run = Callable[[Any, list[str], Any, Any], tuple[int, int]]
"""`predict`'s way of asking about all videos."""


def finder_of(detector: str, compute: Compute, opening: Opening) -> LocalisingPredictor:
    """The detector of a run folder or a model file, and what makes its features."""
    from kinesphere.localise.prediction import LocalisingPredictor

    return LocalisingPredictor.load(detector, compute=compute, extracts=opening.extracts, keep=opening.keep)


def find(
    run: Run, finder: LocalisingPredictor, wanted: list[str], out: Path | None, screen: Any
) -> tuple[int, int]:
    """Ask a detector about all videos and show what it found in each; see `predict`."""

    from kinesphere.localise.prediction import timelines
    from kinesphere.predict import PredictionLog

    screen.outputs = replace(screen.outputs, predictor=finder.sees)
    say_doubts(screen.finder, finder.detector.labels)
    settings = {"model": finder.digest()} | screen.settings()
    log = PredictionLog(out, settings, top=screen.top) if out else None
    with log or nullcontext():
        return run(lambda sources, heard: timelines(finder, sources, heard), wanted, log, screen)
