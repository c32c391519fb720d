from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm

from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.apps.cli.segment_options import segment_rule
from kinesphere.clips.sampling import windows
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.models.rejection import Rejection
from kinesphere.predict.segment_rule import SegmentRule, read_rule
from kinesphere.predict.segmentation import active_windows, below, segments
from kinesphere.predict.timeline import Timeline
from kinesphere.predict.transitions import Transitions, learn_transitions, most_probable

LABELS = LabelSet(("walk", "wave", "none"))


def timeline(rows: object, labels: LabelSet = LABELS, stride: float = 1.0, length: float = 2.0) -> Timeline:
    p = np.array(rows, dtype=float)
    spans = np.array([(i * stride, i * stride + length) for i in range(len(p))])
    return Timeline(p, spans, labels, "video.mp4")


def found(answer: Timeline, **settings: Any) -> list[tuple[str, float, float]]:
    return [(s.label, s.start_s, s.end_s) for s in segments(answer, SegmentRule(**settings))]


def test_each_label_has_its_own_threshold() -> None:
    answer = timeline([[0.6, 0.4, 0], [0.6, 0.4, 0], [0.4, 0.6, 0], [0.4, 0.6, 0]])
    assert [label for label, *_ in found(answer)] == ["walk", "wave"]
    assert [label for label, *_ in found(answer, thresholds={"wave": 0.7})] == ["walk"]
    assert found(answer, threshold=0.9, thresholds={"wave": 0.3}) == [("wave", 0.0, 5.0)]
    silent = below(answer, SegmentRule(threshold=0.9, thresholds={"wave": 0.5}))
    assert str(silent) == "2 of 4 windows below the threshold of 0.9 (1 labels have their own)"
    with pytest.raises(
        InvalidSetting, match=r"No label of the timeline is called 'Waves'; did you mean 'wave'"
    ):
        found(answer, thresholds={"Waves": 0.7})


def test_windows_below_are_counted_as_they_are_segmented_smoothed() -> None:
    answer = timeline([[0.6, 0.4, 0], [0.4, 0.6, 0], [0.6, 0.4, 0], [0.6, 0.4, 0]])
    rule = SegmentRule(threshold=0.58, smooth=3)
    assert below(answer, rule).windows == (~active_windows(answer, rule).any(1)).sum() == 3


def test_a_segment_is_as_sure_as_its_windows_in_which_somebody_is_seen() -> None:
    rows, spans = np.array([[0.9, 0.1, 0], [0, 1, 0], [0.9, 0.1, 0]]), np.arange(3)[:, None] + [0.0, 1.0]
    answer = Timeline(rows, spans, LABELS, "video.mp4", nobody=np.array([False, True, False]))
    (segment,) = segments(answer, SegmentRule(gap_s=1.5))
    assert segment.probability == pytest.approx(0.9)


@pytest.mark.parametrize("pause_s", [0.1, 0.2, 0.3, 0.7])
def test_windows_as_far_apart_as_the_shortest_pause_are_not_merged(pause_s: float) -> None:
    spans = np.array([[0.0, 0.7], [0.7 + pause_s, 3.0]])
    answer = Timeline(np.array([[0.9, 0.1, 0]] * 2), spans, LABELS, "video.mp4")
    assert len(found(answer, gap_s=pause_s)) == 2
    assert len(found(answer, gap_s=pause_s + 0.01)) == 1


def test_a_class_of_no_action_competes_but_is_no_segment() -> None:
    answer = timeline([[0.6, 0, 0.4], [0.1, 0.1, 0.8], [0.6, 0, 0.4]])
    assert [label for label, *_ in found(answer)] == ["walk", "none", "walk"]
    assert found(answer, no_action=("none",)) == [("walk", 0.0, 1.5), ("walk", 2.5, 4.0)]
    viterbi = Transitions(duration_s=0.5)
    assert found(answer, no_action=("none",), viterbi=viterbi) == [("walk", 0.0, 1.5), ("walk", 2.5, 4.0)]


def test_short_pauses_are_closed_and_short_segments_dropped() -> None:
    one, other, nothing = [0.9, 0.1, 0], [0.1, 0.9, 0], [0.4, 0.4, 0.2]
    answer = timeline([one, nothing, one, one, other, one])
    assert found(answer, gap_s=1.5) == [("walk", 0, 4.5), ("wave", 4.5, 5.5), ("walk", 5.5, 7)]
    assert found(answer, gap_s=1.0) == found(answer)  # a pause of one second is none that is shorter
    # what a dropped segment leaves is a pause like any other
    assert found(answer, gap_s=1.5, min_s=1.2) == [("walk", 0.0, 7.0)]
    several = LabelSet(("walk", "wave", "none"), multi=True)
    both = timeline([[0.9, 0, 0], [0.1, 0.9, 0], [0.9, 0, 0]], several)
    assert found(both, gap_s=1.5) == [("walk", 0.0, 4.0), ("wave", 1.5, 2.5)]
    apart = timeline([one, one], stride=3)
    assert found(apart, gap_s=1.5) == [("walk", 0.0, 5.0)]
    assert len(found(apart, gap_s=1.0)) == 2


@given(st.integers(0, 9999), st.floats(0.1, 20), st.integers(2, 3), st.integers(1, 5))
def test_viterbi_finds_the_best_of_all_paths(seed: int, lasts_s: float, states: int, windows: int) -> None:
    generator = np.random.default_rng(seed)
    names = tuple("abc"[:states])
    scores = np.log(generator.dirichlet(np.ones(states), windows))
    times_s = np.cumsum(generator.uniform(0.1, 2, windows))
    chain = Transitions(duration_s=lasts_s, following={"a": {"b": 3.0}})

    costs = [chain.costs(names, float(step)) for step in np.diff(times_s).round(6)]

    def value(path: tuple[int, ...]) -> float:
        steps = [cost[a, b] for (a, b), cost in zip(itertools.pairwise(path), costs, strict=True)]
        return float(sum(scores[w, s] for w, s in enumerate(path)) + sum(steps))

    best = max(map(value, itertools.product(range(states), repeat=windows)))
    assert value(tuple(most_probable(scores, chain, names, times_s).tolist())) == pytest.approx(best)


@given(st.integers(0, 9999), st.booleans(), st.floats(0.05, 0.95))
def test_viterbi_without_memory_is_plain_thresholding(seed: int, multi: bool, threshold: float) -> None:
    """A state that lasts no time at all says nothing of the next."""
    generator = np.random.default_rng(seed)
    labels = LabelSet(("walk", "wave", "none"), multi=multi)
    answer = timeline(generator.dirichlet(np.ones(3), 12), labels)
    rules = [SegmentRule(threshold, viterbi=each) for each in (None, Transitions(duration_s=0.001))]
    np.testing.assert_array_equal(*(active_windows(answer, rule) for rule in rules))


def test_viterbi_bridges_what_thresholds_break() -> None:
    one, doubtful, other = [0.98, 0.01, 0.01], [0.3, 0.4, 0.3], [0.1, 0.8, 0.1]
    answer = timeline([one, one, doubtful, one, other, one, one])
    assert len(found(answer)) == 4
    assert found(answer, viterbi=Transitions(duration_s=60)) == [("walk", 0.0, 8.0)]
    assert found(answer, viterbi=Transitions(stay=0.99)) == [("walk", 0.0, 8.0)]
    unseen = Timeline(answer.probabilities, answer.spans, LABELS, "x", np.arange(7) == 3)
    assert found(unseen, viterbi=Transitions(duration_s=60)) == [("walk", 0.0, 2.5), ("walk", 5.5, 8.0)]
    rejecting = Timeline(
        answer.probabilities, answer.spans, LABELS, "x", rejection=Rejection("walk", 0.5, "")
    )
    assert found(rejecting, viterbi=Transitions(duration_s=60)) == []


def test_an_even_chain_is_worked_out_without_its_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    states, even = ("walk", "wave", "none", ""), Transitions(duration_s=3.0)
    general = Transitions(duration_s=3.0, durations_s={"walk": 3.0})
    wanted = [general.probabilities(states, step_s) for step_s in (1e-6, 0.5, 100.0)]
    monkeypatch.setattr("scipy.linalg.expm", None)
    given = [even.probabilities(states, step_s) for step_s in (1e-6, 0.5, 100.0)]
    np.testing.assert_allclose(given, wanted, atol=1e-12)


def test_what_is_too_little_for_an_answer_may_continue_one() -> None:
    rows = [[0.7, 0.2, 0.1], [0.45, 0.35, 0.2], [0.3, 0.2, 0.5], [0.7, 0.2, 0.1]]
    answer = timeline(rows)
    rejecting = Timeline(
        answer.probabilities, answer.spans, LABELS, "x", rejection=Rejection("none", 0.6, "")
    )
    assert found(rejecting) == [("walk", 0.0, 1.5), ("walk", 3.5, 5.0)]
    assert found(rejecting, keep=0.25) == [("walk", 0.0, 2.5), ("walk", 3.5, 5.0)]


@given(st.integers(0, 999), st.floats(1e-5, 50))
def test_learnt_chains_are_worked_out_once_for_all_steps(seed: int, step_s: float) -> None:
    generator = np.random.default_rng(seed)
    states = tuple("abcdef"[: generator.integers(2, 7)])
    lasts = {name: float(generator.uniform(0.2, 30)) for name in states}
    following = {name: {other: float(generator.integers(0, 9)) for other in states} for name in states}
    chain = Transitions(duration_s=2.0, durations_s=lasts, following=following)
    follows = np.array([[following[a][b] + 1 / (len(states) - 1) for b in states] for a in states])
    np.fill_diagonal(follows, 0)
    rates = (follows / follows.sum(1, keepdims=True) - np.eye(len(states))) / np.array([*lasts.values()])[
        :, None
    ]
    np.testing.assert_allclose(
        chain.probabilities(states, step_s), expm(step_s * rates), rtol=1e-5, atol=1e-9
    )


def test_windows_at_uneven_times_take_no_exponential_each(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr("scipy.linalg.expm", lambda rates: calls.append(rates) or expm(rates))
    generator = np.random.default_rng(0)
    chain = Transitions(duration_s=3.0, durations_s={"a": 1.0, "b": 4.0}, following={"a": {"b": 5.0}})
    times_s = np.cumsum(generator.uniform(0.2, 0.8, 300))
    path = most_probable(np.log(generator.dirichlet(np.ones(3), 300)), chain, ("a", "b", ""), times_s)
    assert len(path) == 300
    assert not calls


def test_transitions_are_learnt_from_annotations() -> None:
    rows = [("walk", 0, 4), ("walk", 4, 6), ("wave", 6, 7), ("walk", 9, 11), ("none", 11, 12)]
    rows.append(("wave", 12, 13))
    labels = TimedLabels.of([TimedLabel("v", label, start, end) for label, start, end in rows])
    chain = learn_transitions(labels, "truth.csv", no_action=("none",))
    assert chain.durations_s == {"walk": 4.0, "wave": 1.0, "": 1.5}
    assert chain.pauses_s == {"walk": 3.0, "wave": 5.0}
    assert chain.following["walk"] == {"wave": 1, "": 1}
    assert str(chain) == "Viterbi, transitions learnt from truth.csv"
    p = chain.probabilities(("walk", "wave", ""), 0.5)
    np.testing.assert_allclose(p.sum(1), 1)
    assert p[0, 0] == pytest.approx(np.exp(-0.5 / 4), abs=0.01)
    assert p[0, 0] > p[1, 1]
    both = chain.on_and_off(("walk", "wave"), 0.5)
    np.testing.assert_allclose(both.sum(1), 1)
    assert both[1, 1, 0] > both[1, 1, 1]
    with pytest.raises(InvalidAnnotation, match=r"none.csv holds no label with a length"):
        learn_transitions(TimedLabels.of([TimedLabel("v", "walk", 1, 1)]), "none.csv")


def test_a_rule_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("label,start_s,end_s\nwalk,0,4\nwave,5,6\n")
    file = tmp_path / "rule.yaml"
    file.write_text(
        "threshold: 0.4\nthresholds: {wave: 0.6}\nsmooth: 3\nsmoothing: median\nno_action: none\n"
        "min_s: 0.5\ngap_s: 1\nviterbi: {learn_from: truth.csv}\n"
    )
    rule = read_rule(file)
    assert (rule.threshold, rule.thresholds, rule.no_action) == (0.4, {"wave": 0.6}, ("none",))
    assert rule.viterbi is not None
    assert rule.viterbi.durations_s["walk"] == 4
    assert str(rule) == (
        "threshold 0.4; thresholds wave 0.6; median of 3 windows; "
        "Viterbi, transitions learnt from truth.csv; no action: none; at least 0.5 s; pauses of at least 1 s"
    )
    changed = segment_rule(file, ["0.3", "walk=0.2"], None, "5", "0.9", None, None, 0.25)
    assert (changed.threshold, changed.thresholds) == (0.3, {"wave": 0.6, "walk": 0.2})
    assert (changed.smooth, changed.smoothing, changed.gap_s, changed.min_s) == (5, "mean", 0.25, 0.5)
    assert changed.viterbi == Transitions(stay=0.9)
    assert segment_rule(None, None, None, None, "2.5s", None, None, None).viterbi == Transitions(
        duration_s=2.5
    )
    assert segment_rule(None, None, 0.2, None, None, ["none"], None, None) == SegmentRule(
        keep=0.2, no_action=("none",)
    )
    learnt = segment_rule(None, None, None, None, str(tmp_path / "truth.csv"), None, None, None)
    assert learnt.viterbi == rule.viterbi


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("treshold: 0.5", "no setting is called 'treshold'; did you mean 'threshold'"),
        ("min_s: soon", "min_s should be a number; got 'soon'"),
        ("smooth: 2.5", "smooth should be a whole number; got 2.5"),
        ("thresholds: [0.5]", "thresholds should be numbers by label"),
        ("smoothing: [mean]", "smoothing should be a text"),
        ("- 1", "holds no settings by name"),
        ("viterbi: {stay: 0.9, duration_s: 2}", "either the probability to stay .* or"),
        ("viterbi: {stay: 1}", "The probability to stay lies between 0 and 1; got 1"),
        ("viterbi: {duration_s: 0}", r"States last 0.001 s to 1e\+07 s; got 0"),
        ("viterbi: {learn_from: a.csv, stay: 0.9}", "learn_from says all; leave stay"),
        ("viterbi: {duration_s: 2}\nkeep: 0.1", "Hysteresis and Viterbi decoding both decide"),
        ("threshold: 1.5", "The threshold is a probability, 0 to 1; got 1.5"),
        ("thresholds: {wave: -1}", "The threshold of 'wave' is a probability"),
        ("gap_s: -1", "The shortest pause is 0 s or more; got -1"),
    ],
)
def test_wrong_files_say_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "rule.yaml").write_text(text)
    with pytest.raises(InvalidSetting, match=message):
        read_rule(tmp_path / "rule.yaml")


def test_wrong_options_say_what_is_wrong() -> None:
    with pytest.raises(InvalidSetting, match=r"--threshold takes a probability, or LABEL=P.*; got 'wave'"):
        segment_rule(None, ["wave"], None, None, None, None, None, None)
    with pytest.raises(InvalidSetting, match=r"--smooth takes an odd number such as 5, .*; got 'gauss'"):
        segment_rule(None, None, None, "gauss", None, None, None, None)
    with pytest.raises(InvalidSetting, match=r"seconds such as 2.5s, .* or a file; got '3'"):
        segment_rule(None, None, None, None, "3", None, None, None)
    with pytest.raises(InvalidSetting, match=r"keep <= threshold <= 1; got 0.6 and 0.5"):
        found(timeline([[0.9, 0.1, 0]]), keep=0.6)


def ideal(generator: np.random.Generator, window_s: float, stride_s: float) -> tuple[Timeline, np.ndarray]:
    """Windows whose probabilities are how much of them each label covers, and the true changes."""
    lengths = generator.uniform(2, 5, 80)
    edges = np.concatenate([[0.0], np.cumsum(lengths)])
    states = np.arange(80) % 3
    starts = np.arange(0, edges[-1] - window_s, stride_s)
    spans = np.stack([starts, starts + window_s], 1)
    covered = np.minimum(spans[:, 1:], edges[None, 1:]) - np.maximum(spans[:, :1], edges[None, :-1])
    rows = np.clip(covered, 0, None) @ np.eye(3)[states] / window_s
    return Timeline(rows / rows.sum(1, keepdims=True), spans, LABELS, "video.mp4"), edges


@pytest.mark.parametrize("viterbi", [None, Transitions(duration_s=3.0)])
def test_boundaries_are_unbiased_within_a_quarter_of_the_stride(viterbi: Transitions | None) -> None:
    answer, edges = ideal(np.random.default_rng(5), 1.0, 0.5)
    given = found(answer, viterbi=viterbi, no_action=("none",))
    for side in (1, 2):
        times = np.array([each[side] for each in given][1:-1])
        errors = times - edges[np.abs(times[:, None] - edges).argmin(1)]
        assert len(errors) > 40
        assert abs(errors.mean()) < 0.5 / 4
        assert np.abs(errors).max() <= 0.5 / 2 + 1e-6


def test_a_change_costs_no_more_of_many_labels_and_less_where_it_is_usual() -> None:
    few, many = (tuple(map(str, range(count))) for count in (3, 30))
    chain = Transitions(duration_s=5.0)
    assert chain.costs(few, 0.5)[0, 1] == pytest.approx(chain.costs(many, 0.5)[0, 1], abs=0.1)
    assert chain.costs(few, 0.5)[0, 1] == pytest.approx(np.log(0.5 / 5), abs=0.1)
    assert Transitions(stay=0.9).costs(many, 0.5)[3, 4] == pytest.approx(np.log(1 / 9))
    usual = Transitions(duration_s=5.0, following={"0": {"1": 50.0}}).costs(many, 0.5)
    assert usual[0, 1] > usual[1, 0] > usual[0, 2]
    assert (usual <= 0).all()
    np.testing.assert_array_equal(usual.diagonal(), 0)


@st.composite
def broken_timelines(draw: st.DrawFn) -> list[Timeline]:
    """Stretches of one timeline that touch, overlap by nothing, or have a gap between them."""
    labels = LabelSet(LABELS.names, multi=draw(st.booleans()))
    generator = np.random.default_rng(draw(st.integers(0, 9999)))
    parts, start_s = [], 0.0
    for _ in range(draw(st.integers(1, 4))):
        spans = np.array(windows(start_s + draw(st.floats(0.5, 6)), 1.0, 0.4, start_s))
        p = generator.dirichlet(np.full(3, 0.4), len(spans))
        parts.append(Timeline(p, spans, labels, "video.mp4", nobody=generator.random(len(p)) < 0.2))
        start_s = float(spans[-1, 1]) + draw(st.sampled_from([0.0, 0.3, 2.0]))
    return parts


@given(
    broken_timelines(),
    st.sampled_from(
        [
            SegmentRule(threshold=0.3, gap_s=1.0, min_s=0.5),
            SegmentRule(threshold=0.6, keep=0.2, smooth=5, gap_s=3.0),
            SegmentRule(smooth=3, smoothing="median", threshold=0.4),
            SegmentRule(viterbi=Transitions(duration_s=2.0), gap_s=3.0),
            SegmentRule(viterbi=Transitions(stay=0.9), smooth=3, min_s=0.6),
        ]
    ),
)
def test_nothing_is_smoothed_decoded_or_joined_across_a_break(
    parts: list[Timeline], rule: SegmentRule
) -> None:
    whole = Timeline(
        np.concatenate([each.probabilities for each in parts]),
        np.concatenate([each.spans for each in parts]),
        parts[0].labels,
        "video.mp4",
        nobody=np.concatenate([each.nobody for each in parts]),
        breaks_s=np.array([each.spans[0, 0] for each in parts[1:]]),
    )
    alone = [each for part in parts for each in segments(part, rule)]
    got = segments(whole, rule)
    assert len(got) == len(alone)
    for one, other in zip(got, sorted(alone, key=lambda each: (each.start_s, each.end_s)), strict=True):
        assert one.label == other.label
        assert (one.start_s, one.end_s) == pytest.approx((other.start_s, other.end_s))
        assert one.probability == pytest.approx(other.probability)
