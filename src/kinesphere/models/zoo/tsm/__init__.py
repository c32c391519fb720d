"""TSM: a part of the channels moves one frame on or back before each residual block.

Lin, Gan, Han: "TSM: Temporal Shift Module for Efficient Video Understanding", ICCV 2019,
https://arxiv.org/abs/1811.08383, sections 3.2 (residual shift), 4.1 (both directions, offline) and 4.2 (from
the past alone, online). Non-local variants: Wang et al., CVPR 2018, blocks after every second residual block
of stages 2 and 3.

B batch, T time, C channels, H W pixels, K classes, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.errors import InvalidSetting
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import MEAN, STD
from kinesphere.models.family import Family
from kinesphere.models.layers.frame_resnet import TINY_DEPTH, FrameResNet, block_counts
from kinesphere.models.layers.nonlocal_block import NonLocalBlock, Pairwise
from kinesphere.models.layers.resnet2d import BACKBONE_STAGES
from kinesphere.models.papers import cite
from kinesphere.models.runtime.streaming import check_stream
from kinesphere.models.weights.keymap import KeyMap, Rename, Rule
from kinesphere.models.weights.maps import mobilenet2d as mobilenet2d_keys
from kinesphere.models.weights.maps.resnet2d import (
    EVERY_BLOCK,
    IMAGENET,
    MIT_HAN_LAB,
    MMACTION2_HEAD,
    MMACTION2_STEM,
    mmaction2_block,
)
from kinesphere.models.weights.maps.resnet3d import MMACTION2_ATTENTION
from kinesphere.models.zoo.tsm.mobilenet import FrameMobileNetV2

Memory = tuple[Tensor, ...]
"""What the shifts of a causal network keep of the last frame, one `(B, C', 1, H, W)` per shift."""


class TemporalShift(nn.Module):
    """Exchange channels between neighbouring frames `(B, C, T, H, W)`; what leaves the clip is lost.

    Args:
        channels: C.
        division: One part in `division` comes from each neighbour.
        causal: Whether the past is the only neighbour.
    """

    def __init__(self, channels: int, *, division: int = 8, causal: bool = False) -> None:
        super().__init__()
        self.part = channels // division
        self.causal = causal

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        if self.causal:
            return self.carry(x_BCTHW, None)[0]
        n = self.part
        out = torch.empty_like(x_BCTHW)
        out[:, :n, :-1] = x_BCTHW[:, :n, 1:]
        out[:, :n, -1] = 0
        out[:, n : 2 * n, 1:] = x_BCTHW[:, n : 2 * n, :-1]
        out[:, n : 2 * n, 0] = 0
        out[:, 2 * n :] = x_BCTHW[:, 2 * n :]
        return out

    def carry(self, x_BCTHW: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """Causal shift that continues an earlier clip.

        Args:
            x_BCTHW: The next frames.
            past: What the previous call returned; None at the start (zeros).

        Returns:
            The shifted frames, and what the next call takes as `past`.
        """
        n = self.part
        out = torch.empty_like(x_BCTHW)
        out[:, :n, 1:] = x_BCTHW[:, :n, :-1]
        out[:, :n, :1] = 0 if past is None else past
        out[:, n:] = x_BCTHW[:, n:]
        return out, x_BCTHW[:, :n, -1:].clone()


@dataclass(frozen=True, eq=False)
class TSMState:
    """What a causal `TSM` remembers; its size does not depend on the number of frames.

    Attributes:
        frames: Number of frames so far.
        batch: Number B of streams.
        size: `(H, W)` of their frames.
        memory: Memory of the shifts; None before the first frame.
        total: Sum of the frames' logits, `(B, K)`.
    """

    frames: int
    batch: int
    size: tuple[int, int]
    memory: Memory | None
    total: Tensor


class TSM(nn.Module):
    """Frame encoder with shifts, one linear classifier for all frames, scores averaged.

    Args:
        num_classes: Number of outputs K.
        backbone: Whose blocks hold a `TemporalShift` (or an identity) as `before`.
        dropout: Before the classifier.
    """

    def __init__(
        self, num_classes: int, backbone: FrameResNet | FrameMobileNetV2, *, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(backbone.outputs, num_classes)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        logits_BTK: Tensor = self.fc(self.dropout(self.backbone(x_BTCHW)))
        return logits_BTK.mean(1)

    def step(self, x_BTCHW: Tensor, memory: Memory | None = None) -> tuple[Tensor, Memory]:
        """The next frames of a stream, one or several at a time (causal networks).

        Args:
            x_BTCHW: Normalised frames that follow those of the previous call.
            memory: What that call returned; None starts a stream.

        Returns:
            Logits of each frame `(B, T, K)`, equal to those of the whole stream at once, and the memory.
            `stream_step` averages them over the stream.

        Raises:
            InvalidSetting: If the network looks into the future.
        """
        past = iter(memory or ())
        kept = []
        x = self.backbone.enter(x_BTCHW)
        for block in self.backbone.blocks():
            mixed = x
            if isinstance(block.before, TemporalShift):
                self._check_causal(block.before)
                mixed, last = block.before.carry(x, next(past, None))
                kept.append(last)
            x = block.finish(x, mixed)
        return self.fc(self.dropout(self.backbone.leave(x))), tuple(kept)

    def stream_init(self, batch: int, size: tuple[int, int]) -> TSMState:
        """State before the first frame of `batch` streams of `size` (H, W); see `Streaming`."""
        for block in self.backbone.blocks():
            if isinstance(block.before, TemporalShift):
                self._check_causal(block.before)
        return TSMState(0, batch, size, None, self.fc.weight.new_zeros(batch, self.fc.out_features))

    def stream_step(self, x_BTCHW: Tensor, state: TSMState) -> tuple[Tensor, TSMState]:
        """Logits `(B, T, K)` of the stream up to each of its next frames, and the next state."""
        logits_BTK, following = self.stream_features(x_BTCHW, state)
        sums_BTK = state.total[:, None] + logits_BTK.cumsum(1)
        counts_T1 = torch.ones_like(sums_BTK[0, :, :1]).cumsum(0) + state.frames
        return sums_BTK / counts_T1, following

    def stream_features(self, x_BTCHW: Tensor, state: TSMState) -> tuple[Tensor, TSMState]:
        """Logits `(B, T, K)` of each of the next frames, and the next state; see `Streaming`."""
        check_stream(self, x_BTCHW, state.batch, state.size)
        logits_BTK, memory = self.step(x_BTCHW, state.memory)
        total_BK = (state.total[:, None] + logits_BTK.cumsum(1))[:, -1]
        frames = state.frames + x_BTCHW.shape[1]
        return logits_BTK, TSMState(frames, state.batch, state.size, memory, total_BK)

    def from_features(self, f_BTK: Tensor) -> Tensor:
        """Logits `(B, K)` of the frames whose logits these are; see `Streaming`."""
        return f_BTK.mean(1)

    @staticmethod
    def _check_causal(shift: TemporalShift) -> None:
        if not shift.causal:
            raise InvalidSetting(
                "This network shifts from the future too and cannot stream; build it with "
                "causal=True (tsm_resnet50_online, tsm_mobilenetv2_online)."
            )


def every(depth: int) -> int:
    """Every how many blocks a ResNet shifts: deep stages lose too much if all of their blocks do."""
    return 2 if block_counts(depth)[1][2] >= 23 else 1


def tsm_resnet(
    num_classes: int,
    causal: bool = False,
    division: int = 8,
    out_bias: bool = False,
    dropout: float = 0.5,
    *,
    depth: int,
    width: int = 64,
    pairwise: Pairwise | None = None,
    attended: tuple[tuple[int, int], ...] = (),
) -> TSM:
    """TSM on a ResNet.

    Args:
        num_classes: Number of outputs K.
        causal: Whether frames take from the past alone.
        division: One part of the channels in `division` moves each way.
        out_bias: Whether the last convolution of a non-local block has a bias.
        dropout: Before the classifier.
        depth: Depth of the ResNet.
        width: Width of its first stage.
        pairwise: Affinity of its non-local blocks, if it has any.
        attended: `(stage, block)` places that a non-local block follows.
    """

    def shift(_stage: int, block: int, channels: int) -> nn.Module:
        if block % every(depth):
            return nn.Identity()
        return TemporalShift(channels, division=division, causal=causal)

    attention = None
    if pairwise is not None:
        attention = partial(NonLocalBlock, pairwise=pairwise, out_bias=out_bias)
    backbone = FrameResNet(depth, width=width, before=shift, attention=attention, attended=attended)
    return TSM(num_classes, backbone, dropout=dropout)


def tsm_mobile(
    num_classes: int,
    causal: bool = False,
    division: int = 8,
    dropout: float = 0.5,
    *,
    divide: int = 1,
    repeat: int = 4,
) -> TSM:
    """TSM on MobileNetV2; `divide` and `repeat` reduce it for tests."""

    def shift(_stage: int, _block: int, channels: int) -> nn.Module:
        return TemporalShift(channels, division=division, causal=causal)

    return TSM(num_classes, FrameMobileNetV2(before=shift, divide=divide, repeat=repeat), dropout=dropout)


NON_LOCAL = ((2, 0), (2, 2), (3, 0), (3, 2), (3, 4))
TINY_NON_LOCAL = ((2, 0), (3, 0))


def mmaction2_resnet(depth: int, attended: tuple[tuple[int, int], ...] = ()) -> KeyMap:
    """A shifted convolution is wrapped as `net`, a block under a non-local one as `block`."""
    rules: list[Rule] = list(MMACTION2_STEM)
    for stage, block in attended:
        place = f"layer{stage}.{block}"
        rules += mmaction2_block(place, inside=".block", conv1="conv.net")
        rules += [
            Rename(f"backbone.{place}.non_local_block.{theirs}.*", f"backbone.{place}.attention.{ours}.*")
            for theirs, ours in MMACTION2_ATTENTION
        ]
    if every(depth) == 1:
        rules += mmaction2_block(EVERY_BLOCK, conv1="conv.net")
    else:
        shifted = range(0, max(block_counts(depth)[1]), every(depth))
        rules += [rule for b in shifted for rule in mmaction2_block(f"layer{{s}}.{b}", conv1="conv.net")]
        rules += mmaction2_block(EVERY_BLOCK)
    return KeyMap("mmaction2", (*rules, *MMACTION2_HEAD))


def mit_resnet(depth: int, attended: tuple[tuple[int, int], ...] = ()) -> KeyMap:
    """The same wrappers around torchvision's names; non-local blocks have another bias."""
    rules: list[Rule] = []
    parts = (("g.0", "g"), ("theta", "theta"), ("phi.0", "phi"), ("W.0", "out"), ("W.1", "bn"))
    for stage, block in attended:
        theirs, ours = f"base_model.layer{stage}.{block}", f"backbone.layer{stage}.{block}"
        rules += [Rename(f"{theirs}.nl.{name}.*", f"{ours}.attention.{own}.*") for name, own in parts]
        rules += [
            Rename(f"{theirs}.block.conv1.net.weight", f"{ours}.conv1.weight"),
            Rename(f"{theirs}.block.*", f"{ours}.*"),
        ]
    places = ["{b}"] if every(depth) == 1 else list(map(str, range(0, 36, every(depth))))
    rules += [
        Rename(f"base_model.layer{{s}}.{b}.conv1.net.weight", f"backbone.layer{{s}}.{b}.conv1.weight")
        for b in places
    ]
    arguments = {"out_bias": True} if attended else {}
    return KeyMap("mit_han_lab", (*rules, *MIT_HAN_LAB), arguments=dict(arguments))


MOBILE_MAPS = (
    KeyMap("mmaction2", (*mobilenet2d_keys.MMACTION2_SHIFTED, *MMACTION2_HEAD)),
    KeyMap("mit_han_lab", (*mobilenet2d_keys.MIT_HAN_LAB_SHIFTED, Rename("new_fc.*", "fc.*"))),
    mobilenet2d_keys.IMAGENET,
)

SPEC = ClipSpec(Sampling("uniform", 8), size=(224, 224), short_side_px=256, mean=MEAN, std=STD)
TINY_INPUTS = (SPEC.with_(sampling=Sampling("uniform", 4), size=(64, 64), short_side_px=72),)
TSM_RESNET = Family(
    name="tsm",
    paper=cite("1811.08383", "3, 4"),
    network=tsm_resnet,
    inputs=(SPEC,),
    tiny_inputs=TINY_INPUTS,
    stages=BACKBONE_STAGES,
    cam_layers=(CamLayer("backbone.layer4", "B C T H W"),),
)
TSM_MOBILE = TSM_RESNET.of(
    tsm_mobile,
    stages=("backbone.conv1", *(f"backbone.layer{i}" for i in range(1, 8)), "backbone.conv2"),
    cam_layers=(CamLayer("backbone.conv2", "BT C H W"),),
    key_maps=MOBILE_MAPS,
)
ONLINE_NOTE = (
    "No fixture: tests hold that streaming equals the whole clip and that no frame sees a later one. Files do"
    " not say which way their shifts go: all that are read here are taken to be trained for the past alone."
)


def resnet_maps(depth: int) -> tuple[KeyMap, ...]:
    return (mmaction2_resnet(depth), mit_resnet(depth), IMAGENET)


def nonlocal_maps(depth: int, attended: tuple[tuple[int, int], ...]) -> tuple[KeyMap, ...]:
    return (mmaction2_resnet(depth, attended), mit_resnet(depth, attended))


@TSM_RESNET.model(
    "ResNet-50 that exchanges an eighth of its channels with either neighbouring frame.",
    key_maps=resnet_maps(50),
)
def tsm_resnet50(num_classes: int) -> TSM:
    return TSM_RESNET.build(num_classes, depth=50)


@TSM_RESNET.model(
    "ResNet-101 that exchanges an eighth of its channels with either neighbouring frame.",
    key_maps=resnet_maps(101),
)
def tsm_resnet101(num_classes: int) -> TSM:
    return TSM_RESNET.build(num_classes, depth=101)


@TSM_RESNET.model(
    "TSM on ResNet-50 with shifts from the past alone; streams frame by frame.",
    key_maps=resnet_maps(50),
    notes=ONLINE_NOTE,
    streaming=True,
)
def tsm_resnet50_online(num_classes: int) -> TSM:
    return TSM_RESNET.build(num_classes, causal=True, depth=50)


TSM_NL = TSM_RESNET.of(tsm_resnet, key_maps=nonlocal_maps(50, NON_LOCAL))


@TSM_NL.model("TSM on ResNet-50 with five non-local blocks (embedded gaussian).")
def tsm_resnet50_nl(num_classes: int) -> TSM:
    return TSM_NL.build(num_classes, depth=50, pairwise="embedded_gaussian", attended=NON_LOCAL)


@TSM_NL.model("TSM on ResNet-50 with five non-local blocks (gaussian).")
def tsm_resnet50_nl_gaussian(num_classes: int) -> TSM:
    return TSM_NL.build(num_classes, depth=50, pairwise="gaussian", attended=NON_LOCAL)


@TSM_NL.model(
    "TSM on ResNet-50 with five non-local blocks (dot product).",
    notes="Its files have the same keys as the embedded Gaussian's: only the name tells them apart.",
)
def tsm_resnet50_nl_dot_product(num_classes: int) -> TSM:
    return TSM_NL.build(num_classes, depth=50, pairwise="dot_product", attended=NON_LOCAL)


@TSM_MOBILE.model("MobileNetV2 that exchanges an eighth of its channels with either neighbouring frame.")
def tsm_mobilenetv2(num_classes: int) -> TSM:
    return TSM_MOBILE.build(num_classes)


@TSM_MOBILE.model(
    "TSM on MobileNetV2 with shifts from the past alone; streams frame by frame.",
    notes=ONLINE_NOTE,
    streaming=True,
)
def tsm_mobilenetv2_online(num_classes: int) -> TSM:
    return TSM_MOBILE.build(num_classes, causal=True)


@TSM_RESNET.model("tsm_resnet50 for tests.", key_maps=resnet_maps(TINY_DEPTH), tiny=True)
def tsm_tiny(num_classes: int) -> TSM:
    return TSM_RESNET.build(num_classes, depth=TINY_DEPTH, width=8)


@TSM_RESNET.model(
    "tsm_resnet50_online for tests.", key_maps=resnet_maps(TINY_DEPTH), tiny=True, streaming=True
)
def tsm_online_tiny(num_classes: int) -> TSM:
    return TSM_RESNET.build(num_classes, causal=True, depth=TINY_DEPTH, width=8)


@TSM_RESNET.model("tsm_resnet50_nl for tests.", key_maps=nonlocal_maps(TINY_DEPTH, TINY_NON_LOCAL), tiny=True)
def tsm_nl_tiny(num_classes: int) -> TSM:
    return TSM_RESNET.build(
        num_classes, depth=TINY_DEPTH, width=8, pairwise="embedded_gaussian", attended=TINY_NON_LOCAL
    )


@TSM_MOBILE.model("tsm_mobilenetv2 for tests.", key_maps=(), tiny=True)
def tsm_mobile_tiny(num_classes: int) -> TSM:
    return TSM_MOBILE.build(num_classes, divide=4, repeat=2)


@TSM_MOBILE.model("tsm_mobilenetv2_online for tests.", key_maps=(), tiny=True, streaming=True)
def tsm_mobile_online_tiny(num_classes: int) -> TSM:
    return TSM_MOBILE.build(num_classes, causal=True, divide=4, repeat=2)
