"""Scores of whole videos by a classifier, and segments that take their labels or their scores from them.

Published results on ActivityNet are often of both: a localiser says when, a video classifier of another
program says what (Lin et al. 2019, BMN, section 4.3). Results say so, and what they are without it.
"""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kinesphere.annotations.formats.activitynet import LARGEST, short_name
from kinesphere.annotations.parsing.text_lines import number_of, read_text
from kinesphere.annotations.timed import Detection, TimedLabels, video_name
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.limits import brief
from kinesphere.core.structured import parse_json, read_json
from kinesphere.core.text import named, unspelled
from kinesphere.evaluate.files.detections import Held, TemporalProtocol, score_held
from kinesphere.evaluate.files.result import External, FileScores

_VIDEO, _LABEL, _SCORE = ("video", "path", "source"), ("label", "class"), ("score", "probability")


@dataclass(frozen=True)
class VideoScores:
    """What a classifier says of whole videos.

    Attributes:
        name: Of its file.
        by_video: Scores of labels, 0 or more, by video.
    """

    name: str
    by_video: Mapping[str, Mapping[str, float]]

    @property
    def labels(self) -> frozenset[str]:
        """All labels that it gives."""
        return frozenset(label for own in self.by_video.values() for label in own)

    def best(self, video: str, top: int) -> dict[str, float]:
        """The best labels of a video; of equal ones the first in the file."""
        own = self.by_video.get(video, {})
        return dict(sorted(own.items(), key=lambda item: -item[1])[:top])


@dataclass(frozen=True)
class Fusing:
    """How scores of segments and of videos become one.

    Attributes:
        top: So many labels of each video count.
        weight: Of the video's score: segment ** (1 - weight) · video ** weight. At 0.5 that orders detections
            as their product does; at 0 the classifier chooses labels alone.

    Raises:
        InvalidSetting: If a number makes no sense.
    """

    top: int = 2
    weight: float = 0.5

    def __post_init__(self) -> None:
        if self.top < 1 or not 0 <= self.weight <= 1:
            raise InvalidSetting(
                "A classifier gives 1 label of a video or more (--classifier-top), and its scores have a "
                f"weight from 0 to 1 (--classifier-weight); got {self.top} and {self.weight:g}."
            )


@dataclass(frozen=True)
class Fused:
    """Results with the scores of a classifier in them.

    Attributes:
        results: The detections.
        agnostic: Whether the segments had no labels of the classifier's, and each took all of its video.
        other_labels: How many detections have a label that is not among the best of their video.
        without_scores: How many are in videos of which the classifier says nothing.
    """

    results: TimedLabels
    agnostic: bool
    other_labels: int
    without_scores: int


def fuse_classifier(results: TimedLabels, scores: VideoScores, how: Fusing | None = None) -> Fused:
    """Multiply the scores of segments by those of their videos' labels.

    Detections keep their labels, and those that are not among the best of their video are left out. Segments
    of which none has a label of the classifier's are proposals: each becomes a detection of every best label.

    Args:
        results: Detections or proposals.
        scores: Of videos.
        how: Which labels count, and how much.

    Raises:
        InvalidAnnotation: If the results have no scores.
        InvalidSetting: If a score is negative, or the classifier knows none of the videos.
    """
    how = how or Fusing()
    given = results.detections("The file of results")
    if given and not any(each.video in scores.by_video for each in given):
        raise InvalidSetting(
            f"{scores.name} has scores of none of the videos with results; it names "
            f"{named(list(scores.by_video)[:3])}, they {named(sorted({each.video for each in given})[:3])}."
        )
    if negative := next((each for each in given if each.score < 0), None):
        raise InvalidSetting(
            f"Scores of segments are multiplied, so they are 0 or more; {brief(negative.label)} in "
            f"{brief(negative.video)} has {negative.score:g}."
        )
    labels = scores.labels
    agnostic = not any(each.label in labels for each in given)
    best = {video: scores.best(video, how.top) for video in {each.video for each in given}}
    kept: list[Detection] = []
    other = without = 0
    for each in given:
        own = best[each.video]
        chosen = own if agnostic else {each.label: own[each.label]} if each.label in own else {}
        without += not own
        other += bool(own) and not chosen
        kept += [
            replace(each, label=label, score=each.score ** (1 - how.weight) * score**how.weight)
            for label, score in chosen.items()
        ]
    fused = TimedLabels(tuple(kept), results.videos, results.durations_s, results.subsets, results.notes)
    return Fused(fused, agnostic, other, without)


def score_with_classifier(
    without: FileScores,
    results: TimedLabels,
    by: VideoScores,
    how: Fusing,
    counted: Callable[[TimedLabels], Held],
    protocol: TemporalProtocol,
    thresholds: Sequence[float] | None = None,
) -> tuple[Held, FileScores]:
    """Scores of results with those of a classifier in them, which say so, and what was scored.

    Args:
        without: Scores of the results as they are.
        results: Detections or proposals.
        by: What the classifier says.
        how: How it counts.
        counted: Chooses what counts of results (`hold` with all but these).
        protocol: Names the overlaps where none are given.
        thresholds: Temporal overlaps.

    Raises:
        InvalidSetting: As `fuse_classifier`.
    """
    fused = fuse_classifier(results, by, how)
    held = counted(fused.results)
    scores = score_held(held, protocol, thresholds)
    external = External(by.name, how.top, how.weight, fused.agnostic, without)
    counts = {
        **scores.counts,
        "segments_of_other_labels_than_the_classifier": fused.other_labels,
        "segments_in_videos_without_classifier_scores": fused.without_scores,
    }
    rules = (*scores.rules, f"external: {external.note}")
    return held, replace(scores, external=external, counts=counts, rules=rules)


def read_video_scores(path: Path) -> VideoScores:
    """Scores of videos from a file.

    It is ActivityNet's JSON of classifications (`results`: labels with scores by video), the same with a
    list of scores by video beside `class` (CUHK's of 2017, as BMN's code takes it), `predictions.parquet` or
    the run that holds it (of several clips of a video the mean), what `predict --out` writes (CSV, JSON
    lines), or a CSV with `video`, `label`, `score`, or with `video` and a column for each label.

    Raises:
        InvalidAnnotation: If it is none of these, or an entry is wrong.
        InvalidSetting: If it is a damaged table of predictions.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet" or path.is_dir():
        rows = _of_predictions(path)
    elif suffix == ".json":
        rows = _of_json(read_json(path, InvalidAnnotation, LARGEST), str(path))
    elif suffix == ".jsonl":
        rows = _of_lines(path)
    elif suffix == ".csv":
        rows = _of_table(path)
    else:
        raise InvalidAnnotation(
            f"{path} has none of the suffixes of video scores: .json (ActivityNet), .csv, .jsonl, .parquet."
        )
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for video, label, score in rows:
        own = found[short_name(video_name(video))]
        if label in own:
            raise InvalidAnnotation(f"{path} has {brief(label)} of the video {brief(video)} twice; keep one.")
        if not 0 <= score < math.inf:
            raise InvalidAnnotation(
                f"{path}: scores of a classifier are 0 or more, such as probabilities; {brief(label)} of "
                f"{brief(video)} has {score:g}."
            )
        own[label] = score
    if not found:
        raise InvalidAnnotation(f"{path} has no scores of any video.")
    return VideoScores(path.name, dict(found))


Rows = Iterable[tuple[str, str, float]]


def _of_predictions(path: Path) -> Rows:
    from kinesphere.evaluate.predictions import Predictions

    table = Predictions.read(path)
    clips: dict[str, list[int]] = defaultdict(list)
    for i, source in enumerate(table.paths):
        clips[source].append(i)
    for source, rows in clips.items():
        mean = table.probabilities[rows].mean(0).tolist()
        yield from ((source, label, score) for label, score in zip(table.labels.names, mean, strict=True))


def _of_json(content: Any, name: str) -> Rows:
    by_video = content.get("results") if isinstance(content, dict) else None
    if not isinstance(by_video, dict):
        raise InvalidAnnotation(
            f"{name} holds no `results` by video; name ActivityNet's JSON of classifications, or CUHK's."
        )
    classes = content.get("class")
    for video, own in by_video.items():
        if not isinstance(own, list):
            raise InvalidAnnotation(
                f"{name}, video {brief(video)}: scores should be a list; got {brief(own)}."
            )
        if isinstance(classes, list) and not any(isinstance(each, dict) for each in own):
            if len(own) != len(classes):
                raise InvalidAnnotation(
                    f"{name}, video {brief(video)}: {len(own)} scores of {len(classes)} classes."
                )
            yield from (
                (video, str(label), _number(score, name, video))
                for label, score in zip(classes, own, strict=True)
            )
            continue
        for each in own:
            if not isinstance(each, dict) or not isinstance(each.get("label"), str):
                raise InvalidAnnotation(
                    f"{name}, video {brief(video)}: entries hold `label` and `score`; got {brief(each)}."
                )
            yield video, each["label"], _number(each.get("score"), name, video)


def _of_lines(path: Path) -> Rows:
    for number, line in enumerate(read_text(path).splitlines(), 1):
        record = parse_json(line, f"{path}, line {number}", InvalidAnnotation) if line.strip() else {}
        top = record.get("top", []) if isinstance(record, dict) else []
        for each in top:
            source = str(record.get("source", ""))
            yield source, str(each["label"]), _number(each.get("probability"), str(path), source)


def _of_table(path: Path) -> Rows:
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
    except csv.Error as error:
        raise InvalidAnnotation(f"{path} is no table of scores: {error}.") from error
    columns = [column for column in rows[0] if column is not None] if rows else []
    video = next((each for each in _VIDEO if each in columns), None)
    if video is None:
        raise InvalidAnnotation(
            f"{path} needs a column of videos ({', '.join(_VIDEO)}); its columns are "
            f"{', '.join(map(brief, columns)) or 'none'}."
        )
    label = next((each for each in _LABEL if each in columns), None)
    score = next((each for each in _SCORE if each in columns), None)
    for row in rows:
        source = unspelled(row[video] or "")
        if "label_1" in columns:  # as `predict --out` writes it
            ranks = [column.removeprefix("label_") for column in columns if column.startswith("label_")]
            pairs = [(row[f"label_{i}"], row.get(f"probability_{i}")) for i in ranks]
        elif label is not None and score is not None:
            pairs = [(row[label], row[score])]
        else:
            pairs = [(column, row[column]) for column in columns if column != video]
        yield from ((source, name, _number(text, str(path), source)) for name, text in pairs if name)


def _number(value: Any, name: str, video: str) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        return number_of(value) if isinstance(value, str) else float(value)
    except (ValueError, OverflowError):
        raise InvalidAnnotation(
            f"{name}, video {brief(video)}: a score should be a number; got {brief(value)}."
        ) from None
