"""Scores of a detector: of a run's test videos, and of any recordings with timed labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

from kinesphere.annotations.formats.activitynet import write_activitynet
from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.timed import Detection, TimedLabels
from kinesphere.annotations.timed_files import read_timed_files
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import make_folder, write_text
from kinesphere.core.skipped import Skipped
from kinesphere.core.structured import read_json
from kinesphere.evaluate.files.detection_errors import errors_of
from kinesphere.evaluate.files.detections import TemporalProtocol, hold, score_detections
from kinesphere.evaluate.files.proposals import score_proposals
from kinesphere.evaluate.files.result import FileScores
from kinesphere.evaluate.files.video_classifier import (
    Fusing,
    VideoScores,
    fuse_classifier,
    score_with_classifier,
)
from kinesphere.evaluate.metrics.detection_errors import DetectionErrors
from kinesphere.localise.methods.registry import Detector
from kinesphere.localise.prediction import LocalisingPredictor, answers
from kinesphere.localise.recordings import all_tested
from kinesphere.localise.settings import TASK, LocaliseRecipe
from kinesphere.localise.sources import find_recordings
from kinesphere.predict.bulk import Progress
from kinesphere.predict.sources import find_videos
from kinesphere.train.run_folder import RunFiles

DETECTIONS, TRUTH = "detections.json", "truth.json"


@dataclass(frozen=True)
class Evaluated:
    """What a detector found in recordings, and how right that is.

    Attributes:
        scores: Of all videos that could be seen.
        found: All detections.
        truth: What happens in these videos.
        paths: Their files by name.
        skipped: Videos that took no part, and why.
        seen: Videos among them that the detector was trained on.
        proposals: AR@AN by ActivityNet's rules, of detectors that propose first.
    """

    scores: FileScores
    found: TimedLabels
    truth: TimedLabels
    paths: dict[str, Path]
    skipped: tuple[Skipped, ...] = ()
    seen: tuple[str, ...] = field(default=())
    proposals: FileScores | None = None

    @cached_property
    def errors(self) -> DetectionErrors:
        """What is wrong with the detections."""
        return errors_of(hold(self.found, self.truth), cast("TemporalProtocol", self.scores.protocol))

    def to_json(self, detector: Detector) -> dict[str, Any]:
        """The shape of a run's report."""
        proposals = {} if self.proposals is None else {"proposals": self.proposals.to_json()}
        return {
            "task": TASK,
            "detector": detector.name,
            "classes": list(detector.labels.names),
            "features": vars(detector.sight),
            **self.scores.to_json(),
            "errors": self.errors.to_json(),
            "videos": {name: str(path) for name, path in self.paths.items()},
            "videos_trained_on": list(self.seen),
            "skipped": [each.to_json() for each in self.skipped],
            **proposals,
        }

    def write(self, folder: Path, document: dict[str, Any]) -> None:
        """Write a report, what was found, and what happens in the videos."""
        make_folder(folder)
        write_activitynet(self.found, folder / DETECTIONS)
        write_activitynet(self.truth, folder / TRUTH)
        write_text(folder / "report.json", json.dumps(document, indent=1, ensure_ascii=False))


def evaluate_localiser(
    predictor: LocalisingPredictor,
    data: Path,
    *,
    protocol: TemporalProtocol = "thumos14",
    subset: str | None = None,
    classifier: VideoScores | None = None,
    fusing: Fusing | None = None,
    progress: Progress = Progress(),  # noqa: B008 (frozen)
) -> Evaluated:
    """Score a detector on recordings.

    Args:
        predictor: The detector with what makes its features.
        data: File or folder of timed labels, in or below whose folder the videos lie.
        protocol: Whose tIoU thresholds are averaged over.
        subset: Of the labels; None for all.
        classifier: Scores of the whole videos by another program, that go into those of the detections; the
            scores then say so, and what they are without.
        fusing: How these count.
        progress: Hears how many videos are done.

    Raises:
        InvalidAnnotation: If the labels cannot be read, or no video could be seen.
        InvalidSetting: If there is no such subset, or the classifier knows none of the videos.
    """
    folder = data if data.is_dir() else data.parent
    paths = _recordings(predictor, folder)
    labels = read_timed_files([data], Recordings(folder))
    tier, asked = _learnt((*predictor.members, predictor.name)[0])
    divided = all_tested(paths, labels, tier, subset)
    found: list[Detection] = []
    skipped = [each for each in divided.skipped if each.reason.startswith("there is no video")]
    names = {str(divided.paths[name]): name for name in divided.test}
    ends: dict[str, float] = {}
    proposed: list[Detection] = []
    for done, answer in enumerate(answers(predictor, list(names), progress), 1):
        if isinstance(answer, Skipped):
            skipped.append(answer)
        else:
            line = answer.timeline
            found += line.found or ()
            proposed += answer.proposals or ()
            ends[names[line.source]] = float(line.spans[-1, 1])
        progress.advance(done, len(names))
    if not ends:
        raise InvalidSetting(f"No video could be seen; the first, {skipped[-1].path}: {skipped[-1].reason}")
    happens = [each for name in ends for each in divided.of(name) if not asked or each.label in asked]
    truth = TimedLabels(tuple(happens), tuple(ends), ends)
    results = TimedLabels(tuple(found), tuple(ends))
    scores = score_detections(results, truth, protocol)
    if classifier is not None:
        how, counted = fusing or Fusing(), partial(hold, truth=truth)
        _, scores = score_with_classifier(scores, results, classifier, how, counted, protocol)
        results = fuse_classifier(results, classifier, how).results
    trained_on = _trained_on(predictor.name, *predictor.members)
    return Evaluated(
        scores, results, truth, {name: divided.paths[name] for name in ends}, tuple(skipped),
        tuple(name for name in ends if name in trained_on), proposal_scores(proposed, truth),
    )  # fmt: skip


def _recordings(predictor: LocalisingPredictor, folder: Path) -> list[Path]:
    """The videos in or below a folder; for features that are not made here, those of feature files too."""
    if predictor.extractor is not None:
        return find_videos([str(folder)])[0]
    places = (predictor.extracts, predictor.kept)
    stored = [place.folder for place in places if place is not None and place.folder is not None]
    try:
        return find_recordings([str(folder)], stored)
    except InvalidSetting:
        if not stored:
            raise
        return find_recordings([], stored)


def proposal_scores(proposed: Sequence[Detection], truth: TimedLabels) -> FileScores | None:
    """AR@AN by ActivityNet's rules; None for no proposals, or where nothing is annotated."""
    if not proposed or not truth.labels:
        return None
    return score_proposals(TimedLabels(tuple(proposed), truth.videos), truth)


def _learnt(source: str) -> tuple[str | None, tuple[str, ...]]:
    """The tier of labels that a run was trained on, and the classes that it was asked for; none for all."""
    recipe = RunFiles(Path(source)).recipe
    if not recipe.is_file():
        return None, ()
    section = LocaliseRecipe.load(recipe).data
    return section.tier, section.classes


def _trained_on(*sources: str) -> set[str]:
    """The videos that runs were trained on, as far as they have a report."""
    reports = [path for source in sources if (path := RunFiles(Path(source)).report).is_file()]
    return {name for path in reports for name in read_json(path, InvalidSetting).get("trained_on", ())}
