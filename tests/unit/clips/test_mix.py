from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kinesphere.clips.mix import Mixing, cutmix, mixup
from kinesphere.core.errors import InvalidClip, InvalidSetting


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_mixup_sums_inputs_and_targets_alike():
    mixing = mixup(4, 0.8, generator())
    batch, targets = torch.rand(4, 2, 3, 8, 8), torch.tensor([0, 1, 2, 1])
    w, partners = mixing.weight, mixing.partners
    torch.testing.assert_close(mixing.inputs(batch), w * batch + (1 - w) * batch[partners])
    soft = mixing.targets(targets, 5)
    one_hot = torch.eye(5)[targets]
    torch.testing.assert_close(soft, w * one_hot + (1 - w) * one_hot[partners])
    torch.testing.assert_close(mixing.targets(one_hot, 5), soft)


@given(st.integers(0, 9999), st.integers(1, 40), st.integers(1, 40))
def test_cutmix_weight_is_the_share_of_pixels_that_stay(seed, height, width):
    mixing = cutmix(3, (height, width), 1.0, generator(seed))
    batch = torch.arange(3.0).view(3, 1, 1, 1, 1).expand(3, 2, 3, height, width).contiguous()
    mixed = mixing.inputs(batch)
    for i in range(3):
        if mixing.partners[i] != i:
            assert (mixed[i] == i).float().mean() == pytest.approx(mixing.weight, abs=1e-5)
        assert torch.equal(mixed[i, 0], mixed[i, 1])
    assert torch.equal(batch[:, 0, 0, 0, 0], torch.arange(3.0))
    assert mixing.targets(torch.arange(3), 3).sum(1).tolist() == pytest.approx([1, 1, 1])


def test_cutmix_follows_to_an_input_of_another_size():
    mixing = cutmix(2, (100, 100), 1.0, generator(3))
    small = mixing.inputs(torch.arange(2.0).view(2, 1, 1, 1, 1).expand(2, 1, 2, 50, 50))
    if mixing.partners[0] == 0:
        mixing = Mixing(torch.tensor([1, 0]), mixing.weight, mixing.region)
        small = mixing.inputs(torch.arange(2.0).view(2, 1, 1, 1, 1).expand(2, 1, 2, 50, 50))
    assert (small[0] == 0).float().mean() == pytest.approx(mixing.weight, abs=0.04)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_weights_follow_the_beta_distribution(alpha):
    random = generator()
    weights = torch.tensor([mixup(2, alpha, random).weight for _ in range(2000)])
    assert weights.mean() == pytest.approx(0.5, abs=0.03)
    assert weights.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.15)


def test_mixing_refused():
    mixing = mixup(2, 1.0, generator())
    with pytest.raises(InvalidClip, match="after normalising"):
        mixing.inputs(torch.zeros(2, 1, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(InvalidClip, match="for 2 clips; the batch has 3"):
        mixing.inputs(torch.zeros(3, 1, 3, 4, 4))
    with pytest.raises(InvalidSetting, match="positive alpha"):
        mixup(2, 0.0, generator())
