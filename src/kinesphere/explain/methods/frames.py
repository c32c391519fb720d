"""Which frames matter: for recurrent networks, whose layers say nothing of it, and for all others."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from kinesphere.explain.method import METHODS, Method, Settings
from kinesphere.explain.methods.occlusion import Occlusion
from kinesphere.explain.neutral import is_joints, is_planes, seen
from kinesphere.explain.requirements import require_captum
from kinesphere.explain.target import Scored
from kinesphere.explain.varied import Heat, Varied, clip_by_clip, together


class FrameOcclusion(Occlusion):
    """y(x) - y(x with a frame replaced), frame by frame: cells `(B, T, 1, 1)`.

    `occlusion` with frames as units. In place of a frame stands the temporal mean of the clip, by `fill` also
    the frame before it, which asks what a frame adds to its neighbour. The joints of a frame share its heat.
    """

    name = "frame_occlusion"
    summary = "What the score loses when a frame is replaced by the temporal mean or by its neighbour."

    def heat(self, scored: Scored, inputs: tuple[Tensor, ...], settings: Settings) -> Heat:
        """See `Method.heat`; `fill`, `batch` frames at a time."""
        return super().heat(scored, inputs, replace(settings, units="frames", regions=None))


class FrameGradient(Method):
    """‖∂y/∂x_t‖₂, the Euclidean norm of the gradient to each frame: cells `(B, T, 1, 1)`.

    Of a recurrent network it shows how far back in time the answer reaches. The joints of a frame share its
    heat.
    """

    name = "frame_gradient"
    summary = "How strongly the score answers to small changes of each frame: the norm of its gradient."

    def heat(self, scored: Scored, inputs: tuple[Tensor, ...], settings: Settings) -> Heat:
        """See `Method.heat`; `batch` clips at a time."""
        require_captum(self.name)
        from captum.attr import Saliency

        varied = Varied(scored)
        heats = []
        with torch.enable_grad():
            for clip in clip_by_clip(inputs, settings.batch):
                parts = Saliency(varied).attribute(
                    varied.free(clip), abs=False, additional_forward_args=varied.held(clip)
                )
                heat: list[Tensor | None] = []
                for gradient, whole, spec in zip(parts, clip, varied.specs, strict=True):
                    norms = gradient.detach().flatten(2).norm(dim=2)[..., None, None]
                    if is_joints(spec):
                        norms = norms * seen(whole)
                    heat.append(norms if is_joints(spec) or is_planes(spec) else None)
                heats.append(tuple(heat))
        return together(heats)


METHODS.add(FrameOcclusion.name, FrameOcclusion())
METHODS.add(FrameGradient.name, FrameGradient())
