"""Preparing a network for inference: the same function in fewer and faster operators.

Batch norms are folded into the convolutions before them, and linear layers hold their weights in the
precision they run in. On a CPU, convolutions also take over the activation and the residual addition behind
them and keep their weights in the library's own layout (oneDNN), which otherwise is made anew in every call.
"""

from __future__ import annotations

import copy
import inspect
import logging
import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kinesphere.core.device import Compute
from kinesphere.models.recogniser import Recogniser

log = logging.getLogger("kinesphere.models")

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_ADDITIONS = (operator.add, operator.iadd, torch.add)
_RELUS = (F.relu, torch.relu, torch.relu_)


def optimise_for_inference(recogniser: Recogniser, compute: Compute) -> nn.Module:
    """A copy of the network for forward passes only, prepared for `compute`.

    Args:
        recogniser: Stays as it is; features, gradients and training use it.
        compute: Where the copy runs; its forward belongs under `compute.autocast()`.

    Returns:
        A module with the recogniser's `forward(*inputs) -> logits (B, K)`, equal up to rounding (folding
        reorders sums). Where a forward cannot be traced (its course depends on the input), it runs as it
        is around parts that are prepared each for itself; the log names it.
    """
    net = copy.deepcopy(recogniser.net).eval().requires_grad_(False)
    if compute.precision != "fp32":
        _round_linear_layers(net, torch.float16 if compute.precision == "fp16" else torch.bfloat16)
    prepared, untraced = _prepared(net, compute)
    if untraced:
        log.info("%s: the forward of %s cannot be traced and runs as it is",
                 recogniser.card.name, ", ".join(sorted(untraced)))  # fmt: skip
    return compute.place(prepared)


def _prepared(net: nn.Module, compute: Compute) -> tuple[nn.Module, set[str]]:
    """The network in fewer operators, and the names of the modules in it that run as they are."""
    tracer = _Tracer()
    try:
        graph = fx.GraphModule(net, tracer.trace(net))
        for name, value in vars(net).items():  # callers may ask for its plain attributes
            vars(graph).setdefault(name, value)
    except Exception:  # tracing runs arbitrary forward code on stand-ins
        return net, {type(net).__name__, *_prepare_parts(net, compute)}
    untraced: set[str] = set()
    for path in tracer.untraced:
        part = graph.get_submodule(path)
        untraced |= {type(part).__name__, *_prepare_parts(part, compute)}
    _fold_norms(graph)
    if _packs(compute):
        dtype = torch.bfloat16 if compute.precision == "bf16" else torch.float32
        _pack_convolutions(graph, dtype)
    graph.graph.lint()
    graph.recompile()
    graph.delete_all_unused_submodules()
    return graph, untraced


def _prepare_parts(net: nn.Module, compute: Compute) -> set[str]:
    """Prepare what is in a module whose own forward stays; names what cannot be traced in there."""
    untraced: set[str] = set()
    for name, part in net.named_children():
        if _stands_alone(part):
            prepared, names = _prepared(part, compute)
            # whoever goes through a sequence step by step finds one step that does it all
            setattr(net, name, nn.Sequential(prepared) if isinstance(part, nn.Sequential) else prepared)
        else:
            names = _prepare_parts(part, compute)
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


def _packs(compute: Compute) -> bool:
    """Whether oneDNN's fused, prepacked convolutions are there and apply."""
    return (
        compute.device == "cpu"
        and compute.channels_last
        and compute.precision in ("fp32", "bf16")
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    )


def _fold_norms(graph: fx.GraphModule) -> None:
    for node in list(graph.graph.nodes):
        if not isinstance(_module(graph, node), nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            continue
        norm, source = _module(graph, node), node.args[0]
        conv = _module(graph, source)
        if (
            type(conv) not in _CONVOLUTIONS
            or len(source.users) > 1
            or norm.running_mean is None
            or _calls(graph, source.target) > 1
        ):
            continue
        _put(graph, source, fuse_conv_bn_eval(conv, norm))
        node.replace_all_uses_with(source)
        graph.graph.erase_node(node)


def _pack_convolutions(graph: fx.GraphModule, dtype: torch.dtype) -> None:
    for node in list(graph.graph.nodes):
        conv = _module(graph, node)
        if type(conv) not in (nn.Conv2d, nn.Conv3d) or _calls(graph, node.target) > 1:
            continue
        if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
            continue
        relu, addition, other = _tail(graph, node)
        _put(graph, node, PackedConvolution(conv, dtype, relu=relu is not None))
        if relu is None:
            continue
        source = node
        if addition is not None:  # the addition's other side must exist before the convolution runs
            with graph.graph.inserting_before(addition):
                source = graph.graph.call_module(node.target, (node.args[0], other))
        relu.replace_all_uses_with(source)
        graph.graph.erase_node(relu)
        if addition is not None:
            graph.graph.erase_node(addition)
            graph.graph.erase_node(node)


def _tail(graph: fx.GraphModule, node: fx.Node) -> tuple[fx.Node | None, fx.Node | None, fx.Node | None]:
    """The ReLU behind a convolution, with an addition between and the addition's other side, if any."""
    user = _only_user(node)
    if user is None or _is_relu(graph, user):
        return user, None, None
    if user.target in _ADDITIONS and not user.kwargs:
        others = [side for side in user.args if side is not node]
        relu = _only_user(user)
        if len(others) == 1 and isinstance(others[0], fx.Node) and _is_relu(graph, relu):
            return relu, user, others[0]
    return None, None, None


class PackedConvolution(nn.Module):
    """A convolution with fused activation and addition; its weights wait in oneDNN's layout.

    Args:
        conv: The convolution to stand for.
        dtype: fp32 or bf16, for input, weight and output.
        relu: Whether a ReLU follows.
    """

    def __init__(self, conv: nn.Conv2d | nn.Conv3d, dtype: torch.dtype, *, relu: bool) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if conv.weight.dim() == 4 else torch.channels_last_3d
        self.geometry: tuple[Any, ...] = (
            list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups,
        )  # fmt: skip
        self.dtype = dtype
        self.relu = relu
        self.weight = nn.Parameter(conv.weight.detach().to(dtype), requires_grad=False)
        bias = None if conv.bias is None else conv.bias.detach().to(dtype)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self._packed: Tensor | None = None

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """`relu(conv(x) + other)`, as far as present; `x (N, C, ..., H, W)` in any memory layout."""
        x = x.to(self.dtype).contiguous(memory_format=self.memory_format)
        if self._packed is None:  # the best layout depends on the input's size
            self._packed = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, *self.geometry, list(x.shape)
            )
        relu = "relu" if self.relu else "none"
        if other is None:
            out: Tensor = torch.ops.mkldnn._convolution_pointwise(
                x, self._packed, self.bias, *self.geometry, relu, [], ""
            )
            return out
        other = other.to(self.dtype).contiguous(memory_format=self.memory_format)
        out = torch.ops.mkldnn._convolution_pointwise.binary(
            x, other, self._packed, self.bias, *self.geometry, "add", None, relu, [], ""
        )
        return out  # noqa: RET504 (typed above)


def _module(graph: fx.GraphModule, node: object) -> Any:
    """The module that a node calls, if it calls one."""
    if isinstance(node, fx.Node) and node.op == "call_module":
        return graph.get_submodule(str(node.target))
    return None


def _put(graph: fx.GraphModule, node: fx.Node, module: nn.Module) -> None:
    parent, _, leaf = str(node.target).rpartition(".")
    setattr(graph.get_submodule(parent), leaf, module)


def _calls(graph: fx.GraphModule, target: object) -> int:
    """How often a module runs in one pass (one that runs twice cannot be altered for one place)."""
    return sum(node.op == "call_module" and node.target == target for node in graph.graph.nodes)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _is_relu(graph: fx.GraphModule, node: fx.Node | None) -> bool:
    if node is None:
        return False
    if node.op == "call_module":
        return isinstance(_module(graph, node), nn.ReLU)
    if node.op == "call_method":
        return node.target in ("relu", "relu_")
    return node.op == "call_function" and node.target in _RELUS
