from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesphere.clips.sampling import windows
from kinesphere.core.errors import InvalidSetting, LabelMismatch
from kinesphere.core.labels import LabelSet
from kinesphere.predict.segment_rule import SegmentRule, Smoothing
from kinesphere.predict.segmentation import segments
from kinesphere.predict.timeline import Timeline


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    length = draw(st.floats(0.2, 12))
    stride = draw(st.floats(0.2, 1)) * length
    spans = np.array(windows(draw(st.floats(0.2, 20)) * length, length, stride))
    classes = draw(st.integers(2, 5))
    generator = np.random.default_rng(draw(st.integers(0, 9999)))
    p = generator.dirichlet(np.full(classes, 0.3), len(spans))
    labels = LabelSet(tuple("abcde"[:classes]), multi=draw(st.booleans()))
    return Timeline(p, spans, labels, "video.mp4")


def simple(
    rows: list[list[float]], length: float = 2.0, stride: float = 1.0, multi: bool = False
) -> Timeline:
    p = np.array(rows)
    spans = np.array([(i * stride, i * stride + length) for i in range(len(rows))])
    return Timeline(p, spans, LabelSet(tuple("abcde"[: p.shape[1]]), multi=multi), "video.mp4")


@given(timelines(), st.floats(0, 1), st.floats(0, 1), st.floats(0, 3))
def test_segments_keep_their_promises(timeline: Timeline, a: float, b: float, min_s: float) -> None:
    keep, threshold = sorted((a, b))
    found = segments(timeline, SegmentRule(threshold=threshold, keep=keep, min_s=min_s))
    assert found == sorted(found, key=lambda s: s.start_s)
    for segment in found:
        assert timeline.spans[0, 0] <= segment.start_s < segment.end_s <= timeline.spans[:, 1].max()
        assert segment.end_s - segment.start_s >= min_s
        assert segment.probability >= keep - 1e-9
    pools = [[s for s in found if s.label == name] for name in timeline.labels]
    for pool in pools if timeline.labels.multi else [found]:
        assert all(x.end_s <= y.start_s + 1e-9 for x, y in pairwise(pool))


@given(timelines())
def test_cells_tile_the_windows(timeline: Timeline) -> None:
    cells = timeline.cells()
    assert cells[0, 0] == timeline.spans[0, 0]
    assert cells[-1, 1] == timeline.spans[-1, 1]
    np.testing.assert_allclose(cells[1:, 0], cells[:-1, 1])
    assert ((cells[:, 0] >= timeline.spans[:, 0]) & (cells[:, 1] <= timeline.spans[:, 1])).all()


@given(timelines(), st.sampled_from([1, 3, 5, 99]), st.sampled_from(["mean", "median"]))
def test_smoothing_keeps_probabilities(timeline: Timeline, width: int, kind: str) -> None:
    smooth = timeline.smoothed(width, kind)  # type: ignore[arg-type]
    assert smooth.probabilities.shape == timeline.probabilities.shape
    assert smooth.probabilities.min() >= 0
    if not timeline.labels.multi:
        np.testing.assert_allclose(smooth.probabilities.sum(1), 1)
    if width == 1:
        np.testing.assert_allclose(smooth.probabilities, timeline.probabilities)


@pytest.mark.parametrize("kind", ["mean", "median"])
def test_smoothing_takes_the_memory_of_some_windows_at_a_time(
    kind: Smoothing, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeline = simple(np.random.default_rng(0).dirichlet(np.ones(3), 12).tolist())
    at_once = timeline.smoothed(5, kind).probabilities
    monkeypatch.setattr("kinesphere.predict.timeline._AT_ONCE", 1)
    np.testing.assert_array_equal(timeline.smoothed(5, kind).probabilities, at_once)
    # No wider than the video, however many windows are asked for.
    all_of_it = timeline.smoothed(2**40 + 1, kind).probabilities
    np.testing.assert_allclose(all_of_it, timeline.smoothed(99, kind).probabilities)


def test_overlap_is_shared_at_its_middle() -> None:
    found = segments(simple([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]]))
    assert [(s.label, s.start_s, s.end_s) for s in found] == [("a", 0.0, 2.5), ("b", 2.5, 5.0)]
    assert found[0].probability == pytest.approx(0.9)


def test_windows_with_a_gap_between_them_stay_apart() -> None:
    found = segments(simple([[0.9, 0.1], [0.9, 0.1]], length=1, stride=3))
    assert [(s.start_s, s.end_s) for s in found] == [(0.0, 1.0), (3.0, 4.0)]


def test_hysteresis_bridges_a_weak_window() -> None:
    timeline = simple([[0.9, 0.1], [0.45, 0.4], [0.8, 0.2]])
    assert len(segments(timeline, SegmentRule(threshold=0.7))) == 2
    assert len(segments(timeline, SegmentRule(threshold=0.7, keep=0.4))) == 1


def test_several_labels_at_once_only_in_a_multi_label_set() -> None:
    rows = [[0.9, 0.8], [0.9, 0.8]]
    assert {s.label for s in segments(simple(rows, multi=True))} == {"a", "b"}
    assert {s.label for s in segments(simple(rows))} == {"a"}


def test_short_segments_are_dropped() -> None:
    timeline = simple([[0.9, 0.1], [0.1, 0.9], [0.9, 0.1]])
    assert [s.label for s in segments(timeline)] == ["a", "b", "a"]
    assert [s.label for s in segments(timeline, SegmentRule(min_s=1.2))] == ["a", "a"]


def test_median_removes_a_lone_outlier_and_survives_all_zero_rows() -> None:
    timeline = simple([[1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0], [1, 0, 0]])
    assert [(s.start_s, s.end_s) for s in segments(timeline.smoothed(3, "median"))] == [(0.0, 6.0)]
    clash = simple([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]).smoothed(3, "median")
    np.testing.assert_array_equal(clash.probabilities[1], [0, 1, 0])


@pytest.mark.parametrize("kind", ["mean", "median"])
def test_windows_across_a_gap_lend_nothing_to_each_other(kind: Smoothing) -> None:
    spans = np.array([[0, 1], [1, 2], [100, 101], [101, 102]], float)
    rows = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
    answer = Timeline(rows, spans, LabelSet(("a", "b")), "video.mp4")
    np.testing.assert_allclose(answer.smoothed(3, kind).probabilities, rows)


def test_prediction_at_a_time() -> None:
    timeline = simple([[0.9, 0.1], [0.1, 0.9]])
    for time_s, label in ((0.0, "a"), (1.4, "a"), (1.6, "b"), (3.0, "b")):
        prediction = timeline.at(time_s)
        assert prediction is not None
        assert prediction.top(1)[0][0] == label
    assert timeline.at(3.1) is None


def test_json_has_the_promised_shape() -> None:
    plain = simple([[0.9, 0.1], [0.1, 0.9]]).to_json(1)
    assert plain["source"] == "video.mp4"
    assert plain["span"] == [0.0, 3.0]
    assert plain["top"] == [{"label": "a", "probability": 0.5}]
    assert plain["timeline"][1] == {"span": [1.0, 3.0], "top": [{"label": "b", "probability": 0.9}]}


@pytest.mark.parametrize(
    ("p", "spans", "message"),
    [
        (np.zeros((0, 2)), np.zeros((0, 2)), r"needs probabilities \(W, 2\) with at least one window"),
        (np.zeros((3, 3)), np.zeros((3, 2)), r"got \(3, 3\)"),
        (np.zeros((3, 2)), np.zeros((2, 2)), r"needs spans \(3, 2\); got \(2, 2\)"),
        (np.zeros((1, 2)), np.array([[1.0, 1.0]]), "from a start to a later end"),
        (np.zeros((2, 2)), np.array([[1.0, 2.0], [0.0, 1.0]]), "ordered by start; these do not"),
    ],
)
def test_contradictory_timelines_are_refused(p: np.ndarray, spans: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        Timeline(p, spans, LabelSet(("a", "b")), "video.mp4")


def test_whether_nobody_is_seen_is_said_of_each_window() -> None:
    with pytest.raises(InvalidSetting, match=r"of 2 windows says of each .* as booleans; got bool \(1,\)"):
        Timeline(np.eye(2), np.array([[0.0, 1], [1, 2]]), LabelSet(("a", "b")), "x", np.ones(1, bool))
    nothing = Timeline(np.eye(2), np.array([[0.0, 1], [1, 2]]), LabelSet(("a", "b")), "x", np.ones(2, bool))
    assert segments(nothing, SegmentRule(threshold=0)) == []
    assert nothing.mean().notes == ("nobody is seen in it, so that the joints were all zeros",)


def test_settings_are_checked() -> None:
    timeline = simple([[0.9, 0.1]])
    with pytest.raises(InvalidSetting, match=r"odd number of windows \(1, 3, 5, …\); got 4"):
        timeline.smoothed(4)
    with pytest.raises(InvalidSetting, match="Unknown smoothing 'gauss'; use 'mean' or 'median'"):
        timeline.smoothed(3, "gauss")  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match=r"0 <= keep <= threshold <= 1; got 0.9 and 0.5"):
        segments(timeline, SegmentRule(keep=0.9))
    with pytest.raises(InvalidSetting, match="0 s or more; got -1"):
        segments(timeline, SegmentRule(min_s=-1))


@pytest.mark.parametrize("kind", ["mean", "median"])
def test_windows_in_which_nobody_is_seen_lend_nothing_to_their_neighbours(kind: str) -> None:
    rows = [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.5, 0.5]]
    spans = np.array([(i, i + 2.0) for i in range(4)])
    nobody = np.array([False, True, False, False])
    timeline = Timeline(np.array(rows), spans, LabelSet(("a", "b")), "video.mp4", nobody=nobody)
    smooth = timeline.smoothed(3, kind)  # type: ignore[arg-type]
    np.testing.assert_allclose(smooth.probabilities, [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.6, 0.4]])
    empty = Timeline(np.array(rows), spans, LabelSet(("a", "b")), "video.mp4", nobody=np.ones(4, bool))
    np.testing.assert_array_equal(empty.smoothed(3, kind).probabilities, rows)  # type: ignore[arg-type]


def test_timelines_and_predictions_are_sliced_and_iterated_and_shown_by_shape() -> None:
    timeline = simple([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    part = timeline[1:]
    assert part.spans.tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert [each["a"] for each in part] == [0.2, 0.6]
    assert list(timeline[0]) == [("a", 0.9), ("b", 0.1)]
    assert repr(timeline).startswith("Timeline(probabilities=float64 (3, 2), spans=float64 (3, 2), labels=")
    assert repr(timeline[0]).startswith("Prediction(probabilities=float64 (2,), labels=LabelSet(")
    with pytest.raises(LabelMismatch, match=r"In the prediction of video\.mp4"):
        timeline[0]["hop"]
    with pytest.raises(InvalidSetting, match="at least one window"):
        timeline[3:]


@pytest.mark.parametrize(
    ("breaks_s", "match"),
    [
        (
            [1.0],
            "No window reaches over a break of its timeline; the one from 0 to 2 s does. Cut the windows",
        ),
        ([3.0, 2.0], "Breaks of a timeline are times in seconds, ascending"),
        ([np.nan], "Breaks of a timeline are times in seconds, ascending"),
    ],
)
def test_breaks_lie_between_windows(breaks_s: list[float], match: str) -> None:
    with pytest.raises(InvalidSetting, match=match):
        replace(simple([[0.9, 0.1], [0.9, 0.1]], stride=2.0), breaks_s=np.array(breaks_s))
