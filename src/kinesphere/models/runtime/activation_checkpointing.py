"""Activation checkpointing: what a layer computes is computed again in the backward pass instead of kept.

Chen, Xu, Zhang, Guestrin: "Training Deep Nets with Sublinear Memory Cost", 2016,
https://arxiv.org/abs/1604.06174, section 4. Memory then holds the inputs of the segments and the activations
of one segment at a time, for the price of one more forward pass.

Gradients are exactly those without it. Random layers see the same random numbers again; layers that write
into their buffers (the running statistics of batch norm) write into copies the second time, so every batch
counts once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from kinesphere.core.batch_norm import SingleValueNorms
from kinesphere.core.bf16_convolution import sound_convolutions


def checkpoint_activations(stage: nn.Module) -> None:
    """Make a stage keep nothing but inputs in training: block by block if it is a sequence of blocks.

    A segment stays the object it is, under the same names; only its class becomes one whose `forward` in
    training mode computes twice.
    """
    for segment in _segments(stage):
        if not isinstance(segment, _Recomputed):
            segment.__class__ = _recomputed(type(segment))


def _segments(stage: nn.Module) -> list[nn.Module]:
    """The blocks of a sequence of blocks, or the stage itself. Single layers are no blocks: they would keep
    each other's outputs as their inputs."""
    if isinstance(stage, nn.Sequential | nn.ModuleList) and len(stage):
        children = list(stage)
        if all(next(child.children(), None) is not None for child in children):
            return children
    return [stage]


class _Recomputed(nn.Module):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        forward = super().forward
        if not (self.training and torch.is_grad_enabled()):
            return forward(*args, **kwargs)
        contexts = partial(_contexts, self, args[0].device)
        return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **kwargs)


def _recomputed(layer: type[nn.Module]) -> type[nn.Module]:
    """The layer's class with the other `forward`; by `__module__`, tracing knows torch's own layers."""
    return type(f"Recomputed{layer.__name__}", (_Recomputed, layer), {"__module__": layer.__module__})


def _contexts(
    module: nn.Module, device: torch.device
) -> tuple[AbstractContextManager[object], AbstractContextManager[object]]:
    """Contexts of the first and of the second computation, which must be the same operators."""
    return sound_convolutions(device), _again(module, device)


@contextmanager
def _again(module: nn.Module, device: torch.device) -> Iterator[None]:
    own = [
        (part, name, buffer)
        for part in module.modules()
        for name, buffer in part.named_buffers(recurse=False, remove_duplicate=False)
    ]
    for part, name, buffer in own:
        part._buffers[name] = buffer.clone()
    try:
        with SingleValueNorms(), sound_convolutions(device):
            yield
    finally:
        for part, name, buffer in own:
            part._buffers[name] = buffer
