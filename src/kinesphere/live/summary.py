"""`Summary`: what came of watching a source."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Summary:
    """What came of watching a source, so far or in the end.

    Attributes:
        decoded: Frames that were decoded.
        sent: Frames that were put before the model: those that its rate or stride asks for.
        seen: Frames of these that it looked at.
        seconds: How far the stream's clock came.
        incidents: Number of incidents by kind.
        p50_s: Median latency from capture to answer after the warm-up; NaN without an answer, as below.
        p95_s: Latency that 95 % of answers had at most.
        p99_s: Latency that 99 % of answers had at most.
        damaged: Frames that were decoded in part, and patched from others.
        undecodable: Packets that no frame came of.
    """

    decoded: int
    sent: int
    seen: int
    seconds: float
    incidents: dict[str, int]
    p50_s: float
    p95_s: float
    p99_s: float
    damaged: int = 0
    undecodable: int = 0

    @property
    def dropped(self) -> int:
        """Frames that were put before the model and replaced by newer ones before it looked."""
        return self.sent - self.seen

    def lines(self) -> list[str]:
        """In words."""
        happened = ", ".join(f"{count} {kind}" for kind, count in self.incidents.items()) or "none"
        frames = f"{self.decoded} frames in {self.seconds:.1f} s; {self.sent} for the model"
        lines = [f"{frames}, {self.seen} seen, {self.dropped} dropped", f"incidents: {happened}"]
        if self.damaged or self.undecodable:
            lines.append(f"damage: {self.damaged} frames patched, {self.undecodable} packets not decodable")
        if not math.isnan(self.p50_s):
            p50, p95, p99 = (1000 * each for each in (self.p50_s, self.p95_s, self.p99_s))
            lines.append(f"latency: p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms")
        return lines

    def to_json(self) -> dict[str, Any]:
        """The shape that scripts rely on: one object `summary`."""
        each = {"p50": self.p50_s, "p95": self.p95_s, "p99": self.p99_s}
        latency = {name: None if math.isnan(s) else round(1000 * s, 1) for name, s in each.items()}
        return {
            "summary": {
                "frames": self.decoded,
                "sent": self.sent,
                "seen": self.seen,
                "dropped": self.dropped,
                "damaged": self.damaged,
                "undecodable": self.undecodable,
                "seconds": round(self.seconds, 3),
                "incidents": self.incidents,
                "latency_ms": latency,
            }
        }
