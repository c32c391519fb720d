"""Poses from video: people found in every frame, looked for again where they should be, and followed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Protocol

import cv2
import numpy as np

from kinesphere.annotations.extract.mediapipe_pose import (
    MODELS,
    PoseFinder,
    PoseSettings,
    pose_model,
    pose_model_at_hand,
    require_mediapipe,
)
from kinesphere.annotations.extract.registry import EXTRACTORS, Extracting
from kinesphere.annotations.extract.unfinished import Unfinished, made_of, packed, unfinished, unpacked
from kinesphere.annotations.tracking import (
    Detections,
    Tracker,
    assemble,
    keypoint_similarity,
    with_appearance,
)
from kinesphere.clips.boxes import overlap
from kinesphere.clips.modalities.pose.file import SUFFIX, open_poses, write_poses
from kinesphere.clips.modalities.pose.poses import Extent
from kinesphere.clips.modalities.pose.sparse import StoredPoses
from kinesphere.clips.preparation import Preparation
from kinesphere.clips.skeleton import BLAZEPOSE33
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.closing import Closing
from kinesphere.core.errors import InvalidSetting
from kinesphere.video import Frame, Video

_DEFAULT_MODEL = "full"
# A person is found well if a detection is that much like the prediction; else we look where it should be.
_WELL = 0.6
# Two detections are one person if their joints are that similar, by COCO's measure, strictly.
_SAME = 0.4
_SHARED, _CLOTHES = 0.3, 0.92
# A detection where we looked again is taken from this similarity to the person looked for on.
_AGAIN = 0.3
# Room around a person when we look for it, as a fraction of its box, and how long we go on looking.
_SLACK = 0.25
_LOOK_S = 2.0
_GREY = (127, 127, 127)
# So much more than a span is looked at, so that tracks and clips do not begin with its first frame.
_MARGIN_S = 0.5
# Frames that are kept together.
_PART = 64
# A person seen for a shorter time is a mistake, unless the video is short.
_LEAST_S = 0.2


@dataclass(frozen=True)
class PoseExtractor:
    """Finds and follows the people of a video (see `extract_poses`).

    Attributes:
        settings: What finds people.
        fps: Frames looked at per second; None, or as many as the video has or more, for all.
    """

    settings: PoseSettings
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise InvalidSetting(f"Poses are taken at a positive number of frames a second; got {self.fps}.")

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
        model = self.settings.model.stem
        if model not in poses.origin:
            return f"holds poses of {poses.origin or poses.skeleton}, not of {model}"
        if poses.max_people not in (None, self.settings.people):
            return f"holds at most {poses.max_people} people at a time, not {self.settings.people}"
        most = poses.video.fps if poses.video is not None else None
        wanted = min((fps for fps in (self.fps, most) if fps is not None), default=None)
        if wanted is not None and (poses.fps is None or abs(poses.fps - wanted) > 1e-3 * wanted):
            return f"holds {poses.fps or 0:g} poses a second, not {wanted:g}"
        return None

    def extract(self, video: Path, target: Path) -> str | None:
        """Write the poses of a video; a remark if nobody was seen.

        Raises:
            VideoError: If the video cannot be decoded.
            MissingExtra: If MediaPipe is not installed.
        """
        with PoseFinder(self.settings) as finder:
            about = made_of(self, finder.version, files=[self.settings.model, video])
            with unfinished(target, about) as parts:
                poses = extract_poses(video, finder, people=self.settings.people, fps=self.fps, parts=parts)
                write_poses(poses, target, of=video)
        return None if poses.people else "nobody was found in any frame"

    def poses(self, source: str | Path | bytes, span: tuple[float, float] | None = None) -> StoredPoses:
        """The poses of a video, or of a span of it (see `extract_poses`).

        Raises:
            VideoError: If the video cannot be decoded.
            MissingExtra: If MediaPipe is not installed.
        """
        with PoseFinder(self.settings) as finder:
            return extract_poses(source, finder, people=self.settings.people, fps=self.fps, span=span)


class Finder(Protocol):
    """What finds people in images."""

    @property
    def version(self) -> str: ...

    def find(self, image: np.ndarray, box: np.ndarray | None = None) -> Detections: ...


def extract_poses(
    source: str | Path | bytes,
    finder: Finder,
    *,
    people: int = 4,
    fps: float | None = None,
    span: tuple[float, float] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    parts: Unfinished | None = None,
) -> StoredPoses:
    """The people of one video with MediaPipe's 33 landmarks, each under one number all along.

    Every frame is searched as a whole. People whom that loses, as people in contact often are, are
    searched for once more in the part of the image where their track says they are.

    Args:
        source: The video: a path, an address, or the file's bytes.
        finder: What finds people in images.
        people: Most people at a time.
        fps: Take this many frames a second instead of all; all, if the video has no more.
        span: `(start_s, end_s)` to look at, with a little more on either side; None for the whole video.
        progress: Called with the number of frames done and their total, if known.
        parts: What was found before this was stopped is taken from there, and what is found kept there.

    Raises:
        VideoError: If the video cannot be decoded, or the span starts after its end.
    """
    start_s, end_s = (max(0.0, span[0] - _MARGIN_S), span[1] + _MARGIN_S) if span else (0.0, None)
    with Video.open(source) as video:
        size, own_fps = video.size, float(video.fps)
        thinned_fps = fps if fps is not None and fps < own_fps else None
        images = video.stream(start_s, end_s, fps=thinned_fps)
        following = _Following(finder, Tracker(BLAZEPOSE33.joints, max_people=people), parts)
        for count, frame in enumerate(images, start=1):
            following.take(frame, video.duration_s or math.inf)
            if progress:
                progress(count, video.frame_count)
        # The times of all frames of a URL would be read from it once more.
        is_url = isinstance(source, str) and "://" in source
        extent = Extent.of(video.frame_times(), own_fps) if span is None and not is_url else None
    rate = thinned_fps or own_fps
    poses = assemble(
        following.frames,
        following.numbers,
        np.array(following.times),
        skeleton=BLAZEPOSE33.name,
        frame_size=size,
        fps=rate,
        origin=finder.version,
        least_frames=max(1, min(math.ceil(_LEAST_S * rate), len(following.frames) // 4)),
    )
    return poses.taken(poses.times, extent, people)


class _Following:
    """The people of frame after frame; what was found before a stop is taken from `parts`."""

    def __init__(self, finder: Finder, tracker: Tracker, parts: Unfinished | None) -> None:
        self.finder, self.tracker, self.parts = finder, tracker, parts
        self.known = [each for part in parts or () for each in unpacked(part)]
        self.frames: list[Detections] = []
        self.numbers: list[np.ndarray] = []
        self.times: list[float] = []

    def take(self, frame: Frame, duration_s: float) -> None:
        """Find the people of the next frame and follow them."""
        # At a constant rate, a frame that lasts longer than most comes again.
        if self.times and frame.time_s <= self.times[-1]:
            return
        if len(self.frames) < len(self.known):
            # Following them again brings the tracker to where it was.
            found = self.known[len(self.frames)]
        else:
            image = np.ascontiguousarray(frame.data.transpose(1, 2, 0))
            found = found_people(image, self.finder, self.tracker, frame.time_s)
        self.numbers.append(self.tracker.step(found, frame.time_s))
        self.frames.append(found)
        self.times.append(frame.time_s)
        done = len(self.frames)
        if self.parts is not None and done > len(self.known) and done % _PART == 0:
            self.parts.add(packed(self.frames[-_PART:]), min(1.0, frame.time_s / duration_s))


def found_people(image: np.ndarray, finder: Finder, tracker: Tracker, time_s: float) -> Detections:
    """The people of a frame, each once, with what they wear."""
    found = distinct(with_appearance(image, tracker.joints, finder.find(image)))
    for track in tracker.living(time_s):
        if (
            time_s - track.time_s > _LOOK_S
            or tracker.similarity(track, found, time_s).max(initial=0) >= _WELL
        ):
            continue
        _, box = track.predicted(time_s)
        box = _around(box, found.boxes[overlap(box[None], found.boxes)[0] > 0])
        for part in (image, _without(image, found, box)):
            more = with_appearance(image, tracker.joints, finder.find(part, box))
            similarity = tracker.similarity(track, more, time_s)
            if similarity.max(initial=0) >= _AGAIN:
                # Whoever else is found here is not looked for, and often a mixture of two.
                found = distinct(found + more[[int(similarity.argmax())]])
                break
    return found


def _around(box: np.ndarray, near: np.ndarray) -> np.ndarray:
    """The box of a person and of those whom it touches, with room about them."""
    both = np.concatenate([box[None], near])
    box = np.concatenate([both[:, :2].min(0), both[:, 2:].max(0)])
    slack = _SLACK * float((box[2:] - box[:2]).max())
    grown: np.ndarray = box + np.array([-slack, -slack, slack, slack])
    return grown


def _without(image: np.ndarray, found: Detections, box: np.ndarray) -> np.ndarray:
    """The image with the people found near a box painted over, so that those behind them are found."""
    painted = image.copy()
    for person, around in zip(found.keypoints, found.boxes, strict=True):
        if overlap(box[None], around[None])[0, 0] == 0:
            continue
        # As thick as limbs are, about an eighth of a person's height.
        width = max(2, round(float((around[2:] - around[:2]).max()) / 9))
        points = np.round(person.clip(-1e4, 1e4)).astype(int)
        for a, b in BLAZEPOSE33.edges:
            ends = tuple(points[a].tolist()), tuple(points[b].tolist())
            cv2.line(painted, *ends, _GREY, width, cv2.LINE_AA)
    return painted


def distinct(found: Detections) -> Detections:
    """Of detections of one person the surest; the others are dropped."""
    shared = overlap(found.boxes, found.boxes)
    kept: list[int] = []
    for j in np.argsort(-found.scores.mean(-1), kind="stable").tolist():
        if not any(_is_same(found, j, other, shared[j, other]) for other in kept):
            kept.append(j)
    return found[sorted(kept)]


def _is_same(found: Detections, one: int, other: int, shared: float) -> bool:
    if keypoint_similarity(BLAZEPOSE33.joints, found, one, other) >= _SAME:
        return True
    # Nobody stands in the place of somebody else in the same clothes.
    return (
        found.appearance is not None
        and shared > _SHARED
        and found.appearance[one] @ found.appearance[other] > _CLOTHES
    )


def pose_extractor(learnt: Preparation, model: str | None = None) -> PoseExtractor:
    """With the model of MediaPipe that the poses came from which were learnt from, if it is one of them.

    Args:
        learnt: How those were made.
        model: Another model (see `pose_model`).

    Raises:
        MissingExtra: If MediaPipe is not installed.
        MissingWeights: If its model is not here and cannot be downloaded.
    """
    require_mediapipe()
    settings = PoseSettings(pose_model(model or _known_model(learnt) or _DEFAULT_MODEL))
    if learnt.max_people is not None:
        settings = replace(settings, people=learnt.max_people)
    return PoseExtractor(settings, learnt.poses_fps)


def _known_model(learnt: Preparation) -> str | None:
    """The model of MediaPipe that poses came from, if it is one of them."""
    known = (learnt.poses or "").removeprefix("pose_landmarker_")
    return known if known in MODELS else None


def _at_hand(learnt: Preparation) -> str | None:
    return pose_model_at_hand(_known_model(learnt))


def _extractor(
    video: Path | None, spec: ClipSpec | None, learnt: Preparation, model: str | None
) -> PoseExtractor:
    return pose_extractor(learnt, model)


class FollowedPoses:
    """The people of a source that has no end, followed while it goes on; the last seconds are kept.

    Args:
        finder: What finds people in images; closed with this where it can be.
        people: Most people at a time.
        keep_s: Seconds that are kept.
        fps: See `Following.fps`.
    """

    def __init__(self, finder: Finder, people: int, keep_s: float, fps: float | None = None) -> None:
        self.fps = fps
        self._finder, self._people, self._keep_s = finder, people, keep_s
        self._lock = Lock()
        self._size = (0, 0)
        self._tracker = Tracker(BLAZEPOSE33.joints, max_people=people)
        self._seen: deque[tuple[float, Detections, np.ndarray]] = deque()

    def restart(self) -> None:
        """See `Following.restart`; whoever comes then has a number that nobody had."""
        with self._lock:
            self._tracker.tracks = []
            self._seen.clear()

    def take(self, image: np.ndarray, time_s: float) -> None:
        """See `Following.take`."""
        found = found_people(image, self._finder, self._tracker, time_s)
        numbers = self._tracker.step(found, time_s)
        with self._lock:
            self._size = image.shape[0], image.shape[1]
            self._seen.append((time_s, found, numbers))
            while self._seen[0][0] < time_s - self._keep_s:
                self._seen.popleft()

    def content(self, since_s: float) -> StoredPoses | None:
        """See `Following.content`; people keep their numbers, and who is seen only once is left out."""
        with self._lock:
            seen = [each for each in self._seen if each[0] >= since_s]
        if not seen:
            return None
        times = np.array([time_s for time_s, _, _ in seen])
        fps = float(1 / np.median(np.diff(times))) if len(times) > 1 else None
        poses = assemble(
            [found for _, found, _ in seen],
            [numbers for _, _, numbers in seen],
            times,
            skeleton=BLAZEPOSE33.name,
            frame_size=self._size,
            fps=fps,
            origin=self._finder.version,
            least_frames=max(1, min(math.ceil(_LEAST_S * (fps or 1)), len(seen) // 4)),
            renumbered=False,
        )
        return poses.taken(poses.times, None, self._people)

    def close(self) -> None:
        """See `Following.close`."""
        if isinstance(self._finder, Closing):
            self._finder.close()


def _following(extractor: PoseExtractor, keep_s: float) -> FollowedPoses:
    settings = extractor.settings
    return FollowedPoses(PoseFinder(settings), settings.people, keep_s, extractor.fps)


EXTRACTORS.add(
    "pose",
    Extracting(_extractor, lambda extractor, *of: extractor.poses(*of), _at_hand, _following),
)
