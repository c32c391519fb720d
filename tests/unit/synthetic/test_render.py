from __future__ import annotations

import numpy as np
import pytest

from kinesphere.clips.pinhole import PinholeCamera, framing, shake, view_name
from kinesphere.core.errors import InvalidSetting
from kinesphere.synthetic import MannequinSettings, plan_clip, render_clip
from kinesphere.synthetic.body.performer import draw_performer
from kinesphere.synthetic.render.mesh import build_mesh
from kinesphere.synthetic.scene.scene import KINDS, draw_scene, render_plate

SMALL = MannequinSettings(
    classes=("wave", "sit down", "throw", "pick up"),
    size=(96, 128),
    duration_s=(0.8, 0.8),
    fps=10,
    clutter=0.0,
)


@pytest.fixture(scope="module")
def rendered():
    return render_clip(plan_clip(SMALL, "wave", "train", 0), SMALL)


def test_a_clip_has_the_promised_shapes(rendered):
    truth = rendered.ground_truth
    assert rendered.frames.shape == (8, 3, 96, 128)
    assert rendered.frames.dtype == np.uint8
    assert truth.joints2d.shape == truth.joints3d.shape == (8, 1, 17, 3)
    assert truth.mask.shape == (8, 1, 96, 128)
    assert truth.boxes.shape == (8, 1, 4)
    np.testing.assert_allclose(rendered.times, np.arange(8) / 10)


def test_joints_lie_on_the_person(rendered):
    """Wrists and the like may be a pixel outside the silhouette; the trunk and head may not."""
    truth = rendered.ground_truth
    for t in range(8):
        for joint in (0, 5, 6, 11, 12, 13, 14):
            x, y = np.round(truth.joints2d[t, 0, joint, :2]).astype(int)
            assert truth.mask[t, 0, max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].any()


def test_boxes_hold_the_mask_and_the_visible_joints(rendered):
    truth = rendered.ground_truth
    for t in range(8):
        x0, y0, x1, y1 = truth.boxes[t, 0]
        ys, xs = np.nonzero(truth.mask[t, 0])
        assert (x0, y0, x1, y1) == (xs.min() - 0.5, ys.min() - 0.5, xs.max() + 0.5, ys.max() + 0.5)
        x, y = truth.joints2d[t, 0, :, 0], truth.joints2d[t, 0, :, 1]
        assert x.min() > x0 - 3
        assert x.max() < x1 + 3
        assert y.min() > y0 - 3
        assert y.max() < y1 + 3
    assert truth.joints2d[..., 2].all()


def test_the_person_differs_from_the_background_only_inside_mask_and_shadow(rendered):
    """Where no person ever is, only noise, shake and shadow move."""
    frames, mask = rendered.frames.astype(int), rendered.ground_truth.mask.any(axis=(0, 1))
    moving = np.abs(np.diff(frames, axis=0)).mean(axis=(0, 1))
    assert moving[mask].mean() > 1.5 * moving[~mask].mean()


def test_the_same_plan_gives_the_same_bits(rendered):
    again = render_clip(plan_clip(SMALL, "wave", "train", 0), SMALL)
    np.testing.assert_array_equal(again.frames, rendered.frames)
    np.testing.assert_array_equal(again.ground_truth.joints2d, rendered.ground_truth.joints2d)
    other = render_clip(plan_clip(SMALL, "wave", "train", 1), SMALL)
    assert not np.array_equal(other.frames, rendered.frames)


@pytest.mark.parametrize("label", ["sit down", "throw", "pick up"])
def test_movements_with_things_render(label):
    frames = render_clip(plan_clip(SMALL, label, "train", 0), SMALL).frames
    assert frames.std() > 10


def test_bystanders_have_a_truth_of_their_own():
    crowd = MannequinSettings(size=(96, 128), duration_s=(0.5, 0.5), fps=6, bystanders=1.0)
    truth = render_clip(plan_clip(crowd, "clap", "train", 0), crowd).ground_truth
    assert truth.mask.shape[1] == truth.joints2d.shape[1] == 2
    assert not (truth.mask[:, 0] & truth.mask[:, 1]).any()


def test_fast_limbs_blur_and_a_closed_shutter_freezes():
    open_, closed = (
        MannequinSettings(
            size=(96, 128), duration_s=(0.8, 0.8), fps=10, shutter=s, shake=0, noise=0, clutter=0
        )
        for s in (1.0, 0.0)
    )
    a, b = (render_clip(plan_clip(s, "punch", "train", 0), s).frames.astype(int) for s in (open_, closed))
    assert np.abs(a - b).max() > 20


def test_cameras_project_their_rays_back_to_the_pixels():
    camera = PinholeCamera((3.0, -1.0, 1.6), (0.0, 0.0, 1.0), 1.4, (60, 80), 0.05)
    origin, rays = camera.rays(4, 1.0)
    assert rays.shape == (68, 88, 3)
    seen = camera.project(origin + 2.5 * rays.astype(float))
    x, y = np.meshgrid(np.arange(-4, 84), np.arange(-4, 64))
    np.testing.assert_allclose(seen[..., 0], x, atol=1e-4)
    np.testing.assert_allclose(seen[..., 1], y, atol=1e-4)
    with pytest.raises(InvalidSetting, match="at least 16×16 pixels"):
        PinholeCamera((1, 0, 0), (0, 0, 0), 1.0, (8, 8))


@pytest.mark.parametrize("azimuth", [0.0, 0.9, 3.0])
def test_framing_keeps_all_points_inside_the_margin(azimuth):
    points = np.random.default_rng(0).uniform([-1, -2, 0], [1, 2, 1.8], (200, 3))
    camera = framing(points, azimuth, 0.2, 1.5, (120, 160), 0.1)
    seen = camera.project(points)
    assert seen[:, 0].min() > 7
    assert seen[:, 0].max() < 152
    assert seen[:, 1].min() > 5
    assert seen[:, 1].max() < 114


def test_views_are_named_from_the_figures_side():
    assert [view_name(a) for a in (0, 44, 90, 180, -90, -50)] == [
        "front", "front-left", "left", "back", "right", "front-right",
    ]  # fmt: skip


def test_a_tripod_does_not_shake():
    still = shake(np.arange(5) / 10, 0.0, (60, 80), np.random.default_rng(0))
    np.testing.assert_allclose(still, np.tile([[1, 0, 0], [0, 1, 0]], (5, 1, 1)), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_scene_draws_a_floor_and_more(kind):
    scene = draw_scene("s", kind, np.random.default_rng(1))
    camera = PinholeCamera((3.5, 1.0, 1.5), (0.0, 0.0, 0.9), 1.5, (60, 80))
    plate = render_plate(scene, camera, 0.7, (0.2, 0.1), 3)
    assert plate.rgb.shape == (66, 86, 3)
    assert 0.15 < plate.floor.mean() < 0.95
    assert plate.rgb.std() > 8


def test_meshes_are_skinned_with_whole_weights_and_outward_faces():
    for seed in range(8):
        performer = draw_performer("p", np.random.default_rng(seed))
        mesh = build_mesh(performer)
        np.testing.assert_allclose(mesh.weights.sum(axis=1), 1.0, atol=1e-9)
        corners = mesh.vertices[mesh.faces]
        # A closed surface with outward faces has positive volume.
        a, b, c, d = (corners[:, i] for i in range(4))
        volume = np.einsum("fi,fi->f", a, np.cross(b, c)) + np.einsum("fi,fi->f", a, np.cross(c, d))
        assert 0.03 < volume.sum() / 6 < 0.25
        assert mesh.colours.min() >= 0
