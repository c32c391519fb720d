"""What pose estimators wrote for videos that are at hand, turned into the videos' pose files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kinesphere.annotations.formats.registry import EstimatorFormat, estimators
from kinesphere.annotations.parsing.frame_numbers import First, Numbering, proven
from kinesphere.clips.modalities.pose.file import SUFFIX, open_poses, write_poses
from kinesphere.clips.modalities.pose.poses import Extent
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, VideoError
from kinesphere.video import Video


@dataclass(frozen=True)
class OutputReader:
    """Makes pose files of what an estimator wrote; an `Extractor` that looks at no image.

    Attributes:
        kind: Name of the estimator's format (see `formats.registry.estimators`).
        outputs: The file or folder of each video (see `match_outputs`).
        first_frame: Number of a video's first frame in them; by default as the outputs tell together (see
            `numbering_of`).
        numbering: Whether their numbers count from 0 or 1, where one of them leaves it open.
    """

    kind: str
    outputs: Mapping[Path, Path]
    first_frame: First | None = None
    numbering: Numbering = field(init=False)

    def __post_init__(self) -> None:
        found = (
            numbering_of(self.kind, self.outputs)
            if self.first_frame is None
            else Numbering(self.first_frame, is_known=True)
        )
        object.__setattr__(self, "numbering", found)

    @property
    def form(self) -> EstimatorFormat:
        """The format of the outputs."""
        return estimators()[self.kind]

    @property
    def suffix(self) -> str:
        """`.pose.npz`."""
        return SUFFIX

    def differs(self, path: Path) -> str | None:
        """What about a pose file is not as this would make it, or None.

        Raises:
            InvalidAnnotation: If the file cannot be read.
        """
        poses = open_poses(path)
        return (
            None if poses.origin == self.form.origin else f"holds poses of {poses.origin or poses.skeleton}"
        )

    def extract(self, video: Path, target: Path) -> str | None:
        """Write the poses of a video; a remark if nobody was seen.

        Raises:
            VideoError: If the video cannot be decoded, which tells the frames' size and times.
            InvalidAnnotation: If there is no output for it, or it is wrong or of another video.
        """
        with Video.open(video, threads=1) as source:
            output = self.outputs.get(video)
            if output is None:
                wanted = self.form.named.format(video.stem)
                raise InvalidAnnotation(f"Nothing is named like it; its keypoints would be in {wanted}.")
            begins, size, fps = source.frame_times(), source.size, float(source.fps)
        poses = self.form.read(output, fps=fps, frame_size=size, frames=len(begins), numbering=self.numbering)
        times = begins[np.rint(poses.times * fps).astype(np.int64)].astype(np.float64)
        poses = poses.taken(times, Extent.of(begins, fps), poses.max_people)
        poses[:1].resized(size)
        write_poses(poses, target, of=video)
        return None if poses.people_seen().any() else "nobody was found in any frame"


def numbering_of(kind: str, outputs: Mapping[Path, Path]) -> Numbering:
    """Whether the outputs of a set count frames from 0 or from 1.

    One that names frame 0 settles it, else one that names as many frames as its video has. Outputs and videos
    that cannot be read are passed over here; reading them says why.
    """
    open_ones: list[tuple[Path, list[int]]] = []
    for video, output in outputs.items():
        try:
            numbers = estimators()[kind].frame_numbers(output)
        except InvalidAnnotation:
            continue
        if numbers and min(numbers) == 0:
            return Numbering(0, is_known=True)
        if numbers:
            open_ones.append((video, numbers))
    for video, numbers in open_ones:
        try:
            with Video.open(video, threads=1) as source:
                first = proven(numbers, len(source.frame_times()))
        except VideoError:
            continue
        if first == 1:
            return Numbering(1, is_known=True)
    return Numbering()


def match_outputs(
    kind: str, source: Path, videos: Sequence[Path], root: Path | None = None
) -> tuple[dict[Path, Path], tuple[Path, ...]]:
    """Which output belongs to which video, by their names.

    The output of `dance/anna.mp4` is `dance/anna` or `dance/anna.mp4` below the source, or, wherever they
    lie, `anna` or `anna.mp4`; with the suffix of the format, such as COCO's `.json`. A single output belongs
    to a single video whatever their names are.

    Args:
        kind: Name of the estimator's format.
        source: Folder of the outputs, or one of them.
        videos: The videos.
        root: Folder that the videos' paths count from.

    Returns:
        The output of each video that has one, and the outputs that belong to none.

    Raises:
        InvalidAnnotation: If the source holds no output.
        InvalidSetting: If an output could be that of several videos.
    """
    form = estimators()[kind]
    outputs = form.find(source)
    if not outputs:
        raise InvalidAnnotation(f"{source} holds no {kind} keypoints: {form.output} for each video.")
    if len(outputs) == len(videos) == 1:
        return {videos[0]: outputs[0]}, ()
    by_path = {_relative(output, source, form.suffixes): output for output in outputs}
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path, output in by_path.items():
        by_name[Path(path).name].append(output)
    found: dict[Path, Path] = {}
    owners: dict[Path, Path] = {}
    for video in videos:
        own = _output_of(video, root, by_path, by_name)
        if own is None:
            continue
        if own in owners:
            raise InvalidSetting(
                f"{own} could belong to {owners[own]} or to {video}; put the outputs into folders like those "
                "of the videos."
            )
        found[video], owners[own] = own, video
    return found, tuple(output for output in outputs if output not in owners)


def _relative(output: Path, source: Path, suffixes: Sequence[str]) -> str:
    """Where an output lies below the source, without the format's suffix, the longest that it has."""
    inside = (output.relative_to(source) if output != source else Path(output.name)).as_posix()
    return inside.removesuffix(max(filter(inside.endswith, suffixes), key=len, default=""))


def _output_of(
    video: Path, root: Path | None, by_path: Mapping[str, Path], by_name: Mapping[str, list[Path]]
) -> Path | None:
    inside = video.relative_to(root) if root is not None and video.is_relative_to(root) else Path(video.name)
    for name in (inside.with_suffix("").as_posix(), inside.as_posix()):
        if name in by_path:
            return by_path[name]
    named = [output for name in (video.stem, video.name) for output in by_name.get(name, [])]
    return named[0] if len(named) == 1 else None
