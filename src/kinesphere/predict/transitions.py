"""`Transitions`: how long labels last and what follows them, and the most probable sequence by it.

Rabiner: "A tutorial on hidden Markov models and selected applications in speech recognition", Proceedings of
the IEEE, 1989, section III B. W windows, K labels, S states.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting

NO_ACTION = ""
"""The state in which nothing happens that has a label."""
_SHORTEST_S, _LONGEST_S = 1e-3, 1e7
_EVEN_S = 1e-6
_LEAST = 1e-30
# Eigenvectors that are nearer to dependent than this lose digits that costs show.
_WORST_CONDITION = 1e6
# So are changes that are less probable than this in a step.
_TINY = 1e-4


@dataclass(frozen=True)
class Transitions:
    """A Markov chain over labels and `NO_ACTION`, and what its changes cost.

    A change to what follows most often costs the logarithm of how much less probable any change is than to
    stay; to others it costs more by how much rarer they follow. So among twenty labels a change costs as
    much as among two. What is as probable as to stay costs nothing.

    Either `stay` says how probably a window has the state of the one before it, whatever the stride; or
    states last as long as `duration_s` and `durations_s` say on average, so that any stride has its own
    probabilities. States that are not named in `following` are followed by any other equally likely.

    Attributes:
        stay: Probability of the same state in the next window; None where durations decide.
        duration_s: Mean duration of a state in seconds, of those that `durations_s` does not name.
        durations_s: Mean durations of states by their names.
        pauses_s: Mean seconds from the end of a label to its next start, for sets of several labels a clip,
            where each label is a chain of its own; a label that is not named pauses as long as it lasts.
        following: How often each state was followed by each other one.
        learnt_from: What it was learnt from, in words; empty where it was stated.

    Raises:
        InvalidSetting: If neither or both of `stay` and `duration_s` are given, or a number is out of range.
    """

    stay: float | None = None
    duration_s: float | None = None
    durations_s: Mapping[str, float] = field(default_factory=dict)
    pauses_s: Mapping[str, float] = field(default_factory=dict)
    following: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    learnt_from: str = ""

    def __post_init__(self) -> None:
        if (self.stay is None) == (self.duration_s is None):
            raise InvalidSetting(
                "Viterbi decoding takes either the probability to stay in a state from window to window or "
                f"the seconds that a state lasts; got stay={self.stay} and duration_s={self.duration_s}."
            )
        if self.stay is not None and not 0 < self.stay < 1:
            raise InvalidSetting(f"The probability to stay lies between 0 and 1; got {self.stay:g}.")
        for seconds in (self.duration_s, *self.durations_s.values(), *self.pauses_s.values()):
            if seconds is not None and not _SHORTEST_S <= seconds <= _LONGEST_S:
                raise InvalidSetting(f"States last {_SHORTEST_S:g} s to {_LONGEST_S:g} s; got {seconds:g}.")

    def __str__(self) -> str:
        if self.learnt_from:
            return f"Viterbi, transitions learnt from {self.learnt_from}"
        how = f"{self.duration_s:g} s a segment" if self.stay is None else f"stay {self.stay:g} a window"
        return f"Viterbi, {how}"

    def probabilities(self, states: Sequence[str], step_s: float) -> np.ndarray:
        """Of each state given that of `step_s` seconds before, `(S, S)`; rows sum to 1."""
        return self.stepping(states)(step_s)

    def stepping(self, states: Sequence[str]) -> Callable[[float], np.ndarray]:
        """`probabilities` of any number of steps: what they have in common is worked out once."""
        is_even = not self.durations_s and not self.following
        if len(states) == 1 or self.stay is not None or is_even:
            return lambda step_s: self._even(len(states), step_s)
        return _exponential(self._rates(states))

    def _even(self, count: int, step_s: float) -> np.ndarray:
        """`probabilities` where all states last as long and any other follows equally likely."""
        if count == 1:
            return np.ones((1, 1))
        stay = self.stay
        if stay is None:
            decay = math.exp(-step_s / self._lasts(NO_ACTION) * count / (count - 1))
            stay = (1 + (count - 1) * decay) / count
        even = np.full((count, count), (1 - stay) / (count - 1))
        np.fill_diagonal(even, stay)
        return even

    def _rates(self, states: Sequence[str]) -> np.ndarray:
        """How often a second each state becomes each other one, `(S, S)`; rows sum to 0."""
        count = len(states)
        follows = np.array([[self.following.get(a, {}).get(b, 0.0) for b in states] for a in states])
        follows += 1 / (count - 1)  # one more of each state, evenly: nothing is impossible
        np.fill_diagonal(follows, 0)
        follows /= follows.sum(1, keepdims=True)
        rates = 1 / np.array([self._lasts(state) for state in states])
        each: np.ndarray = rates[:, None] * (follows - np.eye(count))
        return each

    def costs(self, states: Sequence[str], step_s: float) -> np.ndarray:
        """What the change from each state to each other one adds to the score, `(S, S)`: at most 0."""
        return _changes(self.probabilities(states, step_s))

    def on_and_off(self, labels: Sequence[str], step_s: float) -> np.ndarray:
        """Of a label being there or not, given whether it was `step_s` seconds before, `(2, 2, K)`.

        The first axis is before, the second after; 0 is absent, 1 present.
        """
        if self.stay is not None:
            stay = np.full(len(labels), self.stay)
            return np.array([[stay, 1 - stay], [1 - stay, stay]])
        lasts = np.array([self._lasts(label) for label in labels])
        pauses = np.array([self.pauses_s.get(label, self._lasts(label)) for label in labels])
        decay = np.exp(-step_s * (1 / lasts + 1 / pauses))
        present = lasts / (lasts + pauses)
        on, off = present + (1 - present) * decay, 1 - present + present * decay
        return np.array([[off, 1 - off], [1 - on, on]])

    def on_and_off_costs(self, labels: Sequence[str], step_s: float) -> np.ndarray:
        """What it adds to the score that a label comes or goes, `(2, 2, K)`; see `on_and_off`."""
        given = self.on_and_off(labels, step_s)
        return _costs(given, np.stack([given[0, 0], given[1, 1]])[:, None])

    def _lasts(self, state: str) -> float:
        mean_s = self.durations_s.get(state, self.duration_s)
        assert mean_s is not None
        return mean_s


def learn_transitions(found: TimedLabels, name: str, *, no_action: Sequence[str] = ()) -> Transitions:
    """Transitions as they occur in annotations.

    Time between annotations is `NO_ACTION`; annotations of one label that touch are one.

    Args:
        found: Annotations of any number of videos.
        name: What they are called in words.
        no_action: Labels that mean that nothing happens.

    Raises:
        InvalidAnnotation: If no annotation has a length.
    """
    spans: dict[str, list[float]] = defaultdict(list)
    pauses: dict[str, list[float]] = defaultdict(list)
    following: dict[str, Counter[str]] = defaultdict(Counter)
    by_video: dict[str, list[TimedLabel]] = defaultdict(list)
    for each in found.labels:
        if each.end_s > each.start_s and each.label not in no_action:
            by_video[each.video].append(each)
    for labels in by_video.values():
        ended: dict[str, float] = {}
        before: TimedLabel | None = None
        for each in _joined(labels):
            spans[each.label].append(each.end_s - each.start_s)
            if each.label in ended:
                pauses[each.label].append(each.start_s - ended[each.label])
            ended[each.label] = each.end_s
            if before is not None and each.start_s > before.end_s + _EVEN_S:
                spans[NO_ACTION].append(each.start_s - before.end_s)
                following[before.label][NO_ACTION] += 1
                following[NO_ACTION][each.label] += 1
            elif before is not None and each.label != before.label:
                following[before.label][each.label] += 1
            before = each
    if not spans:
        raise InvalidAnnotation(f"{name} holds no label with a length to learn transitions from.")
    lengths = [length for label, each in spans.items() if label != NO_ACTION for length in each]
    return Transitions(
        duration_s=_mean(lengths),
        durations_s={label: _mean(each) for label, each in spans.items()},
        pauses_s={label: _mean(each) for label, each in pauses.items()},
        following={label: dict(after) for label, after in following.items()},
        learnt_from=name,
    )


def most_probable(
    scores: np.ndarray, transitions: Transitions, states: Sequence[str], times_s: np.ndarray
) -> np.ndarray:
    """The most probable sequence of states, int64 `(W,)` (Viterbi).

    Args:
        scores: `(W, S)` logarithms of how well each state explains each window, up to a constant a window.
        transitions: How states follow one another.
        states: Names of the S states.
        times_s: `(W,)` what each window speaks of, in seconds, increasing.
    """
    stepping = transitions.stepping(states)
    steps = _by_step(lambda step_s: _changes(stepping(step_s)), times_s)
    best = scores[0]
    came_from = np.zeros(scores.shape, np.int32)
    for window, costs in enumerate(steps, start=1):
        reached = best[:, None] + costs
        came_from[window] = reached.argmax(0)
        best = reached.max(0) + scores[window]
    return _back(came_from, int(best.argmax()))


def most_probable_presence(
    scores: np.ndarray, transitions: Transitions, labels: Sequence[str], times_s: np.ndarray
) -> np.ndarray:
    """Where each label is there, bool `(W, K)`, each by itself (Viterbi over two states).

    Args:
        scores: `(W, K)` logarithms of how much better presence explains a window than absence.
        transitions: How long labels last and pause.
        labels: Names of the K labels.
        times_s: `(W,)` what each window speaks of, in seconds, increasing.
    """
    steps = _by_step(lambda step_s: transitions.on_and_off_costs(labels, step_s), times_s)
    best = np.stack([np.zeros(len(labels)), scores[0]])
    came_from = np.zeros((len(scores), 2, len(labels)), np.int8)
    for window, costs in enumerate(steps, start=1):
        reached = best[:, None] + costs
        came_from[window] = reached.argmax(0)
        best = reached.max(0) + np.stack([np.zeros(len(labels)), scores[window]])
    present = np.zeros(scores.shape, np.int8)
    state, columns = best.argmax(0), np.arange(len(labels))
    for window in range(len(scores) - 1, -1, -1):
        present[window] = state
        state = came_from[window, state, columns]
    return present.astype(bool)


def _back(came_from: np.ndarray, last: int) -> np.ndarray:
    path = np.empty(len(came_from), np.int64)
    for window in range(len(came_from) - 1, -1, -1):
        path[window] = last
        last = int(came_from[window, last])
    return path


def _by_step(of_step: Callable[[float], np.ndarray], times_s: np.ndarray) -> Iterator[np.ndarray]:
    """What belongs to each step between neighbours, one at a time; equal steps share it."""
    once = lru_cache(maxsize=8)(of_step)
    return (once(max(round(step, 6), _EVEN_S)) for step in np.diff(times_s).tolist())


def _exponential(rates: np.ndarray) -> Callable[[float], np.ndarray]:
    """The transitions of a chain in continuous time over a number of seconds, `exp(seconds · rates)`.

    By the eigenvalues of the rates, which are found once; where their vectors are nearly dependent, each
    exponential by itself.
    """
    from scipy.linalg import expm

    def alone(seconds: float) -> np.ndarray:
        stepped: np.ndarray = expm(seconds * rates)
        return stepped

    values, vectors = np.linalg.eig(rates)
    if np.linalg.cond(vectors) > _WORST_CONDITION:
        return alone
    inverse, fastest = np.linalg.inv(vectors), float(np.abs(rates).max())

    def over(seconds: float) -> np.ndarray:
        if seconds * fastest < _TINY:
            return alone(seconds)
        stepped: np.ndarray = ((vectors * np.exp(seconds * values)) @ inverse).real
        clipped: np.ndarray = np.clip(stepped, 0.0, 1.0)
        return clipped

    return over


def _changes(given: np.ndarray) -> np.ndarray:
    """What the change from each state to each other one adds to the score, by its probabilities `(S, S)`."""
    given = given.copy()
    stayed = given.diagonal().copy()[:, None]
    np.fill_diagonal(given, 0)
    usual = np.maximum(given.max(1, keepdims=True), _LEAST)
    costs = _costs((1 - stayed) * given / usual, stayed)
    np.fill_diagonal(costs, 0)
    return costs


def _costs(changed: np.ndarray, stayed: np.ndarray) -> np.ndarray:
    """Logarithms of the odds of changes, at most 0."""
    odds = np.maximum(changed, _LEAST) / np.maximum(stayed, _LEAST)
    costs: np.ndarray = np.minimum(np.log(odds), 0.0)
    return costs


def _joined(labels: Sequence[TimedLabel]) -> list[TimedLabel]:
    """In the order of their starts; those of one label that touch or overlap are one."""
    joined: list[TimedLabel] = []
    last: dict[str, int] = {}
    for each in sorted(labels, key=lambda label: (label.start_s, label.end_s)):
        place = last.get(each.label)
        if place is not None and each.start_s <= joined[place].end_s + _EVEN_S:
            end_s = max(joined[place].end_s, each.end_s)
            joined[place] = TimedLabel(each.video, each.label, joined[place].start_s, end_s)
        else:
            last[each.label] = len(joined)
            joined.append(each)
    return joined


def _mean(seconds: Sequence[float]) -> float:
    return min(max(math.fsum(seconds) / len(seconds), _SHORTEST_S), _LONGEST_S)
