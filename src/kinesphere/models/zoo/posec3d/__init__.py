"""PoseConv3D: 3D convolutions on heatmap volumes of joints or limbs.

Duan, Zhao, Chen, Lin, Dai: "Revisiting Skeleton-based Action Recognition", CVPR 2022,
https://arxiv.org/abs/2104.13586, sections 3.2 and 3.3, tables 1 and 10: the usual video networks without
their first reductions, because a heatmap volume is small already and says much in every cell.

B batch, T time, P people, J joints, C values of a joint or channels, H W pixels, K classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Literal, get_args

from torch import Tensor, nn

from kinesphere.clips.skeleton import SKELETONS
from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.errors import InvalidSetting
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import POSE_INPUTS
from kinesphere.models.family import Family
from kinesphere.models.layers.resnet3d import average, conv3d, initialise, max_pool, stage, stem
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import Arguments, KeyMap, Rename
from kinesphere.models.weights.maps.resnet3d import MMACTION2, MMACTION2_HEAD, mmaction2_stages
from kinesphere.models.weights.maps.skeleton import skeleton_of
from kinesphere.models.zoo import x3d
from kinesphere.models.zoo.posec3d.heatmaps import PoseHeatmaps

Draw = Literal["joints", "limbs"]

# The limbs that the published weights look at, in their order: seventeen, as many as joints.
COCO_LIMBS = (
    (0, 5), (0, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (11, 13), (13, 15), (6, 12), (12, 14),
    (14, 16), (0, 1), (0, 2), (1, 3), (2, 4), (11, 12),
)  # fmt: skip
C3D_STAGES = ("conv1", "conv2", "conv3a", "conv3b", "conv4a", "conv4b")
POOLED = ("conv2", "conv3a", "conv4a")


class ShareHeatmaps(nn.Module):
    """Heatmaps `(B, T, J or L, H, W)` of x and y as fractions of the frame; joints outside do not show.

    Args:
        skeleton: Name of the skeleton of the J joints.
        draw: Joints, or the L limbs between them.
        size_px: Height and width of the heatmaps.
    """

    def __init__(self, skeleton: str, draw: Draw, size_px: int) -> None:
        super().__init__()
        self.size_px = size_px
        self.paint = PoseHeatmaps((size_px, size_px), limbs_of(skeleton) if draw == "limbs" else None)

    def forward(self, x_BTPJC: Tensor) -> Tensor:
        pixels = x_BTPJC * x_BTPJC.new_tensor([self.size_px, self.size_px, 1.0])
        maps_BTJHW: Tensor = self.paint(pixels - x_BTPJC.new_tensor([0.5, 0.5, 0.0]))
        return maps_BTJHW


class PoseC3D(nn.Module):
    """Heatmaps, a 3D network, global average, dropout, linear classifier.

    Args:
        num_classes: Number of outputs K.
        heatmaps: Draws pose clips.
        stages: The network, name by name: from `(B, J or L, T, H, W)` to `(B, features, T', H', W')`.
        features: Channels of the last stage.
        dropout: Before the classifier.
    """

    def __init__(
        self,
        num_classes: int,
        heatmaps: ShareHeatmaps,
        stages: Mapping[str, nn.Module],
        features: int,
        *,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.heatmaps = heatmaps
        self.stages = tuple(stages)
        for name, module in stages.items():
            self.add_module(name, module)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(features, num_classes)
        initialise(self)

    def forward(self, x_BTPJC: Tensor) -> Tensor:
        return self.classify(self.heatmaps(x_BTPJC))

    def classify(self, maps_BTJHW: Tensor) -> Tensor:
        """Logits `(B, K)` of heatmaps."""
        x = maps_BTJHW.transpose(1, 2)
        for name in self.stages:
            x = getattr(self, name)(x)
        logits_BK: Tensor = self.fc(self.dropout(average(x)))
        return logits_BK


def limbs_of(skeleton: str) -> tuple[tuple[int, int], ...]:
    """Pairs of joints with a limb between them."""
    return COCO_LIMBS if skeleton == "coco17" else SKELETONS.get(skeleton).edges


def channels_of(skeleton: str, draw: str) -> int:
    """Number of heatmaps.

    Raises:
        UnknownName: If there is no such skeleton.
        InvalidSetting: If `draw` is something else.
    """
    if draw not in get_args(Draw):
        raise InvalidSetting(f"Heatmaps draw joints or limbs; got draw={draw!r}.")
    return len(limbs_of(skeleton)) if draw == "limbs" else len(SKELETONS.get(skeleton))


def slowonly_on_heatmaps(
    num_classes: int,
    *,
    depths: tuple[int, ...] = (4, 6, 3),
    width: int = 32,
    skeleton: str = "coco17",
    draw: Draw = "joints",
    size_px: int = 64,
    dropout: float = 0.5,
) -> PoseC3D:
    """SlowOnly with a stem that keeps the size, three stages, and half as many channels.

    Args:
        num_classes: Number of outputs K.
        depths: Blocks per stage.
        width: Channels of the stem.
        skeleton: Name of the skeleton.
        draw: Joints, or the limbs between them.
        size_px: Height and width of the heatmaps.
        dropout: Before the classifier.
    """
    pool = max_pool((1, 3, 3), (1, 1, 1))
    stages: dict[str, nn.Module] = {
        "stem": stem(channels_of(skeleton, draw), width, (1, 7, 7), (1, 1, 1), pool)
    }
    inputs = width
    for i, depth in enumerate(depths):
        last = i == len(depths) - 1
        stages[f"layer{i + 1}"] = stage(
            inputs, width * 2**i, depth, lengths=(1,) if i == 0 else (3,), stride=(2 if last else 1, 2, 2)
        )
        inputs = width * 2**i * 4
    return PoseC3D(num_classes, ShareHeatmaps(skeleton, draw, size_px), stages, inputs, dropout=dropout)


def c3d_on_heatmaps(
    num_classes: int,
    *,
    width: int = 32,
    skeleton: str = "coco17",
    draw: Draw = "joints",
    size_px: int = 64,
    dropout: float = 0.5,
) -> PoseC3D:
    """C3D without its last two convolutions and fully connected layers; pools by mean, and never over time.

    The arguments are those of `slowonly_on_heatmaps`.
    """
    stages: dict[str, nn.Module] = {}
    inputs = channels_of(skeleton, draw)
    for name, factor in zip(C3D_STAGES, (1, 2, 4, 4, 8, 8), strict=True):
        layers = [
            conv3d(inputs, factor * width, (3, 3, 3)),
            nn.BatchNorm3d(factor * width),
            nn.ReLU(inplace=True),
        ]
        if name in POOLED:
            layers.insert(0, nn.AvgPool3d((1, 2, 2), (1, 2, 2)))
        stages[name] = nn.Sequential(*layers)
        inputs = factor * width
    return PoseC3D(num_classes, ShareHeatmaps(skeleton, draw, size_px), stages, inputs, dropout=dropout)


def x3d_on_heatmaps(
    num_classes: int,
    *,
    depths: tuple[int, ...] = (2, 5, 3),
    width: int = 24,
    skeleton: str = "coco17",
    draw: Draw = "joints",
    size_px: int = 64,
    dropout: float = 0.5,
) -> PoseC3D:
    """X3D with three stages, without squeeze-and-excitation and Swish.

    The arguments are those of `slowonly_on_heatmaps`.
    """
    stages: dict[str, nn.Module] = {"stem": x3d.stem(channels_of(skeleton, draw), width)}
    for i, blocks in enumerate(x3d.residual_stages(width, depths, excite=False), 1):
        for block in blocks:
            block.add_module("swish", nn.Identity())
        stages[f"layer{i}"] = blocks
    inputs = width * 2 ** max(len(depths) - 1, 0)
    stages["conv5"] = x3d.widened(inputs)
    last = int(inputs * x3d.EXPANSION)
    return PoseC3D(num_classes, ShareHeatmaps(skeleton, draw, size_px), stages, last, dropout=dropout)


PAPER = cite("2104.13586", "3.2, 3.3")
SPEC = POSE_INPUTS[0].with_(
    sampling=Sampling("uniform", 48), size=(64, 64), resize="people", mean=(0.0, 0.0), std=(1.0, 1.0)
)


def fit(spec: ClipSpec, arguments: Arguments) -> ClipSpec:
    """The contract for the skeleton and heatmap size of a network."""
    size_px = int(arguments.get("size_px", spec.size[0]))  # type: ignore[arg-type]
    return spec.with_(skeleton=str(arguments.get("skeleton", spec.skeleton)), size=(size_px, size_px))


def read_state(theirs: Mapping[str, Tensor], first: str) -> Arguments:
    """Skeleton, depths and width of a state of MMAction2 or PySKL."""
    kernel = theirs.get(f"backbone.{first}.conv.weight")
    if kernel is None:
        return {}
    read: Arguments = {"skeleton": skeleton_of(kernel.shape[1]), "width": kernel.shape[0]}
    blocks = {match.groups() for key in theirs if (match := re.match(r"backbone\.layer(\d)\.(\d+)\.", key))}
    if blocks:
        last = max(int(s) for s, _ in blocks)
        read["depths"] = tuple(sum(int(s) == i for s, _ in blocks) for i in range(1, last + 1))
    return read


SLOWONLY_MAP = KeyMap(
    "mmaction2",
    MMACTION2,
    infer=partial(read_state, first="conv1"),
)
PYSKL_X3D = KeyMap(
    "pyskl",
    (
        Rename("backbone.conv1_s.conv.weight", "stem.0.weight"),
        Rename("backbone.conv1_t.conv.weight", "stem.1.weight"),
        Rename("backbone.conv1_t.bn.*", "stem.2.*"),
        *mmaction2_stages(),
        Rename("backbone.conv5.conv.weight", "conv5.0.weight"),
        Rename("backbone.conv5.bn.*", "conv5.1.*"),
        *MMACTION2_HEAD,
    ),
    infer=partial(read_state, first="conv1_s"),
)
PYSKL_C3D = KeyMap(
    "pyskl",
    (
        *(
            Rename(f"backbone.{ours.ljust(6, 'a')}.{part}.*", f"{ours}.{i + (ours in POOLED)}.*")
            for ours in C3D_STAGES
            for i, part in enumerate(("conv", "bn"))
        ),
        *MMACTION2_HEAD,
    ),
    infer=partial(read_state, first="conv1a"),
)

NOTE = (
    "The builder's `size_px` sets the size of the heatmaps, and `draw` what they show: a file of "
    "weights does not tell joints from limbs. The published training cut people out in whole pixels."
)
TINY_INPUTS = (SPEC.with_(sampling=Sampling("uniform", 8), size=(32, 32)),)
RESNET_STAGES = ("stem", "layer1", "layer2", "layer3")
SLOWONLY = Family(
    name="posec3d",
    paper=PAPER,
    network=slowonly_on_heatmaps,
    inputs=(SPEC,),
    tiny_inputs=TINY_INPUTS,
    stages=RESNET_STAGES,
    cam_layers=(CamLayer("layer3", "B C T H W", heatmaps=True),),
    classes=60,
    key_maps=(SLOWONLY_MAP,),
    fit=fit,
    fixed_size=True,
    notes=NOTE,
)
C3D = SLOWONLY.of(
    c3d_on_heatmaps,
    stages=C3D_STAGES,
    cam_layers=(CamLayer("conv4b", "B C T H W", heatmaps=True),),
    key_maps=(PYSKL_C3D,),
)
X3D = SLOWONLY.of(
    x3d_on_heatmaps,
    stages=(*RESNET_STAGES, "conv5"),
    cam_layers=(CamLayer("conv5", "B C T H W", heatmaps=True),),
    key_maps=(PYSKL_X3D,),
)


@SLOWONLY.model("SlowOnly on heatmaps of joints or limbs: the most accurate of the family.")
def posec3d_slowonly_resnet50(num_classes: int) -> PoseC3D:
    return SLOWONLY.build(num_classes)


@C3D.model("C3D without its heavy end on heatmaps of joints or limbs.")
def posec3d_c3d_light(num_classes: int) -> PoseC3D:
    return C3D.build(num_classes)


@X3D.model("X3D, shallow, on heatmaps of joints or limbs: the lightest of the family.")
def posec3d_x3d(num_classes: int) -> PoseC3D:
    return X3D.build(num_classes)


@SLOWONLY.model("posec3d for tests.", tiny=True)
def posec3d_tiny(num_classes: int) -> PoseC3D:
    return SLOWONLY.build(num_classes, depths=(1, 1, 1), width=8, size_px=32)


@C3D.model("posec3d_c3d for tests.", tiny=True)
def posec3d_c3d_tiny(num_classes: int) -> PoseC3D:
    return C3D.build(num_classes, width=4, size_px=32)


@X3D.model("posec3d_x3d for tests.", tiny=True)
def posec3d_x3d_tiny(num_classes: int) -> PoseC3D:
    return X3D.build(num_classes, depths=(1, 1, 1), width=8, size_px=32)
