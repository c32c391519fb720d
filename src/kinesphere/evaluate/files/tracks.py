"""Tracks of anybody against annotated ones, in MOTChallenge's text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kinesphere.annotations.formats.mot import CLASS_NAMES, read_mot
from kinesphere.annotations.timed import Track
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.evaluate.files.detections import units_of
from kinesphere.evaluate.files.result import FileScores, scored
from kinesphere.evaluate.metrics.table import metrics_for
from kinesphere.evaluate.metrics.tracks import CLEAR, Followed, Video

_MOSTLY, _HARDLY = 0.8, 0.2
Tracks = Mapping[str, Sequence[Track]]


def read_tracks(path: Path) -> dict[str, tuple[Track, ...]]:
    """Tracks by the name of their video: of a file, or of a folder of such files or of MOTChallenge's own
    (`NAME/gt/gt.txt`).

    Raises:
        InvalidAnnotation: If a file is wrong, or the folder holds none.
    """
    if not path.is_dir():
        return {path.stem: read_mot(path)}
    files = {each.stem: each for each in sorted(path.glob("*.txt")) if each.name != CLASS_NAMES}
    files |= {each.parent.parent.name: each for each in sorted(path.glob("*/gt/gt.txt"))}
    if not files:
        raise InvalidAnnotation(f"{path} holds no tracks: neither NAME.txt nor NAME/gt/gt.txt.")
    return {name: read_mot(file) for name, file in files.items()}


def score_tracks(results: Tracks, truth: Tracks) -> FileScores:
    """HOTA, IDF1 and MOTA.

    Args:
        results: Tracks of each video. One video is that of an only annotated one, whatever they are called.
        truth: Annotated tracks; boxes of confidence 0 do not count.

    Raises:
        InvalidAnnotation: If no box is annotated.
    """
    if len(results) == len(truth) == 1:
        results = dict(zip(truth, results.values(), strict=True))
    counted = {name: _that_count(tracks) for name, tracks in truth.items()}
    annotated = sum(len(track) for tracks in counted.values() for track in tracks)
    if not annotated:
        raise InvalidAnnotation(
            f"No box of the {len(truth)} annotated videos counts: their confidences are 0."
        )
    videos = tuple(Video.of(results.get(name, ()), tracks) for name, tracks in counted.items())
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
        "videos_without_results": len(counted.keys() - results.keys()),
    }  # fmt: skip
    rules = [
        "annotated boxes of confidence 0 do not count",
        "HOTA: mean over localisation thresholds 0.05 to 0.95; MOTA, IDF1: boxes match from an IoU of 0.5 on",
        "results in videos that are not annotated: left out",
    ]
    return FileScores("mot", scores, titles, {}, counts, rules, sorted(results.keys() - counted.keys()))


def _that_count(tracks: Sequence[Track]) -> list[Track]:
    kept = ((each, each.scores != 0) for each in tracks)
    return [
        replace(each, frames=each.frames[rows], boxes=each.boxes[rows], scores=each.scores[rows])
        for each, rows in kept
        if rows.any()
    ]
