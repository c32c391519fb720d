from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kinesphere.clips.augment.mix import Mixing, Stretch, cutmix, cutmix_in_time, draw_stills, mixup
from kinesphere.core.errors import InvalidClip, InvalidSetting


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_mixup_sums_inputs_and_targets_alike():
    mixing = mixup(4, 0.8, generator())
    batch, targets = torch.rand(4, 2, 3, 8, 8), torch.tensor([0, 1, 2, 1])
    w, partners = mixing.weight, mixing.partners
    torch.testing.assert_close(mixing.inputs(batch, "rgb"), w * batch + (1 - w) * batch[partners])
    soft = mixing.targets(targets, 5)
    one_hot = torch.eye(5)[targets]
    torch.testing.assert_close(soft, w * one_hot + (1 - w) * one_hot[partners])
    torch.testing.assert_close(mixing.targets(one_hot, 5), soft)


@given(st.integers(0, 9999), st.integers(1, 6))
def test_still_frames_are_of_other_clips_and_leave_the_rest_alone(seed, count):
    stills = draw_stills(count, 0.5, 0.4, generator(seed))
    batch = torch.arange(count).view(-1, 1, 1, 1, 1) + torch.arange(4).view(1, -1, 1, 1, 1) / 10
    batch = batch.expand(count, 4, 3, 2, 2).contiguous()
    mixed = stills.inputs(batch, "rgb")
    for i, partner in enumerate(stills.partners.tolist()):
        assert count == 1 or partner != i
        if stills.weights[i] == 0:
            assert torch.equal(mixed[i], batch[i])
            continue
        still = (mixed[i] - 0.6 * batch[i]) / 0.4
        assert torch.allclose(still, batch[partner, int(4 * stills.positions[i])], atol=1e-5)
    assert stills.inputs(batch, "flow") is batch
    with pytest.raises(InvalidClip, match="the batch has"):
        stills.inputs(torch.zeros(count + 1, 4, 3, 2, 2), "rgb")


@given(st.integers(0, 9999), st.integers(1, 40), st.integers(1, 40))
def test_cutmix_weight_is_the_share_of_pixels_that_stay(seed, height, width):
    mixing = cutmix(3, (height, width), 1.0, generator(seed))
    batch = torch.arange(3.0).view(3, 1, 1, 1, 1).expand(3, 2, 3, height, width).contiguous()
    mixed = mixing.inputs(batch, "rgb")
    for i in range(3):
        if mixing.partners[i] != i:
            assert (mixed[i] == i).float().mean() == pytest.approx(mixing.weight, abs=1e-5)
        assert torch.equal(mixed[i, 0], mixed[i, 1])
    assert torch.equal(batch[:, 0, 0, 0, 0], torch.arange(3.0))
    assert mixing.targets(torch.arange(3), 3).sum(1).tolist() == pytest.approx([1, 1, 1])


def test_cutmix_follows_to_an_input_of_another_size():
    mixing = cutmix(2, (100, 100), 1.0, generator(3))
    small = mixing.inputs(torch.arange(2.0).view(2, 1, 1, 1, 1).expand(2, 1, 2, 50, 50), "rgb")
    if mixing.partners[0] == 0:
        mixing = Mixing(torch.tensor([1, 0]), mixing.weight, mixing.region)
        small = mixing.inputs(torch.arange(2.0).view(2, 1, 1, 1, 1).expand(2, 1, 2, 50, 50), "rgb")
    assert (small[0] == 0).float().mean() == pytest.approx(mixing.weight, abs=0.04)


def joints(count: int, length: int, seed: int = 0) -> torch.Tensor:
    """Clips of two people; x, y and score of every joint of clip i lie in [i, i + 1)."""
    return torch.rand(count, length, 2, 17, 3, generator=generator(seed)) + torch.arange(count).view(
        -1, 1, 1, 1, 1
    )


@given(st.integers(0, 9999), st.integers(1, 40))
def test_joints_come_whole_from_one_clip(seed, length):
    mixing = cutmix_in_time(3, length, 1.0, generator(seed))
    batch = joints(3, length, seed)
    mixed = mixing.inputs(batch, "pose")
    owner = mixed.floor().long()
    assert (owner == owner[:, :, :1, :1, :1]).all()
    for i in range(3):
        partner = int(mixing.partners[i])
        own = owner[i, :, 0, 0, 0] == i
        assert torch.equal(mixed[i], torch.where(own.view(-1, 1, 1, 1), batch[i], batch[partner]))
        if partner != i:
            # The label's share is that of the frames, and those of the partner follow one another.
            assert own.float().mean() == pytest.approx(mixing.weight, abs=1e-6)
            assert (own.int().diff() != 0).sum() <= 2
            assert mixing.targets(torch.arange(3), 3)[i, i] == pytest.approx(mixing.weight)


def test_inputs_of_other_lengths_exchange_the_same_stretch_of_time():
    mixing = Mixing(torch.tensor([1, 0]), 0.7, stretch=Stretch(2, 5, 10))
    clips = torch.arange(2.0).view(2, 1, 1, 1, 1)
    pictures = mixing.inputs(clips.expand(2, 20, 3, 4, 4).contiguous(), "rgb")
    assert pictures[0, :, 0, 0, 0].tolist() == [0] * 4 + [1] * 6 + [0] * 10
    assert mixing.inputs(joints(2, 10), "pose")[0, :, 0, 0, 0].floor().tolist() == [
        0,
        0,
        1,
        1,
        1,
        0,
        0,
        0,
        0,
        0,
    ]


def test_mixup_leaves_joints_that_one_clip_saw_where_they_are():
    batch = torch.zeros(2, 1, 1, 4, 3)
    batch[0, 0, 0, :2] = torch.tensor([2.0, 4.0, 1.0])
    batch[1, 0, 0, 1:3] = torch.tensor([4.0, 8.0, 0.5])
    mixed = Mixing(torch.tensor([1, 0]), 0.75).inputs(batch, "pose")[0, 0, 0]
    torch.testing.assert_close(
        mixed, torch.tensor([[2.0, 4.0, 0.75], [2.5, 5.0, 0.875], [4.0, 8.0, 0.125], [0.0, 0.0, 0.0]])
    )
    alone = Mixing(torch.tensor([1, 0]), 1.0).inputs(batch, "pose")
    assert torch.equal(alone, batch)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_weights_follow_the_beta_distribution(alpha):
    random = generator()
    weights = torch.tensor([mixup(2, alpha, random).weight for _ in range(2000)])
    assert weights.mean() == pytest.approx(0.5, abs=0.03)
    assert weights.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.15)


def test_mixing_refused():
    mixing = mixup(2, 1.0, generator())
    with pytest.raises(InvalidClip, match="after normalising"):
        mixing.inputs(torch.zeros(2, 1, 3, 4, 4, dtype=torch.uint8), "rgb")
    with pytest.raises(InvalidClip, match="for 2 clips; the batch has 3"):
        mixing.inputs(torch.zeros(3, 1, 3, 4, 4), "rgb")
    with pytest.raises(InvalidSetting, match="positive alpha"):
        mixup(2, 0.0, generator())
    with pytest.raises(InvalidSetting, match="positive alpha"):
        cutmix_in_time(0, 8, 1.0, generator())
    box = cutmix(2, (17, 3), 1.0, generator())
    with pytest.raises(InvalidClip, match="box of pixels cannot be cut from clips of pose; cut in time"):
        Mixing(torch.tensor([1, 0]), box.weight, box.region).inputs(joints(2, 4), "pose")
