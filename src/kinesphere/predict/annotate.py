"""Annotated video: the frames with the labels that the model gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.core.errors import InvalidSetting
from kinesphere.predict.overlay import Overlay
from kinesphere.predict.prediction import Prediction
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.predict.segmentation import active_windows
from kinesphere.predict.timeline import Timeline
from kinesphere.video import Video, VideoWriter

# Smaller frames are enlarged to this height, so that letters stay readable.
_LEAST_HEIGHT = 360
# But not beyond this width, where they are strips.
_MOST_WIDTH = 1920
_INK, _SOFT, _FILL, _TRACK = (255, 255, 255), (178, 186, 192), (45, 191, 174), (74, 84, 90)
_HUES = np.array(
    [(45, 191, 174), (251, 138, 74), (120, 148, 255), (244, 196, 72), (214, 110, 190), (140, 200, 90),
     (90, 190, 240), (240, 110, 110)], np.uint8,
)  # fmt: skip
_FONT = cv2.FONT_HERSHEY_SIMPLEX
EVERY_WINDOW = SegmentRule(threshold=0.0)
"""Each window has its leading label."""


@dataclass(frozen=True)
class _Layout:
    """Sizes in pixels, all proportional to the frame's height, or to its width where that is narrow."""

    height: int
    width: int

    @property
    def unit(self) -> int:
        return max(12, round(min(self.height / 24, self.width / 8)))

    @property
    def bar(self) -> int:
        return round(1.5 * self.unit)

    @property
    def text(self) -> float:
        return self.unit / 30

    @property
    def stroke(self) -> int:
        return max(1, round(self.unit / 14))


def annotate(
    source: str | Path | bytes,
    target: str | Path,
    answer: Prediction | Timeline,
    *,
    top: int = 3,
    rule: SegmentRule = EVERY_WINDOW,
    overlay: Overlay | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Write a copy of a video with the model's top labels and their probabilities drawn on it.

    With a `Timeline` the labels change from window to window, and a strip along the lower edge shows
    the leading label over the whole video with the current time marked, beneath a legend of its hues.

    Args:
        source: The video.
        target: `.mp4`, `.mkv` or another suffix that `VideoWriter` takes for H.264.
        answer: The answer of the model to it.
        top: Number of labels.
        rule: How a timeline becomes segments: the strip stays grey where there is none. By default all
            windows are shown, but those whose answer is none of what the model knows.
        overlay: What else to draw, beneath the labels.
        progress: Called with the number of frames written and their total, if known.

    Returns:
        The path written.

    Raises:
        InvalidSetting: If `top` is not positive.
        VideoError: If the video cannot be decoded or written.
    """
    if top < 1:
        raise InvalidSetting(f"At least one label is drawn; got top={top}.")
    with Video.open(source) as video:
        size = readable_size(video.size)
        layout = _Layout(*size)
        panels: dict[int, np.ndarray] = {}
        strip = _strip(answer, layout, rule) if isinstance(answer, Timeline) else None
        ends_s = float(answer.spans[:, 1].max()) if isinstance(answer, Timeline) else 0.0
        with VideoWriter(target, size, video.fps) as writer:
            # Resampled to the mean rate, because H.264 is written at a constant one.
            for count, frame in enumerate(video.stream(size=size, fps=video.fps), start=1):
                image = np.ascontiguousarray(frame.data.transpose(1, 2, 0))
                if overlay is not None:
                    image = overlay.draw(image, frame.time_s)
                prediction, key = _at(answer, frame.time_s)
                if prediction is not None:
                    if key not in panels:
                        panels = {key: _panel(prediction, layout, top)}
                    _blend(image, panels[key], layout.unit // 2, layout.unit // 2)
                if strip is not None:
                    _draw_strip(image, strip, frame.time_s / ends_s, layout.bar)
                writer.write(image)
                if progress:
                    progress(count, video.frame_count)
    return Path(target)


def _at(answer: Prediction | Timeline, time_s: float) -> tuple[Prediction | None, int]:
    """What holds at a time, and a key that is the same as long as it does."""
    if isinstance(answer, Prediction):
        inside = answer.span[0] <= time_s <= answer.span[1]
        return (answer, 0) if inside else (None, 0)
    cells = answer.cells()
    window = int(np.searchsorted(cells[:, 0], time_s, side="right")) - 1
    if window < 0 or time_s > cells[window, 1] or answer.nobody[window]:
        return None, window
    return answer[window], window


def draw_prediction(frame: np.ndarray, prediction: Prediction, *, top: int = 3) -> np.ndarray:
    """A copy of a frame, enlarged if it is small, with the top labels and their probabilities drawn on it.

    Args:
        frame: uint8 RGB `(H, W, 3)`.
        prediction: The answer to it.
        top: Number of labels.

    Returns:
        uint8 RGB of `readable_size`.
    """
    height, width = readable_size((frame.shape[0], frame.shape[1]))
    image = cv2.resize(frame, (width, height)) if frame.shape[:2] != (height, width) else frame.copy()
    layout = _Layout(height, width)
    _blend(image, _panel(prediction, layout, top), layout.unit // 2, layout.unit // 2)
    return image


def readable_size(size: Size) -> Size:
    """`(H, W)` at which frames are written with text on them: small ones are enlarged, sides are even.

    Args:
        size: `(H, W)` of the video as displayed.
    """
    height, width = size
    scale = max(1.0, min(_LEAST_HEIGHT / height, _MOST_WIDTH / width))
    # Even sizes, which H.264 stores.
    return 2 * round(height * scale / 2), 2 * round(width * scale / 2)


def _panel(prediction: Prediction, layout: _Layout, top: int) -> np.ndarray:
    """RGBA image of the labels with their bars."""
    unit = layout.unit
    rows = prediction.top(top)
    width = min(layout.width - unit, round(13 * unit))
    row_height = round(2.1 * unit)
    panel = np.zeros((unit // 2 + row_height * len(rows) + unit // 4, width, 4), np.uint8)
    panel[..., :3], panel[..., 3] = (20, 24, 27), 190
    for i, (label, probability) in enumerate(rows):
        base = unit // 2 + i * row_height + round(0.85 * unit)
        percentage = f"{100 * probability:.0f} %"
        colour = _INK if i == 0 else _SOFT
        right = width - unit // 2 - _text_width(percentage, layout)
        _write(panel, _fitted(label, right - unit, layout), (unit // 2, base), colour, layout)
        _write(panel, percentage, (right, base), colour, layout)
        top_px, bottom_px = base + round(0.32 * unit), base + round(0.7 * unit)
        end = unit // 2 + round((width - unit) * probability)
        panel[top_px:bottom_px, unit // 2 : width - unit // 2] = (*_TRACK, 255)
        panel[top_px:bottom_px, unit // 2 : end] = (*_FILL, 255)
    return panel


def _strip(timeline: Timeline, layout: _Layout, rule: SegmentRule) -> np.ndarray:
    """RGB image of the segments over time, of several at once the leading one, one hue per label, with names
    where they fit."""
    height = layout.bar
    strip = np.empty((height, layout.width, 3), np.uint8)
    strip[:] = _TRACK
    cells = timeline.cells() / float(timeline.spans[:, 1].max())
    active = active_windows(timeline, rule)
    leaders = np.where(active, timeline.probabilities, -1).argmax(1)
    leaders[~active.any(1)] = -1
    edges = np.round(cells * layout.width).astype(int)
    # One hue for each label that leads somewhere, in order of appearance, so that neighbours differ.
    leading = [label for label in dict.fromkeys(leaders.tolist()) if label >= 0]
    hues = {label: _HUES[i % len(_HUES)] for i, label in enumerate(leading)}
    starts = np.flatnonzero(np.diff(leaders, prepend=-2) != 0)
    for first, after in zip(starts, [*starts[1:], len(leaders)], strict=True):
        label, left, right = int(leaders[first]), edges[first, 0], edges[after - 1, 1]
        if label < 0 or right <= left:
            continue
        strip[:, left:right] = hues[label]
        strip[:, right - 1 : right] = (20, 24, 27)
        name = _fitted(timeline.labels.names[label], right - left - layout.unit // 2, layout)
        if len(name) > 1:
            _write(strip, name, (int(left) + layout.unit // 4, round(0.72 * height)), (20, 24, 27), layout)
    entries = [(timeline.labels.names[label], hues[label]) for label in leading]
    if (leaders < 0).any():
        plain = replace(rule, threshold=None) == SegmentRule()
        without = f"below {100 * timeline.threshold(rule.threshold):.0f} %" if plain else "no segment"
        entries.append((without, np.array(_TRACK, np.uint8)))
    return np.concatenate([_legend(entries, layout), strip])


def _legend(entries: Sequence[tuple[str, np.ndarray]], layout: _Layout) -> np.ndarray:
    """RGB image of the hues with their names, in up to as many lines as fill a quarter of the height."""
    unit = layout.unit
    line, box, gap = round(1.2 * unit), round(0.7 * unit), unit // 3
    most = max(1, layout.height // (4 * line))
    lines: list[list[tuple[str, np.ndarray, int]]] = [[]]
    x, hidden = gap, 0
    for name, hue in entries:
        text = _fitted(name, layout.width - box - 4 * gap, layout)
        width = box + gap + _text_width(text, layout) + 2 * gap
        if lines[-1] and x + width > layout.width:
            if len(lines) == most:
                hidden += 1
                continue
            lines.append([])
            x = gap
        lines[-1].append((text, hue, x))
        x += width
    legend = np.empty((line * len(lines), layout.width, 3), np.uint8)
    legend[:] = (20, 24, 27)
    for row, placed in enumerate(lines):
        top = row * line + (line - box) // 2
        for text, hue, left in placed:
            legend[top : top + box, left : left + box] = hue
            _write(legend, text, (left + box + gap, row * line + round(0.8 * line)), _SOFT, layout)
    if hidden:
        more = f"+{hidden}"
        left = layout.width - _text_width(more, layout) - gap
        legend[-line:, left - gap :] = (20, 24, 27)
        _write(legend, more, (left, legend.shape[0] - line + round(0.8 * line)), _SOFT, layout)
    return legend


def _draw_strip(image: np.ndarray, strip: np.ndarray, fraction: float, bar_height: int) -> None:
    """The strip at the lower edge; its last `bar_height` rows are the bar in which time runs."""
    lower = image[-len(strip) :]
    width = strip.shape[1]
    lower[:] = strip[-len(lower) :]
    x = min(width - 1, max(0, round(fraction * (width - 1))))
    thick = max(1, bar_height // 14)
    bar = lower[-bar_height:]
    bar[:, max(0, x - 2 * thick) : x + 2 * thick + 1] = (20, 24, 27)
    bar[:, max(0, x - thick) : x + thick + 1] = _INK


def _blend(image: np.ndarray, panel: np.ndarray, top: int, left: int) -> None:
    part = image[top : top + panel.shape[0], left : left + panel.shape[1]]
    panel = panel[: part.shape[0], : part.shape[1]]
    alpha = panel[..., 3:].astype(np.uint16)
    part[:] = (panel[..., :3] * alpha + part * (255 - alpha)) // 255


def _write(
    image: np.ndarray, text: str, position: tuple[int, int], colour: tuple[int, int, int], layout: _Layout
) -> None:
    full = (*colour, 255) if image.shape[2] == 4 else colour
    cv2.putText(image, text, position, _FONT, layout.text, full, layout.stroke, cv2.LINE_AA)


def _text_width(text: str, layout: _Layout) -> int:
    (width, _), _ = cv2.getTextSize(text, _FONT, layout.text, layout.stroke)
    return int(width)


def _fitted(text: str, width: int, layout: _Layout) -> str:
    """The text, cut at the end if it is wider than `width` pixels."""
    if _text_width(text, layout) <= width:
        return text
    while text and _text_width(text + "..", layout) > width:
        text = text[:-1]
    return text + ".." if text else ""
