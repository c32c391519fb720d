"""`Prediction`: what a model says of one span."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.short_repr import short_repr
from kinesphere.models.rejection import Rejection

_ROUNDING = 1e-5
ONE_FRAME = "it holds one frame, as a still image does, so that nothing moves in it"
NOBODY = "nobody is seen in it, so that the joints were all zeros"
"""Note on a clip of joints without any."""
FRAMES_ALONE = "nobody is seen in it, so that the answer rests on its frames"
"""Note on a clip of frames and joints without any joints."""


def check_probabilities(probabilities: np.ndarray) -> None:
    """Refuse what are no probabilities.

    Raises:
        InvalidSetting: If some are no numbers or lie outside of [0, 1] by more than rounding.
    """
    wrong = probabilities[~((probabilities >= -_ROUNDING) & (probabilities <= 1 + _ROUNDING))]
    if len(wrong):
        raise InvalidSetting(f"Probabilities are numbers in [0, 1]; got {wrong[0]}.")


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Class probabilities for one span.

    Attributes:
        probabilities: `(K,)` float64; sums to 1 for single-label sets.
        labels: The K labels.
        source: The video, as the user named it.
        span: `(start_s, end_s)` that was seen.
        views: Number of views that were averaged.
        notes: What makes it doubtful.
        rejection: When the answer is that it is none of what the model knows; None for never.
        model: Name of the model that answered, where that depends on the video.
    """

    probabilities: np.ndarray
    labels: LabelSet
    source: str
    span: tuple[float, float]
    views: int = 1
    notes: tuple[str, ...] = ()
    rejection: Rejection | None = None
    model: str = ""

    __repr__ = short_repr

    def __post_init__(self) -> None:
        if self.probabilities.shape != (len(self.labels),):
            raise InvalidSetting(
                f"A prediction over {len(self.labels)} labels needs that many probabilities; "
                f"got shape {self.probabilities.shape}."
            )
        check_probabilities(self.probabilities)

    def __getitem__(self, label: str) -> float:
        """The probability of a label.

        Raises:
            LabelMismatch: If it is none of the K.
        """
        return float(self.probabilities[self.labels.index(label, f"In the prediction of {self.source}")])

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """Labels with their probabilities, in the order of the labels."""
        return iter(zip(self.labels.names, self.probabilities.tolist(), strict=True))

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The `k` most probable labels with their probabilities, best first."""
        best = np.argsort(-self.probabilities, kind="stable")[:k]
        return [(self.labels.names[i], float(self.probabilities[i])) for i in best]

    @property
    def is_rejected(self) -> bool:
        """Whether it is none of what the model knows."""
        return self.rejection is not None and bool(
            self.rejection.rejects(self.probabilities[None], self.labels)[0]
        )

    @property
    def answer(self) -> str:
        """The most probable label, or that of the rejection."""
        best = self.labels.names[int(self.probabilities.argmax())]
        if self.rejection is None:
            return best
        if self.is_rejected:
            return self.rejection.label
        known = self.rejection.known(self.labels)
        return max(known, key=self.__getitem__)

    def to_json(self, k: int = 5) -> dict[str, Any]:
        """The shape that scripts rely on: source, span, top-k, and notes where there are some.

        Of a model that can reject: its answer and the classes that it knows as well.
        """
        plain: dict[str, Any] = {
            "source": self.source,
            "span": [round(t, 3) for t in self.span],
            "top": [{"label": name, "probability": round(p, 6)} for name, p in self.top(k)],
        }
        if self.rejection is not None:
            plain |= {"answer": self.answer, "known": list(self.rejection.known(self.labels))}
        if self.model:
            plain["model"] = self.model
        return plain | {"notes": list(self.notes)} if self.notes else plain
