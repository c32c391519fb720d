"""Giving a folded network its batch norms back.

Files made for inference hold convolutions that have taken up the batch norms behind them. Such a network
computes the same, but hardly learns: nothing keeps its activations within bounds. Which statistics the norms
had is lost, but what they did is not: with the mean and variance that a convolution's output has on any
videos, scale and shift follow from asking that the network stay the same function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from kinesphere.core.errors import InvalidSetting
from kinesphere.models.create import create_model
from kinesphere.models.recogniser import Recogniser


@runtime_checkable
class Gated(Protocol):
    """A layer whose last bias, `fc2.bias`, takes up the offset of its gate when it is folded."""

    gate_shift: float


_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def restore_norms(folded: Recogniser, clips: Iterable[Tensor]) -> Recogniser:
    """The same function as a network with batch norms, ready to be fine-tuned.

    Args:
        folded: A recogniser built with `folded=True`.
        clips: Normalised clips `(B, T, C, H, W)`, from whose activations the norms take mean and variance.
            Tens of clips of ordinary videos are enough: training goes on adapting them.

    Returns:
        A new recogniser with the weights, labels and input contract of `folded`; in evaluation its logits
        are equal up to rounding.

    Raises:
        InvalidSetting: If the network is not folded, or no clip came.
    """
    if not folded.arguments.get("folded"):
        raise InvalidSetting(f"{folded.card.name} has its batch norms; only a folded network lacks them.")
    restored = create_model(
        folded.card.name,
        folded.labels,
        spec=folded.specs[0],
        arguments={**folded.arguments, "folded": False},
    )
    modules = dict(restored.net.named_modules())
    pairs = {
        name: name.removesuffix("conv") + "bn"
        for name in dict(folded.net.named_modules())
        if name.endswith("conv") and isinstance(modules.get(name.removesuffix("conv") + "bn"), _NORMS)
    }
    state, source = restored.net.state_dict(), folded.net.state_dict()
    state |= {key: value for key, value in source.items() if key in state}
    for conv, (mean, variance) in _statistics(folded, pairs, clips).items():
        norm = pairs[conv]
        state[f"{norm}.running_mean"], state[f"{norm}.running_var"] = mean, variance
        state[f"{norm}.weight"] = (variance + modules[norm].eps).sqrt()
        state[f"{norm}.bias"] = mean + source[f"{conv}.bias"]
    for name, module in modules.items():
        if isinstance(module, Gated):  # a folded bias has taken up the gate's offset as well
            state[f"{name}.fc2.bias"] = source[f"{name}.fc2.bias"] - module.gate_shift
    restored.net.load_state_dict(state)
    restored.provenance = folded.provenance
    return restored


def _statistics(
    folded: Recogniser, convs: Iterable[str], clips: Iterable[Tensor]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and variance of each channel of what the convolutions give without their biases."""
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def watch(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def add(conv: nn.Module, _: object, out: Tensor) -> None:
            values = (out.movedim(1, -1) - conv.get_parameter("bias")).flatten(0, -2).double()
            sums[name] = sums.get(name, 0) + torch.stack([values.sum(0), values.square().sum(0)])
            counts[name] = counts.get(name, 0) + len(values)

        return add

    hooks = [folded.net.get_submodule(name).register_forward_hook(watch(name)) for name in convs]
    was_training = folded.training
    folded.eval()
    try:
        with torch.inference_mode():
            for clip in clips:
                folded.net(clip)
    finally:
        folded.train(was_training)
        for hook in hooks:
            hook.remove()
    if not sums:
        raise InvalidSetting("Batch norms are restored from clips, but none came.")
    found = {}
    for name, (total, squares) in sums.items():
        mean = total / counts[name]
        variance = (squares / counts[name] - mean.square()).clamp_min(1e-6)
        found[name] = (mean.float(), variance.float())
    return found
