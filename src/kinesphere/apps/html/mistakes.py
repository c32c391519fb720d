"""Every clip that was answered wrongly: as a table of the report, and as CSV beside it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesphere.apps.html.charts import percent
from kinesphere.core.files import replacing
from kinesphere.core.markup import Html, join, lead, table, tag
from kinesphere.core.text import SPELLED
from kinesphere.evaluate.predictions import Predictions

FILE_NAME = "mistakes.csv"
# A page with more rows than this is no longer read, but searched; for that there is the CSV.
_MOST = 1000
_COLUMNS = (
    "path", "start", "end", "group", "fold", "truth", "answer", "answer_probability", "truth_probability",
)  # fmt: skip


@dataclass(frozen=True)
class Mistake:
    """One clip whose answer was wrong; of several labels, whose set of labels of at least one half was."""

    path: str
    span: tuple[float, float] | None
    group: str
    fold: str
    truth: str
    answer: str
    answer_probability: float
    truth_probability: float


def find_mistakes(predictions: Predictions) -> list[Mistake]:
    """All of them, the surest first."""
    p, names = predictions.probabilities, predictions.labels.names
    if predictions.labels.multi:
        true, given = predictions.targets > 0, p > 0.5
    else:
        true = np.eye(len(names), dtype=bool)[predictions.targets]
        given = np.eye(len(names), dtype=bool)[p.argmax(1)]
    found = []
    for i in np.flatnonzero((true != given).any(1)).tolist():
        answer = given[i] if given[i].any() else np.arange(len(names)) == p[i].argmax()
        found.append(
            Mistake(
                predictions.paths[i],
                predictions.spans[i],
                predictions.groups[i] or "",
                predictions.folds[i] or "",
                ", ".join(names[k] for k in np.flatnonzero(true[i])) or "none",
                ", ".join(names[k] for k in np.flatnonzero(given[i])) or "none",
                float(p[i][answer].max()),
                float(p[i][true[i]].min()) if true[i].any() else 0.0,
            )
        )
    return sorted(found, key=lambda each: -each.answer_probability)


def write_mistakes(mistakes: list[Mistake], path: Path) -> None:
    """Write them as CSV; probabilities are fractions, times seconds."""
    with (
        replacing(path) as scratch,
        scratch.open("w", encoding="utf-8", errors=SPELLED, newline="") as file,
    ):
        rows = csv.writer(file)
        rows.writerow(_COLUMNS)
        for each in mistakes:
            start, end = each.span or ("", "")
            pair = (f"{each.answer_probability:.6f}", f"{each.truth_probability:.6f}")
            rows.writerow([each.path, start, end, each.group, each.fold, each.truth, each.answer, *pair])


def mistakes_section(mistakes: list[Mistake] | None) -> Html:
    """The section of the page; nothing where it is not known what was wrong."""
    if mistakes is None:
        return Html("")
    if not mistakes:
        return join(tag("h2", "Wrong clips"), lead("There was none."))
    names = {"clip": None, "was": "left", "called": "left", "probability": None, "of the truth": "wide"}
    heads = [tag("th", tag("button", name, type="button"), class_=style) for name, style in names.items()]
    rows = [_row(each) for each in mistakes[:_MOST]]
    more = "" if len(mistakes) <= _MOST else f" The {_MOST} surest are shown."
    count = "One clip was" if len(mistakes) == 1 else f"All {len(mistakes)} clips that were"
    text = (
        f"{count} called something else, the surest first, with the probability of the answer and of the "
        f"true class. They are in {FILE_NAME} beside this page, too.{more}"
    )
    listed = table(heads, rows, data_sortable=True, class_="mistakes")
    return join(tag("h2", "Wrong clips"), lead(text), tag("div", listed, class_="scroll tall"))


def _row(each: Mistake) -> Html:
    span = f" {each.span[0]:.1f}–{each.span[1]:.1f} s" if each.span else ""
    name = f"{Path(each.path).name}{span}"
    return tag(
        "tr",
        tag("td", name, title=each.path, data_value=each.path),
        tag("td", each.truth, class_="left", data_value=each.truth),
        tag("td", each.answer, class_="left", data_value=each.answer),
        tag("td", percent(each.answer_probability), data_value=each.answer_probability),
        tag("td", percent(each.truth_probability), class_="wide", data_value=each.truth_probability),
    )
