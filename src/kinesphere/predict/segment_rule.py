"""`SegmentRule`: all settings of how the windows of a timeline become segments, and its file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kinesphere.annotations.timed_files import read_timed
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.limits import brief
from kinesphere.core.registry import nearest
from kinesphere.core.structured import read_yaml, settled
from kinesphere.predict.transitions import Transitions, learn_transitions

THRESHOLD = 0.5
"""Lowest probability of a segment where neither the user nor the model's file says which."""
Smoothing = Literal["mean", "median"]


@dataclass(frozen=True)
class SegmentRule:
    """How the windows of a timeline become segments.

    In order: rows are smoothed; each window gets its labels by thresholds with hysteresis, or all of them
    together by Viterbi decoding; pauses of a label that are shorter than `gap_s` are closed, segments
    shorter than `min_s` dropped, and pauses closed that this left.

    Attributes:
        threshold: Lowest probability that opens a segment, in [0, 1]; None for that of the model's file,
            else 0.5.
        thresholds: Those of single labels.
        keep: Lowest probability that continues a segment (hysteresis, Canny 1986); None for the threshold.
            Labels whose threshold is lower have that.
        smooth: Odd number of neighbouring windows whose rows are taken together first; 1 for none.
        smoothing: `"mean"` (moving average) or `"median"`.
        viterbi: Decode the most probable sequence of labels by these transitions; thresholds then weigh
            labels against no action. None decides window by window.
        no_action: Classes that mean that nothing happens: they compete, but are no segments.
        min_s: Shortest segment in seconds.
        gap_s: Shortest pause between two segments of one label, in seconds.

    Raises:
        InvalidSetting: If a number is out of its range, or hysteresis is asked of Viterbi decoding.
    """

    threshold: float | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    keep: float | None = None
    smooth: int = 1
    smoothing: Smoothing = "mean"
    viterbi: Transitions | None = None
    no_action: tuple[str, ...] = ()
    min_s: float = 0.0
    gap_s: float = 0.0

    def __post_init__(self) -> None:
        named = {f"of {label!r}": value for label, value in self.thresholds.items()}
        for name, value in {"": self.threshold, **named}.items():
            if value is not None and not 0 <= value <= 1:
                what = f"The threshold {name}".rstrip()
                raise InvalidSetting(f"{what} is a probability, 0 to 1; got {value:g}.")
        if not (math.isfinite(self.min_s) and self.min_s >= 0):
            raise InvalidSetting(f"The shortest segment is 0 s or more; got {self.min_s:g}.")
        if not (math.isfinite(self.gap_s) and self.gap_s >= 0):
            raise InvalidSetting(f"The shortest pause is 0 s or more; got {self.gap_s:g}.")
        check_smoothing(self.smooth, self.smoothing)
        if self.keep is not None and self.viterbi is not None:
            raise InvalidSetting(
                "Hysteresis and Viterbi decoding both decide where a label goes on; choose one of them."
            )
        if self.threshold is not None:
            self._check_keep(self.threshold)

    def __str__(self) -> str:
        """In words, without what is left as it is by default."""
        singles = ", ".join(f"{label} {value:g}" for label, value in self.thresholds.items())
        parts = [
            None if self.threshold is None else f"threshold {self.threshold:g}",
            f"thresholds {singles}" if singles else None,
            None if self.keep is None else f"continued from {self.keep:g}",
            f"{self.smoothing} of {self.smooth} windows" if self.smooth > 1 else None,
            None if self.viterbi is None else str(self.viterbi),
            f"no action: {', '.join(self.no_action)}" if self.no_action else None,
            f"at least {self.min_s:g} s" if self.min_s else None,
            f"pauses of at least {self.gap_s:g} s" if self.gap_s else None,
        ]
        return "; ".join(part for part in parts if part is not None) or "the model's threshold"

    def opening(self, labels: LabelSet, default: float) -> np.ndarray:
        """The threshold of each of K labels, float64 `(K,)`.

        Args:
            labels: The labels of the timeline.
            default: That of a timeline, where the rule has none.

        Raises:
            InvalidSetting: If the rule names a label that the timeline does not have.
        """
        for label in (*self.thresholds, *self.no_action):
            if label not in labels.names:
                near = nearest(label, labels.names)
                hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"it has {_some(labels)}."
                raise InvalidSetting(f"No label of the timeline is called {brief(label)}; {hint}")
        common = default if self.threshold is None else self.threshold
        return np.array([self.thresholds.get(label, common) for label in labels])

    def continuing(self, opening: np.ndarray, default: float) -> np.ndarray:
        """The lowest probability with which each label goes on, float64 `(K,)`.

        Raises:
            InvalidSetting: If hysteresis is asked for above the threshold.
        """
        if self.keep is None:
            return opening
        self._check_keep(default if self.threshold is None else self.threshold)
        lowered: np.ndarray = np.minimum(opening, self.keep)
        return lowered

    def _check_keep(self, threshold: float) -> None:
        if self.keep is not None and not 0 <= self.keep <= threshold:
            raise InvalidSetting(
                f"Thresholds must obey 0 <= keep <= threshold <= 1; got {self.keep} and {threshold}."
            )


def check_smoothing(width: int, kind: str) -> None:
    """Refuse a smoothing that is none.

    Raises:
        InvalidSetting: If the width is not odd and positive, or the kind is unknown.
    """
    if width < 1 or width % 2 == 0:
        raise InvalidSetting(f"Smoothing spans an odd number of windows (1, 3, 5, …); got {width}.")
    if kind not in ("mean", "median"):
        raise InvalidSetting(f"Unknown smoothing {kind!r}; use 'mean' or 'median'.")


def read_rule(path: str | Path) -> SegmentRule:
    """A rule from a YAML file with the names of the attributes, all of them optional.

    `viterbi` holds one of `duration_s`, `stay` and `learn_from`, a file of timed annotations beside it.

    Raises:
        InvalidSetting: If it is missing, no YAML, or holds something else; the nearest name is told.
        InvalidAnnotation: If the annotations cannot be read.
    """
    path = Path(path)
    written = read_yaml(path, InvalidSetting)
    plain = {} if written is None else settled(written)
    _check_names(plain, tuple(_READ), str(path))
    values = {
        name: _READ[name](value, f"{path}: {name}") for name, value in plain.items() if name != "viterbi"
    }
    no_action: Sequence[str] = values.get("no_action", ())
    if plain.get("viterbi") is not None:
        values["viterbi"] = _transitions(plain["viterbi"], path, no_action)
    try:
        return SegmentRule(**values)
    except InvalidSetting as error:
        raise InvalidSetting(f"{path}: {error}") from None


def stated_transitions(text: str, *, no_action: Sequence[str] = ()) -> Transitions:
    """Transitions as the command line takes them: `2.5s` (a segment lasts so long), `0.95` (the probability
    to stay), or a file of timed annotations to learn from.

    Raises:
        InvalidSetting: If a number is out of range.
        InvalidAnnotation: If it is a file that cannot be read.
    """
    number = text.strip().removesuffix("s").rstrip()
    try:
        value = float(number)
    except ValueError:
        return learn_transitions(read_timed(Path(text)), Path(text).name, no_action=no_action)
    if text.strip().endswith("s"):
        return Transitions(duration_s=value)
    if not 0 < value < 1:
        raise InvalidSetting(
            "Viterbi decoding takes seconds such as 2.5s, a probability to stay below 1, or a file; got "
            f"{text!r}."
        )
    return Transitions(stay=value)


def _transitions(plain: Any, path: Path, no_action: Sequence[str]) -> Transitions:
    where = f"{path}: viterbi"
    _check_names(plain, ("duration_s", "stay", "learn_from"), where)
    if "learn_from" in plain:
        if len(plain) > 1:
            raise InvalidSetting(
                f"{where}: learn_from says all; leave {', '.join({*plain} - {'learn_from'})}."
            )
        file = path.parent / _text(plain["learn_from"], f"{where}: learn_from")
        return learn_transitions(read_timed(file), file.name, no_action=no_action)
    try:
        numbers = {name: _number(value, f"{where}: {name}") for name, value in plain.items()}
        return Transitions(numbers.get("stay"), numbers.get("duration_s"))
    except InvalidSetting as error:
        raise InvalidSetting(f"{where}: {error}") from None


def _check_names(plain: Any, known: Sequence[str], where: str) -> None:
    if not isinstance(plain, dict):
        raise InvalidSetting(f"{where} holds no settings by name, but {brief(plain)}.")
    for name in plain:
        if name not in known:
            near = nearest(str(name), known)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."
            raise InvalidSetting(f"{where}: no setting is called {brief(name)}; {hint}")


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidSetting(f"{where} should be a number; got {brief(value)}.")
    return float(value)


def _count(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidSetting(f"{where} should be a whole number; got {brief(value)}.")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidSetting(f"{where} should be a text; got {brief(value)}.")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    return tuple(_text(each, where) for each in (value if isinstance(value, list) else [value]))


def _numbers(value: Any, where: str) -> dict[str, float]:
    if not isinstance(value, dict):
        raise InvalidSetting(f"{where} should be numbers by label; got {brief(value)}.")
    return {label: _number(number, f"{where}: {label}") for label, number in value.items()}


_READ: Mapping[str, Callable[[Any, str], Any]] = {
    "threshold": _number, "thresholds": _numbers, "keep": _number, "smooth": _count, "smoothing": _text,
    "no_action": _texts, "min_s": _number, "gap_s": _number, "viterbi": _text,
}  # fmt: skip


def _some(labels: LabelSet) -> str:
    return ", ".join(labels.names[:10]) + (" …" if len(labels) > 10 else "")
