"""Pixels and keypoints of the same moments: fused at the end, or on the way as well.

Duan, Zhao, Chen, Lin, Dai: "Revisiting Skeleton-based Action Recognition", CVPR 2022,
https://arxiv.org/abs/2104.13586, section 3.4 and table 2 (RGBPose-Conv3D): few large frames for pixels,
many small heatmaps for keypoints, connected in both directions after the third and fourth stage of the
pixels' network, and the mean of their class probabilities.

B batch, T time, C channels, P people, J joints, H W pixels, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.errors import InvalidSetting
from kinesphere.models.card import CamLayer, Part
from kinesphere.models.contracts import MEAN, STD, with_size
from kinesphere.models.family import Family
from kinesphere.models.layers.resnet3d import (
    DEPTHS,
    EXPANSION,
    STAGES,
    Size3,
    average,
    frame_stem,
    initialise,
    max_pool,
    stage,
    stem,
)
from kinesphere.models.weights.keymap import Arguments
from kinesphere.models.zoo import posec3d
from kinesphere.models.zoo.slowonly import slowonly_resnet

RATIO = 4  # heatmaps per frame
SHRINK = 4  # pixels of a frame per cell of a heatmap, either way


def fused(logits_rgb_BK: Tensor, logits_pose_BK: Tensor, rgb_share: float) -> Tensor:
    """Logits whose softmax is the weighted mean of the two softmaxes."""
    scores = torch.stack((logits_rgb_BK.log_softmax(-1), logits_pose_BK.log_softmax(-1)))
    shares = scores.new_tensor([rgb_share, 1 - rgb_share]).log()
    return torch.logsumexp(scores + shares[:, None, None], 0)


def check_share(rgb_share: float) -> None:
    if not 0 < rgb_share < 1:
        raise InvalidSetting(f"The pixels' share of the answer lies between 0 and 1; got {rgb_share}.")


class ScoreFusion(nn.Module):
    """Two networks that know nothing of each other until the end.

    Args:
        rgb: Takes pixels `(B, T, C, H, W)`.
        pose: Takes keypoints `(B, T, P, J, C)`.
        rgb_share: Weight of the pixels' probabilities; the keypoints have the rest.
    """

    def __init__(self, rgb: nn.Module, pose: nn.Module, rgb_share: float) -> None:
        super().__init__()
        check_share(rgb_share)
        self.rgb = rgb
        self.pose = pose
        self.rgb_share = rgb_share

    def forward(self, rgb_BTCHW: Tensor, pose_BTPJC: Tensor) -> Tensor:
        return fused(self.rgb(rgb_BTCHW), self.pose(pose_BTPJC), self.rgb_share)


class Lateral(nn.Module):
    """Features of one pathway at the other's frame rate, normalised: `(B, C, T, H, W)`."""

    def __init__(self, channels: int, *, faster: bool) -> None:
        super().__init__()
        self.conv: nn.Module
        if faster:
            self.conv = nn.ConvTranspose3d(channels, channels, (RATIO, 1, 1), (RATIO, 1, 1), bias=False)
        else:
            self.conv = nn.Conv3d(channels, channels, (5, 1, 1), (RATIO, 1, 1), (2, 0, 0), bias=False)
        self.bn = nn.BatchNorm3d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        out: Tensor = self.relu(self.bn(self.conv(x_BCTHW)))
        return out


class RGBPoseConv3d(nn.Module):
    """SlowOnly on pixels and PoseC3D on keypoints, connected both ways at 1/8 and 1/16 of the frame.

    There are four frames of keypoints to one of pixels, and heatmaps have a quarter of the frame's size.

    Args:
        num_classes: Number of outputs K.
        depths: Blocks per stage of the pixels' network.
        pose_depths: Blocks per stage of the keypoints' network.
        width: Channels of the pixels' stem; the keypoints' has half.
        skeleton: Name of the skeleton.
        draw: Joints, or the limbs between them.
        size_px: Height and width of the heatmaps; the frames have four times that.
        rgb_share: Weight of the pixels' probabilities; the keypoints have the rest.
        dropout: Before the classifiers.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        depths: tuple[int, ...] = DEPTHS[50],
        pose_depths: tuple[int, ...] = (4, 6, 3),
        width: int = 64,
        skeleton: str = "coco17",
        draw: posec3d.Draw = "joints",
        size_px: int = 56,
        rgb_share: float = 0.5,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_share(rgb_share)
        self.rgb_share = rgb_share
        w, v = width, width // 2
        half: Size3 = (1, 2, 2)
        wide = (2 * w * EXPANSION, 4 * w * EXPANSION)  # of the pixels, where they are connected
        thin = (v * EXPANSION, 2 * v * EXPANSION)  # of the keypoints there
        self.rgb = nn.ModuleDict(
            {
                "stem": frame_stem(3, w),
                "layer1": stage(w, w, depths[0]),
                "layer2": stage(w * EXPANSION, 2 * w, depths[1], stride=half),
                "layer3": stage(wide[0] + thin[0], 4 * w, depths[2], lengths=(3,), stride=half),
                "layer4": stage(wide[1] + thin[1], 8 * w, depths[3], lengths=(3,), stride=half),
            }
        )
        self.heatmaps = posec3d.ShareHeatmaps(skeleton, draw, size_px)
        pool = max_pool((1, 3, 3), (1, 1, 1))
        channels = posec3d.channels_of(skeleton, draw)
        self.pose = nn.ModuleDict(
            {
                "stem": stem(channels, v, (1, 7, 7), (1, 1, 1), pool),
                "layer1": stage(v, v, pose_depths[0], stride=half),
                "layer2": stage(thin[0] + wide[0], 2 * v, pose_depths[1], lengths=(3,), stride=half),
                "layer3": stage(thin[1] + wide[1], 4 * v, pose_depths[2], lengths=(3,), stride=half),
            }
        )
        self.to_rgb1, self.to_rgb2 = (Lateral(channels, faster=False) for channels in thin)
        self.to_pose1, self.to_pose2 = (Lateral(channels, faster=True) for channels in wide)
        self.dropout = nn.Dropout(dropout)
        self.fc_rgb = nn.Linear(8 * w * EXPANSION, num_classes)
        self.fc_pose = nn.Linear(4 * v * EXPANSION, num_classes)
        initialise(self)

    def forward(self, rgb_BTCHW: Tensor, pose_BTPJC: Tensor) -> Tensor:
        check_lengths(rgb_BTCHW, pose_BTPJC)
        rgb, pose = self.rgb, self.pose
        x = rgb["layer2"](rgb["layer1"](rgb["stem"](rgb_BTCHW.transpose(1, 2))))
        y = pose["layer1"](pose["stem"](self.heatmaps(pose_BTPJC).transpose(1, 2)))
        x, y = torch.cat((x, self.to_rgb1(y)), 1), torch.cat((y, self.to_pose1(x)), 1)
        x, y = rgb["layer3"](x), pose["layer2"](y)
        x, y = torch.cat((x, self.to_rgb2(y)), 1), torch.cat((y, self.to_pose2(x)), 1)
        x, y = rgb["layer4"](x), pose["layer3"](y)
        logits_rgb_BK = self.fc_rgb(self.dropout(average(x)))
        return fused(logits_rgb_BK, self.fc_pose(self.dropout(average(y))), self.rgb_share)


@fx.wrap  # type: ignore[misc, unused-ignore]
def check_lengths(rgb_BTCHW: Tensor, pose_BTPJC: Tensor) -> None:
    frames, poses = rgb_BTCHW.shape[1], pose_BTPJC.shape[1]
    if poses != RATIO * frames:
        raise InvalidSetting(
            f"Keypoints come at {RATIO} times the frames of pixels; got {poses} and {frames}. "
            "Choose the samplings of the two inputs so, such as clip.rgb.sampling=uniform8 "
            "clip.pose.sampling=uniform32 in a recipe."
        )


def late_fusion(
    num_classes: int,
    *,
    depths: tuple[int, ...] = DEPTHS[50],
    pose_depths: tuple[int, ...] = (4, 6, 3),
    width: int = 64,
    skeleton: str = "coco17",
    draw: posec3d.Draw = "joints",
    size_px: int = 64,
    rgb_share: float = 0.5,
    dropout: float = 0.5,
) -> ScoreFusion:
    """SlowOnly on pixels of any size and PoseC3D on keypoints; arguments as of `RGBPoseConv3d`."""
    rgb = slowonly_resnet(num_classes, depths=depths, width=width, dropout=dropout)
    pose = posec3d.slowonly_on_heatmaps(
        num_classes,
        depths=pose_depths,
        width=width // 2,
        skeleton=skeleton,
        draw=draw,
        size_px=size_px,
        dropout=dropout,
    )
    return ScoreFusion(rgb, pose, rgb_share)


def fit_late(spec: ClipSpec, arguments: Arguments) -> ClipSpec:
    """The contract of the keypoints for the skeleton and heatmap size of a network; pixels stay."""
    if spec.skeleton is None:
        return spec
    size_px = int(arguments.get("size_px", spec.size[0]))  # type: ignore[arg-type]
    return posec3d.fit(with_size(spec, (size_px, size_px)), arguments)


def fit(spec: ClipSpec, arguments: Arguments) -> ClipSpec:
    """Both contracts for the heatmap size of a connected network: pixels have four times that."""
    if spec.skeleton is not None or "size_px" not in arguments:
        return fit_late(spec, arguments)
    side = SHRINK * int(arguments["size_px"])  # type: ignore[arg-type]
    return with_size(spec, (side, side))


RGB_SPEC = ClipSpec(Sampling("uniform", 8), size=(224, 224), short_side_px=256, mean=MEAN, std=STD)
# The same part of the frame as the pixels show, so that the two can be laid on each other.
POSE_SPEC = posec3d.SPEC.with_(
    sampling=Sampling("uniform", 32), size=(56, 56), resize="short_side", short_side_px=64
)
TINY_RGB = RGB_SPEC.with_(sampling=Sampling("uniform", 2), size=(64, 64), short_side_px=64)
TINY_POSE = POSE_SPEC.with_(sampling=Sampling("uniform", 8), size=(16, 16), short_side_px=16)
LATE = Family(
    name="rgbpose",
    paper=posec3d.PAPER,
    network=late_fusion,
    inputs=(RGB_SPEC, posec3d.SPEC),
    tiny_inputs=(TINY_RGB, TINY_POSE),
    stages=(*(f"rgb.{part}" for part in STAGES), *(f"pose.{part}" for part in posec3d.RESNET_STAGES)),
    head=("rgb.fc", "pose.fc"),
    cam_layers=(
        CamLayer("rgb.layer4", "B C T H W"),
        CamLayer("pose.layer3", "B C T H W", input=1, heatmaps=True),
    ),
    classes=60,
    fit=fit_late,
    fixed_size=("pose",),
    notes="Made from its two halves by `join`; parity rests on theirs. `rgb_share` weighs probabilities.",
)
CONNECTED = LATE.of(
    RGBPoseConv3d,
    inputs=(RGB_SPEC, POSE_SPEC),
    stages=(
        *("rgb.stem", "rgb.layer1", "rgb.layer2", "pose.stem", "pose.layer1", "to_rgb1", "to_pose1"),
        *("rgb.layer3", "pose.layer2", "to_rgb2", "to_pose2", "rgb.layer4", "pose.layer3"),
    ),
    head=("fc_rgb", "fc_pose"),
    fit=fit,
    fixed_size=True,
    notes="No public fixture: checked by the paper's properties (without connections it is score fusion, and "
    "both pathways see both inputs). Learns from the fused probabilities; the authors add up a loss per "
    "pathway.",
)


@LATE.model(
    "SlowOnly on pixels and PoseC3D on keypoints, probabilities averaged.",
    parts=(
        Part("rgb", "slowonly_resnet50", "pixels", {"depths": "depths", "width": "width"}),
        Part(
            "pose",
            "posec3d_slowonly_resnet50",
            "keypoints",
            {"depths": "pose_depths", "skeleton": "skeleton", "draw": "draw", "size_px": "size_px"},
        ),
    ),
)
def rgbpose_late(num_classes: int) -> ScoreFusion:
    return LATE.build(num_classes)


@CONNECTED.model("Pixels and keypoints, connected both ways on the way and averaged at the end.")
def rgbpose_conv3d(num_classes: int) -> RGBPoseConv3d:
    return CONNECTED.build(num_classes)


@LATE.model("rgbpose_late for tests.", tiny=True)
def rgbpose_late_tiny(num_classes: int) -> ScoreFusion:
    return LATE.build(num_classes, depths=(1, 1, 1, 1), pose_depths=(1, 1, 1), width=8, size_px=16)


@CONNECTED.model("rgbpose_conv3d for tests.", tiny=True)
def rgbpose_conv3d_tiny(num_classes: int) -> RGBPoseConv3d:
    return CONNECTED.build(num_classes, depths=(1, 1, 1, 1), pose_depths=(1, 1, 1), width=8, size_px=16)
