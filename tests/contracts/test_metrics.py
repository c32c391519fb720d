"""Every registered metric against its promises: what scikit-learn says, and that its sums give its value."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import numpy as np
import pytest
import sklearn.metrics as sk
import torch

from kinesphere.core import registry
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate import metrics
from kinesphere.evaluate.intervals import Units
from kinesphere.evaluate.metrics import METRICS, Answers, Metric
from kinesphere.train import Recipe
from kinesphere.train.running_metrics import RunningMetrics

CASES = ("random", "one class", "absent classes", "ties", "one clip")


def answers(case: str, multi: bool, groups: int = 4) -> Answers:
    """Clips of five classes; of `one class` and `absent classes` some are never right."""
    generator = np.random.default_rng(CASES.index(case))
    clips, classes = (1 if case == "one clip" else 60), 5
    occurring = {"one class": 1, "absent classes": 3}.get(case, classes)
    targets = generator.integers(occurring, size=clips)
    logits = generator.normal(size=(clips, classes)) + np.eye(classes)[targets]
    p = 1 / (1 + np.exp(-logits)) if multi else np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    if case == "ties":
        p = p.round(1)
    if multi:
        hot = (generator.random((clips, classes)) < 0.3) & (np.arange(classes) < occurring)
        targets = (hot | (np.arange(classes) == targets[:, None])).astype(np.int64)
    return Answers(p, targets, Units.of([str(i % groups) for i in range(clips)]))


def reference(name: str, a: Answers) -> float:
    """What scikit-learn says; of equal probabilities the first class stands first."""
    p, y = a.probabilities, a.targets
    order = np.argsort(-p, axis=1, kind="stable")
    if name.startswith("top"):
        first = order[:, : int(name[3:])]
        if a.multi:
            return float(np.take_along_axis(y, first, 1).any(1).mean())
        return float(sk.accuracy_score(y, np.where((first == y[:, None]).any(1), y, -1)))
    given = p > 0.5 if a.multi else order[:, 0]
    occurs = np.flatnonzero(a.actual.any(0))
    used = occurs if not a.multi else np.flatnonzero(a.actual.any(0) | given.any(0))
    if not a.multi:
        used = np.union1d(occurs, given)
    match name:
        case "mean_class_accuracy":
            return float(sk.recall_score(y, given, labels=occurs, average="macro", zero_division=0))
        case "macro_f1":
            return float(sk.f1_score(y, given, labels=used, average="macro", zero_division=0))
        case "micro_f1":
            return float(sk.f1_score(y, given, average="micro", zero_division=0))
        case "map":
            return float(np.mean([sk.average_precision_score(y[:, k], p[:, k]) for k in occurs]))
    assert name == "ece", f"give the value of {name} by scikit-learn here"
    bins = metrics.calibration(p, y, LabelSet(tuple("abcde"), multi=a.multi))
    gaps = np.abs(np.array(bins.confidence) - np.array(bins.accuracy)) * bins.counts
    return float(gaps.sum() / sum(bins.counts))


def kinds(metric: Metric) -> list[bool]:
    """Of which sets of clips a metric is asked: of one label per clip, of several; of none if of files."""
    uses = {"single_label": (False,), "multi_label": (True,), "training": (False, True)}
    return sorted({multi for use in metric.uses for multi in uses.get(use, ())})


EVERY = [(name, multi) for name in METRICS for multi in kinds(METRICS.get(name))]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("name", "multi"), EVERY)
def test_values_equal_scikit_learn(name: str, multi: bool, case: str) -> None:
    a = answers(case, multi)
    assert METRICS.get(name).score(a).value == pytest.approx(reference(name, a), abs=2e-6)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("name", "multi"), [each for each in EVERY if METRICS.get(each[0]).sums])
def test_sums_over_the_whole_sample_give_the_value(name: str, multi: bool, case: str) -> None:
    metric, a = METRICS.get(name), answers(case, multi)
    assert metric.sums is not None
    assert metric.value is not None
    assert metric.point(a) == pytest.approx(metric.value(a), abs=1e-6)
    per_unit = a.sums(metric.sums)
    assert per_unit[:, 0].sum() == len(a.targets)
    for unit in range(a.units.count - 1):  # a unit left out is a table without its clips
        rest = a.units.index != unit
        fewer = Answers(a.probabilities[rest], a.targets[rest], Units.of([None] * int(rest.sum())))
        without = metric.of_totals((per_unit.sum(0) - per_unit[unit])[None])[0]
        assert without == pytest.approx(metric.point(fewer), abs=1e-12)


@pytest.mark.parametrize(("name", "multi"), EVERY)
def test_scores_lie_in_their_interval_and_within_0_and_1(name: str, multi: bool) -> None:
    metric = METRICS.get(name)
    score = metric.score(answers("random", multi))
    assert 0 <= score.value <= 1
    assert metrics.score_name(name) == metric.title
    if metric.sums is None and metric.left_out is None:
        assert score.low is None
    else:
        assert score.low is not None
        assert score.low <= score.value <= (score.high or 0)


@pytest.mark.parametrize("multi", [False, True])
def test_running_scores_are_those_of_the_table(multi: bool) -> None:
    a = answers("random", multi)
    logits = torch.from_numpy(np.log(a.probabilities / (1 - a.probabilities) if multi else a.probabilities))
    running = RunningMetrics(5, multi)
    for part in torch.arange(len(logits)).split(16):
        running.update(logits[part], torch.from_numpy(a.actual)[part].float(), torch.tensor(0.5))
    found = running.compute()
    assert found is not None
    for name, metric in metrics.metrics_for("training").items():
        assert found[name] == pytest.approx(metric.point(a), abs=1e-6)


def test_a_metric_of_another_package_joins_reports_intervals_and_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its module adds one entry, and its distribution names the module."""
    monkeypatch.setattr(METRICS, "_members", {name: METRICS.get(name) for name in METRICS})
    toy = Metric(
        "fraction of sure answers",
        ("single_label", "training"),
        sums=lambda p, targets, multi: p.amax(-1, keepdim=True) > 0.5,
        from_sums=lambda sure, clips: sure[:, 0] / clips,
    )
    entry = EntryPoint("sure", "toys", "kinesphere.metrics")
    monkeypatch.setattr(EntryPoint, "load", lambda entry: METRICS.add("sure", toy))
    monkeypatch.setattr(
        registry, "entry_points", lambda group: [entry] if group == "kinesphere.metrics" else []
    )
    monkeypatch.setattr(METRICS, "_discovered", False)
    a = answers("random", multi=False)
    labels, groups = LabelSet(tuple("abcde")), [str(i) for i in a.units.index]
    found = metrics.scores(a.probabilities, a.targets, labels, groups=groups)
    expected = (a.probabilities.max(1) > 0.5).mean()
    assert (*found,)[:1] + (*found,)[-1:] == ("top1", "sure")
    assert found["sure"].value == pytest.approx(expected)
    assert found["sure"].low is not None
    assert found["sure"].low < expected
    running = RunningMetrics(5, multi=False)
    logits = torch.from_numpy(a.probabilities).log()
    running.update(logits, torch.from_numpy(a.actual).float(), torch.tensor(1.0))
    assert (running.compute() or {})["sure"] == pytest.approx(expected)
    assert Recipe.build({"data": {"source": "."}, "train": {"monitor": "sure"}}).train.monitor == "sure"


def test_an_entry_that_cannot_work_is_refused() -> None:
    with pytest.raises(InvalidSetting, match=r"'half' needs `value`, or `sums` with `from_sums`"):
        Metric("half", ("single_label",), sums=lambda p, targets, multi: p)
    with pytest.raises(InvalidSetting, match=r"'still' has no sums to add up while training"):
        Metric("still", ("training",), value=lambda answers: 0.5)
