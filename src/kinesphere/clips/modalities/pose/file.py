"""Pose files: the `Poses` of one video as one compact file that nothing has to be executed to read.

A `.pose.npz` is a zip of NumPy arrays. Pixels are kept to 1/32, metres to 1/4096 (a quarter of a
millimetre) and scores to 1/1024, which are exact in binary: a file that is read and written again does
not change. What was not known when a file was written is not in it: the video's extent, and how many
people were looked for. Of a long video in which people come and go, a file holds the detections (version 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock

import numpy as np
from cachetools import LRUCache, cached

from kinesphere.clips.modalities.pose.poses import Extent, Poses
from kinesphere.clips.modalities.pose.sparse import SparsePoses, StoredPoses
from kinesphere.clips.npz import BROKEN
from kinesphere.clips.sidecar import damaged, named_video, plain_text, read_archive
from kinesphere.clips.skeleton import SKELETONS
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.files import replacing
from kinesphere.core.paths import is_file

SUFFIX = ".pose.npz"
VERSION = 2
_FORMAT = "kinesphere poses"
_PX, _M, _SCORE = 32, 4096, 1024
# Of poses that each process keeps in memory; ten minutes of one person are about 4 MB.
_KEPT_BYTES = 128 * 2**20


def write_poses(poses: StoredPoses, path: Path, *, of: Path | None = None) -> None:
    """Write one pose file; atomic.

    Args:
        poses: What to write.
        path: Where to; ends in `.pose.npz`.
        of: The video that they were taken from: the file is then taken for no other one.

    Raises:
        InvalidAnnotation: If the name does not end in `.pose.npz`.
    """
    if not path.name.endswith(SUFFIX):
        raise InvalidAnnotation(f"Pose files end in {SUFFIX}; got {path.name!r}.")
    per_unit = _M if poses.frame_size is None else _PX
    found = poses.detections()
    joints = (slice(None), 0) if isinstance(poses, SparsePoses) else (slice(None),)
    shown, placed = found.scores[joints], found.keypoints[joints]
    seen = (shown > 0)[..., None]
    # A score that rounds to 0 would lose its joint.
    scores = np.where(seen[..., 0], np.maximum(np.round(shown * _SCORE), 1) / _SCORE, 0)
    content = {
        "format": np.array(_FORMAT),
        # Whoever reads the first version looks for all people at all times.
        "version": np.array(VERSION if isinstance(poses, SparsePoses) else 1),
        "clock": np.array(poses.clock),
        "skeleton": np.array(poses.skeleton),
        "origin": np.array(poses.origin),
        "fps": np.array(poses.fps or 0.0),
        "frame_size": np.array(poses.frame_size or (0, 0), np.int32),
        "times": poses.times.astype(np.float64),
        "tracks": poses.tracks.astype(np.int64),
        "scores": scores.astype(np.float16),
        "keypoints": _rounded(np.where(seen, placed, 0), per_unit),
        "boxes": _rounded(found.boxes[joints], per_unit),
    }
    if isinstance(poses, SparsePoses):
        content |= {"frames": poses.frames, "who": poses.who}
    if found.world is not None:
        content["world"] = _rounded(np.where(seen, found.world[joints], 0), _M)
    if poses.video is not None:
        content["video_frames"] = np.array(poses.video.frames)
        content["video_last_s"] = np.array(poses.video.last_s)
        content["video_fps"] = np.array(poses.video.fps)
    if poses.max_people is not None:
        content["most_people"] = np.array(poses.max_people)
    content |= named_video(of)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **content)


def read_poses(path: Path) -> Poses:
    """All of one pose file (see `open_poses`), in as much memory as all people at all times take."""
    poses = open_poses(path)
    return poses.dense() if isinstance(poses, SparsePoses) else poses


def open_poses(path: Path) -> StoredPoses:
    """Read one pose file, or take it from memory if it did not change; its arrays cannot be written to.

    Raises:
        InvalidAnnotation: If the file is missing, empty, damaged, of a newer version, or contradicts
            itself; the message names it.
    """
    return _recent(path) if is_file(path) else _unpacked(path)


def _arrays(poses: StoredPoses) -> list[np.ndarray]:
    found = poses.detections()
    arrays = [found.times, found.keypoints, found.scores, found.tracks, found.boxes]
    if isinstance(poses, SparsePoses):
        arrays += [poses.times, poses.frames, poses.who, poses.tracks]
    return arrays if found.world is None else [*arrays, found.world]


def _bytes(poses: StoredPoses) -> int:
    return sum(array.nbytes for array in _arrays(poses))


def _state(path: Path) -> tuple[Path, int, int]:
    """A file as it is now; another version of it has another state."""
    about = path.stat()
    return path.absolute(), about.st_mtime_ns, about.st_size


# Training comes back to its files in every epoch; unpacking a small one takes longer than all that follows.
@cached(LRUCache(_KEPT_BYTES, getsizeof=_bytes), key=_state, lock=Lock())
def _recent(path: Path) -> StoredPoses:
    poses = _unpacked(path)
    for array in _arrays(poses):
        array.flags.writeable = False
    return poses


def _unpacked(path: Path) -> StoredPoses:
    content = read_archive(path, "pose", VERSION, _FORMAT)
    try:
        # Numbers that their type here cannot hold are refused, not wrapped around.
        with np.errstate(invalid="raise", over="raise"):
            skeleton = plain_text(content["skeleton"])
            if skeleton not in SKELETONS:
                raise InvalidAnnotation(f"{path} has joints of an unknown skeleton {skeleton!r}.")
            if int(content["version"]) == 1:
                return _poses(content, skeleton)
            parts = [name for name in ("keypoints", "scores", "boxes", "world") if name in content]
            one: dict[str, np.ndarray] = {name: content[name][:, None] for name in parts}
            one |= {"times": np.arange(len(content["frames"])), "tracks": np.ones(1)}
            each = _poses({**content, **one}, skeleton)
            times, tracks = content["times"].astype(np.float64), content["tracks"].astype(np.int64)
            frames, who = content["frames"].astype(np.int64), content["who"].astype(np.int64)
            return SparsePoses(times, frames, who, tracks, each)
    except InvalidAnnotation as error:
        raise error if str(path) in str(error) else InvalidAnnotation(f"{path}: {error}") from error
    except BROKEN as error:
        raise damaged(path, "pose", error) from error


def _poses(content: Mapping[str, np.ndarray], skeleton: str) -> Poses:
    height, width = (int(side) for side in content["frame_size"])
    return Poses(
        times=content["times"].astype(np.float64),
        keypoints=content["keypoints"].astype(np.float32),
        scores=content["scores"].astype(np.float32),
        tracks=content["tracks"].astype(np.int64),
        skeleton=skeleton,
        frame_size=(height, width) if height else None,
        boxes=content["boxes"].astype(np.float32),
        world=content["world"].astype(np.float32) if "world" in content else None,
        fps=float(content["fps"]) or None,
        origin=plain_text(content["origin"]),
        video=_extent(content),
        clock=int(content.get("clock", 1)),
        max_people=int(content["most_people"]) if "most_people" in content else None,
    )


def _extent(content: Mapping[str, np.ndarray]) -> Extent | None:
    if "video_frames" not in content:
        return None
    return Extent(int(content["video_frames"]), float(content["video_last_s"]), float(content["video_fps"]))


def _rounded(points: np.ndarray, per_unit: int) -> np.ndarray:
    rounded: np.ndarray = (np.round(points.astype(np.float64) * per_unit) / per_unit).astype(np.float32)
    return rounded
