"""Methods that follow the gradient of the score to the input, computed by Captum.

A pixel's channels, and a joint's coordinates, become one number: contributions are added up with their sign,
sizes of gradients without it. A joint's score is held (`explain.varied.Varied`).
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidSetting
from kinesphere.explain.activations import activations
from kinesphere.explain.drawn import varied_along_paths
from kinesphere.explain.integral import Path
from kinesphere.explain.method import METHODS, Method, Settings
from kinesphere.explain.neutral import baselines, is_joints, seen
from kinesphere.explain.requirements import require_captum
from kinesphere.explain.target import Scored
from kinesphere.explain.varied import Heat, Varied, absolute_sum, clip_by_clip, maps, signed_sum, together
from kinesphere.models import Recogniser


class IntegratedGradients(Method):
    """Gradients along the straight path from an input without content, times the way.

    (x - x') ∫ ∂y(x' + α (x - x'))/∂x dα by Gauss-Legendre quadrature (Sundararajan, Taly, Yan: "Axiomatic
    Attribution for Deep Networks", ICML 2017, https://arxiv.org/abs/1703.01365, section 3). x' is
    `explain.neutral.baselines`: the mean colour, no motion, people at rest. The heat adds up to y(x) - y(x')
    up to the error of the quadrature, which every attribution states. Where it would be above 1 %, pieces of
    the path get more points (`explain.integral`). Of networks that draw joints, the path leads from one
    drawing to the other (`explain.drawn`).
    """

    name = "integrated_gradients"
    summary = (
        "What each pixel or joint adds to the score on the way from an input without content; adds up to the "
        "score's difference to that (Sundararajan et al. 2017)."
    )
    signed = True
    sums_up = True

    def heat(self, scored: Scored, inputs: tuple[Tensor, ...], settings: Settings) -> Heat:
        """See `Method.heat`; `steps` points of the path, up to `most_steps`, `batch` of them at a time."""
        require_captum(self.name)
        varied = varied_along_paths(scored)
        heats = []
        with torch.enable_grad():
            for clip in clip_by_clip(inputs):
                origin = baselines(clip, varied.specs)
                path = Path(varied, clip, origin, settings.batch)
                parts = path.integral(settings.steps, settings.most_steps)
                heats.append(maps(varied.on_joints(parts, clip, origin), varied.specs, signed_sum))
        return together(heats)


class GradientTimesInput(Method):
    """The gradient times the input, both of them as the network has them: Σ x ∂y/∂x over channels.

    Shrikumar, Greenside, Shcherbina, Kundaje: "Not Just a Black Box", 2016,
    https://arxiv.org/abs/1605.01713, section 3. The input counts from `explain.neutral.baselines`: pixels
    from the mean colour, joints from where they rest, so that where people stand in the frame adds nothing.
    """

    name = "gradient_x_input"
    summary = (
        "The score's gradient times the input, to first order what each pixel or joint adds to the score "
        "(Shrikumar et al. 2016)."
    )
    signed = True

    def heat(self, scored: Scored, inputs: tuple[Tensor, ...], settings: Settings) -> Heat:
        """See `Method.heat`; `batch` clips at a time."""
        require_captum(self.name)
        from captum.attr import Saliency

        varied = Varied(scored)
        heats = []
        with torch.enable_grad():
            for clip in clip_by_clip(inputs, settings.batch):
                free = varied.free(clip)
                gradients = Saliency(varied).attribute(
                    free, abs=False, additional_forward_args=varied.held(clip)
                )
                origins = varied.free(baselines(clip, varied.specs))
                parts = [g * (x - x0) for g, x, x0 in zip(gradients, free, origins, strict=True)]
                heats.append(maps(parts, varied.specs, signed_sum))
        return together(heats)


class SmoothGrad(Method):
    """The size of the mean gradient of noisy copies: |1/n Σ ∂y/∂x (x + N(0, σ²))| over channels.

    Smilkov, Thorat, Kim, Viégas, Wattenberg: "SmoothGrad: removing noise by adding noise", 2017,
    https://arxiv.org/abs/1706.03825, section 3. σ is `noise` times the range of a clip's values.
    """

    name = "smoothgrad"
    summary = (
        "How strongly the score answers to small changes of each pixel or joint, averaged over noisy copies "
        "(Smilkov et al. 2017)."
    )

    def heat(self, scored: Scored, inputs: tuple[Tensor, ...], settings: Settings) -> Heat:
        """See `Method.heat`; `samples` copies with `noise` by `seed`, `batch` of them at a time."""
        require_captum(self.name)
        from captum.attr import NoiseTunnel, Saliency

        varied = Varied(scored)
        heats = []
        devices = [inputs[0].device] if inputs[0].is_cuda else []
        with torch.enable_grad(), torch.random.fork_rng(devices):
            torch.manual_seed(settings.seed)  # Captum's noise takes no generator
            for clip in clip_by_clip(inputs):
                deviations = [
                    settings.noise * max(_range(values), torch.finfo(torch.float32).eps)
                    for values in _values(clip, varied.specs)
                ]
                parts = NoiseTunnel(Saliency(varied)).attribute(
                    varied.free(clip),
                    nt_type="smoothgrad",
                    nt_samples=settings.samples,
                    nt_samples_batch_size=settings.batch,
                    stdevs=tuple(deviations),
                    abs=False,
                    additional_forward_args=varied.held(clip),
                )
                heats.append(maps(parts, varied.specs, absolute_sum))
        return together(heats)


class GuidedBackpropagation(Method):
    """The size of the gradient that comes through when every ReLU lets positive gradients pass alone.

    R_in = R_out where R_out > 0 and the ReLU's input was above 0, else 0 (Springenberg, Dosovitskiy, Brox,
    Riedmiller: "Striving for Simplicity", ICLR 2015 workshop, https://arxiv.org/abs/1412.6806, section 3.4).
    Defined for networks whose rectifiers are modules `nn.ReLU`, used once or several times, in place or not.
    It hardly depends on the class, nor on the weights near it (Adebayo et al. 2018).
    """

    name = "guided_backprop"
    summary = (
        "Edges and textures that excite the network, by gradients that every ReLU lets through only where "
        "they are positive; hardly depends on the class (Springenberg et al. 2015)."
    )
    by_class = False

    def refusal(self, recogniser: Recogniser) -> str | None:
        """Why not, where another activation than a module `nn.ReLU` runs, or none at all."""
        found = activations(recogniser)
        instead = "use integrated_gradients, or smoothgrad for its look"
        name = recogniser.card.name
        if found.others:
            return (
                f"guided_backprop is defined for nn.ReLU alone, and {name} runs "
                f"{', '.join(sorted(found.others))}; {instead}."
            )
        return None if found.relus else f"guided_backprop needs a ReLU, and {name} runs none; {instead}."

    def heat(self, scored: Scored, inputs: tuple[Tensor, ...], settings: Settings) -> Heat:
        """See `Method.heat`; `batch` clips at a time.

        Raises:
            InvalidSetting: If the method is refused for the model.
        """
        require_captum(self.name)
        from captum.attr import GuidedBackprop

        if reason := self.refusal(scored.recogniser):
            raise InvalidSetting(reason)
        varied = Varied(scored)
        relus = [module for module in varied.modules() if isinstance(module, nn.ReLU)]
        # Captum alters the gradient of the tensor that a ReLU is given; that of a copy comes from the ReLU
        # alone, where the tensor itself is added to a later one, too.
        handles = [module.register_forward_pre_hook(_copied) for module in relus]
        heats = []
        try:
            with torch.enable_grad(), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Setting backward hooks on ReLU")
                for clip in clip_by_clip(inputs, settings.batch):
                    parts = GuidedBackprop(varied).attribute(
                        varied.free(clip), additional_forward_args=varied.held(clip)
                    )
                    heats.append(maps(parts, varied.specs, absolute_sum))
        finally:
            for handle in handles:
                handle.remove()
        return together(heats)


def _copied(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(x.clone() for x in inputs)


def _values(clip: tuple[Tensor, ...], specs: tuple[ClipSpec, ...]) -> list[Tensor]:
    """The numbers of each input: of joints the coordinates of those that are seen."""
    return [
        part[..., :-1][seen(part)] if is_joints(spec) else part
        for part, spec in zip(clip, specs, strict=True)
    ]


def _range(values: Tensor) -> float:
    """From the least to the largest; 0 of none."""
    return float(values.max() - values.min()) if values.numel() else 0.0


METHODS.add(IntegratedGradients.name, IntegratedGradients())
METHODS.add(GradientTimesInput.name, GradientTimesInput())
METHODS.add(SmoothGrad.name, SmoothGrad())
METHODS.add(GuidedBackpropagation.name, GuidedBackpropagation())
