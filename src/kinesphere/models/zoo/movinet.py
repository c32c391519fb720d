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
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting
from kinesphere.models.build import register
from kinesphere.models.card import ModelCard, Paper, WeightEntry
from kinesphere.models.keymap import Ignore, KeyMap, Rename, Transform, squeeze
from kinesphere.models.layers.frame_resnet import clips, frames
from kinesphere.models.layers.movinet_blocks import (
    BlockState,
    FrameConv,
    MobileBlock,
    frame_means,
    running_mean,
)
from kinesphere.models.layers.published import kinetics

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
    hidden: int = 2048


def layers(widths: str, kernels: str) -> tuple[Layer, ...]:
    """Layers from `"80 80"` and their kernels as frames and side, `"33 15"`; the last one repeats."""
    sides = kernels.split()
    return tuple(
        (int(sides[min(i, len(sides) - 1)][0]), int(sides[min(i, len(sides) - 1)][1]), int(width))
        for i, width in enumerate(widths.split())
    )


DESIGNS = {
    "a0": Design(
        8,
        (
            (8, layers("24", "15")),
            (32, layers("80 80 80", "33")),
            (56, layers("184 112 184", "53 33")),
            (56, layers("184 184 184 184", "53 33")),
            (104, layers("384 280 280 344", "53 15")),
        ),
        480,
    ),
    "a1": Design(
        16,
        (
            (16, layers("40 40", "15 33")),
            (40, layers("96 120 96 96", "33")),
            (64, layers("216 128 216 168 216", "53 33")),
            (64, layers("216 216 216 128 128 216", "53 33 33 33 15 33")),
            (136, layers("456 360 360 360 456 456 544", "53 15 15 15 15 33 13")),
        ),
        600,
    ),
    "a2": Design(
        16,
        (
            (16, layers("40 40 64", "15 33")),
            (40, layers("96 120 96 96 120", "33")),
            (72, layers("240 160 240 192 240", "53 33")),
            (72, layers("240 240 240 240 144 240", "53 33 33 33 15 33")),
            (144, layers("480 384 384 480 480 480 576", "53 15 15 15 15 33 13")),
        ),
        640,
    ),
    "tiny": Design(
        8,
        (
            (8, layers("16", "15")),
            (12, layers("24 24", "33")),
            (16, layers("32", "53")),
            (24, layers("32 40", "53 33")),
            (24, layers("48 32", "53 15")),
        ),
        48,
        64,
    ),
}
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
        slope: Of the hard sigmoid in a causal network (base networks have the smooth one).
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
        batch, length, _, height, width = x_BTCHW.shape
        if (batch, (height, width)) != (state.batch, state.size):
            raise InvalidSetting(
                f"The stream began with {state.batch} x {state.size} pixels, but frames of {batch} x "
                f"{(height, width)} follow; begin another with stream_init."
            )
        x = clips(self.conv1(x_BTCHW.flatten(0, 1)), length)
        states = []
        for block, past in zip(self._blocks(), state.blocks, strict=True):
            x, kept = block.carry(x, past, state.frames)
            states.append(kept)
        means = frame_means(clips(self.conv7(frames(x)), length))
        history, total = running_mean(means, state.total, state.frames)
        count = state.frames + length
        return self._classify(history), MoViNetState(count, batch, state.size, tuple(states), total)

    def _classify(self, x: Tensor) -> Tensor:
        logits: Tensor = self.dense10(self.dropout(self.act(self.dense9(x))))
        return logits

    def _blocks(self) -> Iterator[MobileBlock]:
        for name in BLOCKS:
            yield from (cast(MobileBlock, block) for block in self.get_submodule(name).children())


def _flat(weight: Tensor) -> Tensor:
    """Kernels of one frame without that dimension."""
    return weight.squeeze(2) if weight.dim() == 5 and weight.shape[2] == 1 else weight


def _deep(weight: Tensor) -> Tensor:
    return weight.unsqueeze(2) if weight.dim() == 4 else weight


VOLUME = Transform(_flat, _deep)


def movinet_pytorch(causal: bool) -> KeyMap:
    """MoViNet-pytorch wraps each convolution twice; its streaming networks hold image kernels."""
    conv = "conv2d" if causal else "conv3d"
    kernel = None if causal else VOLUME
    linear = squeeze(2, 3) if causal else squeeze(2, 3, 4)
    theirs, ours = "blocks.b{s}_l{b}", "block{s+2}.{b}"
    places = [
        ("conv1.conv_1", "conv1"),
        ("conv7.conv_1", "conv7"),
        (f"{theirs}.expand.conv_1", f"{ours}.expand"),
        (f"{theirs}.deep.conv_1", f"{ours}.depthwise"),
        (f"{theirs}.deep.conv_2", f"{ours}.temporal"),
        (f"{theirs}.project.conv_1", f"{ours}.project"),
        ("blocks.b3_l0.res.0.conv_1", "block5.0.shortcut.1"),  # no pooling before it
        (f"{theirs}.res.1.conv_1", f"{ours}.shortcut.1"),
    ]
    dense = [
        (f"{theirs}.se.fc1.conv_1", f"{ours}.se.fc1"),
        (f"{theirs}.se.fc2.conv_1", f"{ours}.se.fc2"),
        ("classifier.0.conv_1", "dense9"),
        ("classifier.3.conv_1", "dense10"),
    ]
    return KeyMap(
        "movinet_pytorch",
        (
            *(Rename(f"{a}.{conv}.weight", f"{b}.conv.weight", kernel) for a, b in places),
            *(Rename(f"{a}.norm.*", f"{b}.bn.*") for a, b in places),
            *(Rename(f"{a}.{conv}.weight", f"{b}.weight", linear) for a, b in dense),
            *(Rename(f"{a}.{conv}.bias", f"{b}.bias") for a, b in dense),
            Rename(f"{theirs}.alpha", f"{ours}.alpha"),
        ),
        arguments={"slope": 0.2} if causal else {},  # Keras' older hard sigmoid
    )


def _alpha(x: Tensor) -> Tensor:
    """The one value of a scalar that the converter has spread over a whole picture."""
    if not torch.equal(x, x.flatten()[0].expand_as(x)):
        raise InvalidCheckpoint("A residual branch is scaled by more than one number; this is no MoViNet.")
    return x.flatten()[0].clone()


HWC = Transform(lambda w: w.permute(0, 3, 1, 2), lambda w: w.permute(0, 2, 3, 1))
"""Kernels as outputs, height, width, inputs."""
ONE_HWC = Transform(lambda w: w.permute(3, 0, 1, 2), lambda w: w.permute(1, 2, 3, 0))
"""Depthwise kernels as 1, height, width, channels."""
DENSE = squeeze(1, 2)


def tflite() -> KeyMap:
    """TensorFlow Lite files of the authors' code: batch norms folded, operators named by Keras' scopes."""
    root = "movinet_classifier/movinet"
    block, ours = f"{root}/block{{s}}_layer{{b}}/bneck", "block{s+2}.{b}"
    head = "movinet_classifier/classifier_head"
    add = "bn/batchnorm/add_1"
    rules: list[Rename | Ignore] = []
    for theirs, own, transform in (
        (f"{root}/stem/stem/conv2d/{add}", "conv1.conv", HWC),
        (f"{block}/expansion/conv2d/{add}", f"{ours}.expand.conv", HWC),
        (f"{block}/feature/conv2d/{add}", f"{ours}.depthwise.conv", ONE_HWC),
        (f"{block}/feature/conv2d_temporal/bn_temporal/batchnorm/add_1", f"{ours}.temporal.conv", ONE_HWC),
        (f"{block}/projection/conv2d/{add}", f"{ours}.project.conv", HWC),
        (f"{block}/skip/skip_project/conv2d/bn/FusedBatchNormV3", f"{ours}.shortcut.1.conv", HWC),
        (f"{root}/head/project/conv2d/{add}", "conv7.conv", HWC),
        (f"{block}/se/se_reduce/conv2d/conv2d_1/BiasAdd", f"{ours}.se.fc1", DENSE),
        (f"{head}/head/conv2d/conv2d/BiasAdd", "dense9", DENSE),
        (f"{head}/classifier/conv2d/conv2d_1/BiasAdd", "dense10", DENSE),
    ):
        rules += [Rename(f"{theirs}.weight", f"{own}.weight", transform)]
        rules += [Rename(f"{theirs}.bias", f"{own}.bias")]
    gate = f"{block}/se/se_expand/conv2d/activation_2"
    return KeyMap(
        "tflite",
        (
            *rules,
            Rename(f"{gate}/Relu6.weight", f"{ours}.se.fc2.weight", DENSE),
            Rename(f"{gate}/Relu6.bias", f"{ours}.se.fc2.bias"),
            Rename(f"{block}/rezero/mul1.constant", f"{ours}.alpha", Transform(_alpha, torch.clone)),
            Ignore(f"{gate}/mul.constant", "the sixth of the hard sigmoid"),
            Ignore(f"{root}/head/global_average_pool3d_*.constant", "one over the number of pixels"),
        ),
        arguments={"folded": True},
    )


PAPER = Paper(
    "MoViNets: Mobile Video Networks for Efficient Video Recognition",
    "Kondratyuk, Yuan, Li, Zhang, Tan, Brown, Gong",
    2021,
    "https://arxiv.org/abs/2103.11511",
    "3.1, 3.2",
)
STAGES = ("conv1", *BLOCKS, "conv7")


def movinet_spec(length: int, fps: float, side: int) -> ClipSpec:
    return ClipSpec(
        Sampling("dense", length), size=(side, side), fps=fps, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )


SPECS = {
    "a0": movinet_spec(50, 5.0, 172),
    "a1": movinet_spec(50, 5.0, 172),
    "a2": movinet_spec(50, 5.0, 224),
    "tiny": movinet_spec(4, 5.0, 32),
}


def movinet_card(
    name: str,
    summary: str,
    spec: ClipSpec,
    parameters: int,
    multiply_adds: int,
    *,
    weights: tuple[WeightEntry, ...] = (),
    classes: int = 600,
    tiny: bool = False,
    notes: str = "",
) -> ModelCard:
    return ModelCard(
        name=name,
        family="movinet",
        summary=summary,
        paper=PAPER,
        inputs=(spec,),
        parameters=parameters,
        multiply_adds=multiply_adds,
        classes=classes,
        head=("dense10",),
        stages=STAGES,
        cam_layer="conv7",
        weights=weights,
        tiny=tiny,
        notes=notes,
    )


def published(size: str, causal: bool, top1: float) -> WeightEntry:
    """A port of the authors' weights; scores are the authors', the port states none of its own."""
    stream = "_stream" if causal else ""
    file = f"model{size.upper()}{stream}_statedict_v3"
    return kinetics(
        "k600",
        f"https://github.com/Atze00/MoViNet-pytorch/raw/main/weights/{file}",
        "movinet_pytorch",
        top1,
        classes=600,
        protocol="1 clip of 50 frames x 1 crop, the authors' own files",
        licence="MIT (port); Apache-2.0 (original)",
    )


SCORES = {
    ("a0", False): 0.7228,
    ("a0", True): 0.7205,
    ("a1", False): 0.7669,
    ("a1", True): 0.7645,
    ("a2", False): 0.7862,
    ("a2", True): 0.784,
}
NUMBERS = {
    ("a0", False): (3_111_799, 2_630_733_808),
    ("a0", True): (3_748_031, 2_426_445_040),
    ("a1", False): (4_690_296, 5_865_612_704),
    ("a1", True): (6_447_352, 5_540_325_200),
    ("a2", False): (5_249_562, 11_558_071_168),
    ("a2", True): (7_326_962, 10_700_453_120),
}
STREAM_NOTES = (
    "Numerically equal to MoViNet-pytorch and, with weights from a .tflite file, to LiteRT. Those files "
    "have batch norms folded into convolutions; the network built for them (folded=True) has none to adapt."
)

for (_size, _causal), _numbers in NUMBERS.items():
    _name = f"movinet_{_size}_stream" if _causal else f"movinet_{_size}"
    register(
        movinet_card(
            _name,
            f"MoViNet-{_size.upper()}, "
            + (
                "causal: one frame at a time, constant memory." if _causal else "searched for mobile devices."
            ),
            SPECS[_size],
            *_numbers,
            weights=(published(_size, _causal, SCORES[_size, _causal]),),
            notes=STREAM_NOTES if _causal else "",
        ),
        (movinet_pytorch(_causal), tflite()) if _causal else (movinet_pytorch(_causal),),
    )(partial(MoViNet, design=DESIGNS[_size], causal=_causal))

for _causal, _numbers in {False: (31_277, 910_592), True: (35_197, 866_368)}.items():
    register(
        movinet_card(
            "movinet_stream_tiny" if _causal else "movinet_tiny",
            "movinet for tests.",
            SPECS["tiny"],
            *_numbers,
            classes=5,
            tiny=True,
        ),
        (movinet_pytorch(_causal), tflite()) if _causal else (movinet_pytorch(_causal),),
    )(partial(MoViNet, design=DESIGNS["tiny"], causal=_causal))
