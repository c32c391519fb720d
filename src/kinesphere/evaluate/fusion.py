"""Late fusion: one answer out of what several models say of the same clips.

The fused probabilities are the weighted mean of those of the models (Simonyan, Zisserman: "Two-Stream
Convolutional Networks for Action Recognition in Videos", NIPS 2014, section 3, fuse so with equal weights).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from kinesphere.core.errors import InvalidSetting, LabelMismatch
from kinesphere.core.skipped import Skipped
from kinesphere.evaluate.predictions import Predictions
from kinesphere.predict.fused import check_labels, shares

T = TypeVar("T")

# Expectation maximisation ends when no weight moves more than this.
_SETTLED = 1e-6
_MOST_STEPS = 10_000
# Probabilities below this count as this, so that one sure mistake does not silence a model for good.
_FLOOR = 1e-6


def fuse(parts: Sequence[Predictions], weights: Sequence[float] | None = None) -> Predictions:
    """The weighted mean of what models said of the same clips.

    Args:
        parts: One table per model; any order of clips and labels.
        weights: One per model, not negative; only their ratios count. None weighs all alike.

    Returns:
        A table in the order of the first. Clips that some model could not score are skipped and listed.

    Raises:
        InvalidSetting: If there are fewer than two tables, the weights cannot work, or the tables share no
            clip.
        LabelMismatch: If labels differ, or models were told different truths about a clip.
    """
    weighing = shares(weights, len(parts))
    aligned, skipped = align(parts)
    probabilities = sum(share * part.probabilities for share, part in zip(weighing, aligned, strict=True))
    return replace(aligned[0], probabilities=probabilities, skipped=skipped, damaged=_damaged(parts))


def learn_weights(parts: Sequence[Predictions]) -> tuple[float, ...]:
    """The weights under which the fused probabilities of the true classes are most likely.

    The likelihood of a mixture over its weights has one maximum, which expectation maximisation finds.
    Learn on validation clips: weights fitted to test clips make the test score worthless.

    Args:
        parts: One table per model, over validation clips.

    Returns:
        One weight per model, not negative, summing to 1.

    Raises:
        InvalidSetting: If there are fewer than two tables, or they share no clip.
        LabelMismatch: If labels differ, or models were told different truths about a clip.
    """
    shares(None, len(parts))
    aligned, _ = align(parts)
    return _most_likely(aligned)


@dataclass(frozen=True, eq=False)
class FoldFusion:
    """Cross-validations as one, each fold under weights that the other folds taught.

    Attributes:
        weights: For each fold, one per model, summing to 1.
        learned_on: For each fold, the clips of the others that its weights were learned on.
        predictions: The fused probabilities.
    """

    weights: Mapping[str, tuple[float, ...]]
    learned_on: Mapping[str, int]
    predictions: Predictions


def fuse_folds(parts: Sequence[Predictions]) -> FoldFusion:
    """Fuse cross-validations under learned weights, without a clip that taught its own.

    The weights of a fold are those that `learn_weights` finds on the clips of all other folds. Each of those
    was scored by a model that never saw it.

    Args:
        parts: One table per model, over all folds.

    Raises:
        InvalidSetting: If there are fewer than two tables or folds, the tables share no clip, or they were
            folded differently.
        LabelMismatch: If labels differ, or models were told different truths about a clip.
    """
    shares(None, len(parts))
    aligned, _ = align(parts)
    first = aligned[0]
    names = tuple(dict.fromkeys(name for name in first.folds if name is not None))
    if len(names) < 2 or any(part.folds != first.folds or None in part.folds for part in aligned):
        counts = " and ".join(str(len(set(part.folds))) for part in aligned)
        raise InvalidSetting(
            "Weights are learned fold by fold where all models were cross-validated on the same two or more "
            f"folds; these have {counts}, or other clips in them. Cross-validate alike, or give the weights."
        )
    weights, learned_on, fused = {}, {}, []
    for name in names:
        others, own = ([i for i, fold in zip(first.ids, first.folds, strict=True) if (fold == name) is held]
                       for held in (False, True))  # fmt: skip
        weights[name] = _most_likely([_arranged(part, others, first) for part in aligned])
        learned_on[name] = len(others)
        fused.append(fuse([_arranged(part, own, first) for part in aligned], weights[name]))
    pooled, whole = Predictions.pooled(fused), fuse(parts)
    predictions = replace(_arranged(pooled, first.ids, first), skipped=whole.skipped, damaged=whole.damaged)
    return FoldFusion(weights, learned_on, predictions)


def _most_likely(aligned: Sequence[Predictions]) -> tuple[float, ...]:
    likelihood = np.stack([_likelihood(part) for part in aligned])
    weights = np.full(len(aligned), 1 / len(aligned))
    for _ in range(_MOST_STEPS):
        joint = weights[:, None] * likelihood
        moved = (joint / joint.sum(0)).mean(1)
        step = np.abs(moved - weights).max()
        weights = moved
        if step < _SETTLED:
            break
    return tuple(float(weight) for weight in weights)


def align(parts: Sequence[Predictions]) -> tuple[list[Predictions], tuple[Skipped, ...]]:
    """The clips that all models scored, in the first one's order of clips and labels.

    Returns:
        The tables, and notes on the clips that are left out.

    Raises:
        InvalidSetting: If the tables share no clip.
        LabelMismatch: If labels differ, or models were told different truths about a clip.
    """
    first = parts[0]
    for part in parts[1:]:
        check_labels(part.labels, first.labels)
    common = set(first.ids).intersection(*(part.ids for part in parts[1:]))
    if not common:
        raise InvalidSetting(
            "The models scored no clip in common, so there is nothing to fuse; evaluate them on the same "
            "split of the same data."
        )
    wanted = [name for name in first.ids if name in common]
    aligned = [_arranged(part, wanted, first) for part in parts]
    for part in aligned[1:]:
        wrong = (part.targets != aligned[0].targets).reshape(len(wanted), -1).any(1)
        if wrong.any():
            raise LabelMismatch(
                f"The models were told different labels for {wrong.sum()} clips, such as "
                f"{wanted[int(wrong.argmax())]}; evaluate them on the same data."
            )
    notes = {note.path: note for part in parts for note in part.skipped}
    for part in parts:
        for name, path in zip(part.ids, part.paths, strict=True):
            if name not in common and path not in notes:
                notes[path] = Skipped(path, "not every model scored it")
    return aligned, tuple(notes.values())


def _arranged(part: Predictions, ids: Sequence[str], like: Predictions) -> Predictions:
    """Some clips of a table, with the labels in the order of another's."""
    place = {name: row for row, name in enumerate(part.ids)}
    rows = [place[name] for name in ids]
    order = [part.labels.index(name) for name in like.labels.names]
    told = part.targets[rows]
    targets = told[:, order] if part.labels.multi else np.argsort(order)[told]

    def chosen(column: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(column[row] for row in rows)

    return Predictions(
        labels=like.labels,
        ids=tuple(ids),
        paths=chosen(part.paths),
        spans=chosen(part.spans),
        groups=chosen(part.groups),
        targets=targets,
        probabilities=part.probabilities[rows][:, order],
        folds=chosen(part.folds),
    )


def _likelihood(part: Predictions) -> np.ndarray:
    """Probabilities that a model gave to the truth: one per clip, or per clip and label."""
    if part.labels.multi:
        told = np.where(part.targets == 1, part.probabilities, 1 - part.probabilities).ravel()
    else:
        told = part.probabilities[np.arange(len(part)), part.targets]
    return np.maximum(told, _FLOOR)


def _damaged(parts: Sequence[Predictions]) -> tuple[Skipped, ...]:
    return tuple(dict.fromkeys(note for part in parts for note in part.damaged))
