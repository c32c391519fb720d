"""TriDet: convolutions in place of attention, and boundaries found among the steps beside a point.

Shi, Zhong, Cao, Ma, Li, Tao: "TriDet: Temporal Action Detection with Relative Boundary Modeling", CVPR 2023,
https://arxiv.org/abs/2303.07347, sections 3.2 (SGP) and 3.3 (Trident head).

B videos, T steps, C channels, K classes, J + 1 bins of a boundary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.models.temporal.layers import (
    EPS,
    ChannelNorm,
    ChannelScale,
    Embedding,
    Factor,
    PyramidHead,
    Steps,
    prior_bias,
)
from kinesphere.models.temporal.public import (
    COLUMN,
    EMBEDDING_RULES,
    HEADS_RULES,
    NECK_RULES,
    head_rules,
)
from kinesphere.models.temporal.pyramid import Answers, NormedLevels, OneStage, Points, levels_of
from kinesphere.models.weights.keymap import KeyMap, Rename

GROUPS = 16


class ScalableGranularity(nn.Module):
    """An SGP block: what a step has in common with the whole video, with near and with far neighbours.

    The mean over the video takes padded steps in, and what leaves the block is not masked, as the authors
    have it: answers depend a little on the padded length.

    Args:
        width: C.
        near: Steps of the near convolution.
        far: How many times as long the far one is.
        hidden: Channels within the feed-forward part.
        stride: 2 halves the steps.
        drop: Probability that a branch is dropped in training.
        scaled: Whether the branches have factors.
    """

    def __init__(
        self, width: int, near: int, far: float, hidden: int, stride: int, drop: float, *, scaled: bool
    ) -> None:
        super().__init__()
        self.stride = stride
        long = round((near + 1) * far)
        long += 1 - long % 2
        self.norm = ChannelNorm(width)
        self.groups = _Groups(GROUPS, width, EPS)
        self.gate = _depthwise(width, near)
        self.instant = _depthwise(width, 1)
        self.near = _depthwise(width, near)
        self.far = _depthwise(width, long)
        self.whole = _depthwise(width, 1)
        self.mlp = nn.Sequential(nn.Conv1d(width, hidden, 1), nn.GELU(), nn.Conv1d(hidden, width, 1))
        self.scale1: nn.Module = ChannelScale(width, drop) if scaled else nn.Identity()
        self.scale2: nn.Module = ChannelScale(width, drop) if scaled else nn.Identity()

    def take(self, steps: Steps) -> Steps:
        """The steps after the block."""
        mask = steps.every(self.stride)
        x = steps.x if self.stride == 1 else F.max_pool1d(steps.x, 3, 2, 1)
        there = mask.unsqueeze(1).to(x.dtype)
        o = self.norm(x)
        common = self.whole(o.mean(2, keepdim=True)).relu()
        out = self.instant(o) * common + (self.near(o) + self.far(o)) * self.gate(o) + o
        x = x * there + self.scale1(out)
        return Steps(x + self.scale2(self.mlp(self.groups(x))), mask)


class _Groups(nn.GroupNorm):
    """Norm of groups of channels, which may be of one value: a level may have one step."""

    def forward(self, x_BCT: Tensor) -> Tensor:
        return torch.group_norm(x_BCT, self.num_groups, self.weight, self.bias, self.eps)


def _depthwise(width: int, kernel: int) -> nn.Conv1d:
    return nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)


class TriDet(OneStage):
    """See the module; the defaults are those for THUMOS14.

    Args:
        features: Numbers of a row of features.
        classes: K.
        width: C.
        levels: Number of levels.
        bins: J, steps to each side among which a boundary is looked for.
        near, far: See `ScalableGranularity`.
        hidden: Channels within the feed-forward parts.
        stem: Blocks before the pyramid.
        drop: Probability that a branch is dropped in training.
        noise: Standard deviation of noise added to the features in training.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        width: int = 512,
        levels: int = 6,
        bins: int = 16,
        near: int = 1,
        far: float = 5.0,
        hidden: int = 768,
        stem: int = 2,
        *,
        drop: float = 0.1,
        noise: float = 5e-4,
    ) -> None:
        super().__init__(classes, levels)
        self.bins, self.noise = bins, noise
        self.embedding = Embedding(features, width)
        shape = (width, near, far, hidden)
        self.stem = nn.ModuleList(ScalableGranularity(*shape, 1, drop, scaled=False) for _ in range(stem))
        self.branch = nn.ModuleList(
            ScalableGranularity(*shape, 2, drop, scaled=True) for _ in range(levels - 1)
        )
        self.neck = NormedLevels(width, levels)
        self.class_head = PyramidHead(width, classes, bias=prior_bias())
        self.start_head = PyramidHead(width, classes, bias=prior_bias())
        self.end_head = PyramidHead(width, classes, bias=prior_bias())
        self.offset_head = PyramidHead(width, 2 * (bins + 1))
        self.scales = nn.ModuleList(Factor() for _ in range(levels))

    def forward(self, x_BCT: Tensor, mask_BT: Tensor) -> Answers:
        """See `OneStage.forward`."""
        if self.training and self.noise:
            x_BCT = x_BCT + self.noise * torch.randn_like(x_BCT)
        steps = self.embedding.take(Steps(x_BCT, mask_BT))
        normed: list[Steps] = self.neck(levels_of(steps, self.stem, self.branch))
        # Boundaries are learnt by heads alone: what is before them follows the classes.
        apart = [Steps(each.x.detach(), each.mask) for each in normed]
        offsets = [
            scale(self.offset_head.take(each)).relu() for scale, each in zip(self.scales, normed, strict=True)
        ]
        lengths = [each.mask.shape[1] for each in normed]
        return Answers(
            torch.cat([self.class_head.take(each) for each in normed], 1),
            torch.cat(offsets, 1),
            torch.cat([each.mask for each in normed], 1),
            lengths,
            Points.of(lengths, self.reaches, x_BCT.device),
            torch.cat([self.start_head.take(each) for each in apart], 1),
            torch.cat([self.end_head.take(each) for each in apart], 1),
        )

    def distances(self, answers: Answers) -> Tensor:
        """See `OneStage.distances`: the mean distance over the bins, for each class (equations 5 to 8)."""
        assert answers.starts is not None
        assert answers.ends is not None
        bins = torch.arange(self.bins + 1, device=answers.logits.device, dtype=answers.offsets.dtype)
        left, right = answers.offsets.unflatten(2, (2, -1)).unbind(2)
        before = torch.cat([self._before(x) for x in answers.starts.split(answers.lengths, 1)], 1)
        after = torch.cat([self._after(x) for x in answers.ends.split(answers.lengths, 1)], 1)
        to_left = (before + left.unsqueeze(2)).softmax(-1) @ bins.flip(0)
        to_right = (after + right.unsqueeze(2)).softmax(-1) @ bins
        return torch.stack((to_left, to_right), -1)

    def _before(self, x_BTK: Tensor) -> Tensor:
        """Logits of the J steps before each and its own `(B, T, K, J + 1)`; 0 beyond the edge."""
        return F.pad(x_BTK, (0, 0, self.bins, 0)).unfold(1, self.bins + 1, 1)

    def _after(self, x_BTK: Tensor) -> Tensor:
        """Logits of each step and the J after it."""
        return F.pad(x_BTK, (0, 0, 0, self.bins)).unfold(1, self.bins + 1, 1)


def _block_rules(name: str) -> tuple[Rename, ...]:
    parts = {
        "psi": "gate", "fc": "instant", "convw": "near", "convkw": "far", "global_fc": "whole", "gn": "groups"
    }  # fmt: skip
    return (
        Rename(f"backbone.{name}.{{b}}.ln.*", f"{name}.{{b}}.norm.*", COLUMN),
        *(Rename(f"backbone.{name}.{{b}}.{a}.*", f"{name}.{{b}}.{b}.*") for a, b in parts.items()),
        Rename(f"backbone.{name}.{{b}}.mlp.{{i}}.*", f"{name}.{{b}}.mlp.{{i}}.*"),
        Rename(f"backbone.{name}.{{b}}.drop_path_out.scale", f"{name}.{{b}}.scale1.scale", COLUMN),
        Rename(f"backbone.{name}.{{b}}.drop_path_mlp.scale", f"{name}.{{b}}.scale2.scale", COLUMN),
    )


KEY_MAP = KeyMap(
    "tridet",
    (
        *EMBEDDING_RULES,
        *_block_rules("stem"),
        *_block_rules("branch"),
        *NECK_RULES,
        *HEADS_RULES,
        *head_rules("start_head", "start_head", "cls_head"),
        *head_rules("end_head", "end_head", "cls_head"),
    ),
)
