"""Fusion of pixels and keypoints, at the end and on the way."""

from __future__ import annotations

import pytest
import torch

from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.models import create_model, join, load_model, save_model
from kinesphere.models.registry import MODELS
from kinesphere.models.zoo.rgbpose import POSE_SPEC, RGB_SPEC, fused

LABELS = LabelSet(("clap", "wave"))
RGB, POSE = torch.rand(2, 2, 3, 64, 64), torch.rand(2, 8, 2, 17, 3)


def test_fused_is_the_weighted_mean_of_probabilities():
    a, b = torch.randn(3, 4), torch.randn(3, 4)
    for share in (0.5, 0.2):
        wanted = share * a.softmax(-1) + (1 - share) * b.softmax(-1)
        assert torch.allclose(fused(a, b, share).softmax(-1), wanted, atol=1e-6)


@torch.inference_mode()
def test_late_fusion_is_its_two_halves():
    net = create_model("rgbpose_late_tiny", LABELS, arguments={"rgb_share": 0.3}).net
    wanted = 0.3 * net.rgb(RGB).softmax(-1) + 0.7 * net.pose(POSE).softmax(-1)
    assert torch.allclose(net(RGB, POSE).softmax(-1), wanted, atol=1e-6)


@torch.inference_mode()
def test_both_pathways_see_both_inputs_through_the_connections():
    net = create_model("rgbpose_conv3d_tiny", LABELS).net
    seen = {}
    for head in ("fc_rgb", "fc_pose"):
        net.get_submodule(head).register_forward_hook(
            lambda _m, _i, out, head=head: seen.__setitem__(head, out)
        )

    def answers(rgb, pose):
        net(rgb, pose)
        return seen["fc_rgb"].clone(), seen["fc_pose"].clone()

    first = answers(RGB, POSE)
    for other in (answers(RGB.flip(-1), POSE), answers(RGB, POSE.flip(1))):
        assert not torch.allclose(other[0], first[0], rtol=1e-4, atol=0)
        assert not torch.allclose(other[1], first[1], rtol=1e-4, atol=0)
    for name in ("to_rgb1", "to_rgb2", "to_pose1", "to_pose2"):
        net.get_submodule(name).bn.weight.zero_()
    cut = answers(RGB, POSE)
    assert torch.equal(answers(RGB, POSE.flip(1))[0], cut[0])
    assert torch.equal(answers(RGB.flip(-1), POSE)[1], cut[1])


def test_the_two_inputs_show_the_same_part_of_the_picture():
    assert RGB_SPEC.size[0] / RGB_SPEC.short_side_px == POSE_SPEC.size[0] / POSE_SPEC.short_side_px
    assert POSE_SPEC.length == 4 * RGB_SPEC.length
    assert POSE_SPEC.resize == RGB_SPEC.resize


def test_contract_follows_the_skeleton():
    recogniser = create_model("rgbpose_conv3d_tiny", LABELS, arguments={"skeleton": "jhmdb15"})
    assert [spec.skeleton for spec in recogniser.specs] == [None, "jhmdb15"]


@torch.inference_mode()
def test_join_takes_both_halves_as_they_are(tmp_path):
    """The two public networks, shrunk: the joined file is read back and answers the same."""
    rgb = create_model("slowonly_resnet50", LABELS, arguments={"depths": (1, 1, 1, 1), "width": 8})
    pose = create_model(
        "posec3d_slowonly_resnet50", LABELS, arguments={"depths": (1, 1, 1), "width": 4, "draw": "limbs"}
    )
    clips = (torch.rand(1, 2, 3, 32, 32), torch.rand(1, 4, 1, 17, 3))
    joined = join("rgbpose_late", (rgb, pose), {"rgb_share": 0.4})
    wanted = 0.4 * rgb(clips[0]).softmax(-1) + 0.6 * pose(clips[1]).softmax(-1)
    assert torch.allclose(joined(*clips).softmax(-1), wanted, atol=1e-5)
    save_model(joined, tmp_path / "joined.safetensors")
    assert torch.allclose(load_model(tmp_path / "joined.safetensors")(*clips), joined(*clips), atol=1e-5)


def test_nonsense_is_refused():
    with pytest.raises(InvalidSetting, match="share of the answer lies between 0 and 1; got 1"):
        MODELS.get("rgbpose_late_tiny").build(2, {"rgb_share": 1.0})
    with pytest.raises(InvalidSetting, match=r"frames of pixels; got 8 and 3.*rgb.sampling=uniform8"):
        create_model("rgbpose_conv3d_tiny", LABELS)(torch.rand(1, 3, 3, 64, 64), POSE[:1])
    tiny = create_model("slowonly_tiny", LABELS)
    with pytest.raises(InvalidSetting, match="needs a slowonly_resnet50 here; got slowonly_tiny"):
        join("rgbpose_late", (tiny, tiny))
    attentive = create_model("slowonly_resnet50", LABELS, arguments={"width": 8, "attend2": (1,)})
    small = create_model("posec3d_slowonly_resnet50", LABELS, arguments={"width": 4})
    with pytest.raises(InvalidSetting, match=r"no place for a slowonly_resnet50 built with .*attend2"):
        join("rgbpose_late", (attentive, small))
    with torch.device("meta"):
        rgb = create_model("slowonly_resnet50", LABELS)
        pose = create_model("posec3d_slowonly_resnet50", ("a", "b", "c"))
    with pytest.raises(InvalidCheckpoint, match="know different classes \\(2 and 3\\)"):
        join("rgbpose_late", (rgb, pose))
