from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.models import create_model, import_state
from kinesphere.models.layers.frame_resnet import block_counts
from kinesphere.models.registry import MODELS
from kinesphere.models.zoo.tsm import TemporalShift

LABELS = LabelSet(("clap", "jump", "wave"))
ONLINE = ("tsm_online_tiny", "tsm_mobile_online_tiny")


@settings(deadline=None)
@given(length=st.integers(1, 5), channels=st.integers(1, 20), causal=st.booleans())
def test_shift_takes_each_part_from_its_neighbour(length, channels, causal):
    clip = torch.arange(2.0 * channels * length).reshape(2, channels, length, 1, 1) + 1
    out = TemporalShift(channels, causal=causal)(clip)
    n = channels // 8
    future, past = (n, 2 * n) if not causal else (0, n)
    zero = torch.zeros(2, n, 1, 1, 1)
    if not causal:
        assert torch.equal(out[:, :future], torch.cat([clip[:, :future, 1:], zero], 2))
    assert torch.equal(out[:, future:past], torch.cat([zero, clip[:, future:past, :-1]], 2))
    assert torch.equal(out[:, past:], clip[:, past:])


@pytest.mark.parametrize("channels_last", [False, True])
def test_shift_keeps_the_memory_layout(channels_last):
    frames = torch.randn(6, 8, 4, 4)
    if channels_last:
        frames = frames.contiguous(memory_format=torch.channels_last)
    clip = frames.unflatten(0, (2, 3)).transpose(1, 2)
    assert TemporalShift(8)(clip).stride() == clip.stride()


@settings(deadline=None, max_examples=8)
@given(cut=st.integers(1, 5))
def test_a_stream_may_come_in_pieces_of_any_length(cut):
    torch.manual_seed(0)
    net = create_model("tsm_online_tiny", LABELS).net
    video = torch.randn(1, 6, 3, 32, 32)
    with torch.inference_mode():
        first, memory = net.step(video[:, :cut])
        second, _ = net.step(video[:, cut:], memory)
        assert torch.allclose(torch.cat([first, second], 1), net.step(video)[0], atol=1e-5)


@pytest.mark.parametrize("name", ONLINE)
def test_no_frame_of_a_causal_network_sees_a_later_one(name):
    torch.manual_seed(0)
    net = create_model(name, LABELS).net
    video = torch.randn(1, 5, 3, 64, 64)
    changed = video.clone()
    changed[:, 3:] += 1
    with torch.inference_mode():
        before, after = net.step(video)[0], net.step(changed)[0]
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3:], after[:, 3:])


def test_a_network_that_sees_the_future_has_no_step():
    net = create_model("tsm_tiny", LABELS).net
    with pytest.raises(InvalidSetting, match="shifts from the future too and cannot stream"):
        net.step(torch.randn(1, 1, 3, 64, 64))


@torch.inference_mode()
def test_the_order_of_frames_counts():
    torch.manual_seed(0)
    net = create_model("tsm_tiny", LABELS)
    clip = torch.randn(1, 4, 3, 64, 64)
    assert not torch.allclose(net(clip), net(clip.flip(1)), atol=1e-4)


def test_deep_networks_shift_in_every_second_block():
    with torch.device("meta"):
        net = MODELS.get("tsm_resnet101").build(3, {})
    shifted = [isinstance(block.before, TemporalShift) for block in net.backbone.layer3]
    assert shifted == [True, False] * 11 + [True]


def test_there_is_no_resnet_of_any_depth():
    with pytest.raises(InvalidSetting, match="A ResNet has depth 18, 34, 50, 101, 152; got 7"):
        block_counts(7)


@pytest.mark.parametrize("layout", ["mmaction2", "mit_han_lab"])
@pytest.mark.parametrize("name", ["tsm_resnet101", "tsm_mobilenetv2"])
def test_layouts_mark_shifted_convolutions_and_read_back(name, layout):
    architecture = MODELS.get(name)
    key_map = next(m for m in architecture.key_maps if m.layout == layout)
    with torch.device("meta"):
        ours = architecture.build(3, {}).state_dict()
    theirs = key_map.to_theirs(ours)
    assert not theirs.unmapped
    assert set(key_map.to_ours(theirs.state).state) == set(ours)
    marked = [key for key in theirs.state if ".net." in key and "conv" in key and key.endswith(".weight")]
    shifts = sum(isinstance(m, TemporalShift) for m in architecture.build(3, {}).modules())
    assert sum(theirs.state[key].dim() == 4 for key in marked) == shifts


def test_image_weights_of_both_networks_are_covered():
    for name, depthwise in (("tsm_resnet50", None), ("tsm_mobilenetv2", "features.1.conv.0.0.weight")):
        architecture = MODELS.get(name)
        key_map = next(m for m in architecture.key_maps if m.backbone_only)
        with torch.device("meta"):
            ours = architecture.build(3, {}).state_dict()
        theirs = key_map.to_theirs({key: ours[key] for key in ours if not key.startswith("fc.")})
        assert not theirs.unmapped
        assert depthwise is None or theirs.state[depthwise].shape == (32, 1, 3, 3)


@pytest.mark.parametrize("layout", ["mmaction2", "mit_han_lab"])
@pytest.mark.parametrize(
    ("name", "offline"), [("tsm_online_tiny", "tsm_tiny"), ("tsm_mobilenetv2_online", "tsm_mobilenetv2")]
)
def test_causal_networks_read_the_files_of_the_others(name, offline, layout):
    """The shifts hold no tensors, so that files of both are alike."""
    state = create_model(offline, LABELS).net.state_dict()
    key_map = next(m for m in MODELS.get(offline).key_maps if m.layout == layout)
    recogniser = import_state(key_map.to_theirs(state).state, name, layout=layout)
    assert all(torch.equal(tensor, state[key]) for key, tensor in recogniser.net.state_dict().items())
    recogniser.net.stream_init(1, (32, 32))


def test_full_size_causal_networks_read_the_same_layouts():
    online, offline = (MODELS.get(name).key_maps for name in ("tsm_resnet50_online", "tsm_resnet50"))
    assert [m.layout for m in online] == [m.layout for m in offline]
