"""Charts as inline SVG: they follow the page's theme, print sharply and need no library."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kinesphere.core.markup import Html, join, tag
from kinesphere.evaluate.metrics import Calibration, Score
from kinesphere.evaluate.paired import Difference

_WIDTH, _HEIGHT = 340.0, 210.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 10.0, 10.0, 26.0
# Above this many classes a cell is too small for text, and the matrix becomes an image.
LABELLED_CLASSES = 24


@dataclass(frozen=True)
class Series:
    """A line of a chart: points (x, y) in order of x."""

    name: str
    points: tuple[tuple[float, float], ...]


def percent(value: float) -> str:
    """`93.1 %`."""
    return f"{100 * value:.1f} %"


def line_chart(
    series: Sequence[Series], *, title: str, show: Callable[[float], str], top: float | None = None
) -> Html:
    """Lines over epochs, each point with its value on hover.

    Args:
        series: At least one, each with at least one point.
        title: Read out to those who cannot see the chart.
        show: Writes a value.
        top: End of the vertical axis; None fits the data.
    """
    xs = [x for line in series for x, _ in line.points]
    ys = [y for line in series for _, y in line.points]
    low = 0.0 if top is not None else min(ys)
    ticks = nice_ticks(low, max(ys) if top is None else top)
    x_span, y_span = (max(xs) - min(xs)) or 1.0, (ticks[-1] - ticks[0]) or 1.0

    def position(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (x - min(xs)) / x_span * (_WIDTH - _LEFT - _RIGHT)
        return across, _HEIGHT - _BOTTOM - (y - ticks[0]) / y_span * (_HEIGHT - _TOP - _BOTTOM)

    parts = [_grid(position, min(xs), max(xs), ticks, show)]
    for i, line in enumerate(series):
        placed = [position(x, y) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(tag("polyline", points=path, class_=f"line s{i}"))
        parts += [
            tag(
                "circle",
                tag("title", f"epoch {x:g}: {line.name} {show(y)}"),
                cx=cx,
                cy=cy,
                r=3 if len(placed) <= 40 else 2,
                class_=f"dot s{i}",
            )
            for (x, y), (cx, cy) in zip(line.points, placed, strict=True)
        ]
    legend = tag(
        "p", [tag("span", line.name, class_=f"key s{i}") for i, line in enumerate(series)], class_="legend"
    )
    return tag("figure", tag("figcaption", title), legend, _svg(parts, title))


def _grid(
    position: Callable[[float, float], tuple[float, float]],
    first: float,
    last: float,
    ticks: Sequence[float],
    show: Callable[[float], str],
) -> Html:
    parts = []
    for value, text in zip(ticks, _told_apart(ticks, show), strict=True):
        _, y = position(first, value)
        parts.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(tag("text", text, x=_LEFT - 6, y=y + 4, class_="tick end"))
    for value in [v for v in nice_ticks(first, last, 6) if first <= v <= last and v == round(v)]:
        x, _ = position(value, ticks[0])
        parts.append(tag("text", f"{value:g}", x=x, y=_HEIGHT - _BOTTOM + 18, class_="tick mid"))
    return join(parts)


def _told_apart(ticks: Sequence[float], show: Callable[[float], str]) -> list[str]:
    """The ticks as text: with the digits of their step where `show` would write neighbours alike."""
    texts = [show(value) for value in ticks]
    if len(set(texts)) == len(texts):
        return texts
    digits = max(0, 1 - math.floor(math.log10(ticks[1] - ticks[0])))
    return [f"{value:.{digits}f}" for value in ticks]


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that cover `[low, high]`, about `count` of them."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / (count - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((m * power for m in (1, 2, 2.5, 5) if m * power >= raw * 0.999), 10 * power)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def score_scale(score: Score, marks: Sequence[tuple[float, str]]) -> Html:
    """The score and its interval on a scale from 0 to 100 %, beside what would be no achievement."""
    width, y = 1000.0, 26.0
    parts = [tag("rect", x=0, y=y - 4, width=width, height=8, rx=4, class_="track")]
    for i, (value, name) in enumerate(marks):
        # Of two marks the lower one has its name on the left, so that the names stay apart.
        left = value > 0.8 or (len(marks) > 1 and i == 0 and value > 0.08)
        anchor = "end" if left else "start"
        parts.append(tag("line", x1=width * value, x2=width * value, y1=y - 9, y2=y + 9, class_="mark"))
        parts.append(tag("text", name, x=width * value, y=y + 32, class_=f"tick {anchor}"))
    parts.append(_whisker(score, width, y, 14.0))
    return tag("svg", parts, view_box="0 0 1000 68", class_="scale", role="img", aria_label=str(score))


def score_bar(score: Score) -> Html:
    """The same in small, for a tile."""
    track = tag("rect", x=0, y=6, width=200, height=4, rx=2, class_="track")
    return tag(
        "svg",
        track,
        _whisker(score, 200.0, 8.0, 8.0),
        view_box="-6 0 212 16",
        class_="bar",
        aria_hidden="true",
    )


def difference_bar(difference: Difference) -> Html:
    """A difference and its interval about a mark at none, from -100 to 100 points."""
    low, high = (None if end is None else (1 + end) / 2 for end in (difference.low, difference.high))
    return tag(
        "svg",
        tag("rect", x=0, y=6, width=200, height=4, rx=2, class_="track"),
        tag("line", x1=100, x2=100, y1=1, y2=15, class_="mark"),
        _whisker(Score((1 + difference.value) / 2, low, high), 200.0, 8.0, 8.0),
        view_box="-6 0 212 16",
        class_="bar",
        aria_hidden="true",
    )


def _whisker(score: Score, width: float, y: float, height: float) -> Html:
    band = None
    if score.low is not None and score.high is not None:
        left = width * score.low
        across = max(width * (score.high - score.low), 2.0)
        band = tag(
            "rect", x=left, y=y - height / 2, width=across, height=height, rx=height / 2, class_="band"
        )
    return join(band, tag("circle", cx=width * score.value, cy=y, r=height / 2, class_="point"))


def reliability(calibration: Calibration) -> Html:
    """Accuracy of each bin of confidence against the diagonal, over a histogram of the bins."""
    size, base, left, histogram = 260.0, 270.0, 46.0, 60.0
    count = len(calibration.counts)
    width = size / count
    parts = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        y, x = base - size * value, left + size * value
        parts.append(tag("line", x1=left, x2=left + size, y1=y, y2=y, class_="grid"))
        parts.append(tag("text", f"{100 * value:.0f}", x=left - 6, y=y + 4, class_="tick end"))
        parts.append(tag("text", f"{100 * value:.0f}", x=x, y=base + histogram + 28, class_="tick mid"))
    tallest = max(calibration.counts) or 1
    bins = zip(calibration.counts, calibration.confidence, calibration.accuracy, strict=True)
    for i, (number, confidence, accuracy) in enumerate(bins):
        if not number:
            continue
        x = left + i * width + 1
        note = f"{number} answers at {percent(confidence)} mean confidence: {percent(accuracy)} right"
        common, reached = size * min(confidence, accuracy), size * max(confidence, accuracy)
        side = "over" if confidence > accuracy else "under"
        tall = histogram * number / tallest
        column = [
            tag("rect", x=x, y=base - common, width=width - 2, height=common, class_="column"),
            tag("rect", x=x, y=base - reached, width=width - 2, height=reached - common, class_=side),
            tag("rect", x=x, y=base + 10, width=width - 2, height=tall, class_="column faint"),
        ]
        parts.append(tag("g", tag("title", note), column))
    parts.append(tag("line", x1=left, y1=base, x2=left + size, y2=base - size, class_="ideal"))
    parts.append(
        tag(
            "text",
            "right, %",
            x=14,
            y=base - size / 2,
            class_="tick mid",
            transform=f"rotate(-90 14 {base - size / 2})",
        )
    )
    parts.append(tag("text", "confidence, %", x=left + size / 2, y=base + histogram + 46, class_="tick mid"))
    return tag(
        "svg", parts, view_box="0 0 320 382", class_="square", role="img", aria_label="Reliability diagram"
    )


def confusion(matrix: np.ndarray, labels: Sequence[str]) -> Html:
    """Rows are true classes, coloured by fraction of the row: right answers one hue, mistakes another."""
    fractions = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    return (
        _cells(matrix, fractions, labels)
        if len(labels) <= LABELLED_CLASSES
        else _image(matrix, fractions, labels)
    )


def _cells(matrix: np.ndarray, fractions: np.ndarray, labels: Sequence[str]) -> Html:
    count = len(labels)
    names = [shortened(name, 20) for name in labels]
    margin = 14.0 + 6.6 * max(map(len, names))
    cell = min(64.0, max(26.0, 520.0 / count))
    parts = []
    for i, name in enumerate(names):
        middle = margin + (i + 0.5) * cell
        parts.append(tag("text", name, x=margin - 8, y=middle + 4, class_="tick end"))
        turned = f"rotate(-55 {middle + 3:.1f} {margin - 8:.1f})"
        parts.append(tag("text", name, x=middle + 3, y=margin - 8, class_="tick start", transform=turned))
    for i, j in np.ndindex(count, count):
        number, fraction = int(matrix[i, j]), float(fractions[i, j])
        if number:
            note = f"{number} × {labels[i]} called {labels[j]} ({percent(fraction)} of its clips)"
            kind = "right" if i == j else "wrong"
        else:
            note, kind = None, "empty"
        x, y = margin + j * cell, margin + i * cell
        parts.append(
            tag(
                "g",
                tag("title", note) if note else None,
                tag(
                    "rect",
                    x=x + 1,
                    y=y + 1,
                    width=cell - 2,
                    height=cell - 2,
                    rx=3,
                    class_=kind,
                    fill_opacity=0.15 + 0.85 * fraction if number else None,
                ),
                tag(
                    "text",
                    str(number),
                    x=x + cell / 2,
                    y=y + cell / 2 + 4,
                    class_="count strong" if fraction > 0.55 else "count",
                )
                if number
                else None,
            )
        )
    # Turned names lean out to the right of the last column.
    lean = 0.6 * (margin - 8)
    width, height = margin + count * cell + lean, margin + count * cell + 4
    style = f"max-width:{width:.0f}px;min-width:{min(width, 480.0):.0f}px"
    svg = tag(
        "svg", parts, view_box=f"0 0 {width:.0f} {height:.0f}", style=style, class_="confusion", role="img",
        aria_label="Confusion matrix",
    )  # fmt: skip
    return tag("div", svg, class_="scroll")


def _image(matrix: np.ndarray, fractions: np.ndarray, labels: Sequence[str]) -> Html:
    import cv2

    own = np.eye(len(labels), dtype=bool)[..., None]
    colour = np.where(own, (136, 148, 15), (12, 88, 234))  # BGR of the page's two hues
    alpha = np.where(matrix > 0, 255 * (0.2 + 0.8 * fractions), 0)
    _, png = cv2.imencode(".png", np.dstack([colour, alpha]).astype(np.uint8))
    source = "data:image/png;base64," + base64.b64encode(png.tobytes()).decode()
    rows, columns = np.nonzero(matrix)
    cells = [[int(i), int(j), int(matrix[i, j])] for i, j in zip(rows, columns, strict=True)]
    image = tag(
        "img",
        src=source,
        alt="Confusion matrix",
        class_="matrix",
        data_labels=json.dumps(list(labels)),
        data_cells=json.dumps(cells, separators=(",", ":")),
    )
    readout = tag("p", "Point at a cell to read it.", class_="readout", aria_live="polite")
    axes = tag(
        "p", "Rows: true class, columns: the model's answer, both in the order of the labels.", class_="note"
    )
    return tag("div", tag("div", image, class_="frame"), readout, axes)


def shortened(name: str, length: int) -> str:
    """A name cut to at most `length` characters."""
    return name if len(name) <= length else name[: length - 1].rstrip() + "…"


def _svg(parts: Sequence[Html], title: str) -> Html:
    return tag("svg", parts, view_box=f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}", role="img", aria_label=title)
