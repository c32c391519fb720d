"""An image ResNet on every frame of a clip, with places where modules may mix frames.

The layers and their names are those of `ResNet2d` (and torchvision's), so that image weights fit. Between
blocks features have the form of a 3D network's, `(B, C, T, H, W)`: a view of frames that lie one after the
other in memory, so that nothing is copied on the way in and out of a 2D convolution.

B batch, T time, C channels, H W pixels, N frames (B times T).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

from torch import Tensor, nn

from kinesphere.core.errors import InvalidSetting
from kinesphere.models.layers.nonlocal_block import NonLocalBlock
from kinesphere.models.layers.resnet2d import DEPTHS, Bottleneck, conv2d, shortcut

TINY_DEPTH = 14
Mixer = Callable[[int, int, int], nn.Module]
"""Makes the module for `(stage, block, channels)`; it keeps the shape (B, C, T, H, W)."""
Attention = Callable[[int], NonLocalBlock]


def frames(x_BCTHW: Tensor) -> Tensor:
    """Frames `(N, C, H, W)` of clips."""
    return x_BCTHW.transpose(1, 2).flatten(0, 1)


def clips(x_NCHW: Tensor, length: int) -> Tensor:
    """Clips `(B, C, T, H, W)` of `length` frames each."""
    x_BCTHW: Tensor = x_NCHW.unflatten(0, (-1, length)).transpose(1, 2)
    return x_BCTHW


def no_mixing(_stage: int, _block: int, _channels: int) -> nn.Module:
    return nn.Identity()


def block_counts(depth: int) -> tuple[bool, tuple[int, ...]]:
    """Whether a ResNet of `depth` has bottlenecks, and its blocks per stage.

    Raises:
        InvalidSetting: If there is no ResNet of that depth; 14 is one bottleneck per stage, for tests.
    """
    if depth == TINY_DEPTH:
        return True, (1, 1, 1, 1)
    if depth not in DEPTHS:
        raise InvalidSetting(f"A ResNet has depth {', '.join(map(str, DEPTHS))}; got {depth}.")
    block, counts = DEPTHS[depth]
    return block is Bottleneck, counts


class FrameBlock(nn.Module):
    """A residual block `(B, C, T, H, W) -> (B, C', T, H', W')`.

    Args:
        inputs: Channels C.
        width: Channels inside.
        stride: In space.
        bottleneck: 1×1, 3×3, 1×1 convolutions with four times the width as output, or two of 3×3.
        before: Mixes frames before the first convolution; the shortcut goes around it.
        between: Mixes frames after the first convolution with its batch norm and ReLU.
        attention: Follows the block.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int,
        *,
        bottleneck: bool,
        before: nn.Module,
        between: nn.Module,
        attention: NonLocalBlock | None = None,
    ) -> None:
        super().__init__()
        outputs = 4 * width if bottleneck else width
        self.before = before
        self.conv1 = conv2d(inputs, width, 1) if bottleneck else conv2d(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.between = between
        self.conv2 = conv2d(width, width, 3, stride if bottleneck else 1)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv2d(width, outputs, 1) if bottleneck else None
        self.bn3 = nn.BatchNorm2d(outputs) if bottleneck else None
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(inputs, outputs, stride)
        self.attention = attention

    @property
    def chains(self) -> tuple[tuple[str, ...], ...]:
        """See `runtime.inference.HasChains`."""
        pairs = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))
        return pairs if self.conv3 is not None else pairs[:2]

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return self.finish(x_BCTHW, self.before(x_BCTHW))

    def finish(self, x_BCTHW: Tensor, mixed_BCTHW: Tensor) -> Tensor:
        """The rest of the block: `x` for the shortcut, `mixed` for the convolutions."""
        length = x_BCTHW.shape[2]
        kept_NCHW = frames(x_BCTHW)
        if self.downsample is not None:
            kept_NCHW = self.downsample(kept_NCHW)
        x = self.relu(self.bn1(self.conv1(frames(mixed_BCTHW))))
        x = self.bn2(self.conv2(frames(self.between(clips(x, length)))))
        if self.conv3 is not None and self.bn3 is not None:
            x = self.bn3(self.conv3(self.relu(x)))
        out = clips(self.relu(x + kept_NCHW), length)
        return out if self.attention is None else self.attention(out)


class FrameResNet(nn.Module):
    """Clips `(B, T, C, H, W)` to features of their frames `(B, T, outputs)`.

    Args:
        depth: 18, 34, 50, 101 or 152; 14 is one bottleneck per stage, for tests.
        width: Channels of the first stage.
        before: Makes the module before a block's first convolution.
        between: Makes the module after it.
        attention: Makes the non-local block that follows the blocks in `attended`.
        attended: `(stage, block)` places, stages from 1.
    """

    chains = (("conv1", "bn1", "relu"),)

    def __init__(
        self,
        depth: int,
        *,
        width: int = 64,
        before: Mixer = no_mixing,
        between: Mixer = no_mixing,
        attention: Attention | None = None,
        attended: tuple[tuple[int, int], ...] = (),
    ) -> None:
        super().__init__()
        bottleneck, counts = block_counts(depth)
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = width
        stages = []
        for i, count in enumerate(counts):
            inner = width * 2**i
            outputs = 4 * inner if bottleneck else inner
            blocks = []
            for j in range(count):
                attends = attention is not None and (i + 1, j) in attended
                blocks.append(
                    FrameBlock(
                        inputs,
                        inner,
                        2 if i > 0 and j == 0 else 1,
                        bottleneck=bottleneck,
                        before=before(i + 1, j, inputs),
                        between=between(i + 1, j, inner),
                        attention=attention(outputs) if attention is not None and attends else None,
                    )
                )
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.outputs = inputs
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        x = self.enter(x_BTCHW)
        return self.leave(self.layer4(self.layer3(self.layer2(self.layer1(x)))))

    def enter(self, x_BTCHW: Tensor) -> Tensor:
        """Everything before the first block: `(B, C, T, H, W)`."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x_BTCHW.flatten(0, 1)))))
        return clips(x, x_BTCHW.shape[1])

    def blocks(self) -> Iterator[FrameBlock]:
        """The residual blocks from input to output."""
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            yield from (cast(FrameBlock, block) for block in stage)

    def leave(self, x_BCTHW: Tensor) -> Tensor:
        """Everything after the last block: `(B, T, outputs)`."""
        return x_BCTHW.mean((3, 4)).transpose(1, 2)
