"""Detectors of actions in long recordings, which the verbs tell from recognisers by their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinesphere.apps.cli.event_options import say_doubts
from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from kinesphere.core.device import Compute
    from kinesphere.localise.prediction import LocalisingPredictor
    from kinesphere.predict import Opening

Run = Callable[[Any, list[str], Any, Any], tuple[int, int]]
"""`predict`'s way of asking about all videos."""


def detector_among(models: Sequence[str], options: Mapping[str, object] | None = None) -> str | None:
    """The one model that is named, where it is a detector of actions; None for recognisers.

    Args:
        models: As they are named.
        options: Those that only detectors have.

    Raises:
        InvalidSetting: If several models are named, a detector among them; or none is, and one of the options
            is given.
    """
    from kinesphere.localise.prediction import localiser_file

    found = [name for name in models if localiser_file(name) is not None]
    if found and len(models) > 1:
        raise InvalidSetting(
            f"{found[0]} finds actions in long recordings, whose answers do not stand beside those of other "
            "models; name it alone."
        )
    for name, value in (options or {}).items():
        if value is not None and not found:
            raise InvalidSetting(f"{name} belongs to detectors of actions; leave it out for a recogniser.")
    return found[0] if found else None


def refuse_windows(options: Mapping[str, object]) -> None:
    """Refuse what only windows of a recogniser have.

    Raises:
        InvalidSetting: If one of the options is given.
    """
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise InvalidSetting(
            f"{' and '.join(given)}: a detector of actions sees the whole recording, on the grid of features "
            "that it learnt from; leave them out."
        )


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
