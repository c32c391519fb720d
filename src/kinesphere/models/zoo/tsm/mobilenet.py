"""MobileNetV2 on every frame of a clip, with a place where a module may mix frames.

Sandler, Howard, Zhu, Zhmoginov, Chen: "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
https://arxiv.org/abs/1801.04381, section 4 and table 2.

B batch, T time, C channels, H W pixels, N frames (B times T).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch import Tensor, nn

from kinesphere.models.layers.frame_resnet import Mixer, clips, frames, no_mixing

# expansion, channels, blocks, stride of the first
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM, LAST = 32, 1280


def unit(inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU6."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Widen, filter every channel by itself, narrow: `(B, C, T, H, W) -> (B, C', T, H', W')`.

    Args:
        inputs: Channels C.
        outputs: Channels C'.
        stride: In space; at 1 with equal channels the input is added to the output.
        expansion: Widening factor; at 1 the block does not widen.
        before: Mixes frames before the first convolution; the shortcut goes around it.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, before: nn.Module) -> None:
        super().__init__()
        width = expansion * inputs
        self.residual = stride == 1 and inputs == outputs
        self.before = before
        self.expand = unit(inputs, width, 1) if expansion > 1 else nn.Identity()
        self.depthwise = unit(width, width, 3, stride, groups=width)
        self.project = nn.Sequential(nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return self.finish(x_BCTHW, self.before(x_BCTHW))

    def finish(self, x_BCTHW: Tensor, mixed_BCTHW: Tensor) -> Tensor:
        """The rest of the block: `x` for the shortcut, `mixed` for the convolutions."""
        out = self.project(self.depthwise(self.expand(frames(mixed_BCTHW))))
        if self.residual:
            out = out + frames(x_BCTHW)
        return clips(out, x_BCTHW.shape[2])


class FrameMobileNetV2(nn.Module):
    """Clips `(B, T, C, H, W)` to features of their frames `(B, T, outputs)`.

    Args:
        before: Makes the module before a residual block's first convolution.
        divide: Divides all widths, for small variants.
        repeat: Upper bound of blocks per stage, for small variants.
    """

    def __init__(self, *, before: Mixer = no_mixing, divide: int = 1, repeat: int = 4) -> None:
        super().__init__()
        inputs = STEM // divide
        self.conv1 = unit(3, inputs, 3, 2)
        for i, (expansion, channels, count, stride) in enumerate(STAGES, start=1):
            outputs = channels // divide
            blocks = []
            for j in range(min(count, repeat)):
                # only residual blocks are mixed: the others have no shortcut that keeps the frame itself
                mixer = before(i, j, inputs) if j > 0 else nn.Identity()
                blocks.append(InvertedResidual(inputs, outputs, stride if j == 0 else 1, expansion, mixer))
                inputs = outputs
            self.add_module(f"layer{i}", nn.Sequential(*blocks))
        self.outputs = LAST // divide
        self.conv2 = unit(inputs, self.outputs, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight)  # by inputs: a depthwise filter has nine

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        x = self.enter(x_BTCHW)
        for i in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{i}")(x)
        return self.leave(x)

    def enter(self, x_BTCHW: Tensor) -> Tensor:
        """Everything before the first block: `(B, C, T, H, W)`."""
        return clips(self.conv1(x_BTCHW.flatten(0, 1)), x_BTCHW.shape[1])

    def blocks(self) -> Iterator[InvertedResidual]:
        """The blocks from input to output."""
        for i in range(1, len(STAGES) + 1):
            stage = cast(nn.Sequential, self.get_submodule(f"layer{i}"))
            yield from (cast(InvertedResidual, block) for block in stage)

    def leave(self, x_BCTHW: Tensor) -> Tensor:
        """Everything after the last block: `(B, T, outputs)`."""
        features_NC = self.conv2(frames(x_BCTHW)).mean((2, 3))
        features_BTC: Tensor = features_NC.unflatten(0, (-1, x_BCTHW.shape[2]))
        return features_BTC
