"""What is done of a file in the making is kept until all of it is: a stopped extraction goes on there."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from kinesphere.annotations.tracking import Detections
from kinesphere.clips.npz import BrokenArchive, read_arrays
from kinesphere.clips.sidecar import CLOCK
from kinesphere.core.content import content_key
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, KinesphereError, UnwritableFile
from kinesphere.core.files import claiming, replacing, unwritable, write_text
from kinesphere.core.structured import read_json

# Work that a kill may cost, in seconds; what takes less altogether is never written in parts.
_EVERY_S = 10.0
_ABOUT, _REACHED, _STATE = "about.txt", "reached.json", "state.npz"
_PARTS = "parts"

Arrays = Mapping[str, np.ndarray]


class Unfinished:
    """The parts of one file that are done, in order.

    Args:
        folder: Where they are kept.
        about: What they are parts of; parts of something else are thrown away.
    """

    def __init__(self, folder: Path, about: str) -> None:
        self._folder = folder
        self._about = about
        self._new: list[Arrays] = []
        self._state: Callable[[], Arrays] | None = None
        self._stored = self._sound()
        self._due_s = time.monotonic() + _EVERY_S

    def __len__(self) -> int:
        return self._stored + len(self._new)

    def __iter__(self) -> Iterator[Arrays]:
        """All parts, from the first."""
        for number in range(self._stored):
            yield read_arrays(self._path(number))
        yield from self._new

    @property
    def state(self) -> Arrays | None:
        """What is needed to go on after the parts that were found stored; None where that was not given."""
        path = self._folder / _STATE
        return read_arrays(path) if self._stored and path.is_file() else None

    def add(self, part: Arrays, fraction: float, state: Callable[[], Arrays] | None = None) -> None:
        """Take the next part.

        Args:
            part: Plain arrays.
            fraction: How much of the whole is done with it, in [0, 1].
            state: Gives what is needed to go on after it, beside the parts; it is stored with the last.

        Raises:
            UnwritableFile: If it is time to store parts and the disk refuses.
        """
        self._new.append(part)
        self._state = state
        if time.monotonic() >= self._due_s:
            self._store(fraction)
            self._due_s = time.monotonic() + _EVERY_S

    def _store(self, fraction: float) -> None:
        write_text(self._folder / _ABOUT, self._about)
        for part in self._new:
            _save(self._path(self._stored), part)
            self._stored += 1
        self._new = []
        if self._state is not None:
            _save(self._folder / _STATE, {**self._state(), _PARTS: np.array(self._stored)})
        write_text(self._folder / _REACHED, json.dumps(fraction))

    def _sound(self) -> int:
        """How many parts lie there that can be read; what follows a damaged one is of no use."""
        try:
            is_ours = (self._folder / _ABOUT).read_text(encoding="utf-8") == self._about
        except (OSError, ValueError):
            is_ours = False
        if not is_ours:
            shutil.rmtree(self._folder, ignore_errors=True)
            return 0
        number = 0
        while self._path(number).is_file():
            try:
                read_arrays(self._path(number))
            except (InvalidAnnotation, BrokenArchive):
                break
            number += 1
        return self._followed_by_state(number)

    def _followed_by_state(self, number: int) -> int:
        """How many of some sound parts can be gone on after, where a state belongs to them."""
        path = self._folder / _STATE
        if not path.is_file():
            return number
        try:
            reached = int(read_arrays(path)[_PARTS])
        except (InvalidAnnotation, BrokenArchive, KeyError):
            reached = number + 1
        if reached > number:  # without its parts a state is of no use, nor are parts without theirs
            path.unlink()
            return 0
        return reached

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.npz"


def _save(path: Path, arrays: Arrays) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


@contextmanager
def unfinished(target: Path, about: str) -> Iterator[Unfinished]:
    """The parts of a file that are done, for the one process that makes it.

    They go when the block ends without an error, or with one that another try would give again, and stay
    where the process is stopped or the disk is full.

    Args:
        target: The file that they will be.
        about: What decides on its content: the video, what is made of it and by what.

    Raises:
        InUse: If another process is making it.
        UnwritableFile: If nothing can be written there.
    """
    folder = parts_folder(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(target, error) from error
    with claiming(target.with_name(f".{target.name}.lock"), str(target)):
        try:
            yield Unfinished(folder, about)
        except KinesphereError as error:
            if not isinstance(error, UnwritableFile):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def made_of(*what: object, files: Sequence[Path]) -> str:
    """What decides on what a file will hold, for `unfinished`: settings, versions, files by their content."""
    return "; ".join([*map(str, what), *map(_content, files), f"clock {CLOCK}"])


def _content(path: Path) -> str:
    try:
        return content_key(path)
    except OSError:  # whoever opens it says so
        return str(path)


def parts_folder(target: Path) -> Path:
    """Where the parts of a file are kept, hidden beside its place."""
    return target.with_name(f".{target.name}.part")


def fraction_done(target: Path) -> float | None:
    """How much of a file was done when its parts were stored last; None if none are."""
    try:
        return float(read_json(parts_folder(target) / _REACHED, InvalidSetting))
    except (InvalidSetting, ValueError, TypeError):
        return None


_FIELDS = ("keypoints", "scores", "boxes", "world", "appearance")


def packed(frames: Sequence[Detections]) -> dict[str, np.ndarray]:
    """The people found in some frames as a few arrays, bit for bit."""
    arrays = {"people": np.array([len(found) for found in frames])}
    for name in _FIELDS:
        values = [getattr(found, name) for found in frames]
        arrays[f"has_{name}"] = np.array([value is not None for value in values])
        there = [value for value in values if value is not None]
        # Where nobody is found, arrays may be of another type, and would change that of the others.
        if there:
            arrays[name] = np.concatenate([value for value in there if len(value)] or there[:1])
    return arrays


def unpacked(arrays: Arrays) -> list[Detections]:
    """What `packed` was given."""
    frames = []
    at = dict.fromkeys(_FIELDS, 0)
    for row, people in enumerate(arrays["people"].tolist()):
        values: dict[str, np.ndarray | None] = dict.fromkeys(_FIELDS)
        for name in _FIELDS:
            if arrays[f"has_{name}"][row]:
                values[name] = arrays[name][at[name] : at[name] + people]
                at[name] += people
        frames.append(Detections(**values))  # type: ignore[arg-type]
    return frames
