"""A copy of a video with heat over its frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from kinesphere.clips.modality import stands_alone
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidSetting
from kinesphere.data.sources import Source, local_path
from kinesphere.explain.render.colour import ColourScale
from kinesphere.explain.render.drawing import draw_heat, scale_of
from kinesphere.predict.annotate import readable_size
from kinesphere.video import Video, VideoWriter

if TYPE_CHECKING:
    from kinesphere.explain.attribution import Attribution

_INK, _PAPER = (255, 255, 255), (20, 24, 27)


def write_film(
    windows: Sequence[Attribution],
    source: Source,
    target: Path,
    *,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Write the frames of a video with the heat of each input over them, inputs beside each other.

    Where windows overlap, each shows the time that is nearer to its middle than to the others'. All have one
    scale of colours, for which they are gone through once beforehand; no more than two are in memory.

    Args:
        windows: One attribution, or those of windows in order of time; gone through twice.
        source: The video.
        target: A path that `VideoWriter` takes for H.264.
        progress: Called with the number of frames written and their total, if known.

    Raises:
        InvalidSetting: If there is no attribution, or the source is a file of poses alone.
        VideoError: If the video cannot be decoded or written.
    """
    path = local_path(source)
    if path is not None and stands_alone(path) is not None:
        raise InvalidSetting(f"{path} has no frames to make a film of; explanations of it come as pictures.")
    turns = _Turns.of(_on_one_scale(windows))
    with Video.open(source) as video:
        size = readable_size(video.size)
        panels = len(turns.now.inputs)
        with VideoWriter(target, (size[0], size[1] * panels), video.fps) as writer:
            for count, frame in enumerate(video.stream(size=size, fps=video.fps), start=1):
                image = np.ascontiguousarray(frame.data.transpose(1, 2, 0))
                writer.write(_frame(turns.at(frame.time_s), image, frame.time_s))
                if progress:
                    progress(count, video.frame_count)
    return target


def _on_one_scale(windows: Sequence[Attribution]) -> Iterator[Attribution]:
    """The windows, with the strongest full colour of each input for all of them."""
    full: dict[tuple[str, ClipSpec], float] = {}
    for attribution in windows:
        for heat in attribution.heats:
            full[heat.model, heat.spec] = max(full.get((heat.model, heat.spec), 0.0), heat.full)
    for attribution in windows:
        heats = tuple(replace(heat, full=full[heat.model, heat.spec]) for heat in attribution.heats)
        yield replace(attribution, heats=heats)


@dataclass
class _Turns:
    """Which of several windows speaks at a time that only grows."""

    now: Attribution
    after: Attribution | None
    rest: Iterator[Attribution]

    @classmethod
    def of(cls, attributions: Iterator[Attribution]) -> _Turns:
        first = next(attributions, None)
        if first is None:
            raise InvalidSetting("There is no explanation to make a film of.")
        return cls(first, next(attributions, None), attributions)

    def at(self, time_s: float) -> Attribution:
        """The window whose middle is nearest."""
        while self.after is not None and time_s > (_middle(self.now) + _middle(self.after)) / 2:
            self.now, self.after = self.after, next(self.rest, None)
        return self.now


def _middle(attribution: Attribution) -> float:
    return (attribution.span[0] + attribution.span[1]) / 2


def _frame(attribution: Attribution, image: np.ndarray, time_s: float) -> np.ndarray:
    """One frame: a panel for each input, with the class, the name of the input and the scale."""
    panels = []
    for model, spec in attribution.inputs:
        (panel,) = draw_heat(attribution, model, spec, image[None], np.array([time_s]))
        panel = np.ascontiguousarray(panel)
        unit = max(10, image.shape[0] // 26)
        named = f"{attribution.title} {100 * attribution.probability:.0f} %"
        _write(panel, named, (unit // 2, round(1.3 * unit)), unit)
        below = f"{attribution.method_of(model, spec)}, {attribution.name_of(model, spec)}"
        _write(panel, below, (unit // 2, round(2.6 * unit)), round(0.8 * unit))
        _draw_bar(panel, scale_of(attribution, model, spec), unit)
        panels.append(panel)
    return np.concatenate(panels, 1)


def _draw_bar(panel: np.ndarray, scale: ColourScale, unit: int) -> None:
    """The scale of colours in the lower right corner, with its numbers."""
    height, width = panel.shape[:2]
    tall, wide = min(8 * unit, height // 2), max(4, unit // 2)
    top, left = height - tall - unit, width - wide - unit // 2
    low, high = scale.limits
    colours, _ = scale.colours(np.linspace(high, low, tall)[:, None])
    panel[top : top + tall, left : left + wide] = colours
    for value, row in ((high, top + unit // 2), (low, top + tall)):
        text = f"{value:.2g}" if scale.full else "0"
        (long, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.8 * unit / 30, 1)
        _write(panel, text, (left - long - unit // 3, row), round(0.8 * unit))


def _write(image: np.ndarray, text: str, place: tuple[int, int], unit: int) -> None:
    for colour, stroke in ((_PAPER, 3), (_INK, 1)):
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, unit / 30, colour,
                    stroke * max(1, unit // 16), cv2.LINE_AA)  # fmt: skip
