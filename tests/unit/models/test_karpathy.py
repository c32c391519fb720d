"""Properties that the paper states; there are no public weights to compare with."""

from __future__ import annotations

import pytest
import torch

from kinesphere.core.errors import InvalidSetting
from kinesphere.models import card, create_model
from kinesphere.models.zoo.karpathy import TIME, Columns, Karpathy, context, fovea

LABELS = ("clap", "jump", "wave")
FUSIONS = sorted(TIME)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize(("size", "last_pool"), [(170, True), (89, False)])
def test_columns_end_in_seven_by_seven_cells_and_one_time_step(fusion, size, last_pool):
    with torch.device("meta"):
        columns = Columns(fusion, divide=1, last_pool=last_pool)
        out = columns(torch.empty(1, 3, TIME[fusion][1], size, size))
    assert out.shape == (1, 256, 2 if fusion == "late_fusion" else 1, 7, 7)


def test_slow_fusion_has_four_then_two_then_one_response():
    with torch.device("meta"):
        columns = Columns("slow_fusion", divide=1, last_pool=True)
        first = columns.conv1(torch.empty(1, 3, 10, 170, 170))
        second = columns.conv2(first)
        assert [first.shape[2], second.shape[2], columns.conv3(second).shape[2]] == [4, 2, 1]


@torch.inference_mode()
@pytest.mark.parametrize("fusion", ["early_fusion", "slow_fusion", "late_fusion"])
def test_every_frame_of_a_clip_counts(fusion):
    net = Karpathy(3, fusion, divide=16).eval()
    clip = torch.randn(1, net.length, 3, 170, 170)
    for t in range(net.length):
        changed = clip.clone()
        changed[:, t] += 1
        assert not torch.allclose(net(changed), net(clip), atol=1e-5)


@torch.inference_mode()
def test_frames_alone_know_no_order_but_fused_ones_do():
    clip = torch.randn(1, 2, 3, 170, 170)
    single = Karpathy(3, "single_frame", divide=16).eval()
    late = Karpathy(3, "late_fusion", divide=16).eval()
    assert torch.allclose(single(clip), single(clip.flip(1)), atol=1e-6)
    assert not torch.allclose(late(clip), late(clip.flip(1)), atol=1e-5)


@torch.inference_mode()
def test_several_clips_are_averaged():
    net = Karpathy(3, "late_fusion", divide=16).eval()
    clips = torch.randn(1, 4, 3, 170, 170)
    assert torch.allclose(net(clips), (net(clips[:, :2]) + net(clips[:, 2:])) / 2, atol=1e-6)


def test_fovea_is_the_centre_and_context_the_whole():
    picture = torch.arange(178.0 * 178).reshape(1, 1, 1, 178, 178)
    assert torch.equal(fovea(picture), picture[..., 44:133, 44:133])
    assert context(picture).shape == (1, 1, 1, 89, 89)
    assert context(picture)[0, 0, 0, 0, 0] == picture[0, 0, 0, :2, :2].mean()


@torch.inference_mode()
def test_the_border_reaches_the_context_stream_alone():
    net = Karpathy(3, "single_frame", streams=True, divide=16).eval()
    frame = torch.randn(1, 1, 3, 178, 178)
    changed = frame.clone()
    changed[..., :40, :] += 1
    clip, other = frame.transpose(1, 2), changed.transpose(1, 2)
    assert torch.equal(net.fovea(fovea(clip)), net.fovea(fovea(other)))
    assert not torch.allclose(net(frame), net(changed), atol=1e-5)


def test_streams_halve_the_convolutions():
    """Section 3.2: an input of half the dimensions makes the network 2–4× faster."""
    for fusion in FUSIONS:
        whole, halved = (card(f"karpathy_{fusion}{end}") for end in ("", "_multires"))
        assert halved.multiply_adds < 0.6 * whole.multiply_adds


def test_half_a_clip_is_refused():
    net = create_model("karpathy_late_fusion_tiny", LABELS)
    with pytest.raises(InvalidSetting, match="takes 2 frames or a multiple; got a clip of 3"):
        net(torch.randn(1, 3, 3, 170, 170))
