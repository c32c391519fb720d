"""One picture of an explanation: a filmstrip with heat, the curve of heat over time, and the scale."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.text import spelled
from kinesphere.data.sources import Source
from kinesphere.explain.render.drawing import draw_heat, scale_of
from kinesphere.explain.render.frames import drawn_size, source_frames, spread_times

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

    from kinesphere.explain.attribution import Attribution

_FRAME_HEIGHT = 240
_CURVE_POINTS = 200
_LONGEST_LINE = 200
_INK, _LINE, _AGAINST = "#20242a", "#1f8f83", "#b5483a"


def sheet(attributions: Sequence[Attribution], source: Source, *, frames: int = 8) -> bytes:
    """Explanations of one video below each other, each with its frames, its curve and its scale, as PNG.

    Several may be of different models, methods, classes or windows.

    Args:
        attributions: One or more.
        source: The video.
        frames: Number of frames in a strip.

    Raises:
        InvalidSetting: If there is nothing to show.
        VideoError: If the video cannot be decoded.
    """
    from matplotlib import rc_context

    strips = [(each, *names) for each in attributions for names in each.inputs]
    if not strips or frames < 1:
        raise InvalidSetting(
            f"A sheet shows one explanation or more, by one frame or more; got {len(strips)}, {frames}."
        )
    with rc_context({"text.parse_math": False}):  # a dollar in a label is no formula
        return _drawn(attributions, strips, source, frames)


def _drawn(
    attributions: Sequence[Attribution],
    strips: Sequence[tuple[Attribution, str, ClipSpec]],
    source: Source,
    frames: int,
) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = drawn_size(attributions[0].size, _FRAME_HEIGHT)
    several = [each for each in attributions if each.streams]
    strip_inches = min(max(12.0 / frames * size[0] / size[1], 0.9), 4.0)
    bars = [0.35 + 0.22 * len(each.streams) for each in several]
    tall = len(strips) * (strip_inches + 1.25) + sum(bars) + 0.35 * len(bars) + 0.2
    figure = Figure(figsize=(12.8, tall), layout="constrained")
    grid = figure.add_gridspec(2 * len(strips) + len(bars), 2, width_ratios=(60, 1),
                               height_ratios=[strip_inches, 0.9] * len(strips) + bars)  # fmt: skip
    for row, (attribution, model, spec) in enumerate(strips):
        times = spread_times(attribution, frames)
        images = draw_heat(attribution, model, spec, source_frames(source, times, size), times)
        _strip(figure, grid[2 * row, 0], images, _title(attribution, model, spec))
        _bar(figure, grid[2 * row, 1], attribution, model, spec)
        _curve(figure.add_subplot(grid[2 * row + 1, 0]), attribution, model, spec, times)
    for row, attribution in enumerate(several, start=2 * len(strips)):
        _streams(figure.add_subplot(grid[row, 0]), attribution)
    drawn = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(drawn, format="png", dpi=100)
    return drawn.getvalue()


def _title(attribution: Attribution, model: str, spec: ClipSpec) -> str:
    """What is explained, by what, and what the model answers."""
    named = f"{attribution.title}: {100 * attribution.probability:.1f} %"
    if attribution.answer[0] != attribution.label:
        named += f" (the model answers {attribution.answer[0]}, {100 * attribution.answer[1]:.1f} %)"
    short = "/".join(Path(model).parts[-2:])
    return f"{named}    {attribution.method_of(model, spec)} on {spec.modality}, {short}"


def _line(text: str) -> str:
    """A text as one line of signs that can be drawn, not longer than the picture is wide."""
    whole = "".join(sign if sign.isprintable() else " " for sign in spelled(text))
    return whole if len(whole) <= _LONGEST_LINE else f"{whole[: _LONGEST_LINE - 1]}…"


def _strip(figure: Figure, place: SubplotSpec, images: np.ndarray, title: str) -> None:
    """Frames beside each other."""
    axes = figure.add_subplot(place)
    gap = np.full((images.shape[1], 4, 3), 255, np.uint8)
    parts = [part for image in images for part in (image, gap)][:-1]
    axes.imshow(np.concatenate(parts, 1), aspect="auto", interpolation="bilinear")
    axes.set_title(_line(title), loc="left", fontsize=10, color=_INK)
    axes.set_axis_off()


def _bar(figure: Figure, place: SubplotSpec, attribution: Attribution, model: str, spec: ClipSpec) -> None:
    """The scale of colours with its numbers."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = scale_of(attribution, model, spec)
    shades = ScalarMappable(Normalize(*scale.limits), scale.name)
    bar = figure.colorbar(shades, cax=figure.add_subplot(place))
    bar.ax.tick_params(labelsize=7, colors=_INK)
    bar.ax.yaxis.get_offset_text().set_fontsize(7)


def _curve(axes: Axes, attribution: Attribution, model: str, spec: ClipSpec, times_s: np.ndarray) -> None:
    """Heat of whole frames over time, with the frames of the strip marked."""
    shown = np.concatenate([heat.times for heat in attribution.of_input(model, spec)])
    along = np.linspace(shown.min(), shown.max(), _CURVE_POINTS)
    curve = attribution.over_time(along)[attribution.name_of(model, spec)]
    axes.plot(along, curve, color=_LINE, linewidth=1.5)
    axes.fill_between(along, curve, color=_LINE, alpha=0.2, linewidth=0)
    for time_s in times_s:
        axes.axvline(time_s, color=_INK, linewidth=0.5, alpha=0.4)
    axes.set_xlim(along[0], max(along[-1], along[0] + 1e-3))
    axes.set_xlabel("s", fontsize=8, color=_INK, labelpad=1)
    axes.set_ylabel("heat of\na frame", fontsize=8, color=_INK)
    _plain(axes)


def _streams(axes: Axes, attribution: Attribution) -> None:
    """What each stream adds, as bars of its share of what all add, with the figures."""
    rows = attribution.streams
    shares = [each.fraction or 0.0 for each in rows]
    axes.barh(
        range(len(rows)), shares, color=[_LINE if share >= 0 else _AGAINST for share in shares], height=0.7
    )
    names = [_line("/".join(Path(each.name).parts[-2:])) for each in rows]
    axes.set_yticks(range(len(rows)), names)
    low, high = min(0.0, *shares), max(1.0, *shares)
    for place, (share, each) in enumerate(zip(shares, rows, strict=True)):
        text = f" {100 * share:.0f} %, {each.contribution:.3g} of the {each.of}"
        axes.text(max(share, 0.0), place, text, va="center", fontsize=8, color=_INK)
    axes.set_xlim(low * 1.05, high * 1.3)
    axes.set_xticks([])
    axes.invert_yaxis()
    axes.axvline(0, color=_INK, linewidth=0.8)
    axes.set_title(_line(f"What each stream adds to {attribution.title}"), loc="left", fontsize=9, color=_INK)
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=7, colors=_INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
