"""Groups of samples that no group column names: spans of one video, clips of one recording or performer.

Clips that were cut from one recording, or show one performer, are nearly copies: a test on one after
training on the other flatters. Where a manifest gives no groups, the names of public data sets and of
cutting tools tell them, and a file that is listed several times is a group in any case.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kinesphere.clips.modality import sidecar_suffixes, stands_alone
from kinesphere.data.sample import Sample

GROUP_BY_FILE = "path"
"""In place of a group column: every file is a group, whatever its name says."""


@dataclass(frozen=True)
class NameRule:
    """A pattern of file names that tells what a clip was cut from, or whom it shows.

    Attributes:
        kind: What the group is, for people.
        example: A name that fits.
        find: The group of a file name without suffix, given the sample's label; None where it does not fit.
    """

    kind: str
    example: str
    find: Callable[[str, str], str | None]


@dataclass(frozen=True)
class Grouping:
    """How groups that were not given were found: their kind, and how many samples are in how many of them."""

    kind: str
    samples: int
    groups: int

    def sentence(self) -> str:
        """For people."""
        return f"{self.samples} samples are kept together by {self.kind}: {self.groups} groups"


def _matching(begins: str, pattern: str) -> Callable[[str, str], str | None]:
    compiled = re.compile(pattern)

    def find(name: str, label: str) -> str | None:
        found = compiled.fullmatch(name) if name.startswith(begins) else None
        return None if found is None else found[1]

    return find


def _hmdb(name: str, label: str) -> str | None:
    """`April_09_brush_hair_u_nm_np1_ba_goo_0` is of the recording `April_09`."""
    if "_np" not in name:
        return None
    found = re.fullmatch(r"(.+)_[a-z]_(?:cm|nm)_np\d_(?:fr|ba|le|ri)_(?:goo|med|bad)_\d+", name)
    return None if found is None else found[1].removesuffix(f"_{label.replace(' ', '_')}")


_RANGE = re.compile(r"(.+)[_-](\d{3,})[_-](\d{3,})")


def _ranged(name: str, label: str) -> str | None:
    """`name_0001_0010` is a range of frames or milliseconds of `name`; a date and a time are none."""
    found = _RANGE.fullmatch(name) if name[-1:].isdigit() else None
    if found is None or len(found[2]) != len(found[3]) or found[2] >= found[3]:
        return None
    return None if _plain(found[1]) == _plain(label) else found[1]


def _no_ranges(names: Iterable[str]) -> set[str]:
    """What stands before two numbers that are no range elsewhere: `subject_012_001` is of a person, a try."""
    found = (match for name in names if (match := _RANGE.fullmatch(name)))
    return {match[1] for match in found if len(match[2]) == len(match[3]) and match[2] >= match[3]}


_PART_WORDS = ("clip", "part", "seg", "scene", "shot", "chunk", "cut")
_WORDS = "clip|part|segment|seg|scene|shot|chunk|cut"
# The word for a part stands by itself: `lesson_part02`, `Lesson1part2`, `LessonPart2`, but not `haircut_01`.
_PART = re.compile(
    rf"(.*?[^ _-])(?:[ _-]+(?i:{_WORDS})|(?<=[0-9])(?i:{_WORDS})|(?<=[a-z])(?:{_WORDS.title()}))[ _-]?\d+"
)


def _numbered(name: str, label: str) -> str | None:
    """`lesson_part02` is of `lesson`; among the jumps, `jump_clip02` is not of one recording `jump`."""
    if not name[-1:].isdigit() or not any(word in name.lower() for word in _PART_WORDS):
        return None
    found = _PART.fullmatch(name)
    if found is None or _plain(label) in (_plain(found[1]), _plain(name.rstrip("0123456789"))):
        return None
    return found[1]


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()


NAME_RULES = (
    NameRule(
        "performer (NTU names)", "S001C002P003R002A013", _matching("S", r"S\d{3}C\d{3}(P\d{3})R\d{3}A\d{3}.*")
    ),
    NameRule("source video (UCF101 names)", "v_Archery_g07_c01", _matching("v_", r"v_(.+_g\d\d)_c\d\d")),
    NameRule("source video (UCF11 names)", "v_shooting_01_02", _matching("v_", r"v_(.+_\d\d)_\d\d")),
    NameRule("recording (HMDB51 names)", "April_09_brush_hair_u_nm_np1_ba_goo_0", _hmdb),
    NameRule(
        "performer (KTH names)", "person01_boxing_d1_uncomp", _matching("person", r"(person\d\d)_\w+_d\d.*")
    ),
    NameRule(
        "performer (names of action, subject, try)", "a01_s05_e02", _matching("a", r"a\d+_(s\d+)_[et]\d+.*")
    ),
    NameRule(
        "performer (Breakfast names)", "P03_cam01_P03_tea", _matching("P", r"(P\d\d)_(?:cam|webcam|stereo).*")
    ),
    NameRule("recording (names with a range)", "name_0001_0010", _ranged),
    NameRule("recording (names with a number of the part)", "name_part02", _numbered),
)


def group_of_name(path: Path, label: str) -> tuple[str, NameRule] | None:
    """The group that a file's name tells, and by which rule; None where it tells none."""
    return _told_by(_name(path), label)


def _told_by(name: str, label: str) -> tuple[str, NameRule] | None:
    for rule in NAME_RULES:
        group = rule.find(name, label)
        if group:
            return group, rule
    return None


def _name(path: Path) -> str:
    """The name of a file without its suffix."""
    alone = stands_alone(path)
    return path.stem if alone is None else path.name.removesuffix(alone.suffix)


def _names(paths: Iterable[Path]) -> dict[Path, str]:
    """Names without suffixes of many files."""
    suffixes = sidecar_suffixes()
    return {path: _name(path) if path.name.endswith(suffixes) else path.stem for path in paths}


def _grouped(sample: Sample, group: str) -> Sample:
    """The sample in a group; `dataclasses.replace` takes three times as long, which counts for a million."""
    s = sample
    return Sample(s.id, s.path, s.labels, s.span, group, s.split, s.extra, s.sidecars)


def with_groups(
    samples: Sequence[Sample], shown: Callable[[Path], str], *, by_name: bool = True
) -> tuple[list[Sample], tuple[Grouping, ...]]:
    """Give a group to samples that have none, where a name or a file tells one.

    A sample takes the group of others of its file; else the one that its file's name tells, unless the names
    of other files contradict that; else its file, if others are in it. What remains without a group stands
    alone.

    Args:
        samples: The samples; those with a group keep it.
        shown: A file's name for people, by which it is a group.
        by_name: Whether names count; else files alone do.

    Returns:
        The samples, and how the new groups were found.
    """
    if all(sample.group is not None for sample in samples):
        return list(samples), ()
    given = {sample.path: sample.group for sample in samples if sample.group is not None}
    listed = Counter(sample.path for sample in samples)
    names = _names(listed) if by_name else {}
    no_ranges: set[str] | None = None
    found: dict[Path, tuple[str, str]] = {}
    for sample in samples:
        if sample.path in found or (sample.path in given and sample.group is not None):
            continue
        named = _told_by(names[sample.path], sample.labels[0] if sample.labels else "") if by_name else None
        if named is not None and named[1].find is _ranged:
            no_ranges = _no_ranges(names.values()) if no_ranges is None else no_ranges
            named = None if named[0] in no_ranges else named
        if sample.path in given:
            found[sample.path] = (str(given[sample.path]), "the group of other samples of their file")
        elif named is not None:
            found[sample.path] = (named[0], named[1].kind)
        elif listed[sample.path] > 1:
            found[sample.path] = (shown(sample.path), "file")
    result = [
        _grouped(sample, found[sample.path][0]) if sample.group is None and sample.path in found else sample
        for sample in samples
    ]
    changed = [(found[s.path], s) for s, old in zip(result, samples, strict=True) if s is not old]
    kinds = dict.fromkeys(kind for (_, kind), _ in changed)
    return result, tuple(
        Grouping(
            kind,
            sum(each == kind for (_, each), _ in changed),
            len({group for (group, each), _ in changed if each == kind}),
        )
        for kind in kinds
    )
