"""Preparing a network for inference: the same function in fewer and faster operators.

Batch norms are folded into the convolutions before them, and linear layers hold their weights in the
precision they run in. On a CPU, convolutions and linear layers also take over the activation and the residual
addition behind them and keep their weights in oneDNN's own layout (`packed.py`), which otherwise is made anew
in every call. The sum takes the memory of what is added where nothing needs that again, wide pointwise
convolutions run as linear layers, and squeeze-and-excitation as products of small matrices (`squeeze.py`).
PyTorch's own fp32 linear layers go through a library that runs at half that speed on AMD.
"""

from __future__ import annotations

import copy
import inspect
import logging
import operator
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kinesphere.core.device import Compute, keep_freed_memory
from kinesphere.models.probe_head import Probed
from kinesphere.models.recogniser import Recogniser
from kinesphere.models.runtime.graph import CONVOLUTIONS, calls, module_of, only_user, put
from kinesphere.models.runtime.packed import (
    NO_ACTIVATION,
    Activation,
    PackedConvolution,
    PackedLinear,
    PackedPointwise,
    faster_as_linear,
)
from kinesphere.models.runtime.squeeze import simplify_excitation

log = logging.getLogger("kinesphere.models")

_ADDITIONS = (operator.add, operator.iadd, torch.add)
_RELU, _SILU, _HARDSWISH = Activation("relu"), Activation("swish"), Activation("hardswish")
_FUNCTIONS: dict[object, Activation] = {
    F.relu: _RELU, torch.relu: _RELU, torch.relu_: _RELU, "relu": _RELU, "relu_": _RELU, F.silu: _SILU,
    F.hardswish: _HARDSWISH,
}  # fmt: skip


@runtime_checkable
class HasConstants(Protocol):
    """A module part of whose forward follows from its parameters alone."""

    def keep_constants(self, dtype: torch.dtype) -> None:
        """Compute that once from now on, since the parameters stay; it is for inputs of this precision."""


@runtime_checkable
class HasChains(Protocol):
    """A module that calls some of its children one right after the other, and none of these elsewhere.

    Where its own methods cannot be traced, as those that take a stream's state, they are prepared as one.
    """

    @property
    def chains(self) -> tuple[tuple[str, ...], ...]:
        """Names of children that follow one another, for each such row of them."""


def optimise_for_inference(recogniser: Recogniser, compute: Compute) -> nn.Module:
    """A copy of the network for forward passes only, prepared for `compute`.

    Args:
        recogniser: Stays as it is; features, gradients and training use it.
        compute: Where the copy runs; its forward belongs under `compute.autocast()`.

    Returns:
        A module with the recogniser's `forward(*inputs) -> logits (B, K)`, equal up to rounding (folding
        reorders sums): in fp32 to 1e-5 of the largest logit; in bf16 to 2 % of it or, for networks that bf16
        moves further, to three times what it moves the plain network. Where a forward cannot be traced (its
        course depends on the input), it runs as it is around parts that are prepared each for itself; the
        log names it.
    """
    return prepared_copy(recogniser.net, recogniser.card.name, compute)


def prepared_copy(net: nn.Module, name: str, compute: Compute) -> nn.Module:
    """As `optimise_for_inference`, of any module whose forward takes tensors; `name` is for the log."""
    net = copy.deepcopy(net).eval().requires_grad_(False)
    if compute.device == "cpu":
        keep_freed_memory()
    if compute.precision != "fp32":
        _round_linear_layers(net, _dtype(compute))
    for module in net.modules():
        if isinstance(module, HasConstants):
            module.keep_constants(_dtype(compute))
    prepared, untraced = _prepared(net, compute)
    if untraced:
        log.info("%s: the forward of %s cannot be traced and runs as it is",
                 name, ", ".join(sorted(untraced)))  # fmt: skip
    return compute.place(prepared)


def prepared_stream(net: nn.Module, compute: Compute) -> nn.Module:
    """A copy of a streaming network, prepared for `compute`, whose `stream_features` gives the same.

    Its steps take and return states, which cannot be traced: they run as they are around parts that are
    prepared each for itself. States begin with `stream_init` of the network itself.
    """
    net = copy.deepcopy(net).eval().requires_grad_(False)
    if compute.device == "cpu":
        keep_freed_memory()
    if compute.precision != "fp32":
        _round_linear_layers(net, _dtype(compute))
    _prepare_parts(net, compute, _stateless)
    return compute.place(net)


def _prepared(net: nn.Module, compute: Compute) -> tuple[nn.Module, set[str]]:
    """The network in fewer operators, and the names of the modules in it that run as they are."""
    tracer = _Tracer()
    try:
        graph = fx.GraphModule(net, tracer.trace(net))
        for name, value in vars(net).items():  # callers may ask for its plain attributes
            vars(graph).setdefault(name, value)
    except Exception:  # tracing runs arbitrary forward code on stand-ins
        if isinstance(net, Probed):  # looks inside its encoder, whose parts therefore stay
            return net, {type(net.encoder).__name__}
        return net, {type(net).__name__, *_prepare_parts(net, compute)}
    untraced: set[str] = set()
    for path in tracer.untraced:
        part = graph.get_submodule(path)
        untraced |= {type(part).__name__, *_prepare_parts(part, compute)}
    _drop_identities(graph)
    _fold_norms(graph)
    if _packs(compute):
        _fold_constants(graph)
        simplify_excitation(graph, _dtype(compute))
        _pack_convolutions(graph, _dtype(compute))
        _pack_linear_layers(graph, _dtype(compute))
    graph.graph.lint()
    graph.recompile()
    graph.delete_all_unused_submodules()
    return graph, untraced


def _prepare_parts(
    net: nn.Module, compute: Compute, alone: Callable[[nn.Module], bool] | None = None
) -> set[str]:
    """Prepare what is in a module whose own forward stays; names what cannot be traced in there.

    Args:
        net: The module.
        compute: Where it runs.
        alone: Which parts are prepared whole; None for those of `_stands_alone`.
    """
    untraced: set[str] = set()
    for chain in net.chains if isinstance(net, HasChains) else ():
        whole, names = _prepared(nn.Sequential(*map(net.get_submodule, chain)), compute)
        setattr(net, chain[0], whole)
        for name in chain[1:]:
            setattr(net, name, nn.Identity())
        untraced |= names
    for name, part in net.named_children():
        if (alone or _stands_alone)(part):
            prepared, names = _prepared(part, compute)
            # whoever goes through a sequence step by step finds one step that does it all
            setattr(net, name, nn.Sequential(prepared) if isinstance(part, nn.Sequential) else prepared)
        elif type(part) is nn.Linear and _packs(compute):
            setattr(net, name, PackedLinear(part.weight, part.bias, _dtype(compute)))
            names = set()
        else:
            names = _prepare_parts(part, compute, alone)
        untraced |= names
    return untraced


def _stands_alone(part: nn.Module) -> bool:
    """Whether its forward, with tensors for all arguments, is all that a caller can ask of a module."""
    if isinstance(part, nn.Sequential):
        return True
    if type(part).__module__.startswith("torch.nn"):
        return False
    parameters = inspect.signature(part.forward).parameters.values()
    plain = all(p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty for p in parameters)
    return plain and set(dir(type(part))) <= set(dir(nn.Module))


def _stateless(part: nn.Module) -> bool:
    """Whether a part and all that is in it stand alone, so that none keeps a stream's state."""
    return _stands_alone(part) and all(
        type(inner).__module__.startswith("torch.nn") or _stands_alone(inner) for inner in part.modules()
    )


class _Tracer(fx.Tracer):
    """Calls a module as it is where its forward cannot be traced; `untraced` has their paths."""

    def __init__(self) -> None:
        super().__init__()
        self.untraced: set[str] = set()

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        def attempt(*args: Any, **kwargs: Any) -> Any:
            traced = len(self.graph.nodes)
            try:
                return forward(*args, **kwargs)
            except Exception:  # as above
                self._forget(traced)
                path = self.path_of_module(m)
                self.untraced = {p for p in self.untraced if not p.startswith(f"{path}.")} | {path}
                return self.create_proxy("call_module", path, args, kwargs)

        return super().call_module(m, attempt, args, kwargs)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """As fx has it, but one that is being watched is called, so that its hooks run."""
        return super().is_leaf_module(m, module_qualified_name) and not m._forward_hooks

    def _forget(self, traced: int) -> None:
        """Take back all but the first `traced` nodes."""
        for node in reversed(list(self.graph.nodes)[traced:]):
            if node.op != "get_attr":  # the tracer gives these again to whoever asks for the same tensor
                self.graph.erase_node(node)


def _round_linear_layers(net: nn.Module, dtype: torch.dtype) -> None:
    """Give linear layers the weights that autocast would otherwise round anew in every call."""
    for module in net.modules():
        if type(module) is nn.Linear:
            module.to(dtype)


def _dtype(compute: Compute) -> torch.dtype:
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[compute.precision]


def _packs(compute: Compute) -> bool:
    """Whether oneDNN's fused, prepacked operators are there and apply."""
    return (
        compute.device == "cpu"
        and compute.channels_last
        and compute.precision in ("fp32", "bf16")
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        # Of older processors autocast alone takes bf16: packing refuses it.
        and (compute.precision == "fp32" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))
    )


def _drop_identities(graph: fx.GraphModule) -> None:
    """Take out modules that do nothing in evaluation mode and would stand between two that can be fused."""
    for node in list(graph.graph.nodes):
        if isinstance(module_of(graph, node), nn.Identity | nn.Dropout):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)


def _fold_constants(graph: fx.GraphModule) -> None:
    """Compute once what follows from parameters alone, such as a bias that is put together of parts."""
    constants: dict[fx.Node, Tensor] = {}
    for node in list(graph.graph.nodes):
        if node.op == "get_attr":
            value = operator.attrgetter(node.target)(graph)
        elif (
            node.op == "call_function"
            and node.all_input_nodes
            and constants.keys() >= {*node.all_input_nodes}
        ):
            arguments = fx.node.map_arg((node.args, node.kwargs), constants.__getitem__)
            value = node.target(*arguments[0], **arguments[1])
        else:
            continue
        if not isinstance(value, Tensor):
            continue
        constants[node] = value
        if node.op == "call_function":
            name = f"constant_{node.name}"
            graph.register_buffer(name, value.detach())
            with graph.graph.inserting_before(node):
                folded = graph.graph.get_attr(name)
            constants[folded] = value
            node.replace_all_uses_with(folded)
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()


def _fold_norms(graph: fx.GraphModule) -> None:
    for node in list(graph.graph.nodes):
        if not isinstance(module_of(graph, node), nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            continue
        norm, source = module_of(graph, node), node.args[0]
        conv = module_of(graph, source)
        if (
            type(conv) not in CONVOLUTIONS
            or len(source.users) > 1
            or norm.running_mean is None
            or calls(graph, source.target) > 1
        ):
            continue
        put(graph, source, fuse_conv_bn_eval(conv, norm))
        node.replace_all_uses_with(source)
        graph.graph.erase_node(node)


def _pack_convolutions(graph: fx.GraphModule, dtype: torch.dtype) -> None:
    for node in list(graph.graph.nodes):
        conv = module_of(graph, node)
        if type(conv) not in (nn.Conv2d, nn.Conv3d) or calls(graph, node.target) > 1:
            continue
        if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
            continue
        following, addition = only_user(node), _addition(node)
        activation = _activation(graph, following)
        if activation is None and addition is not None:
            following = only_user(addition[0])
            activation = _activation(graph, following)
            if activation != _RELU:
                activation = None
        else:
            addition = None
        packed: nn.Module
        if addition is None and faster_as_linear(conv):
            packed = PackedPointwise(conv, dtype, activation or NO_ACTIVATION)
        else:
            # What the convolution reads itself cannot take its sums.
            overwrites = (
                addition is not None
                and addition[1] is not node.args[0]
                and _is_last_use(graph, addition[1], addition[0])
            )
            packed = PackedConvolution(conv, dtype, activation or NO_ACTIVATION, overwrites=overwrites)
        put(graph, node, packed)
        if activation is not None and following is not None:
            _fuse(graph, node, following, addition)


def _pack_linear_layers(graph: fx.GraphModule, dtype: torch.dtype) -> None:
    for node in list(graph.graph.nodes):
        tensors = _linear(graph, node)
        if tensors is None:
            continue
        following = only_user(node)
        activation, addition = _activation(graph, following), _addition(node)
        packed = PackedLinear(*tensors, dtype, activation or NO_ACTIVATION)
        if node.op == "call_function":
            name = f"packed_{node.name}"
            graph.add_submodule(name, packed)
            with graph.graph.inserting_before(node):
                call = graph.graph.call_module(name, (node.args[0],))
            node.replace_all_uses_with(call)
            graph.graph.erase_node(node)
            node = call
        else:
            put(graph, node, packed)
        if activation is not None and following is not None:
            _fuse(graph, node, following, None)
        elif addition is not None:
            _fuse(graph, node, addition[0], (addition[0], addition[1]))
    graph.graph.eliminate_dead_code()


def _linear(graph: fx.GraphModule, node: fx.Node) -> tuple[Tensor, Tensor | None] | None:
    """Weight and bias of a linear layer that can be packed, be it a module or a function of parameters."""
    module = module_of(graph, node)
    if type(module) is nn.Linear and calls(graph, node.target) == 1:
        return module.weight, module.bias
    if node.target is not F.linear or len(node.args) + len(node.kwargs) < 2:
        return None
    weight = node.args[1] if len(node.args) > 1 else node.kwargs["weight"]
    bias = node.args[2] if len(node.args) > 2 else node.kwargs.get("bias")
    if not isinstance(weight, fx.Node) or weight.op != "get_attr":
        return None
    if bias is not None and not (isinstance(bias, fx.Node) and bias.op == "get_attr"):
        return None
    held: Tensor = operator.attrgetter(str(weight.target))(graph)
    return held, None if bias is None else operator.attrgetter(str(bias.target))(graph)


def _addition(node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """The addition that alone uses a node, and its other side."""
    user = only_user(node)
    if user is None or user.target not in _ADDITIONS or user.kwargs:
        return None
    others = [side for side in user.args if side is not node]
    return (user, others[0]) if len(others) == 1 and isinstance(others[0], fx.Node) else None


def _is_last_use(graph: fx.GraphModule, source: fx.Node, node: fx.Node) -> bool:
    """Whether a convolution gives what a node uses, and only convolutions have used it before."""
    kinds = (PackedConvolution, PackedPointwise, *CONVOLUTIONS)
    if not isinstance(module_of(graph, source), kinds):
        return False
    return all(
        user is node or (user < node and isinstance(module_of(graph, user), kinds)) for user in source.users
    )


def _fuse(
    graph: fx.GraphModule, node: fx.Node, last: fx.Node, addition: tuple[fx.Node, fx.Node] | None
) -> None:
    """Let a packed node stand for all up to `last`, an addition between them included."""
    source = node
    if addition is not None:  # the addition's other side must exist before the packed node runs
        with graph.graph.inserting_before(addition[0]):
            source = graph.graph.call_module(str(node.target), (node.args[0], addition[1]))
    last.replace_all_uses_with(source)
    graph.graph.erase_node(last)
    if addition is not None:
        if addition[0] is not last:
            graph.graph.erase_node(addition[0])
        graph.graph.erase_node(node)


def _activation(graph: fx.GraphModule, node: fx.Node | None) -> Activation | None:
    """What oneDNN calls the activation that a node is, if it knows it."""
    if node is None:
        return None
    module = module_of(graph, node)
    if isinstance(module, nn.ReLU):
        return _RELU
    if isinstance(module, nn.SiLU):
        return _SILU
    if isinstance(module, nn.Hardswish):
        return _HARDSWISH
    if isinstance(module, nn.GELU):
        return Activation("gelu", module.approximate)
    if node.target is F.gelu and len(node.args) == 1:
        return Activation("gelu", str(node.kwargs.get("approximate", "none")))
    if node.op in ("call_method", "call_function"):
        return _FUNCTIONS.get(node.target)
    return None
