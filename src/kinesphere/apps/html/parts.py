"""Parts that several pages have: tiles of scores, tables with bars, lists of files."""

from __future__ import annotations

from collections.abc import Sequence

from kinesphere.apps.html import charts
from kinesphere.apps.html.charts import percent
from kinesphere.core.markup import Html, tag
from kinesphere.core.skipped import Skipped
from kinesphere.evaluate.metrics import PlainScore, Score

_LISTED = 200
_BOXED = 30


def boxed(listed: Html, rows: int) -> Html:
    """A long table scrolls within its section."""
    return tag("div", listed, class_="scroll tall" if rows > _BOXED else "scroll")


def meter(value: float, low: bool) -> Html:
    """A cell with a fraction and its bar."""
    bar = tag("span", tag("i", style=f"--share:{100 * value:.1f}%"), percent(value))
    return tag("td", bar, data_value=value, class_="meter low" if low else "meter")


def sorting_heads(names: Sequence[str], sorted_by: str | None, wide: Sequence[str] = ()) -> list[Html]:
    """Heads of a table that sort by their column.

    Args:
        names: Of the columns.
        sorted_by: The column that it is sorted by, the largest first.
        wide: Columns that narrow screens leave out.
    """
    return [
        tag(
            "th",
            tag("button", name, type="button"),
            aria_sort="descending" if name == sorted_by else None,
            class_="wide" if name in wide else None,
        )
        for name in names
    ]


def tile(title: str, score: Score, *, lower: bool = False) -> Html:
    """A score in small; `lower`: less is better."""
    bounds = "lower is better" if lower else ""
    if score.low is not None and score.high is not None:
        bounds = score.bounds(" to ")
    bar = charts.score_bar(score) if not isinstance(score, PlainScore) and not lower else None
    return tag(
        "div",
        tag("small", title),
        tag("b", score.written(score.value)),
        bar,
        tag("small", bounds),
        class_="tile",
    )


def listed_files(notes: Sequence[Skipped]) -> Html:
    """Files with what is said of each, folded where they are many."""
    rows = [tag("li", each.path, tag("small", each.reason)) for each in notes[:_LISTED]]
    more = len(notes) - len(rows)
    return tag(
        "details",
        tag("summary", "Which, and why"),
        tag("ul", rows, class_="files"),
        tag("p", f"and {more} more, listed in report.json", class_="note") if more else None,
        open=len(notes) <= 6,
    )


def described(rows: Sequence[tuple[str, str]]) -> Html:
    """A list of names and what they are; those that are nothing are left out."""
    listed = [(tag("dt", name), tag("dd", value)) for name, value in rows if value]
    return tag("dl", [part for pair in listed for part in pair])
