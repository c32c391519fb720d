from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from kinesphere.core.errors import IncompleteSplit, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.data.manifest import Manifest
from kinesphere.data.sample import Sample
from kinesphere.data.split import holdout, kfold, leave_one_group_out

THREE_WAYS = {"train": 0.7, "val": 0.1, "test": 0.2}


def manifest_of(rows: list[tuple[str, str | None]]) -> Manifest:
    samples = tuple(
        Sample(str(i), Path(f"/{i}.mp4"), tuple(label.split("|")), group=group)
        for i, (label, group) in enumerate(rows)
    )
    labels = LabelSet.from_labels(name for sample in samples for name in sample.labels)
    return Manifest(samples, labels, Path("/"))


def test_holdout_keeps_proportions() -> None:
    manifest = manifest_of([("a", None)] * 70 + [("b", None)] * 20 + [("c", None)] * 10)
    split = holdout(manifest, THREE_WAYS, seed=3)
    assert split.where(split="train").counts() == {"a": 49, "b": 14, "c": 7}
    assert split.where(split="val").counts() == {"a": 7, "b": 2, "c": 1}
    assert split.where(split="test").counts() == {"a": 14, "b": 4, "c": 2}


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([None, *"ABCDEFGH"])), min_size=8, max_size=60
    ),
    seed=st.integers(0, 5),
)
def test_groups_stay_whole_and_every_sample_lands_once(rows: list[tuple[str, str | None]], seed: int) -> None:
    manifest = manifest_of(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IncompleteSplit)
        try:
            split = holdout(manifest, {"train": 0.6, "test": 0.4}, seed)
        except InvalidSetting:
            return
        assert split == holdout(manifest, {"train": 0.6, "test": 0.4}, seed)
    assert [s.id for s in split] == [s.id for s in manifest]
    assert all(sample.split in ("train", "test") for sample in split)
    for group in manifest.groups:
        assert len(set(split.where(group=group).splits)) == 1


def test_seeds_differ() -> None:
    manifest = manifest_of([(label, None) for label in "ab" * 30])
    assert holdout(manifest, THREE_WAYS, 0) != holdout(manifest, THREE_WAYS, 1)


@pytest.mark.parametrize(
    "fractions", [{"train": 1.0}, {"train": 0.9, "test": 0.2}, {"train": 1.2, "test": -0.2}]
)
def test_fractions_must_fit(fractions: dict[str, float]) -> None:
    with pytest.raises(InvalidSetting, match="at least two positive numbers that sum to 1"):
        holdout(manifest_of([("a", None)] * 4), fractions)


def test_too_few_groups() -> None:
    manifest = manifest_of([("a", "g"), ("a", "h"), ("a", "g")])
    with pytest.raises(InvalidSetting, match="2 groups cannot fill 3 parts"):
        kfold(manifest, 3)


def test_class_in_one_group_warns_in_holdout_and_stops_cross_validation() -> None:
    manifest = manifest_of([("a", g) for g in "ABCD" for _ in range(5)] + [("rare", "A")] * 5)
    with pytest.warns(IncompleteSplit, match=r"test lacks 1 classes \('rare'\)"):
        split = holdout(manifest, {"train": 0.75, "test": 0.25})
    assert split.where(label="rare").splits == ("train",)
    with pytest.raises(InvalidSetting, match=r"training part of fold1 would lack 1 classes \('rare'\)"):
        kfold(manifest, 4)
    with pytest.raises(InvalidSetting, match=r"training without group 'A' would lack 1 classes \('rare'\)"):
        leave_one_group_out(manifest)


def test_kfold_tests_each_sample_once_in_whole_groups() -> None:
    manifest = manifest_of([(label, f"g{i % 9}") for i, label in enumerate("abc" * 30)] + [("a", None)] * 3)
    folds = kfold(manifest, 3, seed=1)
    assert [fold.name for fold in folds] == ["fold1", "fold2", "fold3"]
    assert Counter(s.id for fold in folds for s in fold.test) == Counter(s.id for s in manifest)
    for fold in folds:
        assert not set(fold.train.groups) & set(fold.test.groups)
        assert len(fold.train) + len(fold.test) == len(manifest)
    with pytest.raises(InvalidSetting, match="at least 2 folds; got 1"):
        kfold(manifest, 1)


def test_kfold_is_as_balanced_as_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    imbalances = []
    for seed in range(10):
        groups = generator.integers(0, 25, 300)
        lean = generator.dirichlet(np.ones(4), 25)
        labels = np.array([generator.choice(4, p=lean[g]) for g in groups])
        manifest = manifest_of([("abcd"[y], f"g{g}") for y, g in zip(labels, groups, strict=True)])
        ours = [np.array([int(s.id) for s in fold.test]) for fold in kfold(manifest, 5, seed)]
        splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        theirs = [test for _, test in splitter.split(labels, labels, groups)]
        imbalances.append([imbalance(ours, labels), imbalance(theirs, labels)])
    mean_ours, mean_theirs = np.mean(imbalances, axis=0)
    assert mean_ours <= mean_theirs


def imbalance(parts: list[np.ndarray], labels: np.ndarray) -> float:
    counts = np.array([np.bincount(labels[part], minlength=4) for part in parts])
    return float(((counts - counts.mean(axis=0)) ** 2 / counts.mean(axis=0)).sum())


def test_several_labels_are_stratified() -> None:
    manifest = manifest_of([("a|b", None)] * 20 + [("b", None)] * 20 + [("a|c", None)] * 10)
    for fold in kfold(manifest, 5):
        assert fold.test.counts() == {"a": 6, "b": 8, "c": 2}


def test_kfold_tells_when_a_test_part_lacks_a_class() -> None:
    manifest = manifest_of([("a", g) for g in "ABC" for _ in range(4)] + [("b", "A"), ("b", "B")])
    with pytest.warns(IncompleteSplit, match=r"the test part of fold\d lacks 1 classes \('b'\)"):
        kfold(manifest, 3)


def test_leave_one_group_out() -> None:
    manifest = manifest_of([("a", "x"), ("b", "x"), ("a", "y"), ("b", "y"), ("b", "z")])
    folds = leave_one_group_out(manifest)
    assert [fold.name for fold in folds] == ["x", "y", "z"]
    assert [[s.id for s in fold.test] for fold in folds] == [["0", "1"], ["2", "3"], ["4"]]
    assert folds[2].train.groups == ("x", "y")


def test_leave_one_group_out_needs_groups() -> None:
    with pytest.raises(InvalidSetting, match=r"1 have none, the first is '1'\. Fill the group column"):
        leave_one_group_out(manifest_of([("a", "x"), ("a", None)]))
    with pytest.raises(InvalidSetting, match=r"needs at least 2 groups; got \['x'\]"):
        leave_one_group_out(manifest_of([("a", "x"), ("a", "x")]))


def test_as_many_labels_as_samples_take_no_square_of_memory_or_time() -> None:
    names = tuple(f"label {i}" for i in range(8_000))
    samples = tuple(Sample(name, Path(f"{name}.mp4"), (name,)) for name in names)
    with pytest.raises(InvalidSetting, match="would lack"):
        holdout(Manifest(samples, LabelSet(names), Path()), {"train": 0.8, "test": 0.2})


def test_too_few_groups_tell_where_they_come_from(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(
        "path,label\n" + "\n".join(f"day_00{i}0_00{i}9.mp4,{'ab'[i % 2]}" for i in range(1, 9))
    )
    with pytest.raises(InvalidSetting, match=r"8 samples are kept together by recording.*'path' makes every"):
        holdout(Manifest.read(tmp_path / "m.csv"), {"train": 0.8, "test": 0.2})
    alone = Manifest.read(tmp_path / "m.csv", group_column="path")
    assert len(holdout(alone, {"train": 0.75, "test": 0.25}).where(split="test")) == 2
