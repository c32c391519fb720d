"""Study 5 on the laboratory: do models of base movements hold elsewhere, and on footage without labels?

    python -m benchmarks.robustness [--only NAME ...] [--twin] [--set KEY=VALUE ...] [--work FOLDER]

Makes the laboratory and follows `robustness.yaml` (joints, all clips) and `robustness_rgb.yaml` (videos, an
eighth): the test under noise, compression, lower rates, other speeds and orders of time; its twins by
performers and in scenes of training and from sides that no camera of training had; and footage of four
elements without labels. Runs of `benchmarks.laboratory` in the same folder that were trained alike are taken
instead of trained again. `--twin` does all of it on a fiftieth of the clips with few epochs.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.laboratory import TWIN_SCALE, make, planned, shown, study_line
from benchmarks.laboratory import followed as trained
from benchmarks.record import Row, finish
from kinesphere.apps.html.study import render_study
from kinesphere.core.files import write_text
from kinesphere.studies.cell_run import state_of
from kinesphere.studies.evaluations import Evaluated, evaluate_cells
from kinesphere.studies.expectations import MET
from kinesphere.studies.matrix import Study
from kinesphere.studies.results import FILE_NAME, PAGE_NAME, StudyReport
from kinesphere.studies.running import order_of
from kinesphere.synthetic import LABORATORY

NAMES = ("robustness", "robustness_rgb")


def take_finished(study: Study, others: Path) -> list[str]:
    """Copy runs of other studies that were trained with the same settings; the names of what was taken.

    Args:
        study: What is to be run; runs that were begun stay as they are.
        others: Folder of studies.
    """
    taken = []
    for run in study.runs(study.cells):
        if run.folder.exists():
            continue
        order = order_of(study, run)
        for folder in sorted(others.glob(f"*/cells/*/seed-{run.seed}")):
            if state_of(replace(order, folder=folder)) == "done":
                shutil.copytree(folder, run.folder)
                taken.append(f"{folder.parents[2].name}/{folder.parent.name}")
                break
    return taken


def followed(study: Study) -> tuple[StudyReport, list[Evaluated]]:
    """Run what is left of a study, its conditions included, and write its report."""
    report = trained(study)
    evaluated = evaluate_cells(report.cells, study.recipe.evaluate, study.recipe.root, print)
    plain = {**report.to_json(), "evaluations": [each.to_json() for each in evaluated]}
    write_text(study.folder / FILE_NAME, json.dumps(plain, indent=1, ensure_ascii=False) + "\n")
    write_text(study.folder / PAGE_NAME, render_study(report, evaluated))
    return report, evaluated


def rows_of(study: str, report: StudyReport, evaluated: Sequence[Evaluated]) -> list[Row]:
    """The own test of each cell, then what was scored under conditions."""
    rows: list[Row] = [
        {
            "study": study,
            "cell": cell.name,
            "condition": "its own test: new performers, and in videos new scenes",
            "clips": cell.first.report.clips,
            "top-1, %": shown(cell.score),
            "change, points": "",
        }
        for cell in report.cells
    ]
    for each in evaluated:
        if each.score is not None:
            change = "" if each.change is None else str(each.change).replace(" points", "")
            rows.append(
                {
                    "study": study,
                    "cell": each.cell,
                    "condition": each.condition,
                    "clips": each.clips,
                    "top-1, %": shown(each.score),
                    "change, points": change,
                }
            )
    return rows


def notes_of(study: str, evaluated: Sequence[Evaluated]) -> list[str]:
    """What was answered to footage, which expectations were met, what joints show, and factors."""
    notes: list[str] = []
    shows = next((each.measured for each in evaluated if each.measured), {})
    if shows:
        listed = "; ".join(
            f"{group}: {', '.join(f'{name} {each.met}' for name, each in found.items())} "
            f"of {next(iter(found.values())).recordings}"
            for group, found in shows.items()
            if found
        )
        notes.append(f"{study}, recordings whose joints meet a rule: {listed}.")
    for each in evaluated:
        where = f"{study}, {each.cell}, {each.condition}"
        if each.problem is not None:
            notes.append(f"{where}: not evaluated. {each.problem}")
        notes += [f"{where}: {note}." for note in each.notes]
        if each.counts is not None:
            notes.append(f"{where}, {each.clips} windows of {each.recordings} recordings: {_answers(each)}.")
        notes += [
            f"{where}: {', '.join(rule.labels)} expected of {rule.group}: {100 * rule.fraction:.1f} % there, "
            f"{100 * (rule.elsewhere or 0):.1f} % elsewhere, p {_probability(rule.p)}, in {rule.answered} of "
            f"{rule.recordings} recordings: {'met' if rule.is_met else 'not shown'}."
            for rule in each.rules
        ]
        if (factor := each.factor) is not None:
            said = "an effect" if factor.p < MET else "no effect shown"
            notes.append(
                f"{where}: {factor.factor} ({', '.join(factor.table)}) on answers: {said}, Cramér's V "
                f"{factor.association:.2f}, p {_probability(factor.p)}; {factor.mixed} of {factor.groups} "
                "performers show several of its values."
            )
    return notes


def _answers(each: Evaluated) -> str:
    """The most frequent answers of each group."""
    said = []
    for group, answers in (each.counts or {}).items():
        whole = sum(answers.values())
        most = ", ".join(f"{name} {100 * count / whole:.0f} %" for name, count in list(answers.items())[:4])
        said.append(f"{group} {most}")
    return "; ".join(said)


def _probability(p: float | None) -> str:
    return "–" if p is None else "below 0.001" if p < 0.001 else f"{p:.3f}"


def main() -> None:
    parser = study_line(__doc__, NAMES)
    parser.add_argument("--made", action="store_true", help="the laboratory is there: do not look for gaps")
    measure(parser, parser.parse_args())


def measure(parser: Any, args: argparse.Namespace) -> None:
    """Make the set, follow the recipes, and record what they found."""
    if not args.made:
        make(args.work, LABORATORY, TWIN_SCALE if args.twin else 1.0)
    rows, notes = [], []
    for name in (name for name in NAMES if name in args.only):
        study = planned(name, args.work, args.set, twin=args.twin, captured=True)
        taken = take_finished(study, args.work / "studies")
        report, evaluated = followed(study)
        rows += rows_of(name, report, evaluated)
        notes += [f"{name}: trained before, as {each}." for each in taken]
        notes += [f"{name}: {len(report.failed)} runs failed."] if report.failed else []
        notes += notes_of(name, evaluated)
    notes.append(
        "Changes are paired, clip by clip, with 95 % intervals over performers; those of twins are from the "
        "own test to the same clips with one thing changed."
    )
    title = "Robustness: base movements of the laboratory elsewhere, and footage without labels"
    finish("robustness", title, parser, args, rows, [], notes)


if __name__ == "__main__":
    main()
