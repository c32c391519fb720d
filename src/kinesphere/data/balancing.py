"""Fewer or more samples of a class: capped, or listed several times."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.data.manifest import Manifest
from kinesphere.data.sample import Sample, split_name


@dataclass(frozen=True)
class Balanced:
    """A balanced manifest.

    Attributes:
        manifest: The samples that remain, in their order, repetitions behind their originals.
        before: Samples per class in the split that was balanced.
        after: The same afterwards.
        untouched: Samples of other splits, which stay as they are.
    """

    manifest: Manifest
    before: Mapping[str, int]
    after: Mapping[str, int]
    untouched: int


def balance(
    manifest: Manifest,
    *,
    cap: int | None = None,
    oversample: int | None = None,
    split: str = "train",
    seed: int = 0,
) -> Balanced:
    """Balance the classes of what is learnt from.

    What is left out is drawn so that as many groups as possible stay in; what is repeated is repeated evenly,
    and has the id of its original with `#2`, `#3` behind it, or the next number that is free.

    Args:
        manifest: Samples with one label each.
        cap: Most samples of a class; more are left out.
        oversample: Least samples of a class; fewer are listed several times.
        split: The split to balance; where samples have no split, all of them are.
        seed: Same seed, same choice.

    Raises:
        InvalidSetting: If samples have several labels, no number is given, or they contradict each other.
    """
    wanted = _checked(manifest, cap, oversample, split)
    by_class: dict[str, list[int]] = defaultdict(list)
    table, is_split = manifest.table, bool(manifest.splits)
    for i, (labels, own) in enumerate(zip(table.labels, table.splits, strict=True)):
        if not is_split or own == wanted:
            by_class[labels[0]].append(i)
    times = Counter(range(len(manifest)))
    rng = np.random.default_rng(seed)
    for label in sorted(by_class):
        ordered = _over_groups(manifest, by_class[label], rng)
        if cap is not None:
            for i in ordered[cap:]:
                times[i] = 0
            ordered = ordered[:cap]
        for number in range(len(ordered), oversample or 0):
            times[ordered[number % len(ordered)]] += 1
    taken = {*manifest.table.ids}
    samples = tuple(each for i, sample in enumerate(manifest) for each in _repeated(sample, times[i], taken))
    after = {label: sum(times[i] for i in rows) for label, rows in by_class.items()}
    before = {label: len(by_class[label]) for label in manifest.labels if label in by_class}
    return Balanced(
        replace(manifest, samples=samples),
        before,
        {label: after[label] for label in before},
        len(manifest) - sum(before.values()),
    )


def _checked(manifest: Manifest, cap: int | None, oversample: int | None, split: str) -> str:
    """The split's name in its one form, where numbers, samples and splits allow balancing."""
    if cap is None and oversample is None:
        raise InvalidSetting("Balancing needs a cap, a number to repeat scarce classes up to, or both.")
    if min(cap or 1, oversample or 1) < 1 or (
        cap is not None and oversample is not None and oversample > cap
    ):
        raise InvalidSetting(
            f"Both numbers are at least 1, and the cap is not below the other; got cap {cap}, oversample "
            f"{oversample}."
        )
    table = manifest.table
    several = next((i for i, labels in enumerate(table.labels) if len(labels) != 1), None)
    if several is not None:
        raise InvalidSetting(
            f"Sample {table.ids[several]!r} has {len(table.labels[several])} labels; classes are balanced by "
            "lists only where every sample has one. Use a loss that weighs classes, or data.balance."
        )
    wanted = split_name(split)
    if manifest.splits and wanted not in manifest.splits:
        raise InvalidSetting(f"There is no split {split!r} to balance; there are {list(manifest.splits)}.")
    return wanted


def _over_groups(manifest: Manifest, rows: Sequence[int], rng: np.random.Generator) -> list[int]:
    """Samples in an order that takes one of each group in turn."""
    groups, paths = manifest.table.groups, manifest.table.paths
    by_group: dict[str, list[int]] = defaultdict(list)
    for i in rng.permutation(len(rows)).tolist():
        by_group[groups[rows[i]] or f"{paths[rows[i]]}/"].append(rows[i])
    found = []
    waiting = list(by_group.values())
    while waiting:
        found += [each.pop() for each in waiting]
        waiting = [each for each in waiting if each]
    return found


def _repeated(sample: Sample, times: int, taken: set[str]) -> Iterator[Sample]:
    """A sample so many times; ids that are taken are passed over, and those given are taken."""
    if times:
        yield sample
    number = 1
    for _ in range(1, times):
        number += 1
        while f"{sample.id}#{number}" in taken:
            number += 1
        taken.add(f"{sample.id}#{number}")
        yield replace(sample, id=f"{sample.id}#{number}")
