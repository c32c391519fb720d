"""MS-G3D: graphs that reach far, and graphs that join neighbouring frames.

Liu, Zhang, Chen, Wang, Ouyang: "Disentangling and Unifying Graph Convolutions for Skeleton-Based Action
Recognition", CVPR 2020, https://arxiv.org/abs/2003.14111, sections 3.2 to 3.5.

N persons of all samples, T time, J joints, C channels, k scales of the graph, w frames of a window,
K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from kinesphere.clips.skeleton import SKELETONS, Skeleton
from kinesphere.core.errors import InvalidSetting
from kinesphere.models.card import CamLayer
from kinesphere.models.layers.skeleton_net import VALUES, SkeletonInput, Stream, TimeConv, narrow
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import Arguments, Ignore, KeyMap, Rename
from kinesphere.models.weights.maps.skeleton import HEADS, read_people, read_skeleton
from kinesphere.models.zoo.stgcn import STGCN, TOLD_APART

SCALES = 13  # bones that the spatial graphs reach
WINDOW_SCALES = 6
WINDOWS = (3, 5)  # frames


class NormedBranches(nn.Module):
    """Dilated convolutions, a maximum and a shortcut beside each other, each with batch norm.

    Liu, Zhang, Chen, Wang, Ouyang: "Disentangling and Unifying Graph Convolutions for Skeleton-Based Action
    Recognition", CVPR 2020, section 3.3 (MS-G3D); CTR-GCN has fewer and longer ones.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        length: Frames under the convolutions.
        dilations: One per convolution.
        stride: In time.
        residual: Whether the input is added before the last ReLU.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        length: int,
        dilations: tuple[int, ...],
        *,
        stride: int = 1,
        residual: bool = False,
    ) -> None:
        super().__init__()
        count = len(dilations) + 2
        width = outputs // count
        if width * count != outputs:
            raise InvalidSetting(f"{outputs} channels do not divide into {count} branches.")
        branches: list[nn.Module] = [
            nn.Sequential(
                *narrow(inputs, width), TimeConv(width, width, length, stride=stride, dilation=dilation)
            )
            for dilation in dilations
        ]
        branches.append(
            nn.Sequential(
                *narrow(inputs, width), nn.MaxPool2d((3, 1), (stride, 1), (1, 0)), nn.BatchNorm2d(width)
            )
        )
        branches.append(nn.Sequential(nn.Conv2d(inputs, width, 1, (stride, 1)), nn.BatchNorm2d(width)))
        self.branches = nn.ModuleList(branches)
        self.residual: nn.Module | None = None
        if residual:
            same = inputs == outputs and stride == 1
            self.residual = nn.Identity() if same else TimeConv(inputs, outputs, 1, stride=stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x_NCTJ: Tensor) -> Tensor:
        x = torch.cat([branch(x_NCTJ) for branch in self.branches], 1)
        out: Tensor = self.relu(x if self.residual is None else x + self.residual(x_NCTJ))
        return out


def scaled_graphs(skeleton: Skeleton, scales: int, frames: int = 1) -> Tensor:
    """Graph k joins each joint with those exactly k bones away, `(k, w J, w J)` (equations 3 and 6).

    Over a window of frames, a joint is its own neighbour, and its neighbours' neighbour, in all of them.
    Every graph has self-loops, and columns that add up to one, as PySKL has it.
    """
    J = len(skeleton)
    near = torch.zeros(J, J)
    for joint, parent in skeleton.bones:
        near[joint, parent] = near[parent, joint] = 1
    near = (near + torch.eye(J)).repeat(frames, frames) if frames > 1 else near
    itself = torch.eye(J * frames)
    reached = [itself]
    for _ in range(1, scales):
        reached.append(((near + itself) @ reached[-1]).clamp(max=1))
    graphs = [itself, *(later - earlier + itself for earlier, later in pairwise(reached))]
    graph = torch.stack(graphs)
    normalised: Tensor = graph / graph.sum(1, keepdim=True)
    return normalised


class Mix(nn.Module):
    """1×1 convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class ScaledGraphConv(nn.Module):
    """Sums joints along each scale's graph, corrected by what is learnt, and mixes scales and channels."""

    graph: Tensor

    def __init__(self, inputs: int, outputs: int, graph: Tensor) -> None:
        super().__init__()
        self.register_buffer("graph", graph)
        self.edges = nn.Parameter(torch.empty_like(graph).uniform_(-1e-6, 1e-6))
        self.mlp = Mix(inputs * len(graph), outputs)

    def forward(self, x_NCTJ: Tensor) -> Tensor:
        summed = torch.einsum("kvw,nctv->nkctw", self.graph + self.edges, x_NCTJ)
        out: Tensor = self.mlp(summed.flatten(1, 2))
        return out


class Unfold(nn.Module):
    """Windows of frames beside each other: `(N, C, T', w J)`."""

    def __init__(self, frames: int, stride: int) -> None:
        super().__init__()
        self.frames = frames
        self.stride = stride

    def forward(self, x_NCTJ: Tensor) -> Tensor:
        reach = self.frames // 2
        padded = nn.functional.pad(x_NCTJ, (0, 0, reach, reach))
        windows_NCTJw = padded.unfold(2, self.frames, self.stride)
        return windows_NCTJw.transpose(3, 4).flatten(3)


class WindowGraphConv(nn.Module):
    """Graph convolution over a window of frames, which then becomes one frame (section 3.4)."""

    def __init__(
        self, inputs: int, outputs: int, skeleton: Skeleton, *, scales: int, frames: int, stride: int
    ) -> None:
        super().__init__()
        inside = outputs if inputs == VALUES else inputs
        self.frames = frames
        graph = scaled_graphs(skeleton, scales, frames)
        self.gcn3d = nn.Sequential(Unfold(frames, stride), ScaledGraphConv(inputs, inside, graph))
        self.out_conv = nn.Conv3d(inside, outputs, (1, frames, 1))
        self.out_bn = nn.BatchNorm2d(outputs)

    def forward(self, x_NCTJ: Tensor) -> Tensor:
        windows_NCTwJ = self.gcn3d(x_NCTJ).unflatten(3, (self.frames, -1))
        out: Tensor = self.out_bn(self.out_conv(windows_NCTwJ)[:, :, :, 0])
        return out


class Windows(nn.Module):
    """The sum of window convolutions of several lengths."""

    def __init__(self, inputs: int, outputs: int, skeleton: Skeleton, *, scales: int, stride: int) -> None:
        super().__init__()
        self.gcn3d = nn.ModuleList(
            WindowGraphConv(inputs, outputs, skeleton, scales=scales, frames=frames, stride=stride)
            for frames in WINDOWS
        )

    def forward(self, x_NCTJ: Tensor) -> Tensor:
        return torch.stack([branch(x_NCTJ) for branch in self.gcn3d]).sum(0)


class MSG3D(nn.Module):
    """Input norm, three stages of two pathways each, mean over time, joints and people, classifier.

    Args:
        num_classes: Number of outputs K.
        skeleton: Name of the skeleton.
        dimensions: 2 in the image plane, 3 in space, None as the skeleton is usually recorded.
        stream: What the network looks at.
        width: Channels of the first stage, a multiple of six; each later stage doubles them.
        scales: Bones that the spatial graphs reach.
        window_scales: Bones that the graphs over windows reach.
        people: Number of people that the first batch norm tells apart; 0 treats all alike.
        dropout: Before the classifier.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        skeleton: str = "coco17",
        dimensions: int | None = None,
        stream: Stream = "joint",
        width: int = 96,
        scales: int = SCALES,
        window_scales: int = WINDOW_SCALES,
        people: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        tree = SKELETONS.get(skeleton)
        self.door = SkeletonInput(skeleton, stream, dimensions=dimensions, people=people)
        self.relu = nn.ReLU(inplace=True)
        time = partial(NormedBranches, length=3, dilations=(1, 2, 3, 4), residual=True)
        inputs = VALUES
        for i in range(3):
            outputs, stride = width * 2**i, 1 if i == 0 else 2
            inside = width if i == 0 else inputs
            last = time(outputs, outputs)
            last.add_module("relu", nn.Identity())
            near = ScaledGraphConv(inputs, inside, scaled_graphs(tree, scales))
            self.add_module(f"sgcn{i + 1}", nn.Sequential(near, time(inside, outputs, stride=stride), last))
            self.add_module(
                f"gcn3d{i + 1}", Windows(inputs, outputs, tree, scales=window_scales, stride=stride)
            )
            self.add_module(f"tcn{i + 1}", time(outputs, outputs))
            inputs = outputs
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, num_classes)

    def forward(self, x_BTPJC: Tensor) -> Tensor:
        x = self.door(x_BTPJC)
        for i in (1, 2, 3):
            near, windows = self.get_submodule(f"sgcn{i}"), self.get_submodule(f"gcn3d{i}")
            x = self.get_submodule(f"tcn{i}")(self.relu(near(x) + windows(x)))
        people_BPC = x.mean((2, 3)).unflatten(0, x_BTPJC.shape[:3:2])
        logits_BK: Tensor = self.fc(self.dropout(people_BPC.mean(1)))
        return logits_BK


def read_state(theirs: Mapping[str, Tensor]) -> Arguments:
    """Arguments that a state of PySKL tells."""
    graph = theirs.get("backbone.sgcn1.0.A")
    wide = theirs.get("backbone.gcn3d1.gcn3d.0.gcn3d.1.A")
    norm = theirs.get("backbone.tcn1.branches.0.1.weight")
    if graph is None or wide is None or norm is None:
        return {}
    return {
        **read_skeleton(graph),
        **read_people(theirs, graph),
        "width": 6 * norm.shape[0],
        "scales": graph.shape[0],
        "window_scales": wide.shape[0],
    }


MAPS = tuple(
    KeyMap(
        layout,
        (
            Ignore("backbone.A", "the graph that the scales were made from"),
            Rename("backbone.data_bn.*", "door.norm.*"),
            Rename("backbone.sgcn{s}.0.A", "sgcn{s}.0.graph"),
            Rename("backbone.sgcn{s}.0.PA", "sgcn{s}.0.edges"),
            Rename("backbone.gcn3d{s}.gcn3d.{i}.gcn3d.1.A", "gcn3d{s}.gcn3d.{i}.gcn3d.1.graph"),
            Rename("backbone.gcn3d{s}.gcn3d.{i}.gcn3d.1.PA", "gcn3d{s}.gcn3d.{i}.gcn3d.1.edges"),
            head,
            Rename("backbone.*", "*"),
        ),
        infer=read_state,
    )
    for layout, head in HEADS.items()
)
FAMILY = STGCN.of(
    MSG3D,
    name="msg3d",
    paper=cite("2003.14111", "3.2–3.5"),
    stages=tuple(f"{part}{s}" for s in (1, 2, 3) for part in ("sgcn", "gcn3d", "tcn")),
    cam_layers=(CamLayer("tcn3", "BM C T J"),),
    key_maps=MAPS,
    notes=TOLD_APART,
)


@FAMILY.model("Graphs that reach far over bones, and graphs that join neighbouring frames.")
def msg3d(num_classes: int) -> MSG3D:
    return FAMILY.build(num_classes)


@FAMILY.model("msg3d for tests.", tiny=True)
def msg3d_tiny(num_classes: int) -> MSG3D:
    return FAMILY.build(num_classes, width=6, scales=4, window_scales=2)
