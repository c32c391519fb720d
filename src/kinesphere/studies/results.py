"""What a study found: each cell's scores over its seeds, pairs of cells on the same clips, and costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.evaluate.metrics import Score
from kinesphere.evaluate.predictions import Predictions
from kinesphere.studies.cell_classes import ClassRows, class_rows
from kinesphere.studies.cell_confusions import Confusions, confusions_of
from kinesphere.studies.cell_run import Cost, Record
from kinesphere.studies.choosing import Choice, primary_score
from kinesphere.studies.matrix import Cell, results_of
from kinesphere.studies.running import Finished
from kinesphere.studies.tested import CORRECTION, Pair, ScoredRun, changed_data, compare_pairs
from kinesphere.train.joint_sections import SEPARATOR
from kinesphere.train.run_folder import RunFiles
from kinesphere.train.splits_csv import SplitTable

FILE_NAME, PAGE_NAME = "report.json", "report.html"
# Without pairs that were asked for, cells of one test are held against each other up to this many pairs.
_MOST_PAIRS = 45


@dataclass(frozen=True, eq=False)
class SeedResult:
    """One finished run of a cell.

    Attributes:
        seed: Of the training.
        run: The run and its answers.
        validation: Name, value of the primary score on validation samples; None without them.
        validation_clips: How many these are.
        cost: What it took.
    """

    seed: int
    run: ScoredRun
    validation: float | None
    validation_clips: int
    cost: Cost | None


@dataclass(frozen=True, eq=False)
class CellResult:
    """A cell over its seeds.

    Attributes:
        name: Of the cell.
        axes: Its setting on each axis.
        draw: What was drawn and chosen for it, in words.
        seeds: Its finished runs.
        scores: Means over seeds; an interval has the means of the seeds' ends, as these share their clips.
        spread: Standard deviation of a score over seeds; None of a single one.
        primary: Name of the score that leads.
        classes: Recall of each class.
        confusions: Which classes are taken for which.
        taught: Number of training clips of each class, in the first seed.
    """

    name: str
    axes: Mapping[str, str]
    draw: str | None
    seeds: tuple[SeedResult, ...]
    scores: Mapping[str, Score]
    spread: Mapping[str, float | None]
    primary: str
    classes: ClassRows
    confusions: Confusions
    taught: Mapping[str, int]

    @property
    def tested(self) -> dict[int, ScoredRun]:
        """The runs by seed."""
        return {each.seed: each.run for each in self.seeds}

    @property
    def first(self) -> ScoredRun:
        """The run of the first seed."""
        return self.seeds[0].run

    @property
    def score(self) -> Score:
        """The score that leads."""
        return self.scores[self.primary]

    @property
    def validation(self) -> float | None:
        """Mean of the primary score on validation samples; None without them."""
        values = [each.validation for each in self.seeds if each.validation is not None]
        return float(np.mean(values)) if values else None

    @property
    def is_tested(self) -> bool:
        """Whether the scores are those of a test, not of validation samples."""
        return self.first.report.protocol.split != "val"

    @property
    def cost(self) -> Cost | None:
        """Mean time over seeds, and sizes."""
        known = [each.cost for each in self.seeds if each.cost is not None]
        if not known:
            return None
        seconds = sum(each.seconds for each in known) / len(known)
        return Cost(seconds, known[0].parameters, known[0].multiply_adds)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        cost = self.cost
        return {
            "cell": self.name,
            "axes": dict(self.axes),
            "drawn": self.draw,
            "runs": [
                {
                    "seed": each.seed, "run": str(each.run.folder), "validation": each.validation,
                    "score": each.run.report.scores[self.primary].value,
                }
                for each in self.seeds
            ],
            "split": self.first.report.protocol.split,
            "primary": self.primary,
            "scores": {name: score.to_json() for name, score in self.scores.items()},
            "spread": dict(self.spread),
            "validation": self.validation,
            "validation_clips": self.seeds[0].validation_clips,
            "gap": None if self.validation is None else self.validation - self.score.value,
            "clips": self.first.report.clips,
            "skipped": [each.to_json() for run in self.seeds for each in run.run.report.skipped],
            "notes": list(self.first.report.notes),
            "classes": self.classes.to_json(),
            "confusions": self.confusions.to_json(),
            "training_clips": dict(self.taught),
            "cost": None if cost is None else asdict(cost),
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class StudyReport:
    """Everything that a study found.

    Attributes:
        name: Of the study.
        folder: Where it lies.
        cells: With at least one finished run.
        failed: Run folder, cell, seed and reason of each that is not finished.
        pairs: Pairs of cells.
        apart: Pairs that were not tested on the same clips, in words.
        choices: What was chosen where settings were drawn.
        seeds: Of the study.
    """

    name: str
    folder: Path
    cells: tuple[CellResult, ...]
    failed: tuple[Mapping[str, Any], ...]
    pairs: tuple[Pair, ...]
    apart: tuple[str, ...]
    choices: tuple[Choice, ...]
    seeds: tuple[int, ...]

    @cached_property
    def by_name(self) -> dict[str, CellResult]:
        """The cells by name."""
        return {cell.name: cell for cell in self.cells}

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "study": self.name,
            "seeds": list(self.seeds),
            "cells": [cell.to_json() for cell in self.cells],
            "failed": [dict(each) for each in self.failed],
            "pairs": [pair.to_json() for pair in self.pairs],
            "correction": CORRECTION,
            "not_compared": list(self.apart),
            "choices": [choice.to_json() for choice in self.choices],
        }


def report_on_study(finished: Finished) -> StudyReport:
    """Put together what the finished runs of a study hold.

    Raises:
        InvalidSetting: If files of a run are damaged.
    """
    study = finished.study
    cells = [each for name in study.names for each in _cells(finished, name)]
    failed = [
        {
            "cell": each.run.cell.name,
            "seed": each.run.seed,
            "run": str(each.run.folder),
            "reason": each.problem,
        }
        for each in finished.failed
    ]
    pairs, apart = _pairs(cells, study.pairs)
    return StudyReport(
        study.recipe.name, study.folder, tuple(cells), tuple(failed), tuple(pairs), tuple(apart),
        finished.choices, study.recipe.seeds,
    )  # fmt: skip


def _cells(finished: Finished, name: str) -> list[CellResult]:
    """A cell over its finished runs, one of joint training for each of its data sets; none where there is no
    run, or nothing was held out."""
    cell = finished.cell(name)
    parts = cell.recipe.joint.sets or (None,)
    found = [_cell(finished, cell, *each) for each in zip(results_of(cell), parts, strict=True)]
    return [each for each in found if each is not None]


def _cell(finished: Finished, cell: Cell, name: str, part: str | None) -> CellResult | None:
    """A cell, or what it came to on one data set of its joint training."""
    failed = {outcome.run.folder for outcome in finished.failed}
    folders = {
        run.seed: run.folder
        for run in finished.study.runs([cell])
        if run.folder not in failed and RunFiles(run.folder).report.is_file()
    }
    if not folders:
        return None
    seeds = tuple(_seed(name, seed, folder, part) for seed, folder in folders.items())
    reports = [each.run.report for each in seeds]
    names = [key for key in reports[0].scores if all(key in report.scores for report in reports)]
    values = {key: [report.scores[key] for report in reports] for key in names}
    tables = [each.run.answers for each in seeds]
    return CellResult(
        name, cell.axes, None if cell.draw is None else str(cell.draw), seeds,
        {key: mean_score(scores) for key, scores in values.items()},
        {key: _spread([score.value for score in scores]) for key, scores in values.items()},
        reports[0].primary[0], class_rows(tables), confusions_of(tables),
        _taught(RunFiles(folders[seeds[0].seed]), part),
    )  # fmt: skip


def _seed(name: str, seed: int, folder: Path, part: str | None) -> SeedResult:
    files, record = RunFiles(folder), Record.read(folder)
    value, clips = None, 0
    if files.validation_predictions.is_file():
        table = Predictions.read(files.validation_predictions)
        value, clips = primary_score(table)[1], len(table)
    tested = files if part is None else files.of_set(part)
    run = ScoredRun.of(tested.folder, f"{name}, seed {seed}")
    return SeedResult(seed, run, value, clips, None if record is None else record.cost)


def mean_score(scores: Sequence[Score]) -> Score:
    """The mean over seeds; an interval where all have one, whose ends are the means of theirs."""
    kind = type(scores[0])  # some are no fractions
    value = float(np.mean([score.value for score in scores]))
    lows = [score.low for score in scores if score.low is not None]
    highs = [score.high for score in scores if score.high is not None]
    if len(lows) < len(scores) or len(highs) < len(scores):
        return kind(value)
    return kind(value, float(np.mean(lows)), float(np.mean(highs)))


def _spread(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _taught(files: RunFiles, part: str | None) -> dict[str, int]:
    """Training clips by class; of a data set of a joint training, whose classes are named with it."""
    if not files.splits.is_file():
        return {}
    rows = SplitTable.read(files.splits)
    labels = Counter(label for row in rows if row.part == "train" for label in row.labels)
    prefix = "" if part is None else f"{part}{SEPARATOR}"
    return {name.removeprefix(prefix): count for name, count in labels.items() if name.startswith(prefix)}


def _pairs(cells: Sequence[CellResult], asked: Sequence[tuple[str, str]]) -> tuple[list[Pair], list[str]]:
    """Pairs of cells that were tested on the same clips, and what could not be compared."""
    by_name, apart = {cell.name: cell for cell in cells}, []
    wanted = [(by_name[a], by_name[b]) for a, b in asked if a in by_name and b in by_name]
    apart += [f"{a} and {b}: not both are finished" for a, b in asked if not {a, b} <= set(by_name)]
    if not asked:
        wanted = [pair for pair in combinations(cells, 2) if _alike(*pair)]
        if len(wanted) > _MOST_PAIRS:
            best = max(cells, key=lambda cell: cell.score.value)
            wanted = [pair for pair in wanted if best in pair]
            apart.append(f"too many cells to hold all against each other: each is held against {best.name}")
    chosen = []
    for one, other in wanted:
        seeds = [seed for seed in one.tested if seed in other.tested]
        if not seeds or not _alike(one, other):
            apart.append(
                f"{one.name} and {other.name}: {one.first.tested_on()}, and {other.first.tested_on()}"
            )
            continue
        if changed := [name for seed in seeds for name in one.tested[seed].changed_since(other.tested[seed])]:
            apart.append(f"{one.name} and {other.name}: {changed_data([*dict.fromkeys(changed)])}")
            continue
        sides = [[cell.tested[seed] for seed in seeds] for cell in (one, other)]
        chosen.append((one.name, sides[0], other.name, sides[1]))
    return (compare_pairs(chosen) if chosen else []), apart


def _alike(one: CellResult, other: CellResult) -> bool:
    """Whether two cells were tested on the same clips, seed by seed."""
    common = [seed for seed in one.tested if seed in other.tested]
    return all(one.tested[seed].is_alike(other.tested[seed]) for seed in common)
