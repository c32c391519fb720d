"""AVA's frame-mAP: boxes of people with actions at single times."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

import numpy as np

from kinesphere.annotations.formats.ava import AvaBoxes
from kinesphere.annotations.timed import Detection
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.evaluate.files.detections import per_class, units_of
from kinesphere.evaluate.files.result import FileScores, check_thresholds, scored
from kinesphere.evaluate.metrics.detections import (
    Found,
    Matched,
    box_overlaps,
    match,
    match_best,
    reversed_sort,
)
from kinesphere.evaluate.metrics.table import metrics_for

MOST_OF_A_FRAME = 50
"""Detections of a frame that count, over all classes: the most confident."""
Frame = tuple[str, int]


def score_boxes(
    results: AvaBoxes,
    truth: AvaBoxes,
    *,
    names: Mapping[str, str] | None = None,
    excluded: frozenset[Frame] = frozenset(),
    thresholds: Sequence[float] | None = None,
) -> FileScores:
    """Frame-mAP by AVA's official rule.

    Args:
        results: Detections.
        truth: Annotations; its frames alone count.
        names: Names of the classes that count by their number; None for all that are annotated.
        excluded: Frames that do not count.
        thresholds: Overlaps of boxes; None for 0.5.

    Raises:
        InvalidAnnotation: If nothing is annotated.
        InvalidSetting: If a threshold is wrong.
    """
    asked = check_thresholds(thresholds or (0.5,), "Overlaps of boxes (--tiou)")
    # In the order of the results, by which equal scores are ranked.
    order = {frame: i for i, frame in enumerate(dict.fromkeys(map(_frame, results.boxes)))}
    frames = sorted(
        (each for each in truth.frames if each not in excluded),
        key=lambda frame: order.get(frame, len(order)),
    )
    place = {frame: i for i, frame in enumerate(frames)}
    annotated = [each for each in truth.boxes if _frame(each) in place and _counts(each, names)]
    if not annotated:
        raise InvalidAnnotation(f"Nothing is annotated in the {len(frames)} frames that are scored.")
    inside = [each for each in results.boxes if _frame(each) in place]
    known = [each for each in inside if _counts(each, names)]
    first = _first_of_frames(known)
    sound = [each for each in first if _is_box(each)]
    matched = _matched(sound, annotated, place, asked)
    scores, titles = scored(metrics_for("detections", at={"map": asked}), matched)
    counts = {
        "videos": matched.units.count,
        "frames": len(frames),
        "instances": len(annotated),
        "frames_excluded": len(truth.frames) - len(frames),
        "detections": len(results.boxes),
        "detections_scored": len(matched.label),
        "detections_in_unknown_frames": len(results.boxes) - len(inside),
        "detections_of_unlisted_classes": len(inside) - len(known),
        "detections_beyond_50_of_a_frame": len(known) - len(first),
        "detections_without_area": len(first) - len(sound),
        "detections_of_classes_without_instances": len(sound) - len(matched.label),
    }
    named = {(names or {}).get(label, label): row for label, row in per_class(matched).items()}
    strange = sorted({each.label for each in inside} - {each.label for each in known}, key=int)
    return FileScores("ava", scores, titles, named, counts, _rules(names), unknown_classes=strange)


def _matched(
    boxes: Sequence[Detection],
    annotated: Sequence[Detection],
    place: Mapping[Frame, int],
    thresholds: Sequence[float],
) -> Matched:
    """Boxes of the annotated classes, held against annotations frame by frame; videos are independent."""
    classes = sorted({each.label for each in annotated}, key=int)
    number = {label: i for i, label in enumerate(classes)}
    videos = {video: i for i, video in enumerate(dict.fromkeys(video for video, _ in place))}
    unit = np.array([videos[video] for video, _ in place], np.int64)
    found = _columns([each for each in boxes if each.label in number], number, place)
    truths = _columns(annotated, number, place)
    units = units_of(unit[truths.place], len(videos))
    return match(
        found, truths, classes, units, unit, thresholds, match_best, box_overlaps, rank=reversed_sort
    )


def _rules(names: Mapping[str, str] | None) -> list[str]:
    return [
        f"at most {MOST_OF_A_FRAME} detections of a frame, the most confident over all classes",
        "matching: each detection is compared with its best ground truth alone; a second one of it is wrong",
        "equal scores: as NumPy's default sort leaves them, reversed (as the official code does)",
        "average precision: all points, interpolated; mean over the classes that are annotated",
        "detections in frames without a line of annotation: left out",
        "classes: all that are annotated" if names is None else f"classes: {len(names)} of the label map",
    ]


def _counts(box: Detection, names: Mapping[str, str] | None) -> bool:
    return names is None or box.label in names


def _frame(box: Detection) -> Frame:
    return box.video, int(box.start_s)


def _is_box(detection: Detection) -> bool:
    left, top, right, bottom = detection.box or (0, 0, 0, 0)
    return right > left and bottom > top


def _first_of_frames(boxes: Sequence[Detection]) -> list[Detection]:
    """The most confident detections of each frame, frame by frame.

    A heap decides between equal scores, and in which order they stand, as in the official code.
    """
    heaps: dict[Frame, list[tuple[float, int, tuple[float, ...], int]]] = {}
    for row, each in enumerate(boxes):
        heap = heaps.setdefault(_frame(each), [])
        left, top, right, bottom = each.box or (0, 0, 0, 0)
        entry = (each.score, int(each.label), (top, left, bottom, right), row)
        if len(heap) < MOST_OF_A_FRAME:
            heapq.heappush(heap, entry)
        elif each.score > heap[0][0]:
            heapq.heapreplace(heap, entry)
    return [
        boxes[entry[-1]] for heap in heaps.values() for entry in sorted(heap, key=lambda entry: -entry[0])
    ]


def _columns(boxes: Sequence[Detection], number: Mapping[str, int], place: Mapping[Frame, int]) -> Found:
    return Found(
        np.array([number[each.label] for each in boxes], np.int64),
        np.array([place[_frame(each)] for each in boxes], np.int64),
        np.array([each.box for each in boxes], np.float64).reshape(-1, 4),
        np.array([each.score for each in boxes], np.float64),
    )
