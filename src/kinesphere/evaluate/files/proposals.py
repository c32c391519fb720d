"""Temporal proposals of anybody: AR@AN and AUC as ActivityNet's code has them, and Recall@kx."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinesphere.annotations.formats.thumos import AMBIGUOUS
from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.evaluate.files.detections import TemporalProtocol, units_of
from kinesphere.evaluate.files.result import FileScores, check_thresholds, scored
from kinesphere.evaluate.files.selection import Unknown, of_subset, same_single_video, sorted_out, video_list
from kinesphere.evaluate.metrics.proposals import Recalled, average_recall, point_of
from kinesphere.evaluate.metrics.table import metrics_for

THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
COUNTS = (1, 5, 10, 50, 100, 200, 500, 1000)
"""Numbers of proposals at which average recall is shown, as far as the curve goes."""
_USUAL = 100.0
Span = tuple[float, float]


def score_proposals(
    results: TimedLabels,
    truth: TimedLabels,
    protocol: TemporalProtocol = "activitynet",
    *,
    thresholds: Sequence[float] | None = None,
    per_video: float | None = None,
    videos: str | None = None,
    subset: str | None = None,
    unknown: Unknown = "count",
) -> FileScores:
    """Average recall of proposals, whatever their labels, and recall by class of the first of them.

    Args:
        results: Proposals.
        truth: Annotations.
        protocol: Whose name the scores bear; the rules are ActivityNet's.
        thresholds: Overlaps that average recall is averaged over, and at which Recall@kx is given.
        per_video: Proposals of a video, on average, at the end of the curve; None for 100, or for those that
            there are where they are fewer.
        videos: The list of videos.
        subset: The subset of the annotations.
        unknown: Whether proposals in unknown videos count among those there are; none of them finds anything.

    Raises:
        InvalidAnnotation: If the results have no scores, or nothing is annotated.
        InvalidSetting: If a threshold, the number, the subset or the list is wrong.
    """
    asked = check_thresholds(thresholds or THRESHOLDS, "Temporal overlaps (--tiou)")
    if per_video is not None and not 0 < per_video <= 1e6:
        raise InvalidSetting(
            f"The average number of proposals (--an) is above 0, up to 1e6; got {per_video:g}."
        )
    results = same_single_video(results, truth)
    listed = video_list(videos, subset)
    chosen, name = of_subset(truth, subset, listed)
    labels = [each for each in chosen.labels if each.label != AMBIGUOUS]
    if not labels:
        raise InvalidAnnotation(f"Nothing is annotated in the {len(chosen.videos)} videos of {name}.")
    parts = sorted_out(results.detections("The file of results"), chosen, truth, listed, unknown)
    annotated = list(dict.fromkeys(each.video for each in labels))
    last = min(_USUAL, len(parts.kept) / len(annotated)) if per_video is None else per_video
    recalled = _recalled(parts.kept, labels, annotated, asked, last or 1.0)
    at: dict[str, Sequence[float]] = {"ar": [n for n in COUNTS if point_of(recalled, n) is not None]}
    if thresholds is not None:
        at |= {"recall@1x": asked, "recall@5x": asked}
    scores, titles = scored(metrics_for("proposals", at=at), recalled)
    counts: dict[str, float | int] = {
        "videos": len(chosen.videos),
        "instances": len(labels),
        "proposals": len(results),
        "proposals_scored": len(parts.kept),
        "proposals_a_video_at_the_end": float(recalled.per_video[-1]),
        "proposals_in_unknown_videos": parts.unknown,
        "proposals_in_excluded_videos": parts.excluded,
    }
    return FileScores(
        protocol, scores, titles, {}, counts, [*_rules(name, last), *truth.notes], parts.unknown_videos,
        curves=_curve(recalled),
    )  # fmt: skip


def _curve(recalled: Recalled) -> dict[str, list[float]]:
    return {
        "proposals_per_video": recalled.per_video.tolist(),
        "average_recall": recalled.average_recall.tolist(),
    }


def _rules(videos: str, last: float) -> list[str]:
    return [
        f"videos: {videos}; those without an annotation do not count",
        f"curve: up to {last:g} proposals a video, of each in proportion to its own, cut to whole ones",
        "equal scores: as NumPy's default sort leaves them, reversed (as the official code does)",
        "recall: a ground truth is found by any proposal that overlaps it enough, whatever its label",
        "Recall@kx: by class and video, the first k proposals for each ground truth, each of which finds one",
    ]


def _recalled(
    proposals: Sequence[Detection],
    labels: Sequence[TimedLabel],
    videos: Sequence[str],
    thresholds: Sequence[float],
    per_video: float,
) -> Recalled:
    place = {video: i for i, video in enumerate(videos)}
    number = {label: i for i, label in enumerate(sorted({each.label for each in labels}))}
    # Proposals of no class at all are of every class.
    known = any(each.label in number for each in proposals)
    spans: dict[tuple[int, int], list[Span]] = {}
    ours: list[list[Span]] = []
    for v, own in enumerate(_by_video(proposals, videos)):
        ours.append([(each.start_s, each.end_s) for each in own])
        for each, span in zip(own, ours[-1], strict=True):
            if each.label in number or not known:
                spans.setdefault((v, number.get(each.label, 0)), []).append(span)
    true: dict[tuple[int, int], list[Span]] = {}
    for label in labels:
        key = place[label.video], number[label.label] if known else 0
        true.setdefault(key, []).append((label.start_s, label.end_s))
    truths: list[list[Span]] = [[] for _ in videos]
    for (video, _), of_class in true.items():
        truths[video] += of_class
    found, numbers = average_recall(
        [_columns(each) for each in ours],
        [_columns(each) for each in truths],
        len(proposals),
        thresholds,
        per_video,
    )
    by_class = {key: (_columns(spans.get(key, [])), _columns(each)) for key, each in true.items()}
    sizes = np.array([len(each) for each in truths])
    units = units_of(np.repeat(np.arange(len(videos)), sizes), len(videos))
    return Recalled(found, sizes, numbers, by_class, len(number) if known else 1, units)


def _by_video(proposals: Sequence[Detection], videos: Sequence[str]) -> list[list[Detection]]:
    """Proposals of each video, the most confident first; equal ones as the official code leaves them."""
    rows: dict[str, list[Detection]] = {video: [] for video in videos}
    for each in proposals:
        if each.video in rows:
            rows[each.video].append(each)
    return [
        [own[i] for i in np.argsort([each.score for each in own])[::-1]] if own else []
        for own in rows.values()
    ]


def _columns(spans: Sequence[Span]) -> np.ndarray:
    return np.array(spans, np.float64).reshape(-1, 2)
