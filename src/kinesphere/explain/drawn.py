"""The score of a network that draws joints, as a function of what is drawn.

On the straight way from where it rests to where it is, a dot of less than a pixel's width passes many pixels,
each for a moment, and as dots end at a fixed distance from their joints, the score jumps at each of them: no
number of points finds what jumps (posec3d_tiny: 6 % missed with 256 points and with 1024). Between two
drawings there is a straight way as well, on which a dot fades at one place and appears at the other (0.4 %
missed).

B batch, T time, P people, J joints, K maps, H W pixels of a map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kinesphere.explain.neutral import is_joints
from kinesphere.explain.target import Scored
from kinesphere.explain.varied import Varied
from kinesphere.models.drawing import Drawing


def varied_along_paths(scored: Scored) -> Varied:
    """The score by what a path may lead along: of a network that draws its joints, by the drawing."""
    drawings = [module for module in scored.recogniser.net.modules() if isinstance(module, Drawing)]
    if len(drawings) == 1 and sum(map(is_joints, scored.recogniser.specs)) == 1:
        return Drawn(scored, drawings[0])
    return Varied(scored)


class Drawn(Varied):
    """The score of clips by their pixels and by the maps that joints are drawn on.

    Args:
        scored: The network with what is explained of it.
        drawing: Its module that draws.
    """

    def __init__(self, scored: Scored, drawing: Any) -> None:
        super().__init__(scored)
        self.drawing: nn.Module = drawing
        self._parts_of_maps: Callable[[int], Tensor] = drawing.parts_of_maps

    def free(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What varies: pixels, and maps `(B, T, K, H, W)` in place of joints."""
        return tuple(
            (self._drawn(inputs) if is_joints(spec) else clip).detach().clone().requires_grad_()
            for clip, spec in zip(inputs, self.specs, strict=True)
        )

    def held(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...] | None:
        """The joints, which the network is given and does not look at."""
        pairs = zip(inputs, self.specs, strict=True)
        return tuple(clip.detach() for clip, spec in pairs if is_joints(spec))

    def forward(self, *parts: Tensor) -> Tensor:
        """Scores `(B,)` of `free` parts, followed by the held ones."""
        (joints,) = parts[len(self.specs) :]
        inputs, maps = [], joints
        for part, spec in zip(parts, self.specs, strict=False):
            maps = part if is_joints(spec) else maps
            inputs.append(joints if is_joints(spec) else part)
        handle = self.drawing.register_forward_hook(lambda _module, _joints, _maps: maps)
        try:
            scores: Tensor = self.scored(*inputs)
        finally:
            handle.remove()
        return scores

    def on_joints(
        self, parts: Sequence[Tensor], clip: Sequence[Tensor], origin: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """Attributions of maps as those of joints `(1, T, P, J, 1)`.

        A map's cell is divided among people by how much each changes it from one drawing to the other.
        """
        return tuple(
            self._divided(part, clip, origin) if is_joints(spec) else part
            for part, spec in zip(parts, self.specs, strict=True)
        )

    def _divided(self, part: Tensor, clip: Sequence[Tensor], origin: Sequence[Tensor]) -> Tensor:
        there, here = self._joints(clip), self._joints(origin)
        changed = []
        for person in range(there.shape[2]):
            alone = torch.zeros(there.shape[2], 1, 1, device=there.device)
            alone[person] = 1
            one, other = (torch.cat([x[..., :-1], x[..., -1:] * alone], -1) for x in (there, here))
            with torch.no_grad():
                changed.append((self.drawing(one) - self.drawing(other)).abs())
        by_person = torch.stack(changed, 2)  # (1, T, P, K, H, W)
        whole = by_person.sum(2, keepdim=True)
        share = torch.where(whole > 0, by_person / whole.clamp(min=torch.finfo(whole.dtype).tiny), 0.0)
        by_map = (part.unsqueeze(2) * share).sum((-2, -1))
        parts_KJ = self._parts_of_maps(there.shape[3]).to(by_map)
        by_joint: Tensor = by_map @ parts_KJ
        return by_joint[..., None]

    def _drawn(self, inputs: Sequence[Tensor]) -> Tensor:
        with torch.no_grad():
            maps: Tensor = self.drawing(self._joints(inputs))
        return maps

    def _joints(self, inputs: Sequence[Tensor]) -> Tensor:
        """The joints as the drawing is given them."""
        given: list[Tensor] = []
        handle = self.drawing.register_forward_pre_hook(lambda _module, joints: given.append(joints[0]))
        try:
            with torch.no_grad():
                self.scored(*inputs)
        finally:
            handle.remove()
        return given[0]
