"""I3D on a ResNet, and C2D, its frame-wise counterpart.

Carreira, Zisserman: "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", CVPR 2017,
https://arxiv.org/abs/1705.07750, section 2.4 (inflation); in the form of Wang, Girshick, Gupta, He:
"Non-local Neural Networks", CVPR 2018, https://arxiv.org/abs/1711.07971, section 4 and table 1: an image
ResNet whose stem and every second block look over several frames.
"""

from __future__ import annotations

from torch import nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import MEAN, STD
from kinesphere.models.family import Family
from kinesphere.models.layers.resnet3d import DEPTHS, STAGES, ResNet3d, max_pool, stem
from kinesphere.models.papers import cite
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
from kinesphere.models.zoo import i3d

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
) -> ResNet3d:
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
) -> ResNet3d:
    """Args: `stem_padding` of the max-pooling in the stem, in pixels."""
    pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, stem_padding, stem_padding))
    entry = stem(3, width, (1, 7, 7), (1, 2, 2), pool)
    return ResNet3d(num_classes, depths, entry, width=width, halve_time=halve_time, dropout=dropout)


SPEC = ClipSpec(Sampling("dense", 32, 2), size=(224, 224), short_side_px=256, mean=MEAN, std=STD)
SPEC_8X8 = SPEC.with_(sampling=Sampling("dense", 8, 8))
FACEBOOK_SPEC = ClipSpec(Sampling("dense", 8, 8), size=(224, 224), short_side_px=256, fps=30.0)

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
I3D = Family(
    name="i3d_resnet",
    paper=i3d.I3D.paper,
    network=i3d_resnet,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("dense", 8), size=(32, 32), short_side_px=36),),
    stages=STAGES,
    cam_layers=(CamLayer("layer4", "B C T H W"),),
    key_maps=I3D_MAPS,
)
C2D = I3D.of(
    c2d_resnet,
    paper=cite("1711.07971", "4, table 1"),
    inputs=(SPEC_8X8,),
    key_maps=C2D_MAPS,
)


@I3D.model("ResNet-50 inflated over time in the stem and every second block.")
def i3d_resnet50(num_classes: int) -> ResNet3d:
    return I3D.build(num_classes, depths=DEPTHS[50])


@I3D.model("ResNet-101 inflated over time in the stem and every second block.")
def i3d_resnet101(num_classes: int) -> ResNet3d:
    return I3D.build(num_classes, depths=DEPTHS[101])


@I3D.model("ResNet-50 inflated over time in the stem and every block, without stride in time in the stem.")
def i3d_resnet50_heavy(num_classes: int) -> ResNet3d:
    return I3D.build(num_classes, depths=DEPTHS[50], time_stride=1, lengths=EVERY)


@C2D.model("ResNet-50 on every frame; the only view over time is pooling of neighbouring frames.")
def c2d_resnet50(num_classes: int) -> ResNet3d:
    return C2D.build(num_classes, depths=DEPTHS[50])


@C2D.model("ResNet-101 on every frame; the only view over time is pooling of neighbouring frames.")
def c2d_resnet101(num_classes: int) -> ResNet3d:
    return C2D.build(num_classes, depths=DEPTHS[101])


@C2D.model("ResNet-50 on every frame, averaged over the clip.", key_maps=NO_POOL_MAPS)
def c2d_resnet50_nopool(num_classes: int) -> ResNet3d:
    return C2D.build(num_classes, depths=DEPTHS[50], halve_time=False)


@C2D.model("ResNet-101 on every frame, averaged over the clip.", key_maps=NO_POOL_MAPS)
def c2d_resnet101_nopool(num_classes: int) -> ResNet3d:
    return C2D.build(num_classes, depths=DEPTHS[101], halve_time=False)


@I3D.model("i3d_resnet for tests.", tiny=True)
def i3d_resnet_tiny(num_classes: int) -> ResNet3d:
    return I3D.build(num_classes, depths=(1, 1, 1, 1), width=8)


@C2D.model("c2d for tests.", tiny=True)
def c2d_tiny(num_classes: int) -> ResNet3d:
    return C2D.build(num_classes, depths=(1, 1, 1, 1), width=8)
