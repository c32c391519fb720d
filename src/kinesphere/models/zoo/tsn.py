"""TSN: an image network on a few frames spread over the video, scores averaged.

Wang, Xiong, Wang, Qiao, Lin, Tang, Van Gool: "Temporal Segment Networks: Towards Good Practices for Deep
Action Recognition", ECCV 2016, https://arxiv.org/abs/1608.00859, sections 3.1 and 3.2.

B batch, T time, C channels, H W pixels, S segments.
"""

from __future__ import annotations

from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import MEAN, STD, TVL1_NOTE
from kinesphere.models.family import Family
from kinesphere.models.layers.resnet2d import BACKBONE_STAGES, TINY_DEPTH, ResNet2d
from kinesphere.models.papers import cite
from kinesphere.models.runtime.framewise import through_features
from kinesphere.models.weights.keymap import KeyMap
from kinesphere.models.weights.maps.resnet2d import IMAGENET, MIT_HAN_LAB, MMACTION2

SNIPPET = 5


class TSN(nn.Module):
    """Snippets through an image ResNet; the consensus is the mean of their scores.

    A snippet is one frame of RGB, or `snippet` successive flow fields stacked as channels
    (x and y of the first, x and y of the second …).

    Args:
        num_classes: Number of outputs K.
        depth: Depth of the ResNet.
        channels: Channels of one frame: 3 for RGB, 2 for flow.
        snippet: Frames per snippet; T must be a multiple.
        width: Channels of the first stage.
        dropout: Before the classifier.
    """

    def __init__(
        self,
        num_classes: int,
        depth: int,
        *,
        channels: int = 3,
        snippet: int = 1,
        width: int = 64,
        dropout: float = 0.4,
    ) -> None:
        super().__init__()
        self.snippet = snippet
        self.backbone = ResNet2d(depth, channels=channels * snippet, width=width)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.backbone.outputs, num_classes)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        return through_features(self, x_BTCHW)

    def frame_features(self, x_NCHW: Tensor) -> Tensor:
        """Features `(N, D)` of snippets; see `FrameWise`."""
        features_ND: Tensor = self.backbone(x_NCHW)
        return features_ND

    def from_features(self, f_BSD: Tensor) -> Tensor:
        """Logits `(B, K)`; see `FrameWise`."""
        logits_BK: Tensor = self.fc(self.dropout(f_BSD)).mean(1)
        return logits_BK


SPEC = ClipSpec(Sampling("uniform", 8), size=(224, 224), short_side_px=256, mean=MEAN, std=STD)
# The public weights saw flow within ±20 px stored in 8 bits, less 128, divided by 128; in pixels that is:
FLOW_SPEC = SPEC.with_(
    sampling=Sampling("dense", SNIPPET), modality="flow", mean=(20 / 255,) * 2, std=(128 * 40 / 255,) * 2
)
PUBLIC_FLOW_SPEC = FLOW_SPEC.with_(flow="tvl1")  # what the public weights learnt from
FLOW_KEY_MAPS = (
    KeyMap("mmaction2", MMACTION2, spec=PUBLIC_FLOW_SPEC),
    KeyMap("mit_han_lab", MIT_HAN_LAB, spec=PUBLIC_FLOW_SPEC),
    IMAGENET,
)


FAMILY = Family(
    name="tsn",
    paper=cite("1608.00859", "3.1, 3.2"),
    network=TSN,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("uniform", 3), size=(64, 64), short_side_px=72),),
    stages=BACKBONE_STAGES,
    frame_wise=True,
    cam_layers=(CamLayer("backbone.layer4", "BT C H W"),),
    key_maps=(KeyMap("mmaction2", MMACTION2), KeyMap("mit_han_lab", MIT_HAN_LAB), IMAGENET),
    notes="A ResNet in place of the paper's BN-Inception.",
)


@FAMILY.model("ResNet-18 on eight frames spread over the video, scores averaged.")
def tsn_resnet18(num_classes: int) -> TSN:
    return FAMILY.build(num_classes, depth=18)


@FAMILY.model("ResNet-34 on eight frames spread over the video, scores averaged.")
def tsn_resnet34(num_classes: int) -> TSN:
    return FAMILY.build(num_classes, depth=34)


@FAMILY.model("ResNet-50 on eight frames spread over the video, scores averaged.")
def tsn_resnet50(num_classes: int) -> TSN:
    return FAMILY.build(num_classes, depth=50)


@FAMILY.model("ResNet-101 on eight frames spread over the video, scores averaged.")
def tsn_resnet101(num_classes: int) -> TSN:
    return FAMILY.build(num_classes, depth=101)


@FAMILY.model("ResNet-152 on eight frames spread over the video, scores averaged.")
def tsn_resnet152(num_classes: int) -> TSN:
    return FAMILY.build(num_classes, depth=152)


@FAMILY.model(
    "ResNet-50 on five stacked flow fields per snippet, scores averaged.",
    inputs=(FLOW_SPEC,),
    key_maps=FLOW_KEY_MAPS,
    notes="A clip is one snippet of five successive flow fields; spread several over the video by views, "
    "or give a multiple of five frames. A ResNet in place of the paper's BN-Inception. " + TVL1_NOTE,
)
def tsn_resnet50_flow(num_classes: int) -> TSN:
    return FAMILY.build(num_classes, depth=50, channels=2, snippet=SNIPPET)


@FAMILY.model("tsn for tests.", tiny=True)
def tsn_tiny(num_classes: int) -> TSN:
    return FAMILY.build(num_classes, depth=TINY_DEPTH, width=16)


@FAMILY.model(
    "tsn on flow for tests.",
    inputs=(FLOW_SPEC.with_(sampling=Sampling("dense", 2 * SNIPPET), size=(64, 64), short_side_px=72),),
    key_maps=FLOW_KEY_MAPS,
    tiny=True,
)
def tsn_flow_tiny(num_classes: int) -> TSN:
    return FAMILY.build(num_classes, depth=TINY_DEPTH, channels=2, snippet=SNIPPET, width=16)
