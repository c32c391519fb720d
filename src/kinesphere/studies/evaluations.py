"""Tests of finished cells besides their own: under changed conditions, on other data, on unlabelled data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kinesphere.core.errors import InvalidSetting, KinesphereError
from kinesphere.core.settings_file import claim_settings
from kinesphere.data.sample import Sample
from kinesphere.evaluate.metrics import Score, scores
from kinesphere.evaluate.paired import Difference, share_difference
from kinesphere.evaluate.predictions import Predictions, align
from kinesphere.studies.answers import kept_table
from kinesphere.studies.condition_clips import (
    clips_of,
    in_windows,
    known_clips,
    unlabelled_clips,
    value_of,
    values_of,
)
from kinesphere.studies.evaluation_settings import EvaluationSection
from kinesphere.studies.expectations import (
    Rule,
    Shown,
    histogram,
    measured,
    rules,
)
from kinesphere.studies.factor_effects import FactorEffect, factor_effect
from kinesphere.studies.perturbations import perturbation_of, without_effect
from kinesphere.studies.results import CellResult, mean_score

FOLDER = "conditions"
"""Within a run folder: the answers under each condition."""


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A cell under one condition, over its seeds.

    Attributes:
        cell: Name of the cell.
        condition: Name of the condition.
        score: Mean of the primary score; None of unlabelled data, or where it failed.
        change: How much oftener answers of the first seed are right than in the cell's own test, where the
            clips are the same ones, or their twins.
        clips: Number of clips.
        recordings: Of unlabelled data, number of files that the clips are cut from.
        counts: Of unlabelled data, answers by group, over seeds.
        rules: Of unlabelled data, which expectations were met by the first seed.
        measured: Of unlabelled data, what is known to be shown in how many recordings of each group.
        factor: The effect of the factor on answers of the first seed.
        notes: What a reader must know.
        problem: Why there are no answers.
    """

    cell: str
    condition: str
    score: Score | None = None
    change: Difference | None = None
    clips: int = 0
    recordings: int = 0
    counts: Mapping[str, Mapping[str, int]] | None = None
    rules: tuple[Rule, ...] = ()
    measured: Mapping[str, Mapping[str, Shown]] = field(default_factory=dict)
    factor: FactorEffect | None = None
    notes: tuple[str, ...] = ()
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "cell": self.cell, "condition": self.condition, "clips": self.clips,
            "score": None if self.score is None else self.score.to_json(),
            "change": None if self.change is None else self.change.to_json(),
            "recordings": self.recordings,
            "answers": self.counts, "rules": [rule.to_json() for rule in self.rules],
            "measured": {
                group: {name: asdict(each) for name, each in found.items()}
                for group, found in self.measured.items()
            },
            "factor": None if self.factor is None else self.factor.to_json(),
            "notes": list(self.notes), "problem": self.problem,
        }  # fmt: skip


def evaluate_cells(
    cells: Sequence[CellResult],
    sections: Sequence[EvaluationSection],
    root: str | None,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Evaluated]:
    """All cells under all conditions; answers are kept in the run folders, and only missing ones asked for.

    Args:
        cells: Finished cells.
        sections: The conditions.
        root: Folder that relative data lie below.
        tell: Called with a line for each one that begins.
    """
    found = []
    for section in sections:
        for cell in cells:
            tell(f"{cell.name}: {section.name}")
            try:
                found.append(_evaluated(cell, section, root))
            except (KinesphereError, OSError) as error:
                found.append(Evaluated(cell.name, section.name, problem=str(error)))
    return found


def _evaluated(cell: CellResult, section: EvaluationSection, root: str | None) -> Evaluated:
    answered = [_answers(each.run.folder, section, root) for each in cell.seeds]
    tables = [table for table, _, _ in answered]
    first, samples, notes = answered[0]
    if section.unlabelled:
        return _unlabelled(cell, section, tables, samples, notes)
    values = [scores(t.probabilities, t.targets, t.labels, groups=t.groups)[cell.primary] for t in tables]
    paired = section.data is None or section.twins
    return Evaluated(
        cell.name, section.name, mean_score(values), _change(cell.first.answers, first) if paired else None,
        len(first), factor=_factor(section, first, samples), notes=notes,
    )  # fmt: skip


def _change(own: Predictions, changed: Predictions) -> Difference | None:
    """The paired difference to a cell's own test; None of several labels a clip."""
    if own.labels.multi:
        return None
    (a, b), _ = align([own, changed])
    right = [table.probabilities.argmax(1) == table.targets for table in (a, b)]
    return share_difference(right[0], right[1], a.groups)


def _unlabelled(
    cell: CellResult,
    section: EvaluationSection,
    tables: Sequence[Predictions],
    samples: Mapping[str, Sample],
    notes: tuple[str, ...],
) -> Evaluated:
    """Histograms over seeds; rules and the factor by the first seed, as seeds are no new recordings."""
    first = tables[0]
    of = [samples[name].labels[0] for name in first.ids]
    said = [answer for table in tables for answer in _said(table)]
    groups = [samples[name].labels[0] for table in tables for name in table.ids]
    met = rules(section.expect, _said(first), of, first.paths, first.labels.names)
    shown = {}
    if section.measured is not None:
        lists = [value_of(samples[name], section.measured).split("|") for name in first.ids]
        shown = measured(lists, of, first.paths)
    return Evaluated(
        cell.name, section.name, clips=len(first), recordings=len(set(first.paths)),
        counts=histogram(said, groups), rules=tuple(met), measured=shown,
        factor=_factor(section, first, samples), notes=notes,
    )  # fmt: skip


def _said(table: Predictions) -> list[str]:
    return [table.labels.names[k] for k in table.probabilities.argmax(1)]


def _factor(
    section: EvaluationSection, table: Predictions, samples: Mapping[str, Sample]
) -> FactorEffect | None:
    """The effect of the condition's factor on answers, within each label, or group without labels.

    Raises:
        InvalidSetting: If there are several labels a clip, or the factor cannot be told from them.
    """
    if section.factor is None:
        return None
    if table.labels.multi:
        raise InvalidSetting(
            f"The effect of {section.factor} is tested for answers of one label a clip; leave factor out."
        )
    values = values_of([samples[name] for name in table.ids], section.factor)
    if section.unlabelled:
        labels, parts = None, [samples[name].labels[0] for name in table.ids]
    else:
        labels, parts = [table.labels.names[k] for k in table.targets], None
    return factor_effect(section.factor, values, _said(table), table.groups, table.paths, labels, parts)


def _answers(
    folder: Path, section: EvaluationSection, root: str | None
) -> tuple[Predictions, dict[str, Sample], tuple[str, ...]]:
    """What a run says under a condition, the clips by id as the data give them, and notes."""
    from kinesphere.evaluate import collect
    from kinesphere.predict import load
    from kinesphere.train.recipe import Recipe
    from kinesphere.train.resolve import extracts

    recipe = Recipe.load(folder)
    predictor = load(folder, compute=recipe.compute.choose())
    manifest = in_windows(clips_of(folder, recipe, section, root), predictor, section)
    samples = {sample.id: sample for sample in manifest}
    asked = unlabelled_clips(manifest, predictor) if section.unlabelled else known_clips(manifest, predictor)
    place = folder / FOLDER / f"{section.name}.parquet"
    settings = {"condition": section.asked(), "data": manifest.fingerprint()}
    claim_settings(place.with_suffix(".json"), settings, output=place)
    perturb = perturbation_of(section, predictor.specs)

    def ask() -> Predictions:
        return collect(
            predictor, asked, batch_size=recipe.train.batch_size, workers=recipe.compute.workers,
            extracts=extracts(recipe.data), perturb=perturb,
        )  # fmt: skip

    table = kept_table(place, asked, ask)
    notes = list(without_effect(section, predictor.specs))
    if left := len(manifest) - len(asked):
        classes = sorted(
            {name for sample in manifest for name in sample.labels} - set(predictor.labels.names)
        )
        notes.append(f"{left} clips are of classes that the model does not know: {', '.join(classes[:5])}")
    if table.skipped:
        notes.append(f"{len(table.skipped)} clips could not be read, such as {table.skipped[0].path}")
    return table, samples, tuple(notes)
