"""S3D: Inception-v1 with each 3D convolution split into a spatial and a temporal one.

Xie, Sun, Huang, Tu, Murphy: "Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in
Video Classification", ECCV 2018, https://arxiv.org/abs/1712.04851, section 4 and figure 6.

B batch, T time, C channels, H W pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.build import register
from kinesphere.models.card import ModelCard, Paper, ReportedScore, WeightEntry
from kinesphere.models.keymap import KeyMap, Rename, squeeze
from kinesphere.models.zoo.i3d import BLOCKS, NORM_EPS, Triple


def unit(
    inputs: int, outputs: int, kernel: Triple, stride: Triple = (1, 1, 1), padding: Triple = (0, 0, 0)
) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, kernel, stride, padding, bias=False),
        nn.BatchNorm3d(outputs, eps=NORM_EPS),
        nn.ReLU(inplace=True),
    )


def separable(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A spatial convolution followed by a temporal one."""
    k, s, p = kernel, stride, kernel // 2
    return nn.Sequential(
        unit(inputs, outputs, (1, k, k), (1, s, s), (0, p, p)),
        unit(outputs, outputs, (k, 1, 1), (s, 1, 1), (p, 0, 0)),
    )


class SeparableInceptionBlock(nn.Module):
    """Four parallel branches, concatenated by channel."""

    def __init__(self, inputs: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        one = (1, 1, 1)
        self.branch0 = unit(inputs, widths[0], one)
        self.branch1 = nn.Sequential(unit(inputs, widths[1], one), separable(widths[1], widths[2], 3))
        self.branch2 = nn.Sequential(unit(inputs, widths[3], one), separable(widths[3], widths[4], 3))
        self.branch3 = nn.Sequential(nn.MaxPool3d(3, 1, 1), unit(inputs, widths[5], one))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        branches = (self.branch0, self.branch1, self.branch2, self.branch3)
        return torch.cat([branch(x_BCTHW) for branch in branches], dim=1)


class S3D(nn.Module):
    """Separable Inception-v1 (without the feature gating of S3D-G).

    Args:
        num_classes: Number of outputs K.
        divide: Divides all widths, for small variants.
        dropout: Share of features dropped in training.
    """

    def __init__(self, num_classes: int, *, divide: int = 1, dropout: float = 0.2) -> None:
        super().__init__()
        self.conv_1a = separable(3, 64 // divide, 7, 2)
        self.conv_2b = unit(64 // divide, 64 // divide, (1, 1, 1))
        self.conv_2c = separable(64 // divide, 192 // divide, 3)
        self.pool_spatial = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        self.pool_4a = nn.MaxPool3d(3, 2, 1)
        self.pool_5a = nn.MaxPool3d(2, 2)
        inputs = 192 // divide
        for name, full in BLOCKS.items():
            a, b, c, d, e, f = (width // divide for width in full)
            self.add_module(name, SeparableInceptionBlock(inputs, (a, b, c, d, e, f)))
            inputs = a + c + e + f
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, num_classes)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        x = self.pool_spatial(self.conv_1a(x_BCTHW.transpose(1, 2)))
        x = self.pool_spatial(self.conv_2c(self.conv_2b(x)))
        for name in BLOCKS:
            if name.endswith("b") and name != "mixed_3b":
                x = (self.pool_4a if name == "mixed_4b" else self.pool_5a)(x)
            x = self.get_submodule(name)(x)
        pairs = F.avg_pool3d(x, (min(2, x.shape[2]), *x.shape[3:]), stride=1)
        logits_BK: Tensor = self.fc(self.dropout(pairs).mean((2, 3, 4)))
        return logits_BK


PAPER = Paper(
    "Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in Video Classification",
    "Xie, Sun, Huang, Tu, Murphy",
    2018,
    "https://arxiv.org/abs/1712.04851",
    "4",
)
SPEC = ClipSpec(
    Sampling("dense", 64),
    size=(224, 224),
    fps=15.0,
    short_side_px=256,
    mean=(0.43216, 0.394666, 0.37645),
    std=(0.22803, 0.22145, 0.216989),
)
TINY_SPEC = SPEC.with_(sampling=Sampling("dense", 16), size=(32, 32), short_side_px=36)
STAGES = ("conv_1a", "conv_2b", "conv_2c", *BLOCKS)

TORCHVISION = KeyMap(
    "torchvision",
    (
        Rename("features.0.*", "conv_1a.*"),
        Rename("features.2.*", "conv_2b.*"),
        Rename("features.3.*", "conv_2c.*"),
        *(
            Rename(f"features.{i}.*", f"{name}.*")
            for i, name in zip((5, 6, 8, 9, 10, 11, 12, 14, 15), BLOCKS, strict=True)
        ),
        Rename("classifier.1.weight", "fc.weight", squeeze(2, 3, 4)),
        Rename("classifier.1.bias", "fc.bias"),
    ),
)
PROTOCOL = "clip level, 1 clip of 128 frames at 15 fps"


def s3d_card(
    name: str,
    summary: str,
    parameters: int,
    multiply_adds: int,
    *,
    spec: ClipSpec = SPEC,
    classes: int = 400,
    weights: tuple[WeightEntry, ...] = (),
    tiny: bool = False,
) -> ModelCard:
    return ModelCard(
        name=name,
        family="s3d",
        summary=summary,
        paper=PAPER,
        inputs=(spec,),
        parameters=parameters,
        multiply_adds=multiply_adds,
        classes=classes,
        head=("fc",),
        stages=STAGES,
        cam_layer="mixed_5c",
        weights=weights,
        tiny=tiny,
        notes="Pools and convolutions pad both sides alike, as the public PyTorch weights expect.",
    )


@register(
    s3d_card(
        "s3d",
        "Inception-v1 with spatial and temporal convolutions apart.",
        8_320_048,
        71_913_857_024,
        weights=(
            WeightEntry(
                tag="k400",
                url="https://download.pytorch.org/models/s3d-d76dad2f.pth",
                layout="torchvision",
                labels="kinetics400",
                classes=400,
                sha256="d76dad2f",
                licence="BSD-3-Clause",
                spec=SPEC.with_(sampling=Sampling("dense", 128)),
                scores=(
                    ReportedScore("top1", 0.68368, "Kinetics-400", PROTOCOL),
                    ReportedScore("top5", 0.8805, "Kinetics-400", PROTOCOL),
                ),
            ),
        ),
    ),
    (TORCHVISION,),
)
def s3d(num_classes: int, dropout: float = 0.2) -> nn.Module:
    return S3D(num_classes, dropout=dropout)


@register(
    s3d_card("s3d_tiny", "s3d for tests.", 127_589, 9_948_320, spec=TINY_SPEC, classes=5, tiny=True),
    (TORCHVISION,),
)
def s3d_tiny(num_classes: int) -> nn.Module:
    return S3D(num_classes, divide=8)
