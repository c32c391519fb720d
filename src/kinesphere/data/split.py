"""Splits that keep class proportions and never part a group.

scikit-learn's `StratifiedGroupKFold` knows neither unequal parts nor several labels per sample, so
one greedy allocator serves every split here; a test holds it to be as balanced as theirs.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from kinesphere.core.errors import IncompleteSplit, InvalidSetting
from kinesphere.core.registry import nearest
from kinesphere.data.groups import GROUP_BY_FILE
from kinesphere.data.manifest import Manifest


@dataclass(frozen=True)
class Fold:
    """One round of a cross-validation.

    Attributes:
        name: `"fold1"`, … or the group that is left out.
        train: What to train on.
        test: What to test on; shares no group with `train`.
    """

    name: str
    train: Manifest
    test: Manifest


def holdout(manifest: Manifest, fractions: Mapping[str, float], seed: int = 0) -> Manifest:
    """Assign every sample to a named split, for example `{"train": 0.7, "val": 0.1, "test": 0.2}`.

    Class proportions are kept as far as whole groups allow; without a group, the samples of a file are one.

    Args:
        manifest: The samples; splits they have are replaced.
        fractions: Fraction of the samples per split; positive, summing to 1. The first is trained on.
        seed: Same seed, same splits.

    Returns:
        The manifest with `Sample.split` set; `.where(split="train")` picks one.

    Raises:
        InvalidSetting: If the fractions do not fit, there are fewer groups than splits, or the first
            split would lack a class.

    Warns:
        IncompleteSplit: If another split lacks a class.
    """
    sizes = np.array(list(fractions.values()), dtype=float)
    if len(sizes) < 2 or not (sizes > 0).all() or abs(sizes.sum() - 1) > 1e-6:
        raise InvalidSetting(
            f"Split fractions are at least two positive numbers that sum to 1; got {dict(fractions)}."
        )
    names = list(fractions)
    part = _allocate(manifest, sizes, seed)
    for number, name in enumerate(names):
        _check_classes(manifest, part == number, name, trained_on=number == 0)
    return _assigned(manifest, [names[number] for number in part.tolist()])


def _assigned(manifest: Manifest, splits: Sequence[str]) -> Manifest:
    return manifest.with_splits(dict(zip(manifest.table.ids, splits, strict=True)))


def by_groups(manifest: Manifest, parts: Mapping[str, Collection[str]], rest: str = "train") -> Manifest:
    """Assign whole groups to splits by name, such as performers to `test`.

    Args:
        manifest: The samples; splits they have are replaced.
        parts: Groups of each split.
        rest: Split of all other samples.

    Raises:
        InvalidSetting: If there is no such group, one is in two splits, nothing is left for `rest`, or that
            would lack a class.

    Warns:
        IncompleteSplit: If another split lacks a class.
    """
    split_of: dict[str, str] = {}
    known = dict.fromkeys(manifest.groups)
    for split, groups in parts.items():
        for group in groups:
            if group not in known:
                close = nearest(group, known)
                hint = f" did you mean {' or '.join(map(repr, close))}?" if close else ""
                raise InvalidSetting(
                    f"There is no group {group!r};{hint} the {len(known)} groups are "
                    f"{list(known)[:20]}{_told(manifest)}."
                )
            if split_of.setdefault(group, split) != split:
                raise InvalidSetting(f"Group {group!r} cannot be in {split_of[group]!r} and in {split!r}.")
    part = np.array([split_of.get(group or "", rest) for group in manifest.table.groups])
    if not (part == rest).any():
        raise InvalidSetting(f"All groups are in {sorted(set(part.tolist()))}; none is left for {rest!r}.")
    _check_classes(manifest, part == rest, rest, trained_on=True)
    for split in parts:
        _check_classes(manifest, part == split, split, trained_on=False)
    return _assigned(manifest, part.tolist())


def kfold(manifest: Manifest, k: int, seed: int = 0) -> list[Fold]:
    """K folds; every sample is tested once, and groups stay whole.

    Raises:
        InvalidSetting: If `k` is below 2 or above the number of groups, or a fold would test a class
            that it never trains on.

    Warns:
        IncompleteSplit: If the test part of a fold lacks a class.
    """
    if k < 2:
        raise InvalidSetting(f"Cross-validation needs at least 2 folds; got {k}.")
    part = _allocate(manifest, np.full(k, 1 / k), seed)
    folds = []
    for number in range(k):
        name = f"fold{number + 1}"
        _check_classes(manifest, part != number, f"the training part of {name}", trained_on=True)
        _check_classes(manifest, part == number, f"the test part of {name}", trained_on=False)
        folds.append(_fold(manifest, part == number, name))
    return folds


def leave_one_group_out(manifest: Manifest) -> list[Fold]:
    """One fold per group, in order of appearance, tested on that group and trained on the others.

    Raises:
        InvalidSetting: If a sample has no group, there is only one group, or a class occurs in a
            single group, so that the fold that tests it could not train on it.
    """
    table = manifest.table
    missing = [name for name, group in zip(table.ids, table.groups, strict=True) if group is None]
    if missing:
        raise InvalidSetting(
            f"Leaving one group out needs a group for every sample; {len(missing)} have none, "
            f"the first is {missing[0]!r}. Fill the group column."
        )
    if len(manifest.groups) < 2:
        raise InvalidSetting(
            f"Leaving one group out needs at least 2 groups; got {list(manifest.groups)}{_told(manifest)}."
        )
    group_of = np.array(list(table.groups))
    folds = []
    for group in manifest.groups:
        _check_classes(manifest, group_of != group, f"training without group {group!r}", trained_on=True)
        folds.append(_fold(manifest, group_of == group, group))
    return folds


def _fold(manifest: Manifest, tested: np.ndarray, name: str) -> Fold:
    return Fold(
        name,
        manifest.select(np.flatnonzero(~tested).tolist()),
        manifest.select(np.flatnonzero(tested).tolist()),
    )


def _check_classes(manifest: Manifest, inside: np.ndarray, name: str, *, trained_on: bool) -> None:
    labels = manifest.table.labels
    present = {label for own in {*compress(labels, inside.tolist())} for label in own}
    lacking = sorted({label for own in {*labels} for label in own} - present)
    if not lacking:
        return
    listed = ", ".join(map(repr, lacking[:5])) + (", …" if len(lacking) > 5 else "")
    if trained_on:
        raise InvalidSetting(
            f"{name} would lack {len(lacking)} classes ({listed}), because their samples are too few or "
            f"lie in too few groups{_told(manifest)}; add groups with these classes, drop the classes, or "
            f"give other groups (the group column {GROUP_BY_FILE!r} makes every file its own)."
        )
    warnings.warn(IncompleteSplit(f"{name} lacks {len(lacking)} classes ({listed})."), stacklevel=3)


def _allocate(manifest: Manifest, fractions: np.ndarray, seed: int) -> np.ndarray:
    """Part number of every sample (N,), groups whole.

    Groups go, largest first, to the part whose class counts then miss their targets least, in the
    chi-square sense: the sum over classes of (count - target)² / target. Only the classes of a group count
    for where it goes, so the work grows with the samples and not with groups times classes.
    """
    table = manifest.table
    keys = [
        file if group is None else group
        for group, file in zip(table.groups, table.file_numbers(), strict=True)
    ]
    numbers = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    group_of = np.array([numbers[key] for key in keys])
    if len(numbers) < len(fractions):
        raise InvalidSetting(
            f"{len(numbers)} groups cannot fill {len(fractions)} parts, because groups stay whole"
            f"{_told(manifest)}; use fewer parts, or other groups (the group column {GROUP_BY_FILE!r} makes "
            "every file its own)."
        )
    counts: list[Counter[int]] = [Counter() for _ in numbers]
    for group, target in zip(group_of.tolist(), manifest.targets, strict=True):
        counts[group].update(target)
    total = np.zeros(len(manifest.labels))
    for each in counts:
        total[list(each)] += list(each.values())
    weight = np.array([sum(n**2 / total[k] for k, n in each.items()) for each in counts])

    order = np.random.default_rng(seed).permutation(len(numbers))
    order = order[np.argsort(-weight[order], kind="stable")]
    part_of_group: np.ndarray = np.empty(len(numbers), dtype=int)
    filled = np.zeros((len(fractions), len(total)))
    empty = np.ones(len(fractions), dtype=bool)
    for rank, group in enumerate(order):
        classes = list(counts[group])
        own = np.array(list(counts[group].values()), dtype=float)
        aim = fractions[:, None] * total[classes]
        cost = ((own**2 + 2 * own * (filled[:, classes] - aim)) / aim).sum(axis=1)
        if len(order) - rank <= empty.sum():  # the groups left are needed to leave no part empty
            cost[~empty] = np.inf
        best = int(cost.argmin())
        part_of_group[group] = best
        filled[best, classes] += own
        empty[best] = False
    part: np.ndarray = part_of_group[group_of]
    return part


def _told(manifest: Manifest) -> str:
    """How groups were found that nobody gave."""
    found = "; ".join(grouping.sentence() for grouping in manifest.groupings)
    return f" ({found})" if found else ""
