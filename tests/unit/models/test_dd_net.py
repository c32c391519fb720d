"""DD-Net: what its answer must not depend on, and what becomes of joints and people that were not seen."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from kinesphere.models import create_model
from kinesphere.models.registry import MODELS
from kinesphere.models.zoo.dd_net import DDNet, filled


def poses(people: int = 1, seed: int = 0) -> Tensor:
    """A moving pose clip `(1, 12, P, 17, 3)` with everything seen."""
    rng = torch.Generator().manual_seed(seed)
    body = torch.rand(1, 1, people, 17, 2, generator=rng)
    steps = 0.05 * torch.randn(1, 12, people, 17, 2, generator=rng).cumsum(1)
    return torch.cat([body + steps, torch.ones(1, 12, people, 17, 1)], -1)


def settled(**options: bool) -> DDNet:
    """A network whose batch norms know poses, as after training; fresh ones let hardly anything through."""
    torch.manual_seed(0)
    net = DDNet(3, width=4, dropout=0.0, **options)
    batch = torch.cat([poses(people=2, seed=seed) for seed in range(16)])
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.momentum = 1.0
    net(batch)
    return net.eval()


@pytest.fixture
def net() -> DDNet:
    return settled()


def changed(x: Tensor, points: Tensor) -> Tensor:
    return torch.cat([points, x[..., -1:]], -1)


@torch.inference_mode()
def test_place_and_size_of_a_body_do_not_matter(net):
    x = poses()
    moved = changed(x, x[..., :2] * 7.5 + torch.tensor([3.0, -2.0]))
    assert torch.allclose(net(moved), net(x), atol=1e-4)
    alone = settled(pose=False)
    assert torch.allclose(alone(moved), alone(x), atol=1e-4)


@torch.inference_mode()
def test_distances_are_blind_to_turns_and_the_pose_is_not(net):
    x = poses()
    c, s = math.cos(0.7), math.sin(0.7)
    turned = changed(x, x[..., :2] @ torch.tensor([[c, s], [-s, c]]))
    first: list[Tensor] = []
    handle = net.distances.register_forward_hook(lambda _module, _inputs, out: first.append(out))
    answers = [net(x), net(turned)]
    handle.remove()
    assert torch.allclose(first[0], first[1], atol=1e-4)
    assert not torch.allclose(answers[0], answers[1], atol=1e-3)


def test_gaps_are_filled_on_the_line_between():
    points = torch.arange(10.0).view(1, 10, 1, 1, 1).expand(1, 10, 1, 3, 2).clone()
    seen = torch.ones(1, 10, 1, 3, dtype=torch.bool)
    seen[:, 3:6, :, 0] = seen[:, :2, :, 1] = seen[:, 8:, :, 1] = False
    seen[..., 2] = False
    points[~seen] = 0
    full = filled(points, seen)
    assert torch.allclose(full[0, :, 0, 0, 0], torch.arange(10.0))
    assert full[0, :, 0, 1, 0].tolist() == [2, 2, 2, 3, 4, 5, 6, 7, 7, 7]
    assert torch.allclose(full[..., 2, :], full[..., :2, :].mean(3))  # never seen: amid the others
    assert torch.allclose(filled(points, torch.ones_like(seen)), points)


@torch.inference_mode()
def test_a_joint_missed_now_and_then_changes_little(net):
    x = poses()
    x[..., :2] = torch.linspace(0, 1, 12).view(1, 12, 1, 1, 1) + poses()[:, :1, ..., :2]  # steady motion
    holed = x.clone()
    holed[:, 4:6, :, 9] = 0
    assert torch.allclose(net(holed), net(x), atol=1e-3)


@torch.inference_mode()
def test_people_count_in_any_order_and_empty_places_not_at_all(net):
    x = poses(people=2)
    assert torch.allclose(net(x), net(x.flip(2)), atol=1e-5)
    one = x[:, :, :1]
    padded = torch.cat([one, torch.zeros_like(one)], 2)
    assert torch.allclose(net(padded), net(one), atol=1e-5)
    assert torch.isfinite(net(torch.zeros_like(x))).all()


@torch.inference_mode()
def test_between_people_the_distance_counts():
    together = settled(between=True)
    x = poses(people=2)
    apart = x.clone()
    apart[:, :, 1, :, 0] += 5
    assert not torch.allclose(together(apart), together(x), atol=1e-3)
    assert torch.allclose(together(x), together(x.flip(2)), atol=1e-5)
    third = torch.cat([x, torch.zeros_like(x[:, :, :1])], 2)
    assert torch.allclose(together(third), together(x), atol=1e-5)
    assert torch.isfinite(together(x[:, :, :1])).all()


@pytest.mark.parametrize("name", ["dd_net_tiny", "stgcn_tiny", "posec3d_tiny"])
def test_the_input_contract_follows_the_skeleton(name):
    recogniser = create_model(name, ("a", "b"), arguments={"skeleton": "jhmdb15"})
    assert recogniser.specs[0].skeleton == "jhmdb15"
    assert recogniser.specs[0].resize == MODELS.get(name).card.inputs[0].resize
    if name != "posec3d_tiny":
        space = create_model(name, ("a", "b"), arguments={"skeleton": "kinect20"}).specs[0]
        assert (space.skeleton, space.dimensions, space.align) == ("kinect20", 3, "body")


@torch.inference_mode()
def test_short_clips_and_space():
    net = DDNet(3, skeleton="kinect20", width=4).eval()
    for frames in (1, 2, 3, 7, 32):
        assert net(torch.rand(2, frames, 1, 20, 4)).shape == (2, 3)
