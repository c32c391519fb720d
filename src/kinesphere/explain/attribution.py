"""`Attribution`: what an answer rests on, in the source's own pixels, joints and seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import KinesphereError
from kinesphere.core.short_repr import short_repr
from kinesphere.explain.faithfulness import Faithfulness
from kinesphere.explain.geometry import Placement, at_times, frame_distance
from kinesphere.explain.streams import StreamContribution, input_names


@dataclass(frozen=True, eq=False, repr=False)
class InputHeat:
    """Heat over one clip that a network saw: one view of one of its inputs.

    Attributes:
        model: The network, of several that are fused.
        spec: The input's contract.
        view: Number of the view among those that were averaged.
        times: `(T,)` when the frames of the clip are displayed, in seconds of the source.
        values: float32 `(T, H, W)` of the clip's size; of poses `(T, M, J)`.
        full: The heat that is shown in full colour (see `Attribution`).
        placement: Where the clip lies in the source; None for poses.
        points: Of poses: `(T, M, J, 3)` as x px, y px of the displayed source, and score, or
            `(T, M, J, 4)` in metres.
        method: Name of the method, which may be another one for each model of a fusion.
        signed: Whether heat below zero speaks against the class.
        sums_up: Whether the heat adds up to a difference of scores.
    """

    model: str
    spec: ClipSpec
    view: int
    times: np.ndarray
    values: np.ndarray
    full: float
    placement: Placement | None = None
    points: np.ndarray | None = None
    method: str = ""
    signed: bool = False
    sums_up: bool = False

    __repr__ = short_repr

    @property
    def of_joints(self) -> bool:
        """Whether heat belongs to joints rather than to pixels."""
        return self.placement is None

    @property
    def hold_s(self) -> float:
        """For how long before its first and after its last frame the clip speaks."""
        return max(frame_distance(self.times) / 2, 1e-3)

    def frames(self, *, summed: bool = False) -> np.ndarray:
        """`(T,)`: the heat of each frame, its pixels' or joints' mean or their sum."""
        flat = self.values.reshape(len(self.values), -1).astype(np.float64)
        heat: np.ndarray = flat.sum(1) if summed else flat.mean(1)
        return heat


@dataclass(frozen=True, eq=False, repr=False)
class Attribution:
    """What one answer of a model rests on.

    Heat is not stretched to its own range: full colour stands for the strongest heat of the class that the
    model answers with, so that the map of a class without evidence is empty (of single pixels that outshine
    all others, the strongest hundredth of what has heat is left out).

    Attributes:
        source: The video.
        size: `(H, W)` of its frames as displayed.
        span: `(start_s, end_s)` of it.
        method: Name of the method; of a fusion, of all of them.
        label: The class that is explained.
        against: The class that it is held against, or None.
        probability: What the model gives to `label`.
        score: What is explained: the logit, or the lead over the other class's, averaged over views.
        answer: The label that the model gives, and its probability.
        heats: Each input of each view, models of a fusion one after the other.
        signed: Whether some heat below zero speaks against the class.
        residual: How far the sum of heat misses the score's difference to an empty input, as a share of
            that difference; None where the method does not promise such a sum.
        notes: What a user should know.
        faithfulness: Of each model whether its map is true, where that was asked for.
        streams: What each model of a fusion adds to the probability, and each input of a network with
            several to its score.
    """

    source: str
    size: Size
    span: tuple[float, float]
    method: str
    label: str
    against: str | None
    probability: float
    score: float
    answer: tuple[str, float]
    heats: tuple[InputHeat, ...]
    signed: bool = False
    residual: float | None = None
    notes: tuple[str, ...] = ()
    faithfulness: Mapping[str, Faithfulness] = field(default_factory=dict)
    streams: tuple[StreamContribution, ...] = ()

    __repr__ = short_repr

    def _repr_png_(self) -> bytes | None:
        """The picture that a notebook shows; None where the source is gone, or was never a file."""
        from kinesphere.explain.render.sheet import sheet

        try:
            return sheet([self], self.source)
        except KinesphereError:
            return None

    @property
    def title(self) -> str:
        """The class, or the pair, that is explained."""
        return self.label if self.against is None else f"{self.label} rather than {self.against}"

    def of_input(self, model: str, spec: ClipSpec) -> tuple[InputHeat, ...]:
        """The views of one input of one model."""
        return tuple(heat for heat in self.heats if heat.model == model and heat.spec == spec)

    @property
    def inputs(self) -> tuple[tuple[str, ClipSpec], ...]:
        """The inputs of all models that have heat, each once."""
        return tuple(dict.fromkeys((heat.model, heat.spec) for heat in self.heats))

    def method_of(self, model: str, spec: ClipSpec) -> str:
        """Name of the method of one input."""
        return self.of_input(model, spec)[0].method or self.method

    def name_of(self, model: str, spec: ClipSpec) -> str:
        """What an input is called (see `input_names`), with its model where there are several."""
        specs = [own for each, own in self.inputs if each == model]
        name = input_names(specs)[specs.index(spec)]
        return f"{model}, {name}" if len({each for each, _ in self.inputs}) > 1 else name

    def on_source(
        self, times_s: Sequence[float] | np.ndarray, size: Size, model: str | None = None,
        spec: ClipSpec | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Heat of pixels on the displayed frames of the source.

        Views are averaged where they overlap; pixels and seconds that no view shows have none.

        Args:
            times_s: `(N,)` seconds.
            size: `(H, W)` to draw at.
            model: Name of one of several models; None for the first.
            spec: One of several inputs; None for the first with heat over pixels.

        Returns:
            float32 `(N, H, W)`; all zeros where all heat belongs to joints.
        """
        times_s = np.asarray(times_s, np.float64)
        heats = [
            heat
            for heat in self.heats
            if heat.placement is not None and model in (None, heat.model) and spec in (None, heat.spec)
        ]
        heats = [heat for heat in heats if (heat.model, heat.spec) == (heats[0].model, heats[0].spec)]
        total = np.zeros((len(times_s), *size), np.float32)
        seen = np.zeros_like(total)
        for heat in heats:
            assert heat.placement is not None
            shown = at_times(np.ones(len(heat.values)), heat.times, times_s, heat.hold_s)
            planes = at_times(heat.values, heat.times, times_s, heat.hold_s)
            total += heat.placement.to_source(planes, size)
            seen += shown[:, None, None] * heat.placement.seen(size)
        return np.divide(total, seen, out=total, where=seen > 0)

    def over_time(self, times_s: Sequence[float] | np.ndarray) -> dict[str, np.ndarray]:
        """Heat of each input at some seconds `(N,)`, by the input's name.

        It is the mean of a frame's pixels or joints; of a method whose heat adds up, their sum.
        """
        times_s = np.asarray(times_s, np.float64)
        curves = {}
        for model, spec in self.inputs:
            views = self.of_input(model, spec)
            each = [
                at_times(heat.frames(summed=heat.sums_up), heat.times, times_s, heat.hold_s) for heat in views
            ]
            shown = [at_times(np.ones(len(heat.values)), heat.times, times_s, heat.hold_s) for heat in views]
            curves[self.name_of(model, spec)] = np.sum(each, 0) / np.maximum(np.sum(shown, 0), 1.0)
        return curves

    def to_json(self) -> dict[str, Any]:
        """Plain values without the heat."""
        return {
            "source": self.source,
            "span": list(self.span),
            "method": self.method,
            "class": self.label,
            "against": self.against,
            "probability": self.probability,
            "score": self.score,
            "answer": {"label": self.answer[0], "probability": self.answer[1]},
            "residual": self.residual,
            "notes": list(self.notes),
            "faithfulness": {model: each.to_json() for model, each in self.faithfulness.items()},
            "streams": [stream.to_json() for stream in self.streams],
        }
