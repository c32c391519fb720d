"""Scores of a detector of people's actions: frame-mAP by AVA's rule, on boxes that are given."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kinesphere.annotations.formats.ava import AvaBoxes
from kinesphere.annotations.keyframe_files import corners, csv_field, write_keyframes, write_label_map
from kinesphere.annotations.keyframes import Keyframe, Keyframes
from kinesphere.annotations.timed import Detection
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidAnnotation, LabelMismatch, VideoError
from kinesphere.core.files import make_folder, write_text
from kinesphere.core.skipped import Skipped
from kinesphere.evaluate.files.boxes import score_boxes
from kinesphere.evaluate.files.result import FileScores
from kinesphere.localise.people.clips import read_about
from kinesphere.localise.people.detector import PeopleDetector
from kinesphere.localise.people.keyframe_set import KeyframeSet
from kinesphere.localise.people.settings import TASK
from kinesphere.video import Video

DETECTIONS, TRUTH, LABEL_MAP = "detections.csv", "truth.csv", "label_map.pbtxt"
_TOGETHER = 8
Advance = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class EvaluatedPeople:
    """What a detector says of the people of keyframes, and how right that is.

    Attributes:
        scores: Of the detector.
        chance: Of random scores on the same boxes.
        found: All answers.
        truth: Keyframes that could be seen.
        paths: Files of the videos by name.
        skipped: What took no part, and why.
        seen: Videos that the detector was trained on.
    """

    scores: FileScores
    chance: FileScores
    found: AvaBoxes
    truth: KeyframeSet
    paths: Mapping[str, Path]
    skipped: tuple[Skipped, ...] = ()
    seen: tuple[str, ...] = ()

    def to_json(self, detector: PeopleDetector) -> dict[str, Any]:
        """The shape of a run's report."""
        return {
            "task": TASK,
            "detector": detector.architecture,
            "classes": list(detector.labels.names),
            "clip": detector.spec.to_json(),
            "boxes": "of the annotations",
            **self.scores.to_json(),
            "chance": self.chance.to_json()["scores"],
            "videos": {name: str(self.paths[name]) for name in self.truth.videos},
            "videos_trained_on": list(self.seen),
            "skipped": [each.to_json() for each in self.skipped],
        }

    def write(self, folder: Path, document: dict[str, Any]) -> None:
        """Write a report, the answers and the truth in AVA's form, and their label map."""
        make_folder(folder)
        write_detections(self.found, folder / DETECTIONS)
        write_keyframes(Keyframes(self.truth.frames, self.truth.numbers), folder / TRUTH)
        write_label_map(self.truth.numbers, folder / LABEL_MAP)
        write_text(folder / "report.json", json.dumps(document, indent=1, ensure_ascii=False))


def evaluate_people(
    detector: PeopleDetector,
    keyframes: KeyframeSet,
    compute: Compute,
    *,
    skipped: Sequence[Skipped] = (),
    seen: Sequence[str] = (),
    advance: Advance = lambda done, total: None,
) -> EvaluatedPeople:
    """Score a detector on the boxes of keyframes.

    Args:
        detector: Whom to ask.
        keyframes: Boxes and what is done in them.
        compute: Where and how the network runs.
        skipped: What takes no part for other reasons.
        seen: Videos that it was trained on.
        advance: Called with the number of keyframes done, and of all.

    Raises:
        LabelMismatch: If the keyframes are of other classes.
        InvalidAnnotation: If none could be seen, or nothing is done in them.
    """
    check_classes(detector, keyframes)
    compute.place(detector.net)
    boxes: list[Detection] = []
    lost: dict[str, str] = {}
    answered: list[Keyframe] = []
    frames = keyframes.frames
    for done, (frame, answer) in enumerate(_answers(detector, keyframes, compute), 1):
        if isinstance(answer, str):
            lost.setdefault(frame.video, f"{answer} (keyframe at {frame.time_s:g} s)")
        else:
            answered.append(frame)
            boxes += _detections(frame, answer, detector)
        advance(done, len(frames))
    if not answered:
        raise InvalidAnnotation(f"No keyframe could be seen; {next(iter(lost.values()), 'there is none')}")
    numbers = {name: detector.numbers[name] for name in detector.labels}
    truth = KeyframeSet(tuple(answered), numbers, keyframes.paths)
    found = AvaBoxes(tuple(boxes), _keys(answered))
    return EvaluatedPeople(
        scored(found, truth),
        scored(_shuffled(found), truth),
        found,
        truth,
        keyframes.paths,
        (*skipped, *(Skipped(str(keyframes.paths[name]), why) for name, why in lost.items())),
        tuple(name for name in truth.videos if name in set(seen)),
    )


def check_classes(detector: PeopleDetector, keyframes: KeyframeSet) -> None:
    """Refuse keyframes of classes that a detector does not know.

    Raises:
        LabelMismatch: If so.
    """
    done = {name for frame in keyframes.frames for each in frame.people for name in each.actions}
    if strange := sorted(done - set(detector.labels.names)):
        raise LabelMismatch(
            f"The keyframes have {len(strange)} actions that the detector does not know: "
            f"{', '.join(strange[:10])}; it knows {', '.join(detector.labels.names[:10])}. Name the label "
            "map that it learnt from, or the classes that count."
        )


def _answers(
    detector: PeopleDetector, keyframes: KeyframeSet, compute: Compute
) -> Iterator[tuple[Keyframe, np.ndarray | str]]:
    """Probabilities `(R, K)` of each keyframe, or why there are none."""
    by_video: dict[str, list[Keyframe]] = defaultdict(list)
    for frame in keyframes.frames:
        by_video[frame.video].append(frame)
    for name, frames in by_video.items():
        try:
            with Video.open(keyframes.paths[name]) as video:
                for first in range(0, len(frames), _TOGETHER):
                    yield from _of_some(detector, video, frames[first : first + _TOGETHER], compute)
        except VideoError as error:
            for frame in frames:
                yield frame, str(error)


def _of_some(
    detector: PeopleDetector, video: Video, frames: Sequence[Keyframe], compute: Compute
) -> Iterator[tuple[Keyframe, np.ndarray | str]]:
    clips, boxes, seen = [], [], []
    for frame in frames:
        if not frame.people:
            yield frame, np.zeros((0, len(detector.labels)))
            continue
        try:
            clip, placement = read_about(video, detector.spec, frame.time_s)
        except VideoError as error:
            yield frame, str(error)
            continue
        clips.append(clip.data)
        boxes.append(placement.boxes(np.array([each.box for each in frame.people])))
        seen.append(frame)
    if seen:
        rows = detector.probabilities(torch.stack(clips), boxes, compute)
        yield from zip(seen, rows, strict=True)


def _detections(frame: Keyframe, rows_RK: np.ndarray, detector: PeopleDetector) -> Iterator[Detection]:
    for each, row in zip(frame.people, rows_RK.tolist(), strict=True):
        for name, score in zip(detector.labels.names, row, strict=True):
            number = str(detector.numbers[name])
            yield Detection(frame.video, number, frame.time_s, frame.time_s, score=score, box=each.box)


def scored(found: AvaBoxes, truth: KeyframeSet) -> FileScores:
    """Frame-mAP of answers at IoU 0.5."""
    boxes = tuple(
        Detection(frame.video, str(truth.numbers[name]), frame.time_s, frame.time_s, box=each.box)
        for frame in truth.frames
        for each in frame.people
        for name in each.actions
    )
    names = {str(number): name for name, number in truth.numbers.items()}
    return score_boxes(found, AvaBoxes(boxes, _keys(truth.frames)), names=names)


def _keys(frames: Sequence[Keyframe]) -> tuple[tuple[str, int], ...]:
    return tuple(dict.fromkeys((each.video, int(each.time_s)) for each in frames))


def _shuffled(found: AvaBoxes) -> AvaBoxes:
    """The same boxes with scores that say nothing."""
    scores = np.random.default_rng(0).random(len(found.boxes)).tolist()
    boxes = tuple(
        Detection(each.video, each.label, each.start_s, each.end_s, score=score, box=each.box)
        for each, score in zip(found.boxes, scores, strict=True)
    )
    return AvaBoxes(boxes, found.frames)


def write_detections(found: AvaBoxes, path: Path) -> None:
    """Answers as a file of AVA's form: video, second, box, number of the action, score."""
    write_text(path, "".join(f"{detection_line(each)}\n" for each in found.boxes))


def detection_line(each: Detection) -> str:
    """An answer as a line of AVA's form."""
    head = f"{csv_field(each.video)},{int(each.start_s):04d},{corners(each.box or ())}"
    return f"{head},{each.label},{each.score:.6f}"
