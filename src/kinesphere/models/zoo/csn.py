"""Channel-separated networks: interactions between channels and between positions, never in one convolution.

Tran, Wang, Torresani, Feiszli: "Video Classification with Channel-Separated Convolutional Networks",
ICCV 2019, https://arxiv.org/abs/1904.02811, section 3 and table 1. The middle convolution of each bottleneck
becomes depthwise: *interaction-reduced* (ir) just so, *interaction-preserved* (ip) with a 1×1×1 convolution
before it.
"""

from __future__ import annotations

from torch import nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.layers.resnet3d import DEPTHS, ResNet3d, Size3, conv3d, max_pool, stem
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import KeyMap, Rename
from kinesphere.models.weights.maps.resnet3d import MMACTION2, PYTORCHVIDEO
from kinesphere.models.zoo.i3d_resnet import I3D, SPEC


def reduced(width: int, stride: Size3) -> nn.Module:
    """Depthwise 3×3×3."""
    return conv3d(width, width, (3, 3, 3), stride, groups=width)


def preserved(width: int, stride: Size3) -> nn.Module:
    """1×1×1 across channels, then depthwise 3×3×3."""
    return nn.Sequential(conv3d(width, width, (1, 1, 1)), nn.BatchNorm3d(width), reduced(width, stride))


def channel_separated(
    num_classes: int,
    *,
    depths: tuple[int, ...],
    preserve: bool = False,
    width: int = 64,
    norm_eps: float = 1e-3,
    dropout: float = 0.5,
) -> ResNet3d:
    """Args: `preserve` for the interaction-preserved form."""
    entry = stem(3, width, (3, 7, 7), (1, 2, 2), max_pool((1, 3, 3), (1, 2, 2)))
    return ResNet3d(
        num_classes,
        depths,
        entry,
        width=width,
        strides=((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2)),
        middle=preserved if preserve else reduced,
        dropout=dropout,
        norm_eps=norm_eps,
    )


VMZ_SPEC = SPEC.with_(mean=(0.43216, 0.394666, 0.37645), std=(0.22803, 0.22145, 0.216989))
FACEBOOK_SPEC = ClipSpec(Sampling("dense", 32, 2), size=(224, 224), short_side_px=256, fps=30.0)

BLOCK = "backbone.layer{s}.{b}.conv2"
REDUCED_MAPS = (
    KeyMap(
        "mmaction2",
        (
            Rename(f"{BLOCK}.0.conv.weight", "layer{s}.{b}.conv2.weight"),
            Rename(f"{BLOCK}.0.bn.*", "layer{s}.{b}.bn2.*"),
            *MMACTION2,
        ),
    ),
    KeyMap("pytorchvideo", PYTORCHVIDEO, arguments={"norm_eps": 1e-5}, spec=FACEBOOK_SPEC),
)
PRESERVED_MAPS = (
    KeyMap(
        "mmaction2",
        (
            Rename(f"{BLOCK}.0.conv.weight", "layer{s}.{b}.conv2.0.weight"),
            Rename(f"{BLOCK}.0.bn.*", "layer{s}.{b}.conv2.1.*"),
            Rename(f"{BLOCK}.1.conv.weight", "layer{s}.{b}.conv2.2.weight"),
            Rename(f"{BLOCK}.1.bn.*", "layer{s}.{b}.bn2.*"),
            *MMACTION2,
        ),
    ),
)
CSN = I3D.of(
    channel_separated,
    name="csn",
    paper=cite("1904.02811", "3, table 1"),
    key_maps=REDUCED_MAPS,
)


@CSN.model("Interaction-reduced channel-separated network of 50 layers.")
def ir_csn_50(num_classes: int) -> ResNet3d:
    return CSN.build(num_classes, depths=DEPTHS[50])


@CSN.model("Interaction-reduced channel-separated network of 101 layers.")
def ir_csn_101(num_classes: int) -> ResNet3d:
    return CSN.build(num_classes, depths=DEPTHS[101])


@CSN.model("Interaction-reduced channel-separated network of 152 layers.")
def ir_csn_152(num_classes: int) -> ResNet3d:
    return CSN.build(num_classes, depths=DEPTHS[152])


@CSN.model(
    "Interaction-preserved channel-separated network of 152 layers.",
    inputs=(VMZ_SPEC,),
    key_maps=PRESERVED_MAPS,
)
def ip_csn_152(num_classes: int) -> ResNet3d:
    return CSN.build(num_classes, depths=DEPTHS[152], preserve=True)


@CSN.model("Interaction-reduced csn for tests.", tiny=True)
def ir_csn_tiny(num_classes: int) -> ResNet3d:
    return CSN.build(num_classes, depths=(1, 1, 1, 1), width=16)


@CSN.model("Interaction-preserved csn for tests.", key_maps=PRESERVED_MAPS, tiny=True)
def ip_csn_tiny(num_classes: int) -> ResNet3d:
    return CSN.build(num_classes, depths=(1, 1, 1, 1), width=16, preserve=True)
