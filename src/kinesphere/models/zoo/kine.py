"""`kine_small`: a small 3D residual network that learns motion in minutes on a laptop CPU; also on flow.

`kine_motion` is the same network after a fixed layer that keeps of the frames what changes, so that neither
backgrounds nor clothes tell it anything.

Our own; blocks after Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition",
CVPR 2018, https://arxiv.org/abs/1711.11248. Designed for CPUs: full 3D convolutions of small widths, after a
stem that shrinks time by two and space by four at once. `benchmarks/compact.py` compares it with
alternatives.

B batch, T time, C channels, H W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.family import Family
from kinesphere.models.layers.resnet3d import STAGES, conv3d, initialise, projection


class Block(nn.Module):
    """Two 3×3×3 convolutions and a shortcut; `stride` halves time and space together."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        steps = (stride, stride, stride)
        self.conv1 = conv3d(inputs, outputs, (3, 3, 3), steps)
        self.bn1 = nn.BatchNorm3d(outputs)
        self.conv2 = conv3d(outputs, outputs, (3, 3, 3))
        self.bn2 = nn.BatchNorm3d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = projection(inputs, outputs, steps)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        kept = x_BCTHW if self.downsample is None else self.downsample(x_BCTHW)
        x = self.relu(self.bn1(self.conv1(x_BCTHW)))
        out: Tensor = self.relu(self.bn2(self.conv2(x)) + kept)
        return out


class Changes(nn.Module):
    """What changes in a clip, (B, T, 3, H, W) to (B, T, 3, H, W) in [0, 1); 0 where nothing does.

    Of the brightness, three magnitudes: the difference to the frame before, the smaller one of the
    differences to the frames before and after (a fast thing where it is now, without where it came from),
    and the difference to the clip's mean. They saturate, so that a low contrast counts almost as much as a
    high one; the sign of a contrast, which is a matter of clothes and background, is dropped.

    Args:
        gain: Slope at 0; a difference of 1 / gain in the input's units is 0.76 at the output.
    """

    def __init__(self, gain: float = 2.0) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        grey = x_BTCHW.mean(dim=2)
        steps = (grey[:, 1:] - grey[:, :-1]).abs()
        before = torch.cat([steps[:, :1], steps], dim=1)
        after = torch.cat([steps, steps[:, -1:]], dim=1)
        away = (grey - grey.mean(dim=1, keepdim=True)).abs()
        changes = torch.stack([before, torch.minimum(before, after), away], dim=2)
        return torch.tanh(self.gain * changes)


class KineNet(nn.Module):
    """Stem, four blocks, global average, dropout, linear classifier.

    Args:
        num_classes: Number of outputs K.
        width: Channels of stem and first block; each later block doubles them.
        dropout: Before the classifier.
        channels: 3 for RGB, 2 for flow.
        motion: Whether the network sees of RGB frames only what changes (`Changes`).
    """

    def __init__(
        self,
        num_classes: int,
        width: int = 16,
        dropout: float = 0.2,
        *,
        channels: int = 3,
        motion: bool = False,
    ) -> None:
        super().__init__()
        self.changes = Changes() if motion else nn.Identity()
        self.stem = nn.Sequential(
            conv3d(channels, width, (5, 7, 7), (2, 4, 4)), nn.BatchNorm3d(width), nn.ReLU(inplace=True)
        )
        self.layer1 = Block(width, width, 1)
        self.layer2 = Block(width, 2 * width, 2)
        self.layer3 = Block(2 * width, 4 * width, 2)
        self.layer4 = Block(4 * width, 8 * width, 2)
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(8 * width, num_classes)
        initialise(self)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        x = self.stem(self.changes(x_BTCHW).transpose(1, 2))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits_BK: Tensor = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        return logits_BK


SPEC = ClipSpec(Sampling("uniform", 16), size=(96, 96), short_side_px=108)
MOTION_SPEC = ClipSpec(Sampling("dense", 16), size=(72, 96), fps=8.0, resize="letterbox")
KINE = Family(
    name="kine",
    paper=None,
    network=KineNet,
    inputs=(SPEC,),
    tiny_inputs=(ClipSpec(Sampling("uniform", 8), size=(32, 32), short_side_px=36),),
    stages=STAGES,
    cam_layers=(CamLayer("layer4", "B C T H W"),),
    classes=10,
)


@KINE.model("Small 3D residual network; trains on a laptop CPU.")
def kine_small(num_classes: int) -> KineNet:
    return KINE.build(num_classes)


@KINE.model(
    "kine_small on optical flow.",
    inputs=(SPEC.with_(modality="flow", fps=15.0, mean=(0.0, 0.0), std=(1.0, 1.0)),),
)
def kine_small_flow(num_classes: int) -> KineNet:
    return KINE.build(num_classes, channels=2)


@KINE.model(
    "kine_small on what changes in 2 s of the whole frame: backgrounds and clothes vanish.",
    inputs=(MOTION_SPEC,),
    classes=17,
)
def kine_motion(num_classes: int) -> KineNet:
    return KINE.build(num_classes, motion=True)


@KINE.model("kine_small for tests.", classes=10, tiny=True)
def kine_tiny(num_classes: int) -> KineNet:
    return KINE.build(num_classes, width=4)


@KINE.model("kine_motion for tests.", classes=10, tiny=True)
def kine_motion_tiny(num_classes: int) -> KineNet:
    return KINE.build(num_classes, width=4, motion=True)
