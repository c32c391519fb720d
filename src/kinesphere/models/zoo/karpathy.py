"""The first large-scale video networks: four ways to join frames, with or without two resolutions.

Karpathy, Toderici, Shetty, Leung, Sukthankar, Fei-Fei: "Large-scale Video Classification with Convolutional
Neural Networks", CVPR 2014, https://cs.stanford.edu/people/karpathy/deepvideo/, sections 3.1 (fusion in time)
and 3.2 (fovea and context).

B batch, T time, C channels, H W pixels, L clips of the length that the network takes.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.errors import InvalidSetting
from kinesphere.models.card import CamLayer
from kinesphere.models.family import Family
from kinesphere.models.papers import cite

TimeFusion = Literal["single_frame", "early_fusion", "late_fusion", "slow_fusion"]
CELLS = 7  # rows and columns of the last feature map, for whole frames and for either stream of two

# Temporal extent and stride of the first three convolutions, and frames per clip
TIME: dict[TimeFusion, tuple[tuple[tuple[int, int], ...], int]] = {
    "single_frame": (((1, 1), (1, 1), (1, 1)), 1),
    "early_fusion": (((10, 1), (1, 1), (1, 1)), 10),
    "late_fusion": (((1, 1), (1, 1), (1, 1)), 2),
    "slow_fusion": (((4, 2), (2, 2), (2, 2)), 10),
}


class Columns(nn.Module):
    """The convolutions: `(B, 3, T, H, W)` to `(B, C, T', 7, 7)`.

    Shorthand of the paper: C(96,11,3)-N-P-C(256,5,1)-N-P-C(384,3,1)-C(384,3,1)-C(256,3,1)-P.

    Args:
        fusion: How the first three convolutions reach over time.
        divide: Divides all widths, for small variants.
        last_pool: Whether the last pool is there; streams at half the size leave it out (section 3.2).
    """

    def __init__(self, fusion: TimeFusion, *, divide: int, last_pool: bool) -> None:
        super().__init__()
        (t1, s1), (t2, s2), (t3, s3) = TIME[fusion][0]
        c1, c2, c3 = 96 // divide, 256 // divide, 384 // divide
        # Krizhevsky et al. 2012 with k = 2, n = 5, alpha = 1e-4, beta = 0.5; PyTorch divides alpha by n
        norm = partial(nn.LocalResponseNorm, 5, alpha=5e-4, beta=0.5, k=2.0)
        # rounding up: 27 and 14 cells become 14 and 7
        pool = partial(nn.MaxPool3d, (1, 2, 2), (1, 2, 2), ceil_mode=True)
        relu = partial(nn.ReLU, inplace=True)
        first = nn.Conv3d(3, c1, (t1, 11, 11), (s1, 3, 3))
        second = nn.Conv3d(c1, c2, (t2, 5, 5), (s2, 1, 1), padding=(0, 2, 2))
        third = nn.Conv3d(c2, c3, (t3, 3, 3), (s3, 1, 1), padding=(0, 1, 1))
        fourth = nn.Conv3d(c3, c3, (1, 3, 3), padding=(0, 1, 1))
        fifth = nn.Conv3d(c3, c2, (1, 3, 3), padding=(0, 1, 1))
        self.conv1 = nn.Sequential(first, relu(), norm(), pool())
        self.conv2 = nn.Sequential(second, relu(), norm(), pool())
        self.conv3 = nn.Sequential(third, relu())
        self.conv4 = nn.Sequential(fourth, relu())
        self.conv5 = nn.Sequential(fifth, relu(), pool() if last_pool else nn.Identity())
        self.outputs = c2
        for module in (first, second, third, fourth, fifth):
            if not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        out: Tensor = self.conv5(self.conv4(self.conv3(self.conv2(self.conv1(x_BCTHW)))))
        return out


class Karpathy(nn.Module):
    """Columns of convolutions and three fully connected layers; scores averaged over clips.

    Late fusion joins its two frames in the first fully connected layer; the columns share their weights.

    Args:
        num_classes: Number of outputs K.
        fusion: How frames are joined.
        streams: Whether the centre at full size and the whole frame at half size are seen apart.
        divide: Divides all widths, for small variants.
        dropout: After the hidden fully connected layers.
    """

    def __init__(
        self,
        num_classes: int,
        fusion: TimeFusion,
        *,
        streams: bool = False,
        divide: int = 1,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.length = TIME[fusion][1]
        self.fovea = Columns(fusion, divide=divide, last_pool=not streams)
        self.context = Columns(fusion, divide=divide, last_pool=False) if streams else None
        seen = (2 if streams else 1) * (2 if fusion == "late_fusion" else 1)
        hidden = 4096 // divide
        self.fc6 = nn.Linear(seen * self.fovea.outputs * CELLS**2, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.fc8 = nn.Linear(hidden, num_classes)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        B, T = x_BTCHW.shape[:2]
        if T % self.length:
            raise InvalidSetting(f"This network takes {self.length} frames or a multiple; got a clip of {T}.")
        clips = x_BTCHW.unflatten(1, (-1, self.length)).flatten(0, 1).transpose(1, 2)
        if self.context is None:
            x = self.fovea(clips).flatten(1)
        else:
            x = torch.cat([self.fovea(fovea(clips)).flatten(1), self.context(context(clips)).flatten(1)], 1)
        x = self.dropout(self.relu(self.fc6(x)))
        logits_NK = self.fc8(self.dropout(self.relu(self.fc7(x))))
        logits_BK: Tensor = logits_NK.unflatten(0, (B, -1)).mean(1)
        return logits_BK


def fovea(x_BCTHW: Tensor) -> Tensor:
    """The central half of the frame in either direction, at full resolution."""
    H, W = x_BCTHW.shape[3:]
    top, left = (H - H // 2) // 2, (W - W // 2) // 2
    return x_BCTHW[..., top : top + H // 2, left : left + W // 2]


def context(x_BCTHW: Tensor) -> Tensor:
    """The whole frame at half the resolution."""
    return avg_pool3d(x_BCTHW, (1, 2, 2))


def clip(sampling: Sampling, size: int) -> tuple[ClipSpec]:
    mean, std = (117 / 255,) * 3, (1 / 255,) * 3
    return (ClipSpec(sampling, size=(size, size), short_side_px=200, mean=mean, std=std),)


def stages(*columns: str) -> tuple[str, ...]:
    return (*(f"{column}.conv{i}" for column in columns for i in range(1, 6)), "fc6", "fc7")


ONE, TEN, TWO_APART = Sampling("dense", 1), Sampling("dense", 10), Sampling("dense", 2, 15)
FAMILY = Family(
    name="karpathy",
    paper=cite("deepvideo", "3"),
    network=Karpathy,
    inputs=clip(TEN, 170),
    tiny_inputs=clip(TWO_APART, 170),
    head=("fc8",),
    stages=stages("fovea"),
    cam_layers=(CamLayer("fovea.conv5", "BT C T H W"),),
    classes=487,
    fixed_size=True,
    notes="The authors published no weights; tests hold the paper's properties: sizes of the feature "
    "maps, reach in time, what either stream sees.",
)
MULTIRES = FAMILY.of(
    Karpathy,
    inputs=clip(TEN, 178),
    stages=stages("fovea", "context"),
    cam_layers=(
        CamLayer("fovea.conv5", "BT C T H W", centre=True),
        CamLayer("context.conv5", "BT C T H W"),
    ),
)


@FAMILY.model("An image network on one frame.", inputs=clip(ONE, 170))
def karpathy_single_frame(num_classes: int) -> Karpathy:
    return FAMILY.build(num_classes, fusion="single_frame")


@MULTIRES.model(
    "An image network on one frame; centre and whole picture in streams of their own.", inputs=clip(ONE, 178)
)
def karpathy_single_frame_multires(num_classes: int) -> Karpathy:
    return MULTIRES.build(num_classes, fusion="single_frame", streams=True)


@FAMILY.model("First convolution over ten frames.")
def karpathy_early_fusion(num_classes: int) -> Karpathy:
    return FAMILY.build(num_classes, fusion="early_fusion")


@MULTIRES.model("First convolution over ten frames; centre and whole picture in streams of their own.")
def karpathy_early_fusion_multires(num_classes: int) -> Karpathy:
    return MULTIRES.build(num_classes, fusion="early_fusion", streams=True)


@FAMILY.model(
    "Two frames half a second apart, joined in the first fully connected layer.", inputs=clip(TWO_APART, 170)
)
def karpathy_late_fusion(num_classes: int) -> Karpathy:
    return FAMILY.build(num_classes, fusion="late_fusion")


@MULTIRES.model(
    "Two frames half a second apart, joined in the first fully connected layer; "
    "centre and whole picture in streams of their own.",
    inputs=clip(TWO_APART, 178),
)
def karpathy_late_fusion_multires(num_classes: int) -> Karpathy:
    return MULTIRES.build(num_classes, fusion="late_fusion", streams=True)


@FAMILY.model("Three convolutions that join ten frames step by step.")
def karpathy_slow_fusion(num_classes: int) -> Karpathy:
    return FAMILY.build(num_classes, fusion="slow_fusion")


@MULTIRES.model(
    "Three convolutions that join ten frames step by step; centre and whole picture in streams of their own."
)
def karpathy_slow_fusion_multires(num_classes: int) -> Karpathy:
    return MULTIRES.build(num_classes, fusion="slow_fusion", streams=True)


@FAMILY.model("Late fusion for tests.", tiny=True)
def karpathy_late_fusion_tiny(num_classes: int) -> Karpathy:
    return FAMILY.build(num_classes, fusion="late_fusion", divide=16)


@MULTIRES.model("Slow fusion in two streams for tests.", inputs=clip(TEN, 178), tiny=True)
def karpathy_slow_fusion_multires_tiny(num_classes: int) -> Karpathy:
    return MULTIRES.build(num_classes, fusion="slow_fusion", streams=True, divide=16)
