"""Counting parameters and multiply-adds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import ClipSpec


def input_shape(spec: ClipSpec, *, batch: int = 1) -> tuple[int, ...]:
    """Shape of a batch: `(B, T, C, H, W)` of frames, `(B, T, P, J, D + 1)` of poses."""
    return (batch, spec.length, *MODALITIES.get(spec.modality).shape(spec))


def count_parameters(net: nn.Module) -> int:
    """Number of learnable scalars, shared ones once."""
    return sum(parameter.numel() for parameter in net.parameters())


def count_multiply_adds(net: nn.Module, specs: tuple[ClipSpec, ...]) -> int:
    """Multiply-adds of one view: convolutions, matrix products and attention; nothing else.

    Nothing is computed: the pass runs on shapes alone (the `meta` device).
    """
    return multiply_adds(net, *(input_shape(spec) for spec in specs))


def multiply_adds(net: nn.Module, *shapes: Sequence[int]) -> int:
    """Multiply-adds of a pass of inputs of some shapes, counted as in `count_multiply_adds`.

    The module is moved to the `meta` device.
    """
    inputs: tuple[Tensor, ...] = tuple(torch.empty(tuple(shape), device="meta") for shape in shapes)
    with FlopCounterMode(display=False) as counter:
        net.to("meta").eval()(*inputs)
    return int(counter.get_total_flops()) // 2
