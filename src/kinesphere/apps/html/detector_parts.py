"""Parts that the pages of detectors share: their report, scores, what took no part, curves of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from kinesphere.apps.html import charts
from kinesphere.apps.html.curves import Curves, chosen
from kinesphere.apps.html.parts import listed_files
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.markup import Html, join, lead, tag
from kinesphere.core.skipped import Skipped
from kinesphere.core.structured import read_json
from kinesphere.evaluate.metrics import Score


def read_report(path: Path, wanted: Sequence[str]) -> Mapping[str, Any]:
    """The report of a detector.

    Args:
        path: report.json.
        wanted: What it has to hold.

    Raises:
        InvalidSetting: If it is missing, damaged or another report.
    """
    document = read_json(path, InvalidSetting)
    missing = [key for key in wanted if not isinstance(document, dict) or key not in document]
    if missing:
        raise InvalidSetting(
            f"{path} is no report of a detector: it lacks {', '.join(missing)}. Evaluate the detector again."
        )
    return cast("Mapping[str, Any]", document)


def score_of(report: Mapping[str, Any], name: str) -> Score:
    """A score of a report with its interval."""
    low, high = report["intervals"].get(name, (None, None))
    return Score(float(report["scores"][name]), low, high)


def skipped_section(report: Mapping[str, Any]) -> Html:
    """What took no part, and why; nothing where nothing was left out."""
    notes = [Skipped(str(each["path"]), str(each["reason"])) for each in report["skipped"]]
    if not notes:
        return Html("")
    text = f"{len(notes)} videos took no part. They count neither for nor against the detector."
    return join(tag("h2", "Skipped"), lead(text), listed_files(notes))


def curves_section(curves: Curves) -> Html:
    """Loss and learning rate by epoch; nothing without training."""
    figures = []
    if losses := chosen(curves, {"train_loss": "training"}):
        figures.append(charts.line_chart(losses, title="Loss", show=lambda v: f"{v:.3g}"))
    if rates := chosen(curves, {"lr": "highest of the groups"}):
        figures.append(charts.line_chart(rates, title="Learning rate", show=lambda v: f"{v:.2g}"))
    if not figures:
        return Html("")
    return join(tag("h2", "Training"), lead("By epoch."), tag("div", figures, class_="charts"))
