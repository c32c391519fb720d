"""`LiveResult` and `Incident`: all that comes out of a source that is watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from kinesphere.live.frame import LiveFrame
from kinesphere.predict.events.facts import Box
from kinesphere.predict.prediction import Prediction

IncidentKind = Literal["lost", "back", "frozen", "changed", "dropped"]


@dataclass(frozen=True, eq=False)
class Answer:
    """What is said at a frame, of the whole picture or of one person.

    Attributes:
        prediction: Its span is on the stream's clock.
        person: Identity of the person.
        box: Where the person is in that frame, in fractions of it: left, top, right, bottom.
        begins: Whether the person's answers begin anew: those before may be of somebody else.
    """

    prediction: Prediction
    person: int | None = None
    box: Box | None = None
    begins: bool = False


@dataclass(frozen=True, eq=False)
class LiveResult:
    """What the model says at a frame.

    Attributes:
        frame: The newest frame that the answer rests on; an overlay is drawn on this one.
        prediction: The answer; its span is on the stream's clock.
        latency_s: Seconds from the frame's capture to the answer.
        person: Identity of the person whom it is about; None for the whole picture.
        box: See `Answer.box`.
        begins: See `Answer.begins`.
    """

    frame: LiveFrame
    prediction: Prediction
    latency_s: float
    person: int | None = None
    box: Box | None = None
    begins: bool = False

    def to_json(self, k: int = 5) -> dict[str, Any]:
        """The shape that scripts rely on: frame, time, latency_ms, top, person; of a person also its box, and
        `begins` where its answers begin anew."""
        plain: dict[str, Any] = {
            "frame": self.frame.number,
            "time": round(self.frame.time_s, 3),
            "latency_ms": round(1000 * self.latency_s, 1),
            "top": [{"label": name, "probability": round(p, 6)} for name, p in self.prediction.top(k)],
            "person": self.person,
        }
        if self.box is not None:
            plain["box"] = [round(each, 4) for each in self.box]
        if self.begins:
            plain["begins"] = True
        return plain | {"answer": self.prediction.answer} if self.prediction.rejection else plain


@dataclass(frozen=True)
class Incident:
    """Something that happened to the source, told once.

    Attributes:
        kind: `lost`: the connection ended; `frozen`: it stayed open, and no new picture came; `back`: frames
            come again after either; `changed`: pictures have another size or codec; `dropped`: the source
            left out a stretch of time, though the connection stayed. After each the model begins anew.
        number: The next frame's number.
        time_s: When, on the stream's clock.
        detail: What is known of it, in words; never with a password.
    """

    kind: IncidentKind
    number: int
    time_s: float
    detail: str

    def to_json(self) -> dict[str, Any]:
        """The shape that scripts rely on: incident, frame, time, detail."""
        return {
            "incident": self.kind,
            "frame": self.number,
            "time": round(self.time_s, 3),
            "detail": self.detail,
        }
