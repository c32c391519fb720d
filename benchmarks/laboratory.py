"""Two studies on the laboratory: which classifier, and whether base movements help their evaluations.

    python -m benchmarks.laboratory [--only TEXT] [--twin] [--set KEY=VALUE ...] [--work FOLDER]

Makes the laboratory (joints of all clips, videos of an eighth), the same tables of captured motion where
KINESPHERE_TEST_DATA is set, and follows the recipes in recipes/studies. What is finished is kept: the command
goes on where it stopped. `--only` follows the recipes whose names hold a text; `--twin` does all of it on a
fiftieth of the clips with few epochs, in about two minutes of one core. Making the set is not part of the
minutes.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import Row, command_line, finish, goal, significant
from kinesphere.apps.html.study import render_study
from kinesphere.core.files import write_text
from kinesphere.evaluate.metrics import Score
from kinesphere.evaluate.paired import Difference, mean_difference
from kinesphere.evaluate.predictions import Predictions, align
from kinesphere.studies.matrix import CellRun, Study
from kinesphere.studies.results import FILE_NAME, PAGE_NAME, CellResult, StudyReport, report_on_study
from kinesphere.studies.running import Outcome, jobs_of, run_study
from kinesphere.studies.study_recipe import StudyRecipe
from kinesphere.studies.tested import rights
from kinesphere.synthetic import LABORATORY, generate_laboratory
from kinesphere.synthetic.laboratory.capture import capture_laboratory
from kinesphere.synthetic.laboratory.scale import DIMENSIONS
from kinesphere.synthetic.settings import MannequinSettings

DATA = "KINESPHERE_TEST_DATA"
WORK = Path("runs/laboratory_benchmark")
RECIPES = Path(__file__).resolve().parents[1] / "recipes" / "studies"
NAMES = ("classifier", "transfer", "classifier_rgb", "transfer_rgb")
TWIN_SCALE = 0.02
_TWIN_EPOCHS = 2
_MINUTES = 90.0
_CAPTURED = "captured"


@dataclass(frozen=True)
class Scarcity:
    """Evaluation classes that are about as scarce beside their most frequent sibling.

    Attributes:
        name: For the table.
        labels: The classes.
    """

    name: str
    labels: frozenset[str]


def scarcities() -> tuple[Scarcity, ...]:
    """All evaluation classes by how often their most frequent sibling occurs for each of their clips."""
    bounds = {"most frequent": 1.0, "up to 2:1": 2.0, "up to 3:1": 3.0, "above, up to 8:1": 8.0}
    found: dict[str, set[str]] = {name: set() for name in bounds}
    for each in DIMENSIONS:
        most = max(level.clips for level in each.levels)
        for level in each.levels:
            name = next(name for name, bound in bounds.items() if most / level.clips <= bound)
            found[name].add(each.label(level.name))
    return tuple(Scarcity(name, frozenset(labels)) for name, labels in found.items())


@dataclass(frozen=True)
class Lift:
    """What a second start has over a first one on clips of some classes.

    Attributes:
        clips: Test clips of these classes.
        first, second: Fraction of them that is right, on average over seeds.
        difference: The second less the first, with its paired interval over performers.
    """

    clips: int
    first: float
    second: float
    difference: Difference


def lift(first: Sequence[Predictions], second: Sequence[Predictions], labels: frozenset[str]) -> Lift | None:
    """Hold two cells against each other on the test clips of some classes, seed by seed.

    Returns:
        None where no test clip is of these classes.
    """
    names: tuple[str, ...] = ()
    groups: tuple[str | None, ...] = ()
    values = []
    for one, other in zip(first, second, strict=True):
        (a, b), _ = align([one, other])
        kept = np.array([a.labels.names[k] in labels for k in a.targets.tolist()], bool)
        if names and names != a.ids:
            raise ValueError("seeds of a cell are tested on the same clips")
        names, groups = a.ids, tuple(group for group, keep in zip(a.groups, kept, strict=True) if keep)
        values.append(np.stack([rights(a)[kept], rights(b)[kept]]))
    means = np.mean(values, axis=0)
    if not means.size:
        return None
    difference = mean_difference(means[0], means[1], groups)
    return Lift(means.shape[1], float(means[0].mean()), float(means[1].mean()), difference)


def planned(name: str, work: Path, changes: Sequence[str] = (), *, twin: bool, captured: bool) -> Study:
    """A study of the recipes, on the set in `work`."""
    plain = [f"root={work}", "log.tensorboard=false"]
    recipe = StudyRecipe.load(RECIPES / f"{name}.yaml", [*plain, *changes])
    recipe = recipe.model_copy(update={"out": str(work / "studies" / name)})
    if twin:
        recipe = recipe.model_copy(update={"seeds": recipe.seeds[:1]})
    study = Study.plan(recipe)
    if not captured:
        study = _without_captured(study)
    return _shortened(study) if twin else study


def _without_captured(study: Study) -> Study:
    """The study without the cells that learn from captured motion, or start from those."""
    left = {cell.name for cell in study.cells if _CAPTURED in f"{cell.name} {cell.start}"}
    return replace(
        study,
        cells=tuple(cell for cell in study.cells if cell.name not in left),
        levels=tuple(tuple(name for name in level if name not in left) for level in study.levels),
        pairs=tuple(pair for pair in study.pairs if not left & {*pair}),
    )


def _shortened(study: Study) -> Study:
    """The same with few epochs."""
    cells = []
    for cell in study.cells:
        train = cell.recipe.train.model_copy(update={"epochs": _TWIN_EPOCHS})
        cells.append(replace(cell, recipe=cell.recipe.model_copy(update={"train": train})))
    return replace(study, cells=tuple(cells))


class _Said:
    """Prints which run begins."""

    def begins(self, run: CellRun, number: int, total: int) -> None:
        print(f"[{number} of {total}] {run.cell.name}, seed {run.seed}", flush=True)

    def ended(self, outcome: Outcome) -> None:
        if outcome.problem is not None:
            print(f"{outcome.run.cell.name}, seed {outcome.run.seed}: {outcome.problem}", flush=True)


def followed(study: Study) -> StudyReport:
    """Run what is left of a study and write its report."""
    report = report_on_study(run_study(study, _Said(), jobs=jobs_of(study)))
    write_text(study.folder / FILE_NAME, json.dumps(report.to_json(), indent=1, ensure_ascii=False) + "\n")
    write_text(study.folder / PAGE_NAME, render_study(report))
    return report


def make(work: Path, settings: MannequinSettings, scale: float, *, joints_only: bool = False) -> bool:
    """Make the sets that the recipes read; whether captured motion is among them."""
    generate_laboratory(settings, work / "laboratory", scale=scale, joints_only=joints_only)
    data = os.environ.get(DATA)
    if data is None:
        return False
    capture_laboratory("bandai_namco", Path(data) / "mocap" / "styles.tar.xz", work / "styles", settings)
    return True


def cell_row(study: str, cell: CellResult) -> Row:
    """A cell in the table."""
    cost = cell.cost
    return {
        "study": study,
        "cell": cell.name,
        "test clips": cell.first.report.clips,
        "seeds": len(cell.seeds),
        "top-1": shown(cell.scores["top1"]),
        "top-3": _percent(cell.scores.get("top3")),
        "mean class": _percent(cell.scores.get("mean_class_accuracy")),
        "minutes a run": "" if cost is None else significant(cost.seconds / 60),
    }


def shown(score: Score) -> str:
    """A score with its interval, in percent."""
    if score.low is None or score.high is None:
        return f"{100 * score.value:.1f}"
    return f"{100 * score.value:.1f} [{100 * score.low:.1f}, {100 * score.high:.1f}]"


def _percent(score: Score | None) -> str:
    return "" if score is None else f"{100 * score.value:.1f}"


def lift_notes(report: StudyReport) -> list[str]:
    """For every pair that was asked for: the difference by how scarce classes are."""
    notes = []
    for pair in report.pairs:
        first, second = (report.by_name[name] for name in (pair.first, pair.second))
        both = sorted({*first.tested} & {*second.tested})
        tables = [[cell.tested[seed].answers for seed in both] for cell in (first, second)]
        for scarcity in scarcities():
            found = lift(tables[0], tables[1], scarcity.labels)
            if found is not None:
                notes.append(
                    f"{report.name}, {pair.second} less {pair.first}, classes {scarcity.name} "
                    f"({len(scarcity.labels)} classes, {found.clips} test clips): {100 * found.first:.1f} to "
                    f"{100 * found.second:.1f} %, {found.difference}."
                )
    return notes


def answer(report: StudyReport) -> str:
    """Whether base pre-training lifts the scarce evaluations, in words, of all networks."""
    said = []
    scarce = scarcities()[-1]
    for pair in report.pairs:
        if not (pair.first.startswith("scratch") and pair.second.startswith("base")):
            continue
        cells = [report.by_name[name] for name in (pair.first, pair.second)]
        both = sorted({*cells[0].tested} & {*cells[1].tested})
        found = lift(*([cell.tested[seed].answers for seed in both] for cell in cells), scarce.labels)
        if found is not None:
            is_told = found.difference.is_more or found.difference.is_less
            more = "not told" if not is_told else "yes" if found.difference.is_more else "no, less"
            said.append(f"{pair.second.partition('-')[2] or pair.second} {more}, {found.difference}")
    return f"Does base pre-training lift the scarce evaluations ({report.name})? {'; '.join(said)}."


def study_line(doc: str | None, names: Sequence[str]) -> argparse.ArgumentParser:
    """The options of a benchmark that follows recipes of studies on the laboratory."""
    parser = command_line(doc)
    parser.add_argument("--only", nargs="*", default=list(names), choices=names, help="recipes to follow")
    parser.add_argument("--twin", action="store_true", help="a fiftieth of the clips, few epochs")
    parser.add_argument("--set", nargs="*", default=[], help="settings of all runs, compute.threads=1")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of sets and runs")
    return parser


def main() -> None:
    parser = study_line(__doc__, NAMES)
    measure(parser, parser.parse_args())


def measure(parser: Any, args: argparse.Namespace) -> None:
    """Make the sets, follow the recipes, and record what they found."""
    names = [name for name in NAMES if name in args.only]
    scale = TWIN_SCALE if args.twin else 1.0
    captured = make(args.work, LABORATORY, scale)
    rows, notes, answers, seconds = [], [], [], 0.0
    for name in names:
        report = followed(planned(name, args.work, args.set, twin=args.twin, captured=captured))
        rows += [cell_row(name, cell) for cell in report.cells]
        seconds += sum(cell.cost.seconds * len(cell.seeds) for cell in report.cells if cell.cost is not None)
        notes += [f"{name}: {len(report.failed)} runs failed."] if report.failed else []
        if name.startswith("transfer"):
            notes += lift_notes(report)
            answers.append(answer(report))
    if not captured:
        notes.append(f"{DATA} is not set: nothing started from captured motion.")
    finish(
        "laboratory",
        "Base movements and evaluations of the movement-analysis laboratory",
        parser,
        args,
        rows,
        [goal("Minutes of all runs, making the set apart", seconds / 60, _MINUTES, " min", at_most=True)],
        [*answers, *notes],
    )


if __name__ == "__main__":
    main()
