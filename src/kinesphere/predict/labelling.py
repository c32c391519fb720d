"""Which windows to annotate next: those that a model is least sure of, spread over videos."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels, video_name
from kinesphere.core.errors import InvalidSetting
from kinesphere.predict.timeline import Timeline

Measure = Literal["entropy", "margin"]
TIER = "next"
"""The tier of windows to annotate in the files of tools."""


@dataclass(frozen=True)
class Candidate:
    """A window that nobody has annotated.

    Attributes:
        source: The video, as the user named it.
        start_s: Start in seconds from the start of the video.
        end_s: End.
        label: What the model says.
        probability: How probable it says that is.
        runner_up: The most probable other label; None where there is one label alone.
        runner_up_probability: Its probability.
        unsure: How unsure the model is, from 0 to 1.
    """

    source: str
    start_s: float
    end_s: float
    label: str
    probability: float
    runner_up: str | None
    runner_up_probability: float | None
    unsure: float

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def unsure(timeline: Timeline, measure: Measure) -> np.ndarray:
    """`(W,)` how unsure the answers are, from 0 (certain) to 1 (any label as likely as another).

    Args:
        timeline: Answers to the windows of a video.
        measure: `entropy` of all probabilities, or `margin`, how near the two best are. Of labels that may
            hold at once each is a question of its own, and the least sure one counts.
    """
    p = np.clip(timeline.probabilities, 1e-12, 1.0)
    if timeline.labels.multi:
        q = np.clip(1 - p, 1e-12, 1.0)
        each = 1 - np.abs(p - q) if measure == "margin" else -(p * np.log2(p) + q * np.log2(q))
        return np.asarray(each.max(axis=1).clip(0, 1))
    if p.shape[1] == 1:
        return np.zeros(len(p))
    if measure == "margin":
        best = np.sort(p, axis=1)[:, -2:]
        return np.asarray(1 - (best[:, 1] - best[:, 0]))
    return np.asarray(-(p * np.log(p)).sum(axis=1) / np.log(p.shape[1])).clip(0, 1)


def covered(spans: np.ndarray, labels: Sequence[TimedLabel]) -> np.ndarray:
    """`(W,)` which part of each window somebody has annotated, with whatever label.

    Args:
        spans: `(W, 2)` start and end of the windows in seconds.
        labels: Annotations of the same video.
    """
    starts = np.array(sorted((each.start_s, max(each.end_s, each.start_s)) for each in labels)).reshape(-1, 2)
    union: list[list[float]] = []
    for start_s, end_s in starts.tolist():
        if union and start_s <= union[-1][1]:
            union[-1][1] = max(union[-1][1], end_s)
        else:
            union.append([start_s, end_s])
    if not union:
        return np.zeros(len(spans))
    edges = np.array(union)
    done = np.concatenate([[0.0], np.cumsum(edges[:, 1] - edges[:, 0])])

    def annotated_before(times_s: np.ndarray) -> np.ndarray:
        at = np.searchsorted(edges[:, 0], times_s, side="right")
        inside = np.where(at > 0, np.minimum(times_s, edges[at - 1, 1]) - edges[at - 1, 0], 0.0)
        return np.asarray(done[np.maximum(at - 1, 0)] + inside)

    lengths = np.maximum(spans[:, 1] - spans[:, 0], 1e-9)
    return np.asarray((annotated_before(spans[:, 1]) - annotated_before(spans[:, 0])) / lengths)


def least_sure(
    timelines: Sequence[Timeline],
    annotated: TimedLabels,
    *,
    count: int,
    measure: Measure = "entropy",
    least_covered: float = 0.5,
    diversity: float = 0.2,
) -> list[Candidate]:
    """The windows that are not annotated yet and that the model is least sure of, the least sure first.

    Windows of a video that are chosen do not overlap, and each one chosen makes the next of its video count
    less, so that one difficult video does not take the whole list. Windows in which nobody is seen are left
    out.

    Args:
        timelines: Answers to the windows of each video.
        annotated: What is annotated so far; a label that lies elsewhere says nothing of a window.
        count: How many at most.
        measure: How unsure an answer is; see `unsure`.
        least_covered: A window is annotated if so much of it is.
        diversity: How much less the next window of a video counts for each that is chosen, from 0 (not at
            all) to below 1.

    Raises:
        InvalidSetting: If a number makes no sense.
    """
    if count < 1 or not 0 < least_covered <= 1 or not 0 <= diversity < 1:
        raise InvalidSetting(
            "count should be 1 or more, least_covered above 0 and up to 1, diversity from 0 to below 1; got "
            f"{count}, {least_covered}, {diversity}."
        )
    by_video: dict[str, list[TimedLabel]] = {}
    for each in annotated.labels:
        by_video.setdefault(each.video, []).append(each)
    queues = [_queue(each, by_video, measure, least_covered) for each in timelines]
    picked: list[list[Candidate]] = [[] for _ in queues]
    heap = [(-queue[-1].unsure, i) for i, queue in enumerate(queues) if queue]
    heapq.heapify(heap)
    chosen: list[Candidate] = []
    while heap and len(chosen) < count:
        _, i = heapq.heappop(heap)
        best = queues[i].pop()
        chosen.append(best)
        picked[i].append(best)
        while queues[i] and any(_overlap(queues[i][-1], other) for other in picked[i]):
            queues[i].pop()
        if queues[i]:
            heapq.heappush(heap, (-queues[i][-1].unsure * (1 - diversity) ** len(picked[i]), i))
    return chosen


def _queue(
    timeline: Timeline, by_video: Mapping[str, list[TimedLabel]], measure: Measure, least_covered: float
) -> list[Candidate]:
    """The windows of a video that are not annotated, the least sure last."""
    names = {video_name(timeline.source), ""}
    own = [label for name in names for label in by_video.get(name, ())]
    free = (covered(timeline.spans, own) < least_covered) & ~timeline.nobody
    doubts = unsure(timeline, measure)
    found = []
    for i in np.flatnonzero(free).tolist():
        best, *others = np.argsort(-timeline.probabilities[i], kind="stable").tolist()
        row = timeline.probabilities[i]
        found.append(
            Candidate(
                timeline.source,
                float(timeline.spans[i, 0]),
                float(timeline.spans[i, 1]),
                timeline.labels.names[best],
                float(row[best]),
                timeline.labels.names[others[0]] if others else None,
                float(row[others[0]]) if others else None,
                float(doubts[i]),
            )
        )
    return sorted(found, key=lambda each: (each.unsure, -each.start_s))


def _overlap(one: Candidate, other: Candidate) -> bool:
    return one.start_s < other.end_s and other.start_s < one.end_s


def to_correct(candidates: Sequence[Candidate]) -> TimedLabels:
    """The windows as labels with scores, for the file of an annotation tool."""
    return TimedLabels.of(
        Detection(video_name(each.source), each.label, each.start_s, each.end_s, TIER, score=each.probability)
        for each in candidates
    )
