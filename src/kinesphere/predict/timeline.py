"""`Timeline`: what a model says of every window of a long video, and the segments that follow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, overload

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.short_repr import short_repr
from kinesphere.models.rejection import Rejection
from kinesphere.predict.prediction import NOBODY, Prediction, check_probabilities

THRESHOLD = 0.5
"""Lowest probability of a segment where neither the user nor the model's file says which."""
Smoothing = Literal["mean", "median"]
_TOUCH_S = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class Timeline:
    """Class probabilities of W windows over K labels.

    Attributes:
        probabilities: `(W, K)` float64; rows sum to 1 for single-label sets.
        spans: `(W, 2)` float64, start and end of each window in seconds, ordered by start.
        labels: The K labels.
        source: The video, as the user named it.
        nobody: bool `(W,)`: windows whose answer means nothing, because a model that sees joints alone saw
            nobody in them; none by default.
        notes: What makes it doubtful.
        rejection: When a window is none of what the model knows; None for never.
        model: Name of the model that answered, where that depends on the video.
    """

    probabilities: np.ndarray
    spans: np.ndarray
    labels: LabelSet
    source: str
    nobody: np.ndarray = field(default_factory=lambda: np.empty(0, bool))
    notes: tuple[str, ...] = ()
    rejection: Rejection | None = None
    model: str = ""

    __repr__ = short_repr

    def __post_init__(self) -> None:
        windows = len(self.probabilities)
        if not len(self.nobody):
            object.__setattr__(self, "nobody", np.zeros(windows, bool))
        if windows == 0 or self.probabilities.shape != (windows, len(self.labels)):
            raise InvalidSetting(
                f"A timeline over {len(self.labels)} labels needs probabilities (W, {len(self.labels)}) with "
                f"at least one window; got {self.probabilities.shape}."
            )
        check_probabilities(self.probabilities)
        if self.spans.shape != (windows, 2):
            raise InvalidSetting(
                f"A timeline of {windows} windows needs spans ({windows}, 2); got {self.spans.shape}."
            )
        if self.nobody.shape != (windows,) or self.nobody.dtype != bool:
            raise InvalidSetting(
                f"A timeline of {windows} windows says of each whether nobody is seen, as booleans; got "
                f"{self.nobody.dtype} {self.nobody.shape}."
            )
        starts, ends = self.spans.T
        if not np.isfinite(self.spans).all() or (starts >= ends).any() or (np.diff(starts) < 0).any():
            raise InvalidSetting("Windows run from a start to a later end, ordered by start; these do not.")

    def __len__(self) -> int:
        return len(self.probabilities)

    @overload
    def __getitem__(self, window: int) -> Prediction: ...

    @overload
    def __getitem__(self, window: slice) -> Timeline: ...

    def __getitem__(self, window: int | slice) -> Prediction | Timeline:
        """The prediction of one window, or the timeline of some."""
        if isinstance(window, slice):
            return replace(
                self,
                probabilities=self.probabilities[window],
                spans=self.spans[window],
                nobody=self.nobody[window],
            )
        start, end = self.spans[window].tolist()
        notes = (NOBODY,) if self.nobody[window] else ()
        return Prediction(
            self.probabilities[window],
            self.labels,
            self.source,
            (start, end),
            notes=notes,
            rejection=self.rejection,
        )

    def __iter__(self) -> Iterator[Prediction]:
        """The predictions of the windows, in their order."""
        return (self[window] for window in range(len(self)))

    def mean(self) -> Prediction:
        """The average of the windows in which somebody is seen, as one prediction of the whole video."""
        whole = (float(self.spans[0, 0]), float(self.spans[:, 1].max()))
        seen = ~self.nobody
        notes = self.notes if seen.any() else (*self.notes, NOBODY)
        rows = self.probabilities[seen] if seen.any() else self.probabilities
        return Prediction(
            rows.mean(0), self.labels, self.source, whole, len(rows), notes, self.rejection, self.model
        )

    @property
    def unanswered(self) -> np.ndarray:
        """bool `(W,)`: windows in which nobody is seen, or that are none of what the model knows."""
        if self.rejection is None:
            return self.nobody
        rejected: np.ndarray = self.nobody | self.rejection.rejects(self.probabilities, self.labels)
        return rejected

    def below(self, threshold: float) -> Below:
        """The windows in which no label reaches a threshold, those included that are `unanswered`."""
        leading = np.where(self.unanswered, -1.0, self.probabilities.max(1))
        return Below(int((leading < threshold).sum()), len(self), threshold)

    def threshold(self, given: float | None = None) -> float:
        """The lowest probability of a segment: as given, else that from which on an answer counts."""
        if given is not None:
            return given
        return THRESHOLD if self.rejection is None else self.rejection.threshold

    def cells(self) -> np.ndarray:
        """The time `(W, 2)` that each window speaks for: overlaps are shared out at their middle.

        They are not to be written to.
        """
        return self._cells

    @cached_property
    def _cells(self) -> np.ndarray:
        # An annotated video asks for them at each of its frames.
        cells = self.spans.copy()
        middles = (self.spans[:-1, 1] + self.spans[1:, 0]) / 2
        overlap = self.spans[1:, 0] < self.spans[:-1, 1]
        cells[:-1, 1] = np.where(overlap, middles, cells[:-1, 1])
        cells[1:, 0] = np.where(overlap, middles, cells[1:, 0])
        cells.flags.writeable = False
        return cells

    def at(self, time_s: float) -> Prediction | None:
        """The prediction that holds at a time, or None outside all windows."""
        cells = self.cells()
        inside = np.flatnonzero((cells[:, 0] <= time_s) & (time_s < cells[:, 1]))
        if len(inside) == 0:
            return self[len(self) - 1] if time_s == cells[-1, 1] else None
        return self[int(inside[0])]

    def smoothed(self, width: int, kind: Smoothing = "mean") -> Timeline:
        """A copy whose rows are averaged over `width` neighbouring windows.

        At both ends the neighbourhood is cut short. Windows in which nobody is seen have no part in it: they
        keep their own rows and lend nothing to their neighbours. Medians of a single-label set are scaled to
        sum to 1 again; a row whose medians are all zero keeps its own probabilities.

        Args:
            width: Odd number of windows; 1 changes nothing.
            kind: `"mean"` (moving average) or `"median"`.

        Raises:
            InvalidSetting: If the width is not odd and positive, or the kind is unknown.
        """
        if width < 1 or width % 2 == 0:
            raise InvalidSetting(f"Smoothing spans an odd number of windows (1, 3, 5, …); got {width}.")
        if kind not in ("mean", "median"):
            raise InvalidSetting(f"Unknown smoothing {kind!r}; use 'mean' or 'median'.")
        half = width // 2
        seen = ~self.nobody
        if not seen.any():
            return self
        lent = np.where(seen[:, None], self.probabilities.astype(np.float64), np.nan)
        padded = np.pad(lent, ((half, half), (0, 0)), constant_values=np.nan)
        stacked = np.lib.stride_tricks.sliding_window_view(padded, width, axis=0)[seen]
        smooth = self.probabilities.astype(np.float64)
        smooth[seen] = np.nanmean(stacked, axis=-1) if kind == "mean" else np.nanmedian(stacked, axis=-1)
        if kind == "median" and not self.labels.multi:
            sums = smooth.sum(1, keepdims=True)
            smooth = np.where(sums > 0, smooth / np.where(sums > 0, sums, 1), self.probabilities)
        return replace(self, probabilities=smooth)

    def to_json(self, k: int = 5) -> dict[str, Any]:
        """The shape that scripts rely on: the whole video's top-k, and each window's."""
        windows = [each.to_json(k) for each in self]
        timeline = [
            {key: value for key, value in each.items() if key not in ("source", "known")} for each in windows
        ]
        return {**self.mean().to_json(k), "timeline": timeline}


@dataclass(frozen=True)
class Below:
    """How many windows, of how many, no segment speaks of, because no label reaches the threshold in them."""

    windows: int
    of: int
    threshold: float

    def __str__(self) -> str:
        return f"{self.windows} of {self.of} windows below the threshold of {self.threshold:g}"


@dataclass(frozen=True)
class Segment:
    """A stretch of time with one label.

    Attributes:
        probability: Mean over its windows.
        runner_up: The most probable other label by the same mean; None where there is no other.
        runner_up_probability: Its mean.
    """

    label: str
    start_s: float
    end_s: float
    probability: float
    runner_up: str | None = None
    runner_up_probability: float | None = None


def segments(
    timeline: Timeline,
    *,
    threshold: float = THRESHOLD,
    keep: float | None = None,
    min_s: float = 0.0,
) -> list[Segment]:
    """Merge consecutive windows of one label into timed segments.

    A label is active in a window that reaches `threshold`, and in the windows beside it as long as they
    reach `keep` (hysteresis, Canny 1986). In a single-label set the most probable active label takes
    the window. Where windows overlap, the boundary lies in the middle of the overlap; windows with a
    gap between them are not merged. Windows that are `unanswered` have no active label.

    Args:
        timeline: W windows over K labels.
        threshold: Lowest probability that opens a segment, in [0, 1].
        keep: Lowest probability that continues one; None means `threshold`.
        min_s: Segments shorter than this are dropped, in seconds.

    Returns:
        Segments ordered by start; those of one label do not overlap, in a single-label set none do.

    Raises:
        InvalidSetting: If the thresholds are not `0 <= keep <= threshold <= 1`, or `min_s` is negative.
    """
    keep = threshold if keep is None else keep
    if not 0 <= keep <= threshold <= 1:
        raise InvalidSetting(f"Thresholds must obey 0 <= keep <= threshold <= 1; got {keep} and {threshold}.")
    if min_s < 0:
        raise InvalidSetting(f"The shortest segment is 0 s or more; got {min_s}.")
    cells = timeline.cells()
    apart = timeline.spans[1:, 0] > timeline.spans[:-1, 1] + _TOUCH_S
    probabilities = np.where(timeline.unanswered[:, None], -1, timeline.probabilities)
    strong, weak = probabilities >= threshold, probabilities >= keep
    active = np.zeros_like(weak)
    for k in range(len(timeline.labels)):
        for first, last in _runs(weak[:, k], apart):
            active[first : last + 1, k] = strong[first : last + 1, k].any()
    if not timeline.labels.multi:
        best = np.where(active, timeline.probabilities, -1).argmax(1)
        active &= np.arange(len(timeline.labels)) == best[:, None]
    found = []
    for k, label in enumerate(timeline.labels):
        for first, last in _runs(active[:, k], apart):
            start, end = float(cells[first, 0]), float(cells[last, 1])
            if strong[first : last + 1, k].any() and end - start >= max(min_s, _TOUCH_S):
                means = timeline.probabilities[first : last + 1].mean(0)
                found.append(Segment(label, start, end, float(means[k]), *_rival(means, k, timeline.labels)))
    return sorted(found, key=lambda segment: (segment.start_s, segment.end_s))


def _rival(means: np.ndarray, own: int, labels: LabelSet) -> tuple[str, float] | tuple[None, None]:
    """The most probable label beside the own one."""
    if len(means) < 2:
        return None, None
    others = means.copy()
    others[own] = -1
    best = int(others.argmax())
    return labels.names[best], float(means[best])


def _runs(mask: np.ndarray, apart: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each stretch of true windows, broken where neighbours lie apart."""
    joined = mask[:-1] & mask[1:] & ~apart
    firsts = np.flatnonzero(mask & ~np.concatenate([[False], joined]))
    lasts = np.flatnonzero(mask & ~np.concatenate([joined, [False]]))
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))
