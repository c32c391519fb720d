"""Heatmap volumes against the formulation joint by joint that they replace, and what a map must obey."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.heatmaps import joint_volume, limb_volume
from torch import Tensor

from kinesphere.clips.skeleton import COCO17
from kinesphere.core.errors import InvalidSetting, UnknownName
from kinesphere.models.registry import MODELS
from kinesphere.models.zoo.posec3d import COCO_LIMBS, SPEC
from kinesphere.models.zoo.posec3d.heatmaps import PoseHeatmaps

SIZE = (40, 56)


def people(spread_px: float, *, seen: float = 1.0, seed: int = 0) -> Tensor:
    """Joints `(1, 6, 2, 17, 3)` in and around a picture of `SIZE`, each person so wide; some unseen."""
    rng = torch.Generator().manual_seed(seed)
    middle = torch.rand(1, 6, 2, 1, 2, generator=rng) * 70 - 10
    points = middle + (torch.rand(1, 6, 2, 17, 2, generator=rng) - 0.5) * spread_px
    scores = torch.rand(1, 6, 2, 17, 1, generator=rng)
    return torch.cat([points, scores * (torch.rand(1, 6, 2, 17, 1, generator=rng) < seen)], -1)


@pytest.mark.parametrize("sigma", [0.6, 1.5])
@pytest.mark.parametrize(("spread_px", "seen"), [(40.0, 1.0), (40.0, 0.6), (1.2, 0.8), (300.0, 1.0)])
def test_volumes_equal_the_loop_over_joints(spread_px, seen, sigma):
    poses = people(spread_px, seen=seen)
    frames = poses[0].numpy()
    joints = PoseHeatmaps(SIZE, sigma=sigma)(poses)
    limbs = PoseHeatmaps(SIZE, COCO_LIMBS, sigma=sigma)(poses)
    assert np.abs(joints[0].numpy() - joint_volume(frames, SIZE, sigma)).max() < 1e-5
    assert np.abs(limbs[0].numpy() - limb_volume(frames, COCO_LIMBS, SIZE, sigma)).max() < 1e-4


def test_scores_may_count_as_seen_or_not():
    poses = people(30.0, seen=0.5)
    plain = PoseHeatmaps(SIZE, use_score=False)(poses)
    full = poses.clone()
    full[..., 2] = (poses[..., 2] > 0).float()
    assert plain.equal(PoseHeatmaps(SIZE)(full))


def test_nobody_gives_zeros_and_a_joint_on_a_pixel_gives_its_score():
    poses = torch.zeros(1, 2, 1, 17, 3)
    assert not PoseHeatmaps(SIZE)(poses).any()
    assert not PoseHeatmaps(SIZE, COCO_LIMBS)(poses).any()
    poses[0, 1, 0, 9] = torch.tensor([20.0, 10.0, 0.7])
    maps = PoseHeatmaps(SIZE)(poses)
    assert maps[0, 1, 9, 10, 20] == pytest.approx(0.7)
    assert maps.sum() == pytest.approx(maps[0, 1, 9, 8:13, 18:23].sum())


def test_moving_by_whole_pixels_moves_the_maps():
    poses = people(6.0) * torch.tensor([0.2, 0.2, 1.0]) + torch.tensor([15.0, 15.0, 0.0])
    moved = poses + torch.tensor([7.0, 3.0, 0.0])
    for limbs in (None, COCO_LIMBS):
        draw = PoseHeatmaps(SIZE, limbs)
        assert torch.allclose(draw(moved)[..., 3:, 7:], draw(poses)[..., :-3, :-7], atol=1e-5)


def test_long_batches_are_the_same_in_shares():
    poses = people(40.0).repeat(1, 60, 1, 1, 1)
    for limbs in (None, COCO_LIMBS):
        maps = PoseHeatmaps(SIZE, limbs)(poses)
        assert maps.unflatten(1, (60, 6)).eq(maps[:, None, :6]).all()


def test_channels_lie_last_in_memory():
    volume = PoseHeatmaps(SIZE)(people(30.0)).transpose(1, 2)
    assert volume.is_contiguous(memory_format=torch.channels_last_3d)


def test_gradients_reach_the_joints():
    poses = people(20.0).requires_grad_()
    PoseHeatmaps(SIZE, COCO_LIMBS)(poses).square().sum().backward()
    assert torch.isfinite(poses.grad).all()
    assert poses.grad.abs().sum() > 0


def test_nonsense_is_refused():
    with pytest.raises(InvalidSetting, match="positive size and sigma"):
        PoseHeatmaps((0, 10))
    with pytest.raises(InvalidSetting, match="draw='faces' does not fit: Input should be 'joints'"):
        MODELS.get("posec3d_tiny").build(3, {"draw": "faces"})
    with pytest.raises(UnknownName, match="skeleton"):
        MODELS.get("posec3d_tiny").build(3, {"skeleton": "coco18"})


@pytest.mark.parametrize("sampling", ["uniform48", "54x1x1", "64x1x1", "32x1x1"])
def test_networks_take_the_published_clip_lengths(sampling):
    spec = SPEC.with_(sampling=SPEC.sampling.parse(sampling))
    net = MODELS.get("posec3d_tiny").build(4, {"draw": "limbs"}).eval()
    with torch.inference_mode():
        assert net(torch.rand(1, spec.length, 2, len(COCO17), 3)).shape == (1, 4)


def test_other_skeletons_draw_their_own_limbs():
    net = MODELS.get("posec3d_tiny").build(4, {"skeleton": "jhmdb15", "draw": "limbs"}).eval()
    with torch.inference_mode():
        assert net(torch.rand(2, 8, 1, 15, 3)).shape == (2, 4)


def test_shares_of_the_picture_land_on_their_pixels():
    """The middle of the picture is the border between the two middle pixels."""
    net = MODELS.get("posec3d_tiny").build(4, {}).eval()
    drawn: list[Tensor] = []
    net.heatmaps.register_forward_hook(lambda _module, _inputs, maps: drawn.append(maps))
    pose = torch.zeros(1, 1, 1, 17, 3)
    pose[..., 0, :] = torch.tensor([0.5, 0.5, 1.0])
    with torch.inference_mode():
        net(pose)
    middle = drawn[0][0, 0, 0, 15:17, 15:17]
    assert torch.allclose(middle, middle[0, 0].expand(2, 2), atol=1e-6)
