"""The videos that files of annotations speak of: where they lie, and when their frames are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kinesphere.annotations.timed import VIDEO_SUFFIXES, video_name
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.limits import brief

if TYPE_CHECKING:
    from kinesphere.video import VideoInfo

_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)", re.ASCII | re.DOTALL)
_FASTEST = 100_000.0
_MOST_FILES = 1_000_000


def names_of(video: str) -> tuple[str, ...]:
    """The names that the file of a video may have: its own, then that before Label Studio took the upload,
    which puts eight hexadecimal digits and a hyphen before it."""
    uploaded = _UPLOADED.fullmatch(video)
    return (video,) if uploaded is None else (video, uploaded[1])


def _videos_in(folder: Path) -> dict[str, list[Path]] | None:
    """The videos of a folder and below by their names; None where it holds too many files."""
    found: dict[str, list[Path]] = {}
    for count, path in enumerate(folder.rglob("*")):
        if count > _MOST_FILES:
            return None
        if path.suffix.lower().removeprefix(".") in VIDEO_SUFFIXES and path.is_file():
            found.setdefault(video_name(path.name), []).append(path)
    return {name: sorted(paths) for name, paths in found.items()}


@dataclass(frozen=True, eq=False)
class FrameClock:
    """When the frames of a video are shown; frames count from 0.

    Attributes:
        fps: Frames per second.
        origin_s: When the first frame is shown, in seconds from the start of the video.
        times_s: `(N + 1,)` when each frame begins and the last ends, where they are not evenly spaced.
        size: `(H, W)` px of a frame, where it is known.
        count: Number of frames, where it is known.

    Raises:
        InvalidAnnotation: If `fps` is no rate.
    """

    fps: float
    origin_s: float = 0.0
    times_s: np.ndarray | None = None
    size: tuple[int, int] | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.fps <= _FASTEST:
            raise InvalidAnnotation(f"a frame rate is a number above 0; got {brief(self.fps)}.")

    def time_s(self, frame: int) -> float:
        """When a frame begins; the number after the last gives when that ends."""
        if self.times_s is not None and frame >= 0:
            behind = max(frame - len(self.times_s) + 1, 0)
            return float(self.times_s[frame - behind]) + behind / self.fps
        return self.origin_s + frame / self.fps

    def frame(self, time_s: float) -> int:
        """The frame that begins nearest to a time; not before the first."""
        if self.times_s is not None:
            after = int(np.searchsorted(self.times_s, time_s).clip(1, len(self.times_s) - 1))
            nearer = time_s - self.times_s[after - 1] <= self.times_s[after] - time_s
            return after - 1 if nearer else after
        return max(round((time_s - self.origin_s) * self.fps), 0)

    def frames(self, start_s: float, end_s: float) -> tuple[int, int]:
        """The first frame of a span and the one after its last; a span has one frame at least."""
        first = self.frame(start_s)
        if self.count is not None:
            first = min(first, max(self.count - 1, 0))
        return first, max(self.frame(end_s), first + 1)


@dataclass(frozen=True, eq=False)
class Recordings:
    """What is known of the videos beside a file of annotations.

    Attributes:
        folder: Where videos lie, below it too; besides, they are looked for beside the annotations.
        fps: Frame rate of all of them, where the user states one.
        files: Where videos lie that are known already, by name.
        near: Folders of the annotations that are read; what lies nowhere else is looked for there and below.
    """

    folder: Path | None = None
    fps: float | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    near: tuple[Path, ...] = ()
    _known: dict[Path, VideoInfo] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def _below(self) -> dict[str, list[Path]]:
        """The videos of the folder by their names."""
        if self.folder is None:
            return {}
        if not self.folder.is_dir():
            raise InvalidSetting(f"{self.folder} is no folder of videos; name the folder that they lie in.")
        found = _videos_in(self.folder)
        if found is None:
            raise InvalidSetting(f"{self.folder} holds more than {_MOST_FILES} files; name a smaller one.")
        return found

    @cached_property
    def _around(self) -> dict[str, Path]:
        """The only video of each name in the folders of the annotations; of very large ones none is read."""
        folders = [_videos_in(folder) or {} for folder in self.near]
        found: dict[str, set[Path]] = {}
        for folder in folders:
            for name, paths in folder.items():
                found.setdefault(name, set()).update(paths)
        return {name: next(iter(paths)) for name, paths in found.items() if len(paths) == 1}

    def path_of(self, video: str, beside: Path) -> Path | None:
        """The file of a video; None where there is none.

        Args:
            video: Its name, with or without a suffix.
            beside: The file of annotations.

        Raises:
            InvalidSetting: If several files of the folder have the name.
        """
        name = video_name(video)
        return next(
            (path for each in names_of(name) if (path := self._of_name(each, beside)) is not None), None
        )

    def _of_name(self, name: str, beside: Path) -> Path | None:
        if name in self.files:
            return self.files[name]
        found = self._below.get(name, [])
        if len(found) > 1:
            raise InvalidSetting(
                f"{brief(name)} may be {found[0]} or {found[1]}; name a folder that holds one of them."
            )
        if found:
            return found[0]
        if not name or "/" in name or "\0" in name:
            return None
        places = (beside.with_name(f"{name}.{suffix}") for suffix in sorted(VIDEO_SUFFIXES))
        return next((each for each in places if each.is_file()), None) or self._around.get(name)

    def media_of(self, video: str, beside: Path) -> str:
        """The video as an annotation tool finds it: its path, or the name where no file is known."""
        path = self.path_of(video, beside)
        return str(path.absolute()) if path is not None else video

    def info(self, video: str, beside: Path) -> VideoInfo | None:
        """Facts of a video; None where it is not there."""
        path = self.path_of(video, beside)
        if path is None:
            return None
        if path not in self._known:
            from kinesphere.video import probe

            self._known[path] = probe(path)
        return self._known[path]

    def duration_s(self, video: str, beside: Path) -> float | None:
        """Length of a video; None where it is not known."""
        info = self.info(video, beside)
        return None if info is None else info.duration_s

    def clock(
        self, video: str, beside: Path, *, stated: float | None = None, even: bool = False
    ) -> FrameClock:
        """When the frames of a video are shown.

        The rate that the user states holds, else that of the file of annotations, else the video is asked.

        Args:
            video: Its name.
            beside: The file of annotations.
            stated: Frame rate that the file of annotations states.
            even: Whether frames are numbered by the time that a player shows, at an even rate from the start
                of the video, instead of in the order in which they are decoded.

        Raises:
            InvalidAnnotation: If nothing says it.
        """
        info = self.info(video, beside)
        fps = self.fps if self.fps is not None else stated
        if info is None:
            if fps is None:
                raise InvalidAnnotation(
                    f"{beside} counts in frames, and nothing says how long a frame of {brief(video)} is "
                    "shown: state the frame rate (convert: --fps), or put the video beside it or name its "
                    "folder (--videos)."
                )
            return FrameClock(fps)
        if even:
            return FrameClock(float(info.fps) if fps is None else fps, size=info.size)
        if fps is not None:
            return FrameClock(fps, info.start_s, size=info.size, count=info.frame_count)
        times_s = self._times_s(video, beside) if info.variable_rate else None
        return FrameClock(float(info.fps), info.start_s, times_s, info.size, info.frame_count)

    def _times_s(self, video: str, beside: Path) -> np.ndarray:
        """When the frames of a video whose frames are not evenly spaced begin, and the last ends."""
        from kinesphere.video import Video

        path = self.path_of(video, beside)
        assert path is not None
        with Video.open(path) as opened:
            begins = opened.frame_times()
            end_s = opened.info.duration_s
        step_s = float(np.diff(begins).mean()) if len(begins) > 1 else 0.0
        return np.append(begins, max(end_s or 0.0, float(begins[-1]) + step_s / 2))
