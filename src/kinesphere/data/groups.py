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
from functools import lru_cache
from pathlib import Path
from typing import Self

from kinesphere.clips.modality import sidecar_suffixes, stands_alone
from kinesphere.core.text import spelled
from kinesphere.data.name_blocks import NameBlock
from kinesphere.data.sample_table import SampleTable, taken

GROUP_BY_FILE = "path"
"""In place of a group column: every file is a group, whatever its name says."""


@dataclass(frozen=True)
class NameRule:
    """A pattern of file names that tells what a clip was cut from, or whom it shows.

    Attributes:
        kind: What the group is, for people.
        example: A name that fits.
        find: The group of a file name without suffix, given the sample's label; None where it does not fit.
        begins: What all names that fit begin with.
    """

    kind: str
    example: str
    find: Callable[[str, str], str | None]
    begins: str = ""

    @classmethod
    def matching(cls, kind: str, example: str, begins: str, pattern: str) -> Self:
        """Names of a pattern, whose first bracket is the group."""
        compiled = re.compile(pattern)

        def find(name: str, label: str) -> str | None:
            found = compiled.fullmatch(name)
            return None if found is None else found[1]

        return cls(kind, example, find, begins)


@dataclass(frozen=True)
class Grouping:
    """How groups that were not given were found: their kind, and how many samples are in how many of them."""

    kind: str
    samples: int
    groups: int

    def sentence(self) -> str:
        """For people."""
        return f"{self.samples} samples are kept together by {self.kind}: {self.groups} groups"


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
    return None if _plain(found[1]) == _plain_label(label) else found[1]


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
    if found is None or _plain_label(label) in (_plain(found[1]), _plain(name.rstrip("0123456789"))):
        return None
    return found[1]


_NO_LETTERS = re.compile(r"[\W_]+")


def _plain(text: str) -> str:
    return _NO_LETTERS.sub("", text).casefold()


_plain_label = lru_cache(1 << 12)(_plain)


NAME_RULES = (
    NameRule.matching(
        "performer (NTU names)", "S001C002P003R002A013", "S", r"S\d{3}C\d{3}(P\d{3})R\d{3}A\d{3}.*"
    ),
    NameRule.matching("source video (UCF101 names)", "v_Archery_g07_c01", "v_", r"v_(.+_g\d\d)_c\d\d"),
    NameRule.matching("source video (UCF11 names)", "v_shooting_01_02", "v_", r"v_(.+_\d\d)_\d\d"),
    NameRule("recording (HMDB51 names)", "April_09_brush_hair_u_nm_np1_ba_goo_0", _hmdb),
    NameRule.matching(
        "performer (KTH names)", "person01_boxing_d1_uncomp", "person", r"(person\d\d)_\w+_d\d.*"
    ),
    NameRule.matching(
        "performer (names of action, subject, try)", "a01_s05_e02", "a", r"a\d+_(s\d+)_[et]\d+.*"
    ),
    NameRule.matching(
        "performer (Breakfast names)", "P03_cam01_P03_tea", "P", r"(P\d\d)_(?:cam|webcam|stereo).*"
    ),
    NameRule("recording (names with a range)", "name_0001_0010", _ranged),
    NameRule("recording (names with a number of the part)", "name_part02", _numbered),
)


@lru_cache(1 << 10)
def _rules_for(sign: str) -> tuple[NameRule, ...]:
    """The rules that names which begin with a sign may fit."""
    return tuple(rule for rule in NAME_RULES if rule.begins[:1] in ("", sign))


def group_of_name(path: Path, label: str) -> tuple[str, NameRule] | None:
    """The group that a file's name tells, and by which rule; None where it tells none."""
    return _told_by(_name(path), label)


def _told_by(name: str, label: str) -> tuple[str, NameRule] | None:
    for rule in _rules_for(name[:1]):
        group = rule.find(name, label) if name.startswith(rule.begins) else None
        if group:
            return group, rule
    return None


def _name(path: Path) -> str:
    """The name of a file without its suffix."""
    alone = stands_alone(path)
    return path.stem if alone is None else path.name.removesuffix(alone.suffix)


_RANGED = next(rule for rule in NAME_RULES if rule.find is _ranged)
_BEGINNINGS = tuple(rule.begins for rule in NAME_RULES if rule.begins)
_AT_A_TIME = 1 << 15
_NO_LETTER = {sign: None for sign in range(128) if not chr(sign).isalnum() and chr(sign) != "\n"}


def groups_of_names(
    files: Sequence[str], labels: Sequence[tuple[str, ...]]
) -> tuple[list[str | None], list[str | None]]:
    """The groups that many files' names tell, and their kinds.

    Names with a range that others contradict, as people and tries do, tell none.

    Args:
        files: Names with suffixes, without folders.
        labels: Of each file; the first counts.
    """
    groups: list[str | None] = []
    kinds: list[str | None] = []
    no_ranges: set[str] = set()
    for first in range(0, len(files), _AT_A_TIME):
        part = slice(first, first + _AT_A_TIME)
        some, their_kinds, contradicted = _told_together(files[part], labels[part])
        groups += some
        kinds += their_kinds
        no_ranges |= contradicted
    if no_ranges:
        for row, kind in enumerate(kinds):
            if kind == _RANGED.kind and groups[row] in no_ranges:
                groups[row] = kinds[row] = None
    if not all(map(str.isascii, files)):
        groups = [None if group is None else spelled(group) for group in groups]
    return groups, kinds


def _told_together(
    files: Sequence[str], labels: Sequence[tuple[str, ...]]
) -> tuple[list[str | None], list[str | None], set[str]]:
    """Groups of some names, their kinds, and what stands before two numbers that are no range."""
    groups: list[str | None] = [None] * len(files)
    kinds: list[str | None] = [None] * len(files)
    odd = {row for row, file in enumerate(files) if not file.isascii() or "\n" in file}
    block = NameBlock([("" if row in odd else file) for row, file in enumerate(files)] if odd else files)
    ranges = block.ranges()
    alone = odd.union(
        block.beginning_with(_BEGINNINGS).tolist(),
        block.with_any(("_np",)).tolist(),
        block.with_any(_PART_WORDS, small=True).tolist(),
        block.ending_with(sidecar_suffixes()).tolist(),
        ranges.unsure.tolist(),
    )
    names = {row: _name(Path(files[row])) for row in alone}
    for row, name in names.items():
        if told := _told_by(name, _first(labels[row])):
            groups[row], kinds[row] = told[0], told[1].kind
    no_ranges = _no_ranges(names.values())
    rows = ranges.rows.tolist()
    before = [files[row][:end] for row, end in zip(rows, ranges.ends.tolist(), strict=True)]
    letters = "\n".join(before).translate(_NO_LETTER).lower().split("\n") if rows else []
    of_labels = {_plain_label(_first(own)) for own in {*labels}}
    for row, group, is_range, plain in zip(rows, before, ranges.ascend.tolist(), letters, strict=True):
        if row in alone:
            continue
        if not is_range:
            no_ranges.add(group)
        elif plain not in of_labels or plain != _plain_label(_first(labels[row])):
            groups[row], kinds[row] = group, _RANGED.kind
    return groups, kinds, no_ranges


def _first(labels: tuple[str, ...]) -> str:
    return labels[0] if labels else ""


def with_groups(
    samples: SampleTable, shown: Callable[[Path], str], *, by_name: bool = True
) -> tuple[SampleTable, tuple[Grouping, ...]]:
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
    if None not in samples.groups:
        return samples, ()
    files = samples.file_numbers()
    told, kinds = _told(samples, files, shown, by_name)
    lacking = [file for file, group in zip(files, samples.groups, strict=True) if group is None]
    counts = Counter(map(kinds.__getitem__, lacking))
    used = dict.fromkeys(lacking)
    groups = [
        told[file] if group is None else group for file, group in zip(files, samples.groups, strict=True)
    ]
    return samples.grouped(groups), tuple(
        Grouping(kind, count, len({told[file] for file in used if kinds[file] == kind}))
        for kind, count in counts.items()
        if kind is not None
    )


def _told(
    samples: SampleTable, files: Sequence[int], shown: Callable[[Path], str], by_name: bool
) -> tuple[list[str | None], list[str | None]]:
    """For each file, the group of its samples that have none, and how it was found."""
    count = max(files) + 1
    first: Sequence[int] = range(count)
    shared: Iterable[int] = ()
    if count < len(files):
        rows: dict[int, int] = {}
        for row, file in enumerate(files):
            rows.setdefault(file, row)
        first = list(rows.values())
        shared = (file for file, clips in Counter(files).items() if clips > 1)
    told: list[str | None] = [None] * count
    kinds: list[str | None] = [None] * count
    if by_name:
        told, kinds = groups_of_names(samples.file_names(first), taken(samples.labels, first))
    given = zip(files, samples.groups, strict=True) if {*samples.groups} != {None} else ()
    for file, group in given:
        if group is not None:
            told[file], kinds[file] = group, "the group of other samples of their file"
    for file in shared:
        if told[file] is None:
            told[file], kinds[file] = spelled(shown(samples.paths[first[file]])), "file"
    return told, kinds
