"""Interlacing, adaptive kernels and relations, by their definitions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.importing import import_state
from kinesphere.models.zoo.tanet import TemporalAdaptive
from kinesphere.models.zoo.tin import Interlace, shift_by
from kinesphere.models.zoo.trn import Relations


@settings(deadline=None)
@given(length=st.integers(1, 6), frames=st.integers(-3, 3), seed=st.integers(0, 99))
def test_a_whole_offset_moves_frames_and_lets_zeros_in(length, frames, seed):
    torch.manual_seed(seed)
    clip = torch.randn(2, 4, length, 2, 3)
    moved = shift_by(clip, torch.full((2, 2), float(frames)))
    for t in range(length):
        source = t - frames
        expected = clip[:, :, source] if 0 <= source < length else torch.zeros(2, 4, 2, 3)
        assert torch.allclose(moved[:, :, t], expected, atol=1e-6)


@settings(deadline=None)
@given(offset=st.floats(-1.9, 1.9), seed=st.integers(0, 99))
def test_a_fractional_offset_lies_between_its_neighbours(offset, seed):
    torch.manual_seed(seed)
    clip, floor = torch.randn(1, 2, 5, 2, 2), torch.tensor([[offset]]).floor()
    share = offset - float(floor)
    expected = (1 - share) * shift_by(clip, floor) + share * shift_by(clip, floor + 1)
    assert torch.allclose(shift_by(clip, torch.tensor([[offset]])), expected, atol=1e-5)


def test_offsets_are_learned():
    offset = torch.tensor([[0.3, -0.6]], requires_grad=True)
    shift_by(torch.randn(1, 4, 5, 2, 2), offset).square().sum().backward()
    assert offset.grad is not None
    assert offset.grad.abs().min() > 0


def test_interlacing_keeps_most_channels():
    clip = torch.randn(2, 16, 4, 3, 3)
    out = Interlace(16, 4)(clip)
    assert torch.equal(out[:, 4:], clip[:, 4:])
    assert not torch.allclose(out[:, :4], clip[:, :4])


def test_adaptive_kernels_are_a_grouped_convolution_of_the_gated_clip():
    torch.manual_seed(0)
    module = TemporalAdaptive(8, 5).eval()
    clip = torch.randn(2, 8, 5, 3, 3)
    pooled = clip.mean((3, 4))
    gated = clip * module.gate(pooled)[..., None, None]
    kernels = module.kernel(pooled.flatten(0, 1)).reshape(16, 1, 3, 1)
    assert torch.allclose(kernels.sum(2), torch.ones(16, 1, 1))
    expected = F.conv2d(gated.reshape(1, 16, 5, 9), kernels, padding=(1, 0), groups=16)
    assert torch.allclose(module(clip), expected.reshape(clip.shape), atol=1e-5)


def test_relations_are_repeatable_in_evaluation_and_drawn_in_training():
    torch.manual_seed(0)
    head = Relations(3, length=6, features=4, hidden=4)
    features = torch.randn(1, 6, 4)
    assert torch.equal(head.eval()(features), head(features))
    head.train()
    assert len({tuple(head(features).flatten().tolist()) for _ in range(8)}) > 1
    assert [len(chosen) for chosen in head.fixed] == [1, 3, 3, 3, 3]
    assert all(list(r) == sorted(r) for known in head.relations for r in known)  # order in time is kept


def test_relations_refuse_another_number_of_frames():
    with pytest.raises(InvalidSetting, match="among 6 frames; got a clip of 5"):
        Relations(3, length=6, features=4, hidden=4)(torch.randn(1, 5, 4))


@pytest.mark.parametrize("name", ["tin_tiny", "tanet_tiny", "trn_tiny"])
def test_clip_length_is_read_off_a_public_state(name):
    architecture = MODELS.get(name)
    theirs = architecture.key_maps[0].to_theirs(architecture.build(3, {"length": 6}).state_dict()).state
    recogniser = import_state(theirs, name)
    assert recogniser.arguments["length"] == 6
    clip = torch.randn(1, 6, 3, 64, 64)
    assert recogniser(clip).shape == (1, 3)
    recogniser.reset_head(LabelSet(("sit", "stand")))
    assert recogniser(clip).shape == (1, 2)
