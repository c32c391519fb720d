"""What the graph networks on skeletons share: their streams, their normalised input, their head and their
convolutions over time.

N persons (of all samples), B batch, T time, P people of a sample, J joints, C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, fx, nn

from kinesphere.clips.skeleton import SKELETONS
from kinesphere.core.errors import InvalidSetting
from kinesphere.models.contracts import dimensions_of
from kinesphere.models.layers.skeleton_graph import stream_parents

Stream = Literal["joint", "bone", "joint_motion", "bone_motion"]
STREAMS: tuple[Stream, ...] = get_args(Stream)
VALUES = 3  # of a joint: x, y, score in the image plane, x, y, z in space
WIDTHS = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)


class SkeletonInput(nn.Module):
    """Pose clips `(B, T, P, J, D + 1)` to one normalised stream `(N, 3, T, J)`.

    Streams as PySKL has them: a bone is a joint minus the joint it hangs on, motion is the next frame
    minus this one (zero in the last). Scores are averaged over what is subtracted; where either end was
    not seen, there is nothing. In space scores only tell that.

    Args:
        skeleton: Name of the skeleton.
        stream: What the network looks at.
        dimensions: 2 in the image plane, 3 in space, None as the skeleton is usually recorded.
        people: Number of people that batch norm tells apart; 0 treats all alike.
    """

    parents: Tensor

    def __init__(self, skeleton: str, stream: Stream, *, dimensions: int | None, people: int = 0) -> None:
        super().__init__()
        if stream not in STREAMS:
            raise InvalidSetting(f"A skeleton has the streams {', '.join(STREAMS)}; got {stream!r}.")
        tree = SKELETONS.get(skeleton)
        self.stream = stream
        self.dimensions = dimensions_of(skeleton, dimensions)
        self.people = people
        self.register_buffer("parents", torch.tensor(stream_parents(tree)), persistent=False)
        self.norm = nn.BatchNorm1d(max(people, 1) * len(tree) * VALUES)

    def forward(self, x_BTPJC: Tensor) -> Tensor:
        x = _stream(x_BTPJC, self.stream, self.parents)
        return self.normalise(x if self.dimensions == 2 else x[..., :VALUES])

    def normalise(self, x_BTPJC: Tensor) -> Tensor:
        """Batch norm over joints and their values (and people), `(N, C, T, J)`."""
        _check_people(x_BTPJC, self.people)
        B, T, P, J, C = x_BTPJC.shape
        x_BPJCT = x_BTPJC.permute(0, 2, 3, 4, 1)
        x = self.norm(x_BPJCT.reshape(B if self.people else B * P, -1, T))
        normed: Tensor = x.reshape(B * P, J, C, T).permute(0, 2, 3, 1)
        return normed


@fx.wrap  # type: ignore[misc, unused-ignore]
def _stream(x_BTPJC: Tensor, stream: Stream, parents_J: Tensor) -> Tensor:
    if stream.startswith("bone"):
        x_BTPJC = _difference(x_BTPJC, x_BTPJC[..., parents_J, :])
    if stream.endswith("motion"):
        moved = _difference(x_BTPJC[:, 1:], x_BTPJC[:, :-1])
        x_BTPJC = torch.cat([moved, torch.zeros_like(x_BTPJC[:, :1])], 1)
    return x_BTPJC


def _difference(a: Tensor, b: Tensor) -> Tensor:
    """Coordinates of `a - b` with the mean score, zero where either was not seen."""
    seen = (a[..., -1:] > 0) & (b[..., -1:] > 0)
    values = torch.cat([a[..., :-1] - b[..., :-1], (a[..., -1:] + b[..., -1:]) / 2], -1)
    return torch.where(seen, values, 0.0)


@fx.wrap  # type: ignore[misc, unused-ignore]
def _check_people(x_BTPJC: Tensor, people: int) -> None:
    if people and x_BTPJC.shape[2] != people:
        raise InvalidSetting(
            f"This network tells {people} people apart by their place; got clips of {x_BTPJC.shape[2]}. "
            f"Set the spec's people to {people}, or build it with the argument people=."
        )


class SkeletonNet(nn.Module):
    """Normalised input, blocks, mean over time and joints, mean over people, dropout, linear classifier.

    Args:
        num_classes: Number of outputs K.
        door: Takes pose clips apart.
        widths: Channels of the blocks; time halves where they grow, and the first adds no input.
        space: Builds graph convolutions from (inputs, outputs).
        time: Builds convolutions over time from (channels, stride).
        graph: A graph that all blocks share, `(k, J, J)`; None if each has its own.
        dropout: Before the classifier.
    """

    graph: Tensor | None

    def __init__(
        self,
        num_classes: int,
        door: SkeletonInput,
        widths: tuple[int, ...],
        space: Callable[[int, int], nn.Module],
        time: Callable[[int, int], nn.Module],
        *,
        graph: Tensor | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.door = door
        self.register_buffer("graph", graph)
        self.blocks = nn.ModuleList()
        inputs = VALUES
        for i, outputs in enumerate(widths):
            stride = 2 if i > 0 and outputs != inputs else 1
            layers = space(inputs, outputs), time(outputs, stride)
            self.blocks.append(Block(*layers, inputs, outputs, stride, residual=i > 0))
            inputs = outputs
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, num_classes)

    def forward(self, x_BTPJC: Tensor) -> Tensor:
        x = self.door(x_BTPJC)
        for block in self.blocks:
            x = block(x, self.graph)
        people_BPC = x.mean((2, 3)).unflatten(0, x_BTPJC.shape[:3:2])
        logits_BK: Tensor = self.fc(self.dropout(people_BPC.mean(1)))
        return logits_BK


class TimeConv(nn.Module):
    """A convolution over time, batch norm, dropout: `(N, C, T, J)`."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        length: int = 9,
        *,
        stride: int = 1,
        dilation: int = 1,
        normed: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        padding = (length - 1) * dilation // 2
        self.conv = nn.Conv2d(inputs, outputs, (length, 1), (stride, 1), (padding, 0), (dilation, 1))
        self.bn: nn.Module = nn.BatchNorm2d(outputs) if normed else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_NCTJ: Tensor) -> Tensor:
        out: Tensor = self.dropout(self.bn(self.conv(x_NCTJ)))
        return out


def narrow(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    """1×1 convolution, batch norm, ReLU."""
    return nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)


def shortcut(inputs: int, outputs: int) -> nn.Module:
    """What is added within a frame: the input, or a projection of it with batch norm."""
    if inputs == outputs:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """A graph convolution, then one over time; the input is added.

    Args:
        space: `(N, C, T, J), graph -> (N, C', T, J)`.
        time: `(N, C', T, J) -> (N, C', T', J)`.
        inputs: C.
        outputs: C'.
        stride: T / T'.
        residual: Whether the input is added.
    """

    def __init__(
        self,
        space: nn.Module,
        time: nn.Module,
        inputs: int,
        outputs: int,
        stride: int,
        *,
        residual: bool,
    ) -> None:
        super().__init__()
        self.space = space
        self.time = time
        self.relu = nn.ReLU(inplace=residual)  # else the input is what another ReLU gave and needs
        self.residual: nn.Module | None = None
        if residual:
            same = inputs == outputs and stride == 1
            self.residual = nn.Identity() if same else TimeConv(inputs, outputs, 1, stride=stride)

    def forward(self, x_NCTJ: Tensor, graph_kJJ: Tensor | None) -> Tensor:
        x = self.time(self.space(x_NCTJ, graph_kJJ))
        out: Tensor = self.relu(x if self.residual is None else x + self.residual(x_NCTJ))
        return out


def block_names(count: int) -> tuple[str, ...]:
    """Stages of a graph network of so many blocks."""
    return tuple(f"blocks.{i}" for i in range(count))
