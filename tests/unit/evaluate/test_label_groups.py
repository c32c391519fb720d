"""Scores of families of classes, of grades, and of frequent and rare classes, beside scikit-learn's."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.apps.html.report import render_report
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate import metrics
from kinesphere.evaluate.predictions import Predictions
from kinesphere.evaluate.protocol import Environment, Protocol
from kinesphere.evaluate.report import Report, report_from_predictions

GRADES = ("walk low", "walk middle", "walk high", "jump low", "jump high", "fall")
PARENTS = tuple((name, name.split()[0]) for name in GRADES[:-1])
LABELS = LabelSet(GRADES, ordered=True, parents=PARENTS, graded=True)
FAMILY, GRADE = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 2, 0, 1, 0])


def clips(seed: int, count: int = 80, labels: LabelSet = LABELS) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, K) that know a little of the targets (N,)."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(len(labels), size=count)
    logits = generator.normal(size=(count, len(labels))) + 1.5 * np.eye(len(labels))[targets]
    p = np.exp(logits)
    return p / p.sum(1, keepdims=True), targets


def report_of(labels: LabelSet, groups: Sequence[str | None] | None = None, **given: object) -> Report:
    p, y = clips(0, labels=labels)
    names = tuple(map(str, range(len(y))))
    nothing = (None,) * len(y)
    table = Predictions(labels, names, names, nothing, tuple(groups) if groups else nothing, y, p, nothing)
    environment = Environment("toy", "1", "2", "cpu", "fp32")
    return report_from_predictions(table, Protocol("toys"), environment, **given)  # type: ignore[arg-type]


def test_families_and_grades_of_labels() -> None:
    assert LABELS.families == ("walk", "jump", "fall")
    assert LABELS.family_indices == tuple(FAMILY)
    assert LABELS.grades == tuple(GRADE)
    assert LabelSet.from_json(json.loads(json.dumps(LABELS.to_json()))) == LABELS
    assert set(LabelSet(GRADES).to_json()) == {"names", "mirror", "multi", "ordered"}  # as files of before
    # A parent that is a class as well belongs to its own family.
    assert LabelSet(("run", "walk", "walk fast"), parents=(("walk fast", "walk"),)).family_indices == (
        0,
        1,
        1,
    )


@pytest.mark.parametrize(
    ("parents", "message"),
    [
        ((("walk", "walk"),), "wider class without a parent of its own; got 'walk'"),
        ((("walk", "go"), ("go", "move")), "Families are one level deep"),
        ((("walk", "go"), ("walk", "move")), "A class has one parent; some have several"),
        ((("wlak", "go"),), "Did you mean 'walk'"),
    ],
)
def test_wrong_parents_are_refused(parents: tuple[tuple[str, str], ...], message: str) -> None:
    with pytest.raises(InvalidSetting if "Did" not in message else Exception, match=message):
        LabelSet(("walk", "go"), parents=parents)
    with pytest.raises(InvalidSetting, match="Grades exclude one another"):
        LabelSet(("a", "b"), multi=True, graded=True)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6), st.integers(8, 60))
def test_grades_score_as_scikit_learn_says(seed: int, count: int) -> None:
    p, y = clips(seed, count)
    found = metrics.scores(p, y, LABELS, groups=[str(i % 4) for i in range(count)])
    given = np.array(
        [max(np.flatnonzero(FAMILY[t] == FAMILY), key=lambda k: p[i, k]) for i, t in enumerate(y)]
    )
    graded = y != 5  # a family of one class has no grades
    true, answered = GRADE[y], GRADE[given]
    if graded.any():
        expected = sk.mean_absolute_error(true[graded], answered[graded])
        assert found["grade_mae"].value == pytest.approx(expected)
    weighted, clips_of = 0.0, 0
    for family in (0, 1):
        own = FAMILY[y] == family
        if own.any() and len({*true[own], *answered[own]}) > 1:
            kappa = sk.cohen_kappa_score(
                true[own], answered[own], weights="quadratic", labels=np.flatnonzero(family == FAMILY) * 0
                + np.arange((family == FAMILY).sum()),
            )  # fmt: skip
            weighted, clips_of = weighted + own.sum() * kappa, clips_of + own.sum()
    if clips_of:
        assert found["quadratic_kappa"].value == pytest.approx(weighted / clips_of)
    assert found["parent_top1"].value == pytest.approx(np.mean(FAMILY[p.argmax(1)] == FAMILY[y]))
    for name in ("grade_mae", "quadratic_kappa", "parent_top1"):
        score = found[name]
        assert score.low is not None
        assert score.high is not None
        assert score.low - 1e-12 <= score.value <= score.high + 1e-12
    assert (found["quadratic_kappa"].low or 0) >= -1
    assert (found["grade_mae"].high or 0) <= 2


def test_grades_and_families_are_shown_where_there_are_some() -> None:
    p, y = clips(1)
    plain = metrics.scores(p, y, LabelSet(GRADES, ordered=True))
    assert not {"grade_mae", "quadratic_kappa", "parent_top1"} & set(plain)
    assert next(iter(metrics.scores(p, y, LABELS))) == "top1"
    one_scale = metrics.scores(p, y, LabelSet(GRADES, ordered=True, graded=True))
    assert one_scale["quadratic_kappa"].value == pytest.approx(
        sk.cohen_kappa_score(y, p.argmax(1), weights="quadratic")
    )
    assert "parent_top1" not in one_scale
    text = str(one_scale["grade_mae"])
    assert "%" not in text
    assert text.startswith(f"{one_scale['grade_mae'].value:.2f}")


def test_a_report_tells_wrong_answers_within_the_family_from_others() -> None:
    report = report_of(LABELS)
    p, y = clips(0)
    wrong = p.argmax(1) != y
    inside = FAMILY[p.argmax(1)] == FAMILY[y]
    rows = report.families
    assert [row.family for row in rows] == ["walk", "jump", "fall"]
    assert [row.within for row in rows] == [int((wrong & inside & (FAMILY[y] == f)).sum()) for f in range(3)]
    assert sum(row.outside for row in rows) == (~inside).sum()
    assert all(row.support == row.right + row.within + row.outside for row in rows)
    plain = json.loads(json.dumps(report.to_json()))
    assert np.trace(plain["families"]["confusion"]) == inside.sum()
    back = Report.from_json(plain)
    assert back.to_json() == report.to_json()
    assert str(back.scores["grade_mae"]) == str(report.scores["grade_mae"])
    page = render_report(report)
    assert "Families" in page
    assert "quadratic kappa" in page
    assert "Families" not in render_report(report_of(LabelSet(GRADES)))


COUNTS = {"walk low": 500, "walk middle": 101, "walk high": 100, "jump low": 20, "jump high": 19}


def test_classes_are_told_apart_by_how_often_they_occur_in_training() -> None:
    groups = [str(i % 5) for i in range(80)]
    report = report_of(LabelSet(GRADES), groups, training=COUNTS)
    p, y = clips(0)
    assert report.frequency is not None
    rows = {row.name: row for row in report.frequency.rows}
    classes = {"many": [0, 1], "medium": [2, 3], "few": [4, 5]}
    for name, chosen in classes.items():
        own, row = np.isin(y, chosen), rows[name]
        expected = sk.recall_score(y[own], p[own].argmax(1), labels=chosen, average="macro")
        assert row.value == pytest.approx(expected)
        assert (row.classes, row.clips) == (2, own.sum())
        assert row.low is not None
        assert row.high is not None
        assert row.low <= row.value <= row.high
    assert rows["few"].training_clips == 19
    back = Report.from_json(json.loads(json.dumps(report.to_json())))
    assert back.frequency == report.frequency
    page = render_report(report)
    assert "Many-shot classes have more than 100 clips in training, few-shot ones fewer than 20." in page
    alike = report_of(LabelSet(GRADES), training=dict.fromkeys(GRADES, 50))
    assert "Many-shot" not in render_report(alike)
    assert "frequency" not in report_of(LabelSet(GRADES)).to_json()


def test_shots_of_several_labels_are_average_precisions() -> None:
    generator = np.random.default_rng(3)
    y, p = (generator.random((40, 4)) < 0.4).astype(np.int64), generator.random((40, 4))
    y[:, 3] = 0  # does not occur
    labels = LabelSet(tuple("abcd"), multi=True)
    table = metrics.frequency_scores(p, y, labels, {"a": 9, "b": 5, "c": 2, "d": 1}, shots=(2, 8))
    values = {row.name: row.value for row in table.rows}
    assert values["many"] == pytest.approx(sk.average_precision_score(y[:, 0], p[:, 0]))
    each = [sk.average_precision_score(y[:, k], p[:, k]) for k in (1, 2)]
    assert values["medium"] == pytest.approx(np.mean(each))
    assert values["few"] is None
    with pytest.raises(InvalidSetting, match=r"thresholds rise, such as 20 and 100; got \[9, 2\]"):
        metrics.check_shots((9, 2))


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6))
def test_map_of_charades_leaves_out_classes_without_positives(seed: int) -> None:
    """torchmetrics' average precision, ours with weights, and scikit-learn's, with ties."""
    generator = np.random.default_rng(seed)
    y = (generator.random((30, 5)) < 0.2).astype(np.int64)
    y[0, 0], y[:, 4] = 1, 0
    p = generator.random((30, 5)).round(1)
    labels = LabelSet(tuple("abcde"), multi=True)
    occurring = np.flatnonzero(y.any(0))
    expected = np.mean([sk.average_precision_score(y[:, k], p[:, k]) for k in occurring])
    assert metrics.scores(p, y, labels)["map"].value == pytest.approx(expected, abs=2e-6)
    weighted = metrics.recognition.WeightedPrecision(p, y).mean(np.ones((1, 30)))
    assert float(weighted[0, 0]) == pytest.approx(expected)
