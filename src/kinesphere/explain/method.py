"""`Method`: one way to explain an answer, and the registry of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import Tensor

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.registry import Registry
from kinesphere.explain.geometry import TILES, Offset
from kinesphere.explain.target import Scored
from kinesphere.models import Recogniser

Units = Literal["tubes", "frames"]
"""What is taken away at a time: boxes in space and time, or whole frames."""

Fill = Literal["temporal_mean", "blur", "neighbour"]
"""What stands where something is taken away: see `explain.neutral.filled`."""


@dataclass(frozen=True)
class Settings:
    """How much work a method does, and in which steps; each method looks at what concerns it.

    Attributes:
        layer: Dotted path of the layer whose activations are looked at; None for those of the model's card.
        steps: Points of a path integral.
        most_steps: Points that it may have where its sum misses the score's difference by a hundredth.
        samples: Noisy copies that are averaged.
        noise: Their standard deviation, as a fraction of the input's range.
        tube: Frames, rows and columns of what is occluded at a time.
        units: What is taken away at a time.
        regions: int64 `(T, H, W)`: what is taken away at a time in place of `units`, numbered from 0.
        fill: What stands where something is taken away.
        masks: Number of random masks.
        cells: Frames, rows and columns of the grid that a random mask is drawn on.
        batch: Altered copies that run through the network together.
        seed: Of everything random.
    """

    layer: str | None = None
    steps: int = 64
    most_steps: int = 1024
    samples: int = 50
    noise: float = 0.15
    tube: tuple[int, int, int] = (4, 32, 32)
    units: Units = "tubes"
    regions: Tensor | None = None
    fill: Fill = "temporal_mean"
    masks: int = 1000
    cells: tuple[int, int, int] = (4, 7, 7)
    batch: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        counts = (self.steps, self.most_steps, self.samples, self.masks, self.batch, *self.tube, *self.cells)
        if min(counts) < 1:
            raise InvalidSetting(
                "An explanation's steps, most_steps, samples, masks, batch, tube and cells are at least 1; "
                f"got {self}."
            )
        if not self.noise > 0:
            raise InvalidSetting(f"The noise of an explanation is above 0; got {self.noise}.")
        for name, value, known in (
            ("units", self.units, get_args(Units)),
            ("fill", self.fill, get_args(Fill)),
        ):
            if value not in known:
                raise InvalidSetting(f"An explanation's {name} is one of {', '.join(known)}; got {value!r}.")


class Method(ABC):
    """One way to explain an answer.

    Attributes:
        name: As users write it.
        summary: One sentence: what its heat means, and the paper.
        signed: Whether heat below zero speaks against the class; else all of it is zero or more.
        sums_up: Whether the heat adds up to the score's difference to an input without content.
        by_class: Whether it depends on the class that is explained.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    signed: ClassVar[bool] = False
    sums_up: ClassVar[bool] = False
    by_class: ClassVar[bool] = True

    def refusal(self, recogniser: Recogniser) -> str | None:
        """Why this is not defined for a model, and what to use instead; None where it is."""
        return None

    def offsets(
        self, recogniser: Recogniser, inputs: tuple[Tensor, ...], settings: Settings
    ) -> tuple[Offset, ...]:
        """Where the centres of cells of planes lie, of each input: at those of even tiles, or beside them.

        Args:
            recogniser: The network that is explained.
            inputs: As `heat` is given them.
            settings: The same.
        """
        return (TILES,) * len(inputs)

    @abstractmethod
    def heat(
        self, scored: Scored, inputs: tuple[Tensor, ...], settings: Settings
    ) -> tuple[Tensor | None, ...]:
        """What each part of the inputs contributes to the score.

        Args:
            scored: The network with what is explained of it; gradients are on where they are asked for.
            inputs: Normalised clips, one tensor per input: planes `(B, T, C, H, W)`, poses as their
                modality's `normalise` gives them.
            settings: How much work.

        Returns:
            One tensor per input. For planes float32 `(B, t, h, w)`: cells evenly over the clip, in as
            fine a grid as the method has; `offsets` tells where their centres lie. For poses
            `(B, T, M, J)`. None where the method says nothing of an input.
        """


METHODS: Registry[Method] = Registry(
    "explanation method", Method, package="kinesphere.explain.methods", group="kinesphere.explanations"
)
