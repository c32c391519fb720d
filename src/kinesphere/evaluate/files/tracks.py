"""Tracks of anybody against annotated ones, in MOTChallenge's text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kinesphere.annotations.formats.mot import CLASS_NAMES, read_mot
from kinesphere.annotations.timed import Track
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.text import enumerated
from kinesphere.evaluate.files.detections import units_of
from kinesphere.evaluate.files.result import FileScores, scored
from kinesphere.evaluate.metrics.table import metrics_for
from kinesphere.evaluate.metrics.tracks import CLEAR, Followed, Video, boxes_of_others

_MOSTLY, _HARDLY = 0.8, 0.2
# Classes of MOT16 and MOT17 who look like pedestrians: whoever finds them is neither right nor wrong.
OTHERS = ("person on vehicle", "static person", "distractor", "reflection")
# Pictures of one size and boxes of one form reach about as far.
_FURTHER = 1.5
# A file that holds nothing but ends of lines has no more.
_BLANK_BYTES = 64
Tracks = Mapping[str, Sequence[Track]]


def read_tracks(path: Path) -> dict[str, tuple[Track, ...]]:
    """Tracks by the name of their video: of a file, or of a folder of such files or of MOTChallenge's own
    (`NAME/gt/gt.txt`).

    Raises:
        InvalidAnnotation: If a file is wrong, or the folder holds none.
    """
    if not path.is_dir():
        return {path.stem: _read(path)}
    files = {each.stem: each for each in sorted(path.glob("*.txt")) if each.name != CLASS_NAMES}
    files |= {each.parent.parent.name: each for each in sorted(path.glob("*/gt/gt.txt"))}
    if not files:
        raise InvalidAnnotation(f"{path} holds no tracks: neither NAME.txt nor NAME/gt/gt.txt.")
    return {name: _read(file) for name, file in files.items()}


def _read(path: Path) -> tuple[Track, ...]:
    """The tracks of a file; an empty one is of a tracker that found nobody."""
    is_blank = path.is_file() and path.stat().st_size < _BLANK_BYTES and not path.read_bytes().strip()
    return () if is_blank else read_mot(path)


def score_tracks(results: Tracks, truth: Tracks) -> FileScores:
    """HOTA, IDF1 and MOTA.

    Args:
        results: Tracks of each video. One video is that of an only annotated one, whatever they are called.
        truth: Annotated tracks; boxes of confidence 0 do not count, and what is found of classes `OTHERS` is
            neither right nor wrong.

    Raises:
        InvalidAnnotation: If no box is annotated.
    """
    if len(results) == len(truth) == 1:
        results = dict(zip(truth, results.values(), strict=True))
    counted = {name: _that_count(tracks) for name, tracks in truth.items()}
    annotated = sum(len(track) for tracks in counted.values() for track in tracks)
    if not annotated:
        raise InvalidAnnotation(
            f"No box of the {len(truth)} annotated videos counts: there is none, or their confidences are 0."
        )
    given = {name: _of_people(results.get(name, ()), tracks) for name, tracks in truth.items()}
    videos = tuple(Video.of(given[name], tracks) for name, tracks in counted.items())
    tracks_of = np.array([len(each.true_counts) for each in videos])
    followed = Followed(videos, units_of(np.repeat(np.arange(len(videos)), tracks_of), len(videos)))
    scores, titles = scored(metrics_for("tracks"), followed)
    fractions = np.concatenate([each.clear()[1] for each in videos])
    clear = followed.clear.sum(0)
    counts: dict[str, float | int] = {
        "videos": len(videos),
        "instances": annotated,
        "tracks": int(tracks_of.sum()),
        **{name: int(value) for name, value in zip(CLEAR[:5], clear, strict=False)},
        "mostly_tracked": int((fractions > _MOSTLY).sum()),
        "partially_tracked": int(((fractions >= _HARDLY) & (fractions <= _MOSTLY)).sum()),
        "mostly_lost": int((fractions < _HARDLY).sum()),
        "boxes": sum(len(track) for tracks in results.values() for track in tracks),
        "boxes_annotated_that_do_not_count": sum(
            len(track) for tracks in truth.values() for track in tracks
        ) - annotated,
        "boxes_of_people_who_do_not_count": sum(
            len(track) for name in truth for track in results.get(name, ())
        ) - sum(len(track) for tracks in given.values() for track in tracks),
        "videos_without_results": len(counted.keys() - results.keys()),
    }  # fmt: skip
    rules = [
        "annotated boxes of confidence 0 do not count",
        f"boxes that match annotated ones of {enumerated(OTHERS)}: neither right nor wrong",
        "HOTA: mean over localisation thresholds 0.05 to 0.95; MOTA, IDF1: boxes match from an IoU of 0.5 on",
        "results in videos that are not annotated: left out",
        *_doubts(given, truth),
    ]
    return FileScores("mot", scores, titles, {}, counts, rules, sorted(results.keys() - counted.keys()))


def _of_people(results: Sequence[Track], truth: Sequence[Track]) -> list[Track]:
    """The results without boxes of annotated people who are neither to be found nor wrong."""
    others = boxes_of_others(results, truth, OTHERS)
    return [_part(each, ~other) for each, other in zip(results, others, strict=True) if not other.all()]


def _doubts(results: Tracks, truth: Tracks) -> list[str]:
    """Why results may be of other frames, or pixels of another size, than the annotations."""
    ours, theirs = ([each for tracks in side.values() for each in tracks] for side in (results, truth))
    if not ours:
        return []
    doubts = []
    first = [min(int(each.frames[0]) for each in side) for side in (ours, theirs)]
    if (first[0] == 0) != (first[1] == 0):
        doubts.append(
            f"frames: the results begin with frame {first[0]}, the annotations with {first[1]}; number both "
            "from 1, or both from 0"
        )
    reach = [np.max([each.boxes[:, 2:].max(0) for each in side], axis=0) for side in (ours, theirs)]
    if (reach[0] * _FURTHER < reach[1]).all() or (reach[0] > reach[1] * _FURTHER).any():
        (x, y), (true_x, true_y) = reach
        doubts.append(
            f"boxes: those of the results reach to ({x:g}, {y:g}), the annotated ones to ({true_x:g}, "
            f"{true_y:g}); both are left, top, width and height in pixels of frames of one size"
        )
    return doubts


def _part(track: Track, rows: np.ndarray) -> Track:
    return replace(track, frames=track.frames[rows], boxes=track.boxes[rows], scores=track.scores[rows])


def _that_count(tracks: Sequence[Track]) -> list[Track]:
    return [_part(each, each.scores != 0) for each in tracks if each.scores.any()]
