"""What a score was measured on, and with what: without it a number means nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kinesphere.evaluate.intervals import Bootstrap, Units


@dataclass(frozen=True)
class Protocol:
    """How clips became scores.

    Attributes:
        dataset: Name of the data.
        fingerprint: Digest of the manifest's content.
        split: `"test"`, `"5-fold by group"`, or None for the whole manifest.
        views: Test-time views, clips × crops, whose probabilities were averaged.
        sampling: Text form of the sampling, one per model input.
        background: What became of the surroundings of people (see `clips.background`).
    """

    dataset: str
    fingerprint: str = ""
    split: str | None = None
    views: str = "1x1"
    sampling: tuple[str, ...] = ()
    background: str = "keep"


@dataclass(frozen=True)
class Intervals:
    """How the intervals were estimated.

    Attributes:
        kind: `"group"` if clips of one group were resampled together, else `"clip"`.
        units: Number of groups or clips that were drawn from.
    """

    kind: Literal["group", "clip"]
    units: int
    resamples: int
    level: float
    seed: int

    @classmethod
    def of(cls, units: Units, bootstrap: Bootstrap) -> Intervals:
        """The description of a bootstrap over `units`."""
        return cls(units.kind, units.count, bootstrap.resamples, bootstrap.level, bootstrap.seed)

    def sentence(self) -> str:
        """For people: what the brackets behind a score mean."""
        drawn = "whole groups" if self.kind == "group" else "single clips"
        return (
            f"Brackets hold {100 * self.level:g} % of the scores over {self.resamples} resamples "
            f"of {drawn} ({self.units} to draw from)."
        )


@dataclass(frozen=True)
class Provenance:
    """What computed the probabilities.

    Attributes:
        model: Registered name, or the file it was loaded from.
        version: Of Kinesphere.
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
