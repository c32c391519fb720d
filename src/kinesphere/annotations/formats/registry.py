"""The registry of annotation formats: what each is called and holds, and how it is read and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kinesphere.core.registry import Registry

if TYPE_CHECKING:  # formats of timed labels and boxes are read without what poses need
    from kinesphere.annotations.parsing.frame_numbers import Numbering
    from kinesphere.clips.geometry import Size
    from kinesphere.clips.modalities.pose.sparse import StoredPoses


@dataclass(frozen=True)
class Format:
    """A format of files that hold all that is needed to read them.

    Attributes:
        title: Full name.
        suffixes: Ends of the names of its files.
        holds: What a file holds, for people.
        read: Reads a file; raises `InvalidAnnotation` where it is wrong.
        write_example: Writes a small file for tests at a path.
        write: Writes what `read` gives; None where the format is only read.
    """

    title: str
    suffixes: tuple[str, ...]
    holds: str
    read: Callable[[Path], Any]
    write_example: Callable[[Path], None]
    write: Callable[[Any, Path], None] | None = None


class ReadKeypoints(Protocol):
    """Reads the people of one video; size, rate and number of frames come from the video."""

    def __call__(
        self, output: Path, /, *, fps: float, frame_size: Size, frames: int | None, numbering: Numbering
    ) -> StoredPoses: ...


@dataclass(frozen=True)
class EstimatorFormat:
    """A format of pose estimators: keypoints of single frames, which belong to a video.

    Attributes:
        title: Full name.
        suffixes: Ends of the names of its files.
        origin: Name of the estimator in pose files.
        output: What there is for each video, such as `a .json file`.
        named: The output of a video, with its name without suffix as `{}`.
        find: The outputs below a folder, or the output itself.
        frame_numbers: Numbers of frames in an output; empty where nothing is numbered.
        read: Reads an output.
        write_example: Writes a small output for tests at a path.
        holds: What an output holds, for people.
    """

    title: str
    suffixes: tuple[str, ...]
    origin: str
    output: str
    named: str
    find: Callable[[Path], list[Path]]
    frame_numbers: Callable[[Path], list[int]]
    read: ReadKeypoints
    write_example: Callable[[Path], None]
    holds: str = "people in pixels"


FORMATS: Registry[Format | EstimatorFormat] = Registry(
    "annotation format",
    (Format, EstimatorFormat),
    package="kinesphere.annotations.formats",
    group="kinesphere.formats",
)


def estimators() -> dict[str, EstimatorFormat]:
    """The formats of pose estimators by their names."""
    return {name: each for name in FORMATS if isinstance(each := FORMATS.get(name), EstimatorFormat)}
