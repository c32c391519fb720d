"""3D and (2+1)D residual networks with bottleneck blocks.

Hara, Kataoka, Satoh: "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?", CVPR 2018,
https://arxiv.org/abs/1711.09577, section 3.3; (2+1)D after Tran et al.: "A Closer Look at Spatiotemporal
Convolutions for Action Recognition", CVPR 2018, https://arxiv.org/abs/1711.11248, section 3.5.
"""

from __future__ import annotations

from torch import nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.family import Family
from kinesphere.models.layers.resnet3d import DEPTHS, STAGES, ResNet3d, Size3, conv3d, max_pool, stem
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import SAME_KEYS, KeyMap, Rename
from kinesphere.models.weights.maps.r3d import KINETICS_SPEC
from kinesphere.models.weights.maps.resnet3d import PYTORCHVIDEO
from kinesphere.models.zoo.r3d import Factorised, middle_width, video_stem

STRIDES: tuple[Size3, ...] = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))


def volumetric(width: int, stride: Size3) -> nn.Module:
    """A middle convolution over time and space: 3×3×3."""
    return conv3d(width, width, (3, 3, 3), stride)


def widened(width: int, stride: Size3) -> nn.Module:
    """Space, then time, with as many weights as 3×3×3 between them."""
    return Factorised(width, middle_width(width, width), width, stride, length=3, size=3)


def slim(width: int, stride: Size3) -> nn.Module:
    """Time, then space, as wide in between as at both ends."""
    return nn.Sequential(
        conv3d(width, width, (3, 1, 1), (stride[0], 1, 1)),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
        conv3d(width, width, (1, 3, 3), (1, *stride[1:])),
    )


def bottleneck_r3d(
    num_classes: int, *, depths: tuple[int, ...], width: int = 64, dropout: float = 0.0
) -> ResNet3d:
    """3×3×3 in every block."""
    entry = stem(3, width, (7, 7, 7), (1, 2, 2), max_pool((3, 3, 3), (2, 2, 2)))
    return ResNet3d(
        num_classes, depths, entry, width=width, strides=STRIDES, middle=volumetric, dropout=dropout
    )


def bottleneck_r2plus1d(
    num_classes: int, *, depths: tuple[int, ...], width: int = 64, dropout: float = 0.0
) -> ResNet3d:
    """3×3 in space and 3 in time in every block, and in the stem 7×7 and 7."""
    entry = video_stem("2plus1d", width, 7, middle_width(3, width, 7, 49), "volume")
    return ResNet3d(num_classes, depths, entry, width=width, strides=STRIDES, middle=widened, dropout=dropout)


def slim_r2plus1d(
    num_classes: int, *, depths: tuple[int, ...], width: int = 64, dropout: float = 0.5
) -> ResNet3d:
    """3 in time and 3×3 in space in every block, a stem in space only, no pooling."""
    return ResNet3d(
        num_classes,
        depths,
        stem(3, width, (1, 7, 7), (1, 2, 2), None),
        width=width,
        strides=((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)),
        middle=slim,
        dropout=dropout,
    )


R3D_PAPER = cite("1711.09577", "3.3")

R3D_MAPS = (KeyMap("3d_resnets", (Rename("conv1.*", "stem.0.*"), Rename("bn1.*", "stem.1.*"), *SAME_KEYS)),)
R2PLUS1D_MAPS = (
    KeyMap(
        "3d_resnets",
        (
            Rename("conv1_s.*", "stem.0.*"),
            Rename("bn1_s.*", "stem.1.*"),
            Rename("conv1_t.*", "stem.3.*"),
            Rename("bn1_t.*", "stem.4.*"),
            Rename("layer{s}.{b}.conv2_s.*", "layer{s}.{b}.conv2.0.*"),
            Rename("layer{s}.{b}.bn2_s.*", "layer{s}.{b}.conv2.1.*"),
            Rename("layer{s}.{b}.conv2_t.*", "layer{s}.{b}.conv2.3.*"),
            Rename("layer{s}.{b}.bn2_t.*", "layer{s}.{b}.bn2.*"),
            *SAME_KEYS,
        ),
    ),
)
BLOCK = "blocks.{s}.res_blocks.{b}.branch2.conv_b"
SLIM_MAPS = (
    KeyMap(
        "pytorchvideo",
        (
            Rename(f"{BLOCK}.conv_t.weight", "layer{s}.{b}.conv2.0.weight"),
            Rename(f"{BLOCK}.norm.*", "layer{s}.{b}.conv2.1.*"),
            Rename(f"{BLOCK}.conv_xy.weight", "layer{s}.{b}.conv2.3.weight"),
            *PYTORCHVIDEO,
        ),
    ),
)


FOLDER_NOTE = (
    "The authors' files (Kinetics-700, Moments in Time, STAIR Actions and their unions; shortcut B) are in a "
    "folder, https://drive.google.com/open?id=1xbYbZ7rpyjftI_KCk6YuL-XrfQDz7Yd4; download one and import it."
)
R3D = Family(
    name="r3d_bottleneck",
    paper=R3D_PAPER,
    network=bottleneck_r3d,
    inputs=(KINETICS_SPEC,),
    tiny_inputs=(KINETICS_SPEC.with_(sampling=Sampling("dense", 8), size=(32, 32)),),
    stages=STAGES,
    cam_layers=(CamLayer("layer4", "B C T H W"),),
    classes=700,
    key_maps=R3D_MAPS,
    notes=FOLDER_NOTE,
)
R2PLUS1D = R3D.of(bottleneck_r2plus1d, paper=cite("1711.11248", "3.5"), key_maps=R2PLUS1D_MAPS)
R2PLUS1D_SLIM = R2PLUS1D.of(
    slim_r2plus1d,
    inputs=(ClipSpec(Sampling("dense", 16, 4), size=(224, 224), short_side_px=256, fps=30.0),),
    classes=400,
    key_maps=SLIM_MAPS,
    notes="",
)


@R3D.model("50-layer residual network with 3×3×3 convolutions in its bottlenecks.")
def r3d_50(num_classes: int) -> ResNet3d:
    return R3D.build(num_classes, depths=DEPTHS[50])


@R3D.model("101-layer residual network with 3×3×3 convolutions in its bottlenecks.")
def r3d_101(num_classes: int) -> ResNet3d:
    return R3D.build(num_classes, depths=DEPTHS[101])


@R3D.model("152-layer residual network with 3×3×3 convolutions in its bottlenecks.")
def r3d_152(num_classes: int) -> ResNet3d:
    return R3D.build(num_classes, depths=DEPTHS[152])


@R3D.model("200-layer residual network with 3×3×3 convolutions in its bottlenecks.")
def r3d_200(num_classes: int) -> ResNet3d:
    return R3D.build(num_classes, depths=DEPTHS[200])


@R2PLUS1D.model("50-layer residual network with (2+1)D convolutions in its bottlenecks.")
def r2plus1d_50(num_classes: int) -> ResNet3d:
    return R2PLUS1D.build(num_classes, depths=DEPTHS[50])


@R2PLUS1D_SLIM.model(
    "50-layer residual network whose bottlenecks look over time, then space, as wide in between."
)
def r2plus1d_slim_50(num_classes: int) -> ResNet3d:
    return R2PLUS1D_SLIM.build(num_classes, depths=DEPTHS[50])


@R3D.model("r3d_50 for tests.", tiny=True)
def r3d_bottleneck_tiny(num_classes: int) -> ResNet3d:
    return R3D.build(num_classes, depths=(1, 1, 1, 1), width=8)


@R2PLUS1D.model("r2plus1d_50 for tests.", paper=R3D_PAPER, tiny=True)
def r2plus1d_bottleneck_tiny(num_classes: int) -> ResNet3d:
    return R2PLUS1D.build(num_classes, depths=(1, 1, 1, 1), width=8)


@R2PLUS1D_SLIM.model("r2plus1d_slim_50 for tests.", paper=R3D_PAPER, tiny=True)
def r2plus1d_slim_tiny(num_classes: int) -> ResNet3d:
    return R2PLUS1D_SLIM.build(num_classes, depths=(1, 1, 1, 1), width=8)
