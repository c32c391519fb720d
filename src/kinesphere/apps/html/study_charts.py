"""Bars of a study's report: two cells class by class, and what changed beside how many clips taught it."""

from __future__ import annotations

from collections.abc import Sequence

from kinesphere.apps.html.charts import percent
from kinesphere.core.markup import Html, tag
from kinesphere.studies.cell_classes import ClassRow

_WIDTH, _THICK, _GAP = 300.0, 9.0, 3.0
# Of a bar's three parts: right at once, among the first two, among the first three.
_SHADES = (1.0, 0.5, 0.22)


def probability(p: float) -> str:
    """A probability of chance, as people write it."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def paired_bars(rows: Sequence[ClassRow], names: Sequence[str]) -> Html:
    """One bar above the other for a class: how often its clips are right, at first to third rank.

    Args:
        rows: The class by each of two cells.
        names: Of the cells.
    """
    parts = []
    for place, (row, name) in enumerate(zip(rows, names, strict=True)):
        y = place * (_THICK + _GAP)
        says = ", ".join(f"top-{k} {percent(value)}" for k, value in enumerate(row.top, start=1))
        drawn = [tag("rect", x=0, y=y, width=_WIDTH, height=_THICK, rx=2, class_="track")]
        # The longest first, so that the shorter ones lie on it.
        for value, shade in reversed(list(zip(row.top, _SHADES, strict=True))):
            if value > 0:
                drawn.append(
                    tag("rect", x=0, y=y, width=_WIDTH * value, height=_THICK, rx=2,
                        class_=f"fill s{place}", fill_opacity=shade)
                )  # fmt: skip
        parts.append(tag("g", tag("title", f"{row.label}, {name}: {says}"), drawn))
    height = len(rows) * (_THICK + _GAP)
    label = "; ".join(f"{name} {percent(row.top[0])}" for row, name in zip(rows, names, strict=True))
    return tag(
        "svg", parts, view_box=f"0 0 {_WIDTH:.0f} {height:.0f}", class_="bar", role="img", aria_label=label
    )


def change_bar(change: float) -> Html:
    """A change from -1 to 1 to either side of a middle line."""
    middle, long = _WIDTH / 2, abs(change) * _WIDTH / 2
    parts = [tag("rect", x=0, y=6, width=_WIDTH, height=4, rx=2, class_="track")]
    if long:
        parts.append(
            tag("rect", x=middle if change > 0 else middle - long, y=3, width=long, height=10, rx=2,
                class_=f"fill s{int(change < 0)}")
        )  # fmt: skip
    parts.append(tag("line", x1=middle, x2=middle, y1=0, y2=16, class_="mark"))
    text = f"{100 * change:+.1f} points"
    return tag("svg", parts, view_box=f"0 0 {_WIDTH:.0f} 16", class_="bar", role="img", aria_label=text)


def count_bar(count: int, most: int) -> Html:
    """A count as a bar, of the largest count."""
    width = _WIDTH * count / max(most, 1)
    parts = [
        tag("rect", x=0, y=4, width=_WIDTH, height=8, rx=2, class_="track"),
        tag("rect", x=0, y=4, width=width, height=8, rx=2, class_="fill s2"),
    ]
    return tag("svg", parts, view_box=f"0 0 {_WIDTH:.0f} 16", class_="bar", role="img", aria_label=str(count))
