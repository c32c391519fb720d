"""What is wrong with labels, groups and splits of a data set: reported by `check` and by training alike."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from kinesphere.core.labels import nearly_same
from kinesphere.core.skipped import by_reason
from kinesphere.core.text import named
from kinesphere.data.content import Content
from kinesphere.data.manifest import Manifest, shown_path
from kinesphere.data.sample import VAL_SPLITS, Sample

Severity = Literal["error", "warning"]
# Times and ratios that differ by less are the same.
_SAME_S = 1e-4


@dataclass(frozen=True)
class Problem:
    """One kind of trouble with the samples that have it.

    Attributes:
        severity: `error` makes samples fail or scores wrong; a `warning` is good to know.
        kind: `unreadable`, `damaged`, `unknown label`, `one class`, `empty class`, `similar labels`,
            `group leak`, `content leak`, `near duplicate`, `label conflict`, `overlap`, `duplicate`,
            `span outside`, `short`, `ignored`, `unread spans`, `other split`, `wrong row`, `cropped`,
            `no poses`, `unusable poses`, `misplaced poses`, `nobody`, `other preparation`, `still` or
            `pre-training`.
        message: What was found and what to do.
        where: Sample ids, files or rows, all of them.
    """

    severity: Severity
    kind: str
    message: str
    where: tuple[str, ...] = ()

    def sentence(self, most: int = 3) -> str:
        """The message with the first of the places."""
        more = f", and {len(self.where) - most} more" if len(self.where) > most else ""
        return self.message + (f" ({', '.join(self.where[:most])}{more})" if self.where else "")


def problem(severity: Severity, kind: str, message: str, where: Iterable[str]) -> Problem:
    """A problem with all its places."""
    return Problem(severity, kind, message, tuple(where))


def same_content(contents: Mapping[Path, Content]) -> list[list[Path]]:
    """Sets of different files that hold the same bytes."""
    alike: dict[Content, list[Path]] = defaultdict(list)
    for path, content in contents.items():
        if content.digest:
            alike[content].append(path)
    return [paths for paths in alike.values() if len(paths) > 1]


def copies_together(manifest: Manifest, copies: Sequence[Sequence[Path]]) -> Manifest:
    """The manifest with copies of one file in one group, where no other group was given them."""
    first = {path: shown_path(paths[0], manifest.root) for paths in copies for path in paths}
    known = {sample.path: sample.group for sample in manifest if sample.group is not None}
    groups = {
        path: next((known[other] for other in paths if other in known), first[path])
        for paths in copies
        for path in paths
    }

    def together(sample: Sample) -> Sample:
        own = sample.group in (None, shown_path(sample.path, manifest.root))
        return replace(sample, group=groups[sample.path]) if own and sample.path in groups else sample

    return replace(manifest, samples=tuple(map(together, manifest)))


def unused_problems(manifest: Manifest) -> list[Problem]:
    """What a folder holds beside its samples, and rows that make none."""
    problems = []
    if manifest.unused:
        message = f"{len(manifest.unused)} {manifest.unused_are} are not used: {by_reason(manifest.unused)}."
        where = (f"{each.path}: {each.reason}" for each in manifest.unused)
        problems.append(problem("warning", "ignored", message, where))
    if manifest.wrong:
        message = f"{len(manifest.wrong)} {manifest.wrong_are} are wrong and make no sample; correct them."
        where = (f"{each.path}: {each.reason}" for each in manifest.wrong)
        problems.append(problem("error", "wrong row", message, where))
    return problems


def label_problems(manifest: Manifest) -> list[Problem]:
    """Labels outside the set, classes without samples, names that are likely one class."""
    problems = []
    counts = manifest.counts()
    if len(manifest.labels) < 2 and not manifest.labels.multi:
        only = manifest.labels.names[0]
        message = (
            f"There is one class only, {only!r}, so there is nothing to tell apart; add clips of others."
        )
        problems.append(Problem("error", "one class", message))
    unknown = [name for name in counts if name not in manifest.labels]
    if unknown:
        message = (
            f"{sum(counts[name] for name in unknown)} samples have labels outside the set: "
            f"{named(unknown)}; correct them or extend the set."
        )
        outside = set(unknown)
        where = (sample.id for sample in manifest if outside.intersection(sample.labels))
        problems.append(problem("error", "unknown label", message, where))
    alike = nearly_same(counts)
    if alike:
        message = (
            f"{len(alike)} sets of labels differ in case, spaces or hyphens only and are different classes; "
            "write them alike if they are one."
        )
        problems.append(
            problem("warning", "similar labels", message, (" = ".join(map(repr, names)) for names in alike))
        )
    problems += _empty_classes(manifest)
    return problems


# What spans are called in other tables: those of Kinetics, EPIC-Kitchens, HACS and others.
_SPAN_COLUMNS = frozenset(
    name
    for edge in ("start", "end", "stop", "begin")
    for name in (
        *(f"{edge}{unit}" for unit in ("", "_time", "_timestamp", "_s", "_sec", "_seconds", "_ms", "_frame")),
        *(f"{kind}_{edge}" for kind in ("time", "frame", "t", "segment")),
    )
)


def unread_spans(manifest: Manifest) -> list[Problem]:
    """Columns that look like spans under names that are not read, where no sample has a span."""
    if any(sample.span is not None for sample in manifest):
        return []
    columns = dict.fromkeys(name for sample in manifest for name, value in sample.extra if value)
    found = [name for name in columns if re.sub(r"[\s-]+", "_", name.strip().lower()) in _SPAN_COLUMNS]
    if not found:
        return []
    message = (
        f"The columns {named([*map(repr, found)])} are not read: every sample is its whole file. If they "
        "tell spans of it, give them as start and end, in seconds."
    )
    return [Problem("warning", "unread spans", message)]


def other_splits(manifest: Manifest) -> list[Problem]:
    """Samples in splits that training uses only where they are named."""
    others = [name for name in manifest.splits if name not in ("train", "test", *VAL_SPLITS)]
    if not others:
        return []
    count = sum(sample.split in others for sample in manifest)
    message = (
        f"{count} of {len(manifest)} samples are in the splits {named([*map(repr, others)])}, which are "
        "used only where they are named (data.val, data.test, --split); correct the names if they are train, "
        "val or test."
    )
    return [problem("warning", "other split", message, ())]


def _empty_classes(manifest: Manifest) -> list[Problem]:
    present: dict[str | None, set[str]] = defaultdict(set)
    for sample in manifest:
        present[sample.split].update(sample.labels)
        present[None].update(sample.labels)
    problems = []
    for split in (None, *manifest.splits):
        empty = [label for label in manifest.labels if label not in present[split]]
        if empty:
            name = "the data" if split is None else f"split {split!r}"
            few = len(empty) <= 5
            which = f": {named(empty)}" if few else ""
            message = f"{name} has no sample of {len(empty)} classes{which}."
            problems.append(problem("warning", "empty class", message, () if few else empty))
    return problems


def leaks(manifest: Manifest, copies: Sequence[Sequence[Path]]) -> list[Problem]:
    """Groups and videos in several splits, copies, and labels that contradict each other.

    Args:
        manifest: The samples with their splits.
        copies: Sets of different files that hold the same bytes (see `same_content`).
    """
    splits_of_group, splits_of_path = defaultdict(set), defaultdict(set)
    labels_of = defaultdict(set)
    for sample in manifest:
        if sample.split is not None:
            splits_of_path[sample.path].add(sample.split)
            if sample.group is not None:
                splits_of_group[sample.group].add(sample.split)
        labels_of[sample.path].add(sample.labels)
    problems = []
    torn = [group for group, splits in splits_of_group.items() if len(splits) > 1]
    if torn:
        message = (
            f"{len(torn)} groups lie in several splits, so that a test would flatter; "
            "give each group one split."
        )
        problems.append(problem("error", "group leak", message, torn))
    copied = {path for paths in copies for path in paths}
    same = [*copies, *([p] for p, splits in splits_of_path.items() if len(splits) > 1 and p not in copied)]
    torn_videos = [g for g in same if len(set().union(*(splits_of_path[path] for path in g))) > 1]
    if torn_videos:
        message = f"{len(torn_videos)} videos occur in several splits; keep each in one."
        problems.append(problem("error", "content leak", message, (_shown(g, manifest) for g in torn_videos)))
    conflicts = [g for g in copies if len(set().union(*(labels_of[path] for path in g))) > 1]
    if conflicts:
        message = f"{len(conflicts)} videos occur twice with different labels; keep the right one."
        problems.append(problem("error", "label conflict", message, (_shown(g, manifest) for g in conflicts)))
    if copies:
        extra = sum(len(group) - 1 for group in copies)
        message = f"{extra} files are copies of others; remove them."
        problems.append(problem("warning", "duplicate", message, (_shown(g, manifest) for g in copies)))
    return [*problems, *_overlaps(manifest)]


def _shown(paths: Sequence[Path], manifest: Manifest) -> str:
    return " = ".join(shown_path(path, manifest.root) for path in paths)


def _are_windows(samples: Sequence[Sample]) -> bool:
    """Whether spans of a video are windows, which overlap by their rule: of one length, at even distances.

    Some may be missing, and the last one may be shorter, or nearer to the one before.
    """
    spans = sorted(sample.span for sample in samples if sample.span is not None)
    if len(spans) < max(3, len(samples)):
        return False
    steps = np.diff([start for start, _ in spans[:-1]])
    lengths = [end - start for start, end in spans[:-1]]
    if min(steps) <= 0 or spans[-1][0] <= spans[-2][0] or max(lengths) - min(lengths) > _SAME_S:
        return False
    return bool((np.abs(steps / min(steps) - np.round(steps / min(steps))) < _SAME_S).all())


def _overlaps(manifest: Manifest) -> list[Problem]:
    """Spans of one video that share time and have different labels, where every sample has one label.

    Windows overlap by their rule.
    """
    if manifest.labels.multi:
        return []
    spans: dict[Path, list[Sample]] = defaultdict(list)
    for sample in manifest:
        spans[sample.path].append(sample)
    found = []
    for samples in spans.values():
        if _are_windows(samples):
            continue
        # The latest end so far, and the latest of another label: enough to see whether any overlaps.
        latest: list[tuple[float, tuple[str, ...], str]] = []
        for sample in sorted(samples, key=lambda s: s.span or (0.0, float("inf"))):
            start, end = sample.span or (0.0, float("inf"))
            other = next(
                (each for each in latest if each[1] != sample.labels and each[0] > start + 1e-6), None
            )
            if other is not None:
                found.append(f"{other[2]} and {sample.id}")
            latest = sorted([*latest, (end, sample.labels, sample.id)], reverse=True)
            latest = [latest[0], *[each for each in latest[1:] if each[1] != latest[0][1]][:1]]
    if not found:
        return []
    message = (
        f"{len(found)} spans share time with another span of their video and have another label, so that one "
        "clip teaches two classes; correct them, or join the labels with '|'."
    )
    return [problem("warning", "overlap", message, found)]
