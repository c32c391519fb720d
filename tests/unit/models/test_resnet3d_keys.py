from __future__ import annotations

import pytest
import torch

from kinesphere.models.registry import MODELS


@pytest.mark.parametrize(
    ("model", "theirs", "ours"),
    [
        ("slowonly_resnet50", "conv1_w", "stem.0.weight"),
        ("slowonly_resnet50", "res_conv1_bn_riv", "stem.1.running_var"),
        ("slowonly_resnet50", "res4_5_branch2b_bn_rm", "layer3.5.bn2.running_mean"),
        ("slowonly_resnet50", "res2_0_branch1_w", "layer1.0.downsample.0.weight"),
        ("slowonly_resnet50", "pred_b", "fc.bias"),
        ("slowfast_resnet50", "t_conv1_w", "fast.stem.0.weight"),
        ("slowfast_resnet50", "t_res3_1_branch2a_bn_s", "fast.layer2.1.bn1.weight"),
        ("slowfast_resnet50", "t_pool1_subsample_w", "lateral1.conv.weight"),
        ("slowfast_resnet50", "t_res4_5_branch2c_bn_subsample_bn_b", "lateral4.bn.bias"),
        ("nonlocal_i3d_resnet50", "nonlocal_conv3_1_theta_w", "layer2.1.attention.theta.weight"),
        ("nonlocal_i3d_resnet50", "nonlocal_conv4_5_bn_s", "layer3.5.attention.bn.weight"),
    ],
)
def test_caffe2_blobs_have_their_place(model, theirs, ours):
    key_map = next(m for m in MODELS.get(model).key_maps if m.layout == "pyslowfast_caffe2")
    assert list(key_map.to_ours({theirs: torch.zeros(1)}).state) == [ours]
    assert list(key_map.to_theirs({ours: torch.zeros(1)}).state) == [theirs]


def test_caffe2_leaves_counters_of_the_training_run_out():
    key_map = next(m for m in MODELS.get("slowonly_resnet50").key_maps if m.layout == "pyslowfast_caffe2")
    mapped = key_map.to_ours({"lr": torch.zeros(1), "model_iter": torch.zeros(1)})
    assert not mapped.state
    assert set(mapped.ignored) == {"lr", "model_iter"}


def test_fast_pathway_may_be_shallower():
    key_map = next(m for m in MODELS.get("slowfast_resnet101_4x16").key_maps if m.layout == "mmaction2")
    with torch.device("meta"):
        net = MODELS.get("slowfast_resnet101_4x16").build(
            400, {"fast_depths": (3, 4, 6, 3), "lateral_norm": False}
        )
    theirs = key_map.to_theirs(net.state_dict()).state
    assert key_map.builder_arguments(theirs)["fast_depths"] == (3, 4, 6, 3)


@pytest.mark.parametrize("places", [((1, 3), (1, 3, 5)), ((0, 1, 2, 3), (0, 1, 2, 3, 4, 5))])
@pytest.mark.parametrize("layout", ["mmaction2", "pyslowfast", "pyslowfast_caffe2"])
def test_five_or_ten_non_local_blocks_are_read_off_the_file(layout, places):
    architecture = MODELS.get("nonlocal_i3d_resnet50")
    key_map = next(m for m in architecture.key_maps if m.layout == layout)
    arguments = {**key_map.arguments, "attend2": places[0], "attend3": places[1]}
    with torch.device("meta"):
        net = architecture.build(400, arguments)
    theirs = key_map.to_theirs(net.state_dict()).state
    assert key_map.builder_arguments(theirs) == arguments
