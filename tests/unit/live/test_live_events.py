"""Events are found in the answers about a source, and raise its alarms."""

from __future__ import annotations

import numpy as np
import pytest

from kinesphere.core.labels import LabelSet
from kinesphere.live.alarms import Alarm, Alarms
from kinesphere.live.events import LiveEvents
from kinesphere.live.frame import LiveFrame
from kinesphere.live.result import Incident, LiveResult
from kinesphere.predict.events import Rules
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
