"""Bottleneck residual networks over time, height and width.

One network behind SlowOnly, ResNet-I3D, C2D, the non-local networks, channel-separated networks and
3D ResNet-50; SlowFast and the temporal pyramid build on its stages.

He, Zhang, Ren, Sun: "Deep Residual Learning for Image Recognition", CVPR 2016,
https://arxiv.org/abs/1512.03385, table 1. The stride sits in the middle convolution. Names follow the image
network (`layer1.0.conv1`, `bn1`, `downsample.0`), so that image weights inflate name by name.

B batch, T time, C channels, H W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Size3 = tuple[int, int, int]
First = Callable[[int, int, int], nn.Module]
"""Builds the first convolution of a block from (inputs, width, temporal length)."""
Middle = Callable[[int, Size3], nn.Module]
"""Builds the middle convolution of a block from (width, stride)."""
Attend = Callable[[int], nn.Module]
"""Builds what follows a block from its number of channels."""

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
EXPANSION = 4
SPATIAL_STRIDES: tuple[Size3, ...] = ((1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2))


def conv3d(
    inputs: int, outputs: int, kernel: Size3, stride: Size3 = (1, 1, 1), *, groups: int = 1
) -> nn.Conv3d:
    """A convolution that keeps the size at stride 1; batch norm follows, so it has no bias."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)


def reduce(inputs: int, width: int, length: int) -> nn.Module:
    """The usual first convolution: narrows the channels and looks over `length` frames."""
    return conv3d(inputs, width, (length, 1, 1))


def spatial(width: int, stride: Size3) -> nn.Module:
    """The usual middle convolution: 3×3 within each frame."""
    return conv3d(width, width, (1, 3, 3), stride)


def projection(inputs: int, outputs: int, stride: Size3) -> nn.Module | None:
    """The shortcut of a block that changes the shape, with batch norm; None for the input itself."""
    if stride == (1, 1, 1) and inputs == outputs:
        return None
    return nn.Sequential(conv3d(inputs, outputs, (1, 1, 1), stride), nn.BatchNorm3d(outputs))


def max_pool(kernel: Size3, stride: Size3, *, ceil_mode: bool = False) -> nn.MaxPool3d:
    """A maximum over a centred window."""
    return nn.MaxPool3d(kernel, stride, (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2), ceil_mode=ceil_mode)


def stem(inputs: int, width: int, kernel: Size3, stride: Size3, pool: nn.Module | None) -> nn.Sequential:
    """First convolution, batch norm, ReLU and, with `pool`, what shrinks its output."""
    layers = [conv3d(inputs, width, kernel, stride), nn.BatchNorm3d(width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, *([] if pool is None else [pool]))


def frame_stem(inputs: int, width: int) -> nn.Sequential:
    """The image network's stem, frame by frame: 7×7 convolution and 3×3 max-pooling."""
    return stem(inputs, width, (1, 7, 7), (1, 2, 2), max_pool((1, 3, 3), (1, 2, 2)))


class Bottleneck(nn.Module):
    """Narrow, look around, widen, and add the input.

    Args:
        inputs: Channels of the input.
        width: Channels inside; the output has four times as many.
        length: Frames under the first convolution.
        stride: Stride of the middle convolution and the shortcut.
        first: Builds the first convolution.
        middle: Builds the middle convolution.
        attend: Builds what follows the block (non-local attention), if anything.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        *,
        length: int = 1,
        stride: Size3 = (1, 1, 1),
        first: First = reduce,
        middle: Middle = spatial,
        attend: Attend | None = None,
    ) -> None:
        super().__init__()
        outputs = width * EXPANSION
        self.conv1 = first(inputs, width, length)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = middle(width, stride)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = conv3d(width, outputs, (1, 1, 1))
        self.bn3 = nn.BatchNorm3d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = projection(inputs, outputs, stride)
        self.attention: nn.Module | None = None if attend is None else attend(outputs)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        shortcut = x_BCTHW if self.downsample is None else self.downsample(x_BCTHW)
        x = self.relu(self.bn1(self.conv1(x_BCTHW)))
        x = self.relu(self.bn2(self.conv2(x)))
        out: Tensor = self.relu(self.bn3(self.conv3(x)) + shortcut)
        return out if self.attention is None else self.attention(out)


def stage(
    inputs: int,
    width: int,
    depth: int,
    *,
    lengths: tuple[int, ...] = (1,),
    stride: Size3 = (1, 1, 1),
    first: First = reduce,
    middle: Middle = spatial,
    attend: Attend | None = None,
    attend_after: tuple[int, ...] = (),
) -> nn.Sequential:
    """`depth` blocks, the first one with the stride.

    Args:
        inputs: Channels of the input.
        width: Channels inside the blocks.
        depth: Number of blocks.
        lengths: Temporal lengths of the first convolutions, repeated along the stage.
        stride: Stride of the first block.
        first: Builds the first convolution of each block.
        middle: Builds the middle convolution of each block.
        attend: Builds what follows the blocks of `attend_after`.
        attend_after: Indices of those blocks.
    """
    return nn.Sequential(
        *(
            Bottleneck(
                inputs if i == 0 else width * EXPANSION,
                width,
                length=lengths[i % len(lengths)],
                stride=stride if i == 0 else (1, 1, 1),
                first=first,
                middle=middle,
                attend=attend if i in attend_after else None,
            )
            for i in range(depth)
        )
    )


class ResNet3d(nn.Module):
    """Stem, four stages, global average, dropout, linear classifier.

    Args:
        num_classes: Number of outputs K.
        depths: Blocks per stage.
        entry: The stem; its output has `width` channels.
        width: Channels inside the blocks of the first stage; each later stage doubles them.
        lengths: Per stage, temporal lengths of the first convolutions, repeated along the stage.
        strides: Per stage.
        first: Builds the first convolution of each block.
        middle: Builds the middle convolution of each block.
        halve_time: Whether to keep every second frame's maximum after the first stage.
        attend: Builds what follows the blocks of `attend_after`.
        attend_after: Per stage, indices of those blocks.
        dropout: Before the classifier.
        norm_eps: Batch-norm epsilon.
    """

    def __init__(
        self,
        num_classes: int,
        depths: tuple[int, ...],
        entry: nn.Module,
        *,
        width: int = 64,
        lengths: tuple[tuple[int, ...], ...] = ((1,), (1,), (1,), (1,)),
        strides: tuple[Size3, ...] = SPATIAL_STRIDES,
        first: First = reduce,
        middle: Middle = spatial,
        halve_time: bool = False,
        attend: Attend | None = None,
        attend_after: tuple[tuple[int, ...], ...] = ((), (), (), ()),
        dropout: float = 0.5,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.stem = entry
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            stage(
                width if i == 0 else width * 2 ** (i - 1) * EXPANSION,
                width * 2**i,
                depths[i],
                lengths=lengths[i],
                stride=strides[i],
                first=first,
                middle=middle,
                attend=attend,
                attend_after=attend_after[i],
            )
            for i in range(4)
        )
        self.pool = max_pool_time() if halve_time else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width * 8 * EXPANSION, num_classes)
        initialise(self, norm_eps)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        x = self.pool(self.layer1(self.stem(x_BTCHW.transpose(1, 2))))
        x = self.layer4(self.layer3(self.layer2(x)))
        logits_BK: Tensor = self.fc(self.dropout(average(x)))
        return logits_BK


def max_pool_time() -> nn.MaxPool3d:
    """The maximum of every two frames; a last odd one stands for itself."""
    return nn.MaxPool3d((2, 1, 1), (2, 1, 1), ceil_mode=True)


def average(x_BCTHW: Tensor) -> Tensor:
    """Mean over time and space, `(B, C)`."""
    return torch.mean(x_BCTHW, (2, 3, 4))


def initialise(net: nn.Module, norm_eps: float = 1e-5) -> None:
    """He initialisation of the convolutions, and one epsilon for all batch norms."""
    for module in net.modules():
        if isinstance(module, nn.Conv3d) and not module.weight.is_meta:  # random numbers on meta cost seconds
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm3d):
            module.eps = norm_eps
