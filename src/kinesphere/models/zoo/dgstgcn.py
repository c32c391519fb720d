"""DG-STGCN: nothing of the skeleton's graph is given; groups of joints and times find their own.

Duan, Wang, Chen, Lin: "DG-STGCN: Dynamic Spatial-Temporal Modeling for Skeleton-based Action
Recognition", 2022, https://arxiv.org/abs/2210.05895, sections 3.2 and 3.3.

N persons of all samples, T time, J joints, C channels, k graphs, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from kinesphere.clips.skeleton import SKELETONS
from kinesphere.models.layers.skeleton_net import (
    WIDTHS,
    SkeletonInput,
    SkeletonNet,
    Stream,
    block_names,
    narrow,
    shortcut,
)
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import Arguments
from kinesphere.models.weights.maps.skeleton import published_maps, read_blocks
from kinesphere.models.zoo.stgcn import STGCN, TimeBranches


class DynamicGraphConv(nn.Module):
    """Groups of channels, each with a graph that is learnt, plus two made from the skeleton at hand.

    Of those, one holds for all channels of a group (the likeness of joints, as a softmax), one for each
    channel alone (their difference, as a tanh).

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        joints: J.
        groups: Number of graphs k; each has an eighth of the output's channels.
    """

    def __init__(self, inputs: int, outputs: int, joints: int, groups: int) -> None:
        super().__init__()
        width = outputs // 8 * groups
        self.groups = groups
        self.graph = nn.Parameter(torch.randn(groups, joints, joints) * 0.02 + 0.04)
        # Public files hold a factor per group; the published network has one for all, the first.
        self.alpha = nn.Parameter(torch.zeros(groups))
        self.beta = nn.Parameter(torch.zeros(groups))
        self.pre = nn.Sequential(*narrow(inputs, width))
        self.post = nn.Conv2d(width, outputs, 1)
        self.conv1 = nn.Conv2d(inputs, width, 1)
        self.conv2 = nn.Conv2d(inputs, width, 1)
        self.down = shortcut(inputs, outputs)
        self.bn = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x_NCTJ: Tensor, _graph: Tensor | None) -> Tensor:
        mean = x_NCTJ.mean(2, keepdim=True)
        one_NkCJ = self.conv1(mean)[:, :, 0].unflatten(1, (self.groups, -1))
        other_NkCJ = self.conv2(mean)[:, :, 0].unflatten(1, (self.groups, -1))
        alone = (one_NkCJ[..., :, None] - other_NkCJ[..., None, :]).tanh() * self.alpha[0]
        shared = torch.einsum("nkcv,nkcw->nkvw", one_NkCJ, other_NkCJ).softmax(-2) * self.beta[0]
        graph_NkCJJ = self.graph[:, None] + alone + shared[:, :, None]
        groups = self.pre(x_NCTJ).unflatten(1, (self.groups, -1))
        x = torch.einsum("nkctv,nkcvw->nkctw", groups, graph_NkCJJ).flatten(1, 2)
        out: Tensor = self.relu(self.bn(self.post(x)) + self.down(x_NCTJ))
        return out


def graph_net(
    num_classes: int,
    *,
    skeleton: str = "coco17",
    dimensions: int | None = None,
    stream: Stream = "joint",
    widths: tuple[int, ...] = WIDTHS,
    groups: int = 8,
    people: int = 0,
    dropout: float = 0.0,
) -> SkeletonNet:
    """DG-STGCN; further arguments are those of ST-GCN (`stgcn.graph_net`).

    Args:
        num_classes: Number of outputs K.
        skeleton: Name of the skeleton; only its number of joints counts, and its bones for the streams.
        widths: Channels of the blocks, multiples of eight; time halves where they grow.
        groups: Number of graphs.
    """
    joints = len(SKELETONS.get(skeleton))
    return SkeletonNet(
        num_classes,
        SkeletonInput(skeleton, stream, dimensions=dimensions, people=people),
        widths,
        partial(DynamicGraphConv, joints=joints, groups=groups),
        lambda channels, stride: TimeBranches(channels, channels, stride=stride, joints=joints),
        dropout=dropout,
    )


def read_state(theirs: Mapping[str, Tensor]) -> Arguments:
    """Arguments that a state of PySKL tells."""
    graph = theirs.get("backbone.gcn.0.gcn.A")
    return read_blocks(theirs) | ({} if graph is None else {"groups": graph.shape[0]})


DGSTGCN = STGCN.of(
    graph_net,
    name="dgstgcn",
    paper=cite("2210.05895", "3.2, 3.3"),
    key_maps=published_maps(read_state),
)


@DGSTGCN.model("No given graph: groups of channels learn theirs, and others from the skeleton at hand.")
def dgstgcn(num_classes: int) -> SkeletonNet:
    return DGSTGCN.build(num_classes)


@DGSTGCN.model("dgstgcn for tests.", stages=block_names(3), tiny=True)
def dgstgcn_tiny(num_classes: int) -> SkeletonNet:
    return DGSTGCN.build(num_classes, widths=(8, 8, 16))
