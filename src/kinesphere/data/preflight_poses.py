"""What `check` says of poses: which samples have them, who is in them, and whether they fit their videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.clips.modalities.pose.attach import attached
from kinesphere.clips.modalities.pose.file import SUFFIX, open_poses
from kinesphere.clips.modalities.pose.sparse import StoredPoses
from kinesphere.clips.sidecar import Extracts
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.paths import is_there
from kinesphere.data.sample import Sample
from kinesphere.video import Video

# Estimators place joints that they guess somewhat outside, and give them low scores; of 600 clips
# of JHMDB, drawn by hand, none has a joint further outside, and none more than 2.5 % outside at all.
_MARGIN, _FAR_SHARE = 0.05, 0.15
# Nobody is as small as that in a frame of that size.
_CORNER_PX, _LEAST_SIDE = 2.0, 16


@dataclass(frozen=True, eq=False)
class PoseFacts:
    """What one pose file holds, or why it cannot be used.

    Attributes:
        skeleton: Skeleton of its joints.
        times: `(T,)` seconds.
        seen: `(T,)` number of people seen at each.
        holds_s: How long a pose holds (see `Poses.holds_s`).
        error: Why it cannot be used.
        joints: The poses themselves, of frames.
        misplaced: Whether their coordinates cannot be pixels of their frames (see `misplaced`).
    """

    skeleton: str = ""
    times: np.ndarray | None = None
    seen: np.ndarray | None = None
    holds_s: float = 0.0
    error: str | None = None
    joints: StoredPoses | None = None
    misplaced: bool = False

    def during(self, span: tuple[float, float] | None) -> np.ndarray:
        """Number of people seen at each pose of a span; between two poses, at those that hold in it."""
        assert self.times is not None
        assert self.seen is not None
        if span is None:
            return self.seen
        # There may be many spans of a long recording, so none looks at all of its times.
        first, end = np.searchsorted(self.times, span)
        if first >= end:
            first = np.searchsorted(self.times, span[0] - self.holds_s)
            end = np.searchsorted(self.times, span[1] + self.holds_s, side="right")
        return self.seen[first:end]


@dataclass(frozen=True)
class PoseSummary:
    """The poses of a data set.

    Attributes:
        samples: Samples with poses that can be used.
        missing: Samples of videos that have no pose file.
        unusable: Samples whose pose file cannot be read or belongs to another video.
        nobody: Samples in which nobody is ever seen.
        misplaced: Samples whose joints' coordinates cannot be pixels of their frames.
        skeletons: Samples per skeleton, most frequent first.
        people: Samples per largest number of people at a time, ascending.
        seen_share: Mean over the samples of the fraction of poses with somebody in them; None without any.
    """

    samples: int
    missing: tuple[str, ...]
    unusable: tuple[str, ...]
    nobody: tuple[str, ...]
    skeletons: dict[str, int]
    people: dict[str, int]
    seen_share: float | None
    misplaced: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return vars(self) | {
            name: list(getattr(self, name)) for name in ("missing", "unusable", "nobody", "misplaced")
        }


def facts_of(poses: StoredPoses) -> PoseFacts:
    """What is counted of poses."""
    return PoseFacts(
        poses.skeleton, poses.times, poses.people_seen(), poses.holds_s, misplaced=misplaced(poses)
    )


def misplaced(poses: StoredPoses) -> bool:
    """Whether coordinates of joints cannot be pixels of the frames that they claim.

    Either 15 % of the joints, weighted by their scores, lie outside by 5 % of a side (height and width
    are exchanged, or the frames were resized since), or all lie in the first two pixels (they are fractions).
    """
    found = poses.detections()
    if poses.frame_size is None or not found.scores.any():
        return False
    side = np.array(poses.frame_size[::-1], np.float32)
    outside = ((found.keypoints < -_MARGIN * side) | (found.keypoints > (1 + _MARGIN) * side)).any(-1)
    far = float((found.scores * outside).sum() / found.scores.sum())
    return far > _FAR_SHARE or bool(
        side.min() > _LEAST_SIDE and np.abs(found.keypoints[found.scores > 0]).max() <= _CORNER_PX
    )


def pose_file_of(sample: Sample, extracts: Extracts) -> Path | PoseFacts | None:
    """The pose file of a sample, why there is none that can be used, or None if there is none at all."""
    if (own := sample.sidecar("pose")) is not None:
        return own if is_there(own) else None
    try:
        return extracts.find(sample.path, SUFFIX)
    except InvalidAnnotation as error:
        return PoseFacts(error=str(error))


def inspect_poses(path: Path | PoseFacts, video: Video) -> PoseFacts:
    """Read the pose file of a video and hold it against that."""
    if isinstance(path, PoseFacts):
        return path
    try:
        poses = attached(open_poses(path), video)
        poses[:1].resized(video.size)
    except InvalidAnnotation as error:
        return PoseFacts(error=str(error))
    return replace(facts_of(poses), joints=poses)


def summarise(samples: Iterable[tuple[Sample, PoseFacts | None]]) -> PoseSummary:
    """Count over the readable samples; None stands for a video without a pose file."""
    missing, unusable, nobody, wrong = [], [], [], []
    skeletons: Counter[str] = Counter()
    people: Counter[int] = Counter()
    fractions: list[float] = []
    for sample, facts in samples:
        if facts is None:
            missing.append(sample.id)
            continue
        if facts.error is not None:
            unusable.append(sample.id)
            continue
        seen = facts.during(sample.span)
        skeletons[facts.skeleton] += 1
        people[int(seen.max(initial=0))] += 1
        fractions.append(float((seen > 0).mean()) if len(seen) else 0.0)
        if not seen.any():
            nobody.append(sample.id)
        if facts.misplaced:
            wrong.append(sample.id)
    return PoseSummary(
        samples=len(fractions),
        missing=tuple(missing),
        unusable=tuple(unusable),
        nobody=tuple(nobody),
        misplaced=tuple(wrong),
        skeletons=dict(skeletons.most_common()),
        people={str(count): people[count] for count in sorted(people)},
        seen_share=float(np.mean(fractions)) if fractions else None,
    )
