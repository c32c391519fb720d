"""How much official lists hold: clips, videos and annotations of each part, clips of each class."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from kinesphere.data.entry_table import EntryTable
from kinesphere.data.sample import VAL_SPLITS

PartCounts = dict[str, dict[str, int]]
"""Clips per split, by protocol; the name of a set's only protocol is empty."""


def count_parts(parts: Iterable[tuple[tuple[str, str], ...]]) -> PartCounts:
    """Clips per protocol and split, from the parts of each; those in no part of a protocol are none of it."""
    counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each, clips in Counter(parts).items():
        for protocol, part in each:
            counted[protocol].update({part: clips} if part else {})
    return {
        protocol: {part: counts[part] for part in sorted(counts, key=_place)}
        for protocol, counts in counted.items()
    }


def _place(part: str) -> tuple[int, str]:
    usual = ("train", *VAL_SPLITS, "test")
    return usual.index(part) if part in usual else len(usual), part


def video_parts(listed: EntryTable) -> PartCounts:
    """Videos per protocol and split; one whose clips are in several is counted in each."""
    return count_parts(parts for _, parts in dict.fromkeys(zip(listed.video, listed.parts, strict=True)))


def annotation_parts(listed: EntryTable) -> PartCounts:
    """Annotations per protocol and split."""
    counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
    alike = Counter(zip(listed.labels, listed.annotations, listed.parts, strict=True))
    for (labels, own, parts), clips in alike.items():
        number = len(labels) if own is None else own
        for protocol, part in parts:
            if part and number:
                counted[protocol][part] += number * clips
    return {protocol: dict(counts) for protocol, counts in counted.items()}


def counted_labels(labels: Iterable[tuple[str, ...]]) -> dict[str, int]:
    """Clips of each class, in order of their names."""
    counted: Counter[str] = Counter()
    for own, clips in Counter(labels).items():
        for label in own:
            counted[label] += clips
    return dict(sorted(counted.items()))
