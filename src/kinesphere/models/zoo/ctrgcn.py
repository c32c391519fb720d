"""CTR-GCN: a graph for every channel, refined from one that all channels share.

Chen, Zhang, Yuan, Li, Deng, Hu: "Channel-wise Topology Refinement Graph Convolution for Skeleton-Based
Action Recognition", ICCV 2021, https://arxiv.org/abs/2107.12213, sections 3.2 and 3.4.

N persons of all samples, T time, J joints, C channels, k parts of the graph, K classes.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from kinesphere.clips.skeleton import SKELETONS
from kinesphere.models.layers.skeleton_graph import directed_partition
from kinesphere.models.layers.skeleton_net import (
    WIDTHS,
    SkeletonInput,
    SkeletonNet,
    Stream,
    block_names,
    shortcut,
)
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import Ignore
from kinesphere.models.weights.maps.skeleton import published_maps, read_blocks
from kinesphere.models.zoo.msg3d import NormedBranches
from kinesphere.models.zoo.stgcn import STGCN, TOLD_APART

DILATIONS = (1, 2)


class RefinedPart(nn.Module):
    """One part of the graph: its edges plus, per channel, how differently two joints behave (figure 3)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        width = 8 if inputs <= 16 else inputs // 8
        self.conv1 = nn.Conv2d(inputs, width, 1)
        self.conv2 = nn.Conv2d(inputs, width, 1)
        self.conv3 = nn.Conv2d(inputs, outputs, 1)
        self.conv4 = nn.Conv2d(width, outputs, 1)

    def forward(self, x_NCTJ: Tensor, mean_NC1J: Tensor, edges_JJ: Tensor, alpha: Tensor) -> Tensor:
        one, other = self.conv1(mean_NC1J)[:, :, 0], self.conv2(mean_NC1J)[:, :, 0]
        refined_NCJJ = self.conv4((one[..., :, None] - other[..., None, :]).tanh()) * alpha + edges_JJ
        return torch.einsum("ncvw,nctv->nctw", refined_NCJJ, self.conv3(x_NCTJ))


class RefinedGraphConv(nn.Module):
    """The sum over the parts of the graph, batch norm, and the input added."""

    def __init__(self, inputs: int, outputs: int, graph: Tensor) -> None:
        super().__init__()
        self.graph = nn.Parameter(graph.clone())
        self.alpha = nn.Parameter(torch.zeros(1))
        self.convs = nn.ModuleList(RefinedPart(inputs, outputs) for _ in graph)
        self.bn = nn.BatchNorm2d(outputs)
        self.down = shortcut(inputs, outputs)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x_NCTJ: Tensor, _graph: Tensor | None) -> Tensor:
        mean = x_NCTJ.mean(2, keepdim=True)  # of the two 1×1 convolutions: they commute with it
        parts = [conv(x_NCTJ, mean, self.graph[i], self.alpha) for i, conv in enumerate(self.convs)]
        x = torch.stack(parts).sum(0)
        out: Tensor = self.relu(self.bn(x) + self.down(x_NCTJ))
        return out


def graph_net(
    num_classes: int,
    *,
    skeleton: str = "coco17",
    dimensions: int | None = None,
    stream: Stream = "joint",
    widths: tuple[int, ...] = WIDTHS,
    people: int = 2,
    dropout: float = 0.0,
) -> SkeletonNet:
    """CTR-GCN; arguments are those of ST-GCN (`stgcn.graph_net`), `widths` multiples of four."""
    graph = directed_partition(SKELETONS.get(skeleton))
    return SkeletonNet(
        num_classes,
        SkeletonInput(skeleton, stream, dimensions=dimensions, people=people),
        widths,
        partial(RefinedGraphConv, graph=graph),
        lambda channels, stride: NormedBranches(channels, channels, 5, DILATIONS, stride=stride),
        dropout=dropout,
    )


MAPS = published_maps(
    partial(read_blocks, graph="backbone.net.0.gcn1.A", width=r"backbone\.net\.(\d+)\.gcn1\.bn\.weight"),
    extra=(Ignore("backbone.A", "the graph that the blocks' own began as"),),
    blocks="net",
    space="gcn1",
    time="tcn1",
)
CTRGCN = STGCN.of(
    graph_net,
    name="ctrgcn",
    paper=cite("2107.12213", "3.2, 3.4"),
    key_maps=MAPS,
    notes=TOLD_APART,
)


@CTRGCN.model("A graph of its own for every channel, refined from a shared one.")
def ctrgcn(num_classes: int) -> SkeletonNet:
    return CTRGCN.build(num_classes)


@CTRGCN.model("ctrgcn for tests.", stages=block_names(3), tiny=True)
def ctrgcn_tiny(num_classes: int) -> SkeletonNet:
    return CTRGCN.build(num_classes, widths=(8, 8, 16))
