"""Attention followed from the answer to the clip, against matrices of all tokens."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kinesphere.core.labels import LabelSet
from kinesphere.explain.attention_steps import path_of
from kinesphere.explain.attention_weights import RecordedAttention
from kinesphere.explain.method import METHODS, Settings
from kinesphere.explain.target import Scored, Target
from kinesphere.models import Recogniser, create_model

LABELS = LabelSet(tuple("abc"))
NAMES = (
    "videomae_tiny", "vivit_tiny", "vjepa2_tiny", "timesformer_tiny", "timesformer_joint_tiny",
    "timesformer_space_tiny", "mvit_v1_micro", "mvit_v2_micro",
)  # fmt: skip


def model(name: str, size: tuple[int, int] = (32, 32)) -> tuple[Recogniser, Tensor]:
    torch.manual_seed(1)
    return create_model(name, LABELS).eval(), torch.randn(2, 4, 3, *size)


def recorded(recogniser: Recogniser, clips: Tensor) -> tuple[list[Tensor], Tensor]:
    seen: list[Tensor] = []
    with torch.no_grad(), RecordedAttention(seen.append):
        return seen, recogniser(clips)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_a_softmax_and_the_answer_stays(name):
    recogniser, clips = model(name)
    seen, logits = recorded(recogniser, clips)
    for weights in seen:
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert len(seen) == len(path_of(recogniser.net, clips).steps)
    with torch.no_grad():
        torch.testing.assert_close(logits, recogniser(clips), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_the_rollout_sum_to_one(name):
    recogniser, clips = model(name, (32, 48))
    seen, _ = recorded(recogniser, clips)
    path = path_of(recogniser.net, clips)
    row = path.start.expand(2, -1)
    for step, weights in zip(reversed(path.steps), reversed(seen), strict=True):
        row = step.back(row, weights.mean(1), lambda around, through: (around + through) / 2)
        torch.testing.assert_close(row.sum(1), torch.ones(2))
    (heat,) = METHODS.get("attention_rollout").heat(Scored(recogniser, Target(0)), (clips,), Settings())
    torch.testing.assert_close(heat, path.cells(row))
    assert heat.shape[1:] == path.grid


def test_rollout_equals_the_product_of_matrices():
    recogniser, clips = model("vivit_tiny")
    seen, _ = recorded(recogniser, clips)
    identity = torch.eye(33)
    rolled = identity.expand(2, -1, -1)
    for weights in seen:
        rolled = (weights.mean(1) + identity) / 2 @ rolled
    (heat,) = METHODS.get("attention_rollout").heat(Scored(recogniser, Target(0)), (clips,), Settings())
    torch.testing.assert_close(heat.flatten(1), rolled[:, 0, 1:])


def test_divided_attention_is_two_matrices_over_all_tokens():
    """Time, then space, as sparse matrices over the class token and all patches."""
    recogniser, clips = model("timesformer_tiny")
    seen, _ = recorded(recogniser, clips[:1])
    T, P = 4, 16
    rolled = torch.eye(1 + T * P)
    for over_time, over_space in zip(seen[::2], seen[1::2], strict=True):
        time, space = torch.zeros_like(rolled), torch.zeros_like(rolled)
        time[0, 0] = 1
        for p in range(P):
            places = 1 + torch.arange(T) * P + p
            time[places[:, None], places] = over_time.mean(1)[p]
        for t in range(T):
            weights = over_space.mean(1)[t]
            tokens = torch.cat([torch.zeros(1, dtype=torch.long), 1 + t * P + torch.arange(P)])
            space[tokens[1:, None], tokens] = weights[1:]
            space[0, tokens] += weights[0] / T
        identity = torch.eye(1 + T * P)
        rolled = (space + identity) / 2 @ ((time + identity) / 2 @ rolled)
    (heat,) = METHODS.get("attention_rollout").heat(Scored(recogniser, Target(0)), (clips[:1],), Settings())
    torch.testing.assert_close(heat.flatten(1)[0], rolled[0, 1:])


def test_weighted_attention_equals_the_recursion_of_matrices():
    recogniser, clips = model("vivit_tiny")
    seen: list[Tensor] = []
    with torch.enable_grad(), RecordedAttention(seen.append):
        score = recogniser(clips)[:, 1].sum()
    gradients = torch.autograd.grad(score, seen)
    relevance = torch.eye(33).expand(2, -1, -1)
    for weights, gradient in zip(seen, gradients, strict=True):
        relevance = relevance + (weights * gradient).clamp(min=0).mean(1) @ relevance
    (heat,) = METHODS.get("weighted_attention").heat(Scored(recogniser, Target(1)), (clips,), Settings())
    torch.testing.assert_close(heat.flatten(1), relevance[:, 0, 1:].detach())


@pytest.mark.parametrize("name", NAMES)
def test_weighted_attention_depends_on_the_class_and_is_empty_without_evidence(name):
    recogniser, clips = model(name)
    method = METHODS.get("weighted_attention")
    one, other = (method.heat(Scored(recogniser, Target(k)), (clips,), Settings())[0] for k in (0, 1))
    assert not torch.allclose(one, other)
    (nothing,) = method.heat(Scored(recogniser, Target(0, 0)), (clips,), Settings())
    assert not nothing.any()


def test_frozen_networks_are_explained_alike():
    recogniser, clips = model("videomae_tiny")
    method = METHODS.get("weighted_attention")
    (before,) = method.heat(Scored(recogniser, Target(0)), (clips,), Settings())
    recogniser.requires_grad_(False)
    assert method.heat(Scored(recogniser, Target(0)), (clips,), Settings())[0].equal(before)
    assert all(p.grad is None for p in recogniser.parameters())


def test_recording_ends_with_an_error():
    kernel = F.scaled_dot_product_attention
    q = torch.randn(1, 1, 3, 4)
    seen: list[Tensor] = []
    with pytest.raises(RuntimeError, match="size"), RecordedAttention(seen.append):
        F.scaled_dot_product_attention(q, q, torch.randn(1, 1, 5, 4))
    F.scaled_dot_product_attention(q, q, q)
    assert len(seen) == 1
    assert F.scaled_dot_product_attention is kernel


@pytest.mark.parametrize("name", ["video_swin_tiny", "uniformer_tiny", "nonlocal_i3d_tiny"])
@pytest.mark.parametrize("method", ["attention_rollout", "weighted_attention"])
def test_networks_without_a_path_of_attention_are_refused(name, method):
    refusal = METHODS.get(method).refusal(create_model(name, LABELS))
    assert refusal == (
        f"{name} has no global attention that leads from its answer back to the clip, so {method} is not "
        "defined. Use layercam or gradcam instead."
    )
