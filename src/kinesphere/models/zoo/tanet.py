"""TANet: every clip makes its own temporal kernels.

Liu, Wang, Wu, Qian, Lu: "TAM: Temporal Adaptive Module for Video Recognition", ICCV 2021,
https://arxiv.org/abs/2005.06803, section 3.

B batch, T time, C channels, H W pixels, L kernel length.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import MEAN, STD, fit_length
from kinesphere.models.family import Family
from kinesphere.models.layers.frame_resnet import TINY_DEPTH, FrameResNet
from kinesphere.models.layers.resnet2d import BACKBONE_STAGES
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import Arguments, KeyMap, Rename
from kinesphere.models.weights.maps.resnet2d import (
    EVERY_BLOCK,
    IMAGENET,
    MMACTION2_HEAD,
    MMACTION2_STEM,
    mmaction2_block,
)

KERNEL = 3


class TemporalAdaptive(nn.Module):
    """Gate `(B, C, T, H, W)` locally in time, then convolve each channel in time with a kernel of its own.

    Args:
        channels: C.
        length: T; the kernels come from fully connected layers over time.
        widen: Hidden units of the kernel branch per frame.
        narrow: Channels per hidden channel of the gate.
    """

    def __init__(self, channels: int, length: int, *, widen: int = 2, narrow: int = 4) -> None:
        super().__init__()
        hidden = channels // narrow
        self.kernel = nn.Sequential(
            nn.Linear(length, widen * length, bias=False),
            nn.BatchNorm1d(widen * length),
            nn.ReLU(inplace=True),
            nn.Linear(widen * length, KERNEL, bias=False),
            nn.Softmax(-1),
        )
        self.gate = nn.Sequential(
            nn.Conv1d(channels, hidden, 3, padding=1, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv1d(hidden, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        pooled_BCT = x_BCTHW.mean((3, 4))
        kernel_BCL = self.kernel(pooled_BCT.flatten(0, 1)).unflatten(0, pooled_BCT.shape[:2])
        gated = x_BCTHW * self.gate(pooled_BCT)[..., None, None]
        before, now, after = kernel_BCL[..., None, None].unbind(2)
        out: Tensor = gated * now.unsqueeze(2)
        out[:, :, 1:] += gated[:, :, :-1] * before.unsqueeze(2)
        out[:, :, :-1] += gated[:, :, 1:] * after.unsqueeze(2)
        return out


class TANet(nn.Module):
    """ResNet on frames with adaptive temporal kernels in each block; scores averaged over frames."""

    def __init__(
        self, num_classes: int, depth: int, *, length: int = 8, width: int = 64, dropout: float = 0.5
    ) -> None:
        super().__init__()

        def adapt(_stage: int, _block: int, channels: int) -> nn.Module:
            return TemporalAdaptive(channels, length)

        self.backbone = FrameResNet(depth, width=width, between=adapt)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.backbone.outputs, num_classes)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        logits_BTK: Tensor = self.fc(self.dropout(self.backbone(x_BTCHW)))
        return logits_BTK.mean(1)


SPEC = ClipSpec(Sampling("dense", 8, 8), size=(224, 224), short_side_px=256, mean=MEAN, std=STD)


def reads_length(state: Mapping[str, Tensor]) -> Arguments:
    """Frames per clip, from the first fully connected layer over time."""
    key = "backbone.layer1.0.tam.G.0.weight"
    return {"length": state[key].shape[1]} if key in state else {}


MMACTION2 = KeyMap(
    "mmaction2",
    (
        *MMACTION2_STEM,
        Rename(f"backbone.{EVERY_BLOCK}.tam.G.*", f"backbone.{EVERY_BLOCK}.between.kernel.*"),
        Rename(f"backbone.{EVERY_BLOCK}.tam.L.*", f"backbone.{EVERY_BLOCK}.between.gate.*"),
        *mmaction2_block(inside=".block"),
        *MMACTION2_HEAD,
    ),
    infer=reads_length,
)


FAMILY = Family(
    name="tanet",
    paper=cite("2005.06803", "3"),
    network=TANet,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("dense", 4, 8), size=(64, 64), short_side_px=72),),
    stages=BACKBONE_STAGES,
    cam_layers=(CamLayer("backbone.layer4", "B C T H W"),),
    key_maps=(MMACTION2, IMAGENET),
    fit=fit_length,
    fixed_length=True,
    notes="Layers over time fix T; the builder's `length` changes it.",
)


@FAMILY.model("ResNet-50 that convolves each channel in time with a kernel made from the clip.")
def tanet_resnet50(num_classes: int) -> TANet:
    return FAMILY.build(num_classes, depth=50)


@FAMILY.model("tanet_resnet50 for tests.", tiny=True)
def tanet_tiny(num_classes: int) -> TANet:
    return FAMILY.build(num_classes, depth=TINY_DEPTH, width=16, length=4)
