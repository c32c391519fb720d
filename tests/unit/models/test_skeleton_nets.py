"""Graphs, streams and options of the networks on skeletons."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from kinesphere.clips.skeleton import COCO17, NTU25, SKELETONS
from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting
from kinesphere.models import create_model, import_state
from kinesphere.models.contracts import pose_spec
from kinesphere.models.layers.skeleton_graph import (
    directed_partition,
    stream_parents,
)
from kinesphere.models.layers.skeleton_net import STREAMS, SkeletonInput
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.maps.skeleton import skeleton_of
from kinesphere.models.zoo.msg3d import NormedBranches, scaled_graphs
from kinesphere.models.zoo.stgcn import spatial_partition

GRAPH_NETS = (
    "stgcn_tiny",
    "stgcnpp_tiny",
    "agcn_tiny",
    "aagcn_tiny",
    "ctrgcn_tiny",
    "dgstgcn_tiny",
    "msg3d_tiny",
)


def kept(fixture: str, key: str) -> Tensor:
    root = os.environ.get("KINESPHERE_TEST_DATA")
    if not root:
        pytest.skip("KINESPHERE_TEST_DATA is not set: no parity fixtures here")
    with np.load(Path(root) / "parity" / f"{fixture}.npz") as arrays:
        return torch.from_numpy(arrays[f"kept/{key}"])


@pytest.mark.parametrize("name", SKELETONS)
def test_graphs_of_every_skeleton(name):
    skeleton = SKELETONS.get(name)
    for graph in (spatial_partition(skeleton), directed_partition(skeleton)):
        joints, inward, outward = graph
        assert (joints - torch.diag(joints.diagonal())).eq(0).all()
        linked = {(v, w) for v, w in (inward > 0).nonzero().tolist()}
        assert linked == {(w, v) for v, w in (outward > 0).nonzero().tolist()}
        assert len(linked) == len(skeleton) - 1
    assert torch.allclose(spatial_partition(skeleton).sum(0).sum(0), torch.ones(len(skeleton)))
    near = scaled_graphs(skeleton, 4) > 0
    assert torch.equal(near[1], (spatial_partition(skeleton).sum(0) > 0))
    assert not (near[2] & near[3]).logical_and(~torch.eye(len(skeleton), dtype=torch.bool)).any()


@pytest.mark.real
def test_graphs_are_the_published_ones():
    assert torch.equal(directed_partition(COCO17), kept("pyskl_aagcn_ntu60_hrnet", "backbone.A"))
    assert torch.equal(directed_partition(NTU25), kept("pyskl_aagcn_ntu60_3d", "backbone.A"))
    for skeleton, fixture in ((COCO17, "pyskl_stgcn_vanilla_ntu60_hrnet"), (NTU25, "pyskl_stgcn_ntu60_3d")):
        public = kept(fixture, "backbone.gcn.0.gcn.A")
        assert torch.allclose(spatial_partition(skeleton).sum(0), public.sum(0), atol=1e-6)
    assert torch.equal(scaled_graphs(COCO17, 13), kept("pyskl_msg3d_ntu60_hrnet", "backbone.sgcn1.0.A"))
    windows = kept("pyskl_msg3d_ntu60_hrnet", "backbone.gcn3d1.gcn3d.0.gcn3d.1.A")
    assert torch.equal(scaled_graphs(COCO17, 6, 3), windows)


def raw_stream(poses: Tensor, stream: str, dimensions: int = 2, skeleton: str = "coco17") -> Tensor:
    """A door's stream `(T, P, J, 3)` of one clip, batch norm fresh (and so the identity)."""
    door = SkeletonInput(skeleton, stream, dimensions=dimensions).eval()
    out = door(poses[None]) * (1 + 1e-5) ** 0.5
    return out.unflatten(0, (1, -1))[0].permute(2, 0, 3, 1)


def test_streams_are_joints_bones_and_their_motion():
    poses = torch.rand(5, 2, 17, 3) + 0.1
    joint, bone, joint_motion, bone_motion = (raw_stream(poses, stream) for stream in STREAMS)
    assert torch.allclose(joint, poses, atol=1e-5)
    elbow, shoulder = COCO17.index("left_elbow"), COCO17.index("left_shoulder")
    assert torch.allclose(
        bone[:, :, elbow, :2], (poses[:, :, elbow] - poses[:, :, shoulder])[..., :2], atol=1e-5
    )
    assert torch.allclose(bone[..., 2], (poses[..., 2] + poses[:, :, list(stream_parents(COCO17)), 2]) / 2)
    assert torch.allclose(joint_motion[:-1, ..., :2], (poses[1:] - poses[:-1])[..., :2], atol=1e-5)
    assert torch.allclose(bone_motion[:-1, ..., :2], (bone[1:] - bone[:-1])[..., :2], atol=1e-5)
    assert not joint_motion[-1].any()
    assert not bone[:, :, COCO17.root, :2].any()


def test_what_was_not_seen_has_neither_bone_nor_motion():
    poses = torch.rand(4, 1, 17, 3) + 0.1
    poses[1, 0, COCO17.index("left_elbow")] = 0
    bone, motion = raw_stream(poses, "bone"), raw_stream(poses, "joint_motion")
    assert not bone[1, 0, [COCO17.index("left_elbow"), COCO17.index("left_wrist")]].any()
    assert not motion[:2, 0, COCO17.index("left_elbow")].any()
    assert motion[2, 0, COCO17.index("left_elbow")].any()


def test_in_space_scores_only_tell_what_was_seen():
    poses = torch.rand(3, 1, 25, 4) + 0.1
    joint = raw_stream(poses, "joint", 3, "ntu25")
    assert torch.allclose(joint, poses[..., :3], atol=1e-5)
    tip, thumb = NTU25.index("left_hand_tip"), NTU25.index("left_thumb")
    bone = raw_stream(poses, "bone", 3, "ntu25")
    assert torch.allclose(bone[:, :, tip], (poses[:, :, tip] - poses[:, :, thumb])[..., :3], atol=1e-5)


@pytest.mark.parametrize("name", GRAPH_NETS)
@pytest.mark.parametrize("stream", STREAMS)
def test_networks_see_every_stream_of_skeletons_in_space(name, stream):
    net = MODELS.get(name).build(4, {"skeleton": "kinect20", "dimensions": 3, "stream": stream}).eval()
    with torch.inference_mode():
        assert net(torch.rand(2, 9, 2, 20, 4)).shape == (2, 4)


@pytest.mark.parametrize("name", GRAPH_NETS)
def test_sizes_are_read_off_the_state(name):
    """Other skeletons, people and widths import by themselves, and bring their input contract."""
    architecture = MODELS.get(name)
    other = architecture.build(7, {"skeleton": "ntu25", "dimensions": 3, "people": 3})
    layout = architecture.key_maps[0]
    imported = import_state(layout.to_theirs(other.state_dict()).state, name)
    assert imported.specs[0].skeleton == "ntu25"
    assert imported.specs[0].dimensions == 3
    assert imported.specs[0].people == 3
    clip = torch.rand(1, 8, 3, 25, 4)
    with torch.inference_mode():
        assert torch.allclose(imported(clip), other.eval()(clip), atol=1e-6)


def test_offsets_of_the_graph_are_an_option():
    net = MODELS.get("stgcn_tiny").build(3, {"learn": "offset"}).eval()
    fixed = MODELS.get("stgcn_tiny").build(3, {"learn": "nothing"}).eval()
    fixed.load_state_dict(net.state_dict(), strict=False)
    clip = torch.rand(1, 8, 2, 17, 3)
    with torch.inference_mode():
        assert torch.allclose(net(clip), fixed(clip), atol=1e-3)


def test_people_change_places_freely_unless_told_apart():
    clip = torch.rand(2, 8, 2, 17, 3)
    alike = create_model("stgcn_tiny", ("a", "b"))
    apart = create_model("stgcn_tiny", ("a", "b"), arguments={"people": 2})
    with torch.no_grad():
        apart.net.door.norm.weight[:51] = 2
    with torch.inference_mode():
        assert torch.allclose(alike(clip), alike(clip.flip(2)), atol=1e-5)
        assert not torch.allclose(apart(clip), apart(clip.flip(2)), atol=1e-5)


def test_nonsense_is_refused():
    with pytest.raises(InvalidSetting, match=r"stream='skin' does not fit: .*'joint', 'bone', 'joint_mot"):
        MODELS.get("stgcn_tiny").build(3, {"stream": "skin"})
    with pytest.raises(InvalidSetting, match="learn='all' does not fit: Input should be 'importance'"):
        MODELS.get("stgcn_tiny").build(3, {"learn": "all"})
    with pytest.raises(InvalidSetting, match="tells 2 people apart by their place; got clips of 1"):
        create_model("ctrgcn_tiny", ("a", "b"))(torch.rand(1, 8, 1, 17, 3))
    with pytest.raises(InvalidSetting, match="10 channels do not divide into 4 branches"):
        NormedBranches(10, 10, 5, (1, 2))
    with pytest.raises(InvalidSetting, match="No skeleton of 19 joints is known"):
        skeleton_of(19)
    with pytest.raises(InvalidCheckpoint, match="no stgcn"):
        import_state({"backbone.data_bn.weight": torch.ones(51)}, "stgcn")


def test_contracts_of_pictures_and_space():
    assert pose_spec("coco17").dimensions == 2
    assert pose_spec("ntu25").align == "body"
