"""A picture of a timeline, SVG or PNG: rows of segments below each other, and the labels' probabilities."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kinesphere.core.files import replacing
from kinesphere.core.text import spelled
from kinesphere.predict.files.hues import INK
from kinesphere.predict.files.lanes import Shown, clock, lanes, shown, ticks
from kinesphere.predict.files.registry import TIMELINE_FILES, TimelineFile, TimelineRow
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.predict.timeline import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _LANE, _LABEL, _MARGIN = 12.0, 0.34, 0.22, 0.75
"""Inches."""
_DOTS = 110
_SIGN = 0.075
"""About how wide a letter is, in inches."""


def _write(timeline: Timeline, path: Path, rule: SegmentRule, rows: Sequence[TimelineRow]) -> None:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    seen = shown(timeline, rule, rows)
    heights = [_LANE * (1 + max(lanes(row.segments), default=0)) for row in seen.rows]
    heights.append(_LABEL * (1 + len(seen.curves)))
    with mpl.rc_context({"svg.hashsalt": "kinesphere", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(_WIDTH, sum(heights) + _MARGIN), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
        for row, place in zip(seen.rows, axes, strict=False):
            _row(place, row, seen)
        _probabilities(axes[-1], seen)
        figure.suptitle(spelled(Path(timeline.source).name), fontsize=10, x=0.01, ha="left", parse_math=False)
        kind = path.suffix.lower().removeprefix(".")
        # A file of the same content is the same file.
        stamp = {"Date": None} if kind == "svg" else {}
        with replacing(path) as scratch, warnings.catch_warnings():
            # Letters that the font lacks: SVG keeps them as text, in PNG they are boxes.
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            figure.savefig(scratch, format=kind, dpi=_DOTS, metadata=stamp)


def _row(place: Axes, row: TimelineRow, seen: Shown) -> None:
    chosen = lanes(row.segments)
    per_s = (_WIDTH - 1.5) / (seen.end_s - seen.start_s)
    # One collection a lane: an hour has thousands of segments.
    for lane in set(chosen):
        own = [each for each, its in zip(row.segments, chosen, strict=True) if its == lane]
        place.broken_barh(
            [(each.start_s, each.end_s - each.start_s) for each in own],
            (lane - 0.43, 0.86),
            facecolors=[seen.hues[each.label] for each in own],
            edgecolors="white",
            linewidths=[0.4 if (each.end_s - each.start_s) * per_s > _SIGN else 0.0 for each in own],
        )
    for each, lane in zip(row.segments, chosen, strict=True):
        length_s = each.end_s - each.start_s
        room = int(length_s * per_s / _SIGN)
        if room >= 3:
            text = each.label if len(each.label) <= room else f"{each.label[: room - 1]}…"
            place.text(
                each.start_s + length_s / 2, lane, text, ha="center", va="center", fontsize=7.5, color=INK,
                clip_on=True, parse_math=False,
            )  # fmt: skip
    place.set_ylim(max(chosen, default=0) + 0.5, -0.5)
    place.set_yticks([])
    place.set_ylabel(row.name, rotation=0, ha="right", va="center", parse_math=False)
    place.tick_params(bottom=False)
    for side in ("top", "right", "bottom", "left"):
        place.spines[side].set_visible(False)


def _probabilities(place: Axes, seen: Shown) -> None:
    """A row of each label, darker where it is more probable: of an hour, lines would cover each other."""
    names = list(seen.curves)
    # Columns of nothing between the windows: of no width where these touch.
    rows = np.full((len(names), 2 * len(seen.cells) - 1), np.nan)
    rows[:, ::2] = [seen.curves[name][1] for name in names]
    edges = seen.cells.ravel()
    place.pcolormesh(edges, np.arange(len(names) + 1), rows, cmap="Greys", vmin=0, vmax=1, rasterized=True)
    place.set_xlim(seen.start_s, seen.end_s)
    place.set_ylim(len(names), 0)
    texts = place.set_yticks(np.arange(len(names)) + 0.5, names)
    for tick, name in zip(texts, names, strict=True):
        tick.label1.set_parse_math(False)
        tick.label1.set_bbox({"facecolor": seen.hues[name], "edgecolor": "none", "pad": 1.5})
        tick.label1.set_color(INK)
        tick.label1.set_fontsize(7.5)
    marks = ticks(seen.start_s, seen.end_s)
    place.set_xticks(marks, [clock(mark).removesuffix(".0") for mark in marks])
    place.tick_params(left=False)
    for side in ("top", "right", "left"):
        place.spines[side].set_visible(False)


for _suffix, _title in ((".svg", "SVG picture"), (".png", "PNG picture")):
    TIMELINE_FILES.add(_suffix, TimelineFile(_title, _write, takes_rows=True))
