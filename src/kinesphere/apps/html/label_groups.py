"""Sections of a report on groups of classes: families of one parent, and ranges of frequency in training."""

from __future__ import annotations

from kinesphere.apps.html import charts
from kinesphere.apps.html.charts import percent
from kinesphere.core.markup import Html, join, lead, table, tag
from kinesphere.evaluate.metrics import Score, family_confusion
from kinesphere.evaluate.report import Report


def families_section(report: Report) -> Html:
    """Which answers stay within the family of the class, and which families are taken for which."""
    if not report.families or report.confusion is None:
        return Html("")
    heads = [tag("th", name) for name in ("family", "classes", "clips", "right", "within", "outside")]
    rows = [
        tag(
            "tr",
            tag("td", row.family, title=", ".join(row.classes)),
            tag("td", str(len(row.classes))),
            tag("td", str(row.support)),
            *(tag("td", _part(count, row.support)) for count in (row.right, row.within, row.outside)),
        )
        for row in report.families
    ]
    text = lead(
        "Classes of one parent are a family. Wrong answers are within it, another class of the same parent, "
        "or outside."
    )
    matrix = charts.confusion(family_confusion(report.confusion, report.labels), report.labels.families)
    return join(tag("h2", "Families"), text, tag("div", table(heads, rows), class_="scroll"), matrix)


def frequency_section(report: Report) -> Html:
    """Scores of frequent and of rare classes; nothing where all classes are alike."""
    found = report.frequency
    if found is None or len(found.rows) < 2:
        return Html("")
    score = "mAP" if report.labels.multi else "mean class accuracy"
    heads = [tag("th", name) for name in ("shots", "classes", "training clips", "clips", score)]
    rows = [
        tag(
            "tr",
            tag("td", row.name),
            tag("td", str(row.classes)),
            tag("td", str(row.training_clips)),
            tag("td", str(row.clips)),
            tag("td", "–" if row.value is None else str(Score(row.value, row.low, row.high))),
        )
        for row in found.rows
    ]
    return join(
        tag("h2", "Frequency in training"),
        lead(found.sentence()),
        tag("div", table(heads, rows), class_="scroll"),
    )


def _part(count: int, whole: int) -> str:
    return f"{count} ({percent(count / whole)})" if whole else "–"
