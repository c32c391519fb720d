"""3D and (2+1)D residual networks with bottleneck blocks.

Hara, Kataoka, Satoh: "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?", CVPR 2018,
https://arxiv.org/abs/1711.09577, section 3.3; (2+1)D after Tran et al.: "A Closer Look at Spatiotemporal
Convolutions for Action Recognition", CVPR 2018, https://arxiv.org/abs/1711.11248, section 3.5.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import ModelCard, Paper, WeightEntry
from kinesphere.models.layers.resnet3d import (
    DEPTHS,
    ResNet3d,
    Size3,
    conv3d,
    max_pool,
    stem,
    volumetric,
)
from kinesphere.models.registry import register
from kinesphere.models.weights.keymap import SAME_KEYS, KeyMap, Rename
from kinesphere.models.weights.maps.resnet3d import PYTORCHVIDEO
from kinesphere.models.weights.publishers import kinetics, pytorchvideo_url

STRIDES: tuple[Size3, ...] = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))


def widened(width: int, stride: Size3) -> nn.Module:
    """Space, then time, with as many weights as 3×3×3 between them."""
    middle = width * width * 27 // (width * 9 + width * 3)
    return nn.Sequential(
        conv3d(width, middle, (1, 3, 3), (1, *stride[1:])),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        conv3d(middle, width, (3, 1, 1), (stride[0], 1, 1)),
    )


def slim(width: int, stride: Size3) -> nn.Module:
    """Time, then space, as wide in between as at both ends."""
    return nn.Sequential(
        conv3d(width, width, (3, 1, 1), (stride[0], 1, 1)),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
        conv3d(width, width, (1, 3, 3), (1, *stride[1:])),
    )


def r3d(num_classes: int, *, depths: tuple[int, ...], width: int = 64, dropout: float = 0.0) -> nn.Module:
    """3×3×3 in every block."""
    entry = stem(3, width, (7, 7, 7), (1, 2, 2), max_pool((3, 3, 3), (2, 2, 2)))
    return ResNet3d(
        num_classes, depths, entry, width=width, strides=STRIDES, middle=volumetric, dropout=dropout
    )


def r2plus1d(
    num_classes: int, *, depths: tuple[int, ...], width: int = 64, dropout: float = 0.0
) -> nn.Module:
    """3×3 in space and 3 in time in every block, and in the stem 7×7 and 7."""
    middle = 3 * width * 343 // (3 * 49 + width * 7)
    entry = nn.Sequential(
        conv3d(3, middle, (1, 7, 7), (1, 2, 2)),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        conv3d(middle, width, (7, 1, 1)),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
        max_pool((3, 3, 3), (2, 2, 2)),
    )
    return ResNet3d(num_classes, depths, entry, width=width, strides=STRIDES, middle=widened, dropout=dropout)


def r2plus1d_slim(
    num_classes: int, *, depths: tuple[int, ...], width: int = 64, dropout: float = 0.5
) -> nn.Module:
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


R3D_PAPER = Paper(
    "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?",
    "Hara, Kataoka, Satoh",
    2018,
    "https://arxiv.org/abs/1711.09577",
    "3.3",
)
R2PLUS1D_PAPER = Paper(
    "A Closer Look at Spatiotemporal Convolutions for Action Recognition",
    "Tran, Wang, Torresani, Ray, LeCun, Paluri",
    2018,
    "https://arxiv.org/abs/1711.11248",
    "3.5",
)
SPEC = ClipSpec(
    Sampling("dense", 16), size=(112, 112), mean=(0.4345, 0.4051, 0.3775), std=(0.2768, 0.2713, 0.2737)
)
SLIM_SPEC = ClipSpec(Sampling("dense", 16, 4), size=(224, 224), short_side_px=256, fps=30.0)
TINY_SPEC = SPEC.with_(sampling=Sampling("dense", 8), size=(32, 32))

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


def bottleneck_card(
    name: str,
    summary: str,
    parameters: int,
    multiply_adds: int,
    *,
    paper: Paper = R3D_PAPER,
    weights: tuple[WeightEntry, ...] = (),
    spec: ClipSpec = SPEC,
    classes: int = 700,
    tiny: bool = False,
    notes: str = "",
) -> ModelCard:
    return ModelCard(
        name=name,
        family="r3d_bottleneck",
        summary=summary,
        paper=paper,
        inputs=(spec,),
        parameters=parameters,
        multiply_adds=multiply_adds,
        classes=classes,
        head=("fc",),
        stages=("stem", "layer1", "layer2", "layer3", "layer4"),
        cam_layer="layer4",
        weights=weights,
        tiny=tiny,
        notes=notes,
    )


FOLDER_NOTE = (
    "The authors' files (Kinetics-700, Moments in Time, STAIR Actions and their unions; shortcut B) are in a "
    "folder, https://drive.google.com/open?id=1xbYbZ7rpyjftI_KCk6YuL-XrfQDz7Yd4; download one and import it."
)
SLIM_WEIGHTS = (kinetics("k400", pytorchvideo_url("R2PLUS1D_16x4_R50"), "pytorchvideo", 0.7601, 0.9223),)

for _depth, _numbers in {
    50: (47_633_276, 10_069_925_888),
    101: (86_679_420, 13_891_330_048),
    152: (118_838_140, 18_611_888_128),
    200: (128_037_756, 25_805_119_488),
}.items():
    register(
        bottleneck_card(
            f"r3d_{_depth}",
            f"{_depth}-layer residual network with 3×3×3 convolutions in its bottlenecks.",
            *_numbers,
            notes=FOLDER_NOTE,
        ),
        R3D_MAPS,
    )(partial(r3d, depths=DEPTHS[_depth]))

register(
    bottleneck_card(
        "r2plus1d_50",
        "50-layer residual network with (2+1)D convolutions in its bottlenecks.",
        47_650_082,
        10_524_657_664,
        paper=R2PLUS1D_PAPER,
        notes=FOLDER_NOTE,
    ),
    R2PLUS1D_MAPS,
)(partial(r2plus1d, depths=DEPTHS[50]))
register(
    bottleneck_card(
        "r2plus1d_slim_50",
        "50-layer residual network whose bottlenecks look over time, then space, as wide in between.",
        28_107_600,
        57_533_825_024,
        paper=R2PLUS1D_PAPER,
        weights=SLIM_WEIGHTS,
        spec=SLIM_SPEC,
        classes=400,
    ),
    SLIM_MAPS,
)(partial(r2plus1d_slim, depths=DEPTHS[50]))
register(
    bottleneck_card(
        "r3d_bottleneck_tiny", "r3d_50 for tests.", 234_653, 18_318_592, spec=TINY_SPEC, classes=5, tiny=True
    ),
    R3D_MAPS,
)(partial(r3d, depths=(1, 1, 1, 1), width=8))
register(
    bottleneck_card(
        "r2plus1d_bottleneck_tiny",
        "r2plus1d_50 for tests.",
        235_161,
        18_338_048,
        spec=TINY_SPEC,
        classes=5,
        tiny=True,
    ),
    R2PLUS1D_MAPS,
)(partial(r2plus1d, depths=(1, 1, 1, 1), width=8))
register(
    bottleneck_card(
        "r2plus1d_slim_tiny",
        "r2plus1d_slim_50 for tests.",
        146_237,
        6_038_784,
        spec=TINY_SPEC,
        classes=5,
        tiny=True,
    ),
    SLIM_MAPS,
)(partial(r2plus1d_slim, depths=(1, 1, 1, 1), width=8))
