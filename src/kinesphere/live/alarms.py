"""`Alarms`: which answers and events are worth waking somebody for, and who is told."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.live.frame import LiveFrame
from kinesphere.live.result import Incident, LiveResult
from kinesphere.predict.events.facts import Event, Fact
from kinesphere.predict.prediction import Prediction

# Times of frames are multiples of a rate that no float holds exactly.
_ROUNDING_S = 1e-6
# People who were not seen for so long are forgotten, so that memory stays flat.
_FORGOTTEN_S = 60.0
_LONGEST_NAME = 60


@dataclass(frozen=True)
class AlarmRule:
    """When a class raises an alarm, and when it may raise the next.

    An alarm is raised once its probability has been at least `raise_at` for `seconds` in a row, and is over
    once it has been below `clear_at` for `clear_seconds` in a row, or the source was away for longer than
    that; in between nothing is raised. What begins
    within the cool-down waits for its end, and is held back if it is over before.

    Attributes:
        label: The class.
        raise_at: Probability from which on it counts as there.
        clear_at: Probability below which it counts as gone; None for three quarters of `raise_at`.
        seconds: How long in a row it has to be there, on the stream's clock; 0 for a single answer.
        clear_seconds: How long in a row it has to be gone.
        cool_down_s: Shortest time between two alarms of this class (and person, if they are told apart).

    Raises:
        InvalidSetting: If a value cannot work.
    """

    label: str
    raise_at: float = 0.8
    clear_at: float | None = None
    seconds: float = 0.5
    clear_seconds: float = 1.0
    cool_down_s: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < self.raise_at <= 1:
            raise InvalidSetting(
                f"An alarm is raised at a probability in (0, 1]; got {self.raise_at} for {self.label!r}."
            )
        if not 0 < self.clears_at <= self.raise_at:
            raise InvalidSetting(
                f"The alarm of {self.label!r} is over below a probability in (0, {self.raise_at:g}], where "
                f"it is raised; got {self.clear_at}."
            )
        for name in ("seconds", "clear_seconds", "cool_down_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InvalidSetting(
                    f"{name} of the alarm of {self.label!r} is a number of seconds from 0 on; got "
                    f"{getattr(self, name)}."
                )

    @property
    def clears_at(self) -> float:
        """Probability below which it counts as gone."""
        return 0.75 * self.raise_at if self.clear_at is None else self.clear_at


@dataclass(frozen=True, eq=False)
class Alarm:
    """Something to tell people of, at one frame.

    Attributes:
        name: The class, or the rule of the event.
        time_s: When it was raised, on the stream's clock.
        number: The frame whose answer raised it.
        score: Probability of the class then; 1 for events.
        evidence: The answer or the event.
        person: Whom it is about, if people are told apart.
        raised: The same moment on the clock of the day.
        source: Name of the source, without passwords; empty if it was not stated.
        token: Tells it from alarms of other sources at the same second and frame.
    """

    name: str
    time_s: float
    number: int
    score: float
    evidence: Prediction | Event
    person: int | None = None
    raised: datetime = field(default_factory=lambda: datetime.now(UTC))
    source: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def key(self) -> str:
        """A name for it that no other alarm has, of this source or another, and that is fit for a file."""
        words = re.sub(r"[^\w]+", "-", self.name).strip("-")[:_LONGEST_NAME]
        whom = "" if self.person is None else f"-person{self.person}"
        return f"{self.raised:%Y%m%dT%H%M%SZ}-{self.number:07d}-{words or 'alarm'}{whom}-{self.token}"

    def to_json(self) -> dict[str, Any]:
        """The shape that scripts rely on: alarm, key, source, raised, frame, time, score, person and
        evidence, in this order.
        """
        return {
            "alarm": self.name,
            "key": self.key,
            "source": self.source,
            "raised": self.raised.isoformat(timespec="milliseconds"),
            "frame": self.number,
            "time": round(self.time_s, 3),
            "score": round(self.score, 6),
            "person": self.person,
            "evidence": _evidence(self.evidence),
        }


def _evidence(evidence: Prediction | Event) -> dict[str, Any]:
    if isinstance(evidence, Event):
        return {
            "rule": evidence.rule,
            "span": [_seconds(evidence.start_s), _seconds(evidence.end_s)],
            "facts": [_fact(fact) for fact in evidence.evidence],
        }
    return {
        "span": [_seconds(time_s) for time_s in evidence.span],
        "top": [{"label": name, "probability": round(p, 6)} for name, p in evidence.top(5)],
    }


def _fact(fact: Fact) -> dict[str, Any]:
    span = [_seconds(fact.start_s), _seconds(fact.end_s)]
    return {"label": fact.label, "span": span, "person": fact.person, "other": fact.other}


def _seconds(time_s: float) -> float | None:
    """Rounded; None for what is going on, since JSON knows no infinity."""
    return round(time_s, 3) if math.isfinite(time_s) else None


class AlarmReceiver(Protocol):
    """Whoever is told of alarms: a broker, a web address, the recorder, a page."""

    def alarm(self, alarm: Alarm) -> None:
        """Take note of an alarm; returns at once, whatever the rest of the world does."""
        ...

    def close(self) -> None:
        """Finish and free everything; may be called more than once."""
        ...


@dataclass
class _State:
    """How far one rule is, for one person or the whole picture. Times are on the stream's clock."""

    since_s: float | None = None
    """Since when it is there, or, while an alarm lasts, gone."""
    lasts: bool = False
    held_back: bool = False
    raised_s: float = -math.inf
    seen_s: float = 0.0
    broke_off: bool = False
    """Whether there was a gap since the last answer."""


class Alarms:
    """Raises alarms by rules, as an observer of a source that is watched.

    Args:
        rules: One or more per class.
        receivers: Who is told, and closed at the end, in this order.
        event_cool_down_s: Shortest time between two alarms of one rule of events and the same people.
        source: Name that alarms give of their source, without passwords.

    Raises:
        InvalidSetting: If the cool-down cannot work.
    """

    def __init__(
        self,
        rules: Sequence[AlarmRule],
        receivers: Iterable[AlarmReceiver],
        *,
        event_cool_down_s: float = 30.0,
        source: str = "",
    ) -> None:
        if not 0 <= event_cool_down_s < math.inf:
            raise InvalidSetting(
                f"A cool-down is a number of seconds from 0 on; got {event_cool_down_s} for events."
            )
        self.raised = 0
        """Number of alarms so far."""
        self.held_back = 0
        """Number of alarms that the cool-down held back."""
        self._rules = tuple(rules)
        self._receivers = tuple(receivers)
        self._event_cool_down_s, self._source = event_cool_down_s, source
        self._states: dict[tuple[int, int | None], _State] = {}
        self._events: dict[tuple[str, tuple[int, ...]], float] = {}

    def check(self, labels: LabelSet) -> None:
        """Refuse rules about classes that a model does not know.

        Raises:
            LabelMismatch: If there is one; the nearest classes are listed.
        """
        for rule in self._rules:
            labels.index(rule.label, "In the rules of alarms")

    def frame(self, frame: LiveFrame) -> None:
        """See `FrameObserver.frame`."""

    def result(self, result: LiveResult) -> None:
        """See `FrameObserver.result`.

        Raises:
            LabelMismatch: If a rule is about a class that the model does not know.
        """
        time_s = result.frame.time_s
        for index, rule in enumerate(self._rules):
            state = self._states.setdefault((index, result.person), _State())
            if state.broke_off and time_s - state.seen_s > rule.clear_seconds:
                state.lasts = False  # what is there after hours without a picture is another one
            state.seen_s, state.broke_off = time_s, False
            score = _score(result.prediction, rule.label)
            if self._moves_to_alarm(rule, state, score, time_s):
                self._raise(rule.label, result.frame, score, result.prediction, result.person)
        self._forget(time_s)

    def incident(self, incident: Incident) -> None:
        """See `FrameObserver.incident`: what lies before and after a gap is not in a row."""
        for state in self._states.values():
            state.since_s, state.broke_off = None, True

    def event(self, event: Event, frame: LiveFrame) -> None:
        """Raise the alarm of an event that a rule of events found.

        Args:
            event: The event with its evidence.
            frame: The newest frame when it was found.
        """
        key = event.rule, event.people
        before_s = self._events.get(key, -math.inf)
        if frame.time_s - before_s < self._event_cool_down_s - _ROUNDING_S:
            self.held_back += 1
            return
        self._events = {
            known: at_s
            for known, at_s in self._events.items()
            if frame.time_s - at_s < self._event_cool_down_s
        } | {key: frame.time_s}
        self._raise(event.rule, frame, 1.0, event, event.people[0] if len(event.people) == 1 else None)

    def close(self) -> None:
        """See `FrameObserver.close`; whatever one receiver raises, the others are closed as well."""
        with ExitStack() as closing:
            for receiver in reversed(self._receivers):
                closing.callback(receiver.close)

    def _moves_to_alarm(self, rule: AlarmRule, state: _State, score: float, time_s: float) -> bool:
        """Move a state on by one answer; whether that raises an alarm."""
        if state.lasts:
            if score >= rule.clears_at:
                state.since_s = None
            elif _lasted(state, time_s, rule.clear_seconds):
                state.lasts, state.since_s = False, None
            return False
        if score < rule.raise_at:
            state.since_s, state.held_back = None, False
            return False
        if not _lasted(state, time_s, rule.seconds):
            return False
        if time_s - state.raised_s < rule.cool_down_s - _ROUNDING_S:
            self.held_back += not state.held_back
            state.held_back = True
            return False
        if state.held_back:  # it outlasted the cool-down, so it was late and not held back
            self.held_back -= 1
        state.lasts, state.held_back, state.since_s, state.raised_s = True, False, None, time_s
        return True

    def _raise(
        self, name: str, frame: LiveFrame, score: float, evidence: Prediction | Event, person: int | None
    ) -> None:
        self.raised += 1
        alarm = Alarm(name, frame.time_s, frame.number, score, evidence, person, source=self._source)
        for receiver in self._receivers:
            receiver.alarm(alarm)

    def _forget(self, time_s: float) -> None:
        """Drop the states of people who are gone, once their cool-downs are over."""
        old = [
            (index, person)
            for (index, person), state in self._states.items()
            if time_s - state.seen_s > _FORGOTTEN_S
            and time_s - state.raised_s > self._rules[index].cool_down_s
        ]
        for key in old:
            del self._states[key]


def _score(prediction: Prediction, label: str) -> float:
    """Probability of a class; 0 where the answer is that it is none of what the model knows."""
    rejection = prediction.rejection
    is_none = rejection is not None and rejection.label != label and prediction.is_rejected
    return 0.0 if is_none else prediction[label]


def _lasted(state: _State, time_s: float, seconds: float) -> bool:
    """Whether what holds now has held for so long; begins to count if it did not hold before."""
    if state.since_s is None:
        state.since_s = time_s
    return time_s - state.since_s >= seconds - _ROUNDING_S
