"""Facts of what a model says: of a whole timeline, or as the answers of a stream come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.predict.events.facts import Box, Fact
from kinesphere.predict.prediction import NOBODY, Prediction
from kinesphere.predict.segment_rule import THRESHOLD, SegmentRule
from kinesphere.predict.segmentation import segments
from kinesphere.predict.timeline import Timeline

_TOUCH_S = 1e-6


def timeline_facts(
    timeline: Timeline,
    rule: SegmentRule = SegmentRule(),  # noqa: B008 (frozen)
    *,
    person: int | None = None,
) -> list[Fact]:
    """The segments of a timeline as facts, with their probabilities as scores.

    Args:
        timeline: What a model says of every window.
        rule: How windows become segments.
        person: Whom it is about, where that is known.
    """
    return [
        Fact(each.label, each.start_s, each.end_s, person, score=each.probability)
        for each in segments(timeline, rule)
    ]


class StreamFacts:
    """Facts of the successive answers of a stream, of the whole picture or of several people.

    A label begins in a window that reaches its threshold, and goes on as long as windows reach `rule.keep`
    (hysteresis); in a single-label set the most probable of these takes the window. Pauses shorter than
    `rule.gap_s` do not end it, in a single-label set unless another label takes them. What is shorter than
    `rule.min_s` is no fact. Unlike in `segments`, what comes later changes nothing of what was decided
    before. Where windows overlap, the boundary lies in the middle of the overlap.

    Each fact is given twice: without an end once it has lasted `rule.min_s`, and when it is over.

    Args:
        rule: Thresholds, shortest facts and pauses.

    Raises:
        InvalidSetting: If the rule smooths or decodes, which needs what comes later.
    """

    def __init__(self, rule: SegmentRule = SegmentRule()) -> None:  # noqa: B008 (frozen)
        if rule.smooth > 1 or rule.viterbi is not None:
            raise InvalidSetting(
                "Smoothing and Viterbi decoding need what comes later; facts of a stream are found by "
                "thresholds, keep, min_s and gap_s."
            )
        self.rule = rule
        self._people: dict[int | None, _Followed] = {}
        self._told_s = -math.inf
        self._longest_s = self._window_s = 0.0
        self._thresholds: dict[tuple[str, ...], tuple[np.ndarray, np.ndarray]] = {}

    @property
    def known_s(self) -> float:
        """Whatever begins before this time was given; minus infinity before the first answer.

        Where people are told apart, somebody new may have been there for a window; so may what is seen next,
        where nothing is.
        """
        if not self._people:
            return self._told_s - self._longest_s if self._longest_s else -math.inf
        return min(each.known_s for each in self._people.values()) - self._window_s

    def add(self, prediction: Prediction, person: int | None = None, box: Box | None = None) -> list[Fact]:
        """The facts that begin and end with an answer.

        Args:
            prediction: The next answer about a person, or about the picture.
            person: Whom it is about. Who has no answer for longer than a window and a pause is gone.
            box: Where the person is, in fractions of the picture.
        """
        start_s, end_s = prediction.span
        self._longest_s = max(self._longest_s, end_s - start_s)
        if person is not None:
            self._window_s = max(self._window_s, end_s - start_s)
        found = self._gone(end_s, max(self.rule.gap_s, end_s - start_s), but=(person,))
        followed = self._people.setdefault(person, _Followed(person, start_s))
        found += followed.step(prediction, self._active(prediction, followed), box, self.rule)
        return found

    def advance(self, time_s: float) -> list[Fact]:
        """The facts that end because no answer comes about whom they are of.

        Args:
            time_s: All answers that end before it were added.
        """
        self._told_s = max(self._told_s, time_s)
        return self._gone(time_s, max(self.rule.gap_s, self._longest_s))

    def _gone(self, time_s: float, patience_s: float, but: Sequence[int | None] = ()) -> list[Fact]:
        """The facts of those, but of some, who have had no answer for longer than some patience."""
        gone = [
            each
            for each, followed in self._people.items()
            if each not in but and time_s - followed.end_s > patience_s
        ]
        return [fact for each in gone for fact in self.end(each)]

    def end(self, person: int | None = None) -> list[Fact]:
        """The facts of a person that end because there are no more answers about it."""
        followed = self._people.pop(person, None)
        return [] if followed is None else followed.close(self.rule)

    def close(self) -> list[Fact]:
        """All facts that end because the stream does, or breaks off."""
        return [fact for person in list(self._people) for fact in self.end(person)]

    def _active(self, prediction: Prediction, followed: _Followed) -> dict[str, float]:
        """The labels that a window is active in, with their probabilities; labels of no action compete."""
        names, p, rejection = prediction.labels.names, prediction.probabilities, prediction.rejection
        most_probable = names[int(p.argmax())]
        if NOBODY in prediction.notes or (rejection is not None and most_probable == rejection.label):
            followed.resting = frozenset()
            return {}
        opening, keep = self._bounds(prediction)
        weak = [k for k, name in enumerate(names) if followed.goes_on(name) and p[k] >= keep[k]]
        # Less than a model wants for an answer may continue one.
        strong = [] if prediction.is_rejected else np.flatnonzero(p >= opening).tolist()
        active = sorted({*strong, *weak} if self.rule.keep is not None else strong)
        if not prediction.labels.multi and active:
            active = [max(active, key=lambda k: float(p[k]))]
        followed.resting = frozenset(names[k] for k in active) & frozenset(self.rule.no_action)
        return {names[k]: float(p[k]) for k in active if names[k] not in followed.resting}

    def _bounds(self, prediction: Prediction) -> tuple[np.ndarray, np.ndarray]:
        names = prediction.labels.names
        if names not in self._thresholds:
            default = THRESHOLD if prediction.rejection is None else prediction.rejection.threshold
            opening = self.rule.opening(prediction.labels, default)
            self._thresholds[names] = opening, self.rule.continuing(opening, default)
        return self._thresholds[names]


@dataclass(slots=True)
class _Open:
    """A label that goes on, or pauses.

    Attributes:
        start_s: Start.
        last_s: Up to when it is known to have gone on.
        windows: How many there were, and the sum of their probabilities.
        places: How many of them tell where they are, and the sum of their boxes: a label may go on for days.
        is_told: Whether it was given without an end.
        pauses: Whether the last window was without it.
    """

    start_s: float
    last_s: float
    windows: tuple[int, float] = (0, 0.0)
    places: tuple[int, np.ndarray] = field(default_factory=lambda: (0, np.zeros(4)))
    is_told: bool = False
    pauses: bool = False

    def take(self, probability: float, box: Box | None) -> None:
        """One more window."""
        count, total = self.windows
        self.windows = count + 1, total + probability
        if box is not None:
            count, boxes = self.places
            self.places = count + 1, boxes + box

    def fact(self, label: str, person: int | None, end_s: float) -> Fact:
        """The label as a fact, with the means of its windows."""
        count, total = self.windows
        score = total / count
        count, boxes = self.places
        if not count:
            return Fact(label, self.start_s, end_s, person, score=score)
        left, top, right, bottom = (boxes / count).tolist()
        return Fact(label, self.start_s, end_s, person, score=score, box=(left, top, right, bottom))


@dataclass(slots=True)
class _Followed:
    """What goes on with one person.

    Attributes:
        person: Whose.
        cell_s: Where the last window begins to speak.
        end_s: Its end.
        going_on: Labels that go on or pause.
        resting: Labels of no action that the last window was active in.
        is_single: Whether one label a window is there.
    """

    person: int | None
    cell_s: float
    end_s: float = -math.inf
    going_on: dict[str, _Open] = field(default_factory=dict)
    resting: frozenset[str] = frozenset()
    is_single: bool = True

    @property
    def known_s(self) -> float:
        return min((each.start_s for each in self.going_on.values() if not each.is_told), default=self.cell_s)

    def goes_on(self, label: str) -> bool:
        """Whether the last window was active in a label."""
        return label in self.resting or (label in self.going_on and not self.going_on[label].pauses)

    def step(
        self, prediction: Prediction, active: dict[str, float], box: Box | None, rule: SegmentRule
    ) -> list[Fact]:
        """The facts that begin and end with the next window."""
        found: list[Fact] = []
        start_s, end_s = prediction.span
        self.is_single = not prediction.labels.multi
        boundary_s = (self.end_s + start_s) / 2 if start_s < self.end_s else start_s
        until_s = min(self.end_s, boundary_s)  # up to which the window before spoke
        if start_s - self.end_s >= max(rule.gap_s, _TOUCH_S) and self.going_on:
            found += self.close(rule)
        for label, each in list(self.going_on.items()):
            if not each.pauses:
                each.last_s = until_s
            taken = self.is_single and bool(active) and label not in active
            # A pause may turn out too long only as the label comes again.
            is_long = boundary_s - each.last_s >= rule.gap_s - _TOUCH_S
            if taken or (is_long and (each.pauses or label not in active)):
                found += self._over(label, rule)
        for label, probability in active.items():
            each = self.going_on.setdefault(label, _Open(boundary_s, boundary_s))
            each.take(probability, box)
        for label, each in self.going_on.items():
            each.pauses = label not in active
            reached_s = boundary_s if label in active else each.last_s
            if not each.is_told and reached_s - each.start_s >= rule.min_s:
                each.is_told = True
                found.append(each.fact(label, self.person, math.inf))
        self.cell_s, self.end_s = boundary_s, end_s
        return found

    def close(self, rule: SegmentRule) -> list[Fact]:
        """All that goes on is over with the last window."""
        for each in self.going_on.values():
            if not each.pauses:
                each.last_s = self.end_s
        return [fact for label in list(self.going_on) for fact in self._over(label, rule)]

    def _over(self, label: str, rule: SegmentRule) -> list[Fact]:
        each = self.going_on.pop(label)
        lasted_s = each.last_s - each.start_s
        if not each.is_told and lasted_s < max(rule.min_s, _TOUCH_S):
            return []
        return [each.fact(label, self.person, each.last_s)]
