"""How test clips are changed to find out what answers rest on: people, background, order of time.

After Chung et al.: "Enabling Detailed Action Recognition Evaluation Through Video Dataset Augmentation",
NeurIPS 2022 (people alone, background alone, people before another class's background), and Li et al.:
"Mitigating and Evaluating Static Bias of Action Representations in the Background and the Foreground",
ICCV 2023 (still twins).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from kinesphere.clips.augment.background import Background
from kinesphere.clips.modality import see, sees_frames
from kinesphere.clips.spec import ClipSpec
from kinesphere.data.background import Backdrop
from kinesphere.data.sample import Sample
from kinesphere.evaluate.probes import Perturbation, shuffle_frames

Order = Literal["as filmed", "frozen", "shuffled", "reversed"]


@dataclass(frozen=True)
class Condition:
    """One way in which all test clips are changed.

    Attributes:
        name: Short name, part of files' names.
        says: What is left to see, for tables.
        background: What becomes of background or people.
        order: What becomes of the order of frames.
        mean_colour: Whether the data set's mean colour fills in, rather than grey.
    """

    name: str
    says: str
    background: Background = "keep"
    order: Order = "as filmed"
    mean_colour: bool = False

    @property
    def is_swapped(self) -> bool:
        """Whether people stand before the background of another class."""
        return self.background == "replace"

    def backdrop(self, colour: tuple[int, int, int], lenders: Sequence[Sample]) -> Backdrop:
        """What becomes of the backgrounds, by the data's mean colour and who lends to each clip."""
        fill = colour if self.mean_colour else Backdrop().fill
        return Backdrop(self.background, fill, tuple(lenders) if self.is_swapped else None)

    def reaches(self, specs: Sequence[ClipSpec]) -> bool:
        """Whether it changes anything that a model of these inputs sees."""
        return self.order != "as filmed" or (self.background != "keep" and sees_frames(specs))


CONDITIONS: tuple[Condition, ...] = (
    Condition("as_it_is", "everything"),
    Condition("people_on_mean", "people, on the data set's mean colour", "grey", mean_colour=True),
    Condition("people_on_blur", "people, on their blurred background", "blur"),
    Condition("people_on_grey", "people, on grey", "grey"),
    Condition("no_people", "background, people painted over", "no_people"),
    Condition("holes", "background, with holes of the people's shapes", "grey_people", mean_colour=True),
    Condition("holes_elsewhere", "everything but holes of these shapes beside the people", "grey_elsewhere",
              mean_colour=True),
    Condition("frozen", "the first frame only", order="frozen"),
    Condition("shuffled", "frames in random order", order="shuffled"),
    Condition("reversed", "frames backwards", order="reversed"),
    Condition("swapped", "people before the background of another class", "replace"),
    Condition("swapped_frozen", "the same, the first frame only", "replace", order="frozen"),
)  # fmt: skip


def perturbation(order: Order, specs: Sequence[ClipSpec]) -> Perturbation | None:
    """What changes the order of frames of a model's inputs `(B, V, T, ...)`; None where it stays.

    What stands still has no motion: frozen flow is zero. Played backwards, motion turns round: reversed flow
    changes its sign.
    """
    if order == "as filmed":
        return None
    if order == "shuffled":
        return shuffle_frames()
    flows = [see([spec], "flow") for spec in specs]

    def changed(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(
            _frozen(x, flow) if order == "frozen" else x.flip(2) * (-1 if flow else 1)
            for x, flow in zip(inputs, flows, strict=True)
        )

    return changed


def _frozen(x: Tensor, flow: bool) -> Tensor:
    return torch.zeros_like(x) if flow else x[:, :, :1].expand_as(x).contiguous()
