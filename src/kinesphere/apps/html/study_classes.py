"""Classes in a study's report: bars of two cells, which are always or never right, and scarce ones."""

from __future__ import annotations

from collections.abc import Sequence

from kinesphere.apps.html.charts import percent
from kinesphere.apps.html.study_charts import change_bar, count_bar, paired_bars
from kinesphere.core.markup import Html, join, lead, table, tag
from kinesphere.core.text import named
from kinesphere.studies.cell_classes import ClassRow
from kinesphere.studies.results import CellResult, StudyReport

_PAIRS = 4
_ROWS = 200


def class_bars(report: StudyReport) -> Html:
    """Paired bars of top-1, top-2 and top-3 for the first pairs."""
    parts: list[Html] = []
    for first, second in _shown(report):
        rows = []
        for one, other in _common(first, second):
            rows.append(
                tag(
                    "tr", tag("td", one.label, tag("small", f" {one.clips} clips", class_="wide")),
                    tag("td", paired_bars((one, other), (first.name, second.name)), class_="drawn"),
                    tag("td", f"{percent(one.top[0])} → {percent(other.top[0])}"),
                )
            )  # fmt: skip
        legend = tag(
            "p", [tag("span", cell.name, class_=f"key s{i}") for i, cell in enumerate((first, second))],
            class_="legend",
        )  # fmt: skip
        heads = [tag("th", "class"), tag("th", "top-1, top-2, top-3", class_="left"), tag("th", "top-1")]
        listed = tag("div", table(heads, rows[:_ROWS], class_="bars"), class_="scroll tall")
        parts += [tag("h3", f"{first.name} and {second.name}"), legend, listed]
    if not parts:
        return Html("")
    text = (
        "How often clips of a class are right with two cells: full colour at once, paler where the true "
        "class is second, palest where it is third. The mean over seeds."
    )
    return join(tag("h2", "Classes"), lead(text), parts)


def always_and_never(cells: Sequence[CellResult]) -> Html:
    """Which classes are always or never right."""
    rows = [
        tag(
            "tr", tag("td", cell.name),
            tag("td", named(cell.classes.always, 12) or "none", class_="left"),
            tag("td", named(cell.classes.never, 12) or "none", class_="left"),
        )
        for cell in cells
    ]  # fmt: skip
    if not rows:
        return Html("")
    heads = [
        tag("th", "cell"),
        tag("th", "always right", class_="left"),
        tag("th", "never right", class_="left"),
    ]
    text = "Classes of which every test clip, or none, was answered rightly, with every seed."
    body = tag("div", table(heads, rows, class_="bars"), class_="scroll")
    return join(tag("h2", "Always or never right"), lead(text), body)


def scarce_classes(report: StudyReport) -> Html:
    """The number of training clips of each class beside what changes between two cells."""
    parts: list[Html] = []
    for first, second in _shown(report):
        taught = second.taught or first.taught
        found = [(taught.get(one.label, 0), one, other) for one, other in _common(first, second)]
        if not taught or not found:
            continue
        most = max(count for count, *_ in found)
        rows = [
            tag(
                "tr", tag("td", one.label),
                tag("td", str(count)), tag("td", count_bar(count, most), class_="wide"),
                tag("td", change_bar(other.top[0] - one.top[0]), class_="drawn"),
                tag("td", f"{100 * (other.top[0] - one.top[0]):+.1f}"),
            )
            for count, one, other in sorted(found, key=lambda each: each[0])
        ]  # fmt: skip
        heads = [
            tag("th", "class"), tag("th", "training clips"), tag("th", "", class_="wide"),
            tag("th", "change of top-1", class_="left"), tag("th", "points"),
        ]  # fmt: skip
        listed = tag("div", table(heads, rows[:_ROWS], class_="bars"), class_="scroll tall")
        parts += [tag("h3", f"From {first.name} to {second.name}"), listed]
    if not parts:
        return Html("")
    text = (
        "The scarcest class first: how many clips taught it, and how much oftener the second cell is right."
    )
    return join(tag("h2", "Scarce classes"), lead(text), parts)


def _shown(report: StudyReport) -> list[tuple[CellResult, CellResult]]:
    cells = report.by_name
    return [(cells[pair.first], cells[pair.second]) for pair in report.pairs[:_PAIRS]]


def _common(first: CellResult, second: CellResult) -> list[tuple[ClassRow, ClassRow]]:
    others = {row.label: row for row in second.classes.rows}
    return [(row, others[row.label]) for row in first.classes.rows if row.label in others]
