"""What a score was measured on, and with what: without it a number means nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from kinesphere.evaluate.intervals import Units

_FEW = 5
"""Groups below which a sentence says that there are few."""


@dataclass(frozen=True)
class Protocol:
    """How clips became scores.

    Attributes:
        dataset: Name of the data.
        fingerprint: Digest of the manifest's content.
        split: `"test"`, `"5-fold by group"`, or None for the whole manifest.
        views: Test-time views, clips × crops, whose probabilities were averaged.
        sampling: Text form of the sampling, one per model input.
        background: Change of the background of people (see `clips.background`).
    """

    dataset: str
    fingerprint: str = ""
    split: str | None = None
    views: str = "1x1"
    sampling: tuple[str, ...] = ()
    background: str = "keep"


JACKKNIFE = "jackknife over units, Wilson interval of the effective sample size"


@dataclass(frozen=True)
class Intervals:
    """How the intervals were estimated.

    Attributes:
        kind: `"group"` if clips of one group were taken together, else `"clip"`.
        units: Number of groups or clips.
        level: Fraction of such intervals that shall contain the true value.
        method: Name of the method.
    """

    kind: Literal["group", "clip"]
    units: int
    level: float
    method: str = JACKKNIFE

    @classmethod
    def of(cls, units: Units, level: float) -> Intervals:
        """The description of intervals over `units`."""
        return cls(units.kind, units.count, level)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Intervals:
        """From plain values; older reports name no method: they resampled."""
        method = plain.get("method", "percentile bootstrap")
        return TypeAdapter(cls).validate_python({**plain, "method": method})

    def sentence(self) -> str:
        """For people: what the brackets behind a score mean."""
        what = "group" if self.kind == "group" else "clip"
        if self.units < 2:
            return f"All clips are of a single {what}, which gives no spread: there are no intervals."
        text = f"Brackets are {100 * self.level:g} % intervals over {self.units} {what}s ({self.method})."
        if self.kind == "clip":
            return text + " No clip names its group, so each is taken for independent of the others."
        if self.units < _FEW:
            return text + " So few groups say little, which makes them wide."
        return text


@dataclass(frozen=True)
class Environment:
    """What computed the probabilities.

    Attributes:
        model: Registered name, or the file it was loaded from.
        version: Version of Kinesphere.
        torch: Version.
        device: For example `"cpu"`.
        precision: Arithmetic of the heavy operators.
        date: ISO 8601, given by the caller.
    """

    model: str
    version: str
    torch: str
    device: str
    precision: str
    date: str = ""
