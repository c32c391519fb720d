from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate import metrics
from kinesphere.evaluate.intervals import Units, interval, t_quantile, without_each
from kinesphere.evaluate.metrics import Score
from kinesphere.evaluate.metrics.recognition import WeightedPrecision, average_precisions


def names(count: int, multi: bool = False) -> LabelSet:
    return LabelSet(tuple(f"class {i}" for i in range(count)), multi=multi)


def table(n: int, k: int, seed: int = 0, skill: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    targets = generator.integers(k, size=n)
    logits = generator.normal(size=(n, k)) + skill * np.eye(k)[targets]
    p = np.exp(logits)
    return p / p.sum(1, keepdims=True), targets


def multi_table(n: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    targets = (generator.random((n, k)) < 0.3).astype(np.int64)
    return 1 / (1 + np.exp(-(generator.normal(size=(n, k)) + 1.5 * targets - 1))), targets


def test_single_label_scores_agree_with_scikit_learn() -> None:
    p, y = table(300, 7)
    s = metrics.scores(p, y, names(7))
    assert list(s) == ["top1", "top2", "top3", "top5", "mean_class_accuracy", "macro_f1", "ece"]
    for k in (1, 2, 3, 5):
        assert s[f"top{k}"].value == pytest.approx(sk.top_k_accuracy_score(y, p, k=k))
    assert s["mean_class_accuracy"].value == pytest.approx(sk.balanced_accuracy_score(y, p.argmax(1)))
    assert s["macro_f1"].value == pytest.approx(sk.f1_score(y, p.argmax(1), average="macro"))


def test_top_k_that_cannot_fail_is_left_out() -> None:
    p, y = table(40, 3)
    assert [name for name in metrics.scores(p, y, names(3)) if name.startswith("top")] == ["top1", "top2"]
    p, y = table(40, 2)
    assert [name for name in metrics.scores(p, y, names(2)) if name.startswith("top")] == ["top1"]


def test_single_class_is_refused() -> None:
    with pytest.raises(InvalidSetting, match=r"at least two labels to tell apart; got \['class 0'\]"):
        metrics.scores(np.ones((4, 1)), np.zeros(4, dtype=np.int64), names(1))


def test_absent_class_does_not_lower_the_mean_class_accuracy() -> None:
    p = np.eye(3)[[0, 1, 2, 0]]
    y = np.array([0, 1, 1, 0])
    assert metrics.scores(p, y, names(3))["mean_class_accuracy"].value == pytest.approx((1 + 0.5) / 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 40), st.integers(1, 5), st.integers(0, 10_000), st.booleans())
def test_weighted_average_precision_equals_scikit_learn(n: int, k: int, seed: int, ties: bool) -> None:
    p, y = multi_table(n, k, seed)
    p = p.round(1) if ties else p
    weights = np.random.default_rng(seed).integers(0, 3, size=(1, n)).astype(float)
    weights[0, 0] = 1
    y[0] = 1
    expected = [sk.average_precision_score(y[:, c], p[:, c], sample_weight=weights[0]) for c in range(k)]
    assert WeightedPrecision(p, y).mean(weights)[0, 0] == pytest.approx(np.mean(expected))


def test_multi_label_scores() -> None:
    p, y = multi_table(200, 5)
    s = metrics.scores(p, y, names(5, multi=True), groups=[str(i % 20) for i in range(200)])
    assert list(s) == ["map", "macro_f1", "micro_f1", "ece"]
    assert s["map"].value == pytest.approx(sk.average_precision_score(y, p, average="macro"), abs=1e-6)
    assert s["micro_f1"].value == pytest.approx(sk.f1_score(y, p > 0.5, average="micro"), abs=1e-6)
    assert s["macro_f1"].value == pytest.approx(sk.f1_score(y, p > 0.5, average="macro"), abs=1e-6)
    for name in ("map", "macro_f1", "micro_f1"):
        low, high = s[name].low, s[name].high
        assert low is not None
        assert high is not None
        assert low < s[name].value < high


def test_label_that_never_occurs_has_no_average_precision() -> None:
    p, y = multi_table(50, 3)
    y[:, 1] = 0
    assert np.isnan(average_precisions(p, y)).tolist() == [False, True, False]
    rows = metrics.class_scores(p, y, names(3, multi=True))
    assert rows[1].average_precision is None
    assert metrics.scores(p, y, names(3, multi=True))["map"].value > 0


def test_interval_widens_when_clips_of_a_group_agree() -> None:
    generator = np.random.default_rng(0)
    right = np.repeat(generator.random(10) < 0.6, 20)
    y = np.zeros(200, dtype=np.int64)
    p = np.where(right[:, None], [[0.9, 0.1]], [[0.1, 0.9]])
    groups = [str(i // 20) for i in range(200)]
    alone = metrics.scores(p, y, names(2))["top1"]
    together = metrics.scores(p, y, names(2), groups=groups)["top1"]

    def width(score: Score) -> float:
        assert score.low is not None
        assert score.high is not None
        return score.high - score.low

    assert width(together) > 3 * width(alone)


def test_interval_matches_the_binomial_one_for_independent_clips() -> None:
    y = np.zeros(400, dtype=np.int64)
    p = np.eye(2)[(np.arange(400) % 4 == 0).astype(int)]
    score = metrics.scores(p, y, names(2))["top1"]
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert score.low == pytest.approx(0.75 - half, abs=0.006)
    assert score.high == pytest.approx(0.75 + half, abs=0.006)


def answers(right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A table over three classes in which the given clips are right."""
    y = np.arange(len(right)) % 3
    return np.eye(3)[np.where(right, y, (y + 1) % 3)], y


@pytest.mark.parametrize("multi", [False, True])
def test_all_right_is_no_point(multi: bool) -> None:
    p, y = answers(np.ones(8, dtype=bool))
    y = np.eye(3, dtype=np.int64)[y] if multi else y
    for groups in (None, [str(i % 4) for i in range(8)]):
        s = metrics.scores(p, y, names(3, multi), groups=groups)
        for name in (name for name in s if name != "ece"):
            assert s[name].high == 1
            assert 0.1 < s[name].low < 0.7


def test_groups_of_a_kind_give_the_interval_that_few_clips_would() -> None:
    """Ten groups of 20 clips, all right or all wrong, tell no more than about ten clips."""
    p, y = answers(np.repeat(np.arange(10) < 7, 20))
    grouped = metrics.scores(p, y, names(3), groups=[str(i // 20) for i in range(200)])["top1"]
    alone = metrics.scores(*answers(np.arange(10) < 7), names(3))["top1"]
    assert grouped.low == pytest.approx(alone.low, abs=0.05)
    assert grouped.high == pytest.approx(alone.high, abs=0.05)


def test_intervals_hold_the_truth_from_three_groups_on() -> None:
    """One hard case each of few and of many groups; `benchmarks/coverage.py` measures the others."""
    generator = np.random.default_rng(0)
    for count, size, truth in ((3, 10, 0.9), (10, 10, 0.9), (20, 10, 0.8)):
        held = 0
        for _ in range(300):
            chance = generator.beta(truth * 7 / 3, (1 - truth) * 7 / 3, count)  # correlation 0.3
            rows = generator.binomial(size, chance)
            units = Units.of([str(i // size) for i in range(count * size)])
            sums = np.stack([rows, np.full(count, size)], axis=1).astype(float)
            without = without_each(sums, lambda total: total[:, :1] / total[:, 1:])[:, 0]
            ends = interval(rows.sum() / (count * size), without, units, count * size)
            assert ends is not None
            held += ends[0] <= truth <= ends[1]
        assert held >= 0.93 * 300


def test_two_groups_give_a_wide_interval_and_one_gives_none() -> None:
    p, y = answers(np.arange(40) % 10 != 0)
    two = metrics.scores(p, y, names(3), groups=[str(i % 2) for i in range(40)])["top1"]
    assert two.low is not None
    assert two.high is not None
    assert two.high - two.low > 0.5
    one = metrics.scores(p, y, names(3), groups=["a"] * 40)["top1"]
    assert (one.value, one.low, one.high) == (pytest.approx(0.9), None, None)
    assert str(one) == "90.0 %"


def test_a_score_that_rests_on_one_group_can_be_anything() -> None:
    p = np.full((6, 2), 0.4)
    y = np.zeros((6, 2), dtype=np.int64)
    p[0, 0], y[0, 0] = 0.9, 1  # the only positive
    score = metrics.scores(p, y, names(2, multi=True), groups=list("aabbcc"))["map"]
    assert (score.value, score.low, score.high) == (1, 0, 1)


def test_unequal_groups_count_as_fewer() -> None:
    p, y = answers(np.arange(60) % 5 != 0)
    even = metrics.scores(p, y, names(3), groups=[str(i // 20) for i in range(60)])["top1"]
    uneven = metrics.scores(p, y, names(3), groups=["a"] * 50 + ["b"] * 5 + ["c"] * 5)["top1"]
    assert None not in (even.low, uneven.low)
    assert uneven.low < even.low  # type: ignore[operator]


def test_intervals_of_many_clips_are_quick_and_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    p, y = table(2000, 20)
    first = metrics.scores(p, y, names(20))
    monkeypatch.setattr("kinesphere.evaluate.intervals._BLOCK", 1000)
    assert metrics.scores(p, y, names(20)) == first
    q, z = multi_table(3000, 4)
    s = metrics.scores(q, z, names(4, multi=True))  # sorted anew for a hundred units, not for 3000
    assert s["map"].low is not None
    assert s["map"].low < s["map"].value


@pytest.mark.parametrize("degrees", [1, 2, 2.5, 3, 4.7, 7, 30, 199, 10_000])
@pytest.mark.parametrize("probability", [0.9, 0.975, 0.995])
def test_quantiles_of_t_are_those_of_scipy(degrees: float, probability: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert t_quantile(probability, degrees) == pytest.approx(stats.t.ppf(probability, degrees), rel=3e-3)


@given(st.lists(st.one_of(st.none(), st.sampled_from("abc")), min_size=1, max_size=30))
def test_units_keep_groups_whole(groups: list[str | None]) -> None:
    units = Units.of(groups)
    assert len(units.index) == len(groups)
    assert set(units.index.tolist()) == set(range(units.count))
    if units.kind == "group":
        for i, a in enumerate(groups):
            for j, b in enumerate(groups):
                assert (units.index[i] == units.index[j]) == (i == j or (a is not None and a == b))
    else:
        assert units.count == len(groups)


def test_units_say_what_they_are_and_how_many_they_count_for() -> None:
    assert Units.of([None, None]).kind == "clip"
    assert Units.of(["a", "a", "a"]).kind == Units.of(["a", "b", "a"]).kind == "group"
    assert Units.of(["a", "a", "a"]).count == 1
    assert Units.of(list("aabbcc")).effective == pytest.approx(3)
    assert Units.of(list("aaaabc")).effective == pytest.approx(2)
    assert Units.of(list("aaaabc")).clips == pytest.approx(3)
    merged = Units.of([None] * 50).merged(10)
    assert (merged.count, merged.clips) == (10, 1)
    assert np.bincount(merged.index).tolist() == [5] * 10


def test_recalls_of_classes_have_intervals_over_the_groups_that_hold_them() -> None:
    y = np.array([0] * 12 + [1] * 4 + [2] * 4)
    p = np.eye(4)[np.where(np.arange(20) == 0, 1, y)]
    groups = [str(i % 4) for i in range(12)] + list("0123") + ["alone"] * 4
    rows = metrics.class_scores(p, y, names(4), groups=groups)
    assert rows[0].recall_low is not None
    assert rows[0].recall_low < rows[0].recall < 1
    assert rows[1].recall_high == 1
    assert 0 < (rows[1].recall_low or 0) < 0.6
    assert (rows[2].recall_low, rows[3].recall_low) == (None, None)
    multi = metrics.class_scores(p, np.eye(4, dtype=np.int64)[y], names(4, multi=True), groups=groups)
    assert [row.recall_low for row in multi] == [row.recall_low for row in rows]


def test_class_table_and_confusion() -> None:
    p, y = table(120, 4)
    rows = metrics.class_scores(p, y, names(4))
    precision, recall, f1, support = sk.precision_recall_fscore_support(y, p.argmax(1))
    np.testing.assert_allclose([r.precision for r in rows], precision, atol=1e-6)
    np.testing.assert_allclose([r.recall for r in rows], recall, atol=1e-6)
    np.testing.assert_allclose([r.f1 for r in rows], f1, atol=1e-6)
    assert [r.support for r in rows] == support.tolist()
    matrix = metrics.confusion_matrix(p, y, names(4))
    assert (matrix == sk.confusion_matrix(y, p.argmax(1))).all()
    assert [r.predicted for r in rows] == matrix.sum(0).tolist()


@pytest.mark.parametrize("multi", [False, True])
def test_calibration_bins_sum_to_the_calibration_error(multi: bool) -> None:
    p, y = multi_table(200, 5) if multi else table(200, 5)
    bins = metrics.calibration(p, y, names(5, multi))
    counts = np.array(bins.counts)
    error = (np.abs(np.array(bins.confidence) - np.array(bins.accuracy)) * counts).sum() / counts.sum()
    assert metrics.scores(p, y, names(5, multi))["ece"].value == pytest.approx(error, abs=1e-6)
    assert counts.sum() == (1000 if multi else 200)


def test_certainty_falls_into_the_last_bin() -> None:
    assert metrics.calibration(np.eye(3), np.arange(3), names(3)).counts[-1] == 3


def test_confusion_matrix_of_multi_label_set_is_refused() -> None:
    p, y = multi_table(10, 3)
    with pytest.raises(InvalidSetting, match=r"needs one label per clip; this set is multi-label"):
        metrics.confusion_matrix(p, y, names(3, multi=True))


@pytest.mark.parametrize(
    ("p", "y", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, dtype=int), "no clip to score"),
        (np.full((2, 2), 0.5), np.zeros(2, dtype=int), r"a table \(N, 3\); got \(2, 2\)"),
        (np.full((2, 3), 0.3), np.zeros(3, dtype=int), r"Targets need shape \(2,\).*got \(3,\)"),
        (np.full((2, 3), np.nan), np.zeros(2, dtype=int), r"must lie in \[0, 1\]"),
        (np.full((2, 3), 1.5), np.zeros(2, dtype=int), r"must lie in \[0, 1\]"),
        (np.full((2, 3), 0.3), np.array([0, 3]), r"must lie in 0..2; got 0..3"),
    ],
)
def test_contradictory_tables_are_refused(p: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        metrics.scores(p, y, names(3))


def test_a_level_that_is_no_share_is_refused() -> None:
    p, y = table(20, 3)
    with pytest.raises(InvalidSetting, match="fraction between 0 and 1; got 95"):
        metrics.scores(p, y, names(3), level=95)


def test_score_prints_with_its_interval() -> None:
    assert str(Score(0.931, 0.91, 0.95)) == "93.1 % [91.0, 95.0]"
    assert str(Score(0.02)) == "2.0 %"


@pytest.mark.parametrize("multi", [False, True])
def test_a_last_bit_above_1_changes_no_score(multi: bool) -> None:
    """Weighted means of sure answers come to 1 + 2e-16."""
    p, y = multi_table(60, 4) if multi else table(60, 4, skill=2)
    sure, over = p.copy(), p.copy()
    sure[0], over[0] = np.eye(4)[1], np.eye(4)[1] * (1 + 2.3e-16)
    assert over.max() > 1
    labels = names(4, multi)
    assert metrics.scores(over, y, labels) == metrics.scores(sure, y, labels)
    assert metrics.class_scores(over, y, labels) == metrics.class_scores(sure, y, labels)
    assert metrics.calibration(over, y, labels) == metrics.calibration(sure, y, labels)


def test_clips_without_any_label_cannot_be_scored() -> None:
    p, y = multi_table(10, 3)
    with pytest.raises(InvalidSetting, match="None of the 10 clips carries one of the 3 labels"):
        metrics.scores(p, y * 0, names(3, multi=True))


def test_of_equal_probabilities_the_first_classes_stand_first():
    rng = np.random.default_rng(0)
    for classes in (4, 7, 40):
        labels = LabelSet(tuple(f"c{i}" for i in range(classes)))
        table = np.round(rng.random((60, classes)) * 3) + 1
        table /= table.sum(1, keepdims=True)
        targets = rng.integers(classes, size=60)
        found = metrics.scores(table, targets, labels)
        order = np.argsort(-table, axis=1, kind="stable")
        for k in (1, 2, 3):
            right = (order[:, :k] == targets[:, None]).any(1).mean()
            assert found[f"top{k}"].value == pytest.approx(right), (classes, k)
