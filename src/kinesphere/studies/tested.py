"""What runs were tested on, and their answers to the same clips held against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.text import named
from kinesphere.evaluate.paired import Difference, holm, mean_difference, share_difference, sign_flip_test
from kinesphere.evaluate.predictions import Predictions, align
from kinesphere.evaluate.report import Report
from kinesphere.train.recipe import Recipe
from kinesphere.train.run_folder import RunFiles
from kinesphere.train.splits_csv import SplitTable

CORRECTION = (
    "Probabilities are those of a paired sign-flip test over groups of clips, two-sided; corrected by Holm's "
    "method for the number of pairs that are tested."
)
SIGNIFICANT = 0.05


@dataclass(frozen=True, eq=False)
class ScoredRun:
    """A finished run with its answers.

    Attributes:
        name: For people.
        folder: The run folder.
        report: Its scores.
        answers: Its answers.
        test: Ids of the clips that test it, those that could not be read included.
        labels: Names of the classes.
        samples: Digest of the file, labels and span of each sample of the data, by its id and file; empty
            where the run does not say.
        source: Where the data and their labels come from; None where the run does not say.
    """

    name: str
    folder: Path
    report: Report
    answers: Predictions
    test: frozenset[str]
    labels: frozenset[str]
    samples: Mapping[tuple[str, Path], tuple[object, ...]] = field(default_factory=dict)
    source: tuple[tuple[str, ...], str] | None = None

    @classmethod
    def of(cls, folder: str | Path, name: str | None = None) -> ScoredRun:
        """What a run folder holds.

        Raises:
            InvalidSetting: If the run is not finished, or its files are damaged.
        """
        files = RunFiles(Path(folder))
        if not files.report.is_file():
            raise InvalidSetting(
                f"{folder} holds no finished run: there is no {files.report.name}. Train it, or go on with "
                "--resume."
            )
        report, answers = Report.read(files.report), Predictions.read(files.predictions)
        test = set(answers.ids)
        samples: dict[tuple[str, Path], tuple[object, ...]] = {}
        if files.splits.is_file():
            part, table = report.protocol.split, SplitTable.read(files.splits)
            test |= {row.id for row in table if row.part == part}
            samples = {(row.id, row.path): (row.content.digest, row.labels, row.span) for row in table}
        labels = frozenset(answers.labels.names)
        data = Recipe.load(files.recipe).data if files.recipe.is_file() else None
        source = None if data is None else (data.source, data.label_column)
        return cls(
            name or str(folder), files.folder, report, answers, frozenset(test), labels, samples, source
        )

    def is_alike(self, other: ScoredRun) -> bool:
        """Whether both were tested on the same clips with the same classes."""
        return self.test == other.test and self.labels == other.labels

    def changed_since(self, other: ScoredRun) -> list[str]:
        """Ids of samples that have changed since the other run, which has the same classes.

        A file of the same place has other content, or the label or span of a tested sample, or of any where
        both runs name the same data, is another one.
        """
        if self.labels != other.labels:
            return []
        changed = []
        for key, known in self.samples.items():
            before = other.samples.get(key)
            if before is None or before == known:
                continue
            digest_differs = before[0] != known[0]
            if digest_differs or key[0] in self.test or self.source == other.source:
                changed.append(key[0])
        return changed

    def tested_on(self) -> str:
        """The test in words."""
        protocol = self.report.protocol
        return f"{len(self.test)} clips of {protocol.dataset}, split {protocol.split or 'all'}"


@dataclass(frozen=True)
class Pair:
    """A second cell or run less a first one.

    Attributes:
        first: Name of the first.
        second: Name of the second.
        difference: How much oftener the second is right, with its interval.
        p: Probability of such a difference where there is none.
        corrected: The same, corrected for the number of pairs.
        clips: Clips that both answered.
        groups: Groups of these clips, or clips without one.
        only_first: Clips of which only the first is right, on average over seeds.
        only_second: Clips of which only the second is.
    """

    first: str
    second: str
    difference: Difference
    p: float
    corrected: float
    clips: int
    groups: int
    only_first: float
    only_second: float

    def verdict(self) -> str:
        """What test and interval tell, which do so in different ways: a difference is one to both of them."""
        found = self.difference
        if self.corrected >= SIGNIFICANT or not (found.low is None or found.is_more or found.is_less):
            return f"These clips do not tell {self.first} and {self.second} apart."
        better, worse = (self.second, self.first) if self.difference.value > 0 else (self.first, self.second)
        return f"{better} is better than {worse}."

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "first": self.first, "second": self.second, "difference": self.difference.to_json(),
            "p": self.p, "p_corrected": self.corrected, "clips": self.clips, "groups": self.groups,
            "only_first_right": self.only_first, "only_second_right": self.only_second,
            "verdict": self.verdict(),
        }  # fmt: skip


def check_alike(runs: Sequence[ScoredRun]) -> None:
    """Refuse runs that were not tested on the same clips.

    Raises:
        InvalidSetting: If some were not, or the data have changed in between; the message names them and
            their tests.
    """
    first = runs[0]
    for run in runs[1:]:
        if changed := run.changed_since(first):
            raise InvalidSetting(f"{run.name} and {first.name}: {changed_data(changed)}")
        if run.is_alike(first):
            continue
        common = len(run.test & first.test)
        what = f"{common} clips are in both" if run.labels == first.labels else "their classes differ"
        raise InvalidSetting(
            f"{run.name} and {first.name} were tested on different sets: {run.tested_on()}, and "
            f"{first.tested_on()}; {what}. Compare runs of the same test, or evaluate one on the other's."
        )


def changed_data(ids: Sequence[str]) -> str:
    """What to say of two runs between which samples have changed."""
    return (
        f"the data have changed between them: {len(ids)} samples have other files, labels or spans now "
        f"({named(ids)}). Train the older one anew."
    )


def compare_pairs(pairs: Sequence[tuple[str, Sequence[ScoredRun], str, Sequence[ScoredRun]]]) -> list[Pair]:
    """Hold pairs against each other, each side one run or several seeds of a cell, run by run.

    Args:
        pairs: Names and runs of both sides; the runs of a place were tested on the same clips.

    Raises:
        InvalidSetting: If two runs answered no clip in common.
        LabelMismatch: If they were given different ground truth.
    """
    found = [_paired(runs, others) for _, runs, _, others in pairs]
    corrected = holm([each.p for each in found])
    return [
        Pair(
            name, other, each.difference, each.p, value, each.clips, each.groups, each.only_first,
            each.only_second,
        )
        for (name, _, other, _), each, value in zip(pairs, found, corrected, strict=True)
    ]  # fmt: skip


@dataclass(frozen=True)
class _Found:
    difference: Difference
    p: float
    clips: int
    groups: int
    only_first: float
    only_second: float


def _paired(first: Sequence[ScoredRun], second: Sequence[ScoredRun]) -> _Found:
    values: dict[str, list[tuple[float, float]]] = {}
    groups: dict[str, str | None] = {}
    for one, other in zip(first, second, strict=False):
        (a, b), _ = align([one.answers, other.answers])
        ours, theirs = rights(a), rights(b)
        for row, name in enumerate(a.ids):
            values.setdefault(name, []).append((float(ours[row]), float(theirs[row])))
            groups[name] = a.groups[row]
    means = np.array([np.mean(each, axis=0) for each in values.values()])
    x, y, of = means[:, 0], means[:, 1], list(groups.values())
    is_share = bool(np.isin(means, (0.0, 1.0)).all())
    difference = share_difference(x > 0, y > 0, of) if is_share else mean_difference(x, y, of)
    count = len({("group", group) if group is not None else ("clip", i) for i, group in enumerate(of)})
    return _Found(
        difference, sign_flip_test(x, y, of), len(means), count,
        float(np.maximum(x - y, 0).sum()), float(np.maximum(y - x, 0).sum()),
    )  # fmt: skip


def rights(table: Predictions) -> np.ndarray:
    """How far each answer is right, `(N,)`: 0 or 1, or of several labels the fraction that is."""
    if table.labels.multi:
        fraction: np.ndarray = ((table.probabilities > 0.5) == (table.targets > 0)).mean(1)
        return fraction
    right: np.ndarray = (table.probabilities.argmax(1) == table.targets).astype(np.float64)
    return right
