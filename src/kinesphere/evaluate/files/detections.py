"""Temporal detections of anybody, scored by the rules of ActivityNet and THUMOS14."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from kinesphere.annotations.formats.thumos import AMBIGUOUS
from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels, video_name
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import brief
from kinesphere.evaluate.files.result import FileScores, check_thresholds, scored
from kinesphere.evaluate.files.selection import (
    Sorted,
    Unknown,
    of_subset,
    same_single_video,
    sorted_out,
    video_list,
)
from kinesphere.evaluate.intervals import Units
from kinesphere.evaluate.metrics.detections import (
    Found,
    Matched,
    match,
    match_in_order,
    rows_by_key,
    span_overlaps,
)
from kinesphere.evaluate.metrics.table import metrics_for

TemporalProtocol = Literal["thumos14", "activitynet"]
Ambiguous = Literal["drop", "ignore"]
Duplicates = Literal["keep", "drop"]
THRESHOLDS: dict[TemporalProtocol, tuple[float, ...]] = {
    "thumos14": (0.3, 0.4, 0.5, 0.6, 0.7),
    "activitynet": tuple(np.linspace(0.5, 0.95, 10).tolist()),
}
"""The overlaps that each protocol averages over, unless others are asked for."""
# Ground truths of one label whose times differ by less are the same to some codes.
_SAME_S = 1e-3


@dataclass(frozen=True)
class Counted:
    """What counts of results and annotations.

    Attributes:
        videos: The list of videos (`video_list`); None for those of the annotations.
        subset: The subset of the annotations.
        unknown: Whether detections in videos that the annotations do not know are wrong or left out.
        ambiguous: Whether `Ambiguous` ground truths are as if they were not there, or what overlaps them
            without being right is ignored, as THUMOS14's own code does.
        duplicates: Whether a ground truth counts that differs from another one of its label by up to 1 ms.
    """

    videos: str | None = None
    subset: str | None = None
    unknown: Unknown = "count"
    ambiguous: Ambiguous = "drop"
    duplicates: Duplicates = "keep"


def score_detections(
    results: TimedLabels,
    truth: TimedLabels,
    protocol: TemporalProtocol,
    *,
    thresholds: Sequence[float] | None = None,
    counted: Counted = Counted(),
) -> FileScores:
    """Mean average precision of scored spans.

    Args:
        results: Detections.
        truth: Annotations.
        protocol: Names the overlaps where none are given; both match alike (`match_in_order`).
        thresholds: Temporal overlaps.
        counted: What counts of both.

    Raises:
        InvalidAnnotation: If the results have no scores, or nothing is annotated.
        InvalidSetting: If a threshold, the subset or the list is wrong.
    """
    return score_held(hold(results, truth, counted), protocol, thresholds)


def score_held(
    held: Held, protocol: TemporalProtocol, thresholds: Sequence[float] | None = None
) -> FileScores:
    """`score_detections` of what was chosen already."""
    asked = check_thresholds(thresholds or THRESHOLDS[protocol], "Temporal overlaps (--tiou)")
    matched = matched_of(held, asked)
    scores, titles = scored(metrics_for("detections", at={"map": asked}), matched)
    strange = sorted({each.label for each in held.parts.kept} - {*matched.classes})
    counts = _counts(held) | {
        "detections": held.given,
        "detections_scored": len(matched.label),
        "detections_of_unknown_classes": len(held.parts.kept) - len(matched.label),
        "detections_ignored_as_ambiguous": int((~matched.counts).any(1).sum()),
    }
    return FileScores(
        protocol, scores, titles, per_class(matched), counts, held.rules, held.parts.unknown_videos, strange
    )


@dataclass(frozen=True, eq=False)
class Held:
    """What of two files is held against each other: D detections of K classes, G ground truths.

    Attributes:
        name: Of the list of videos and of the subset.
        classes: The K annotated classes.
        found: Detections of these classes; videos are places.
        annotated: Ground truths.
        ignored: `(D,)` bool: detections that do not count unless they are right.
        units: Videos; their index is of the ground truths.
        durations_s: `(U,)` seconds; NaN where the annotations do not tell.
        parts: Entries of the results by what is known of their videos.
        truth: Annotations of the videos that are scored.
        ambiguous: How many of these are Ambiguous.
        double: How many ground truths repeat another one.
        given: How many entries the results have.
        rules: What was done where codes differ.
    """

    name: str
    classes: tuple[str, ...]
    found: Found
    annotated: Found
    ignored: np.ndarray
    units: Units
    durations_s: np.ndarray
    parts: Sorted[Detection]
    truth: TimedLabels
    ambiguous: int
    double: int
    given: int
    rules: tuple[str, ...]


def hold(results: TimedLabels, truth: TimedLabels, counted: Counted = Counted()) -> Held:
    """Choose what counts of results and annotations; see `score_detections`."""
    results = same_single_video(results, truth)
    listed = video_list(counted.videos, counted.subset)
    chosen, name = of_subset(truth, counted.subset, listed)
    labels, double = _without_duplicates(
        [each for each in chosen.labels if each.label != AMBIGUOUS], drop=counted.duplicates == "drop"
    )
    if not labels:
        raise InvalidAnnotation(
            f"Nothing is annotated in the {len(chosen.videos)} videos that are scored ({name})."
        )
    parts = sorted_out(results.detections("The file of results"), chosen, truth, listed, counted.unknown)
    doubtful = [each for each in chosen.labels if each.label == AMBIGUOUS]
    number = {label: i for i, label in enumerate(sorted({each.label for each in labels}))}
    places = {video: i for i, video in enumerate(dict.fromkeys((*chosen.videos, *parts.unknown_videos)))}
    found = columns([each for each in parts.kept if each.label in number], number, places)
    annotated = columns(labels, number, places)
    ignoring = columns(doubtful if counted.ambiguous == "ignore" else [], {AMBIGUOUS: 0}, places)
    return Held(
        name, tuple(number), found, annotated, _overlapping(found, ignoring),
        units_of(annotated.place, len(places)),
        np.array([chosen.durations_s.get(video, np.nan) for video in places], np.float64),
        parts, chosen, len(doubtful), double, len(results),
        (*_rules(name, counted), *truth.notes, *_named_otherwise(parts.unknown_videos, chosen.videos)),
    )  # fmt: skip


def matched_of(held: Held, thresholds: Sequence[float]) -> Matched:
    """Detections of the annotated classes, held against annotations; videos are independent."""
    return match(
        held.found, held.annotated, held.classes, held.units, np.arange(held.units.count), thresholds,
        match_in_order, span_overlaps, held.ignored,
    )  # fmt: skip


def mean_average_precision(
    found: Sequence[Detection], truth: TimedLabels, thresholds: Sequence[float] = THRESHOLDS["thumos14"]
) -> float:
    """The mean over overlaps and classes, as `score_detections` has it, without intervals: for choosing.

    Args:
        found: Detections in videos of the annotations.
        truth: Annotations.
        thresholds: Temporal overlaps.

    Raises:
        InvalidAnnotation: If nothing is annotated.
    """
    if not truth.labels:
        raise InvalidAnnotation("Nothing is annotated in the videos; there is nothing to choose by.")
    held = hold(TimedLabels(tuple(found), truth.videos), truth)
    return float(matched_of(held, thresholds).average_precisions.mean())


def _counts(held: Held) -> dict[str, float | int]:
    start, end = held.annotated.extent.T
    last = held.durations_s[held.annotated.place]
    behind = held.found.extent[:, 0] >= held.durations_s[held.found.place]
    return {
        "videos": len(held.truth.videos),
        "instances": len(start),
        "ambiguous_instances": held.ambiguous,
        "zero_length_instances": int((end <= start).sum()),
        "instances_beyond_the_video": int((end > last).sum()),
        "near_duplicate_instances": held.double,
        "detections_that_end_before_they_start": int(
            sum(each.end_s < each.start_s for each in held.parts.kept)
        ),
        "detections_behind_the_video": int(behind.sum()),
        "detections_in_unknown_videos": held.parts.unknown,
        "detections_in_excluded_videos": held.parts.excluded,
    }


def columns(labels: Sequence[TimedLabel], number: dict[str, int], places: dict[str, int]) -> Found:
    """Spans as columns."""
    return Found(
        np.array([number[each.label] for each in labels], np.int64),
        np.array([places[each.video] for each in labels], np.int64),
        np.array([(each.start_s, each.end_s) for each in labels], np.float64).reshape(-1, 2),
        np.array([getattr(each, "score", 1.0) for each in labels], np.float64),
    )


def per_class(matched: Matched) -> dict[str, dict[str, float | int | None]]:
    """Average precision of each class at each threshold, and what it was computed from."""
    detections = np.bincount(matched.label, minlength=len(matched.classes))
    rows: dict[str, dict[str, float | int | None]] = {}
    for k, label in enumerate(matched.classes):
        values = matched.average_precisions[k]
        rows[label] = {"ap": float(values.mean())}
        rows[label] |= {f"ap@{t:g}": float(v) for t, v in zip(matched.thresholds, values, strict=True)}
        rows[label] |= {"instances": int(matched.truths[k].sum()), "detections": int(detections[k])}
    return rows


def units_of(places: np.ndarray, count: int) -> Units:
    """Videos as units, from the video of each ground truth `(G,)`."""
    sizes = np.bincount(places)
    return Units("group", places, count, float(np.square(sizes).sum() / max(1, sizes.sum())))


def _named_otherwise(unknown: Sequence[str], known: Sequence[str]) -> list[str]:
    """A note on unknown videos that have the names of known ones but for a folder, a suffix or `v_`."""
    names = {_plain(video): video for video in known}
    pairs = [(video, names[_plain(video)]) for video in unknown if _plain(video) in names]
    if not pairs:
        return []
    one, other = (brief(each) for each in pairs[0])
    return [f"{len(pairs)} unknown videos are annotated under another name, as {one} as {other}; rename them"]


def _plain(video: str) -> str:
    return video_name(video).removeprefix("v_")


def _without_duplicates(labels: Sequence[TimedLabel], *, drop: bool) -> tuple[list[TimedLabel], int]:
    """Ground truths, with or without those that repeat another one, and how many do."""
    kept: list[TimedLabel] = []
    double = 0
    # By places a little longer than what is the same, so that only neighbours are compared.
    known: dict[tuple[str, str, int, int], list[TimedLabel]] = {}
    for each in labels:
        start, end = (int(time // (1.1 * _SAME_S)) for time in (each.start_s, each.end_s))
        near = product((start - 1, start, start + 1), (end - 1, end, end + 1))
        again = any(
            abs(each.start_s - other.start_s) <= _SAME_S and abs(each.end_s - other.end_s) <= _SAME_S
            for place in near
            for other in known.get((each.video, each.label, *place), ())
        )
        double += again
        if not (again and drop):
            kept.append(each)
        if not again:
            known.setdefault((each.video, each.label, start, end), []).append(each)
    return kept, double


def _overlapping(found: Found, doubtful: Found) -> np.ndarray:
    """Whether each detection `(D,)` overlaps a span that is Ambiguous in its video."""
    over = np.zeros(len(found.place), bool)
    nothing = np.zeros_like
    mine = rows_by_key(nothing(found.place), found.place)
    for key, theirs in rows_by_key(nothing(doubtful.place), doubtful.place).items():
        for start, end in doubtful.extent[theirs] if key in mine else ():
            rows = mine[key]
            over[rows] |= (found.extent[rows, 0] < end) & (found.extent[rows, 1] > start)
    return over


def _rules(videos: str, counted: Counted) -> list[str]:
    of_ambiguous = {
        "drop": "as if they were not there (as public Python codes do)",
        "ignore": "what overlaps them and is not right is ignored (as THUMOS14's own code does)",
    }
    return [
        f"videos: {videos}",
        "matching: in order of scores, each detection takes the best ground truth that is left",
        "equal scores: in the order of the file (stable sort)",
        "average precision: all points, interpolated; mean over the classes that are annotated",
        f"detections in unknown videos: {'wrong' if counted.unknown == 'count' else 'left out'}",
        "detections of unknown classes: left out",
        f"Ambiguous ground truths: {of_ambiguous[counted.ambiguous]}",
        "detections that end before they start: wrong",
        "ground truths without length: kept; found only by a detection that equals them",
        "ground truths that repeat one within 1 ms: "
        + ("left out" if counted.duplicates == "drop" else "kept"),
    ]
