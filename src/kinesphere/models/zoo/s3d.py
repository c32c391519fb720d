"""S3D: Inception-v1 with each 3D convolution split into a spatial and a temporal one.

Xie, Sun, Huang, Tu, Murphy: "Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in
Video Classification", ECCV 2018, https://arxiv.org/abs/1712.04851, section 4 and figure 6.

B batch, T time, C channels, H W pixels.
"""

from __future__ import annotations

from torch import nn

from kinesphere.clips.spec import Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.family import Family
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import KeyMap, Rename, squeeze
from kinesphere.models.zoo import r3d
from kinesphere.models.zoo.i3d import BLOCKS, STAGES, Inception3d, Triple, with_norm


def convolve(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A spatial convolution followed by a temporal one, each with batch norm and ReLU."""
    if kernel == 1:
        return with_norm(nn.Conv3d(inputs, outputs, 1, bias=False))
    k, s, p = kernel, stride, kernel // 2
    return nn.Sequential(
        with_norm(nn.Conv3d(inputs, outputs, (1, k, k), (1, s, s), (0, p, p), bias=False)),
        with_norm(nn.Conv3d(outputs, outputs, (k, 1, 1), (s, 1, 1), (p, 0, 0), bias=False)),
    )


def pool(kernel: Triple, stride: Triple) -> nn.Module:
    return nn.MaxPool3d(kernel, stride, tuple((side - 1) // 2 for side in kernel))


def separable_inception(num_classes: int, *, divide: int = 1, dropout: float = 0.2) -> Inception3d:
    """Separable Inception-v1 (without the feature gating of S3D-G); `divide` divides all widths."""
    return Inception3d(num_classes, convolve, pool, divide=divide, dropout=dropout)


SPEC = r3d.SPEC.with_(sampling=Sampling("dense", 64), size=(224, 224), short_side_px=256)
TORCHVISION = KeyMap(
    "torchvision",
    (
        Rename("features.0.*", "conv_1a.*"),
        Rename("features.2.*", "conv_2b.*"),
        Rename("features.3.*", "conv_2c.*"),
        *(
            Rename(f"features.{i}.*", f"{name}.*")
            for i, name in zip((5, 6, 8, 9, 10, 11, 12, 14, 15), BLOCKS, strict=True)
        ),
        Rename("classifier.1.weight", "fc.weight", squeeze(2, 3, 4)),
        Rename("classifier.1.bias", "fc.bias"),
    ),
)
S3D = Family(
    name="s3d",
    paper=cite("1712.04851", "4"),
    network=separable_inception,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("dense", 16), size=(32, 32), short_side_px=36),),
    stages=STAGES,
    cam_layers=(CamLayer("mixed_5c", "B C T H W"),),
    key_maps=(TORCHVISION,),
    notes="Pools and convolutions pad both sides alike, as the public PyTorch weights expect.",
)


@S3D.model("Inception-v1 with spatial and temporal convolutions apart.")
def s3d(num_classes: int) -> Inception3d:
    return S3D.build(num_classes)


@S3D.model("s3d for tests.", tiny=True)
def s3d_tiny(num_classes: int) -> Inception3d:
    return S3D.build(num_classes, divide=8)
