"""What is wrong with detections, and which ground truths they miss, in the manner of DETAD.

Alwassel et al.: "Diagnosing error in temporal action detectors", ECCV 2018. Of D detections of K classes each
has one kind of error at each of T overlaps; of G ground truths each is found or not.

AP_N is average precision whose precision at a recall r is r · N / (r · N + false positives), where N is the
mean number of ground truths of a class: rare and frequent classes, and buckets of few ground truths, compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from kinesphere.evaluate.metrics.detections import Found, assign_in_order, rows_by_key, span_overlaps
from kinesphere.evaluate.metrics.table import ratio

Kind = Literal["true_positive", "double_detection", "wrong_label", "localisation", "confusion", "background"]
KINDS: tuple[Kind, ...] = (
    "true_positive", "double_detection", "wrong_label", "localisation", "confusion", "background"
)  # fmt: skip
"""By the ground truth that a detection overlaps most, whatever its label. From the overlap asked for on:
right; one that is taken; one of another label. From 0.1 on: of its label, with other boundaries; of another
label. Below that: background."""
KIND_TITLES = {kind: kind.replace("_", " ") for kind in KINDS}
"""For people."""
LEAST_OVERLAP = 0.1
MULTIPLES = 10
"""Of each class so many detections are looked at for each of its ground truths, the most confident first."""
_DIGITS = 9  # differences of times are no round numbers
_LEAST_PRECISION = 0.05
"""Ground truths that are found where precision has fallen to this count as missed."""


@dataclass(frozen=True)
class Buckets:
    """How ground truths are divided by a number: each bucket holds those up to its end.

    Attributes:
        name: What the number is.
        unit: Its unit, for people.
        ends: Of all buckets but the last, which has none.
    """

    name: Literal["coverage", "length", "instances"]
    unit: str
    ends: tuple[float, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the buckets, from XS on."""
        return ("XS", "S", "M", "L", "XL")[: len(self.ends) + 1]

    def ranges(self) -> tuple[str, ...]:
        """Of the buckets, as people read them."""
        if self.name == "instances":
            firsts = [1, *(int(end) + 1 for end in self.ends)]
            inner = [f"{a} to {b:g}" if a < b else f"{a}" for a, b in zip(firsts, self.ends, strict=False)]
            return *inner, f"{firsts[-1]} and more"
        inner = [f"{a:g} to {b:g}" for a, b in zip((0.0, *self.ends[:-1]), self.ends, strict=True)]
        return *inner, f"above {self.ends[-1]:g}"

    def of(self, values: np.ndarray) -> np.ndarray:
        """The bucket of each value."""
        return np.searchsorted(self.ends, values.round(_DIGITS), side="left")


@dataclass(frozen=True)
class BucketScore:
    """Ground truths of one bucket.

    Attributes:
        name: Of the bucket.
        range: Its range, for people.
        instances: How many ground truths are in it.
        map_n: Mean of AP_N over classes and overlaps; other ground truths and what finds them do not count.
        missed: Fraction of its ground truths that no detection finds before precision falls to 0.05.
    """

    name: str
    range: str
    instances: int
    map_n: float
    missed: float


@dataclass(frozen=True)
class RankedErrors:
    """Detections of one stretch of ranks: of each class of G ground truths the first G, the next G ….

    Attributes:
        multiple: 1 for the first, 2 for the second …
        detections: How many there are.
        kinds: How many of each kind, mean over the overlaps.
    """

    multiple: int
    detections: int
    kinds: dict[Kind, float]


@dataclass(frozen=True, eq=False)
class DetectionErrors:
    """What is wrong with detections.

    Attributes:
        thresholds: The T overlaps.
        found: Detections of the K classes, video by video as in their file.
        annotated: Ground truths.
        classes: The K classes.
        durations_s: Of the videos; NaN where it is not known.
        buckets: How ground truths are divided.
        ignored: `(D,)` bool: what does not count unless it is right.
    """

    thresholds: tuple[float, ...]
    found: Found
    annotated: Found
    classes: tuple[str, ...]
    durations_s: np.ndarray
    buckets: tuple[Buckets, ...]
    ignored: np.ndarray = field(repr=False)

    @cached_property
    def order(self) -> np.ndarray:
        """The detections by class, the most confident first; of equal ones the first in the file `(D,)`."""
        return np.lexsort((np.arange(len(self.found.label)), -self.found.score, self.found.label))

    @cached_property
    def rank(self) -> np.ndarray:
        """Of each detection among those of its class, from 0 `(D,)`."""
        rank = np.zeros(len(self.order), np.int64)
        label = self.found.label[self.order]
        rank[self.order] = np.arange(len(label)) - np.searchsorted(label, label)
        return rank

    @cached_property
    def truths(self) -> np.ndarray:
        """How many ground truths each class has `(K,)`."""
        return np.bincount(self.annotated.label, minlength=len(self.classes))

    @cached_property
    def taken(self) -> np.ndarray:
        """The ground truth that each detection takes at each overlap `(D, T)`; -1 for none."""
        found = np.full((len(self.order), len(self.thresholds)), -1)
        known = rows_by_key(self.annotated.label, self.annotated.place)
        mine = self.order  # keeps the order within each class and video
        for key, rows in rows_by_key(self.found.label[mine], self.found.place[mine]).items():
            if key in known:
                own, theirs = mine[rows], known[key]
                column = assign_in_order(
                    span_overlaps(self.found.extent[own], self.annotated.extent[theirs]), self.thresholds
                )
                found[own] = np.where(column >= 0, theirs[column], -1)
        return found

    @cached_property
    def kind(self) -> np.ndarray:
        """Index into `KINDS` of each detection at each overlap `(D, T)`; -1 for what is ignored.

        Of ground truths that it overlaps alike, a detection has the one of its own label.
        """
        most, same = np.zeros(len(self.order)), np.zeros(len(self.order), bool)
        nothing = np.zeros_like
        known = rows_by_key(nothing(self.annotated.label), self.annotated.place)
        for key, rows in rows_by_key(nothing(self.found.label), self.found.place).items():
            if key in known:
                theirs = known[key]
                overlaps = span_overlaps(self.found.extent[rows], self.annotated.extent[theirs])
                most[rows] = overlaps.max(1)
                alike = self.annotated.label[theirs][None] == self.found.label[rows][:, None]
                same[rows] = (alike & (overlaps == most[rows][:, None])).any(1)
        above = most[:, None] >= np.array(self.thresholds)
        wrong = np.where(
            above,
            np.where(same, 1, 2)[:, None],
            np.where(most >= LEAST_OVERLAP, np.where(same, 3, 4), 5)[:, None],
        )
        kinds: np.ndarray = np.where(self.taken >= 0, 0, wrong)
        kinds[(self.taken < 0) & self.ignored[:, None]] = -1
        return kinds

    @cached_property
    def looked_at(self) -> np.ndarray:
        """Whether each detection is among the first of its class, ten for each ground truth `(D,)`."""
        first: np.ndarray = self.rank < MULTIPLES * self.truths[self.found.label]
        return first

    @cached_property
    def profile(self) -> tuple[RankedErrors, ...]:
        """Errors by rank."""
        stretch = self.rank // self.truths[self.found.label]
        rows = []
        for multiple in range(MULTIPLES):
            kinds = self.kind[stretch == multiple]
            rows.append(RankedErrors(multiple + 1, len(kinds), _counted(kinds)))
        return tuple(rows)

    @cached_property
    def kinds(self) -> dict[Kind, float]:
        """How many of those looked at are of each kind, mean over the overlaps."""
        return _counted(self.kind[self.looked_at])

    def map_without(self, kind: Kind | None, *, normalised: bool) -> float:
        """mAP, or the mean of AP_N, of the detections looked at, without those of one kind of error."""
        without = -1 if kind is None else KINDS.index(kind)
        kept = (self.kind >= 0) & (self.kind != without) & self.looked_at[:, None]
        return float(self._precisions(kept, self.taken >= 0, self.truths, normalised=normalised).mean())

    def _precisions(
        self, kept: np.ndarray, right: np.ndarray, truths: np.ndarray, *, normalised: bool
    ) -> np.ndarray:
        """Average precisions `(K, T)` of the detections `(D, T)` that are kept; NaN for no ground truth."""
        mean = self._mean_truths
        found = np.full((len(self.classes), len(self.thresholds)), np.nan)
        starts = np.searchsorted(self.found.label[self.order], np.arange(len(self.classes) + 1))
        for k in np.flatnonzero(truths):
            rows = self.order[starts[k] : starts[k + 1]]
            for t in range(len(self.thresholds)):
                own = right[rows, t][kept[rows, t]]
                precision = _precision(own, int(truths[k]), mean if normalised else float(truths[k]))
                best = np.maximum.accumulate(precision[own][::-1])
                found[k, t] = best.sum() / truths[k]
        return found

    @property
    def _mean_truths(self) -> float:
        return float(self.truths.sum() / len(self.classes))

    @cached_property
    def missed(self) -> np.ndarray:
        """Whether each ground truth is missed at each overlap `(G, T)`."""
        found = np.zeros((len(self.annotated.label), len(self.thresholds)), bool)
        starts = np.searchsorted(self.found.label[self.order], np.arange(len(self.classes) + 1))
        for k in np.flatnonzero(self.truths):
            rows = self.order[starts[k] : starts[k + 1]]
            for t in range(len(self.thresholds)):
                counted = rows[self.kind[rows, t] >= 0]
                taken = self.taken[counted, t]
                enough = _precision(taken >= 0, int(self.truths[k]), self._mean_truths) > _LEAST_PRECISION
                found[taken[(taken >= 0) & enough], t] = True
        return ~found

    def values(self, by: Buckets) -> np.ndarray:
        """The number of each ground truth that it is divided by `(G,)`; NaN where it is not known."""
        lengths: np.ndarray = self.annotated.extent[:, 1] - self.annotated.extent[:, 0]
        if by.name == "length":
            return lengths
        if by.name == "coverage":
            durations = self.durations_s[self.annotated.place]
            return np.where(np.isnan(durations), np.nan, np.minimum(ratio(lengths, durations), 1.0))
        sizes = np.zeros(len(lengths))
        for rows in rows_by_key(self.annotated.label, self.annotated.place).values():
            sizes[rows] = len(rows)
        return sizes

    def unknown(self, by: Buckets) -> int:
        """Of how many ground truths the number is not known: those in videos of unknown length."""
        return int(np.isnan(self.values(by)).sum())

    def by_bucket(self, by: Buckets) -> tuple[BucketScore, ...]:
        """Scores of the buckets that hold ground truths."""
        values = self.values(by)
        bucket = np.where(np.isnan(values), -1, by.of(values))
        rows = []
        for i, (name, span) in enumerate(zip(by.names, by.ranges(), strict=True)):
            inside = bucket == i
            if not inside.any():
                continue
            # What finds a ground truth of another bucket is neither right nor wrong.
            kept = (self.kind >= 0) & ((self.taken < 0) | inside[self.taken])
            truths = np.bincount(self.annotated.label[inside], minlength=len(self.classes))
            precisions = self._precisions(kept, self.taken >= 0, truths, normalised=True)
            rows.append(
                BucketScore(
                    name, span, int(inside.sum()), float(np.nanmean(precisions)),
                    float(self.missed[inside].mean()),
                )
            )  # fmt: skip
        return tuple(rows)

    @cached_property
    def map_n(self) -> float:
        """Mean of AP_N over classes and overlaps, of all detections."""
        return float(self._precisions(self.kind >= 0, self.taken >= 0, self.truths, normalised=True).mean())

    def to_json(self) -> dict[str, Any]:
        """Plain values: numbers of detections are means over the overlaps, scores and gains fractions."""
        document: dict[str, Any] = {
            "thresholds": list(self.thresholds),
            "multiples": MULTIPLES,
            "detections": int(self.looked_at.sum()),
            "detections_beyond": int((~self.looked_at).sum()),
            "kinds": self.kinds,
            "profile": [vars(row) for row in self.profile],
        }
        for name, normalised in (("map", False), ("map_n", True)):
            base = self.map_without(None, normalised=normalised)
            gains = {kind: self.map_without(kind, normalised=normalised) - base for kind in KINDS[1:]}
            document[name] = {"value": base, "gains": gains}
        document["map_n_of_all"] = self.map_n
        document["instances"] = len(self.missed)
        document["missed"] = float(self.missed.mean())
        document["buckets"] = {
            by.name: {
                "unit": by.unit,
                "rows": [vars(row) for row in self.by_bucket(by)],
                "unknown": self.unknown(by),
            }
            for by in self.buckets
        }
        return document


def _counted(kinds: np.ndarray) -> dict[Kind, float]:
    return {kind: float((kinds == i).sum() / kinds.shape[1]) for i, kind in enumerate(KINDS)}


def _precision(right: np.ndarray, truths: int, normal: float) -> np.ndarray:
    """Precision at each of ranked detections, as if the class had `normal` ground truths."""
    expected = right.cumsum() / truths * normal
    return np.asarray(ratio(expected, expected + (~right).cumsum()), np.float64)


def buckets_of(
    coverage: Sequence[float], length_s: Sequence[float], instances: Sequence[float]
) -> tuple[Buckets, ...]:
    """The three divisions by the ends of their buckets.

    Args:
        coverage: Of fractions of the video that a ground truth lasts.
        length_s: Of lengths in seconds.
        instances: Of numbers of ground truths of one label in a video.
    """
    return (
        Buckets("coverage", "of the video", tuple(coverage)),
        Buckets("length", "s", tuple(length_s)),
        Buckets("instances", "in the video", tuple(instances)),
    )
