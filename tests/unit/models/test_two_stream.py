"""Properties of the papers; the streams of `two_stream_i3d` have fixtures of their own."""

from __future__ import annotations

import pytest
import torch

from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting
from kinesphere.models import create_model, join_i3d
from kinesphere.models.registry import MODELS
from kinesphere.models.runtime.measure import input_shape
from kinesphere.models.zoo.two_stream import STACK, StreamNet, average_probability, stacks

LABELS = ("clap", "jump", "wave")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def batch(recogniser):
    return tuple(torch.randn(input_shape(spec)) for spec in recogniser.specs)


@torch.inference_mode()
def test_probabilities_of_the_streams_are_averaged():
    recogniser = create_model("two_stream_tiny", LABELS)
    rgb, flow = batch(recogniser)
    net = recogniser.net
    expected = (net.spatial(rgb[:, 0]).softmax(-1) + net.temporal(stacks(flow)[:, 0]).softmax(-1)) / 2
    assert torch.allclose(recogniser(rgb, flow).softmax(-1), expected, atol=1e-6)


@torch.inference_mode()
def test_frames_and_stacks_of_a_longer_clip_are_averaged_too():
    logits = torch.randn(2, 5, 3)
    assert torch.allclose(average_probability(logits).softmax(-1), logits.softmax(-1).mean(1), atol=1e-6)
    recogniser = create_model("two_stream_tiny", LABELS)
    rgb, flow = batch(recogniser)
    twice = recogniser(torch.cat([rgb, rgb], 1), torch.cat([flow, flow], 1))
    assert torch.allclose(twice, recogniser(rgb, flow), atol=1e-5)


def test_stacked_flow_alternates_x_and_y():
    """Section 3.1, equation 1."""
    flow = torch.arange(2.0 * STACK).reshape(1, STACK, 2, 1, 1)
    assert stacks(flow).flatten().tolist() == list(range(2 * STACK))


def test_the_stream_network_has_the_sizes_of_the_paper():
    with torch.device("meta"):
        net = StreamNet(101, 2 * STACK, second_norm=False)
        assert net.conv5(net.conv4(net.conv3(net.conv2(net.conv1(torch.empty(1, 20, 224, 224)))))).shape == (
            1, 512, 6, 6,
        )  # fmt: skip
    assert (net.full6.out_features, net.full7.out_features) == (4096, 2048)


@torch.inference_mode()
def test_fusion_reaches_over_space_and_time():
    recogniser = create_model("two_stream_fused_3d_tiny", LABELS)
    rgb, flow = batch(recogniser)
    fused = recogniser.features((rgb, flow), "fuse")
    assert fused.shape[2:] == (2, 4, 4)
    changed = rgb.clone()
    changed[:, 0] += 1
    other = recogniser.features((changed, flow), "fuse")
    assert not torch.allclose(fused[:, :, 1], other[:, :, 1])  # the second step sees the first frame


@torch.inference_mode()
def test_the_temporal_branch_goes_on_alone():
    net = create_model("two_stream_fused_3d_tiny", LABELS).net
    rgb, flow = torch.randn(1, 2, 3, 64, 64), torch.randn(1, 20, 2, 64, 64)
    seen = []
    handle = net.temporal_head.register_forward_hook(lambda _m, _i, out: seen.append(out))
    net(rgb, flow)
    net(rgb + 1, flow)
    handle.remove()
    assert torch.equal(seen[0], seen[1])


def test_clips_that_do_not_pair_up_are_refused():
    rgb, flow = torch.randn(1, 2, 3, 64, 64), torch.randn(1, 20, 2, 64, 64)
    with pytest.raises(InvalidSetting, match="Flow comes in stacks of 10 fields; got a clip of 19"):
        create_model("two_stream_tiny", LABELS)(rgb, flow[:, 1:])
    with pytest.raises(InvalidSetting, match="needs its stack of 10 flow fields; got 1 frames and 2 stacks"):
        create_model("two_stream_fused_3d_tiny", LABELS)(rgb[:, 1:], flow)


def test_image_weights_reach_the_spatial_stream():
    architecture = MODELS.get("two_stream_fused_3d")
    with torch.device("meta"):
        ours = architecture.build(3, {}).state_dict()
    covered = {k: ours[k] for k in ours if k.startswith(("spatial.", "fused_head.fc6", "fused_head.fc7"))}
    theirs = architecture.key_maps[0].to_theirs(covered)
    assert not theirs.unmapped
    assert theirs.state["features.28.weight"].shape == (512, 512, 3, 3)
    assert theirs.state["classifier.0.weight"].shape == (4096, 512 * 7 * 7)


def test_streams_trained_apart_are_joined():
    rgb, flow = create_model("i3d_inception", LABELS), create_model("i3d_inception_flow", LABELS)
    joined = join_i3d(rgb, flow)
    assert torch.equal(joined.net.rgb.fc.weight, rgb.net.fc.weight)
    assert torch.equal(joined.net.flow.conv_1a[0].weight, flow.net.conv_1a[0].weight)
    assert joined.provenance.notes == ("pixels: initialised", "flow: initialised")
    clips = torch.randn(1, 8, 3, 64, 64), torch.randn(1, 8, 2, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(joined(*clips), (rgb(clips[0]) + flow(clips[1])) / 2, atol=1e-6)
    with pytest.raises(InvalidSetting, match="needs an i3d_inception_flow here; got i3d_inception"):
        join_i3d(rgb, rgb)
    flow.reset_head(joined.labels.__class__(("sit", "stand")))
    with pytest.raises(InvalidCheckpoint, match=r"know different classes \(3 and 2\)"):
        join_i3d(rgb, flow)
