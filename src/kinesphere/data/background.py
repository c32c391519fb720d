"""Videos whose background, or people, are changed on the way to whoever reads clips of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kinesphere.clips.augment.background import GREY, Background, change_background, check_background
from kinesphere.clips.clip import Clip, from_frames
from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities.mask.reader import known_masks, scaled
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.sidecar import Extracts
from kinesphere.clips.source import WrappedSource, displayed_rows
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, OtherBackground, VideoError
from kinesphere.core.skipped import Skipped
from kinesphere.data.sample import Sample
from kinesphere.video import Frames


@dataclass(frozen=True)
class Backdrop:
    """What becomes of the background of the samples of a data set, or of their people.

    Attributes:
        change: What to do.
        fill: RGB colour in the place of grey.
        lenders: For each sample the one that lends its background for `replace`; None takes any other video
            of the data, drawn at random.
    """

    change: Background = "keep"
    fill: tuple[int, int, int] = (GREY, GREY, GREY)
    lenders: tuple[Sample, ...] | None = None

    def __post_init__(self) -> None:
        check_background(self.change)


def with_background(
    video: WrappedSource,
    change: Background,
    other: Lenders | None = None,
    fill: tuple[int, int, int] = (GREY, GREY, GREY),
) -> WrappedSource:
    """A video with another background. Whatever is computed from its frames, flow too, sees that.

    What is still (`freeze`, `median`) is so over the frames that are asked for at once: all clips and crops
    of a sample.

    Args:
        video: The video; closed together with the answer, and at once where it has no masks.
        change: What to do.
        other: Where the background for `replace` comes from.
        fill: RGB colour in the place of grey.

    Raises:
        InvalidAnnotation: If the video has no masks.
        InvalidSetting: If `replace` has no other video.
    """

    def read(times_s: np.ndarray, size: Size | None = None) -> Frames:
        clip, masks = masked_clip(video, times_s, size or video.size)
        lent = None if other is None else other.behind(masks)
        changed = change_background(clip, masks, change, lent, fill=fill)
        return Frames(changed.frames().transpose(0, 3, 1, 2), changed.times)

    try:
        if change == "replace" and other is None:
            raise InvalidSetting("A background is replaced by another video's; there is none.")
        known_masks(video)
    except BaseException:
        video.close()
        raise
    # What the frames, which are others now, tell as well is made of them.
    known = {
        name: content
        for name, content in video.known.items()
        if (sidecar := MODALITIES.get(name).sidecar) is not None and sidecar.needed
    }
    closing = video.closing if other is None else (*video.closing, other.close)
    return replace(video, read=read, known=known, closing=closing)


class Lenders:
    """The other videos of a data set, of which one lends its background: the first that can be read.

    Args:
        paths: The other videos, in the order in which they are asked.
        opener: Opens one of them together with its masks.
        span: The part of them that lends; None for all.
    """

    def __init__(
        self,
        paths: Iterable[Path],
        opener: Callable[[Path], WrappedSource],
        span: tuple[float, float] | None = None,
    ) -> None:
        self._paths = iter(paths)
        self._opener = opener
        self._span = span
        self._source: WrappedSource | None = None
        self._path: Path | None = None
        self._areas: list[float] = []

    @property
    def lent(self) -> tuple[Path, float] | None:
        """Which video has lent its background, and the fraction of the pixels that people take before it.

        None as long as nothing was asked for.
        """
        return (self._path, float(np.mean(self._areas))) if self._path and self._areas else None

    def behind(self, masks: Clip) -> Clip:
        """What stands in the place of the background of a clip with these masks.

        Raises:
            See `background_of`.
        """
        lent = self.background_of(masks.times, masks.frame_size)
        self._areas.append(float(masks.data.float().mean()) / 255)
        return lent

    def background_of(self, times_s: np.ndarray, size: Size) -> Clip:
        """What is around the people of one of the videos, at some timestamps of another one.

        Raises:
            InvalidAnnotation: If none of them can be read.

        Warns:
            OtherBackground: If some of them cannot be read, and another one stepped in.
        """
        problems: list[str] = []
        while (path := self._path or next(self._paths, None)) is not None:
            self._path = path
            try:
                if self._source is None:
                    self._source = self._opener(path)
                lent = background_of(self._source, times_s, size, self._span)
            except (VideoError, InvalidAnnotation) as error:
                problems.append(f"{path}: {error}")
                self._path = None
                self.close()
                continue
            if problems:
                warnings.warn(
                    OtherBackground(
                        f"{len(problems)} videos could not lend their background, so {path} did. "
                        f"The first: {problems[0]}"
                    ),
                    stacklevel=2,
                )
            return lent
        raise InvalidAnnotation(
            f"No other video of the data can lend its background; {len(problems)} were asked. "
            f"The first: {problems[0] if problems else 'none is left'}"
        )

    def close(self) -> None:
        """Close the video that is open."""
        if self._source is not None:
            self._source.close()
            self._source = None


def masked_clip(video: WrappedSource, times_s: np.ndarray, size: Size) -> tuple[Clip, Clip]:
    """Frames at some timestamps, and their masks."""
    times = np.asarray(times_s, np.float64)
    frames = video.frames_at(times, size=size)
    people = people_at(video, times, size)
    images = np.ascontiguousarray(np.asarray(frames.data).transpose(0, 2, 3, 1))
    return (
        Clip(from_frames(images), frames.times, size),
        Clip(from_frames(people[..., None]), frames.times, size, "mask"),
    )


def people_at(video: WrappedSource, times_s: np.ndarray, size: Size) -> np.ndarray:
    """Masks uint8 `(N, H, W)` of the people in the frames at some timestamps, 255 where somebody is.

    Raises:
        InvalidAnnotation: If the video has no masks.
    """
    rows = displayed_rows(video, np.asarray(times_s, np.float64))
    distinct, place = np.unique(rows, return_inverse=True)
    people: np.ndarray = scaled(known_masks(video).masks(distinct), size)[place]
    return people


def background_of(
    video: WrappedSource, times_s: np.ndarray, size: Size, span: tuple[float, float] | None = None
) -> Clip:
    """What is around the people of a video, or of a span of it, at some timestamps of another one.

    It starts again at its end.
    """
    height, width = video.size
    scale = max(size[0] / height, size[1] / width)
    whole = (max(size[0], round(height * scale)), max(size[1], round(width * scale)))
    begins = video.frame_times()
    first_s, last_s = float(begins[0]), float(begins[-1])
    if span is not None:
        first_s, last_s = max(first_s, span[0]), min(last_s, span[1])
    length_s = last_s - first_s
    own_times = first_s + (np.asarray(times_s) % length_s if length_s > 0 else np.zeros(len(times_s)))
    clip, masks = masked_clip(video, own_times, whole)
    clip = change_background(clip, masks, "no_people")
    top, left = ((side - wanted) // 2 for side, wanted in zip(whole, size, strict=True))
    return clip.with_data(clip.data[:, :, top : top + size[0], left : left + size[1]], size)


def lacking_masks(samples: Iterable[Sample], extracts: Extracts) -> list[Skipped]:
    """Which samples have no masks, by their place, and why not.

    Args:
        samples: Whose background shall be changed.
        extracts: Where sidecar files lie.
    """
    sidecar = MODALITIES.get("mask").sidecar
    assert sidecar is not None
    lacking = []
    for i, sample in enumerate(samples):
        reason = "it has no masks; run `kinesphere extract mask` on it"
        try:
            has = sample.sidecar("mask") or extracts.find(sample.path, sidecar.suffix)
        except InvalidAnnotation as error:
            has, reason = None, str(error)
        if has is None:
            lacking.append(Skipped(str(sample.path), reason, index=i))
    return lacking


class DifferentVideos:
    """The videos of a data set, each once, in their order.

    Args:
        paths: The video of each sample.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = tuple(dict.fromkeys(paths))
        self._place = {path: i for i, path in enumerate(self._paths)}

    def others(self, own: Path, number: int) -> Iterator[Path]:
        """All but one of the videos, in an order that begins anywhere, by any whole number.

        Raises:
            InvalidSetting: If there is no other.
        """
        place = self._place.get(own, len(self._paths))
        count = len(self._paths) - (place < len(self._paths))
        if not count:
            raise InvalidSetting(
                "A background is replaced by another video's, but the data hold only one video."
            )
        first = number % count
        rest = (i % count for i in range(first, first + count))
        return (self._paths[i + (i >= place)] for i in rest)
