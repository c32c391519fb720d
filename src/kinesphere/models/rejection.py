"""`Rejection`: when a model answers that what it sees is none of the classes that it knows."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet


@dataclass(frozen=True)
class Rejection:
    """The reject option of a model with one label a clip.

    A clip is rejected where `label` is the most probable class, or where no other class reaches `threshold`
    (Chow: "On Optimum Recognition Error and Reject Tradeoff", IEEE Transactions on Information Theory, 1970).

    Attributes:
        label: The answer to a rejected clip; it may be one of the model's classes.
        threshold: Lowest probability with which another class is the answer, in [0, 1].
        measured: What the threshold was measured on, in words.
    """

    label: str
    threshold: float
    measured: str

    def __post_init__(self) -> None:
        texts = isinstance(self.label, str) and self.label != "" and isinstance(self.measured, str)
        number = isinstance(self.threshold, int | float) and math.isfinite(self.threshold)
        if not texts or not number or not 0 <= self.threshold <= 1:
            raise InvalidSetting(
                f"Rejection takes a label, a threshold in [0, 1] and what it was measured on; got "
                f"{self.label!r}, {self.threshold!r}, {self.measured!r}."
            )

    def known(self, labels: LabelSet) -> tuple[str, ...]:
        """The classes that can be an answer beside the rejection, in the model's order."""
        return tuple(name for name in labels if name != self.label)

    def rejects(self, probabilities: np.ndarray, labels: LabelSet) -> np.ndarray:
        """Which of N answers are rejections.

        Args:
            probabilities: `(N, K)`.
            labels: The K classes.

        Returns:
            bool `(N,)`.
        """
        is_known = np.array([name != self.label for name in labels])
        best: np.ndarray = np.where(is_known, probabilities, -1.0).max(1)
        other: np.ndarray = np.where(is_known, -1.0, probabilities).max(1)
        rejected: np.ndarray = (best < self.threshold) | (other > best)
        return rejected

    @property
    def rule(self) -> str:
        """All that answers depend on, for digests; not what it was measured on."""
        return f"{self.label!r} below {self.threshold!r}"

    def to_json(self) -> dict[str, Any]:
        """Plain values for a file."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Any) -> Self:
        """Inverse of `to_json`.

        Raises:
            TypeError: If a field is unknown or missing, or it is no mapping.
            InvalidSetting: If a value is of the wrong form.
        """
        return cls(**plain)
