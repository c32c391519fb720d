"""Where the cells of a layer lie on its clip, by the strides and paddings on the way to it.

A cell stands for the middle of what it sees. Where convolutions of odd size pad both sides alike, as most do,
that is frame or pixel `s j` for cell `j` of stride `s`: half a cell before the middle of the tile that
the cell is usually drawn as. Padding of one side alone moves cells the other way; tubelets and windows of
transformers are tiles indeed. The way is followed through a pass of shapes alone, so that it is known of any
layer of any network.

T time, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from kinesphere.explain.geometry import TILES, Offset
from kinesphere.models.card import CamLayer
from kinesphere.models.layout import layout_of

_aten = torch.ops.aten
_POOLS = (
    _aten.max_pool2d_with_indices, _aten.max_pool3d_with_indices, _aten.avg_pool2d, _aten.avg_pool3d,
)  # fmt: skip
_FARTHEST = 0.5
"""Cells farther from their tiles see mostly elsewhere, as those of causal networks do: they stay tiles."""


@dataclass(frozen=True)
class _Lattice:
    """Centres `first + stride * j` of cells along T, H and W, in frames and pixels of the clip from 0."""

    first: tuple[float, ...] = (0.0, 0.0, 0.0)
    stride: tuple[float, ...] = (1.0, 1.0, 1.0)

    def windows(self, size: list[int], stride: list[int], padding: list[int], gap: list[int]) -> _Lattice:
        """Of windows over these cells; the axes are the last ones."""
        first, strides = list(self.first), list(self.stride)
        for axis in range(-len(size), 0):
            middle = (size[axis] - 1) * gap[axis] / 2 - padding[axis]
            first[axis] += middle * strides[axis]
            strides[axis] *= stride[axis]
        return _Lattice(tuple(first), tuple(strides))

    def padded(self, before: list[int]) -> _Lattice:
        """With cells before the first one, along the last axes in their reverse order."""
        first = list(self.first)
        for axis, count in enumerate(before[:3], start=1):
            first[-axis] -= count * self.stride[-axis]
        return replace(self, first=tuple(first))

    def offset(self, clip: Sequence[int], cells: Sequence[int]) -> Offset:
        """Where cells lie among even tiles; as these along axes that were not followed to the end."""
        found = list(TILES)
        for axis, (first, stride) in enumerate(zip(self.first, self.stride, strict=True)):
            length, count = clip[axis], cells[axis]
            away = (first - (stride - 1) / 2) / stride
            if count > 1 and count in (length // stride, -(-length // stride)) and abs(away) <= _FARTHEST:
                found[axis] = ((first + 0.5) * count / length - 0.5, stride * count / length)
        return found[0], found[1], found[2]


class _Following(TorchDispatchMode):
    """Notes the lattice of every tensor that comes of one whose lattice is known."""

    def __init__(self, clip: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lattices = WeakIdKeyDictionary()
        self.lattices[clip] = _Lattice()

    def of(self, tensor: object) -> _Lattice | None:
        """The lattice of a tensor, if it is known."""
        found: _Lattice | None = self.lattices.get(tensor) if isinstance(tensor, Tensor) else None
        return found

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        known = (self.of(each) for each in tree_leaves(args))
        lattice = next((each for each in known if each is not None), None)
        if lattice is not None:
            after = _after(func.overloadpacket, lattice, args)
            for tensor in tree_leaves(out):
                if isinstance(tensor, Tensor):
                    self.lattices[tensor] = after
        return out


def _after(operator: Any, lattice: _Lattice, args: tuple[Any, ...]) -> _Lattice:
    """The lattice of what an operator gives."""
    if operator is _aten.convolution and not args[6]:
        size = list(args[1].shape[2:])
        return lattice.windows(size, *(_of_each(value, len(size)) for value in args[3:6]))
    if operator in _POOLS:
        axes = 3 if operator in (_aten.max_pool3d_with_indices, _aten.avg_pool3d) else 2
        size = _of_each(args[1], axes)
        stride = _of_each(args[2], axes) if len(args) > 2 and args[2] else size
        padding = _of_each(args[3], axes) if len(args) > 3 else [0] * axes
        is_maximum = operator in (_aten.max_pool2d_with_indices, _aten.max_pool3d_with_indices)
        gap = _of_each(args[4], axes) if is_maximum and len(args) > 4 else [1] * axes
        return lattice.windows(size, stride, padding, gap)
    if operator is _aten.constant_pad_nd and args[0].ndim in (4, 5):
        most = 2 if args[0].ndim == 4 else 3
        return lattice.padded(list(args[1][: 2 * most : 2]))
    return lattice


def _of_each(value: Any, axes: int) -> list[int]:
    numbers = [value] if isinstance(value, int) else list(value)
    return numbers * axes if len(numbers) == 1 else numbers


_known: WeakKeyDictionary[nn.Module, dict[object, Offset]] = WeakKeyDictionary()


def offset_of(net: nn.Module, layer: CamLayer, inputs: tuple[Tensor, ...]) -> Offset:
    """Where the centres of a layer's cells lie among even tiles, along T, H and W.

    Args:
        net: The network.
        layer: One that shows frames; cells of joints, of drawn joints and of a part of the frame are tiles.
        inputs: Clips as the network takes them; their shapes count.
    """
    if "M" in layer.layout or layer.heatmaps or layer.centre:
        return TILES
    shapes = tuple((1, *x.shape[1:]) for x in inputs)
    found = _known.setdefault(net, {})
    if (layer, shapes) not in found:
        found[layer, shapes] = _offset(net, layer, shapes)
    return found[layer, shapes]


def _offset(net: nn.Module, layer: CamLayer, shapes: tuple[tuple[int, ...], ...]) -> Offset:
    state = {name: value.to("meta") for name, value in (*net.named_parameters(), *net.named_buffers())}
    inputs = tuple(torch.empty(shape, device="meta") for shape in shapes)
    following, reached = _Following(inputs[layer.input]), list[Tensor]()
    handle = layer.module(net).register_forward_hook(lambda _module, _inputs, output: reached.append(output))
    training = [module for module in net.modules() if module.training]
    try:
        for module in training:
            module.training = False
        with torch.no_grad(), following:
            functional_call(net, state, inputs)
    finally:
        for module in training:
            module.training = True
        handle.remove()
    lattice = following.of(reached[0])
    if lattice is None:
        return TILES
    layout = layout_of(net, layer, inputs[layer.input])
    _, *cells = layout.cells(layout.features(reached[0])[:, 0]).shape
    _, length, _, height, width = shapes[layer.input]
    return lattice.offset((length, height, width), cells)
