"""How PySKL and MMAction2 name the layers of graph networks, and what their states tell of a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from torch import Tensor

from kinesphere.clips.skeleton import SKELETONS
from kinesphere.core.errors import InvalidSetting
from kinesphere.models.layers.skeleton_net import VALUES
from kinesphere.models.weights.keymap import Arguments, KeyMap, Rename, Rule

# Joints that public checkpoints with so many joints mean.
SKELETON_OF = {15: "jhmdb15", 17: "coco17", 18: "openpose18", 20: "kinect20", 25: "ntu25", 33: "blazepose33"}


HEADS: dict[str, Rule] = {
    "pyskl": Rename("cls_head.fc_cls.*", "fc.*"),
    "mmaction2": Rename("cls_head.fc.*", "fc.*"),
}


def skeleton_of(joints: int) -> str:
    """Name of the skeleton that a checkpoint with so many joints was made for.

    Raises:
        InvalidSetting: If none is known.
    """
    if joints not in SKELETON_OF:
        raise InvalidSetting(
            f"No skeleton of {joints} joints is known; name it with the argument skeleton=, "
            f"one of {', '.join(SKELETONS)}."
        )
    return SKELETON_OF[joints]


def published_maps(
    infer: Callable[[Mapping[str, Tensor]], Arguments],
    *,
    extra: tuple[Rule, ...] = (),
    arguments: Arguments | None = None,
    blocks: str = "gcn",
    space: str = "gcn",
    time: str = "tcn",
) -> tuple[KeyMap, ...]:
    """The layouts of PySKL and MMAction2, which differ in the name of the classifier.

    Args:
        infer: Reads builder arguments off their state.
        extra: Rules that come first.
        arguments: Builder arguments of the layout.
        blocks: Their name of the list of blocks.
        space: Their name of the graph convolution.
        time: Their name of the convolution over time.
    """
    theirs = f"backbone.{blocks}.{{i}}"
    rules = (
        *extra,
        Rename("backbone.data_bn.*", "door.norm.*"),
        Rename(f"{theirs}.{space}.A", "blocks.{i}.space.graph"),
        Rename(f"{theirs}.{space}.PA", "blocks.{i}.space.edges"),
        Rename(f"{theirs}.{space}.*", "blocks.{i}.space.*"),
        Rename(f"{theirs}.{time}.*", "blocks.{i}.time.*"),
        Rename(f"{theirs}.residual.*", "blocks.{i}.residual.*"),
    )
    return tuple(
        KeyMap(layout, (*rules, head), arguments=arguments or {}, infer=infer)
        for layout, head in HEADS.items()
    )


def read_skeleton(graph: Tensor | None) -> Arguments:
    """Skeleton of a state with this graph."""
    if graph is None:
        return {}
    skeleton = skeleton_of(graph.shape[-1])
    return {"skeleton": skeleton}


def read_people(
    theirs: Mapping[str, Tensor], graph: Tensor | None, norm: str = "backbone.data_bn"
) -> Arguments:
    """How many people a state's first batch norm tells apart; 0 if it treats all alike."""
    weight = theirs.get(f"{norm}.weight")
    if weight is None or graph is None:
        return {}
    people = weight.shape[0] // (graph.shape[-1] * VALUES)
    return {"people": people if people > 1 else 0}


def read_blocks(
    theirs: Mapping[str, Tensor],
    graph: str = "backbone.gcn.0.gcn.A",
    width: str = r"backbone\.gcn\.(\d+)\.gcn\.bn\.weight",
    norm: str = "backbone.data_bn",
) -> Arguments:
    """Skeleton, people and widths of a state with a list of blocks.

    Args:
        theirs: The state.
        graph: Key of the graph.
        width: Pattern, with the block's number, of the keys of vectors as long as their block is wide.
        norm: Their name of the first batch norm.
    """
    edges = theirs.get(graph)
    found = {int(match[1]): v.shape[0] for k, v in theirs.items() if (match := re.fullmatch(width, k))}
    widths: Arguments = {"widths": tuple(found[i] for i in sorted(found))} if found else {}
    return {**read_skeleton(edges), **read_people(theirs, edges, norm), **widths}
