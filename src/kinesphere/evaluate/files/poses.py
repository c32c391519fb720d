"""Poses of anybody against annotated ones, in COCO's keypoint JSON."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinesphere.annotations.people import People, PersonPose
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.evaluate.files.detections import units_of
from kinesphere.evaluate.files.result import FileScores, check_thresholds, scored
from kinesphere.evaluate.metrics.poses import (
    MOST_OF_AN_IMAGE,
    RADII,
    THRESHOLDS,
    Posed,
    matched_people,
    nearness,
)
from kinesphere.evaluate.metrics.table import metrics_for


def score_poses(results: People, truth: People, *, radii: Sequence[float] | None = None) -> FileScores:
    """Average precision by object keypoint similarity as COCO has it, mean similarity, and PCK.

    Args:
        results: Found people.
        truth: Annotated people, with their images.
        radii: Of PCK, as fractions of the larger side of a person's box; None for 0.05, 0.1 and 0.2.

    Raises:
        InvalidAnnotation: If nobody is annotated who counts, or the files have other joints.
    """
    asked = check_thresholds(radii or RADII, "Radii of PCK (--pck)")
    counted = [each for each in truth.poses if not each.ignored]
    if not counted:
        raise InvalidAnnotation("Nobody is annotated with a labelled joint, so there is nothing to score.")
    joints = len(counted[0].joints)
    if results.poses and len(results.poses[0].joints) != joints:
        raise InvalidAnnotation(
            f"The results have {len(results.poses[0].joints)} joints a person and the annotations {joints}; "
            "convert one of them."
        )
    images = dict.fromkeys((*truth.images, *(each.image for each in truth.poses)))
    # Images of one folder are frames of one video.
    unit = {image: truth.images.get(image) or f"/{image}" for image in images}
    units = {name: i for i, name in enumerate(dict.fromkeys(unit.values()))}
    true, found = _by_image(truth.poses), _by_image(results.poses)
    posed = _posed(true, found, {image: units[name] for image, name in unit.items()}, asked)
    scores, titles = scored(metrics_for("poses", at={"pck": asked}), posed)
    known = sum(len(found.get(image, ())) for image in images)
    counts: dict[str, float | int] = {
        "images": len(images),
        "videos": len(units),
        "instances": len(counted),
        "instances_ignored": len(truth.poses) - len(counted),
        "poses": len(results.poses),
        "poses_scored": len(posed.score),
        "poses_beyond_20_of_an_image": known - len(posed.score),
        "poses_in_unknown_images": len(results.poses) - known,
    }
    rules = [
        "AP: COCO's, over similarities of 0.5 to 0.95, at 101 recalls, for people of any size",
        f"at most {MOST_OF_AN_IMAGE} people of an image, the most confident; in unknown images: left out",
        "who is found and is ignored (a crowd, no labelled joint) does not count",
        "mean OKS, PCK: true people are assigned found ones by similarity; who is not found counts as 0",
        "PCK: distance up to a fraction of the larger side of the person's box",
        "standard deviations: COCO's of 17 joints" if joints == 17 else "standard deviations: COCO's mean",
    ]
    strange = sorted(found.keys() - images.keys())
    return FileScores("coco", scores, titles, {}, counts, rules, strange)


def _by_image(poses: Sequence[PersonPose]) -> dict[str, list[PersonPose]]:
    found: dict[str, list[PersonPose]] = {}
    for each in poses:
        found.setdefault(each.image, []).append(each)
    return found


def _posed(
    true: dict[str, list[PersonPose]],
    found: dict[str, list[PersonPose]],
    units: dict[str, int],
    radii: tuple[float, ...],
) -> Posed:
    count = max(units.values()) + 1
    scores: list[float] = []
    image: list[int] = []
    right: list[np.ndarray] = [np.zeros((0, len(THRESHOLDS)), bool)]
    counts: list[np.ndarray] = [np.zeros((0, len(THRESHOLDS)), bool)]
    people, similarity, joints, near = (
        np.zeros(count),
        np.zeros(count),
        np.zeros(count),
        np.zeros((count, len(radii))),
    )
    index: list[int] = []
    for name, unit in units.items():
        given = sorted(found.get(name, []), key=lambda each: -each.score)[:MOST_OF_AN_IMAGE]
        annotated = true.get(name, [])
        scores += [each.score for each in given]
        image += [unit] * len(given)
        for column, part in zip((right, counts), matched_people(given, annotated), strict=True):
            column.append(part)
        total, near_enough, labelled = nearness(given, annotated, radii)
        counted = sum(not each.ignored for each in annotated)
        index += [unit] * counted
        people[unit] += counted
        similarity[unit] += total
        near[unit] += near_enough
        joints[unit] += labelled
    return Posed(
        np.array(scores), np.array(image, np.int64), np.concatenate(right), np.concatenate(counts), people,
        similarity, near, joints, radii, units_of(np.array(index, np.int64), count),
    )  # fmt: skip
