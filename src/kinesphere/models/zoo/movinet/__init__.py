"""MoViNet: searched mobile networks for clips, and their causal twins that take a stream frame by frame.

Kondratyuk, Yuan, Li, Zhang, Tan, Brown, Gong: "MoViNets: Mobile Video Networks for Efficient Video
Recognition", CVPR 2021, https://arxiv.org/abs/2103.11511, sections 3.1 and 3.2, tables of the appendix (the
architectures). Stages carry the names of those tables: conv1, block2 to block6, conv7, dense9, dense10.

The base networks look both ways in time with 3D kernels and Swish. The streaming ones see the past alone,
with kernels split into space and time, hard-swish and hard-sigmoid, and remember the last inputs of their
temporal kernels and running means (stream buffers).

B batch, T time, C channels, H W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.errors import InvalidSetting
from kinesphere.models.card import CamLayer
from kinesphere.models.family import Family
from kinesphere.models.layers.frame_resnet import clips, frames
from kinesphere.models.papers import cite
from kinesphere.models.runtime.streaming import check_stream
from kinesphere.models.zoo.movinet.blocks import BlockState, FrameConv, MobileBlock, frame_means, running_mean
from kinesphere.models.zoo.movinet.weights import BASE_MAPS, STREAM_MAPS

Layer = tuple[int, int, int]
"""Frames and side of the depthwise kernel, and channels under it."""


@dataclass(frozen=True)
class Design:
    """Widths and kernels of one size.

    Attributes:
        stem: Channels of conv1.
        blocks: Channels and layers of block2 to block6.
        last: Channels of conv7.
        hidden: Channels of dense9.
    """

    stem: int
    blocks: tuple[tuple[int, tuple[Layer, ...]], ...]
    last: int
    hidden: int


def design(ends: tuple[int, int, int], *groups: tuple[int, str, str]) -> Design:
    """A `Design` of the channels of conv1, conv7 and dense9, and of groups `(56, "184 112 184", "53 33")`.

    Of a group: its channels, its layers' widths, and their kernels as frames and side; the last one repeats.
    """
    blocks = []
    for channels, widths, kernels in groups:
        sides = [(int(kernel[0]), int(kernel[1])) for kernel in kernels.split()]
        layers = enumerate(map(int, widths.split()))
        blocks.append((channels, tuple((*sides[min(i, len(sides) - 1)], width) for i, width in layers)))
    return Design(ends[0], tuple(blocks), *ends[1:])


A0 = design(
    (8, 480, 2048),
    (8, "24", "15"),
    (32, "80 80 80", "33"),
    (56, "184 112 184", "53 33"),
    (56, "184 184 184 184", "53 33"),
    (104, "384 280 280 344", "53 15"),
)
A1 = design(
    (16, 600, 2048),
    (16, "40 40", "15 33"),
    (40, "96 120 96 96", "33"),
    (64, "216 128 216 168 216", "53 33"),
    (64, "216 216 216 128 128 216", "53 33 33 33 15 33"),
    (136, "456 360 360 360 456 456 544", "53 15 15 15 15 33 13"),
)
A2 = design(
    (16, 640, 2048),
    (16, "40 40 64", "15 33"),
    (40, "96 120 96 96 120", "33"),
    (72, "240 160 240 192 240", "53 33"),
    (72, "240 240 240 240 144 240", "53 33 33 33 15 33"),
    (144, "480 384 384 480 480 480 576", "53 15 15 15 15 33 13"),
)
A3 = design(
    (16, 744, 2048),
    (16, "40 40 64 40", "15 33"),
    (48, "112 144 112 112 144 144", "33 33 33 15 33"),
    (80, "240 152 240 192 240", "53 33"),
    (88, "264 264 264 264 160 264 264 264", "53 33 33 33 15 33"),
    (168, "560 448 448 560 560 560 448 448 560 672", "53 15 15 15 15 33 15 15 33 13"),
)
A4 = design(
    (24, 856, 2048),
    (24, "64 64 96 64 96 64", "15 33"),
    (56, "168 168 136 136 168 168 168 136 136", "33 33 33 33 33 33 33 15 33"),
    (96, "320 160 320 192 320 160 320 256 320", "53 33"),
    (96, "320 320 320 320 192 320 320 192 320 320", "53 33 33 33 15 33"),
    (192, "640 512 512 640 640 640 512 512 640 768 640 640 768", "53 15 15 15 15 33 15 15 15 15 15 33"),
)
A5 = design(
    (24, 992, 2048),
    (24, "64 64 96 64 96 64", "15 15 33"),
    (64, "192 152 152 152 192 192 192 152 152 192 192", "53 33"),
    (112, "376 224 376 376 296 376 224 376 376 296 376 376 376", "53 33"),
    (120, "376 376 376 376 224 376 376 224 376 376 376", "53 33 33 33 15 33"),
    (
        224,
        "744 744 600 600 744 744 744 896 600 600 896 744 744 896 600 600 744 744",
        "53 33 15 15 15 15 33 15 15 15 15 15 33 15 15 15 15 33",
    ),
)
TINY = design(
    (8, 48, 64),
    (8, "16", "15"),
    (12, "24 24", "33"),
    (16, "32", "53"),
    (24, "32 40", "53 33"),
    (24, "48 32", "53 15"),
)
BLOCKS = ("block2", "block3", "block4", "block5", "block6")
UNSTRIDED = 3
"""Index of the only group of layers that keeps the frame's size."""


@dataclass(frozen=True, eq=False)
class MoViNetState:
    """What a streaming MoViNet remembers; its size does not depend on the number of frames.

    Attributes:
        frames: Number of frames so far.
        batch: Number B of streams.
        size: `(H, W)` of their frames.
        blocks: State of each block from input to output.
        total: Sum of the frames' means of conv7, `(B, C)`.
    """

    frames: int
    batch: int
    size: tuple[int, int]
    blocks: tuple[BlockState, ...]
    total: Tensor


class MoViNet(nn.Module):
    """Stem, five groups of mobile blocks, a wide convolution, global average, two linear layers.

    Args:
        num_classes: Number of outputs K.
        dropout: Before the classifier.
        folded: Whether convolutions have biases instead of batch norms, as in files made for inference.
            Biases before hard sigmoids then hold their offset too.
        slope: Slope of the hard sigmoid in a causal network (base networks have the smooth one).
        design: Widths and kernels.
        causal: Whether it sees only the past, and can stream.
    """

    def __init__(
        self,
        num_classes: int,
        dropout: float = 0.2,
        folded: bool = False,
        slope: float = 1 / 6,
        *,
        design: Design,
        causal: bool,
    ) -> None:
        super().__init__()
        self.causal = causal
        act: type[nn.Module] = nn.Hardswish if causal else nn.SiLU
        self.conv1 = FrameConv(3, design.stem, 3, 2, activation=act, folded=folded)
        inputs = design.stem
        groups = []
        for i, (outputs, group) in enumerate(design.blocks):
            blocks = []
            for j, (length, kernel, width) in enumerate(group):
                stride = 2 if j == 0 and i != UNSTRIDED else 1
                blocks.append(
                    MobileBlock(
                        inputs,
                        width,
                        outputs,
                        length,
                        kernel,
                        stride,
                        causal=causal,
                        folded=folded,
                        slope=slope,
                    )
                )
                inputs = outputs
            groups.append(nn.Sequential(*blocks))
        self.block2, self.block3, self.block4, self.block5, self.block6 = groups
        self.conv7 = FrameConv(inputs, design.last, activation=act, folded=folded)
        self.dense9 = nn.Linear(design.last, design.hidden)
        self.act = nn.SiLU()
        self.dropout = nn.Dropout(dropout)
        self.dense10 = nn.Linear(design.hidden, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        length = x_BTCHW.shape[1]
        x = clips(self.conv1(x_BTCHW.flatten(0, 1)), length)
        x = self.block6(self.block5(self.block4(self.block3(self.block2(x)))))
        x = self.conv7(frames(x)).mean((2, 3)).unflatten(0, (-1, length)).mean(1)
        return self._classify(x)

    def stream_init(self, batch: int, size: tuple[int, int]) -> MoViNetState:
        """State before the first frame of `batch` streams of `size` (H, W); see `Streaming`."""
        if not self.causal:
            raise InvalidSetting(
                "This network looks into the future too and cannot stream; take the streaming one of its "
                "size (movinet_a0_stream, movinet_a1_stream, movinet_a2_stream)."
            )
        weight = self.conv7.conv.weight
        states = []
        side = ((size[0] + 1) // 2, (size[1] + 1) // 2)
        for block in self._blocks():
            state, side = block.begin(batch, side)
            states.append(state)
        return MoViNetState(0, batch, size, tuple(states), weight.new_zeros(batch, len(weight)))

    def stream_step(self, x_BTCHW: Tensor, state: MoViNetState) -> tuple[Tensor, MoViNetState]:
        """Logits `(B, T, K)` of the stream up to each of its next frames, and the next state."""
        means, following = self.stream_features(x_BTCHW, state)
        return self._classify(running_mean(means, state.total, state.frames)[0]), following

    def stream_features(self, x_BTCHW: Tensor, state: MoViNetState) -> tuple[Tensor, MoViNetState]:
        """Means of conv7 `(B, T, C)` of the next frames, and the next state; see `Streaming`."""
        check_stream(self, x_BTCHW, state.batch, state.size)
        length = x_BTCHW.shape[1]
        x = clips(self.conv1(x_BTCHW.flatten(0, 1)), length)
        states = []
        for block, past in zip(self._blocks(), state.blocks, strict=True):
            x, kept = block.carry(x, past, state.frames)
            states.append(kept)
        means = frame_means(clips(self.conv7(frames(x)), length))
        _, total = running_mean(means, state.total, state.frames)
        count = state.frames + length
        return means, MoViNetState(count, state.batch, state.size, tuple(states), total)

    def from_features(self, f_BTC: Tensor) -> Tensor:
        """Logits `(B, K)` of the frames whose means these are; see `Streaming`."""
        return self._classify(f_BTC.mean(1))

    def _classify(self, x: Tensor) -> Tensor:
        logits: Tensor = self.dense10(self.dropout(self.act(self.dense9(x))))
        return logits

    def _blocks(self) -> Iterator[MobileBlock]:
        for name in BLOCKS:
            yield from (cast(MobileBlock, block) for block in self.get_submodule(name).children())


def clip(length: int, fps: float, side: int) -> tuple[ClipSpec]:
    zero, one = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return (ClipSpec(Sampling("dense", length), size=(side, side), fps=fps, mean=zero, std=one),)


MOVINET = Family(
    name="movinet",
    paper=cite("2103.11511", "3.1, 3.2"),
    network=MoViNet,
    inputs=clip(50, 5.0, 172),
    tiny_inputs=clip(4, 5.0, 32),
    head=("dense10",),
    stages=("conv1", *BLOCKS, "conv7"),
    cam_layers=(CamLayer("conv7", "BT C H W"),),
    classes=600,
    key_maps=BASE_MAPS,
    notes="Numerically equal to MoViNet-pytorch.",
)
STREAM = MOVINET.of(
    MoViNet,
    key_maps=STREAM_MAPS,
    notes="Numerically equal to MoViNet-pytorch, whose hard sigmoid has slope 0.2 (an argument; 1/6 "
    "elsewhere), and, with the weights of a .tflite file, to LiteRT. Such files have their batch norms "
    "folded into the convolutions, and so has the network built for them (folded=True); `kinesphere import "
    "--norms-from VIDEOS` gives them back for fine-tuning.",
)
LARGE = MOVINET.of(
    MoViNet,
    notes="Widths and kernels as the authors publish them; no public output of this size was at hand, so "
    "equality rests on the smaller sizes, which share all code.",
)


@MOVINET.model("MoViNet-A0, 50 frames of 172 pixels: searched for mobile devices.")
def movinet_a0(num_classes: int) -> MoViNet:
    return MOVINET.build(num_classes, design=A0, causal=False)


@STREAM.model("MoViNet-A0, 50 frames of 172 pixels: causal, one frame at a time.", streaming=True)
def movinet_a0_stream(num_classes: int) -> MoViNet:
    return STREAM.build(num_classes, design=A0, causal=True)


@MOVINET.model("MoViNet-A1, 50 frames of 172 pixels: searched for mobile devices.")
def movinet_a1(num_classes: int) -> MoViNet:
    return MOVINET.build(num_classes, design=A1, causal=False)


@STREAM.model("MoViNet-A1, 50 frames of 172 pixels: causal, one frame at a time.", streaming=True)
def movinet_a1_stream(num_classes: int) -> MoViNet:
    return STREAM.build(num_classes, design=A1, causal=True)


@MOVINET.model("MoViNet-A2, 50 frames of 224 pixels: searched for mobile devices.", inputs=clip(50, 5.0, 224))
def movinet_a2(num_classes: int) -> MoViNet:
    return MOVINET.build(num_classes, design=A2, causal=False)


@STREAM.model(
    "MoViNet-A2, 50 frames of 224 pixels: causal, one frame at a time.",
    inputs=clip(50, 5.0, 224),
    streaming=True,
)
def movinet_a2_stream(num_classes: int) -> MoViNet:
    return STREAM.build(num_classes, design=A2, causal=True)


@LARGE.model(
    "MoViNet-A3, 120 frames of 256 pixels: searched for mobile devices.", inputs=clip(120, 12.0, 256)
)
def movinet_a3(num_classes: int) -> MoViNet:
    return LARGE.build(num_classes, design=A3, causal=False)


@LARGE.model("MoViNet-A4, 80 frames of 290 pixels: searched for mobile devices.", inputs=clip(80, 8.0, 290))
def movinet_a4(num_classes: int) -> MoViNet:
    return LARGE.build(num_classes, design=A4, causal=False)


@LARGE.model(
    "MoViNet-A5, 120 frames of 320 pixels: searched for mobile devices.", inputs=clip(120, 12.0, 320)
)
def movinet_a5(num_classes: int) -> MoViNet:
    return LARGE.build(num_classes, design=A5, causal=False)


@MOVINET.model("movinet for tests.", tiny=True)
def movinet_tiny(num_classes: int) -> MoViNet:
    return MOVINET.build(num_classes, design=TINY, causal=False)


@MOVINET.model("movinet for tests.", key_maps=STREAM_MAPS, tiny=True, streaming=True)
def movinet_stream_tiny(num_classes: int) -> MoViNet:
    return MOVINET.build(num_classes, design=TINY, causal=True)
