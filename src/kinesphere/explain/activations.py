"""Which activation functions a network runs, seen by running it."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from kinesphere.models import Recogniser
from kinesphere.models.runtime.measure import input_shape

_aten = torch.ops.aten
_KINDS = {
    _aten.gelu: "GELU",
    _aten.silu: "SiLU",
    _aten.silu_: "SiLU",
    _aten.hardswish: "Hardswish",
    _aten.hardswish_: "Hardswish",
    _aten.hardtanh: "ReLU6",
    _aten.hardtanh_: "ReLU6",
    _aten.leaky_relu: "LeakyReLU",
    _aten.leaky_relu_: "LeakyReLU",
    _aten.elu: "ELU",
    _aten.elu_: "ELU",
    _aten._prelu_kernel: "PReLU",
    _aten.mish: "Mish",
    _aten.softplus: "Softplus",
}
"""What stands in the place of a ReLU. Gates (sigmoid, tanh, softmax) are none: they weigh."""
_RELU = (_aten.relu, _aten.relu_)
FUNCTIONAL = "a ReLU that is no module"


@dataclass(frozen=True)
class Activations:
    """What was seen.

    Attributes:
        relus: How often a module `nn.ReLU` ran.
        others: Names of other activations, and `FUNCTIONAL` for ReLUs outside a module.
    """

    relus: int
    others: frozenset[str]


_Modules = tuple[tuple[str, type[nn.Module]], ...]
_SEEN: MutableMapping[nn.Module, tuple[_Modules, Activations]] = WeakKeyDictionary()
"""What was seen of a network while it had these modules: a pass of shapes takes as long as one of numbers."""


def activations(recogniser: Recogniser) -> Activations:
    """The activation functions that a pass runs; a network of the same modules is looked at once."""
    modules = tuple((name, type(module)) for name, module in recogniser.net.named_modules())
    kept = _SEEN.get(recogniser.net)
    if kept is None or kept[0] != modules:
        kept = _SEEN[recogniser.net] = modules, _seen(recogniser)
    return kept[1]


def _seen(recogniser: Recogniser) -> Activations:
    """A pass of shapes alone (the `meta` device): nothing is computed."""
    net = recogniser.net
    watch = _Watch()
    state = {name: value.to("meta") for name, value in (*net.named_parameters(), *net.named_buffers())}
    inputs = tuple(torch.empty(input_shape(spec), device="meta") for spec in recogniser.specs)
    handles = []
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            handles.append(module.register_forward_pre_hook(watch.enter))
            handles.append(module.register_forward_hook(watch.leave))
    training = [module for module in net.modules() if module.training]
    try:
        for module in training:
            module.training = False
        with torch.no_grad(), watch:
            functional_call(net, state, inputs)
    finally:
        for module in training:
            module.training = True
        for handle in handles:
            handle.remove()
    return Activations(watch.relus, frozenset(watch.others))


class _Watch(TorchDispatchMode):
    """Notes activations as they run; `inside` is how many modules `nn.ReLU` are running."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.inside, self.relus = 0, 0
        self.others: set[str] = set()

    def enter(self, *_: object) -> None:
        self.inside += 1

    def leave(self, *_: object) -> None:
        self.inside -= 1

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        operator = func.overloadpacket
        if operator in _RELU:
            if self.inside:
                self.relus += 1
            else:
                self.others.add(FUNCTIONAL)
        elif operator in _KINDS:
            self.others.add(_KINDS[operator])
        return func(*args, **(kwargs or {}))
