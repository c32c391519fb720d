"""TSN: an image network on a few frames spread over the video, scores averaged.

Wang, Xiong, Wang, Qiao, Lin, Tang, Van Gool: "Temporal Segment Networks: Towards Good Practices for Deep
Action Recognition", ECCV 2016, https://arxiv.org/abs/1608.00859, sections 3.1 and 3.2.

B batch, T time, C channels, H W pixels, S segments.
"""

from __future__ import annotations

from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.errors import InvalidSetting
from kinesphere.models.card import Paper, ReportedScore, WeightEntry
from kinesphere.models.family import Family
from kinesphere.models.layers.resnet2d import BACKBONE_STAGES, TINY_DEPTH, ResNet2d
from kinesphere.models.weights.keymap import KeyMap
from kinesphere.models.weights.maps.resnet2d import IMAGENET, MIT_HAN_LAB, MMACTION2
from kinesphere.models.weights.publishers import TVL1_NOTE, kinetics, mmaction2_url
from kinesphere.models.weights.publishers.imagenet import MEAN, STD, imagenet_weights

SNIPPET = 5


class TSN(nn.Module):
    """Snippets through an image ResNet; the consensus is the mean of their scores.

    A snippet is one frame of RGB, or `snippet` successive flow fields stacked as channels
    (x and y of the first, x and y of the second …).

    Args:
        num_classes: Number of outputs K.
        depth: Of the ResNet.
        channels: Of one frame: 3 for RGB, 2 for flow.
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
        B, T = x_BTCHW.shape[:2]
        if T % self.snippet:
            raise InvalidSetting(f"A snippet is {self.snippet} frames; got a clip of {T}, not a multiple.")
        S = T // self.snippet
        x_NCHW = x_BTCHW.unflatten(1, (S, self.snippet)).flatten(2, 3).flatten(0, 1)
        logits_BSK = self.fc(self.dropout(self.backbone(x_NCHW))).unflatten(0, (B, S))
        logits_BK: Tensor = logits_BSK.mean(1)
        return logits_BK


SPEC = ClipSpec(Sampling("uniform", 8), size=(224, 224), short_side_px=256, mean=MEAN, std=STD)
# The public weights saw flow within ±20 px stored in 8 bits, less 128, divided by 128; in pixels that is:
FLOW_SPEC = ClipSpec(
    Sampling("dense", SNIPPET),
    size=(224, 224),
    modality="flow",
    short_side_px=256,
    mean=(20 / 255,) * 2,
    std=(128 * 40 / 255,) * 2,
)
PUBLIC_FLOW_SPEC = FLOW_SPEC.with_(flow="tvl1")  # what the public weights learnt from
FLOW_KEY_MAPS = (
    KeyMap("mmaction2", MMACTION2, spec=PUBLIC_FLOW_SPEC),
    KeyMap("mit_han_lab", MIT_HAN_LAB, spec=PUBLIC_FLOW_SPEC),
    IMAGENET,
)


FAMILY = Family(
    name="tsn",
    paper=Paper(
        "Temporal Segment Networks: Towards Good Practices for Deep Action Recognition",
        "Wang, Xiong, Wang, Qiao, Lin, Tang, Van Gool",
        2016,
        "https://arxiv.org/abs/1608.00859",
        "3.1, 3.2",
    ),
    network=TSN,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("uniform", 3), size=(64, 64), short_side_px=72),),
    stages=BACKBONE_STAGES,
    cam_layer="backbone.layer4",
    key_maps=(KeyMap("mmaction2", MMACTION2), KeyMap("mit_han_lab", MIT_HAN_LAB), IMAGENET),
    notes="A ResNet in place of the paper's BN-Inception.",
)


def published(tag: str, recipe: str, suffix: str, top1: float, top5: float, frames: str) -> WeightEntry:
    """An entry of MMAction2 1.x."""
    url = mmaction2_url("tsn", f"tsn_imagenet-pretrained-{recipe}_kinetics400-rgb", suffix)
    spec = SPEC.with_(sampling=Sampling.parse(frames))
    return kinetics(tag, url, "mmaction2", top1, top5, protocol="25 clips x 10 crops", spec=spec)


def legacy(tag: str, stem: str, suffix: str, top1: float, top5: float, classes: int = 400) -> WeightEntry:
    """An entry of MMAction2 0.x."""
    url = f"https://download.openmmlab.com/mmaction/recognition/tsn/{stem}/{stem}_{suffix}.pth"
    protocol = "testing protocol not stated with the score"
    return kinetics(tag, url, "mmaction2", top1, top5, classes=classes, protocol=protocol)


@FAMILY.model(
    "ResNet-18 on eight frames spread over the video, scores averaged.", weights=imagenet_weights(18)
)
def tsn_resnet18(num_classes: int) -> TSN:
    return FAMILY.build(num_classes, depth=18)


@FAMILY.model(
    "ResNet-34 on eight frames spread over the video, scores averaged.", weights=imagenet_weights(34)
)
def tsn_resnet34(num_classes: int) -> TSN:
    return FAMILY.build(num_classes, depth=34)


@FAMILY.model(
    "ResNet-50 on eight frames spread over the video, scores averaged.",
    weights=(
        published("k400", "r50_8xb32-1x1x8-100e", "20220906-2692d16c", 0.7412, 0.9134, "uniform8"),
        published("k400_3seg", "r50_8xb32-1x1x3-100e", "20220906-cd10898e", 0.7283, 0.9065, "uniform3"),
        published("k400_5seg", "r50_8xb32-1x1x5-100e", "20220906-65d68713", 0.738, 0.9121, "uniform5"),
        WeightEntry(
            tag="k400_mit",
            url="https://hanlab18.mit.edu/projects/tsm/models/TSM_kinetics_RGB_resnet50_avg_segment5_e50.pth",
            layout="mit_han_lab",
            labels="kinetics400",
            classes=400,
            licence="MIT",
            scores=(
                ReportedScore("top1", 0.688, "Kinetics-400", "1 clip of 8 frames x 1 crop"),
                ReportedScore("top1", 0.699, "Kinetics-400", "1 clip of 8 frames x 10 crops"),
                ReportedScore("top1", 0.706, "Kinetics-400", "10 clips of 8 frames"),
            ),
        ),
        legacy("k600", "tsn_r50_video_1x1x8_100e_kinetics600_rgb", "20201015-4db3c461", 0.748, 0.923, 600),
        legacy("k700", "tsn_r50_video_1x1x8_100e_kinetics700_rgb", "20201015-e381a6c7", 0.617, 0.836, 700),
        *imagenet_weights(50),
    ),
)
def tsn_resnet50(num_classes: int) -> TSN:
    return FAMILY.build(num_classes, depth=50)


@FAMILY.model(
    "ResNet-101 on eight frames spread over the video, scores averaged.",
    weights=(
        published("k400", "r101_8xb32-1x1x8-100e", "20220906-23cff032", 0.7589, 0.9207, "uniform8"),
        *imagenet_weights(101),
    ),
)
def tsn_resnet101(num_classes: int) -> TSN:
    return FAMILY.build(num_classes, depth=101)


@FAMILY.model(
    "ResNet-152 on eight frames spread over the video, scores averaged.", weights=imagenet_weights(152)
)
def tsn_resnet152(num_classes: int) -> TSN:
    return FAMILY.build(num_classes, depth=152)


@FAMILY.model(
    "ResNet-50 on five stacked flow fields per snippet, scores averaged.",
    weights=(
        legacy("k400", "tsn_r50_320p_1x1x8_110e_kinetics400_flow", "20200705-1f39486b", 0.5776, 0.8099),
        legacy("k400_3seg", "tsn_r50_320p_1x1x3_110e_kinetics400_flow", "20200705-3036bab6", 0.557, 0.7985),
        *imagenet_weights(50),
    ),
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
