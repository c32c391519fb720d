from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate import metrics
from kinesphere.evaluate.intervals import Bootstrap, Units, draws, interval
from kinesphere.evaluate.metrics import Score


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
@given(st.integers(2, 60), st.integers(2, 9), st.integers(0, 10_000))
def test_resampled_formulas_equal_torchmetrics_on_the_resampled_clips(n: int, k: int, seed: int) -> None:
    from torchmetrics.functional.classification import multiclass_f1_score

    p, y = table(n, k, seed)
    picks = np.random.default_rng(seed).integers(n, size=n)
    sums = metrics._counts(p.argmax(1), y, k)
    accuracy, f1 = metrics._means(sums[picks].sum(0)[None], k)
    q, t = torch.from_numpy(p[picks]), torch.from_numpy(y[picks])
    assert f1[0, 0] == pytest.approx(float(multiclass_f1_score(q, t, k, average="macro")), abs=1e-6)
    recalls = [np.mean(p[picks].argmax(1)[y[picks] == c] == c) for c in np.unique(y[picks])]
    assert accuracy[0, 0] == pytest.approx(np.mean(recalls))


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 40), st.integers(1, 5), st.integers(0, 10_000), st.booleans())
def test_resampled_average_precision_equals_scikit_learn(n: int, k: int, seed: int, ties: bool) -> None:
    p, y = multi_table(n, k, seed)
    p = p.round(1) if ties else p
    weights = np.random.default_rng(seed).integers(0, 3, size=(1, n)).astype(float)
    weights[0, 0] = 1
    y[0] = 1
    expected = [sk.average_precision_score(y[:, c], p[:, c], sample_weight=weights[0]) for c in range(k)]
    assert metrics._ResampledPrecision(p, y).mean(weights)[0, 0] == pytest.approx(np.mean(expected))


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
    assert np.isnan(metrics.average_precisions(p, y)).tolist() == [False, True, False]
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


def test_same_seed_same_interval_and_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    p, y = table(80, 4)
    first = metrics.scores(p, y, names(4))
    assert metrics.scores(p, y, names(4)) == first
    monkeypatch.setattr("kinesphere.evaluate.intervals._BLOCK", 1000)
    assert metrics.scores(p, y, names(4)) == first
    assert metrics.scores(p, y, names(4), bootstrap=Bootstrap(seed=1)) != first


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


def test_one_group_alone_cannot_be_resampled() -> None:
    assert Units.of(["a", "a", "a"]).kind == "clip"
    assert Units.of([None, None]).kind == "clip"
    assert Units.of(["a", "b", "a"]).kind == "group"


def test_every_draw_has_as_many_units_as_the_data() -> None:
    blocks = list(draws(Units.of(list("aabbc")), Bootstrap(resamples=150)))
    assert sum(map(len, blocks)) == 150
    assert all((block.sum(1) == 3).all() for block in blocks)


def test_undefined_resamples_are_left_out() -> None:
    low, high = interval(
        Units.of([None, None]), Bootstrap(), lambda counts: np.where(counts[:, :1] == 0, np.nan, 0.5)
    )
    assert (low[0], high[0]) == (0.5, 0.5)


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


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"resamples": 5}, "at least 100 resamples; got 5"),
        ({"level": 95.0}, "fraction between 0 and 1; got 95"),
    ],
)
def test_bootstrap_settings_are_checked(settings_: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        Bootstrap(**settings_)  # type: ignore[arg-type]


def test_score_prints_with_its_interval() -> None:
    assert str(Score(0.931, 0.91, 0.95)) == "93.1 % [91.0, 95.0]"
    assert str(Score(0.02)) == "2.0 %"
