"""The image ResNet that frame-wise and recurrent models share; state keys equal torchvision's.

He, Zhang, Ren, Sun: "Deep Residual Learning for Image Recognition", CVPR 2016,
https://arxiv.org/abs/1512.03385, section 4.1 and table 1; the stride of a bottleneck sits on its 3×3
convolution, as in the public weights.

N frames, C channels, H W pixels.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from kinesphere.core.errors import InvalidSetting

BACKBONE_STAGES = tuple(f"backbone.{part}" for part in ("conv1", "layer1", "layer2", "layer3", "layer4"))
"""Stages of a network whose `backbone` this is."""


def conv2d(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size at stride 1; batch norm follows, so it has no bias."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Module | None:
    """A projection where the shape changes."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions."""

    expansion: ClassVar[int] = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv2d(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv2d(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(inputs, width, stride)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        kept = x_NCHW if self.downsample is None else self.downsample(x_NCHW)
        x = self.relu(self.bn1(self.conv1(x_NCHW)))
        out: Tensor = self.relu(self.bn2(self.conv2(x)) + kept)
        return out


class Bottleneck(nn.Module):
    """1×1 down, 3×3, 1×1 up."""

    expansion: ClassVar[int] = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = conv2d(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv2d(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv2d(width, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(inputs, outputs, stride)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        kept = x_NCHW if self.downsample is None else self.downsample(x_NCHW)
        x = self.relu(self.bn1(self.conv1(x_NCHW)))
        x = self.relu(self.bn2(self.conv2(x)))
        out: Tensor = self.relu(self.bn3(self.conv3(x)) + kept)
        return out


DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}
TINY_DEPTH = 10


class ResNet2d(nn.Module):
    """Frames `(N, C, H, W)` to features `(N, outputs)`: stem, four stages, global average; no classifier.

    Args:
        depth: 18, 34, 50, 101 or 152; 10 is one basic block per stage, for tests.
        channels: Input channels.
        width: Channels of the first stage.
    """

    def __init__(self, depth: int, channels: int = 3, width: int = 64) -> None:
        super().__init__()
        known = {**DEPTHS, TINY_DEPTH: (BasicBlock, (1, 1, 1, 1))}
        if depth not in known:
            raise InvalidSetting(f"A ResNet has depth {', '.join(map(str, DEPTHS))}; got {depth}.")
        block, counts = known[depth]
        self.conv1 = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = width
        stages = []
        for i, count in enumerate(counts):
            blocks = []
            for j in range(count):
                blocks.append(block(inputs, width * 2**i, 2 if i > 0 and j == 0 else 1))
                inputs = width * 2**i * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.outputs = inputs
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x_NCHW: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x_NCHW))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        features_NC: Tensor = self.avgpool(x).flatten(1)
        return features_NC
