"""Which limbs matter, when and of whom. Single joints: `gradient_x_input` and `occlusion` on poses."""

from __future__ import annotations

import torch
from torch import Tensor

from kinesphere.clips.skeleton import SKELETONS
from kinesphere.clips.spec import ClipSpec
from kinesphere.explain.method import METHODS, Method, Settings
from kinesphere.explain.neutral import is_joints
from kinesphere.explain.target import Scored
from kinesphere.explain.units import joint_numbers, losses
from kinesphere.explain.varied import Heat
from kinesphere.models import Recogniser


class LimbOcclusion(Method):
    """y(x) - y(x with a limb at rest), for each limb of each person, over a tube's number of frames.

    Limbs are those of `Skeleton.limbs`: arms, legs, head and trunk. At rest, each joint is at the mean of
    where it was seen. Neighbouring joints move together, so that a single one taken away is often made up
    for by the others; a whole limb is not.
    """

    name = "limb_occlusion"
    summary = "What the score loses when an arm, a leg, the head or the trunk of a person does not move."
    signed = True

    def refusal(self, recogniser: Recogniser) -> str | None:
        """Why not, where no input has joints."""
        if any(is_joints(spec) for spec in recogniser.specs):
            return None
        return f"limb_occlusion is for poses, and {recogniser.card.name} sees none; use occlusion."

    def heat(self, scored: Scored, inputs: tuple[Tensor, ...], settings: Settings) -> Heat:
        """See `Method.heat`; `tube`'s frames at a time, `batch` limbs at a time."""

        def number(clip: Tensor, spec: ClipSpec) -> Tensor | None:
            if not is_joints(spec):
                return None
            return joint_numbers(clip, settings.tube[0], _groups(spec))

        return losses(scored, inputs, settings, number)


def _groups(spec: ClipSpec) -> Tensor:
    """int64 `(J,)`: the limb of each joint."""
    skeleton = SKELETONS.get(spec.skeleton or "")
    groups = torch.zeros(len(skeleton), dtype=torch.int64)
    for number, joints in enumerate(skeleton.limbs.values()):
        groups[list(joints)] = number
    return groups


METHODS.add(LimbOcclusion.name, LimbOcclusion())
