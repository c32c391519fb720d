"""Convolutions whose bf16 gradients can be trusted on a CPU.

oneDNN (v3.12, as torch 2.13 carries it) computes wrong weight gradients for bf16 convolutions, or writes
outside its memory, in two cases: a depth smaller than its kernel with padding in depth (two frames under
a 3x3x3 kernel, as in the last stage of a 16-frame ResNet-3D), and a strided dimension whose output has
size 1. Both have equivalent forms that it computes correctly.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode


def sound_convolutions(device: torch.device | str) -> AbstractContextManager[object]:
    """Context for the forward pass of training: rewrites the convolutions described above.

    Does nothing on other devices than the CPU, and nothing without bf16 autocast.
    """
    is_needed = torch.device(device).type == "cpu" and torch.is_autocast_enabled("cpu")
    return _SoundConvolutions() if is_needed else nullcontext()


class _SoundConvolutions(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if (
            func in (torch.conv2d, torch.conv3d)
            and not kwargs
            and len(args) == 7
            and not isinstance(args[4], str)
        ):
            args = _sound(*args)
        return func(*args, **(kwargs or {}))


def _sound(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: Sequence[int],
    padding: Sequence[int], dilation: Sequence[int], groups: int,
) -> tuple[Any, ...]:  # fmt: skip
    """Arguments of an equal convolution. Explicit zeros take the place of padding where it misleads."""
    strides, paddings = list(stride), list(padding)
    pads, extents = [0] * len(strides), [0] * len(strides)
    for axis, step in enumerate(stride):
        size, pad = x.shape[2 + axis], padding[axis]
        covered = dilation[axis] * (weight.shape[2 + axis] - 1) + 1
        is_single = step > 1 and (size + 2 * pad - covered) // step == 0
        is_shallow = x.dim() == 5 and axis == 0 and size < covered and pad > 0
        if is_single or is_shallow:
            pads[axis], paddings[axis] = pad, 0
        if is_single:
            strides[axis], extents[axis] = 1, covered
    if any(pads):
        x = F.pad(x, [p for pad in reversed(pads) for p in (pad, pad)])
    for axis, extent in enumerate(extents):
        if extent:
            x = x.narrow(2 + axis, 0, extent)
    return x, weight, bias, strides, paddings, dilation, groups
