"""Non-local networks: I3D on a ResNet with attention over space and time between its blocks.

Wang, Girshick, Gupta, He: "Non-local Neural Networks", CVPR 2018, https://arxiv.org/abs/1711.07971,
sections 3 and 4: five blocks stand after every second residual block of stages 2 and 3, ten after each.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import ModelCard, Paper, WeightEntry
from kinesphere.models.layers.nonlocal_block import NonLocalBlock, Pairwise
from kinesphere.models.layers.resnet3d import DEPTHS, ResNet3d, max_pool, stem
from kinesphere.models.registry import register
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
from kinesphere.models.weights.publishers import kinetics, mmaction2_url, pyslowfast_url
from kinesphere.models.weights.publishers.imagenet import MEAN, STD


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
) -> nn.Module:
    """I3D-ResNet with non-local blocks.

    Args:
        num_classes: Number of outputs K.
        depths: Residual blocks per stage.
        width: Channels of the stem.
        pairwise: Affinity of two positions (section 3.2).
        attend2: Residual blocks of stage 2 that a non-local block follows; all four in the ten-block network.
        attend3: The same in stage 3, which has six.
        time_stride: Of the stem's convolution and pooling.
        pool_first: Whether positions are pooled before they are embedded.
        scaled: Whether affinities are divided by the square root of their width.
        out_bias: Whether a non-local block's last convolution has a bias.
        dropout: Before the classifier.
    """
    attend = partial(
        NonLocalBlock, pairwise=pairwise, pool_first=pool_first, scaled=scaled, out_bias=out_bias
    )
    entry = stem(3, width, (5, 7, 7), (time_stride, 2, 2), max_pool((1, 3, 3), (time_stride, 2, 2)))
    return ResNet3d(
        num_classes,
        depths,
        entry,
        width=width,
        lengths=((3,), (3, 1), (3, 1), (1, 3)),
        halve_time=True,
        attend=attend,
        attend_after=((), attend2, attend3, ()),
        dropout=dropout,
    )


PAPER = Paper(
    "Non-local Neural Networks",
    "Wang, Girshick, Gupta, He",
    2018,
    "https://arxiv.org/abs/1711.07971",
    "3, 4",
)
SPEC = ClipSpec(Sampling("dense", 32, 2), size=(224, 224), short_side_px=256, mean=MEAN, std=STD)
FACEBOOK_SPEC = ClipSpec(Sampling("dense", 8, 8), size=(224, 224), short_side_px=256, fps=30.0)
TINY_SPEC = SPEC.with_(sampling=Sampling("dense", 8), size=(32, 32), short_side_px=36)

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


def nonlocal_card(
    name: str,
    summary: str,
    parameters: int,
    multiply_adds: int,
    *,
    weights: tuple[WeightEntry, ...] = (),
    spec: ClipSpec = SPEC,
    classes: int = 400,
    tiny: bool = False,
    notes: str = "",
) -> ModelCard:
    return ModelCard(
        name=name,
        family="nonlocal_i3d",
        summary=summary,
        paper=PAPER,
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


def url(kind: str, suffix: str) -> str:
    config = f"i3d_imagenet-pretrained-r50-nl-{kind}_8xb8-32x2x1-100e_kinetics400-rgb"
    return mmaction2_url("i3d", config, suffix)


EMBEDDED_WEIGHTS = (
    kinetics("k400", url("embedded-gaussian", "20220812-afd8f562"), "mmaction2", 0.7473, 0.918),
    kinetics(
        "k400_caffe2", pyslowfast_url("I3D_NLN_8x8_R50"), "pyslowfast_caffe2", 0.74, 0.911, spec=FACEBOOK_SPEC
    ),
)
GAUSSIAN_WEIGHTS = (kinetics("k400", url("gaussian", "20220812-0c5cbf5a"), "mmaction2", 0.7397, 0.9133),)
DOT_PRODUCT_WEIGHTS = (kinetics("k400", url("dot-product", "20220812-8e1f2148"), "mmaction2", 0.748, 0.9207),)
LINEAR_COST = (
    "Affinities are multiplied in the order that is linear in the number of positions; published counts of "
    "multiply-adds are for the quadratic one."
)
SAME_KEYS_NOTE = "Its files have the same keys as the embedded Gaussian's: only the name tells them apart. "

register(
    nonlocal_card(
        "nonlocal_i3d_resnet50",
        "I3D-ResNet-50 with five non-local blocks, softmax over embedded dot products.",
        35_397_840,
        44_338_741_248,
        weights=EMBEDDED_WEIGHTS,
    ),
    EMBEDDED_MAPS,
)(nonlocal_i3d)
register(
    nonlocal_card(
        "nonlocal_i3d_resnet50_gaussian",
        "I3D-ResNet-50 with five non-local blocks, softmax over dot products of the features themselves.",
        31_723_728,
        41_723_166_720,
        weights=GAUSSIAN_WEIGHTS,
        notes="No recorded logits of this network: its affinity is tested against the paper's formula.",
    ),
    (MMACTION2_MAP, IMAGENET),
)(partial(nonlocal_i3d, pairwise="gaussian"))
register(
    nonlocal_card(
        "nonlocal_i3d_resnet50_dot_product",
        "I3D-ResNet-50 with five non-local blocks, plain embedded dot products.",
        35_397_840,
        42_633_560_064,
        weights=DOT_PRODUCT_WEIGHTS,
        notes=SAME_KEYS_NOTE + LINEAR_COST,
    ),
    (MMACTION2_MAP, IMAGENET),
)(partial(nonlocal_i3d, pairwise="dot_product"))

TINY = partial(nonlocal_i3d, depths=(1, 1, 1, 1), width=8, attend2=(0,), attend3=(0,))
register(
    nonlocal_card(
        "nonlocal_i3d_tiny",
        "nonlocal_i3d for tests.",
        181_261,
        6_940_416,
        spec=TINY_SPEC,
        classes=5,
        tiny=True,
    ),
    EMBEDDED_MAPS,
)(TINY)
register(
    nonlocal_card(
        "nonlocal_i3d_gaussian_tiny",
        "Gaussian nonlocal_i3d for tests.",
        160_589,
        6_811_648,
        spec=TINY_SPEC,
        classes=5,
        tiny=True,
    ),
    (MMACTION2_MAP, IMAGENET),
)(partial(TINY, pairwise="gaussian"))
register(
    nonlocal_card(
        "nonlocal_i3d_dot_product_tiny",
        "Dot-product nonlocal_i3d for tests.",
        181_261,
        6_976_768,
        spec=TINY_SPEC,
        classes=5,
        tiny=True,
    ),
    (MMACTION2_MAP, IMAGENET),
)(partial(TINY, pairwise="dot_product"))
