"""Which activation functions a network runs, seen by running it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

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


@dataclass
class Activations:
    """What was seen.

    Attributes:
        relus: How often a module `nn.ReLU` ran.
        others: Names of other activations, and `FUNCTIONAL` for ReLUs outside a module.
    """

    relus: int = 0
    others: set[str] = field(default_factory=set)


def activations(recogniser: Recogniser) -> Activations:
    """The activation functions that a pass runs; of shapes alone (the `meta` device), nothing is computed."""
    found = Activations()
    net = recogniser.net
    state = {name: value.to("meta") for name, value in (*net.named_parameters(), *net.named_buffers())}
    inputs = tuple(torch.empty(input_shape(spec), device="meta") for spec in recogniser.specs)
    inside: list[nn.Module] = []
    handles = []
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            handles.append(module.register_forward_pre_hook(lambda module, _: inside.append(module)))
            handles.append(module.register_forward_hook(lambda *_: _left(inside)))
    training = [module for module in net.modules() if module.training]
    try:
        for module in training:
            module.training = False
        with torch.no_grad(), _Watch(found, inside):
            functional_call(net, state, inputs)
    finally:
        for module in training:
            module.training = True
        for handle in handles:
            handle.remove()
    return found


def _left(inside: list[nn.Module]) -> None:
    inside.pop()


class _Watch(TorchDispatchMode):
    """Notes activations as they run; `inside` holds the ReLU modules that are running."""

    def __init__(self, found: Activations, inside: list[nn.Module]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found = found
        self.inside = inside

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        operator = func.overloadpacket
        if operator in _RELU:
            if self.inside:
                self.found.relus += 1
            else:
                self.found.others.add(FUNCTIONAL)
        elif operator in _KINDS:
            self.found.others.add(_KINDS[operator])
        return func(*args, **(kwargs or {}))
