"""I3D on a ResNet, and C2D, its frame-wise counterpart.

Carreira, Zisserman: "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", CVPR 2017,
https://arxiv.org/abs/1705.07750, section 2.4 (inflation); in the form of Wang, Girshick, Gupta, He:
"Non-local Neural Networks", CVPR 2018, https://arxiv.org/abs/1711.07971, section 4 and table 1: an image
ResNet whose stem and every second block look over several frames.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import ModelCard, Paper, WeightEntry
from kinesphere.models.layers.resnet3d import DEPTHS, ResNet3d, max_pool, stem
from kinesphere.models.registry import register
from kinesphere.models.weights.keymap import KeyMap, unsqueeze
from kinesphere.models.weights.maps.resnet3d import (
    CAFFE2,
    IMAGENET,
    MMACTION2,
    MMACTION2_HEAD,
    PYSLOWFAST,
    PYTORCHVIDEO_POOLED,
    mmaction2_stages,
    mmaction2_stem,
)
from kinesphere.models.weights.publishers import kinetics, mmaction2_url, pyslowfast_url, pytorchvideo_url
from kinesphere.models.weights.publishers.imagenet import MEAN, STD, imagenet_weights

TINY_DEPTHS = (1, 1, 1, 1)
EVERY_SECOND = ((3,), (3, 1), (3, 1), (1, 3))
EVERY = ((3,), (3,), (3,), (3,))


def i3d_stem(width: int, time_stride: int) -> nn.Sequential:
    """5×7×7 convolution and spatial max-pooling, each with the stride in time."""
    return stem(3, width, (5, 7, 7), (time_stride, 2, 2), max_pool((1, 3, 3), (time_stride, 2, 2)))


def i3d_resnet(
    num_classes: int,
    *,
    depths: tuple[int, ...],
    width: int = 64,
    time_stride: int = 2,
    lengths: tuple[tuple[int, ...], ...] = EVERY_SECOND,
    dropout: float = 0.5,
) -> nn.Module:
    """Args: `time_stride` of stem convolution and pooling; `lengths` of the blocks' first convolutions."""
    return ResNet3d(
        num_classes,
        depths,
        i3d_stem(width, time_stride),
        width=width,
        lengths=lengths,
        halve_time=True,
        dropout=dropout,
    )


def c2d_resnet(
    num_classes: int,
    *,
    depths: tuple[int, ...],
    width: int = 64,
    halve_time: bool = True,
    stem_padding: int = 1,
    dropout: float = 0.5,
) -> nn.Module:
    """Args: `stem_padding` of the max-pooling in the stem, in pixels."""
    pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, stem_padding, stem_padding))
    entry = stem(3, width, (1, 7, 7), (1, 2, 2), pool)
    return ResNet3d(num_classes, depths, entry, width=width, halve_time=halve_time, dropout=dropout)


I3D_PAPER = Paper(
    "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset",
    "Carreira, Zisserman",
    2017,
    "https://arxiv.org/abs/1705.07750",
    "2.4",
)
C2D_PAPER = Paper(
    "Non-local Neural Networks",
    "Wang, Girshick, Gupta, He",
    2018,
    "https://arxiv.org/abs/1711.07971",
    "4, table 1",
)
SPEC = ClipSpec(Sampling("dense", 32, 2), size=(224, 224), short_side_px=256, mean=MEAN, std=STD)
SPEC_8X8 = SPEC.with_(sampling=Sampling("dense", 8, 8))
FACEBOOK_SPEC = ClipSpec(Sampling("dense", 8, 8), size=(224, 224), short_side_px=256, fps=30.0)
TINY_SPEC = SPEC.with_(sampling=Sampling("dense", 8), size=(32, 32), short_side_px=36)
STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")

I3D_MAPS = (
    KeyMap("mmaction2", MMACTION2),
    KeyMap("pyslowfast", PYSLOWFAST, arguments={"time_stride": 1}, spec=FACEBOOK_SPEC),
    KeyMap("pytorchvideo", PYTORCHVIDEO_POOLED, arguments={"time_stride": 1}, spec=FACEBOOK_SPEC),
    KeyMap("pyslowfast_caffe2", CAFFE2, arguments={"time_stride": 1}, spec=FACEBOOK_SPEC),
    IMAGENET,
)
MMACTION2_IMAGES = (
    *mmaction2_stem(transform=unsqueeze(2)),
    *mmaction2_stages(transform=unsqueeze(2)),
    *MMACTION2_HEAD,
)
C2D_MAPS = (
    KeyMap("mmaction2", MMACTION2_IMAGES, arguments={"stem_padding": 0}),
    KeyMap("pytorchvideo", PYTORCHVIDEO_POOLED, spec=FACEBOOK_SPEC),
    IMAGENET,
)
NO_POOL_MAPS = (KeyMap("mmaction2", MMACTION2_IMAGES), IMAGENET)


def i3d_card(
    name: str,
    summary: str,
    parameters: int,
    multiply_adds: int,
    *,
    weights: tuple[WeightEntry, ...] = (),
    spec: ClipSpec = SPEC,
    classes: int = 400,
    paper: Paper = I3D_PAPER,
    tiny: bool = False,
    notes: str = "",
) -> ModelCard:
    return ModelCard(
        name=name,
        family="i3d_resnet",
        summary=summary,
        paper=paper,
        inputs=(spec,),
        parameters=parameters,
        multiply_adds=multiply_adds,
        classes=classes,
        head=("fc",),
        stages=STAGES,
        cam_layer="layer4",
        weights=weights,
        tiny=tiny,
        notes=notes,
    )


def i3d_url(config: str, suffix: str) -> str:
    return mmaction2_url("i3d", f"i3d_imagenet-pretrained-r50{config}-100e_kinetics400-rgb", suffix)


def c2d_url(config: str, suffix: str) -> str:
    return mmaction2_url("c2d", f"c2d_{config}-100e_kinetics400-rgb", suffix)


I3D_WEIGHTS = {
    50: (
        kinetics("k400", i3d_url("_8xb8-32x2x1", "20220812-e213c223"), "mmaction2", 0.7347, 0.9127),
        kinetics(
            "k400_dense", i3d_url("_8xb8-dense-32x2x1", "20220812-9f46003f"), "mmaction2", 0.7377, 0.9135
        ),
        kinetics(
            "k400_8x8", pytorchvideo_url("I3D_8x8_R50"), "pytorchvideo", 0.7327, 0.907, spec=FACEBOOK_SPEC
        ),
        kinetics(
            "k400_caffe2",
            pyslowfast_url("I3D_8x8_R50"),
            "pyslowfast_caffe2",
            0.735,
            0.908,
            spec=FACEBOOK_SPEC,
        ),
        *imagenet_weights(50),
    ),
    101: imagenet_weights(101),
}
C2D_WEIGHTS = {
    50: (
        kinetics(
            "k400", c2d_url("r50-in1k-pre_8xb32-8x8x1", "20221027-3ca304fa"), "mmaction2", 0.7389, 0.9121
        ),
        kinetics(
            "k400_16x4",
            c2d_url("r50-in1k-pre_8xb32-16x4x1", "20221027-5f382a43"),
            "mmaction2",
            0.7497,
            0.9191,
            spec=SPEC.with_(sampling=Sampling("dense", 16, 4)),
        ),
        kinetics(
            "k400_facebook",
            pytorchvideo_url("C2D_8x8_R50"),
            "pytorchvideo",
            0.7146,
            0.8968,
            spec=FACEBOOK_SPEC,
        ),
        *imagenet_weights(50),
    ),
    101: imagenet_weights(101),
}
NO_POOL_WEIGHTS = {
    50: (
        kinetics(
            "k400", c2d_url("r50-in1k-pre-nopool_8xb32-8x8x1", "20221027-e0227b22"), "mmaction2", 0.7344, 0.91
        ),
        *imagenet_weights(50),
    ),
    101: (
        kinetics(
            "k400",
            c2d_url("r101-in1k-pre-nopool_8xb32-8x8x1", "20221027-557bd8bc"),
            "mmaction2",
            0.7497,
            0.9177,
        ),
        *imagenet_weights(101),
    ),
}
HEAVY_WEIGHTS = (
    kinetics("k400", i3d_url("-heavy_8xb8-32x2x1", "20220812-ed501b31"), "mmaction2", 0.7621, 0.9248),
    *imagenet_weights(50),
)

for _depth, _numbers in {50: (28_043_472, 33_128_218_624), 101: (51_754_192, 51_676_479_488)}.items():
    register(
        i3d_card(
            f"i3d_resnet{_depth}",
            f"ResNet-{_depth} inflated over time in the stem and every second block.",
            *_numbers,
            weights=I3D_WEIGHTS[_depth],
        ),
        I3D_MAPS,
    )(partial(i3d_resnet, depths=DEPTHS[_depth]))

register(
    i3d_card(
        "i3d_resnet50_heavy",
        "ResNet-50 inflated over time in the stem and every block, without stride in time in the stem.",
        33_024_208,
        126_781_521_920,
        weights=HEAVY_WEIGHTS,
    ),
    I3D_MAPS,
)(partial(i3d_resnet, depths=DEPTHS[50], time_stride=1, lengths=EVERY))

for _depth, _numbers in {50: (24_327_632, 19_493_191_680), 101: (43_319_760, 34_342_076_416)}.items():
    register(
        i3d_card(
            f"c2d_resnet{_depth}",
            f"ResNet-{_depth} on every frame; the only view over time is pooling of neighbouring frames.",
            *_numbers,
            weights=C2D_WEIGHTS[_depth],
            spec=SPEC_8X8,
            paper=C2D_PAPER,
        ),
        C2D_MAPS,
    )(partial(c2d_resnet, depths=DEPTHS[_depth]))

for _depth, _numbers in {50: (24_327_632, 32_697_909_248), 101: (43_319_760, 62_395_678_720)}.items():
    register(
        i3d_card(
            f"c2d_resnet{_depth}_nopool",
            f"ResNet-{_depth} on every frame, averaged over the clip.",
            *_numbers,
            weights=NO_POOL_WEIGHTS[_depth],
            spec=SPEC_8X8,
            paper=C2D_PAPER,
        ),
        NO_POOL_MAPS,
    )(partial(c2d_resnet, depths=DEPTHS[_depth], halve_time=False))


register(
    i3d_card(
        "i3d_resnet_tiny", "i3d_resnet for tests.", 139_629, 6_673_664, spec=TINY_SPEC, classes=5, tiny=True
    ),
    I3D_MAPS,
)(partial(i3d_resnet, depths=TINY_DEPTHS, width=8))
register(
    i3d_card("c2d_tiny", "c2d for tests.", 129_677, 4_424_960, spec=TINY_SPEC, classes=5, tiny=True), C2D_MAPS
)(partial(c2d_resnet, depths=TINY_DEPTHS, width=8))
