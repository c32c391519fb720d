"""Non-local networks: I3D on a ResNet with attention over space and time between its blocks.

Wang, Girshick, Gupta, He: "Non-local Neural Networks", CVPR 2018, https://arxiv.org/abs/1711.07971,
sections 3 and 4: five blocks stand after every second residual block of stages 2 and 3, ten after each.
"""

from __future__ import annotations

from functools import partial

from kinesphere.models.layers.nonlocal_block import NonLocalBlock, Pairwise
from kinesphere.models.layers.resnet3d import DEPTHS, ResNet3d
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import Arguments, KeyMap
from kinesphere.models.weights.maps.resnet3d import (
    CAFFE2,
    CAFFE2_NON_LOCAL,
    IMAGENET,
    MMACTION2,
    MMACTION2_NON_LOCAL,
    PYSLOWFAST,
    PYSLOWFAST_NON_LOCAL,
    caffe2_attention,
    mmaction2_attention,
    pyslowfast_attention,
)
from kinesphere.models.zoo.i3d_resnet import EVERY_SECOND, FACEBOOK_SPEC, I3D, i3d_stem


def nonlocal_i3d(
    num_classes: int,
    *,
    depths: tuple[int, ...] = DEPTHS[50],
    width: int = 64,
    pairwise: Pairwise = "embedded_gaussian",
    attend2: tuple[int, ...] = (1, 3),
    attend3: tuple[int, ...] = (1, 3, 5),
    time_stride: int = 2,
    pool_first: bool = False,
    scaled: bool = False,
    out_bias: bool = False,
    dropout: float = 0.5,
) -> ResNet3d:
    """I3D-ResNet with non-local blocks.

    Args:
        num_classes: Number of outputs K.
        depths: Residual blocks per stage.
        width: Channels of the stem.
        pairwise: Affinity of two positions (section 3.2).
        attend2: Residual blocks of stage 2 that a non-local block follows; all four in the ten-block network.
        attend3: The same in stage 3, which has six.
        time_stride: Time stride of the stem's convolution and pooling.
        pool_first: Whether positions are pooled before they are embedded.
        scaled: Whether affinities are divided by the square root of their width.
        out_bias: Whether a non-local block's last convolution has a bias.
        dropout: Before the classifier.
    """
    attend = partial(
        NonLocalBlock, pairwise=pairwise, pool_first=pool_first, scaled=scaled, out_bias=out_bias
    )
    return ResNet3d(
        num_classes,
        depths,
        i3d_stem(width, time_stride),
        width=width,
        lengths=EVERY_SECOND,
        halve_time=True,
        attend=attend,
        attend_after=((), attend2, attend3, ()),
        dropout=dropout,
    )


MMACTION2_MAP = KeyMap("mmaction2", MMACTION2_NON_LOCAL + MMACTION2, infer=mmaction2_attention)
FACEBOOK_ARGUMENTS: Arguments = {"time_stride": 1, "pool_first": True, "scaled": True, "out_bias": True}
EMBEDDED_MAPS = (
    MMACTION2_MAP,
    KeyMap(
        "pyslowfast",
        PYSLOWFAST_NON_LOCAL + PYSLOWFAST,
        arguments=FACEBOOK_ARGUMENTS,
        infer=pyslowfast_attention,
        spec=FACEBOOK_SPEC,
    ),
    KeyMap(
        "pyslowfast_caffe2",
        CAFFE2_NON_LOCAL + CAFFE2,
        arguments=FACEBOOK_ARGUMENTS,
        infer=caffe2_attention,
        spec=FACEBOOK_SPEC,
    ),
    IMAGENET,
)
PLAIN_MAPS = (MMACTION2_MAP, IMAGENET)
NONLOCAL = I3D.of(
    nonlocal_i3d,
    name="nonlocal_i3d",
    paper=cite("1711.07971", "3, 4"),
    key_maps=EMBEDDED_MAPS,
)


@NONLOCAL.model("I3D-ResNet-50 with five non-local blocks, softmax over embedded dot products.")
def nonlocal_i3d_resnet50(num_classes: int) -> ResNet3d:
    return NONLOCAL.build(num_classes)


@NONLOCAL.model(
    "I3D-ResNet-50 with five non-local blocks, softmax over dot products of the features themselves.",
    key_maps=PLAIN_MAPS,
    notes="No recorded logits of this network: its affinity is tested against the paper's formula.",
)
def nonlocal_i3d_resnet50_gaussian(num_classes: int) -> ResNet3d:
    return NONLOCAL.build(num_classes, pairwise="gaussian")


@NONLOCAL.model(
    "I3D-ResNet-50 with five non-local blocks, plain embedded dot products.",
    key_maps=PLAIN_MAPS,
    notes="Its files have the same keys as the embedded Gaussian's: only the name tells them apart. "
    "Affinities are multiplied in the order that is linear in the number of positions; published counts of "
    "multiply-adds are for the quadratic one.",
)
def nonlocal_i3d_resnet50_dot_product(num_classes: int) -> ResNet3d:
    return NONLOCAL.build(num_classes, pairwise="dot_product")


def tiny(num_classes: int, pairwise: Pairwise) -> ResNet3d:
    depths = (1, 1, 1, 1)
    return NONLOCAL.build(num_classes, depths=depths, width=8, pairwise=pairwise, attend2=(0,), attend3=(0,))


@NONLOCAL.model("nonlocal_i3d for tests.", tiny=True)
def nonlocal_i3d_tiny(num_classes: int) -> ResNet3d:
    return tiny(num_classes, "embedded_gaussian")


@NONLOCAL.model("Gaussian nonlocal_i3d for tests.", key_maps=PLAIN_MAPS, tiny=True)
def nonlocal_i3d_gaussian_tiny(num_classes: int) -> ResNet3d:
    return tiny(num_classes, "gaussian")


@NONLOCAL.model("Dot-product nonlocal_i3d for tests.", key_maps=PLAIN_MAPS, tiny=True)
def nonlocal_i3d_dot_product_tiny(num_classes: int) -> ResNet3d:
    return tiny(num_classes, "dot_product")
