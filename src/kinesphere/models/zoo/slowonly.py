"""SlowOnly: the slow pathway of SlowFast alone.

Feichtenhofer, Fan, Malik, He: "SlowFast Networks for Video Recognition", ICCV 2019,
https://arxiv.org/abs/1812.03982, sections 3.1 and 4.1: a ResNet over few frames that look at their
neighbours in the last two stages only; no stride in time.
"""

from __future__ import annotations

from functools import partial

from kinesphere.models.contracts import TVL1_NOTE
from kinesphere.models.layers.nonlocal_block import NonLocalBlock
from kinesphere.models.layers.resnet3d import DEPTHS, ResNet3d, frame_stem
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import KeyMap
from kinesphere.models.weights.maps.resnet3d import (
    CAFFE2,
    IMAGENET,
    MMACTION2,
    MMACTION2_NON_LOCAL,
    PYSLOWFAST,
    PYTORCHVIDEO,
    mmaction2_attention,
)
from kinesphere.models.zoo.i3d_resnet import C2D, FACEBOOK_SPEC, SPEC_8X8


def slowonly_resnet(
    num_classes: int,
    *,
    depths: tuple[int, ...],
    width: int = 64,
    channels: int = 3,
    attend2: tuple[int, ...] = (),
    attend3: tuple[int, ...] = (),
    dropout: float = 0.5,
) -> ResNet3d:
    """A ResNet over frames far apart.

    Args:
        num_classes: Number of outputs K.
        depths: Blocks per stage.
        width: Channels of the stem.
        channels: Channels of a frame: 3 for RGB, 2 for flow.
        attend2: Blocks of the second stage that a non-local block follows.
        attend3: The same in the third stage.
        dropout: Before the classifier.
    """
    return ResNet3d(
        num_classes,
        depths,
        frame_stem(channels, width),
        width=width,
        lengths=((1,), (1,), (3,), (3,)),
        attend=partial(NonLocalBlock, scaled=True),
        attend_after=((), attend2, attend3, ()),
        dropout=dropout,
    )


FLOW_SPEC = SPEC_8X8.with_(modality="flow", mean=(0.0, 0.0), std=(20.0, 20.0))
PUBLIC_FLOW_SPEC = FLOW_SPEC.with_(flow="tvl1")  # what the public weights learnt from

MMACTION2_RULES = MMACTION2_NON_LOCAL + MMACTION2
MAPS = (
    KeyMap("mmaction2", MMACTION2_RULES, infer=mmaction2_attention),
    KeyMap("pytorchvideo", PYTORCHVIDEO, spec=FACEBOOK_SPEC),
    KeyMap("pyslowfast", PYSLOWFAST, spec=FACEBOOK_SPEC),
    KeyMap("pyslowfast_caffe2", CAFFE2, spec=FACEBOOK_SPEC),
    IMAGENET,
)
FLOW_MAPS = (KeyMap("mmaction2", MMACTION2_RULES, infer=mmaction2_attention, spec=PUBLIC_FLOW_SPEC), IMAGENET)


SLOWONLY = C2D.of(
    slowonly_resnet,
    name="slowonly",
    paper=cite("1812.03982", "3.1, 4.1"),
    key_maps=MAPS,
    notes="A file with non-local blocks imports too: `attend2` and `attend3` say after which blocks they "
    "stand. ",
)


@SLOWONLY.model("The slow pathway of SlowFast alone, on a ResNet-50: few frames, no stride in time.")
def slowonly_resnet50(num_classes: int) -> ResNet3d:
    return SLOWONLY.build(num_classes, depths=DEPTHS[50])


@SLOWONLY.model("The slow pathway of SlowFast alone, on a ResNet-101: few frames, no stride in time.")
def slowonly_resnet101(num_classes: int) -> ResNet3d:
    return SLOWONLY.build(num_classes, depths=DEPTHS[101])


@SLOWONLY.model(
    "The slow pathway of SlowFast alone, on a ResNet-50, for optical flow.",
    inputs=(FLOW_SPEC,),
    key_maps=FLOW_MAPS,
    notes="Flow is divided by 20 pixels, the bound of the pictures that the public weights learnt from. "
    + TVL1_NOTE,
)
def slowonly_resnet50_flow(num_classes: int) -> ResNet3d:
    return SLOWONLY.build(num_classes, depths=DEPTHS[50], channels=2)


@SLOWONLY.model("slowonly for tests.", tiny=True)
def slowonly_tiny(num_classes: int) -> ResNet3d:
    return SLOWONLY.build(num_classes, depths=(1, 1, 1, 1), width=8)
