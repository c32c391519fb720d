"""What of a data set is there: its official lists held against the files of a folder."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from kinesphere.annotations.formats.activitynet import write_activitynet
from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.files import replacing
from kinesphere.core.labels import LabelSet
from kinesphere.core.registry import nearest
from kinesphere.core.skipped import Skipped
from kinesphere.core.structured import uncollected
from kinesphere.data.entry_table import EntryTable, Listed
from kinesphere.data.lengths import Length, lengths_of
from kinesphere.data.list_counts import PartCounts, annotation_parts, count_parts, counted_labels, video_parts
from kinesphere.data.manifest import Manifest, shown_path
from kinesphere.data.media import Media, SetFolder, look_through
from kinesphere.data.official import Count, Entry
from kinesphere.data.sample import Sample

Entries = Callable[[SetFolder], Iterable[Entry | EntryTable | Skipped]]
"""Reads the official lists of a set: its clips, one by one or many by column, and lines that name none."""
Progress = Callable[[int, int], None]

# Containers round, and publishers cut by other clocks: a video is shorter than its span beyond this.
_TOLERANCE_S = 1.0
# Of a whole video's length, which lists state less exactly.
_TOLERATED = 0.02
# Subsets as files of timed labels name them, which is what recipes of localisation ask for.
_SUBSETS = {"train": "training", "val": "validation", "test": "testing"}


@dataclass(frozen=True)
class Inventory:
    """A data set as a folder holds it.

    Attributes:
        root: The folder.
        samples: The clips that can be used, with the chosen protocol as their split.
        listed: Videos that the lists name, or that were found where there are no lists.
        present: Those of them that are there.
        clips: Clips on the lists.
        missing: Names of the others.
        renamed: What the lists name, and the file under another name that was taken for it.
        extra: Videos that no list names.
        unusable: Videos that cannot be read, and clips that their video ends before or within.
        wrong: Lines of the lists that name no clip.
        unlabelled: Clips whose class the lists keep back; they are none of the samples.
        classes: Clips on the lists per class.
        parts: Clips on the lists per protocol and split.
        present_parts: Those of them that can be used.
        video_parts: Videos on the lists per protocol and split.
        annotation_parts: Annotations on the lists per protocol and split.
        truncated: Videos that are shorter than the lists say, whether their clips can be used or not.
        absent: The entries of the missing videos.
        there: The entries of the videos that can be used, each with its file's name without suffix.
    """

    root: Path
    samples: tuple[Sample, ...]
    listed: int
    present: int
    clips: int = 0
    missing: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    extra: tuple[Skipped, ...] = ()
    unusable: tuple[Skipped, ...] = ()
    wrong: tuple[Skipped, ...] = ()
    unlabelled: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    parts: PartCounts = field(default_factory=dict)
    present_parts: PartCounts = field(default_factory=dict)
    video_parts: PartCounts = field(default_factory=dict)
    annotation_parts: PartCounts = field(default_factory=dict)
    truncated: tuple[Skipped, ...] = ()
    absent: Sequence[Entry] = field(default=(), repr=False)
    there: tuple[tuple[Entry, str], ...] = field(default=(), repr=False)

    @property
    def failures(self) -> int:
        """How much is lost: videos that are missing, clips that cannot be used, wrong lines."""
        return len(self.missing) + sum(each.is_failure for each in (*self.unusable, *self.wrong))

    def sentence(self) -> str:
        """For people: `19 796 of 19 877 videos present`."""
        return f"{spaced(self.present)} of {spaced(self.listed)} videos present"

    def counted(self, count: Count) -> int:
        """How much the lists have of what a card counts."""
        if not count.split and count.unit != "annotations":
            return self.clips if count.unit == "clips" else self.listed
        parts = {"clips": self.parts, "videos": self.video_parts, "annotations": self.annotation_parts}
        of_protocol = parts[count.unit].get(count.protocol, {})
        return of_protocol.get(count.split, 0) if count.split else sum(of_protocol.values())

    def items(self) -> Iterator[Sample | Skipped]:
        """The samples, then everything that is none."""
        yield from self.samples
        yield from (Skipped(name, "on the official lists, but not there") for name in self.missing)
        yield from self.unusable
        yield from self.wrong
        yield from self.extra

    def manifest(self) -> Manifest:
        """The samples as a table.

        Raises:
            InvalidAnnotation: If no clip can be used.
        """
        if not self.samples:
            raise InvalidAnnotation(
                f"{self.root} holds no clip of the set that could be trained on: {self.sentence()}."
            )
        names = sorted({label for sample in self.samples for label in sample.labels})
        multi = any(len(sample.labels) > 1 for sample in self.samples)
        return Manifest(self.samples, LabelSet(tuple(names), multi=multi), self.root)

    def write_urls(self, path: Path) -> None:
        """Write a CSV of `url,start,end,name,label,split`, a row for each clip of the missing videos.

        A downloader of the user's choice gets the videos; `name` is the file's, without suffix, by which it
        is found here. Start and end, in seconds, are empty where all of a video belongs to the set; a video
        with several clips is one row then.

        Raises:
            InvalidSetting: If the set is no list of URLs.
        """
        wanted = [
            (same[0], origin, dict.fromkeys(label for entry in same for label in entry.labels))
            for same in _downloads(self.absent)
            if (origin := same[0].origin) is not None
        ]
        if self.absent and not wanted:
            raise InvalidSetting("The set is no list of URLs; its card says where the videos are to be had.")
        with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("url", "start", "end", "name", "label", "split"))
            for entry, origin, labels in wanted:
                start, end = origin.span or ("", "")
                split = entry.parts[0][1] if entry.parts else ""
                rows.writerow((origin.url, start, end, entry.stem, "|".join(labels), split))

    def timed_labels(self) -> TimedLabels:
        """What happens when in the videos that are there, with the subset of each.

        Subsets are those of the manifest as files of timed labels name them: training, validation, testing.
        Videos in which nothing of the set's classes happens are among them.

        Raises:
            InvalidSetting: If the lists know no times within the videos.
        """
        if not self.there:
            raise InvalidSetting(
                f"None of the {len(self.missing)} videos on the lists is there, so there are no times to "
                "write; name the folder that holds the videos."
            )
        if not any(entry.span is not None or entry.timed for entry, _ in self.there):
            raise InvalidSetting(
                "The lists of this set say nothing of when something happens within a video that is there; "
                "--timed is for sets with spans, such as thumos14."
            )
        labels: list[TimedLabel] = []
        videos: dict[str, None] = {}
        durations: dict[str, float] = {}
        subsets: dict[str, str] = {}
        for entry, name in self.there:
            videos[name] = None
            if entry.video_s is not None:
                durations[name] = entry.video_s
            if entry.parts and entry.parts[0][1]:
                subsets[name] = _SUBSETS.get(entry.parts[0][1], entry.parts[0][1])
            spans = entry.timed
            if entry.span is not None:
                spans = tuple((label, *entry.span) for label in entry.labels)
            labels += [TimedLabel(name, label, start, end) for label, start, end in spans]
        return TimedLabels(tuple(labels), tuple(videos), durations, subsets)

    def write_timed_labels(self, path: Path) -> None:
        """Write `timed_labels` in ActivityNet's JSON, for `data windows` and recipes of localisation."""
        labels = self.timed_labels()
        with replacing(path) as part:
            write_activitynet(labels, part)

    def to_json(self) -> dict[str, Any]:
        """Plain values; the shape of `kinesphere datasets NAME ROOT --json`."""
        usual = next(iter(self.parts), "")
        return {
            "present": self.present,
            "listed": self.listed,
            "missing": list(self.missing),
            "renamed": [{"listed": listed, "found": found} for listed, found in self.renamed],
            "extra": [each.to_json() for each in self.extra],
            "unusable": [each.to_json() for each in self.unusable],
            "wrong": [each.to_json() for each in self.wrong],
            "unlabelled": self.unlabelled,
            "truncated": [each.to_json() for each in self.truncated],
            "clips": len(self.samples),
            "classes": self.classes,
            "splits": self.parts if len(self.parts) > 1 else self.parts.get(usual, {}),
            "present_splits": (
                self.present_parts if len(self.parts) > 1 else self.present_parts.get(usual, {})
            ),
        }


def take_inventory(
    entries: Entries,
    root: Path,
    *,
    lists: Sequence[Path] = (),
    protocol: str | None = None,
    probe: bool = False,
    progress: Progress | None = None,
) -> Inventory:
    """Hold the official lists of a set against the files of a folder.

    A file counts wherever it lies below the folder, under the name on the list, in another case, with another
    suffix, or as a folder of numbered frames; what is not under its exact name is listed as renamed.

    Args:
        entries: Reads the lists.
        root: Folder of the videos, and of the lists.
        lists: Further folders or files of lists.
        protocol: The one whose parts become the split; by default the set's usual one.
        probe: Open every video: one that cannot be read is lost, one shorter than its clip cut short.
            Without it, only those are opened whose name does not tell whether they are cut.
        progress: Called with the number of videos that were opened, and that will be.

    Raises:
        InvalidAnnotation: If there are no lists, or they name no clip.
        InvalidSetting: If there is no such protocol.
    """
    folder = look_through(root, lists)
    listed = Listed()
    with uncollected():
        for item in entries(folder):
            listed.add(item)
    if not listed.clips():
        raise InvalidAnnotation(f"The lists of {root} name no clip{_first(listed.wrong)}.")
    return _held_against(folder, listed.clips(), listed.wrong, protocol, probe, progress)


def _held_against(
    folder: SetFolder,
    listed: EntryTable,
    wrong: Sequence[Skipped],
    protocol: str | None,
    probe: bool,
    progress: Progress | None,
) -> Inventory:
    matches = _matches(folder, listed)
    usable = {video: match for video, match in matches.items() if not match.media.is_empty}
    asked = [m.media.path for m in usable.values() if (probe or m.is_uncut) and not m.media.is_frames]
    lengths = lengths_of(asked, progress)
    sample_of = partial(_sample, protocol=_checked_protocol(listed, protocol), lengths=lengths)
    unusable = [
        Skipped(shown_path(match.media.path, folder.root), "an empty file")
        for match in matches.values()
        if match.media.is_empty
    ]
    unusable += [
        Skipped(shown_path(path, folder.root), length)
        for path, length in lengths.items()
        if isinstance(length, str)
    ]
    held = _Held()
    for row in _rows_of(listed, usable):
        entry, match = listed[row], usable[listed.video[row]]
        if not isinstance(lengths.get(match.media.path), str):
            held.add(entry, match, *sample_of(entry, match))
    videos = dict.fromkeys(listed.video)
    parts = count_parts(listed.parts)
    is_cut = any(span is not None for span in listed.span)
    there = {*_rows_of(listed, matches)}
    return Inventory(
        root=folder.root,
        samples=tuple(held.samples),
        listed=len(videos),
        present=len(matches),
        clips=len(listed),
        missing=tuple(video for video in videos if video not in matches),
        renamed=tuple(
            (video, shown_path(match.media.path, folder.root))
            for video, match in matches.items()
            if match.is_renamed
        ),
        extra=tuple(_extra(folder, matches)),
        unusable=(*unusable, *held.remarks),
        wrong=tuple(wrong),
        unlabelled=sum(not labels for labels in listed.labels),
        classes=counted_labels(listed.labels),
        parts=parts,
        present_parts=count_parts(entry.parts for entry in held.present),
        video_parts=video_parts(listed) if is_cut else parts,
        annotation_parts=annotation_parts(listed),
        truncated=tuple(_truncated(folder, usable, lengths, listed)),
        absent=listed.take([row for row in range(len(listed)) if row not in there]) if there else listed,
        there=tuple(held.there),
    )


def _rows_of(listed: EntryTable, videos: Mapping[str, object]) -> list[int]:
    """The clips of some videos."""
    return [row for row, video in enumerate(listed.video) if video in videos] if videos else []


class _Held:
    """What became of the clips whose videos are there."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.present: list[Entry] = []
        self.there: list[tuple[Entry, str]] = []
        self.remarks: list[Skipped] = []

    def add(self, entry: Entry, match: _Match, sample: Sample | None, remark: Skipped | None) -> None:
        """One clip: the sample that it became, and what is to be said of it."""
        if sample is not None:
            self.present.append(entry)
            if entry.labels:
                self.samples.append(sample)
        if remark is not None:
            self.remarks.append(remark)
        if sample is not None or (remark is not None and not remark.is_failure):
            self.there.append((entry, match.media.stem))


def _truncated(
    folder: SetFolder, usable: Mapping[str, _Match], lengths: Mapping[Path, Length], listed: EntryTable
) -> Iterator[Skipped]:
    """The uncut videos that were opened and are shorter than the lists say, each once."""
    stated = {
        video: whole_s
        for video, whole_s in zip(listed.video, listed.video_s, strict=True)
        if whole_s is not None
    }
    for video, whole_s in stated.items():
        length = lengths.get(usable[video].media.path) if video in usable else None
        if isinstance(length, float) and length < whole_s - max(_TOLERANCE_S, _TOLERATED * whole_s):
            name = shown_path(usable[video].media.path, folder.root)
            reason = f"it ends at {length:.1f} s, by the lists at {whole_s:.1f} s"
            yield Skipped(name, reason, is_failure=False)


def _downloads(entries: Iterable[Entry]) -> Iterable[list[Entry]]:
    """The clips that one download brings: those that are spans of one video, or one alone."""
    found: dict[tuple[str, tuple[float, float] | None], list[Entry]] = {}
    for entry in entries:
        span = None if entry.origin is None else entry.origin.span
        found.setdefault((entry.video, span), []).append(entry)
    return found.values()


@dataclass(frozen=True, slots=True)
class _Match:
    """The file that was taken for a video of the lists."""

    media: Media
    is_renamed: bool
    is_uncut: bool


def _matches(folder: SetFolder, listed: EntryTable) -> dict[str, _Match]:
    """For every video of the lists that is there, its file."""
    files = folder.by_stem()
    found: dict[str, _Match] = {}
    if not files:
        return found
    for row, (video, stem, also, origin) in enumerate(
        zip(listed.video, listed.stems, listed.also, listed.origin, strict=True)
    ):
        if video in found:
            continue
        names = (stem, *also) if origin is None or origin.span is None else (stem, *also, origin.stem)
        if any(name.casefold() in files for name in names):
            match = _match(listed[row], files)
            if match is not None:
                found[video] = match
    return found


def _match(entry: Entry, files: Mapping[str, list[Media]]) -> _Match | None:
    stem, suffix = entry.stem, entry.suffix
    for name in (stem, *entry.also):
        hits = files.get(name.casefold())
        if hits:
            media = min(hits, key=lambda each: _unlikeness(each, entry.video, name, suffix))
            is_same = media.stem == stem and (not suffix or media.path.name == stem + suffix)
            return _Match(media, not is_same, is_uncut=False)
    origin = entry.origin
    hits = None if origin is None or origin.span is None else files.get(origin.stem.casefold())
    return _Match(hits[0], is_renamed=True, is_uncut=True) if hits else None


def _unlikeness(media: Media, video: str, stem: str, suffix: str) -> tuple[bool, bool, bool, bool]:
    """Sorts the files that could be a video: the one at its very place first."""
    name = media.path.name
    return (
        media.is_empty,
        not media.path.as_posix().endswith(f"/{video}"),
        name != stem + suffix if suffix else media.stem != stem,
        media.is_frames,
    )


def _extra(folder: SetFolder, matches: Mapping[str, _Match]) -> Iterator[Skipped]:
    used = {match.media.path for match in matches.values()}
    stems = {match.media.stem.casefold() for match in matches.values()}
    for each in folder.media:
        if each.path not in used:
            twin = each.stem.casefold() in stems
            reason = "another file of this name is used" if twin else "on none of the lists"
            yield Skipped(shown_path(each.path, folder.root), reason, is_failure=False)


def _sample(
    entry: Entry, match: _Match, *, protocol: str, lengths: Mapping[Path, Length]
) -> tuple[Sample | None, Skipped | None]:
    """The clip as a sample, and what is to be said of it."""
    if entry.span is not None and entry.span[0] >= entry.span[1]:
        return None, Skipped(entry.id, "on the lists without length", is_failure=False)
    length = lengths.get(match.media.path)
    assert not isinstance(length, str)  # such a video is listed as unusable, once for all of its clips
    span = wanted = entry.span
    origin = None if entry.origin is None else entry.origin.span
    if origin is not None and span is None:
        wanted = (0.0, origin[1] - origin[0])
        # A file that lasts no longer than the clip is the clip, under the name of the whole video.
        if match.is_uncut and (length is None or length > wanted[1] + _TOLERANCE_S):
            span = wanted = origin
    remark = None
    if length is not None and wanted is not None and length < wanted[1]:
        if length <= wanted[0]:
            return None, Skipped(entry.id, f"its video ends at {length:.1f} s, before {wanted[0]:g} s")
        span = None if span is None else (span[0], length)
        if length < wanted[1] - _TOLERANCE_S:
            reason = f"cut short: its video ends at {length:.1f} s instead of {wanted[1]:g} s"
            remark = Skipped(entry.id, reason)
    parts = dict(entry.parts)
    named = tuple((name, part) for name, part in entry.parts if name)
    split = parts.get(protocol) or None
    path = match.media.path
    return Sample(entry.id, path, entry.labels, span, entry.group, split, (*entry.extra, *named)), remark


def _checked_protocol(listed: EntryTable, protocol: str | None) -> str:
    known = dict.fromkeys(name for parts in dict.fromkeys(listed.parts) for name, _ in parts)
    if protocol is None:
        return next(iter(known), "")
    if protocol not in known:
        names = [name for name in known if name]
        close = nearest(protocol, names)
        hint = f"; did you mean {' or '.join(close)}?" if close else f"; it has {names or 'only one'}."
        raise InvalidSetting(f"The set has no protocol {protocol!r}{hint}")
    return protocol


def _first(wrong: Sequence[Skipped]) -> str:
    return f"; the first line that is wrong, {wrong[0].path}: {wrong[0].reason}" if wrong else ""


def spaced(number: int) -> str:
    """A count as people read it: `19 877`."""
    return f"{number:,}".replace(",", " ")
