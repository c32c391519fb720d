"""`Sample`: a labelled span of a video file, without its pixels."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

from kinesphere.core.errors import InvalidManifest
from kinesphere.core.labels import normal
from kinesphere.core.text import is_utf8, spelled

VAL_SPLITS = ("val", "valid", "validation", "dev")
"""Names that a validation split goes by, the first that is there counts."""
_SYNONYMS = {"training": "train", "testing": "test"}


@lru_cache(1 << 10)
def split_name(name: str) -> str:
    """A split's name in its one form: the usual ones in small letters, others as they stand."""
    plain = name.strip().casefold()
    plain = _SYNONYMS.get(plain, plain)
    return plain if plain in ("train", "test", *VAL_SPLITS) else name


@lru_cache(1 << 14)
def _in_normal_form(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Labels in their `normal` form; a data set of a million clips has a few hundred different ones."""
    return tuple(map(normal, labels))


@lru_cache(1 << 14)
def _problem_of(labels: tuple[str, ...]) -> str:
    """What is wrong with some labels; empty if nothing is."""
    for label in labels:
        if "|" in label or not label or not is_utf8(label):
            what = "may not hold '|', which joins labels" if "|" in label else "is no text"
            return f"the label {spelled(label)!r} {what}; give the class another name"
    return ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled span.

    Attributes:
        id: Unique within its manifest and stable across runs; text, whatever the file's name is made of.
        path: The video file, absolute or relative to the working folder.
        labels: Class names in their `normal` form; one for single-label tasks. None holds `|`, which joins
            labels in tables.
        span: `(start_s, end_s)`, or None for the whole video.
        group: Performer or source video; a group never straddles two splits. None stands alone.
        split: `"train"`, `"val"`, `"test"` or another name, if the data come split; see `split_name`.
        extra: Further columns of the manifest as `(column, text)`, kept as they stood.
        sidecars: Files that the manifest names for it, as `(modality, path)`: poses from a column
            `pose_file`, and so on.
    """

    id: str
    path: Path
    labels: tuple[str, ...]
    span: tuple[float, float] | None = None
    group: str | None = None
    split: str | None = None
    extra: tuple[tuple[str, str], ...] = ()
    sidecars: tuple[tuple[str, Path], ...] = ()

    def __post_init__(self) -> None:
        if self.span is not None and not 0 <= self.span[0] < self.span[1]:
            raise InvalidManifest(
                f"Sample {self.id!r}: a span runs from start to a later end, in seconds; got {self.span}."
            )
        object.__setattr__(self, "id", spelled(self.id))
        if self.group is not None:  # it may come from a file's name
            object.__setattr__(self, "group", spelled(self.group))
        object.__setattr__(self, "labels", _in_normal_form(self.labels))
        object.__setattr__(self, "split", None if self.split is None else split_name(self.split))
        if problem := _problem_of(self.labels):
            raise InvalidManifest(f"Sample {self.id!r}: {problem}.")

    @property
    def fps(self) -> float | None:
        """Frame rate that the manifest's column `fps` states, which counts for folders of images alone."""
        try:
            return float(dict(self.extra).get("fps", "")) or None
        except ValueError:
            return None

    def sidecar(self, modality: str) -> Path | None:
        """The file of a modality that the manifest names, if it names one."""
        return dict(self.sidecars).get(modality)


_NEW = object.__new__
_ID, _PATH, _LABELS, _SPAN, _GROUP, _SPLIT, _EXTRA, _SIDECARS = (
    getattr(Sample, field.name).__set__ for field in fields(Sample)
)


def made(
    id_: str,
    path: Path,
    labels: tuple[str, ...],
    span: tuple[float, float] | None,
    group: str | None,
    split: str | None,
    extra: tuple[tuple[str, str], ...],
    sidecars: tuple[tuple[str, Path], ...],
) -> Sample:
    """A sample of values that were checked before, as those of a table are.

    It takes half the time of `Sample(…)`, which counts where a million are made again and again.
    """
    sample = _NEW(Sample)
    _ID(sample, id_)
    _PATH(sample, path)
    _LABELS(sample, labels)
    _SPAN(sample, span)
    _GROUP(sample, group)
    _SPLIT(sample, split)
    _EXTRA(sample, extra)
    _SIDECARS(sample, sidecars)
    return sample
