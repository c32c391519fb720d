"""Events are found in the answers about a source, and raise its alarms."""

from __future__ import annotations

import numpy as np
import pytest

from kinesphere.core.labels import LabelSet
from kinesphere.live.alarms import Alarm, Alarms
from kinesphere.live.events import LiveEvents
from kinesphere.live.frame import LiveFrame
from kinesphere.live.result import Incident, LiveResult
from kinesphere.predict.events import Event, Rules
from kinesphere.predict.prediction import Prediction

LABELS = LabelSet(("fall", "rise", "stand"))
RULES = """
rules:
  helpless:
    parts: {fall: {label: fall}}
    absent: [{label: rise, after: fall, within_s: 5}]
    within_s: 20
"""


class Told:
    def __init__(self) -> None:
        self.alarms: list[Alarm] = []
        self.closed = False

    def alarm(self, alarm: Alarm) -> None:
        assert not self.closed
        self.alarms.append(alarm)

    def close(self) -> None:
        self.closed = True


def watched(*spoken: str, gap_after: int | None = None) -> list[Alarm]:
    told = Told()
    alarms = Alarms((), [told])
    events = LiveEvents(Rules.parse(RULES), alarms)
    for second, label in enumerate(spoken):
        frame = LiveFrame(second * 25, float(second + 2), 0.0, np.zeros((2, 2, 3), np.uint8))
        p = np.where(np.array(LABELS.names) == label, 0.9, 0.05)
        prediction = Prediction(p, LABELS, "camera", (float(second), second + 2.0))
        events.result(LiveResult(frame, prediction, 0.1))
        if second == gap_after:
            events.incident(Incident("lost", 0, second + 2.0, "cut"))
    events.close()
    alarms.close()
    assert events.found == len(told.alarms)
    return told.alarms


def test_an_event_raises_an_alarm_once_nothing_has_happened_in_time() -> None:
    [alarm] = watched("stand", "fall", "fall", *["stand"] * 8)
    assert (alarm.name, alarm.time_s, alarm.number) == ("helpless", 11.0, 225)
    assert [(fact.label, fact.start_s, fact.end_s) for fact in alarm.evidence.evidence] == [
        ("fall", 1.5, 3.5)
    ]  # type: ignore[union-attr]
    assert watched("stand", "fall", "fall", "stand", "rise", *["stand"] * 8) == []


@pytest.mark.parametrize("gap_after", [None, 2])
def test_the_end_and_gaps_end_what_goes_on(gap_after: int | None) -> None:
    [alarm] = watched("stand", "fall", "fall", gap_after=gap_after)
    assert (alarm.time_s, alarm.evidence.end_s) == (4.0, 4.0)  # type: ignore[union-attr]


def test_what_has_not_happened_is_decided_while_the_source_is_away() -> None:
    told = Told()
    events = LiveEvents(Rules.parse(RULES), Alarms((), [told]))
    frame = LiveFrame(0, 2.0, 0.0, np.zeros((2, 2, 3), np.uint8))
    events.result(LiveResult(frame, Prediction(np.array([0.9, 0.05, 0.05]), LABELS, "camera", (0, 2)), 0.1))
    events.incident(Incident("lost", 1, 2.0, "cut"))
    events.clock(6.0)
    assert not told.alarms  # to rise within 5 s is possible up to 7 s, and a window that shows it takes 2
    events.clock(9.1)
    assert [(alarm.name, alarm.evidence.end_s) for alarm in told.alarms] == [("helpless", 2.0)]  # type: ignore[union-attr]
    events.close()


def test_events_are_of_one_person_and_not_of_whom_it_was_exchanged_with() -> None:
    rules = """
rules:
  twice:
    parts: {first: {label: fall}, then: {label: rise}}
    relations: [first before then]
    same: [[first, then]]
    within_s: 20
"""

    def found(*said: tuple[str, int, bool]) -> list[Alarm]:
        told = Told()
        events = LiveEvents(Rules.parse(rules), Alarms((), [told]))
        for second, (label, person, begins) in enumerate(said):
            frame = LiveFrame(second, second + 1.0, 0.0, np.zeros((2, 2, 3), np.uint8))
            p = np.where(np.array(LABELS.names) == label, 0.9, 0.05)
            said_of = Prediction(p, LABELS, "camera", (float(second), second + 1.0))
            events.result(LiveResult(frame, said_of, 0.1, person, (0.1, 0.1, 0.3, 0.9), begins))
            events.clock(frame.time_s)
        events.close()
        return told.alarms

    stand = ("stand", 1, False)
    [alarm] = found(("fall", 1, False), stand, ("rise", 1, False), stand)
    assert isinstance(alarm.evidence, Event)
    assert alarm.evidence.people == (1,)
    assert [fact.box for fact in alarm.evidence.evidence] == [pytest.approx((0.1, 0.1, 0.3, 0.9))] * 2
    assert found(("fall", 1, False), stand, ("rise", 2, False)) == []
    # A person whose answers begin anew ends what went on: here two falls, not one over the exchange.
    repeated = "rules: {again: {repeat: {label: fall, times: 2, people: same}, within_s: 20}}"
    for begins, count in ((False, 0), (True, 1)):
        told = Told()
        events = LiveEvents(Rules.parse(repeated), Alarms((), [told]))
        for second in range(2):
            frame = LiveFrame(second, second + 1.0, 0.0, np.zeros((2, 2, 3), np.uint8))
            said_of = Prediction(np.array([0.9, 0.05, 0.05]), LABELS, "camera", (float(second), second + 1.0))
            events.result(LiveResult(frame, said_of, 0.1, 1, None, begins and second == 1))
        events.close()
        assert len(told.alarms) == count


def test_what_a_gap_ends_is_told_at_once_and_not_when_the_source_is_back() -> None:
    told = Told()
    events = LiveEvents(Rules.parse("rules: {fallen: {parts: {fall: {label: fall}}}}"), Alarms((), [told]))
    frame = LiveFrame(0, 2.0, 0.0, np.zeros((2, 2, 3), np.uint8))
    events.result(LiveResult(frame, Prediction(np.array([0.9, 0.05, 0.05]), LABELS, "camera", (0, 2)), 0.1))
    assert not told.alarms
    events.incident(Incident("lost", 1, 1.99, "cut"))
    assert [alarm.name for alarm in told.alarms] == ["fallen"]
    events.close()
    assert len(told.alarms) == 1
