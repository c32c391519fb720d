"""Facts of the answers of a stream: as `segments` finds them where nothing that comes later matters."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.models.rejection import Rejection
from kinesphere.predict.events import Fact, StreamFacts, timeline_facts
from kinesphere.predict.prediction import Prediction
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.predict.segmentation import segments
from kinesphere.predict.timeline import Timeline
from kinesphere.predict.transitions import Transitions

LABELS = LabelSet(("run", "fall"))


def answer(at: float, run: float, labels: LabelSet = LABELS) -> Prediction:
    return Prediction(np.array([run, 1 - run]), labels, "camera", (at, at + 2.0))


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize(
    "rule",
    [
        SegmentRule(),
        SegmentRule(threshold=0.75),
        SegmentRule(min_s=1.5),
        SegmentRule(threshold=0.75, gap_s=1.5),
    ],
)
def test_a_stream_has_the_facts_of_its_timeline(rule: SegmentRule, multi: bool) -> None:
    rng = np.random.default_rng(0)
    labels = LabelSet(LABELS.names, multi=multi)
    runs = rng.random(60)
    answers = [answer(float(t), float(p), labels) for t, p in enumerate(runs)]
    timeline = Timeline(
        np.stack([each.probabilities for each in answers]),
        np.array([each.span for each in answers]),
        labels,
        "camera",
    )
    stream = StreamFacts(rule)
    given = [fact for each in answers for fact in stream.add(each)] + stream.close()
    over = sorted((fact for fact in given if fact.is_over), key=lambda fact: (fact.start_s, fact.end_s))
    wanted = timeline_facts(timeline, rule)
    assert [(f.label, f.start_s, f.end_s) for f in over] == [(f.label, f.start_s, f.end_s) for f in wanted]
    if not rule.gap_s:  # the means of a stream are without the windows of pauses
        assert [f.score for f in over] == pytest.approx([f.score for f in wanted])
    begun = [(fact.label, fact.start_s) for fact in given if not fact.is_over]
    assert set(begun) <= {(fact.label, fact.start_s) for fact in over}
    assert len(begun) == len(set(begun)) > 5


def test_a_label_goes_on_above_the_lower_threshold_and_over_short_pauses() -> None:
    stream = StreamFacts(SegmentRule(threshold=0.8, keep=0.4, gap_s=2.5))
    given = [fact for at, run in enumerate((0.9, 0.5, 0.3, 0.3, 0.9, 0.3, 0.3, 0.3, 0.3)) for fact in
             stream.add(answer(at, run))]  # fmt: skip
    assert [(f.label, f.start_s, f.end_s) for f in given] == [("run", 0, math.inf), ("run", 0, 5.5)]


def test_what_goes_on_for_days_takes_no_more_memory() -> None:
    sizes = []
    for answers in (1000, 5000):
        stream = StreamFacts()
        tracemalloc.start()
        for at in range(answers):
            stream.add(answer(at, 0.9), 1, (0.1, 0.2, 0.3, 0.4))
        sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        [fact] = stream.close()
        assert (fact.score, fact.box) == (pytest.approx(0.9), pytest.approx((0.1, 0.2, 0.3, 0.4)))
    assert sizes[1] < sizes[0] + 10_000


def test_what_is_too_little_for_an_answer_may_continue_one_as_in_segments() -> None:
    labels, rejection = LabelSet(("run", "fall", "none")), Rejection("none", 0.5, "")
    rows = np.array([[0.9, 0.1, 0], [0.35, 0.33, 0.32], [0.9, 0.1, 0], [0.35, 0.2, 0.45], [0.9, 0.1, 0]])
    spans = np.array([(i, i + 1.0) for i in range(len(rows))])
    rule, stream = SegmentRule(threshold=0.5, keep=0.3), StreamFacts(SegmentRule(threshold=0.5, keep=0.3))
    timeline = Timeline(rows, spans, labels, "camera", rejection=rejection)
    given = [fact for each in timeline for fact in stream.add(each)] + stream.close()
    over = [(fact.start_s, fact.end_s) for fact in given if fact.is_over]
    assert over == [(each.start_s, each.end_s) for each in timeline_facts(timeline, rule)] == [(0, 3), (4, 5)]


def test_people_are_told_apart_and_whoever_is_gone_ends() -> None:
    stream = StreamFacts()
    assert stream.known_s == -math.inf
    box = (0.1, 0.2, 0.3, 0.4)
    begun = [*stream.add(answer(0, 0.9), 1, box), *stream.add(answer(0, 0.1), 2)]
    assert [(f.label, f.person, f.is_over) for f in begun] == [("run", 1, False), ("fall", 2, False)]
    assert begun[0].box == pytest.approx(box)
    assert [(f.person, f.end_s) for at in range(1, 6) for f in stream.add(answer(at, 0.1), 2)] == [(1, 2)]
    assert stream.known_s == 3.5  # a window less, for whoever comes
    assert [(f.person, f.start_s, f.end_s) for f in stream.close()] == [(2, 0, 7)]


def test_a_gap_in_the_stream_ends_what_went_on() -> None:
    stream = StreamFacts()
    stream.add(answer(0, 0.9))
    assert [(f.start_s, f.end_s) for f in stream.add(answer(9, 0.9))] == [(0, 2), (9, math.inf)]


@pytest.mark.parametrize("rule", [SegmentRule(smooth=3), SegmentRule(viterbi=Transitions(stay=0.9))])
def test_what_needs_the_future_is_refused(rule: SegmentRule) -> None:
    with pytest.raises(InvalidSetting, match="need what comes later"):
        StreamFacts(rule)


def test_facts_that_begin_late_by_the_shortest_are_known_in_time() -> None:
    stream = StreamFacts(SegmentRule(min_s=3))
    told: list[Fact] = []
    for at in range(8):
        known = stream.known_s
        new = stream.add(answer(at, 0.9 if at > 1 else 0.1))
        assert all(fact.start_s >= known for fact in new if not fact.is_over)
        told += new
    assert [(f.label, f.start_s) for f in told] == [("run", 2.5)]


def test_no_action_goes_on_above_the_lower_threshold_as_in_segments() -> None:
    labels = LabelSet(("run", "rest"))
    rule = SegmentRule(threshold=0.7, thresholds={"run": 0.3}, keep=0.3, no_action=("rest",))
    rows = np.array([[0.1, 0.9], [0.35, 0.65], [0.8, 0.2], [0.9, 0.1]])
    spans = np.arange(len(rows))[:, None] + np.array([0.0, 1.0])
    stream = StreamFacts(rule)
    given = [
        fact
        for row, (start, end) in zip(rows, spans.tolist(), strict=True)
        for fact in stream.add(Prediction(row, labels, "camera", (start, end)))
    ] + stream.close()
    over = [(fact.start_s, fact.end_s) for fact in given if fact.is_over]
    assert over == [(s.start_s, s.end_s) for s in segments(Timeline(rows, spans, labels, "v"), rule)]
    assert over == [(2.0, 4.0)]


def test_the_clock_ends_who_is_gone_and_goes_on_though_nobody_is_seen() -> None:
    stream = StreamFacts()
    assert stream.advance(1.0) == []
    assert stream.known_s == -math.inf  # how long windows are is not known yet
    stream.add(answer(0, 0.9), 1)
    assert stream.advance(3.9) == []
    assert [(fact.person, fact.end_s) for fact in stream.advance(4.1)] == [(1, 2)]
    assert stream.known_s == pytest.approx(2.1)
    assert stream.advance(3.0) == []
    assert stream.known_s == pytest.approx(2.1)
