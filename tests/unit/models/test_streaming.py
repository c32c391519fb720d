"""What networks that take a video frame by frame promise, whichever they are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.models import create_model
from kinesphere.models.runtime.streaming import Streaming, restored, state_arrays

LABELS = LabelSet(("clap", "jump", "wave"))
STREAMING = ("tsm_online_tiny", "tsm_mobile_online_tiny", "movinet_stream_tiny")
LENGTH, SIZE = 7, (32, 40)


def lively(name: str) -> nn.Module:
    """A network in evaluation mode in which every layer counts (fresh residual branches may be zero)."""
    torch.manual_seed(0)
    net = create_model(name, LABELS).net
    with torch.no_grad():
        for key, parameter in net.named_parameters():
            if key.endswith("alpha"):
                parameter.fill_(0.7)
    return net


@pytest.fixture(scope="module")
def nets():
    return {name: lively(name) for name in STREAMING}


@pytest.fixture(scope="module")
def video():
    return torch.randn(2, LENGTH, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", STREAMING)
@settings(deadline=None, max_examples=6)
@given(cuts=st.sets(st.integers(1, LENGTH - 1)))
@torch.inference_mode()
def test_any_chunks_give_what_the_clip_so_far_gives(nets, video, name, cuts):
    net = nets[name]
    assert isinstance(net, Streaming)
    state, parts = net.stream_init(2, SIZE), []
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), LENGTH], strict=True):
        logits, state = net.stream_step(video[:, first:last], state)
        parts.append(logits)
    streamed = torch.cat(parts, 1)
    assert state.frames == LENGTH
    for frame in range(LENGTH):
        whole = net(video[:, : frame + 1])
        assert (streamed[:, frame] - whole).abs().max() < 1e-5 * whole.abs().max()


@pytest.mark.parametrize("name", STREAMING)
@torch.inference_mode()
def test_a_state_can_be_taken_up_twice(nets, video, name):
    net = nets[name]
    _, early = net.stream_step(video[:, :3], net.stream_init(2, SIZE))
    once, _ = net.stream_step(video[:, 3:], early)
    net.stream_step(video.flip(1)[:, 3:], early)
    again, _ = net.stream_step(video[:, 3:], early)
    assert torch.equal(once, again)


@pytest.mark.parametrize("name", STREAMING)
@torch.inference_mode()
def test_no_frame_sees_a_later_one(nets, video, name):
    net = nets[name]
    changed = video.clone()
    changed[:, 4:] += 1
    before, after = (net.stream_step(x, net.stream_init(2, SIZE))[0] for x in (video, changed))
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


@pytest.mark.parametrize("name", STREAMING)
def test_other_frames_than_the_stream_began_with_are_refused(nets, video, name):
    net = nets[name]
    state = net.stream_init(2, SIZE)
    with pytest.raises(InvalidSetting, match=r"began with 2 x \(32, 40\) pixels, but 1 x \(32, 40\) follow"):
        net.stream_step(video[:1], state)
    with pytest.raises(InvalidSetting, match=r"but 2 x \(32, 16\) follow; begin another with stream_init"):
        net.stream_step(video[..., :16], state)
    with pytest.raises(InvalidSetting, match="at least one frame; got none"):
        net.stream_step(video[:, :0], state)


@pytest.mark.parametrize("name", STREAMING)
def test_anything_but_a_batch_of_clips_is_refused(nets, video, name):
    net = nets[name]
    state = net.stream_init(1, SIZE)
    with pytest.raises(
        InvalidSetting, match=r"\(B, T, 3, H, W\); got \(3, 32, 40\). One frame .* is frame\[None"
    ):
        net.stream_step(video[0, 0], state)
    with pytest.raises(InvalidSetting, match=r"takes frames \(B, T, 3, H, W\); got \(1, 7, 2, 32, 40\)"):
        net.stream_step(video[:1, :, :2], state)


@pytest.mark.parametrize("name", STREAMING)
def test_a_network_in_training_cannot_stream(video, name):
    net = create_model(name, LABELS).net
    state = net.stream_init(2, SIZE)
    with pytest.raises(InvalidSetting, match=r"in training mode cannot stream.* Call eval\(\) first"):
        net.train().stream_step(video, state)


@pytest.mark.parametrize("name", ["tsm_tiny", "movinet_tiny"])
def test_a_network_that_sees_the_future_cannot_stream(name):
    net = create_model(name, LABELS).net
    with pytest.raises(InvalidSetting, match="future too and cannot stream"):
        net.stream_init(1, SIZE)


@pytest.mark.parametrize("name", STREAMING)
@torch.inference_mode()
def test_features_of_all_frames_give_what_the_whole_clip_gives(nets, video, name):
    net, parts = nets[name], []
    state = net.stream_init(2, SIZE)
    for first, last in ((0, 1), (1, 4), (4, LENGTH)):
        features, state = net.stream_features(video[:, first:last], state)
        parts.append(features)
    whole = net(video)
    assert (net.from_features(torch.cat(parts, 1)) - whole).abs().max() < 1e-5 * whole.abs().max()


@pytest.mark.parametrize("name", STREAMING)
@torch.inference_mode()
def test_a_state_is_put_together_again_from_plain_arrays(nets, video, name):
    net = nets[name]
    _, state = net.stream_step(video[:, :3], net.stream_init(2, SIZE))
    again = restored(net.stream_init(2, SIZE), state_arrays(state))
    assert again.frames == 3
    assert torch.equal(net.stream_step(video[:, 3:], again)[0], net.stream_step(video[:, 3:], state)[0])
    begun = net.stream_init(2, SIZE)
    once = restored(begun, state_arrays(begun))
    assert torch.equal(net.stream_step(video, once)[0], net.stream_step(video, begun)[0])
