"""What pose estimators wrote for videos that are at hand, turned into the videos' pose files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from kinesphere.clips.pose_file import SUFFIX, read_poses, write_poses
from kinesphere.clips.poses import Extent, Poses
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.data.skeletons.estimators import COCO_ORIGIN, OPENPOSE_ORIGIN, read_coco, read_openpose
from kinesphere.video import Video

Estimator = Literal["coco", "openpose"]
ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)
# Decoders disagree about the last frames of a video by so many, or by that share.
_FRAMES_OFF, _SHARE_OFF = 2, 0.02


@dataclass(frozen=True)
class OutputReader:
    """Makes pose files of what an estimator wrote; an `Extractor` that looks at no picture.

    Attributes:
        kind: COCO keypoint JSON, one file per video; or OpenPose's JSON, one folder per video.
        outputs: The file or folder of each video (see `match_outputs`).
    """

    kind: Estimator
    outputs: Mapping[Path, Path]

    @property
    def suffix(self) -> str:
        """`.pose.npz`."""
        return SUFFIX

    def differs(self, path: Path) -> str | None:
        """What about a pose file is not as this would make it, or None.

        Raises:
            InvalidAnnotation: If the file cannot be read.
        """
        poses = read_poses(path)
        wanted = COCO_ORIGIN if self.kind == "coco" else OPENPOSE_ORIGIN
        return None if poses.origin == wanted else f"holds poses of {poses.origin or poses.skeleton}"

    def extract(self, video: Path, target: Path) -> str | None:
        """Write the poses of a video; a remark if nobody was seen.

        Raises:
            VideoError: If the video cannot be decoded, which tells the frames' size and times.
            InvalidAnnotation: If there is no output for it, or it is wrong or of another video.
        """
        output = self.outputs.get(video)
        if output is None:
            wanted = f"{video.stem}.json" if self.kind == "coco" else f"a folder {video.stem}"
            raise InvalidAnnotation(f"Nothing is named like it; its keypoints would be in {wanted}.")
        with Video.open(video, threads=1) as source:
            begins, size, fps = source.frame_times(), source.size, float(source.fps)
        if self.kind == "coco":
            poses = read_coco(output, fps=fps, frame_size=size, frames=len(begins))
        else:
            poses = read_openpose(output, fps=fps, frame_size=size)
        poses = _on_clock(poses, begins, f"{output} has keypoints")
        poses.resized(size)
        write_poses(replace(poses, video=Extent.of(begins, fps)), target, of=video)
        return None if poses.present.any() else "nobody was found in any frame"


def match_outputs(
    kind: Estimator, source: Path, videos: Sequence[Path], root: Path | None = None
) -> tuple[dict[Path, Path], tuple[Path, ...]]:
    """Which output belongs to which video, by their names.

    The output of `dance/anna.mp4` is `dance/anna` or `dance/anna.mp4` below the source, or, wherever they
    lie, `anna` or `anna.mp4`; with COCO, ending in `.json`. A single output belongs to a single video
    whatever their names are.

    Args:
        kind: Of estimator.
        source: Folder of the outputs, or one of them.
        videos: The videos.
        root: Folder that the videos' places count from.

    Returns:
        The output of each video that has one, and the outputs that belong to none.

    Raises:
        InvalidAnnotation: If the source holds no output.
        InvalidSetting: If an output could be that of several videos.
    """
    outputs = _outputs(kind, source)
    if not outputs:
        form = "a .json file" if kind == "coco" else "a folder of *_keypoints.json files"
        raise InvalidAnnotation(f"{source} holds no {kind} keypoints: {form} for each video.")
    if len(outputs) == len(videos) == 1:
        return {videos[0]: outputs[0]}, ()
    by_place = {_place(output, source): output for output in outputs}
    by_name: dict[str, list[Path]] = defaultdict(list)
    for place, output in by_place.items():
        by_name[Path(place).name].append(output)
    found: dict[Path, Path] = {}
    owners: dict[Path, Path] = {}
    for video in videos:
        own = _output_of(video, root, by_place, by_name)
        if own is None:
            continue
        if own in owners:
            raise InvalidSetting(
                f"{own} could belong to {owners[own]} or to {video}; put the outputs into folders like those "
                "of the videos."
            )
        found[video], owners[own] = own, video
    return found, tuple(output for output in outputs if output not in owners)


def _outputs(kind: Estimator, source: Path) -> list[Path]:
    if kind == "coco":
        return [source] if source.is_file() else sorted(source.rglob("*.json"))
    return sorted({path.parent for path in source.rglob("*_keypoints.json")})


def _place(output: Path, source: Path) -> str:
    """Where an output lies below the source, without `.json`."""
    inside = output.relative_to(source) if output != source else Path(output.name)
    return inside.as_posix().removesuffix(".json")


def _output_of(
    video: Path, root: Path | None, by_place: Mapping[str, Path], by_name: Mapping[str, list[Path]]
) -> Path | None:
    inside = video.relative_to(root) if root is not None and video.is_relative_to(root) else Path(video.name)
    for name in (inside.with_suffix("").as_posix(), inside.as_posix()):
        if name in by_place:
            return by_place[name]
    named = [output for name in (video.stem, video.name) for output in by_name.get(name, [])]
    return named[0] if len(named) == 1 else None


def _on_clock(poses: Poses, begins: np.ndarray, what: str) -> Poses:
    """The poses at the times of the video's frames.

    Raises:
        InvalidAnnotation: If there are clearly more or fewer than frames.
    """
    count = min(len(poses), len(begins))
    if abs(len(poses) - len(begins)) > max(_FRAMES_OFF, _SHARE_OFF * len(begins)):
        raise InvalidAnnotation(
            f"{what} of {len(poses)} frames, but the video has {len(begins)}; they belong to another video "
            "or frames were left out."
        )
    within = poses.during((float(poses.times[0]), float(poses.times[count - 1]) + 0.5 / (poses.fps or 25.0)))
    return replace(within, times=begins[:count].astype(np.float64))
