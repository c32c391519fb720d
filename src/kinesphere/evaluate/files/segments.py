"""Segments of any timeline against timed annotations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.evaluate.files.detections import TemporalProtocol, units_of
from kinesphere.evaluate.files.result import FileScores, check_thresholds, scored
from kinesphere.evaluate.files.selection import Unknown, of_subset, same_single_video, sorted_out, video_list
from kinesphere.evaluate.metrics.segments import EVENTS, Compared, Span, agreement, edit_score, events, hits
from kinesphere.evaluate.metrics.table import metrics_for, ratio

THRESHOLDS = (0.1, 0.25, 0.5)


def score_segments(
    results: TimedLabels,
    truth: TimedLabels,
    protocol: TemporalProtocol | None = None,
    *,
    thresholds: Sequence[float] | None = None,
    videos: str | None = None,
    subset: str | None = None,
    unknown: Unknown = "count",
    background: Sequence[str] = (),
) -> FileScores:
    """Segment F1, edit score, frame accuracy and errors of events.

    Args:
        results: Segments; their scores do not matter.
        truth: Annotations.
        protocol: Whose name the scores bear; the rules are the same.
        thresholds: Overlaps of F1; None for 0.1, 0.25 and 0.5.
        videos: The list of videos.
        subset: The subset of the annotations.
        unknown: Whether segments in videos that the annotations do not know are wrong or left out.
        background: Labels that mean that nothing happens; they are no segments.

    Raises:
        InvalidAnnotation: If nothing is annotated, or a segment ends before it starts.
        InvalidSetting: If a threshold, the subset or the list is wrong.
    """
    asked = check_thresholds(thresholds or THRESHOLDS, "Temporal overlaps (--tiou)")
    results = same_single_video(results, truth)
    listed = video_list(videos, subset)
    chosen, name = of_subset(truth, subset, listed)
    parts = sorted_out(results.labels, chosen, truth, listed, unknown)
    nothing = frozenset(background)
    given = [each for each in parts.kept if each.label not in nothing]
    true = [each for each in chosen.labels if each.label not in nothing]
    if not true:
        raise InvalidAnnotation(f"Nothing is annotated in the {len(chosen.videos)} videos of {name}.")
    classes = sorted({each.label for each in (*given, *true)})
    named = dict.fromkeys((*chosen.videos, *(each.video for each in given)))
    compared, joined = _compared(given, true, list(named), classes, asked, chosen)
    scores, titles = scored(metrics_for("segments", at={"f1": asked}), compared)
    behind = _behind(given, true, truth)
    counts: dict[str, float | int] = {
        "videos": len(named),
        "instances": int(compared.true.sum()),
        "segments": int(compared.given.sum()),
        "seconds_compared": float(compared.total_s.sum()),
        "segments_joined": joined,
        "segments_in_unknown_videos": parts.unknown,
        "segments_in_excluded_videos": parts.excluded,
        "segments_of_background": len(parts.kept) - len(given),
        "segments_behind_the_video": behind,
    }
    counts |= {f"events_{kind}": int(compared.events[..., i].sum()) for i, kind in enumerate(EVENTS)}
    known = {each.label for each in true}
    return FileScores(
        protocol or "segments", scores, titles, _per_class(compared, classes), counts,
        [*_rules(name, unknown), *_doubts(behind, len(given)), *truth.notes, *results.notes],
        parts.unknown_videos, [label for label in classes if label not in known],
    )  # fmt: skip


def _rules(videos: str, unknown: Unknown) -> list[str]:
    return [
        f"videos: {videos}",
        "segments of one label that touch or overlap are one",
        "F1: each segment against the true one of its label that it overlaps most; a second of it is wrong",
        "edit score: labels in the order of their starts, averaged over videos",
        "frame accuracy: time in which exactly the true labels are given; silence of both is right",
        "time that is compared: from 0 (or the first segment) to the end of the video (or the last segment)",
        f"segments in unknown videos: {'wrong' if unknown == 'count' else 'left out'}",
    ]


def _behind(given: Sequence[TimedLabel], true: Sequence[TimedLabel], truth: TimedLabels) -> int:
    """How many segments begin after their video, or what is annotated of it, has ended."""
    ends: dict[str, float] = {}
    for each in true:
        ends[each.video] = max(each.end_s, ends.get(each.video, 0.0))
    ends |= truth.durations_s
    return sum(each.start_s >= ends.get(each.video, math.inf) for each in given)


def _doubts(behind: int, given: int) -> list[str]:
    if 2 * behind <= given:
        return []
    return [f"{behind} of {given} segments begin after their video has ended: times are seconds, not frames"]


def _compared(
    given: Sequence[TimedLabel],
    true: Sequence[TimedLabel],
    videos: Sequence[str],
    classes: Sequence[str],
    thresholds: tuple[float, ...],
    truth: TimedLabels,
) -> tuple[Compared, int]:
    """All videos compared, and how many segments were joined to another one."""
    ours, theirs = _joined(given), _joined(true)
    place = {video: i for i, video in enumerate(videos)}
    number = {label: i for i, label in enumerate(classes)}
    shape = (len(videos), len(classes))
    right, errors = np.zeros((*shape, len(thresholds))), np.zeros((*shape, len(EVENTS)))
    counts = np.zeros((2, *shape))
    labelled: tuple[list[list[tuple[str, Span]]], list[list[tuple[str, Span]]]]
    labelled = [[] for _ in videos], [[] for _ in videos]
    for video, label in dict.fromkeys((*ours, *theirs)):
        v, k = place[video], number[label]
        spans = ours.get((video, label), []), theirs.get((video, label), [])
        right[v, k] = hits(*spans, thresholds)
        errors[v, k] = events(*spans)
        for side, own in enumerate(spans):
            counts[side, v, k] = len(own)
            labelled[side][v] += [(label, span) for span in own]
    edit, agreed, total = np.zeros((3, len(videos)))
    for v, video in enumerate(videos):
        one, other = (sorted(side[v], key=lambda each: (*each[1], each[0])) for side in labelled)
        edit[v] = edit_score([label for label, _ in one], [label for label, _ in other])
        ends = [end for _, (_, end) in (*one, *other)]
        start = min([0.0, *(start for _, (start, _) in (*one, *other))])
        extent = start, truth.durations_s.get(video, max(ends, default=0.0))
        total[v] = max(0.0, extent[1] - extent[0])
        agreed[v] = agreement(one, other, extent)
    units = units_of(np.repeat(np.arange(len(videos)), counts[1].sum(1).astype(np.int64)), len(videos))
    compared = Compared(thresholds, right, counts[0], counts[1], edit, agreed, total, errors, units)
    return compared, len(given) + len(true) - int(counts.sum())


def _joined(labels: Sequence[TimedLabel]) -> dict[tuple[str, str], list[Span]]:
    """Spans of each video and label in the order of time; those that touch or overlap are one.

    Raises:
        InvalidAnnotation: If one ends before it starts.
    """
    found: dict[tuple[str, str], list[Span]] = {}
    for each in sorted(labels, key=lambda each: (each.start_s, each.end_s)):
        if each.end_s < each.start_s:
            raise InvalidAnnotation(
                f"The segment {each.label!r} of {each.video!r} ends at {each.end_s:g} s, before it starts at "
                f"{each.start_s:g} s; exchange or correct them."
            )
        spans = found.setdefault((each.video, each.label), [])
        if spans and each.start_s <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], each.end_s)
        else:
            spans.append((each.start_s, each.end_s))
    return found


def _per_class(compared: Compared, classes: Sequence[str]) -> dict[str, dict[str, float | int | None]]:
    found, given, true = compared.hits.sum(0), compared.given.sum(0), compared.true.sum(0)
    f1 = ratio(2 * found, (given + true)[:, None])
    rows: dict[str, dict[str, float | int | None]] = {}
    for k, label in enumerate(classes):
        row: dict[str, float | int | None] = {
            f"f1@{t:g}": float(value) for t, value in zip(compared.thresholds, f1[k], strict=True)
        }
        row |= {"instances": int(true[k]), "segments": int(given[k])}
        row |= {kind: int(compared.events[:, k, i].sum()) for i, kind in enumerate(EVENTS[:4])}
        rows[label] = row
    return rows
