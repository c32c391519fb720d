"""I3D: the Inception-v1 network inflated to three dimensions.

Carreira, Zisserman: "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", CVPR 2017,
https://arxiv.org/abs/1705.07750, section 2.4 and figure 3.

B batch, T time, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import TVL1_NOTE
from kinesphere.models.family import Family
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import KeyMap, Rename, squeeze

Triple = tuple[int, int, int]
Widths = tuple[int, int, int, int, int, int]
Places = tuple[tuple[str, str], ...]

# Output channels of the four branches (1×1; reduce, 3×3; reduce, 3×3; pooled 1×1) of each block.
BLOCKS: dict[str, Widths] = {
    "mixed_3b": (64, 96, 128, 16, 32, 32),
    "mixed_3c": (128, 128, 192, 32, 96, 64),
    "mixed_4b": (192, 96, 208, 16, 48, 64),
    "mixed_4c": (160, 112, 224, 24, 64, 64),
    "mixed_4d": (128, 128, 256, 24, 64, 64),
    "mixed_4e": (112, 144, 288, 32, 64, 64),
    "mixed_4f": (256, 160, 320, 32, 128, 128),
    "mixed_5b": (256, 160, 320, 32, 128, 128),
    "mixed_5c": (384, 192, 384, 48, 128, 128),
}
STAGES = ("conv_1a", "conv_2b", "conv_2c", *BLOCKS)
NORM_EPS = 1e-3


class Convolve(Protocol):
    """Builds a convolution with norm and ReLU; its kernel and stride are the sides of cubes."""

    def __call__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module: ...


class Pool(Protocol):
    """Builds a max-pool."""

    def __call__(self, kernel: Triple, stride: Triple) -> nn.Module: ...


def with_norm(conv: nn.Conv3d) -> nn.Sequential:
    """A convolution, batch norm, ReLU."""
    return nn.Sequential(conv, nn.BatchNorm3d(conv.out_channels, eps=NORM_EPS), nn.ReLU(inplace=True))


class InceptionBlock(nn.Module):
    """Four parallel branches, concatenated by channel."""

    def __init__(self, inputs: int, widths: Widths, convolve: Convolve, pool: Pool) -> None:
        super().__init__()
        a, reduced_b, b, reduced_c, c, d = widths
        self.branch0 = convolve(inputs, a, 1)
        self.branch1 = nn.Sequential(convolve(inputs, reduced_b, 1), convolve(reduced_b, b, 3))
        self.branch2 = nn.Sequential(convolve(inputs, reduced_c, 1), convolve(reduced_c, c, 3))
        self.branch3 = nn.Sequential(pool((3, 3, 3), (1, 1, 1)), convolve(inputs, d, 1))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        branches = (self.branch0, self.branch1, self.branch2, self.branch3)
        return torch.cat([branch(x_BCTHW) for branch in branches], dim=1)


class AveragePairs(nn.Module):
    """The average over the frame and over pairs of neighbouring time steps, `(B, C, T-1, 1, 1)`."""

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return F.avg_pool3d(x_BCTHW, (min(2, x_BCTHW.shape[2]), *x_BCTHW.shape[3:]), stride=1)


class Inception3d(nn.Module):
    """Inception-v1 over time.

    The published networks classify pairs of neighbouring time steps and average the scores; both are
    linear, so the features are averaged instead.

    Args:
        num_classes: Number of outputs K.
        convolve: Builds its convolutions.
        pool: Builds its pools.
        channels: 3 for RGB, 2 for flow.
        divide: Divides all widths, for small variants.
        dropout: Fraction of features dropped in training.
    """

    def __init__(
        self,
        num_classes: int,
        convolve: Convolve,
        pool: Pool,
        *,
        channels: int = 3,
        divide: int = 1,
        dropout: float,
    ) -> None:
        super().__init__()
        self.conv_1a = convolve(channels, 64 // divide, 7, 2)
        self.pool_2a = pool((1, 3, 3), (1, 2, 2))
        self.conv_2b = convolve(64 // divide, 64 // divide, 1)
        self.conv_2c = convolve(64 // divide, 192 // divide, 3)
        self.pool_3a = pool((1, 3, 3), (1, 2, 2))
        self.pool_4a = pool((3, 3, 3), (2, 2, 2))
        self.pool_5a = pool((2, 2, 2), (2, 2, 2))
        inputs = 192 // divide
        for name, full in BLOCKS.items():
            a, b, c, d, e, f = (width // divide for width in full)
            self.add_module(name, InceptionBlock(inputs, (a, b, c, d, e, f), convolve, pool))
            inputs = a + c + e + f
        self.average = AveragePairs()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, num_classes)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        x = self.pool_2a(self.conv_1a(x_BTCHW.transpose(1, 2)))
        x = self.pool_3a(self.conv_2c(self.conv_2b(x)))
        for name in BLOCKS:
            if name.endswith("b") and name != "mixed_3b":
                x = (self.pool_4a if name == "mixed_4b" else self.pool_5a)(x)
            x = self.get_submodule(name)(x)
        logits_BK: Tensor = self.fc(self.dropout(self.average(x)).mean((2, 3, 4)))
        return logits_BK


def same_padding(sizes: tuple[int, ...], kernel: Triple, stride: Triple) -> list[tuple[int, int]]:
    """Cells before and after each axis under TensorFlow's SAME rule (more after than before)."""
    pads = []
    for size, k, s in zip(sizes, kernel, stride, strict=True):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        pads.append((total // 2, total - total // 2))
    return pads


class SameConv3d(nn.Conv3d):
    """A strided convolution with SAME padding, which depends on the input's size."""

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        k, s = self.kernel_size[0], self.stride[0]
        pads = same_padding(tuple(x_BCTHW.shape[2:]), (k, k, k), (s, s, s))
        if all(before == after for before, after in pads):
            padding = [before for before, _ in pads]
            return F.conv3d(x_BCTHW, self.weight, self.bias, self.stride, padding)
        # convolutions pad both sides alike, so the uneven cells are added first
        return super().forward(F.pad(x_BCTHW, [cells for pair in reversed(pads) for cells in pair]))


def convolve(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution with SAME padding, batch norm, ReLU."""
    if stride == 1:
        return with_norm(nn.Conv3d(inputs, outputs, kernel, padding=kernel // 2, bias=False))
    return with_norm(SameConv3d(inputs, outputs, kernel, stride, bias=False))


class SamePool(nn.Module):
    """Max-pool with SAME padding.

    The inputs are outputs of a ReLU, so padding with zeros (as the original does) and ignoring the
    padding give the same maximum; the uneven cell after an axis is then what `ceil_mode` covers.
    """

    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        pads = same_padding(tuple(x_BCTHW.shape[2:]), self.kernel, self.stride)
        before = [pad for pad, _ in pads]
        return F.max_pool3d(x_BCTHW, self.kernel, self.stride, before, ceil_mode=True)


def inception_i3d(
    num_classes: int, *, channels: int = 3, divide: int = 1, dropout: float = 0.5
) -> Inception3d:
    """Inflated Inception-v1; `divide` divides all widths, for small variants."""
    return Inception3d(num_classes, convolve, SamePool, channels=channels, divide=divide, dropout=dropout)


SPEC = ClipSpec(
    Sampling("dense", 64),
    size=(224, 224),
    fps=25.0,
    short_side_px=256,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)
# Flow is in pixels per frame; vectors of 20 pixels reach the ends of [-1, 1].
FLOW_SPEC = SPEC.with_(modality="flow", mean=(0.0, 0.0), std=(20.0, 20.0))
PUBLIC_FLOW_SPEC = FLOW_SPEC.with_(flow="tvl1")  # what the public weights learnt from


def layout_rules(
    stem: str, norm: str, logits: str, block: Callable[[str], str], places: Places
) -> tuple[Rename, ...]:
    """`stem` comes before `_1a_7x7`, `block` makes their name of ours, `places` pairs the units inside."""
    units = {f"{stem}_{theirs}": f"conv_{theirs[:2]}" for theirs in ("1a_7x7", "2b_1x1", "2c_3x3")}
    units |= {f"{block(name)}.{theirs}": f"{name}.{ours}" for name in BLOCKS for theirs, ours in places}
    found = [Rename(f"{logits}.weight", "fc.weight", squeeze(2, 3, 4)), Rename(f"{logits}.bias", "fc.bias")]
    for theirs, ours in units.items():
        found.append(Rename(f"{theirs}.conv3d.weight", f"{ours}.0.weight"))
        found.append(Rename(f"{theirs}.{norm}.*", f"{ours}.1.*"))
    return tuple(found)


UNITS = ("branch0", "branch1.0", "branch1.1", "branch2.0", "branch2.1", "branch3.1")
PYTORCH_I3D = layout_rules(
    "Conv3d", "bn", "logits.conv3d", str.capitalize,
    tuple(zip(("b0", "b1a", "b1b", "b2a", "b2b", "b3b"), UNITS, strict=True)),
)  # fmt: skip
HASSONY = layout_rules(
    "conv3d", "batch3d", "conv3d_0c_1x1.conv3d", str,
    tuple((unit.replace("branch", "branch_"), unit) for unit in UNITS),
)  # fmt: skip
RULES = {"pytorch_i3d": PYTORCH_I3D, "hassony": HASSONY}
KEY_MAPS = tuple(KeyMap(layout, found) for layout, found in RULES.items())
FLOW_KEY_MAPS = tuple(KeyMap(layout, found, spec=PUBLIC_FLOW_SPEC) for layout, found in RULES.items())


I3D = Family(
    name="i3d",
    paper=cite("1705.07750", "2.4"),
    network=inception_i3d,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("dense", 8), size=(32, 32), short_side_px=36),),
    stages=STAGES,
    cam_layers=(CamLayer("mixed_5c", "B C T H W"),),
    key_maps=KEY_MAPS,
)


@I3D.model("Inception-v1 inflated to 3D, on pixels.")
def i3d_inception(num_classes: int) -> Inception3d:
    return I3D.build(num_classes)


@I3D.model(
    "Inception-v1 inflated to 3D, on optical flow.",
    inputs=(FLOW_SPEC,),
    key_maps=FLOW_KEY_MAPS,
    notes=TVL1_NOTE,
)
def i3d_inception_flow(num_classes: int) -> Inception3d:
    return I3D.build(num_classes, channels=2)


@I3D.model("i3d_inception for tests.", tiny=True)
def i3d_tiny(num_classes: int) -> Inception3d:
    return I3D.build(num_classes, divide=8)
