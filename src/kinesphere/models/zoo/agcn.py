"""2s-AGCN and AAGCN: graph convolutions whose edges also depend on the skeleton at hand.

- `agcn`: Shi, Zhang, Cheng, Lu: "Two-Stream Adaptive Graph Convolutional Networks for Skeleton-Based
  Action Recognition", CVPR 2019, https://arxiv.org/abs/1805.07694, sections 4.1 to 4.3.
- `aagcn`: Shi, Zhang, Cheng, Lu: "Skeleton-Based Action Recognition with Multi-Stream Adaptive Graph
  Convolutional Networks", TIP 2020, https://arxiv.org/abs/1912.06971, sections III.B and III.C: attention
  to joints, frames and channels besides.

N persons of all samples, T time, J joints, C channels, k parts of the graph, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    TimeConv,
    block_names,
    shortcut,
)
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import Arguments, Ignore, KeyMap, Rename, squeeze
from kinesphere.models.weights.maps.skeleton import published_maps, read_blocks
from kinesphere.models.zoo.stgcn import STGCN, TOLD_APART


class Attention(nn.Module):
    """Scales joints, then frames, then channels by what all say (AAGCN, section III.C).

    Args:
        channels: C.
        joints: J.
    """

    def __init__(self, channels: int, joints: int) -> None:
        super().__init__()
        reach = joints - (joints + 1) % 2  # all joints, or all but one: a centred window is odd
        self.conv_sa = nn.Conv1d(channels, 1, reach, padding=reach // 2)
        self.conv_ta = nn.Conv1d(channels, 1, 9, padding=4)
        self.fc1c = nn.Linear(channels, channels // 2)
        self.fc2c = nn.Linear(channels // 2, channels)

    def forward(self, x_NCTJ: Tensor) -> Tensor:
        x = x_NCTJ * (1 + self.conv_sa(x_NCTJ.mean(2)).sigmoid())[:, :, None]
        x = x * (1 + self.conv_ta(x.mean(3)).sigmoid())[..., None]
        scale_NC = self.fc2c(self.fc1c(x.mean((2, 3))).relu()).sigmoid()
        out: Tensor = x * (1 + scale_NC)[:, :, None, None]
        return out


class AdaptiveGraphConv(nn.Module):
    """Sums joints along a graph that is given or learnt, plus one made from their likeness.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        graph: `(k, J, J)`.
        shared: Whether the given graph comes with `forward` and only a summand is learnt (2s-AGCN as
            first published); likeness then is a softmax over joints, else a tanh that is faded in.
        attention: Whether joints, frames and channels are scaled.
    """

    def __init__(self, inputs: int, outputs: int, graph: Tensor, *, shared: bool, attention: bool) -> None:
        super().__init__()
        self.graph: nn.Parameter | None = None if shared else nn.Parameter(graph.clone())
        self.edges: nn.Parameter | None = nn.Parameter(torch.full_like(graph, 1e-6)) if shared else None
        self.alpha: nn.Parameter | None = None if shared else nn.Parameter(torch.zeros(1))
        parts, width = len(graph), outputs // 4
        self.conv_a = nn.ModuleList(nn.Conv2d(inputs, width, 1) for _ in range(parts))
        self.conv_b = nn.ModuleList(nn.Conv2d(inputs, width, 1) for _ in range(parts))
        self.conv_d = nn.ModuleList(nn.Conv2d(inputs, outputs, 1) for _ in range(parts))
        self.bn = nn.BatchNorm2d(outputs)
        self.down = shortcut(inputs, outputs)
        self.relu = nn.ReLU(inplace=True)
        self.attend: nn.Module = Attention(outputs, graph.shape[-1]) if attention else nn.Identity()

    def forward(self, x_NCTJ: Tensor, graph_kJJ: Tensor | None) -> Tensor:
        if self.graph is None:
            assert graph_kJJ is not None  # a shared graph comes with edges of one's own
            assert self.edges is not None
            fixed = graph_kJJ + self.edges
        else:
            fixed = self.graph
        out: Tensor | None = None
        for part, (a, b, mix) in enumerate(zip(self.conv_a, self.conv_b, self.conv_d, strict=True)):
            one, other = a(x_NCTJ), b(x_NCTJ)
            likeness = torch.einsum("nctv,nctw->nvw", one, other) / (one.shape[1] * one.shape[2])
            if self.alpha is None:
                graph = likeness.softmax(1) + fixed[part]
            else:
                graph = fixed[part] + likeness.tanh() * self.alpha
            mixed = mix(torch.einsum("nctv,nvw->nctw", x_NCTJ, graph))
            out = mixed if out is None else out + mixed
        attended: Tensor = self.attend(self.relu(self.bn(out) + self.down(x_NCTJ)))
        return attended


def graph_net(
    num_classes: int,
    *,
    skeleton: str = "coco17",
    dimensions: int | None = None,
    stream: Stream = "joint",
    widths: tuple[int, ...] = WIDTHS,
    attention: bool = False,
    shared_graph: bool = False,
    people: int = 2,
    dropout: float = 0.0,
) -> SkeletonNet:
    """2s-AGCN, or with attention AAGCN; further arguments are those of ST-GCN (`stgcn.graph_net`).

    Args:
        num_classes: Number of outputs K.
        stream: What the network looks at; the two streams of the name are joints and bones.
        attention: Whether joints, frames and channels are scaled.
        shared_graph: Whether the graph is fixed and one for all blocks, with a learnt summand in each (the
            first published code), instead of learnt in each (the second).
    """
    graph = directed_partition(SKELETONS.get(skeleton))
    return SkeletonNet(
        num_classes,
        SkeletonInput(skeleton, stream, dimensions=dimensions, people=people),
        widths,
        partial(AdaptiveGraphConv, graph=graph, shared=shared_graph, attention=attention),
        lambda channels, stride: TimeConv(channels, channels, stride=stride),
        graph=graph if shared_graph else None,
        dropout=dropout,
    )


def read_state(theirs: Mapping[str, Tensor]) -> Arguments:
    """Arguments that a state of PySKL or MMAction2 1.x tells."""
    return read_blocks(theirs) | {"attention": "backbone.gcn.0.gcn.conv_sa.weight" in theirs}


BLOCK_0X = "backbone.agcn_networks.{i}"
MAPS = published_maps(
    read_state,
    extra=(
        Ignore("backbone.A", "the graph that the blocks' own began as"),
        *(
            Rename(f"backbone.gcn.{{i}}.gcn.{layer}.*", f"blocks.{{i}}.space.attend.{layer}.*")
            for layer in ("conv_sa", "conv_ta", "fc1c", "fc2c")
        ),
    ),
)
MMACTION2_0X = KeyMap(
    "mmaction2_0x",
    (
        Rename("backbone.A", "graph"),
        Rename("backbone.data_bn.*", "door.norm.*"),
        Rename(f"{BLOCK_0X}.gcn.PA", "blocks.{i}.space.edges"),
        Rename(f"{BLOCK_0X}.gcn.*", "blocks.{i}.space.*"),
        Rename(f"{BLOCK_0X}.tcn.0.*", "blocks.{i}.time.conv.*"),
        Rename(f"{BLOCK_0X}.tcn.1.*", "blocks.{i}.time.bn.*"),
        Rename(f"{BLOCK_0X}.residual.0.*", "blocks.{i}.residual.conv.*"),
        Rename(f"{BLOCK_0X}.residual.1.*", "blocks.{i}.residual.bn.*"),
        Rename("cls_head.fc.weight", "fc.weight", squeeze(2, 3)),
        Rename("cls_head.fc.bias", "fc.bias"),
    ),
    arguments={"shared_graph": True, "people": 0},
    infer=partial(read_blocks, graph="backbone.A", width=r"backbone\.agcn_networks\.(\d+)\.gcn\.bn\.weight"),
)

ATTENTION_PAPER = cite("1912.06971", "III.B, III.C")
AGCN = STGCN.of(
    graph_net,
    name="agcn",
    paper=cite("1805.07694", "4.1–4.3"),
    key_maps=MAPS,
    notes=TOLD_APART,
)


@AGCN.model(
    "2s-AGCN: edges that are learnt, and edges made from the likeness of joints.",
    key_maps=(*MAPS, MMACTION2_0X),
)
def agcn(num_classes: int) -> SkeletonNet:
    return AGCN.build(num_classes)


@AGCN.model("2s-AGCN with attention to joints, frames and channels.", paper=ATTENTION_PAPER)
def aagcn(num_classes: int) -> SkeletonNet:
    return AGCN.build(num_classes, attention=True)


@AGCN.model("agcn for tests.", key_maps=(*MAPS, MMACTION2_0X), stages=block_names(3), tiny=True)
def agcn_tiny(num_classes: int) -> SkeletonNet:
    return AGCN.build(num_classes, widths=(8, 8, 16))


@AGCN.model("aagcn for tests.", paper=ATTENTION_PAPER, stages=block_names(3), tiny=True)
def aagcn_tiny(num_classes: int) -> SkeletonNet:
    return AGCN.build(num_classes, widths=(8, 8, 16), attention=True)
