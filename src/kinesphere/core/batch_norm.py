"""Batch norm of a batch that has one value per channel, such as the last clip of an odd count.

One value has no variance: normalised by itself it would become zero, whatever it was, and torch refuses. Such
a batch is normalised with the running statistics instead, which stay as they are, as in evaluation; gradients
flow as through any other batch.
"""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

_PARAMETERS = inspect.signature(F.batch_norm)


def single_clip_norms(batch: int) -> AbstractContextManager[object]:
    """Context for a forward pass in training of `batch` clips; does nothing for two or more."""
    return SingleValueNorms() if batch == 1 else nullcontext()


class SingleValueNorms(TorchFunctionMode):
    """Context in which batch norms of one value per channel take their running statistics."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.batch_norm:
            call = _PARAMETERS.bind(*args, **kwargs)
            call.apply_defaults()
            x, mean = call.arguments["input"], call.arguments["running_mean"]
            if call.arguments["training"] and mean is not None and _values_per_channel(x) == 1:
                call.arguments["training"] = False
            args, kwargs = call.args, call.kwargs
        return func(*args, **kwargs)


def _values_per_channel(x_BC: torch.Tensor) -> int:
    return x_BC.shape[0] * x_BC.shape[2:].numel()
