"""TIN: channel groups move in time by learned, fractional offsets.

Shao, Qian, Liu: "Temporal Interlacing Network", AAAI 2020, https://arxiv.org/abs/2001.06499, section 3.

B batch, T time, C channels, G groups, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

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

REACH = 2.0  # frames, either way


def shift_by(x_BCTHW: Tensor, offset_BG: Tensor) -> Tensor:
    """Move each of G equal groups of channels by a number of frames, between frames linearly.

    What moves beyond the clip is lost; zeros come in. Differentiable in both arguments.

    Args:
        x_BCTHW: Clips.
        offset_BG: Frames towards the future.

    Returns:
        `(B, C, T, H, W)`.
    """
    B, C, T, H, W = x_BCTHW.shape
    G = offset_BG.shape[1]
    time = torch.arange(T, device=x_BCTHW.device, dtype=offset_BG.dtype)
    distance_BGTT = time[:, None] - time[None, :] - offset_BG[:, :, None, None]
    weight_BGTT = relu(1 - distance_BGTT.abs()).to(x_BCTHW.dtype)
    x_BTGN = x_BCTHW.transpose(1, 2).reshape(B, T, G, -1)
    moved_BTGN = torch.einsum("bgts,bsgn->btgn", weight_BGTT, x_BTGN)
    return moved_BTGN.reshape(B, T, C, H, W).transpose(1, 2)


class Interlace(nn.Module):
    """Shift a part of the channels of `(B, C, T, H, W)` and weigh them per frame.

    Half of that part is in `groups` groups with an offset each; the other half moves the opposite way.

    Args:
        channels: C.
        length: T; the offsets come from fully connected layers over time.
        division: One part in `division` takes part.
        groups: Learned offsets, and learned weights per frame.
    """

    def __init__(self, channels: int, length: int, division: int = 4, groups: int = 2) -> None:
        super().__init__()
        self.part = channels // division
        self.offset = nn.Conv1d(self.part, 1, 3, padding=1)
        self.fc1 = nn.Linear(length, length)
        self.fc2 = nn.Linear(length, groups)
        self.weight = nn.Conv1d(self.part, groups, 3, padding=1)
        nn.init.zeros_(self.offset.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.fc2.bias, 0.5108)  # an offset of half a frame to begin with
        nn.init.zeros_(self.weight.bias)  # type: ignore[arg-type]

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        part_BCTHW = x_BCTHW[:, : self.part]
        pooled_BCT = part_BCTHW.mean((3, 4))
        offset_BG = self.fc2(relu(self.fc1(self.offset(pooled_BCT).squeeze(1))))
        offset_BG = 2 * REACH * (offset_BG.sigmoid() - 0.5)
        shifted = shift_by(part_BCTHW, torch.cat([offset_BG, -offset_BG], 1))
        weight_BGT = 2 * self.weight(pooled_BCT).sigmoid()
        weight_BCT = torch.cat([weight_BGT, weight_BGT], 1)
        weight_BCT = weight_BCT.repeat_interleave(self.part // weight_BCT.shape[1], 1)
        out = torch.empty_like(x_BCTHW, dtype=shifted.dtype)
        out[:, : self.part] = shifted * weight_BCT[..., None, None]
        out[:, self.part :] = x_BCTHW[:, self.part :]
        return out


class TIN(nn.Module):
    """ResNet on frames with interlacing before each residual block; scores averaged over frames."""

    def __init__(
        self, num_classes: int, depth: int, *, length: int = 8, width: int = 64, dropout: float = 0.5
    ) -> None:
        super().__init__()

        def interlace(_stage: int, _block: int, channels: int) -> nn.Module:
            return Interlace(channels, length)

        self.backbone = FrameResNet(depth, width=width, before=interlace)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.backbone.outputs, num_classes)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        logits_BTK: Tensor = self.fc(self.dropout(self.backbone(x_BTCHW)))
        return logits_BTK.mean(1)


SPEC = ClipSpec(Sampling("uniform", 8), size=(224, 224), short_side_px=256, mean=MEAN, std=STD)


def reads_length(state: Mapping[str, Tensor]) -> Arguments:
    """Frames per clip, from the first fully connected layer over time."""
    key = "backbone.layer1.0.conv1.conv.net1.offset_net.fc1.weight"
    return {"length": state[key].shape[0]} if key in state else {}


MMACTION2 = KeyMap(
    "mmaction2",
    (
        *MMACTION2_STEM,
        *(
            Rename(
                f"backbone.{EVERY_BLOCK}.conv1.conv.net1.{theirs}.*",
                f"backbone.{EVERY_BLOCK}.before.{ours}.*",
            )
            for theirs, ours in (
                ("offset_net.conv", "offset"),
                ("offset_net.fc1", "fc1"),
                ("offset_net.fc2", "fc2"),
                ("weight_net.conv", "weight"),
            )
        ),
        *mmaction2_block(conv1="conv.net2"),
        *MMACTION2_HEAD,
    ),
    infer=reads_length,
)


FAMILY = Family(
    name="tin",
    paper=cite("2001.06499", "3"),
    network=TIN,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("uniform", 4), size=(64, 64), short_side_px=72),),
    stages=BACKBONE_STAGES,
    cam_layers=(CamLayer("backbone.layer4", "B C T H W"),),
    key_maps=(MMACTION2, IMAGENET),
    fit=fit_length,
    fixed_length=True,
    notes="Layers over time fix T; the builder's `length` changes it. The shift is plain PyTorch: a "
    "product with triangular weights over time.",
)


@FAMILY.model("ResNet-50 whose channel groups move in time by learned offsets.")
def tin_resnet50(num_classes: int) -> TIN:
    return FAMILY.build(num_classes, depth=50)


@FAMILY.model("tin_resnet50 for tests.", tiny=True)
def tin_tiny(num_classes: int) -> TIN:
    return FAMILY.build(num_classes, depth=TINY_DEPTH, width=16, length=4)
