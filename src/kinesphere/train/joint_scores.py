"""The end of a joint training: a model, predictions and a report for each data set, and one over all.

N clips, K classes of all sets.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from kinesphere.core.labels import LabelSet
from kinesphere.data.manifest import Manifest
from kinesphere.evaluate import Report
from kinesphere.evaluate.predictions import Predictions
from kinesphere.evaluate.report import report_from_predictions
from kinesphere.models import load_model, save_model
from kinesphere.train.joint_sections import SEPARATOR
from kinesphere.train.recipe import Recipe
from kinesphere.train.run_folder import RunFiles
from kinesphere.train.set_heads import SetHead, heads_of
from kinesphere.train.splits import Parts

log = logging.getLogger("kinesphere.train")

_WHAT_IS_POOLED = (
    "Each clip is answered by the head of its own data set; the scores above are over the clips of all, "
    "those of each set are in its own report."
)
Score = Callable[[Recipe, Parts, RunFiles], Report | None]
"""Scores the model in a folder on what is held out, and writes report and predictions there."""


def write_models(recipe: Recipe, parts: Parts, files: RunFiles) -> None:
    """Write an ordinary model file for each set: the common network with that set's head."""
    together = load_model(files.joint)
    counts = together.provenance.class_counts or {}
    for head in heads_of(recipe, parts.train.labels):
        own = files.of_set(head.name)
        own.folder.mkdir(parents=True, exist_ok=True)
        prefix = f"{head.name}{SEPARATOR}"
        provenance = replace(
            together.provenance,
            class_counts={label: counts[prefix + label] for label in head.labels},
            scores=_of_set(together.provenance.scores, prefix),
        )
        save_model(together.with_rows(head.rows, head.labels), own.model, provenance=provenance)


def _of_set(scores: dict[str, float], prefix: str) -> dict[str, float]:
    """Validation scores `val_set/top1` of one set, as `val_top1`."""
    start = f"val_{prefix}"
    return {
        f"val_{name.removeprefix(start)}": value for name, value in scores.items() if name.startswith(start)
    }


def score_sets(recipe: Recipe, parts: Parts, files: RunFiles, score: Score) -> Report | None:
    """Score each set's model on its own samples, as one trained alone is, and all of them together.

    Args:
        recipe: Resolved.
        parts: The samples of all sets.
        files: Of the run; that of each set is below.
        score: Scores one.

    Returns:
        The report over the clips of all sets, each answered by the head of its own; None where nothing was
        held out.
    """
    reports: list[tuple[SetHead, Report]] = []
    for head in heads_of(recipe, parts.train.labels):
        own = Parts(
            head.own(parts.train),
            _own(head, parts.val),
            _own(head, parts.test),
            head.own(parts.whole),
            parts.contents,
            (
                *_notes_of(head, list(recipe.joint.sets), parts.notes),
                f"Trained together with {_others(recipe, head)}.",
            ),
        )
        alone = recipe.model_copy(update={"data": recipe.joint.sets[head.name].within(recipe.data)})
        report = score(alone, own, files.of_set(head.name))
        if report is not None:
            log.info("%s: %s", head.name, report.line())
            reports.append((head, report))
    if not reports:
        return None
    predictions = _pooled(parts.train.labels, reports, files)
    said = [f"{head.name}: {report.line()} (sets/{head.name})." for head, report in reports]
    splits = {report.protocol.split for _, report in reports}
    first = reports[0][1]
    report = report_from_predictions(
        predictions,
        replace(
            first.protocol,
            dataset=" + ".join(head.name for head, _ in reports),
            fingerprint=parts.whole.fingerprint(),
            split=splits.pop() if len(splits) == 1 else None,
        ),
        first.environment,
        notes=(
            _WHAT_IS_POOLED,
            *said,
            *parts.notes,
        ),
    )
    predictions.write(files.predictions)
    report.write(files.report)
    return report


def _own(head: SetHead, part: Manifest | None) -> Manifest | None:
    prefix = f"{head.name}{SEPARATOR}"
    if part is None or not any(sample.labels[0].startswith(prefix) for sample in part):
        return None
    return head.own(part)


def _notes_of(head: SetHead, sets: Sequence[str], notes: Sequence[str]) -> tuple[str, ...]:
    """The notes of a set, without its name, and those that are about no set in particular."""
    prefix, others = f"{head.name}: ", tuple(f"{name}: " for name in sets if name != head.name)
    return tuple(note.removeprefix(prefix) for note in notes if not note.startswith(others))


def _others(recipe: Recipe, head: SetHead) -> str:
    return ", ".join(name for name in recipe.joint.sets if name != head.name)


def _pooled(labels: LabelSet, reports: Sequence[tuple[SetHead, Report]], files: RunFiles) -> Predictions:
    """One table over the classes of all sets; a clip has probabilities in its own set alone."""
    tables = []
    for head, _ in reports:
        own = Predictions.read(files.of_set(head.name).predictions)
        wide = np.zeros((len(own), len(labels)))
        wide[:, head.rows] = own.probabilities
        prefix = f"{head.name}{SEPARATOR}"
        tables.append(
            replace(
                own,
                labels=labels,
                ids=tuple(prefix + name for name in own.ids),
                groups=tuple(None if group is None else prefix + group for group in own.groups),
                targets=own.targets + head.start,
                probabilities=wide,
            )
        )
    return Predictions.pooled(tables)
