"""Tests of finished cells besides their own: under changed conditions, on other data, on unlabelled data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kinesphere.core.errors import InvalidSetting, KinesphereError
from kinesphere.core.settings_file import claim_settings
from kinesphere.data.manifest import Manifest
from kinesphere.data.sample import Sample
from kinesphere.evaluate.metrics import Score, scores
from kinesphere.evaluate.paired import Difference, share_difference
from kinesphere.evaluate.predictions import Predictions, align
from kinesphere.predict.video_predictor import VideoPredictor
from kinesphere.studies.answers import kept_table
from kinesphere.studies.evaluation_settings import EvaluationSection
from kinesphere.studies.expectations import FactorEffect, Rule, factor_effect, histogram, rules
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
            clips are the same ones.
        clips: Number of clips.
        counts: Of unlabelled data, answers by group, over seeds.
        rules: Of unlabelled data, which expectations were met by the first seed.
        factor: Of unlabelled data, the effect of the factor on answers of the first seed.
        notes: What a reader must know.
        problem: Why there are no answers.
    """

    cell: str
    condition: str
    score: Score | None = None
    change: Difference | None = None
    clips: int = 0
    counts: Mapping[str, Mapping[str, int]] | None = None
    rules: tuple[Rule, ...] = ()
    factor: FactorEffect | None = None
    notes: tuple[str, ...] = ()
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "cell": self.cell, "condition": self.condition, "clips": self.clips,
            "score": None if self.score is None else self.score.to_json(),
            "change": None if self.change is None else self.change.to_json(),
            "answers": self.counts, "rules": [rule.to_json() for rule in self.rules],
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
    score = mean_score(values)
    change = None if section.data is not None else _change(cell.first.answers, first)
    return Evaluated(cell.name, section.name, score, change, len(first), notes=notes)


def _change(own: Predictions, changed: Predictions) -> Difference | None:
    """The paired difference on a cell's own test; None of several labels a clip."""
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
    names = first.labels.names
    of = [samples[name].labels[0] for name in first.ids]
    said = [[names[k] for k in table.probabilities.argmax(1)] for table in tables]
    everything = [answer for each in said for answer in each]
    groups = [samples[name].labels[0] for table in tables for name in table.ids]
    met = rules(section.expect, said[0], of, first.paths, names)
    effect = None
    if section.factor is not None:
        values = [dict(samples[name].extra).get(section.factor) or "" for name in first.ids]
        if not all(values):
            raise InvalidSetting(
                f"{section.data} gives no {section.factor!r} for {values.count('')} of {len(values)} clips, "
                "so its effect is not tested; name a column that is filled."
            )
        effect = factor_effect(section.factor, values, said[0], first.groups)
    return Evaluated(
        cell.name, section.name, clips=len(first), counts=histogram(everything, groups), rules=tuple(met),
        factor=effect, notes=notes,
    )  # fmt: skip


def _answers(
    folder: Path, section: EvaluationSection, root: str | None
) -> tuple[Predictions, dict[str, Sample], tuple[str, ...]]:
    """What a run says under a condition, the clips by id as the data give them, and notes."""
    from kinesphere.evaluate import collect
    from kinesphere.predict import load
    from kinesphere.train.recipe import Recipe
    from kinesphere.train.resolve import extracts

    recipe = Recipe.load(folder)
    manifest = _manifest(folder, recipe, section, root)
    predictor = load(folder, compute=recipe.compute.choose())
    samples = {sample.id: sample for sample in manifest}
    asked = _placed(manifest, predictor) if section.unlabelled else _known(manifest, predictor)
    place = folder / FOLDER / f"{section.name}.parquet"
    settings = {"condition": section.model_dump(mode="json"), "data": manifest.fingerprint()}
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


def _manifest(folder: Path, recipe: Any, section: EvaluationSection, root: str | None) -> Manifest:
    """The clips of a condition: a run's own test, or other data.

    Raises:
        InvalidSetting: If the run has no test.
    """
    from kinesphere.train.resolve import read_samples, resolve

    if section.data is not None:
        path = Path(root or ".") / section.data
        manifest = Manifest.read(path, label_column=section.label_column, group_column=section.group_column)
        return manifest if section.split is None else manifest.where(split=section.split)
    _, parts = resolve(recipe, read_samples(recipe))
    if parts.test is None:
        raise InvalidSetting(
            f"{folder} was tested on nothing, so {section.name} has no clips; name its data."
        )
    return parts.test


def _known(manifest: Manifest, predictor: VideoPredictor) -> Manifest:
    """The clips whose classes a model knows.

    Raises:
        InvalidSetting: If it knows none of them.
    """
    kept = [i for i, sample in enumerate(manifest) if all(each in predictor.labels for each in sample.labels)]
    if not kept:
        most = Counter(name for sample in manifest for name in sample.labels).most_common(3)
        listed = ", ".join(name for name, _ in most)
        raise InvalidSetting(f"The model knows none of the classes of {manifest.root}, such as {listed}.")
    return manifest.select(kept)


def _placed(manifest: Manifest, predictor: VideoPredictor) -> Manifest:
    """Clips without labels, under one of the model's that stands for none: only answers are looked at."""
    stand_in = (predictor.labels.names[0],)
    samples = tuple(replace(sample, labels=stand_in) for sample in manifest)
    return replace(manifest, samples=samples, labels=predictor.labels)
