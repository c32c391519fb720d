"""What the passes over a network's graph ask of it."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def module_of(graph: fx.GraphModule, node: object) -> Any:
    """The module that a node calls, if it calls one."""
    if isinstance(node, fx.Node) and node.op == "call_module":
        return graph.get_submodule(str(node.target))
    return None


def put(graph: fx.GraphModule, node: fx.Node, module: nn.Module) -> None:
    """Replace the module that a node calls."""
    parent, _, leaf = str(node.target).rpartition(".")
    setattr(graph.get_submodule(parent), leaf, module)


def calls(graph: fx.GraphModule, target: object) -> int:
    """How often a module runs in one pass (one that runs twice cannot be altered for one position)."""
    return sum(node.op == "call_module" and node.target == target for node in graph.graph.nodes)


def only_user(node: fx.Node) -> fx.Node | None:
    """The node that alone uses another."""
    return next(iter(node.users)) if len(node.users) == 1 else None
