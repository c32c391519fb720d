"""Score fusion of predictions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidSetting, LabelMismatch
from kinesphere.core.labels import LabelSet
from kinesphere.core.skipped import Skipped
from kinesphere.evaluate import Predictions, fuse, fuse_folds, learn_weights

LABELS = LabelSet(("a", "b", "c"))


def table(
    count: int = 40, skill: float = 0.5, seed: int = 0, labels: LabelSet = LABELS, truth_seed: int = 9
) -> Predictions:
    """A model that is right with some sureness; truth depends on `truth_seed` alone."""
    classes = len(labels)
    targets = np.random.default_rng(truth_seed).integers(0, classes, count)
    noise = np.random.default_rng(seed).dirichlet(np.ones(classes), count)
    ids = tuple(f"clip{i}" for i in range(count))
    return Predictions(
        labels,
        ids,
        tuple(f"{name}.mp4" for name in ids),
        (None,) * count,
        (None,) * count,
        targets,
        (1 - skill) * noise + skill * np.eye(classes)[targets],
        (None,) * count,
    )


def accuracy(part: Predictions) -> float:
    return float((part.probabilities.argmax(1) == part.targets).mean())


def shuffled(part: Predictions, seed: int = 3) -> Predictions:
    """The same table with other orders of clips and labels."""
    rows = np.random.default_rng(seed).permutation(len(part))
    order = np.random.default_rng(seed).permutation(len(part.labels))
    return replace(
        part,
        labels=LabelSet(tuple(part.labels.names[k] for k in order)),
        ids=tuple(part.ids[i] for i in rows),
        paths=tuple(part.paths[i] for i in rows),
        targets=np.argsort(order)[part.targets[rows]],
        probabilities=part.probabilities[rows][:, order],
    )


def test_fusing_is_the_weighted_mean() -> None:
    one, other = table(seed=1), table(seed=2)
    np.testing.assert_allclose(
        fuse([one, other]).probabilities, (one.probabilities + other.probabilities) / 2
    )
    fused = fuse([one, other], [3, 1])
    np.testing.assert_allclose(fused.probabilities, 0.75 * one.probabilities + 0.25 * other.probabilities)
    assert fused.ids == one.ids
    assert np.array_equal(fuse([one, other], [1, 0]).probabilities, one.probabilities)


@given(st.integers(0, 1000))
def test_the_order_of_clips_and_labels_does_not_matter(seed: int) -> None:
    one, other = table(seed=1), table(seed=2)
    straight, mixed = fuse([one, other], [2, 1]), fuse([one, shuffled(other, seed)], [2, 1])
    np.testing.assert_allclose(mixed.probabilities, straight.probabilities)
    assert mixed.ids == straight.ids
    assert np.array_equal(mixed.targets, straight.targets)


def test_clips_that_one_model_lacks_are_listed() -> None:
    one, other = table(), table(seed=2)
    short = replace(
        other,
        **{
            name: getattr(other, name)[:-2]
            for name in ("ids", "paths", "spans", "groups", "targets", "folds")
        },
        probabilities=other.probabilities[:-2],
        skipped=(Skipped("clip39.mp4", "it is empty"),),
    )
    fused = fuse([one, short])
    assert len(fused) == 38
    assert {note.path: note.reason for note in fused.skipped} == {
        "clip39.mp4": "it is empty",
        "clip38.mp4": "not every model scored it",
    }


def test_learned_weights_find_the_better_model() -> None:
    good, poor = table(400, 0.6, seed=1), table(400, 0.05, seed=2)
    weights = learn_weights([poor, good])
    assert sum(weights) == pytest.approx(1)
    assert weights[1] > 0.8
    alike = learn_weights([table(4000, 0.4, seed=1), table(4000, 0.4, seed=2)])
    assert alike == pytest.approx((0.5, 0.5), abs=0.05)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 500))
def test_learned_weights_are_the_likeliest(seed: int) -> None:
    parts = [table(60, 0.3, seed), table(60, 0.5, seed + 1), table(60, 0.1, seed + 2)]

    def likelihood(weights: tuple[float, ...]) -> float:
        fused = fuse(parts, weights)
        return float(np.log(fused.probabilities[np.arange(60), fused.targets]).mean())

    best = likelihood(learn_weights(parts))
    for other in np.random.default_rng(seed).dirichlet(np.ones(3), 20):
        assert best >= likelihood(tuple(other)) - 1e-4


def test_several_labels_per_clip() -> None:
    labels = LabelSet(("a", "b", "c"), multi=True)
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 2, (50, 3))
    sure = np.where(targets == 1, 0.9, 0.1)
    base = table(50)
    one = replace(base, labels=labels, targets=targets, probabilities=sure)
    other = replace(one, probabilities=generator.uniform(0, 1, (50, 3)))
    assert learn_weights([one, other])[0] > 0.9
    np.testing.assert_allclose(fuse([one, other]).probabilities, (sure + other.probabilities) / 2)


def test_what_cannot_be_fused_is_refused() -> None:
    one = table()
    with pytest.raises(InvalidSetting, match="Fusing takes two models or more; got 1"):
        fuse([one])
    for weights in ([1.0], [0, 0], [-1, 2], [float("nan"), 1]):
        with pytest.raises(InvalidSetting, match="takes 2 weights, none negative and not all 0; got"):
            fuse([one, one], weights)
    with pytest.raises(LabelMismatch, match="one knows 3, another 2; train them on the same data"):
        fuse([one, table(labels=LabelSet(("a", "b")))])
    with pytest.raises(LabelMismatch, match=r"given different labels for \d+ clips, such as clip"):
        fuse([one, table(truth_seed=4)])
    with pytest.raises(InvalidSetting, match="scored no clip in common"):
        fuse([one, replace(one, ids=tuple(f"x{i}" for i in range(40)))])


def test_fusion_helps_where_mistakes_differ() -> None:
    one, other = table(600, 0.25, seed=1), table(600, 0.25, seed=2)
    assert accuracy(fuse([one, other])) > max(accuracy(one), accuracy(other))


# ------------------------------------------------------------------------------------ cross-validations


def folded(seed: int, skill: float = 0.5) -> Predictions:
    return replace(table(seed=seed, skill=skill), folds=tuple(f"f{i % 4}" for i in range(40)))


def test_no_clip_teaches_the_weights_that_it_is_scored_with() -> None:
    one, other = folded(1), folded(2, skill=0.3)
    fused = fuse_folds([one, shuffled_folds(other)])
    assert fused.predictions.ids == one.ids
    assert fused.predictions.folds == one.folds
    assert set(fused.learned_on.values()) == {30}
    inside = np.array([name == "f2" for name in one.folds])
    alone = [replace_rows(part, ~inside) for part in (one, other)]
    assert fused.weights["f2"] == pytest.approx(learn_weights(alone))
    wanted = fuse([one, other], fused.weights["f2"]).probabilities[inside]
    np.testing.assert_allclose(fused.predictions.probabilities[inside], wanted)
    # Whatever is said of a fold, its own weights stay and those of the others move.
    wrong = replace(one, probabilities=np.where(inside[:, None], 1 / 3, one.probabilities))
    again = fuse_folds([wrong, other])
    assert again.weights["f2"] == pytest.approx(fused.weights["f2"])
    assert again.weights["f1"] != pytest.approx(fused.weights["f1"], abs=1e-3)


def shuffled_folds(part: Predictions) -> Predictions:
    rows = np.random.default_rng(3).permutation(len(part))
    return replace(shuffled(part), folds=tuple(part.folds[i] for i in rows))


def replace_rows(part: Predictions, rows: np.ndarray) -> Predictions:
    chosen = np.flatnonzero(rows).tolist()
    return replace(
        part,
        **{
            name: tuple(getattr(part, name)[i] for i in chosen)
            for name in ("ids", "paths", "spans", "groups")
        },
        folds=tuple(part.folds[i] for i in chosen),
        targets=part.targets[chosen],
        probabilities=part.probabilities[chosen],
    )


def test_clips_that_one_cross_validation_lacks_are_listed() -> None:
    fused = fuse_folds([folded(1), replace_rows(folded(2), np.arange(40) != 7)])
    assert len(fused.predictions) == 39
    assert fused.predictions.skipped == (Skipped("clip7.mp4", "not every model scored it"),)


def test_other_folds_are_refused() -> None:
    one = folded(1)
    for other in (table(seed=2), replace(one, folds=tuple(reversed(one.folds)))):
        with pytest.raises(InvalidSetting, match="on the same two or more folds; these have 4 and"):
            fuse_folds([one, other])
    single = replace(one, folds=("f0",) * 40)
    with pytest.raises(InvalidSetting, match="these have 1 and 1, or other clips in them"):
        fuse_folds([single, single])
