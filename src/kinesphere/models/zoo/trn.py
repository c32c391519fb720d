"""TRN: relations among two, three and more ordered frames, classified and summed.

Zhou, Andonian, Oliva, Torralba: "Temporal Relational Reasoning in Videos", ECCV 2018,
https://arxiv.org/abs/1711.08496, sections 3.1 to 3.3.

B batch, T time, C channels, H W pixels, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.errors import InvalidSetting
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import MEAN, STD, fit_length
from kinesphere.models.family import Family
from kinesphere.models.layers.resnet2d import BACKBONE_STAGES, TINY_DEPTH, ResNet2d
from kinesphere.models.papers import cite
from kinesphere.models.runtime.framewise import through_features
from kinesphere.models.weights.keymap import Arguments, KeyMap, Rename, Rule
from kinesphere.models.weights.maps.resnet2d import IMAGENET, MMACTION2_STEM, mmaction2_block


class Relations(nn.Module):
    """Logits `(B, K)` of ordered frame features `(B, T, D)`, summed over relations of T, T-1 … 2 frames.

    Of each number of frames at most `samples` relations are looked at (section 3.2): drawn anew for each
    training step, always the same ones in evaluation.

    Args:
        num_classes: K.
        length: T.
        features: D.
        hidden: Width of the layer that reads a relation.
        samples: Relations per number of frames.
    """

    def __init__(self, num_classes: int, length: int, features: int, hidden: int, samples: int = 3) -> None:
        super().__init__()
        self.length = length
        self.samples = samples
        sizes = range(length, 1, -1)
        self.relations = [list(combinations(range(length), size)) for size in sizes]
        self.read = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Linear(size * features, hidden), nn.ReLU()) for size in sizes
        )
        self.classify = nn.ModuleList(nn.Linear(hidden, num_classes) for _ in sizes)
        # public scores and fixtures rest on NumPy's global generator; its seed 0 makes evaluation repeatable
        draw = np.random.RandomState(0)
        self.fixed = [[0]] + [
            [int(i) for i in draw.choice(len(known), min(samples, len(known)), replace=False)]
            for known in self.relations[1:]
        ]

    def forward(self, x_BTD: Tensor) -> Tensor:
        if x_BTD.shape[1] != self.length:
            raise InvalidSetting(
                f"These relations are among {self.length} frames; got a clip of {x_BTD.shape[1]}."
            )
        logits_BK = x_BTD.new_zeros(())
        for i, known in enumerate(self.relations):
            chosen = torch.randperm(len(known))[: self.samples].tolist() if self.training else self.fixed[i]
            for relation in chosen:
                hidden_BD = self.read[i](x_BTD[:, list(known[relation])].flatten(1))
                logits_BK = logits_BK + self.classify[i](hidden_BD)
        return logits_BK


class TRN(nn.Module):
    """Frame features from an image ResNet, projected, then multi-scale relations."""

    snippet = 1

    def __init__(
        self,
        num_classes: int,
        depth: int,
        *,
        length: int = 8,
        features: int = 256,
        width: int = 64,
        dropout: float = 0.8,
    ) -> None:
        super().__init__()
        self.backbone = ResNet2d(depth, width=width)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(self.backbone.outputs, features)
        self.head = Relations(num_classes, length, features, features)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        return through_features(self, x_BTCHW)

    def frame_features(self, x_NCHW: Tensor) -> Tensor:
        """Projected features `(N, D)` of frames; see `FrameWise`."""
        features_ND: Tensor = self.project(self.dropout(self.backbone(x_NCHW)))
        return features_ND

    def from_features(self, f_BTD: Tensor) -> Tensor:
        """Logits `(B, K)`; see `FrameWise`."""
        logits_BK: Tensor = self.head(f_BTD)
        return logits_BK


SPEC = ClipSpec(Sampling("uniform", 8), size=(224, 224), short_side_px=256, mean=MEAN, std=STD)


def reads_shape(state: Mapping[str, Tensor]) -> Arguments:
    """Frames per clip and width of the projection, from the relation of all frames."""
    key = "cls_head.consensus.fc_fusion_scales.0.1.weight"
    if key not in state:
        return {}
    hidden, inputs = state[key].shape
    return {"length": inputs // hidden, "features": hidden}


RELATION_RULES: tuple[Rule, ...] = (
    Rename("cls_head.consensus.fc_fusion_scales.{i}.1.*", "head.read.{i}.1.*"),
    Rename("cls_head.consensus.fc_fusion_scales.{i}.3.*", "head.classify.{i}.*"),
    Rename("cls_head.fc_cls.*", "project.*"),
)
KEY_MAPS = (
    KeyMap("mmaction2", (*MMACTION2_STEM, *mmaction2_block(), *RELATION_RULES), infer=reads_shape),
    IMAGENET,
)


FAMILY = Family(
    name="trn",
    paper=cite("1711.08496", "3"),
    network=TRN,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("uniform", 4), size=(64, 64), short_side_px=72),),
    stages=(*BACKBONE_STAGES, "project"),
    head=("head.classify",),
    frame_wise=True,
    cam_layers=(CamLayer("backbone.layer4", "BT C H W"),),
    classes=174,
    key_maps=KEY_MAPS,
    fit=fit_length,
    fixed_length=True,
    notes="Looks at three relations per number of frames, fixed in evaluation (public code draws them "
    "anew for every clip). A ResNet in place of the paper's BN-Inception.",
)


@FAMILY.model("ResNet-50 on eight frames, relations among two to eight of them.")
def trn_resnet50(num_classes: int) -> TRN:
    return FAMILY.build(num_classes, depth=50)


@FAMILY.model("trn_resnet50 for tests.", tiny=True)
def trn_tiny(num_classes: int) -> TRN:
    return FAMILY.build(num_classes, depth=TINY_DEPTH, width=16, length=4, features=16)
