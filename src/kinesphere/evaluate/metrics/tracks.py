"""Metrics of tracks: HOTA, IDF1 and MOTA, as TrackEval computes them.

Luiten et al.: "HOTA: a higher order metric for evaluating multi-object tracking", IJCV 129, 2021; Ristani et
al.: "Performance measures and a data set for multi-target, multi-camera tracking", ECCV workshops 2016;
Bernardin, Stiefelhagen: "Evaluating multiple object tracking performance: the CLEAR MOT metrics", 2008.
Q videos (sequences), A localisation thresholds, G true and D given tracks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from kinesphere.annotations.timed import Track
from kinesphere.evaluate.intervals import Units
from kinesphere.evaluate.metrics.detections import box_overlaps
from kinesphere.evaluate.metrics.table import METRICS, Metric, ratio

ALPHAS = np.arange(0.05, 0.99, 0.05)
OVERLAP = 0.5
"""At which CLEAR MOT and the identity metrics match."""
CLEAR = ("true_positives", "false_negatives", "false_positives", "switches", "fragmentations", "overlap")
_ROUNDING = np.finfo(float).eps
# What a match of before is worth beside an overlap, which is at most 1.
_CONTINUED = 1000.0


@dataclass(frozen=True, eq=False)
class Video:
    """One video: which tracks are in which frame, and how far their boxes overlap.

    Attributes:
        true: Of each frame with any box the rows of its true tracks.
        given: Likewise of given tracks.
        overlaps: IoU `(true, given)` of each frame.
        true_counts: `(G,)` frames of each true track.
        given_counts: `(D,)` frames of each given track.
    """

    true: tuple[np.ndarray, ...]
    given: tuple[np.ndarray, ...]
    overlaps: tuple[np.ndarray, ...]
    true_counts: np.ndarray
    given_counts: np.ndarray

    @classmethod
    def of(cls, given: Sequence[Track], true: Sequence[Track]) -> Video:
        """Boxes of all tracks, by frame."""
        ours, theirs = _by_frame(given), _by_frame(true)
        nobody = np.zeros(0, np.int64), np.zeros((0, 4))
        frames = sorted(ours.keys() | theirs.keys())
        pairs = [(theirs.get(frame, nobody), ours.get(frame, nobody)) for frame in frames]
        return cls(
            tuple(one[0] for one, _ in pairs),
            tuple(other[0] for _, other in pairs),
            tuple(box_overlaps(one[1], other[1]) for one, other in pairs),
            np.array([len(each) for each in true], np.float64),
            np.array([len(each) for each in given], np.float64),
        )

    def identity(self) -> np.ndarray:
        """True positives, false negatives, false positives of the best assignment of whole tracks `(3,)`."""
        together = np.zeros((len(self.true_counts), len(self.given_counts)))
        for true, given, overlap in zip(self.true, self.given, self.overlaps, strict=True):
            together[np.ix_(true, given)] += overlap >= OVERLAP
        found = together[_assigned(together)].sum()
        return np.array([found, self.true_counts.sum() - found, self.given_counts.sum() - found])

    def clear(self) -> tuple[np.ndarray, np.ndarray]:
        """The counts of `CLEAR` `(6,)`, and the fraction of each true track that is followed `(G,)`."""
        last = np.full(len(self.true_counts), -1)
        before = last.copy()
        counts, begun, followed = np.zeros(6), np.zeros(len(last)), np.zeros(len(last))
        for true, given, overlap in zip(self.true, self.given, self.overlaps, strict=True):
            if not len(true) or not len(given):
                counts[1:3] += len(true), len(given)
                continue
            worth = _CONTINUED * (given[None] == before[true][:, None]) + overlap
            worth[overlap < OVERLAP - _ROUNDING] = 0
            rows, columns = _assigned(worth)
            matched = worth[rows, columns] > _ROUNDING
            rows, columns = rows[matched], columns[matched]
            whom, by = true[rows], given[columns]
            switches = ((last[whom] >= 0) & (last[whom] != by)).sum()
            lost = before < 0
            last[whom] = by
            before[:] = -1
            before[whom] = by
            begun += lost & (before >= 0)
            followed[whom] += 1
            found = len(rows)
            counts += found, len(true) - found, len(given) - found, switches, 0, overlap[rows, columns].sum()
        counts[4] = (begun[begun > 0] - 1).sum()
        return counts, followed / np.maximum(1, self.true_counts)

    def hota(self) -> np.ndarray:
        """At each threshold true positives, false negatives, false positives, and of the true positives the
        sums of association and of overlap, `(A, 5)`."""
        together = np.zeros((len(self.true_counts), len(self.given_counts)))
        for true, given, overlap in zip(self.true, self.given, self.overlaps, strict=True):
            of_all = overlap.sum(0)[None] + overlap.sum(1)[:, None] - overlap
            together[np.ix_(true, given)] += np.where(of_all > _ROUNDING, ratio(overlap, of_all), 0)
        either = self.true_counts[:, None] + self.given_counts[None]
        aligned = ratio(together, either - together)
        sums = np.zeros((len(ALPHAS), 5))
        matches = np.zeros((len(ALPHAS), *together.shape))
        for true, given, overlap in zip(self.true, self.given, self.overlaps, strict=True):
            rows, columns = _assigned(aligned[np.ix_(true, given)] * overlap)
            value = overlap[rows, columns]
            right = value[None] >= ALPHAS[:, None] - _ROUNDING
            found = right.sum(1)
            sums[:, :3] += np.stack([found, len(true) - found, len(given) - found], axis=1)
            sums[:, 4] += (right * value).sum(1)
            matches[:, true[rows], given[columns]] += right
        sums[:, 3] = (matches * ratio(matches, np.maximum(1, either - matches))).sum((1, 2))
        return sums


def boxes_of_others(
    given: Sequence[Track], true: Sequence[Track], others: Collection[str]
) -> list[np.ndarray]:
    """Which boxes are of annotated people or things that are neither to be found nor wrong.

    In each frame, boxes are matched with all annotated ones, whether or not these count, so that the overlaps
    of at least 0.5 are worth most together (Milan et al.: "MOT16: a benchmark for multi-object tracking",
    2016).

    Args:
        given: Found tracks.
        true: All annotated ones.
        others: Their classes that are neither.

    Returns:
        `(N,)` bool for each given track.
    """
    found = [np.zeros(len(track), bool) for track in given]
    if not any(track.label in others for track in true):
        return found
    ours, theirs = _by_frame(given), _by_frame(true)
    for frame in ours.keys() & theirs.keys():
        (rows, boxes), (columns, true_boxes) = ours[frame], theirs[frame]
        overlaps = box_overlaps(true_boxes, boxes)
        overlaps[overlaps < OVERLAP - _ROUNDING] = 0
        for one, other in zip(*_assigned(overlaps), strict=True):
            if overlaps[one, other] > 0 and true[columns[one]].label in others:
                track = given[rows[other]]
                found[rows[other]][np.searchsorted(track.frames, frame)] = True
    return found


def _by_frame(tracks: Sequence[Track]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Rows of the tracks in each frame, and their boxes."""
    if not tracks:
        return {}
    frames = np.concatenate([each.frames for each in tracks])
    rows = np.concatenate([np.full(len(each), i) for i, each in enumerate(tracks)])
    boxes = np.concatenate([each.boxes for each in tracks])
    order = np.argsort(frames, kind="stable")
    known, starts = np.unique(frames[order], return_index=True)
    parts = np.split(order, starts[1:])
    return {int(frame): (rows[part], boxes[part]) for frame, part in zip(known, parts, strict=True)}


def _assigned(worth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the assignment that is worth most."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-worth)
    return rows, columns


@dataclass(frozen=True, eq=False)
class Followed:
    """Tracks of Q videos against true ones.

    Attributes:
        videos: One for each.
        units: Videos; the index is of the true tracks.
    """

    videos: tuple[Video, ...]
    units: Units
    _sums: dict[Callable[..., Any], np.ndarray] = field(default_factory=dict, repr=False)

    def sums(self, of: Callable[..., Any], /) -> np.ndarray:
        """True tracks and sums of each video, `(Q, 1 + S)`."""
        if of not in self._sums:
            tracks = np.array([[len(each.true_counts)] for each in self.videos], np.float64)
            self._sums[of] = np.hstack([tracks, of(self)])
        return self._sums[of]

    @cached_property
    def hota(self) -> np.ndarray:
        """`Video.hota` of each video `(Q, 5 A)`."""
        return np.stack([each.hota().ravel() for each in self.videos])

    @cached_property
    def identity(self) -> np.ndarray:
        """`Video.identity` of each video `(Q, 3)`."""
        return np.stack([each.identity() for each in self.videos])

    @cached_property
    def clear(self) -> np.ndarray:
        """Counts of `CLEAR` of each video `(Q, 6)`."""
        return np.stack([each.clear()[0] for each in self.videos])


def _hota_sums(followed: Followed) -> np.ndarray:
    return followed.hota


def _identity_sums(followed: Followed) -> np.ndarray:
    return followed.identity


def _clear_sums(followed: Followed) -> np.ndarray:
    return followed.clear


def _parts(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Accuracies of detection, association and localisation `(R, A)`."""
    table = sums.reshape(len(sums), len(ALPHAS), 5)
    found = table[..., 0]
    located = np.where(found > 0, ratio(table[..., 4], found), 1.0)
    return ratio(found, table[..., :3].sum(-1)), ratio(table[..., 3], found), located


def _hota(sums: np.ndarray, tracks: np.ndarray) -> np.ndarray:
    detection, association, _ = _parts(sums)
    mean: np.ndarray = np.sqrt(detection * association).mean(1)
    return mean


def _deta(sums: np.ndarray, tracks: np.ndarray) -> np.ndarray:
    mean: np.ndarray = _parts(sums)[0].mean(1)
    return mean


def _assa(sums: np.ndarray, tracks: np.ndarray) -> np.ndarray:
    mean: np.ndarray = _parts(sums)[1].mean(1)
    return mean


def _loca(sums: np.ndarray, tracks: np.ndarray) -> np.ndarray:
    mean: np.ndarray = _parts(sums)[2].mean(1)
    return mean


def _idf1(sums: np.ndarray, tracks: np.ndarray) -> np.ndarray:
    return ratio(sums[:, 0], sums[:, 0] + (sums[:, 1] + sums[:, 2]) / 2)


def _idp(sums: np.ndarray, tracks: np.ndarray) -> np.ndarray:
    return ratio(sums[:, 0], sums[:, 0] + sums[:, 2])


def _idr(sums: np.ndarray, tracks: np.ndarray) -> np.ndarray:
    return ratio(sums[:, 0], sums[:, 0] + sums[:, 1])


def _mota(followed: Followed) -> float:
    found, missed, wrong, switches, _, _ = followed.clear.sum(0)
    return float((found - wrong - switches) / max(1.0, found + missed))


def _motp(sums: np.ndarray, tracks: np.ndarray) -> np.ndarray:
    return ratio(sums[:, 5], sums[:, 0])


METRICS.add("hota", Metric("HOTA", ("tracks",), sums=_hota_sums, from_sums=_hota, order=1, classes=1))
METRICS.add("idf1", Metric("IDF1", ("tracks",), sums=_identity_sums, from_sums=_idf1, order=2, classes=1))
# It may be negative, so the interval of a fraction is none of its own.
METRICS.add("mota", Metric("MOTA", ("tracks",), _mota, order=3, classes=1))
METRICS.add("deta", Metric("DetA", ("tracks",), sums=_hota_sums, from_sums=_deta, order=4, classes=1))
METRICS.add("assa", Metric("AssA", ("tracks",), sums=_hota_sums, from_sums=_assa, order=5, classes=1))
METRICS.add("loca", Metric("LocA", ("tracks",), sums=_hota_sums, from_sums=_loca, order=6, classes=1))
METRICS.add("motp", Metric("MOTP", ("tracks",), sums=_clear_sums, from_sums=_motp, order=7, classes=1))
METRICS.add("idp", Metric("IDP", ("tracks",), sums=_identity_sums, from_sums=_idp, order=8, classes=1))
METRICS.add("idr", Metric("IDR", ("tracks",), sums=_identity_sums, from_sums=_idr, order=9, classes=1))
