"""When an answer raises an alarm."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from alarm_makers import LABELS, Listener, live_frame, live_result

from kinesphere.core.errors import InvalidSetting, LabelMismatch
from kinesphere.live.alarms import AlarmRule, Alarms
from kinesphere.live.result import Incident
from kinesphere.models.rejection import Rejection
from kinesphere.predict.events.facts import Event, Fact

RULE = AlarmRule("fall", raise_at=0.8, clear_at=0.5, seconds=0.4, clear_seconds=0.2, cool_down_s=2.0)


def times_of(scores, rule=RULE, rate=10):
    """When alarms are raised by a probability per tenth of a second."""
    listener = Listener()
    alarms = Alarms([rule], [listener])
    for number, score in enumerate(scores):
        alarms.result(live_result(number, number / rate, score))
    return [round(alarm.time_s, 3) for alarm in listener.alarms], alarms


def test_it_has_to_last_so_long_in_a_row():
    assert times_of([0.9] * 4 + [0.7] + [0.9] * 4)[0] == []
    assert times_of([0.1] + [0.8] * 5)[0] == [0.5]
    assert times_of([0.9], replace(RULE, seconds=0))[0] == [0.0]


def test_between_the_thresholds_it_is_neither_raised_nor_over():
    rule = replace(RULE, cool_down_s=0)
    flutter = [0.9] * 5 + [0.6, 0.9] * 10
    assert times_of(flutter, rule)[0] == [0.4]
    short = [0.9] * 5 + [0.1, 0.1] + [0.9] * 10  # gone for 0.1 s
    assert times_of(short, rule)[0] == [0.4]
    gone = [0.9] * 5 + [0.1] * 3 + [0.9] * 10
    assert times_of(gone, rule)[0] == [0.4, 1.2]


def test_the_cool_down_holds_back_what_is_over_before_its_end():
    again = [0.9] * 5 + [0.1] * 3
    times, alarms = times_of(again * 2 + [0.1] * 10 + again)
    assert times == [0.4, 3.0]
    assert (alarms.raised, alarms.held_back) == (2, 1)


def test_what_outlasts_the_cool_down_is_raised_at_its_end():
    times, alarms = times_of([0.9] * 5 + [0.1] * 3 + [0.9] * 30)
    assert times == [0.4, 2.4]
    assert alarms.held_back == 0


def test_what_lies_before_and_after_a_gap_is_not_in_a_row():
    listener = Listener()
    alarms = Alarms([RULE], [listener])
    for number in range(4):
        alarms.result(live_result(number, number / 10))
    alarms.incident(Incident("lost", 4, 0.4, "the connection ended"))
    alarms.result(live_result(4, 5.0))
    assert not listener.alarms


@pytest.mark.parametrize(("away_s", "raised"), [(0.05, 1), (3600.0, 2)])
def test_what_is_there_after_hours_without_a_picture_is_another_alarm(away_s, raised):
    listener = Listener()
    alarms = Alarms([RULE], [listener])
    for begin_s in (0.0, 2.0 + away_s):
        for number in range(20):
            alarms.result(live_result(number, begin_s + number / 10))
        alarms.incident(Incident("lost", 20, begin_s + 2, "the connection ended"))
    assert len(listener.alarms) == raised


def test_people_have_alarms_of_their_own_and_are_forgotten():
    listener = Listener()
    alarms = Alarms([RULE], [listener])
    for number in range(5):
        for person, score in ((3, 0.9), (7, 0.1), (8, 0.95)):
            alarms.result(live_result(number, number / 10, score, person))
    assert [(alarm.person, alarm.number) for alarm in listener.alarms] == [(3, 4), (8, 4)]
    for number in range(1000):
        alarms.result(live_result(number, 10 + 10 * number, 0.1, 100 + number))
    assert len(alarms._states) < 20


def test_an_answer_that_is_none_of_the_classes_raises_nothing():
    listener = Listener()
    alarms = Alarms([replace(RULE, seconds=0, raise_at=0.5)], [listener])
    result = live_result(0, 0.0, 0.6)
    unsure = replace(result, prediction=replace(result.prediction, rejection=Rejection("none", 0.7, "")))
    alarms.result(unsure)
    assert not listener.alarms
    alarms.result(result)
    assert [alarm.score for alarm in listener.alarms] == [0.6]


def test_an_event_raises_the_alarm_of_its_rule_with_its_evidence():
    listener = Listener()
    alarms = Alarms([], [listener], event_cool_down_s=5.0)
    facts = (Fact("run", 1.0, 3.0, person=4), Fact("holds up knife", 2.0, math.inf, person=4, other=9))
    event = Event("robbery", 1.0, math.inf, facts)
    for number, time_s in ((30, 3.0), (50, 5.0), (80, 8.0)):
        alarms.event(event, live_frame(number, time_s))
    alarms.event(Event("robbery", 1.0, 3.0, (facts[0], Fact("run", 0, 1, person=5))), live_frame(81, 8.1))
    assert [(alarm.number, alarm.person) for alarm in listener.alarms] == [(30, 4), (80, 4), (81, None)]
    assert (alarms.raised, alarms.held_back) == (3, 1)
    plain = json.loads(json.dumps(listener.alarms[0].to_json(), allow_nan=False))
    assert (plain["alarm"], plain["frame"], plain["time"], plain["score"]) == ("robbery", 30, 3.0, 1.0)
    assert plain["evidence"]["span"] == [1.0, None]
    assert plain["evidence"]["facts"][1] == {
        "label": "holds up knife", "span": [2.0, None], "person": 4, "other": 9,
    }  # fmt: skip


def test_an_alarm_tells_what_it_rests_on_and_has_a_name_fit_for_a_file():
    listener = Listener()
    alarms = Alarms([AlarmRule("fall", seconds=0)], [listener])
    alarms.result(live_result(7, 0.28, 0.9, person=2))
    (alarm,) = listener.alarms
    assert alarm.to_json()["evidence"]["top"][0] == {"label": "fall", "probability": 0.9}
    assert alarm.key.endswith(f"Z-0000007-fall-person2-{alarm.token}")
    assert replace(alarm, name="../a b: c\0").key.endswith(f"-a-b-c-person2-{alarm.token}")
    assert replace(alarm, name="???").key.endswith(f"-alarm-person2-{alarm.token}")
    alarms.close()
    assert listener.closed == 1


def test_alarms_of_two_sources_at_one_second_and_frame_are_told_apart():
    found = []
    for source in ("hall", "yard"):
        listener = Listener()
        Alarms([AlarmRule("fall", seconds=0)], [listener], source=source).result(live_result(7, 0.28, 0.9))
        found += listener.alarms
    assert [alarm.to_json()["source"] for alarm in found] == ["hall", "yard"]
    assert len({replace(alarm, raised=found[0].raised).key for alarm in found}) == 2


def test_rules_that_cannot_work_are_refused():
    for values, message in (
        ({"raise_at": 0.0}, r"raised at a probability in \(0, 1\]; got 0\.0 for 'fall'"),
        ({"clear_at": 0.9}, r"over below a probability in \(0, 0\.8\].*got 0\.9"),
        ({"seconds": -1.0}, "seconds of the alarm of 'fall' is a number of seconds from 0 on; got -1"),
        ({"cool_down_s": math.inf}, "cool_down_s of the alarm of 'fall'.*got inf"),
    ):
        with pytest.raises(InvalidSetting, match=message):
            AlarmRule("fall", **values)
    with pytest.raises(InvalidSetting, match=r"cool-down is a number of seconds from 0 on; got -1"):
        Alarms([], [], event_cool_down_s=-1)
    with pytest.raises(LabelMismatch, match=r"rules of alarms: label 'fal' .* Did you mean 'fall'"):
        Alarms([AlarmRule("fal")], []).check(LABELS)
