"""Extraction over many videos: in parallel, resumable, with failures counted instead of raised."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from kinesphere.annotations.extract.unfinished import fraction_done
from kinesphere.clips.sidecar import Extracts, is_foreign
from kinesphere.core.device import cpu_count
from kinesphere.core.errors import (
    InUse,
    InvalidAnnotation,
    InvalidSetting,
    KinesphereWarning,
    UnusableName,
    UnwritableFile,
    VideoError,
    WrongEntry,
)
from kinesphere.core.files import sweep
from kinesphere.core.parallel import bounded_map
from kinesphere.core.paths import is_there
from kinesphere.core.silence import native_silence
from kinesphere.core.skipped import Skipped

Progress = Callable[[int, int], None]
"""Called with the number of videos done and their total."""


class Extractor(Protocol):
    """Makes files of one modality out of videos. It goes to worker processes, so it pickles."""

    @property
    def suffix(self) -> str:
        """Such as `.flow.npz`."""
        ...

    def differs(self, path: Path) -> str | None:
        """What about the file at `path` is not as this would make it, or None.

        Raises:
            InvalidAnnotation: If the file cannot be read.
        """
        ...

    def extract(self, video: Path, target: Path) -> str | None:
        """Write the file of a video, whole or not at all; a remark for people, or None.

        Raises:
            VideoError: If the video cannot be decoded.
            InvalidAnnotation: If it shows nothing that can be kept.
        """
        ...


@dataclass(frozen=True)
class Extraction:
    """What came of many videos.

    Attributes:
        written: Videos whose file is new.
        kept: Videos whose file was there already.
        failures: Videos that have none now, and why.
        notes: Remarks on videos that have one.
    """

    written: tuple[Path, ...]
    kept: tuple[Path, ...]
    failures: tuple[Skipped, ...]
    notes: tuple[Skipped, ...]

    @property
    def wrong(self) -> int:
        """Videos that have no file, and parts that others lack."""
        return len(self.failures) + sum(note.is_failure for note in self.notes)

    def line(self) -> str:
        """All of it in one line."""
        parts = [f"{len(self.written)} written", f"{len(self.kept)} already there"]
        if self.failures:
            parts.append(f"{len(self.failures)} failed")
        return ", ".join(parts)

    def to_json(self, extracts: Extracts, suffix: str) -> dict[str, Any]:
        """The shape that scripts rely on: files written and kept, failures and notes.

        Args:
            extracts: Where the files lie.
            suffix: Suffix of the files.
        """
        return {
            "written": [str(extracts.path(video, suffix)) for video in self.written],
            "kept": [str(extracts.path(video, suffix)) for video in self.kept],
            "failures": [each.to_json() for each in self.failures],
            "notes": [each.to_json() for each in self.notes],
        }


class Watch:
    """Which files an extraction is at, and how far; another thread may ask."""

    def __init__(self) -> None:
        self._busy: dict[Path, Path] = {}

    def begin(self, video: Path, target: Path) -> None:
        """Told that a video's file is being made."""
        self._busy[video] = target

    def end(self, video: Path) -> None:
        """Told that a video is done."""
        self._busy.pop(video, None)

    def line(self) -> str:
        """The videos at work, with the fraction that is done of those that take long."""
        at_work = []
        for video, target in list(self._busy.items()):
            fraction = fraction_done(target)
            at_work.append(video.name if fraction is None else f"{video.name} {fraction:.0%}")
        return ", ".join(at_work)


@dataclass(frozen=True)
class _Done:
    state: Literal["written", "kept", "failed"]
    remarks: tuple[str, ...] = ()
    wrong: frozenset[str] = frozenset()


def extract(
    videos: Sequence[Path],
    extractor: Extractor,
    *,
    extracts: Extracts = Extracts(),  # noqa: B008 (frozen)
    workers: int | Literal["auto"] = "auto",
    overwrite: bool = False,
    timeout_s: float = 6 * 3600.0,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> Extraction:
    """Make the file of every video that has none yet.

    A file appears under its name when it is complete. An interrupted extraction goes on where it stopped,
    within a file, too, and gives the same as if it had not been interrupted. A file that is there but made
    otherwise, or damaged, counts as a failure unless it may be overwritten.

    Args:
        videos: Files; each is looked at once.
        extractor: What to make.
        extracts: Where the files lie.
        workers: Processes; `"auto"` is one per core.
        overwrite: Make every file anew.
        timeout_s: Longest time for one video.
        progress: Told how far it is.
        watch: Told what is being made.

    Raises:
        UnwritableFile: If the place or the disk refuses; what is done is kept.
        InvalidSetting: If two videos would have one file, or `workers` is not positive.
        MissingExtra: If what extracts is not installed.
    """
    wanted = list(dict.fromkeys(videos))
    count = cpu_count() if workers == "auto" else workers
    if count < 1:
        raise InvalidSetting(f"Extraction needs at least one process; got workers={count}.")
    owners = _owners(wanted, extractor.suffix, extracts)
    for folder in {place.parent for place in owners}:
        sweep(folder)  # what killed processes left
    watch = watch or Watch()

    def handed_out() -> Iterator[Path]:
        for place, video in owners.items():
            watch.begin(video, place)
            yield video

    found: dict[Path, _Done] = {}
    task = partial(_one, extractor=extractor, extracts=extracts, overwrite=overwrite)
    for video, done in bounded_map(
        task, handed_out(), workers=min(count, max(1, len(wanted))), timeout_s=timeout_s
    ):
        watch.end(video)
        found[video] = _Done("failed", (done.reason,)) if isinstance(done, Skipped) else done
        if progress:
            progress(len(found), len(wanted))
    return _extraction([(video, found[video]) for video in wanted])


def _owners(videos: Sequence[Path], suffix: str, extracts: Extracts) -> dict[Path, Path]:
    """The video of each file.

    Raises:
        InvalidSetting: If two videos would have one file.
    """
    owners: dict[Path, Path] = {}
    for video in videos:
        other = owners.setdefault(extracts.place(video, suffix), video)
        if other != video:
            raise InvalidSetting(
                f"{other} and {video} would share one file in {extracts.folder}; extract beside the "
                "videos, or one folder at a time."
            )
    return owners


def _extraction(in_order: Sequence[tuple[Path, _Done]]) -> Extraction:
    def remarks(*states: str) -> tuple[Skipped, ...]:
        return tuple(
            Skipped(str(video), text, is_failure=done.state == "failed" or text in done.wrong)
            for video, done in in_order
            if done.state in states
            for text in done.remarks
        )

    return Extraction(
        tuple(video for video, done in in_order if done.state == "written"),
        tuple(video for video, done in in_order if done.state == "kept"),
        remarks("failed"),
        remarks("written", "kept"),
    )


def _target(video: Path, suffix: str, extracts: Extracts, overwrite: bool) -> Path:
    """The file of a video that is there, or the place of a new one."""
    found = extracts.path(video, suffix)
    if is_there(found) and not is_foreign(found, video):
        return found
    try:
        return extracts.free_place(video, suffix)
    except InvalidAnnotation:
        if overwrite:
            return extracts.place(video, suffix)
        raise


def _one(video: Path, *, extractor: Extractor, extracts: Extracts, overwrite: bool) -> _Done:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", KinesphereWarning)
        try:
            target = _target(video, extractor.suffix, extracts, overwrite)
            if is_there(target) and not overwrite:
                if difference := extractor.differs(target):
                    return _Done("failed", (f"{target} {difference}; overwrite it or extract elsewhere",))
                return _Done("kept")
            with native_silence():
                remark = extractor.extract(video, target)
        except UnusableName as error:  # of this one alone
            return _Done("failed", (str(error),))
        except UnwritableFile:  # the next would fail alike
            raise
        except (VideoError, InvalidAnnotation, InUse, OSError) as error:
            return _Done("failed", (str(error),))
    said = [each.message for each in caught if isinstance(each.message, KinesphereWarning)]
    wrong = frozenset(str(each) for each in said if isinstance(each, WrongEntry))
    return _Done("written", (*map(str, said), *([remark] if remark else ())), wrong)
