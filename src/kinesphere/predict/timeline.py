"""`Timeline`: what a model says of every window of a long video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, overload

import numpy as np

from kinesphere.annotations.timed import Detection
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.short_repr import short_repr
from kinesphere.models.rejection import Rejection
from kinesphere.predict.files.registry import TimelineRow, write_file
from kinesphere.predict.prediction import NOBODY, Prediction, check_probabilities
from kinesphere.predict.segment_rule import THRESHOLD, SegmentRule, Smoothing, check_smoothing

_TOUCH_S = 1e-6
# Numbers that are smoothed at a time: 32 MiB of them.
_AT_ONCE = 1 << 22


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
        breaks_s: float64 `(B,)`, ascending: times in seconds across which nothing is smoothed, decoded or
            joined, such as those at which somebody may have become another person; no window reaches over
            one. None by default.
        notes: What makes it doubtful.
        rejection: When a window is none of what the model knows; None for never.
        model: Name of the model that answered, where that depends on the video.
        found: What a detector of actions found, the surest first: these are the segments then, whose
            boundaries are no window's, and a window's probability of a label is the best score of those that
            hold its middle. None where segments are made of windows.
    """

    probabilities: np.ndarray
    spans: np.ndarray
    labels: LabelSet
    source: str
    nobody: np.ndarray = field(default_factory=lambda: np.empty(0, bool))
    breaks_s: np.ndarray = field(default_factory=lambda: np.empty(0))
    notes: tuple[str, ...] = ()
    rejection: Rejection | None = None
    model: str = ""
    found: tuple[Detection, ...] | None = None

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
        breaks_s = self.breaks_s
        if breaks_s.ndim != 1 or not np.isfinite(breaks_s).all() or (np.diff(breaks_s) < 0).any():
            raise InvalidSetting(f"Breaks of a timeline are times in seconds, ascending; got {breaks_s}.")
        over = self._breaks_before(starts + _TOUCH_S) < self._breaks_before(ends - _TOUCH_S)
        if over.any():
            start, end = self.spans[over.argmax()].tolist()
            raise InvalidSetting(
                f"No window reaches over a break of its timeline; the one from {start:g} to {end:g} s does. "
                "Cut the windows there."
            )

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
                found=None if self.found is None else self._found_in(self.spans[window]),
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

    def _found_in(self, spans: np.ndarray) -> tuple[Detection, ...]:
        """What was found at the time of some windows."""
        start_s, end_s = spans.min(initial=np.inf), spans.max(initial=-np.inf)
        return tuple(each for each in self.found or () if each.end_s > start_s and each.start_s < end_s)

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

    def threshold(self, given: float | None = None) -> float:
        """The lowest probability of a segment: as given, else that from which on an answer counts."""
        if given is not None:
            return given
        return THRESHOLD if self.rejection is None else self.rejection.threshold

    @cached_property
    def broken(self) -> np.ndarray:
        """bool `(W - 1,)`: windows between which and the next one there is a break."""
        is_broken: np.ndarray = np.diff(self._breaks_before(self.spans[:, 0] + _TOUCH_S)) > 0
        return is_broken

    def _breaks_before(self, times_s: np.ndarray) -> np.ndarray:
        """How many breaks there are before or at each of some times."""
        count: np.ndarray = np.searchsorted(self.breaks_s, times_s, side="right")
        return count

    def stretches(self) -> list[slice]:
        """The windows from break to break, in order of time."""
        edges = [0, *(np.flatnonzero(self.broken) + 1).tolist(), len(self)]
        return [slice(first, end) for first, end in pairwise(edges)]

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

        At both ends the neighbourhood is cut short, and where windows have a gap or a break between them.
        Windows in which nobody is seen have no part in it: they keep their own rows and lend nothing to their
        neighbours. Medians of a single-label set are scaled to sum to 1 again; a row whose medians are all
        zero keeps its own probabilities.

        Args:
            width: Odd number of windows; 1 changes nothing.
            kind: `"mean"` (moving average) or `"median"`.

        Raises:
            InvalidSetting: If the width is not odd and positive, or the kind is unknown.
        """
        check_smoothing(width, kind)
        seen = np.flatnonzero(~self.nobody)
        if width == 1 or not len(seen):
            return self
        half = min(width // 2, len(self) - 1)
        lent = np.where(self.nobody[:, None], np.nan, self.probabilities.astype(np.float64))
        padded = np.pad(lent, ((half, half), (0, 0)), constant_values=np.nan)
        neighbours = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=0)
        apart = np.concatenate([[False], self.broken | (self.spans[1:, 0] > self.spans[:-1, 1] + _TOUCH_S)])
        stretches = np.lib.stride_tricks.sliding_window_view(
            np.pad(apart.cumsum(), half, constant_values=-1), 2 * half + 1
        )
        average = np.nanmean if kind == "mean" else np.nanmedian
        smooth = self.probabilities.astype(np.float64)
        # Neighbourhoods overlap, and a copy of all of them is as many times as large as they are wide.
        for rows in np.array_split(seen, -(-len(seen) * neighbours[0].size // _AT_ONCE)):
            together = stretches[rows] == stretches[rows, half : half + 1]
            smooth[rows] = average(np.where(together[:, None], neighbours[rows], np.nan), axis=-1)
        if kind == "median" and not self.labels.multi:
            sums = smooth.sum(1, keepdims=True)
            smooth = np.where(sums > 0, smooth / np.where(sums > 0, sums, 1), self.probabilities)
        return replace(self, probabilities=smooth)

    def write(
        self,
        path: str | Path,
        rule: SegmentRule = SegmentRule(),  # noqa: B008 (frozen)
        rows: Sequence[TimelineRow] = (),
    ) -> Path:
        """Write the timeline as what the suffix says.

        `.json` holds windows and segments; `.csv`, `.parquet`, `.eaf` (ELAN) and `.vtt` (WebVTT) the
        segments; `.svg` and `.png` are a picture, `.html` is a page with the video that it lies beside,
        `.mp4`, `.mkv`, `.mov` and `.m4v` an annotated copy of the video.

        Args:
            path: The file.
            rule: How windows become segments.
            rows: Further rows of pictures and pages, such as annotations (see `annotation_row`).

        Returns:
            The path written.

        Raises:
            UnknownName: If nothing is written with such a suffix.
            InvalidSetting: If rows are given to a file that takes none, or the rule does not fit the labels.
            VideoError: If the video is to be copied and cannot be decoded or written.
        """
        write_file(self, Path(path), rule, rows)
        return Path(path)

    def to_json(self, k: int = 5) -> dict[str, Any]:
        """The shape that scripts rely on: the whole video's top-k, and each window's."""
        windows = [each.to_json(k) for each in self]
        timeline = [
            {key: value for key, value in each.items() if key not in ("source", "known")} for each in windows
        ]
        breaks = {"breaks_s": self.breaks_s.tolist()} if len(self.breaks_s) else {}
        found = {} if self.found is None else {"detections": self.found_json()}
        return {**self.mean().to_json(k), **breaks, **found, "timeline": timeline}

    def found_json(self) -> list[dict[str, Any]]:
        """What a detector found: label, start and end in seconds, and score of each."""
        return [
            {"label": each.label, "start_s": each.start_s, "end_s": each.end_s, "score": each.score}
            for each in self.found or ()
        ]
