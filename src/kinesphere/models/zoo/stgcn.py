"""ST-GCN and ST-GCN++: convolutions over the graph of the skeleton and over time, in turn.

- `stgcn`: Yan, Xiong, Lin: "Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action
  Recognition", AAAI 2018, https://arxiv.org/abs/1801.07455, sections 3.2 to 3.4.
- `stgcnpp`: Duan, Wang, Chen, Lin: "PYSKL: Towards Good Practices for Skeleton Action Recognition",
  ACM MM 2022, https://arxiv.org/abs/2205.09443, section 3: a free graph, a shortcut around it, and
  branches over time.

N persons of all samples, T time, J joints, C channels, k parts of the graph, K classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from kinesphere.clips.skeleton import SKELETONS, Skeleton
from kinesphere.core.errors import InvalidSetting
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import MOTION_NOTE, POSE_INPUTS, TINY_POSE_INPUTS, fit_pose
from kinesphere.models.family import Family
from kinesphere.models.layers.skeleton_graph import directed_partition
from kinesphere.models.layers.skeleton_net import (
    WIDTHS,
    SkeletonInput,
    SkeletonNet,
    Stream,
    TimeConv,
    block_names,
    narrow,
    shortcut,
)
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import Arguments, KeyMap, Rename, squeeze
from kinesphere.models.weights.maps.skeleton import published_maps, read_blocks

Learn = Literal["importance", "offset", "graph", "nothing"]
Time = Literal["single", "branches"]


def spatial_partition(skeleton: Skeleton) -> Tensor:
    """Spatial configuration partitioning `(3, J, J)`: itself, from farther out, from farther in.

    Yan, Xiong, Lin: "Spatial Temporal Graph Convolutional Networks", AAAI 2018, section 3.3. Neighbours are
    weighted by one over their number; how far out a joint lies counts in bones to the root. (The authors'
    code looks one bone far only: joints farther out than that all lie equally far for it. Its sum over
    the parts is the same, and checkpoints bring their own matrices.)
    """
    J = len(skeleton)
    near = np.eye(J)
    for joint, parent in skeleton.bones:
        near[joint, parent] = near[parent, joint] = 1
    weight = near / near.sum(0)
    depth = np.array([_depth(skeleton, joint) for joint in range(J)])
    source, target = depth[:, None], depth[None, :]
    itself = np.eye(J, dtype=bool)
    parts = [itself * weight, (source > target) * weight, (source < target) * weight]
    return torch.tensor(np.stack(parts), dtype=torch.float32)


def _depth(skeleton: Skeleton, joint: int) -> int:
    steps = 0
    while (joint := skeleton.parents[joint]) >= 0:
        steps += 1
    return steps


class TimeBranches(nn.Module):
    """Dilated convolutions, a maximum and a shortcut beside each other, then mixed (ST-GCN++, section 3.2).

    Duan, Wang, Chen, Lin: "PYSKL: Towards Good Practices for Skeleton Action Recognition", 2022.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        stride: In time.
        dropout: After it all.
        joints: Number of joints J if what happens to their mean is to be added to each, as much as it
            learns (DG-STGCN); 0 if not.
    """

    def __init__(
        self, inputs: int, outputs: int, *, stride: int = 1, dropout: float = 0.0, joints: int = 0
    ) -> None:
        super().__init__()
        width = outputs // 6
        widths = (outputs - 5 * width, *[width] * 5)
        branches: list[nn.Module] = [
            nn.Sequential(
                *narrow(inputs, widths[i]),
                TimeConv(widths[i], widths[i], 3, stride=stride, dilation=i + 1, normed=False),
            )
            for i in range(4)
        ]
        branches.append(nn.Sequential(*narrow(inputs, width), nn.MaxPool2d((3, 1), (stride, 1), (1, 0))))
        branches.append(nn.Conv2d(inputs, width, 1, (stride, 1)))
        self.branches = nn.ModuleList(branches)
        self.add_coeff = nn.Parameter(torch.zeros(joints)) if joints else None
        self.transform = nn.Sequential(
            nn.BatchNorm2d(outputs), nn.ReLU(inplace=True), nn.Conv2d(outputs, outputs, 1)
        )
        self.bn = nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_NCTJ: Tensor) -> Tensor:
        if self.add_coeff is not None:
            x_NCTJ = torch.cat([x_NCTJ, x_NCTJ.mean(-1, keepdim=True)], -1)
        x = torch.cat([branch(x_NCTJ) for branch in self.branches], 1)
        if self.add_coeff is not None:
            x = x[..., :-1] + x[..., -1:] * self.add_coeff
        out: Tensor = self.dropout(self.bn(self.transform(x)))
        return out


class GraphConv(nn.Module):
    """Mixes channels for each part of the graph, then sums joints along it.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        graph: `(k, J, J)`, the block's own, or a pattern of the one that `forward` is given.
        own_graph: Which of the two.
        learn: What of the graph: a factor or a summand of every edge, the graph itself, or nothing.
        residual: Whether the input is added.
    """

    graph: Tensor | None

    def __init__(
        self, inputs: int, outputs: int, graph: Tensor, *, own_graph: bool, learn: Learn, residual: bool
    ) -> None:
        super().__init__()
        self.learn = learn
        if learn == "graph":
            self.graph = nn.Parameter(graph.clone())
        else:
            self.register_buffer("graph", graph.clone() if own_graph else None)
        self.edges: nn.Parameter | None = None
        if learn == "importance":
            self.edges = nn.Parameter(torch.ones_like(graph))
        elif learn == "offset":
            self.edges = nn.Parameter(torch.full_like(graph, 1e-6))
        self.parts = len(graph)
        self.conv = nn.Conv2d(inputs, outputs * self.parts, 1)
        self.bn = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.down: nn.Module | None = shortcut(inputs, outputs) if residual else None

    def forward(self, x_NCTJ: Tensor, graph_kJJ: Tensor | None) -> Tensor:
        graph = graph_kJJ if self.graph is None else self.graph
        assert graph is not None  # one of the two is there by construction
        if self.edges is not None:
            graph = graph * self.edges if self.learn == "importance" else graph + self.edges
        parts = self.conv(x_NCTJ).unflatten(1, (self.parts, -1))
        x = self.bn(torch.einsum("nkctv,kvw->nctw", parts, graph))
        out: Tensor = self.relu(x if self.down is None else x + self.down(x_NCTJ))
        return out


def graph_net(
    num_classes: int,
    *,
    skeleton: str = "coco17",
    dimensions: int | None = None,
    stream: Stream = "joint",
    widths: tuple[int, ...] = WIDTHS,
    learn: Learn = "importance",
    time: Time = "single",
    residual_graph: bool = False,
    own_graph: bool = True,
    people: int = 0,
    time_dropout: float = 0.0,
    dropout: float = 0.0,
) -> SkeletonNet:
    """ST-GCN, or with other arguments ST-GCN++.

    Args:
        num_classes: Number of outputs K.
        skeleton: Name of the skeleton.
        dimensions: 2 in the image plane, 3 in space, None as the skeleton is usually recorded.
        stream: What the network looks at.
        widths: Channels of the blocks; time halves where they grow.
        learn: What of the graph is learnt: a factor of every edge (`importance`), a summand (`offset`),
            the `graph` itself, or `nothing`.
        time: A `single` convolution over nine frames, or `branches`.
        residual_graph: Whether the input is added after the graph convolution.
        own_graph: Whether every block stores its graph (as PySKL) or the network one (as ST-GCN).
        people: Number of people that the first batch norm tells apart; 0 treats all alike.
        time_dropout: After the convolutions over time, except the first.
        dropout: Before the classifier.
    """
    if learn not in get_args(Learn) or time not in get_args(Time):
        raise InvalidSetting(
            f"ST-GCN learns {', '.join(get_args(Learn))} with time {' or '.join(get_args(Time))}; "
            f"got learn={learn!r}, time={time!r}."
        )
    tree = SKELETONS.get(skeleton)
    graph = directed_partition(tree) if learn == "graph" else spatial_partition(tree)
    space = partial(GraphConv, graph=graph, own_graph=own_graph, learn=learn, residual=residual_graph)

    def over_time(channels: int, stride: int) -> nn.Module:
        if time == "branches":
            return TimeBranches(channels, channels, stride=stride, dropout=time_dropout)
        return TimeConv(channels, channels, stride=stride, dropout=time_dropout)

    return SkeletonNet(
        num_classes,
        SkeletonInput(skeleton, stream, dimensions=dimensions, people=people),
        widths,
        space,
        over_time,
        graph=None if own_graph or learn == "graph" else graph,
        dropout=dropout,
    )


def read_state(theirs: Mapping[str, Tensor]) -> Arguments:
    """Arguments that a state of PySKL or MMAction2 1.x tells."""
    branches = "backbone.gcn.0.tcn.transform.0.weight" in theirs
    return {
        **read_blocks(theirs),
        "time": "branches" if branches else "single",
        "residual_graph": "backbone.gcn.0.gcn.down.0.weight" in theirs,
        "learn": "importance" if "backbone.gcn.0.gcn.PA" in theirs else "graph" if branches else "nothing",
    }


def read_first_state(theirs: Mapping[str, Tensor], prefix: str) -> Arguments:
    """Arguments that a state of the authors' code or MMAction2 0.x tells."""
    width = re.escape(prefix) + r"st_gcn_networks\.(\d+)\.tcn\.0\.weight"
    learn = "importance" if f"{prefix}edge_importance.0" in theirs else "nothing"
    return read_blocks(theirs, f"{prefix}A", width, f"{prefix}data_bn") | {"learn": learn}


def first_map(layout: str, prefix: str, head: str) -> KeyMap:
    """The layout of the authors' code, also MMAction2's before 1.0 behind `backbone.`."""
    block = f"{prefix}st_gcn_networks.{{i}}"
    return KeyMap(
        layout,
        (
            Rename(f"{prefix}A", "graph"),
            Rename(f"{prefix}data_bn.*", "door.norm.*"),
            Rename(f"{prefix}edge_importance.{{i}}", "blocks.{i}.space.edges"),
            Rename(f"{block}.gcn.conv.*", "blocks.{i}.space.conv.*"),
            Rename(f"{block}.tcn.0.*", "blocks.{i}.space.bn.*"),
            Rename(f"{block}.tcn.2.*", "blocks.{i}.time.conv.*"),
            Rename(f"{block}.tcn.3.*", "blocks.{i}.time.bn.*"),
            Rename(f"{block}.residual.0.*", "blocks.{i}.residual.conv.*"),
            Rename(f"{block}.residual.1.*", "blocks.{i}.residual.bn.*"),
            Rename(f"{head}.weight", "fc.weight", squeeze(2, 3)),
            Rename(f"{head}.bias", "fc.bias"),
        ),
        arguments={"own_graph": False},
        infer=partial(read_first_state, prefix=prefix),
    )


MAPS = published_maps(read_state)
FIRST_MAPS = (first_map("stgcn", "", "fcn"), first_map("mmaction2_0x", "backbone.", "cls_head.fc"))
STGCN = Family(
    name="stgcn",
    paper=cite("1801.07455", "3.2–3.4"),
    network=graph_net,
    inputs=POSE_INPUTS,
    tiny_inputs=TINY_POSE_INPUTS,
    stages=block_names(10),
    cam_layers=(CamLayer("blocks.-1", "BM C T J"),),
    classes=60,
    key_maps=MAPS,
    fit=fit_pose,
    notes=MOTION_NOTE,
)
TOLD_APART = (
    MOTION_NOTE + "The first batch norm tells two people apart by their place; `people` changes that. "
)
PAPER_PP = cite("2205.09443", "3")


@STGCN.model(
    "The first graph network on skeletons: convolutions over joints and time, in turn.",
    key_maps=(*MAPS, *FIRST_MAPS),
    notes=MOTION_NOTE
    + "Files of the authors and of MMAction2 before 1.0 import too; the latter subtracted a half from scores "
    "in pictures. How far out a joint lies is counted in bones, as the paper has it; the authors' "
    "code looks one bone far. ",
)
def stgcn(num_classes: int) -> SkeletonNet:
    return STGCN.build(num_classes)


@STGCN.model(
    "ST-GCN++: a free graph and branches over time; half the size of ST-GCN and better.", paper=PAPER_PP
)
def stgcnpp(num_classes: int) -> SkeletonNet:
    return STGCN.build(num_classes, learn="graph", time="branches", residual_graph=True)


@STGCN.model("stgcn for tests.", key_maps=(*MAPS, *FIRST_MAPS), stages=block_names(3), tiny=True)
def stgcn_tiny(num_classes: int) -> SkeletonNet:
    return STGCN.build(num_classes, widths=(8, 8, 16))


@STGCN.model("stgcnpp for tests.", paper=PAPER_PP, stages=block_names(3), tiny=True)
def stgcnpp_tiny(num_classes: int) -> SkeletonNet:
    return STGCN.build(num_classes, learn="graph", time="branches", residual_graph=True, widths=(12, 12, 24))
