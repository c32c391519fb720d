"""Squeeze-and-excitation in few operators: what is said of whole channels is a product of small matrices.

A mean over channels-last memory runs at a fraction of the memory's speed where the number of channels is no
multiple of 16, and a convolution of a single position costs ten times what the product does.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from kinesphere.models.runtime.graph import CONVOLUTIONS, calls, module_of, put
from kinesphere.models.runtime.packed import is_pointwise

_ELEMENTWISE = (nn.ReLU, nn.Sigmoid, nn.SiLU, nn.Hardsigmoid, nn.Hardswish)
_METHODS = ("relu", "sigmoid")
_FUNCTIONS = (torch.relu, torch.sigmoid, F.relu, F.silu, F.hardsigmoid)


class PositionConvolution(nn.Module):
    """A 1×1 or 1×1×1 convolution of inputs that have one position, `(B, C, 1, 1)` or `(B, C, 1, 1, 1)`."""

    def __init__(self, conv: nn.Conv2d | nn.Conv3d, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.weight = conv.weight.detach().flatten(1).to(dtype)
        self.bias = None if conv.bias is None else conv.bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Of the same number of dimensions as `x`."""
        out = F.linear(x.flatten(1).to(self.dtype), self.weight, self.bias)
        return out[(..., *[None] * (x.dim() - 2))]


def channel_means(x: Tensor) -> Tensor:
    """The mean over all positions of `x (B, C, ..., H, W)`, with the dimensions kept."""
    rows_BNC = x.movedim(1, -1).flatten(1, -2)
    ones_B1N = rows_BNC.new_ones(()).expand(len(x), 1, rows_BNC.shape[1])
    means_BC = torch.bmm(ones_B1N, rows_BNC)[:, 0] / rows_BNC.shape[1]
    return means_BC[(..., *[None] * (x.dim() - 2))]


def scaled(x: Tensor, scale: Tensor) -> Tensor:
    """`x * scale` in the memory of `x`."""
    return x.mul_(scale)


def simplify_excitation(graph: fx.GraphModule, dtype: torch.dtype) -> None:
    """Rewrite means of convolutions over all positions, what follows from them, and the scaling by it."""
    of_channels: set[fx.Node] = set()
    for node in list(graph.graph.nodes):
        source, module = node.args[0] if node.args else None, module_of(graph, node)
        if not isinstance(source, fx.Node):
            continue
        if _averages(node, module_of(graph, source)):
            with graph.graph.inserting_before(node):
                means = graph.graph.call_function(channel_means, (source,))
            node.replace_all_uses_with(means)
            graph.graph.erase_node(node)
            of_channels.add(means)
        elif source in of_channels and _is_elementwise(node, module):
            of_channels.add(node)
        elif source in of_channels and is_pointwise(module) and calls(graph, node.target) == 1:
            put(graph, node, PositionConvolution(module, dtype))
            of_channels.add(node)
        elif node.target is operator.mul and node.args[1] in of_channels and _last_user(graph, source, node):
            node.target = scaled


def _averages(node: fx.Node, source: Any) -> bool:
    """Whether a node is a mean over all positions of a convolution that keeps the dimensions."""
    if node.target not in ("mean", torch.mean) or not node.kwargs.get("keepdim"):
        return False
    dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    if type(source) not in CONVOLUTIONS or not isinstance(dims, tuple | list):
        return False
    return tuple(dims) == tuple(range(2, source.weight.dim()))


def _is_elementwise(node: fx.Node, module: object) -> bool:
    return isinstance(module, _ELEMENTWISE) or node.target in (*_METHODS, *_FUNCTIONS)


def _last_user(graph: fx.GraphModule, source: fx.Node, node: fx.Node) -> bool:
    """Whether a convolution gives what a node uses, and only means were taken of it before."""
    if type(module_of(graph, source)) not in CONVOLUTIONS:
        return False
    return all(user is node or (user.target is channel_means and user < node) for user in source.users)
