"""Tracks of anybody's detector: MOTChallenge text or COCO JSON, with identities or without."""

from __future__ import annotations

from pathlib import Path

from kinesphere.annotations.boxes import FoundBox, TrackerName, followed, tracks_by_identity
from kinesphere.annotations.formats.coco_boxes import read_coco_boxes
from kinesphere.annotations.formats.mot import mot_lines, read_mot
from kinesphere.annotations.timed import Track
from kinesphere.core.errors import InvalidAnnotation

_IN_FOLDERS = ("gt/gt.txt", "det/det.txt", "gt.txt", "det.txt")
_NONE = -1


def read_track_file(path: str | Path, fps: float, *, tracker: TrackerName = "bytetrack") -> tuple[Track, ...]:
    """The tracks of one video; boxes without identities are followed by the package `trackers`.

    Args:
        path: MOTChallenge text, empty where nobody was found; a folder with `gt/gt.txt` or `det/det.txt`; or
            COCO JSON.
        fps: Frames per second of the file's frame numbers.
        tracker: Which tracker follows boxes without identities: MOT's identity -1, COCO's without `track_id`.

    Raises:
        InvalidAnnotation: If the file is none of these, or something in it is wrong.
        MissingExtra: If a tracker is needed and not installed.
    """
    path = Path(path)
    if path.is_dir():
        inside = [path / name for name in _IN_FOLDERS if (path / name).is_file()]
        if not inside:
            raise InvalidAnnotation(f"{path} holds no tracks: none of {', '.join(_IN_FOLDERS)}.")
        path = inside[0]
    if path.suffix.lower() == ".json":
        found = read_coco_boxes(path)
        if all(each.identity is None for each in found):
            return followed(found, fps, tracker=tracker)
        return tracks_by_identity(found, str(path))
    if path.is_file() and not path.read_bytes().strip():
        return ()  # a video in which the detector found nobody
    anonymous = [
        FoundBox(frame, box[:4], box[4], label)
        for _, frame, identity, box, label in mot_lines(path)
        if identity == _NONE
    ]
    if not anonymous:
        return read_mot(path)
    others = sum(identity != _NONE for _, _, identity, _, _ in mot_lines(path))
    if others:
        raise InvalidAnnotation(
            f"{path} has {others} boxes with an identity and {len(anonymous)} without (-1); give all of them "
            "one or none, so that a tracker follows them."
        )
    return followed(anonymous, fps, tracker=tracker)
