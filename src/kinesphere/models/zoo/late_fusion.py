"""Late fusion of frames: an image ResNet on every frame, logits averaged over time.

The single-frame baseline of Karpathy et al., "Large-scale Video Classification with Convolutional Neural
Networks", CVPR 2014, https://cs.stanford.edu/people/karpathy/deepvideo/, section 3.1, with the fusion by
averaged class scores of Simonyan and Zisserman, "Two-Stream Convolutional Networks", NIPS 2014, section 5.

B batch, T time, C channels, H W pixels.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import ModelCard, Paper, WeightEntry
from kinesphere.models.layers.resnet2d import TINY_DEPTH, ResNet2d
from kinesphere.models.registry import register
from kinesphere.models.weights.keymap import KeyMap, Rename
from kinesphere.models.weights.publishers.imagenet import MEAN, STD, imagenet_weights


class LateFusion(nn.Module):
    """Frame encoder and linear classifier; logits are the mean over frames."""

    def __init__(self, num_classes: int, depth: int, width: int = 64) -> None:
        super().__init__()
        self.backbone = ResNet2d(depth, width=width)
        self.fc = nn.Linear(self.backbone.outputs, num_classes)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        B, T = x_BTCHW.shape[:2]
        logits_BTK = self.fc(self.backbone(x_BTCHW.flatten(0, 1))).unflatten(0, (B, T))
        logits_BK: Tensor = logits_BTK.mean(1)
        return logits_BK


PAPER = Paper(
    "Large-scale Video Classification with Convolutional Neural Networks",
    "Karpathy, Toderici, Shetty, Leung, Sukthankar, Fei-Fei",
    2014,
    "https://cs.stanford.edu/people/karpathy/deepvideo/",
    "3.1",
)
SPEC = ClipSpec(Sampling("uniform", 5), size=(224, 224), short_side_px=256, mean=MEAN, std=STD)
TINY_SPEC = SPEC.with_(sampling=Sampling("uniform", 3), size=(64, 64), short_side_px=72)
KEY_MAPS = (KeyMap("torchvision", (Rename("fc.*", "fc.*"), Rename("*", "backbone.*"))),)


def late_fusion_card(
    name: str,
    depth: int,
    parameters: int,
    multiply_adds: int,
    *,
    weights: tuple[WeightEntry, ...] = (),
    spec: ClipSpec = SPEC,
    tiny: bool = False,
) -> ModelCard:
    return ModelCard(
        name=name,
        family="late_fusion",
        summary=f"ResNet-{depth} on every frame, class scores averaged; knows no order of frames.",
        paper=PAPER,
        inputs=(spec,),
        parameters=parameters,
        multiply_adds=multiply_adds,
        classes=10,
        head=("fc",),
        stages=tuple(f"backbone.{part}" for part in ("conv1", "layer1", "layer2", "layer3", "layer4")),
        cam_layer="backbone.layer4",
        weights=weights,
        tiny=tiny,
        notes="A ResNet in place of the paper's five-layer network.",
    )


# depth -> parameters, multiply-adds
MEASURED = {
    18: (11_181_642, 9_067_832_320),
    34: (21_289_802, 18_316_272_640),
    50: (23_528_522, 20_435_783_680),
    101: (42_520_650, 38_996_889_600),
    152: (58_164_298, 57_557_995_520),
}


def late_fusion(num_classes: int, *, depth: int) -> nn.Module:
    return LateFusion(num_classes, depth)


for _depth, _numbers in MEASURED.items():
    register(
        late_fusion_card(f"late_fusion_resnet{_depth}", _depth, *_numbers, weights=imagenet_weights(_depth)),
        KEY_MAPS,
    )(partial(late_fusion, depth=_depth))


@register(
    late_fusion_card("late_fusion_tiny", TINY_DEPTH, 310_746, 19_025_664, spec=TINY_SPEC, tiny=True), KEY_MAPS
)
def late_fusion_tiny(num_classes: int) -> nn.Module:
    return LateFusion(num_classes, TINY_DEPTH, width=16)
