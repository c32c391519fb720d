"""Attention from the head back to the tokens of the clip: rollout, and attention weighted by its gradient.

Which attentions a network has and on which tokens they work is in `explain/attention_steps.py`: joint in
space and time (VideoMAE, ViViT model 1, V-JEPA 2 with its probe, joint TimeSformer), divided (TimeSformer:
time, then space), frame by frame, and pooled (MViT). Windows (Video Swin) and attention between convolutions
(UniFormer, non-local networks) have no such path and are refused.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from kinesphere.explain.attention_steps import Path, path_of
from kinesphere.explain.attention_weights import RecordedAttention
from kinesphere.explain.method import METHODS, Method, Settings
from kinesphere.explain.target import Scored
from kinesphere.models import Recogniser
from kinesphere.models.runtime.measure import input_shape


class AttentionPath(Method):
    """Relevance that goes back through all attentions of a network, one clip at a time to bound memory."""

    def refusal(self, recogniser: Recogniser) -> str | None:
        """See `Method.refusal`: only networks whose every mixing of tokens is one attention have a path."""
        clip = torch.empty(input_shape(recogniser.specs[0], batch=1), device="meta")
        if path_of(recogniser.net, clip) is not None:
            return None
        other = "layercam or gradcam" if recogniser.card.cam_layers else "integrated_gradients or occlusion"
        return (
            f"{recogniser.card.name} has no global attention that leads from its answer back to the clip, so "
            f"{self.name} is not defined. Use {other} instead."
        )

    @abstractmethod
    def follow(self, scored: Scored, clip: Tensor, path: Path) -> Tensor:
        """The row over the tokens of a clip `(1, T, C, H, W)` before the first step, `(1, L)`."""

    def heat(
        self, scored: Scored, inputs: tuple[Tensor, ...], settings: Settings
    ) -> tuple[Tensor | None, ...]:
        """See `Method.heat`."""
        heats = []
        for clip in inputs[0].split(1):
            path = path_of(scored.recogniser.net, clip)
            assert path is not None  # `refusal` says so
            heats.append(path.cells(self.follow(scored, clip, path)))
        return (torch.cat(heats),)


class AttentionRollout(AttentionPath):
    """Π(½ A + ½ I), A averaged over heads: half of each token stays where it is.

    Abnar, Zuidema: "Quantifying Attention Flow in Transformers", ACL 2020, https://arxiv.org/abs/2005.00928,
    section 3. Rows sum to 1, with class tokens. Does not depend on the class.
    """

    name = "attention_rollout"
    summary = "Where attention leads from the answer to the clip, whatever the class (Abnar, Zuidema 2020)."
    by_class = False

    def follow(self, scored: Scored, clip: Tensor, path: Path) -> Tensor:
        seen: list[Tensor] = []
        with torch.no_grad(), RecordedAttention(lambda weights: seen.append(weights.mean(1))):
            scored(clip)
        row = path.start.unsqueeze(0)
        for step, weights in zip(reversed(path.steps), reversed(seen), strict=True):
            row = step.back(row, weights, _half)
        return row


class WeightedAttention(AttentionPath):
    """R ← R + mean over heads of ReLU(∇A ⊙ A) R, from R = I; what the head reads of R, without its I.

    Chefer, Gur, Wolf: "Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder
    Transformers", ICCV 2021, https://arxiv.org/abs/2103.15679, section 3.1, equations 5 and 6. ∇A is the
    gradient of the score. What goes around all attentions is left out: it tells nothing of them, and of a
    head that reads the mean of all tokens it is the same everywhere.
    """

    name = "weighted_attention"
    summary = (
        "Attention that raises the score of the class, from the answer to the clip (Chefer et al. 2021)."
    )

    def follow(self, scored: Scored, clip: Tensor, path: Path) -> Tensor:
        weighted: dict[int, Tensor] = {}
        seen: list[Tensor] = []

        def record(weights: Tensor) -> None:
            index = len(seen)
            seen.append(weights)

            def weigh(gradient: Tensor) -> None:
                weighted[index] = (gradient * weights.detach()).relu().mean(1)

            weights.register_hook(weigh)

        with torch.enable_grad(), RecordedAttention(record):
            score = scored(clip).sum()
        torch.autograd.grad(score, seen[0])  # the hooks of all later ones run on the way
        row = path.start.unsqueeze(0)
        around = row
        for index, step in reversed(list(enumerate(path.steps))):
            row = step.back(row, weighted[index], _sum)
            around = step.back(around, torch.zeros_like(weighted[index]), _sum)
        return row - around


def _half(around: Tensor, through: Tensor) -> Tensor:
    return (around + through) / 2


def _sum(around: Tensor, through: Tensor) -> Tensor:
    return around + through


METHODS.add(AttentionRollout.name, AttentionRollout())
METHODS.add(WeightedAttention.name, WeightedAttention())
