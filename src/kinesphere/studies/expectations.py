"""Answers to clips without labels: histograms by group, and stated expectations.

Whether a group is answered as expected oftener than the rest is tested by permutation of whole recordings, as
windows of one are not independent. Where recordings hold several groups, these are exchanged within them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.registry import nearest
from kinesphere.studies.permutation import between, chance, mixed_units, within

MET = 0.05
"""A rule is met, a factor has an effect, below this probability of chance."""


@dataclass(frozen=True)
class Rule:
    """What was expected of a group.

    Attributes:
        group: Name of the group.
        labels: That its answers should be of.
        fraction: Of its answers that are.
        elsewhere: Of the other groups' answers that are, too; None where there is no other group.
        p: Probability of so much more than elsewhere by chance; None where there is no other group.
        recordings: Number of recordings of the group.
        answered: In how many of them such an answer is given once at least.
    """

    group: str
    labels: tuple[str, ...]
    fraction: float
    elsewhere: float | None
    p: float | None
    recordings: int = 0
    answered: int = 0

    @property
    def is_met(self) -> bool:
        """Whether these answers are more frequent here than elsewhere, beyond chance."""
        return self.p is not None and self.p < MET

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "met": self.is_met}


@dataclass(frozen=True)
class Shown:
    """In how many recordings of a group something is known to be shown.

    Attributes:
        met: Recordings in which it is.
        recordings: Recordings of the group.
    """

    met: int
    recordings: int


def histogram(answers: Sequence[str], groups: Sequence[str]) -> dict[str, dict[str, int]]:
    """Answers by group, the most frequent first."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for answer, group in zip(answers, groups, strict=True):
        counts[group][answer] += 1
    return {group: dict(counts[group].most_common()) for group in sorted(counts)}


def rules(
    expected: Mapping[str, Sequence[str]],
    answers: Sequence[str],
    groups: Sequence[str],
    recordings: Sequence[str],
    known: Sequence[str],
) -> list[Rule]:
    """Which expectations are met.

    Args:
        expected: Labels by group.
        answers: `(N,)` labels.
        groups: Group of each clip.
        recordings: File of each clip.
        known: All labels of the model.

    Raises:
        InvalidSetting: If a group or a label is not there.
    """
    found = []
    for group, labels in expected.items():
        _check(group, sorted(set(groups)), "group")
        for label in labels:
            _check(label, known, "label")
        hits = np.array([answer in labels for answer in answers], float)
        own = np.array([each == group for each in groups])
        of = {name for name, here in zip(recordings, own, strict=True) if here}
        hit = {name for name, here in zip(recordings, own & (hits > 0), strict=True) if here}
        elsewhere = None if own.all() else float(hits[~own].mean())
        p = None if own.all() else _permuted(own, recordings, hits)
        found.append(Rule(group, tuple(labels), float(hits[own].mean()), elsewhere, p, len(of), len(hit)))
    return found


def measured(
    lists: Sequence[Sequence[str]], groups: Sequence[str], recordings: Sequence[str]
) -> dict[str, dict[str, Shown]]:
    """What is known to be shown in how many recordings of each group, as it occurs most often first.

    Args:
        lists: What is known of each clip, of its recording as a whole.
        groups: Group of each clip.
        recordings: File of each clip.
    """
    found: dict[str, Counter[str]] = defaultdict(Counter)
    seen: dict[str, set[str]] = defaultdict(set)
    for names, group, recording in zip(lists, groups, recordings, strict=True):
        if recording not in seen[group]:
            seen[group].add(recording)
            found[group].update(name for name in names if name)
    return {
        group: {name: Shown(count, len(seen[group])) for name, count in found[group].most_common()}
        for group in sorted(seen)
    }


def _lead(hits: np.ndarray, own: np.ndarray) -> float:
    """How much more frequent hits are in a part than in the rest."""
    if own.all() or not own.any():
        return 0.0
    return float(hits[own].mean() - hits[~own].mean())


def _permuted(own: np.ndarray, recordings: Sequence[str], hits: np.ndarray) -> float:
    """Probability of such a lead where recordings, or clips of one, belong to the group by chance."""
    rows = own.astype(np.int64)
    shuffled = within(rows, recordings) if mixed_units(rows, recordings) else between(rows, recordings)
    return chance(_lead(hits, own), lambda rng: _lead(hits, shuffled(rng) > 0))


def _check(name: str, known: Sequence[str], what: str) -> None:
    if name not in known:
        close = nearest(name, known)
        hint = f"did you mean {' or '.join(close)}" if close else f"known: {', '.join(known[:20])}"
        raise InvalidSetting(f"expect names the {what} {name!r}, which is not there ({hint}).")
