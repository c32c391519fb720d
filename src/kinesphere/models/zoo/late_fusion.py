"""Late fusion of frames: an image ResNet on every frame, logits averaged over time.

The single-frame baseline of Karpathy et al., "Large-scale Video Classification with Convolutional Neural
Networks", CVPR 2014, https://cs.stanford.edu/people/karpathy/deepvideo/, section 3.1, with the fusion by
averaged class scores of Simonyan and Zisserman, "Two-Stream Convolutional Networks", NIPS 2014, section 5.

B batch, T time, C channels, H W pixels.
"""

from __future__ import annotations

from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import MEAN, STD
from kinesphere.models.family import Family
from kinesphere.models.layers.resnet2d import BACKBONE_STAGES, TINY_DEPTH, ResNet2d
from kinesphere.models.papers import cite
from kinesphere.models.runtime.framewise import through_features
from kinesphere.models.weights.keymap import KeyMap, Rename


class LateFusion(nn.Module):
    """Frame encoder and linear classifier; logits are the mean over frames."""

    snippet = 1

    def __init__(self, num_classes: int, depth: int, width: int = 64) -> None:
        super().__init__()
        self.backbone = ResNet2d(depth, width=width)
        self.fc = nn.Linear(self.backbone.outputs, num_classes)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        return through_features(self, x_BTCHW)

    def frame_features(self, x_NCHW: Tensor) -> Tensor:
        """Features `(N, D)` of frames; see `FrameWise`."""
        features_ND: Tensor = self.backbone(x_NCHW)
        return features_ND

    def from_features(self, f_BTD: Tensor) -> Tensor:
        """Logits `(B, K)`; see `FrameWise`."""
        logits_BK: Tensor = self.fc(f_BTD).mean(1)
        return logits_BK


SPEC = ClipSpec(Sampling("uniform", 5), size=(224, 224), short_side_px=256, mean=MEAN, std=STD)
LATE_FUSION = Family(
    name="late_fusion",
    paper=cite("deepvideo", "3.1"),
    network=LateFusion,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("uniform", 3), size=(64, 64), short_side_px=72),),
    stages=BACKBONE_STAGES,
    frame_wise=True,
    cam_layers=(CamLayer("backbone.layer4", "BT C H W"),),
    classes=10,
    key_maps=(KeyMap("torchvision", (Rename("fc.*", "fc.*"), Rename("*", "backbone.*"))),),
    notes="A ResNet in place of the paper's five-layer network.",
)


@LATE_FUSION.model("ResNet-18 on every frame, class scores averaged; knows no order of frames.")
def late_fusion_resnet18(num_classes: int) -> LateFusion:
    return LATE_FUSION.build(num_classes, depth=18)


@LATE_FUSION.model("ResNet-34 on every frame, class scores averaged; knows no order of frames.")
def late_fusion_resnet34(num_classes: int) -> LateFusion:
    return LATE_FUSION.build(num_classes, depth=34)


@LATE_FUSION.model("ResNet-50 on every frame, class scores averaged; knows no order of frames.")
def late_fusion_resnet50(num_classes: int) -> LateFusion:
    return LATE_FUSION.build(num_classes, depth=50)


@LATE_FUSION.model("ResNet-101 on every frame, class scores averaged; knows no order of frames.")
def late_fusion_resnet101(num_classes: int) -> LateFusion:
    return LATE_FUSION.build(num_classes, depth=101)


@LATE_FUSION.model("ResNet-152 on every frame, class scores averaged; knows no order of frames.")
def late_fusion_resnet152(num_classes: int) -> LateFusion:
    return LATE_FUSION.build(num_classes, depth=152)


@LATE_FUSION.model(
    f"ResNet-{TINY_DEPTH} on every frame, class scores averaged; knows no order of frames.",
    classes=10,
    tiny=True,
)
def late_fusion_tiny(num_classes: int) -> LateFusion:
    return LATE_FUSION.build(num_classes, depth=TINY_DEPTH, width=16)
