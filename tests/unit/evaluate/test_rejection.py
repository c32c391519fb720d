"""When a model answers that it knows none of what it sees, and how the threshold is measured."""

from __future__ import annotations

import numpy as np
import pytest

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate.rejection import measured
from kinesphere.models.provenance import Provenance
from kinesphere.models.rejection import Rejection
from kinesphere.predict import Prediction, SegmentRule, Timeline, read_timeline, segments, write_timeline
from kinesphere.predict.segmentation import below

NONE = "none of these"
LABELS = LabelSet(("walk", "wave", NONE))
REJECTION = Rejection(NONE, 0.5, "3 clips")


def test_an_answer_is_rejected_where_none_wins_or_nothing_known_is_sure() -> None:
    table = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.45, 0.35, 0.2], [0.5, 0.0, 0.5]])
    assert REJECTION.rejects(table, LABELS).tolist() == [False, True, True, False]
    assert REJECTION.known(LABELS) == ("walk", "wave")
    foreign = Rejection("something else", 0.5, "3 clips")
    assert foreign.rejects(table, LABELS).tolist() == [False, False, True, False]


def test_the_threshold_keeps_most_right_answers() -> None:
    sure = np.linspace(0.5, 0.99, 100)
    known = np.stack([sure, (1 - sure) / 2, (1 - sure) / 2], 1)
    strangers = np.array([[0.1, 0.1, 0.8], [0.51, 0.3, 0.19], [0.9, 0.05, 0.05]])
    found = measured(
        np.concatenate([known, strangers]),
        np.array([0] * 100 + [2] * 3),
        LABELS,
        label=NONE,
        on="103 generated clips",
    )
    assert found.threshold == pytest.approx(sure[5], abs=1e-4)
    assert (known[:, 0] >= found.threshold).sum() == 95
    assert found.measured == (
        "103 generated clips: 95.0% of 100 right answers stay; "
        "66.7% of 3 clips of 'none of these' are rejected"
    )


def test_what_cannot_be_measured_or_stored_is_refused() -> None:
    table = np.array([[0.2, 0.7, 0.1]])
    with pytest.raises(InvalidSetting, match="No threshold can be measured on one clip: none of the 1 clips"):
        measured(table, np.array([0]), LABELS, label=NONE, on="one clip")
    with pytest.raises(
        InvalidSetting, match="A fraction of the right answers is above 0 and at most 1; got 0"
    ):
        measured(table, np.array([1]), LABELS, label=NONE, on="one clip", kept=0)
    with pytest.raises(
        InvalidSetting, match=r"a threshold in \[0, 1\] and what it was measured on; got .*1\.5"
    ):
        Rejection(NONE, 1.5, "clips")
    with pytest.raises(InvalidSetting, match="not a provenance record"):
        Provenance.from_json({"origin": "trained", "rejection": {"label": NONE}})


def test_provenance_keeps_it_and_files_without_it_stay_as_they_were() -> None:
    stored = Provenance("trained", rejection=REJECTION)
    assert Provenance.from_json(stored.to_json()) == stored
    assert "rejection" not in Provenance("trained").to_json()


def test_predictions_say_what_is_answered_and_known() -> None:
    sure = Prediction(np.array([0.3, 0.6, 0.1]), LABELS, "a.mp4", (0, 1), rejection=REJECTION, model="one")
    assert (sure.answer, sure.is_rejected) == ("wave", False)
    unsure = Prediction(np.array([0.3, 0.4, 0.3]), LABELS, "a.mp4", (0, 1), rejection=REJECTION)
    assert (unsure.answer, unsure.is_rejected) == (NONE, True)
    plain = sure.to_json()
    assert (plain["answer"], plain["known"], plain["model"]) == ("wave", ["walk", "wave"], "one")
    without = Prediction(np.array([0.3, 0.4, 0.3]), LABELS, "a.mp4", (0, 1))
    assert without.answer == "wave"
    assert without.to_json().keys() == {"source", "span", "top"}


def test_rejected_windows_have_no_segment_and_files_keep_the_rule(tmp_path) -> None:
    table = np.array([[0.9, 0.05, 0.05], [0.1, 0.1, 0.8], [0.4, 0.3, 0.3]])
    spans = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]])
    timeline = Timeline(table, spans, LABELS, "a.mp4", rejection=REJECTION, model="one")
    rule = SegmentRule(threshold=0.3)
    assert [(s.label, s.start_s, s.end_s) for s in segments(timeline, rule)] == [("walk", 0.0, 1.0)]
    assert below(timeline, rule).windows == 2
    assert [window.answer for window in timeline] == ["walk", NONE, NONE]
    plain = timeline.to_json()
    assert plain["known"] == ["walk", "wave"]
    assert [window["answer"] for window in plain["timeline"]] == ["walk", NONE, NONE]
    assert all("known" not in window for window in plain["timeline"])
    for name in ("a.json", "a.parquet"):
        write_timeline(timeline, tmp_path / name)
        again = read_timeline(tmp_path / name)
        assert (again.rejection, again.model) == (REJECTION, "one")
