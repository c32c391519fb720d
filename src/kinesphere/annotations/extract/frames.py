"""Frames of videos as numbered images: so many of each, or at a rate; what is there already is kept."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from kinesphere.core.content import content_key
from kinesphere.core.errors import InvalidSetting, KinesphereError, UnreadableVideo, UnwritableFile
from kinesphere.core.files import Scratch, make_folder, sweep, unwritable, write_text
from kinesphere.core.skipped import Skipped
from kinesphere.video import Video
from kinesphere.video.images import RATE_FILES

ImageFormat = Literal["jpg", "png"]
ABOUT = RATE_FILES[0]
"""File in a folder of images that states their rate and how they were made; its folder is finished."""
_AT_ONCE, _TRIES = 16, 20


@dataclass(frozen=True)
class FrameSettings:
    """Which frames become images.

    Attributes:
        count: So many of each video, from the middles of as many equal parts; None where `rate` is given.
        rate: So many a second from the start; None where `count` is given.
        kind: Format of the images.
        short_side: Short side in pixels, where frames are larger; None keeps their size.
        quality: Quality of JPEG, 1 to 100.

    Raises:
        InvalidSetting: If not one of count and rate is given, or a value is out of range.
    """

    count: int | None = None
    rate: float | None = None
    kind: ImageFormat = "jpg"
    short_side: int | None = None
    quality: int = 95

    def __post_init__(self) -> None:
        if (self.count is None) == (self.rate is None):
            raise InvalidSetting("Frames are so many of each video, or so many a second: give count or rate.")
        if (self.count is not None and self.count < 1) or (
            self.rate is not None and not 0 < self.rate <= 1000
        ):
            raise InvalidSetting(
                f"A count is at least 1, a rate above 0 and at most 1000; got {self.count}, {self.rate}."
            )
        if not 1 <= self.quality <= 100 or (self.short_side is not None and self.short_side < 1):
            raise InvalidSetting(
                f"JPEG's quality is 1 to 100, a short side at least 1; got {self.quality}, {self.short_side}."
            )

    def times(self, start_s: float, end_s: float) -> tuple[np.ndarray, float]:
        """`(N,)` seconds of the frames of a video, and how many there are a second."""
        length = end_s - start_s
        if self.count is not None:
            return start_s + (np.arange(self.count) + 0.5) * length / self.count, self.count / length
        assert self.rate is not None
        number = max(1, int(np.ceil(length * self.rate - 1e-6)))
        return start_s + np.arange(number) / self.rate, self.rate


@dataclass(frozen=True)
class ExtractedFrames:
    """What extracting frames gave.

    Attributes:
        made: Folders that were written.
        kept: Folders that were there, made with the same settings of the same video.
        images: Number of images in all of them.
        failures: Videos without a folder, and why.
        notes: Videos that are damaged.
    """

    made: tuple[Path, ...]
    kept: tuple[Path, ...]
    images: int
    failures: tuple[Skipped, ...]
    notes: tuple[Skipped, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "made": [str(path) for path in self.made],
            "kept": [str(path) for path in self.kept],
            "images": self.images,
            "failures": [each.to_json() for each in self.failures],
            "notes": [each.to_json() for each in self.notes],
        }


def extract_frames(
    videos: Sequence[Path],
    out: Path,
    settings: FrameSettings,
    *,
    root: Path | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ExtractedFrames:
    """Write frames of videos as folders of numbered images, `OUT/<video>/img_00001.jpg`.

    A folder appears when it is whole, so that a run that was stopped goes on from there, and several may run
    at once. `frames.json` in it states the rate, by which it is read as a video. A folder that is there
    without this file, and holds something, is left as it is.

    Args:
        videos: Files.
        out: Folder of the folders.
        settings: Which frames.
        root: Folder that the places of videos count from; without it, folders have the videos' names alone.
        overwrite: Make folders anew that are there already.
        progress: Called with the number of videos done, and of all.

    Raises:
        InvalidSetting: If two videos would have one folder.
        UnwritableFile: If the place takes no files.
    """
    targets = {video: _target(video, out, root) for video in videos}
    if len(set(targets.values())) < len(targets):
        raise InvalidSetting(
            "Two videos have one name without suffix, and would share a folder; rename one, or extract "
            "them apart."
        )
    made, kept, failures, notes = [], [], [], []
    images = 0
    for done, (video, target) in enumerate(targets.items()):
        progress(done, len(targets))
        try:
            about = _about(video, settings)
            if not overwrite and (known := _finished(target)) is not None:
                if known.get("made") != about:
                    raise InvalidSetting(
                        f"{target} was made with other settings, or of another video; remove it, or "
                        "--overwrite."
                    )
                kept.append(target)
                images += _count(known)
                continue
            count, damage = _write(video, target, settings, about)
        except UnwritableFile:
            raise
        except KinesphereError as error:
            failures.append(Skipped(str(video), str(error)))
            continue
        made.append(target)
        images += count
        notes += [Skipped(str(video), text, is_failure=False) for text in damage]
    progress(len(targets), len(targets))
    return ExtractedFrames(tuple(made), tuple(kept), images, tuple(failures), tuple(notes))


def _target(video: Path, out: Path, root: Path | None) -> Path:
    inside = root is not None and video.is_relative_to(root)
    return out / (video.relative_to(root) if inside and root is not None else Path(video.name)).with_suffix(
        ""
    )


def _about(video: Path, settings: FrameSettings) -> dict[str, Any]:
    """What a folder of images depends on."""
    if not video.is_file():
        raise UnreadableVideo(f"{video} is no file; check the path.")
    return {**asdict(settings), "video": video.name, "content": content_key(video)}


def _finished(target: Path) -> dict[str, Any] | None:
    """What a finished folder states; None where there is none."""
    try:
        known = json.loads((target / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) else None


def _count(known: dict[str, Any]) -> int:
    """How many images a finished folder states."""
    number = known.get("images")
    return number if isinstance(number, int) else 0


def _check_foreign(target: Path) -> None:
    """Refuse to put a folder in the place of one that was not made here.

    Raises:
        InvalidSetting: If it holds something, and does not say that it was made here.
    """
    if target.is_dir() and not (target / ABOUT).is_file() and any(target.iterdir()):
        raise InvalidSetting(
            f"{target} holds files and no {ABOUT}, so it was not made by this command; name another --out, "
            "or move it away."
        )


def _write(
    video: Path, target: Path, settings: FrameSettings, about: dict[str, Any]
) -> tuple[int, list[str]]:
    """Write the images of a video, and put their folder in its place; their number, and what is damaged.

    Raises:
        InvalidSetting: If a folder of something else is there.
        UnwritableFile: If the place takes no files.
    """
    _check_foreign(target)
    make_folder(target.parent)
    sweep(target.parent)
    scratch = Scratch(target)
    unfinished = scratch.path
    try:
        make_folder(unfinished)
        with Video.open(video) as source:
            if source.duration_s is None:
                raise UnreadableVideo(f"{video} has no known length; write it anew.")
            times_s, fps = settings.times(source.start_s, source.duration_s)
            size = _size(source.size, settings.short_side)
            for first in range(0, len(times_s), _AT_ONCE):
                for number, frame in enumerate(
                    source.frames_at(times_s[first : first + _AT_ONCE], size), first + 1
                ):
                    _encode(frame.data, unfinished / f"img_{number:05d}.{settings.kind}", settings.quality)
            damage = source.damage
        facts = {"fps": fps, "images": len(times_s), "made": about}
        write_text(unfinished / ABOUT, json.dumps(facts, indent=1))
        _check_foreign(target)
        _put(unfinished, target)
    except OSError as error:
        if isinstance(error, KinesphereError):
            raise
        raise unwritable(target, error) from error
    finally:
        scratch.discard()
    return len(times_s), damage


def _put(made: Path, target: Path) -> None:
    """Put a folder in its place; what is there moves beside it, and goes with the scratch folder."""
    for number in range(_TRIES):
        with suppress(FileNotFoundError):
            target.rename(made.with_name(f"{made.name}.{number}"))
        try:
            made.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or number == _TRIES - 1:
                raise
        else:  # nobody has put another one there meanwhile
            return


def _size(size: tuple[int, int], short_side: int | None) -> tuple[int, int]:
    if short_side is None or min(size) <= short_side:
        return size
    scale = short_side / min(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _encode(rgb: np.ndarray, path: Path, quality: int) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
    _, encoded = cv2.imencode(path.suffix, np.ascontiguousarray(rgb.transpose(1, 2, 0)[..., ::-1]), options)
    path.write_bytes(encoded.tobytes())
