"""The clips that a report shows: where the model was surest, rightly and wrongly."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from kinesphere.core.errors import DamagedVideo, VideoError
from kinesphere.evaluate.predictions import Predictions

Kind = Literal["right", "wrong"]
_FRAME_HEIGHT = 128
_JPEG = (1, 80)  # cv2.IMWRITE_JPEG_QUALITY


@dataclass(frozen=True)
class Example:
    """One clip with the model's answer.

    Attributes:
        kind: Whether the answer was right.
        path: The video.
        span: `(start_s, end_s)` or None for all of it.
        truth: Its label (several joined with a comma in a multi-label set).
        answer: The label in question, and its probability.
        probability: That the model gave to `answer`.
        truth_probability: That the model gave to the (most probable) true label.
        frames: JPEG files in order of time; empty if the video could not be read again.
        problem: Why there are no frames.
    """

    kind: Kind
    path: str
    span: tuple[float, float] | None
    truth: str
    answer: str
    probability: float
    truth_probability: float
    frames: tuple[bytes, ...] = ()
    problem: str = ""


def choose_examples(predictions: Predictions, count: int = 4) -> list[Example]:
    """The surest right answers (of different classes first) and the surest mistakes, without frames."""
    p, names = predictions.probabilities, predictions.labels.names
    if predictions.labels.multi:
        hot = predictions.targets > 0
    else:
        hot = np.eye(len(names), dtype=bool)[predictions.targets]
    best_true, best_false = np.where(hot, p, -1.0), np.where(hot, -1.0, p)
    answered = p.argmax(1)
    right = hot[np.arange(len(p)), answered]
    picks: list[tuple[Kind, int]] = []
    by_confidence = np.argsort(-p.max(1), kind="stable")
    for kind in ("right", "wrong"):
        pool = [int(i) for i in by_confidence if right[i] == (kind == "right")]
        picks += [(kind, i) for i in _spread(pool, answered, count)]
    return [
        Example(
            kind,
            predictions.paths[i],
            predictions.spans[i],
            ", ".join(names[k] for k in np.flatnonzero(hot[i])) or "none",
            names[answered[i]] if kind == "right" else names[best_false[i].argmax()],
            float(p[i].max()),
            float(max(best_true[i].max(), 0.0)),
        )
        for kind, i in picks
    ]


def _spread(pool: Sequence[int], answered: np.ndarray, count: int) -> list[int]:
    """The first of each class, then the rest, `count` in all."""
    first_of = {int(answered[i]): i for i in reversed(pool)}
    firsts = sorted(first_of.values(), key=pool.index)
    return (firsts + [i for i in pool if i not in firsts])[:count]


def with_frames(example: Example, count: int = 6) -> Example:
    """The same example with `count` frames spread over its span, as JPEG files.

    A video that can no longer be read gives no frames; `problem` says why.
    """
    import cv2

    from kinesphere.video import Video

    try:
        with warnings.catch_warnings():
            # The evaluation has already reported the damage.
            warnings.simplefilter("ignore", DamagedVideo)
            with Video.open(example.path) as video:
                times = video.frame_times()
                start, end = example.span or (float(times[0]), float(times[-1]))
                start = max(start, float(times[0]))
                height, width = video.size
                size = (_FRAME_HEIGHT, max(2, round(_FRAME_HEIGHT * width / height)))
                moments = start + (np.arange(count) + 0.5) / count * (min(end, float(times[-1])) - start)
                pictures = np.asarray(video.frames_at(moments, size=size).data).transpose(0, 2, 3, 1)
    except VideoError as error:
        return replace(example, problem=str(error))
    encoded = [cv2.imencode(".jpg", picture[..., ::-1], _JPEG)[1].tobytes() for picture in pictures]
    return replace(example, frames=tuple(encoded))
