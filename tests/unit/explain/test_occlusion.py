"""Occlusion of tubes, frames, regions, joints and limbs, and RISE."""

from __future__ import annotations

import pytest
import torch
from examples import recogniser_and_clips, scored_and_clips
from torch import Tensor, nn

from kinesphere.clips import ClipSpec, Sampling
from kinesphere.clips.skeleton import SKELETONS, Skeleton
from kinesphere.core.errors import InvalidSetting
from kinesphere.explain.method import METHODS, Settings
from kinesphere.explain.neutral import filled
from kinesphere.explain.target import Scored, Target

RGB = ClipSpec(Sampling("uniform", 8), size=(32, 32))


class Additive(nn.Module):
    """Logits that add up weighted pixels: what a part loses is known."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, x: Tensor) -> Tensor:
        score = (x * self.weights).flatten(1).sum(1)
        return torch.stack([score, -score, 0 * score], 1)


def additive(weights: Tensor) -> Scored:
    recogniser, _ = recogniser_and_clips("kine_tiny")
    recogniser.net = Additive(weights)
    return Scored(recogniser, Target(0))


def heat_of(method: str, scored: Scored, clips: tuple[Tensor, ...], settings: Settings) -> Tensor:
    (heat,) = METHODS.get(method).heat(scored, clips, settings)
    assert heat is not None
    return heat


def test_a_tube_loses_what_its_fill_changes():
    torch.manual_seed(0)
    clip, weights = torch.randn(2, 8, 3, 32, 32), torch.randn(1, 8, 3, 32, 32)
    heat = heat_of("occlusion", additive(weights), (clip,), Settings(tube=(4, 8, 16), batch=3))
    lost = ((clip - clip.mean(1, keepdim=True)) * weights).sum(2)
    expected = lost.unflatten(3, (2, 16)).unflatten(2, (4, 8)).unflatten(1, (2, 4)).sum((2, 4, 6))
    assert heat.shape == (2, 2, 4, 2)
    torch.testing.assert_close(heat, expected, rtol=1e-3, atol=1e-3)


def test_the_number_that_run_together_changes_nothing():
    scored, clips = scored_and_clips("kine_tiny")
    for method in ("occlusion", "frame_occlusion"):
        one, many = (heat_of(method, scored, clips, Settings(tube=(4, 16, 16), batch=b)) for b in (1, 16))
        torch.testing.assert_close(one, many, rtol=1e-4, atol=1e-5)


def test_as_many_altered_copies_run_together_as_asked_for():
    scored, clips = scored_and_clips("kine_tiny", batch=1)
    sizes: list[int] = []
    scored.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    heat_of("occlusion", scored, clips, Settings(tube=(4, 8, 8), batch=8))
    assert sizes == [1, 8, 8, 8, 8]  # the clip itself, and 2 x 4 x 4 tubes
    sizes.clear()
    heat_of("rise", scored, clips, Settings(masks=20, batch=8))
    assert sizes == [1, 8, 8, 4]


def test_tubes_of_clips_that_they_do_not_divide_tile_evenly():
    scored, clips = scored_and_clips("kine_tiny", batch=1)
    assert heat_of("occlusion", scored, clips, Settings(tube=(3, 20, 9), batch=16)).shape == (1, 3, 2, 4)


def test_frames_are_replaced_whole():
    torch.manual_seed(0)
    clip, weights = torch.randn(1, 8, 3, 32, 32), torch.randn(1, 8, 3, 32, 32)
    scored = additive(weights)
    mean = ((clip - clip.mean(1, keepdim=True)) * weights).flatten(2).sum(2)
    neighbour = ((clip - filled(clip, RGB, "neighbour")) * weights).flatten(2).sum(2)
    for method, settings in (("occlusion", Settings(units="frames")), ("frame_occlusion", Settings())):
        heat = heat_of(method, scored, (clip,), settings)
        assert heat.shape == (1, 8, 1, 1)
        torch.testing.assert_close(heat[..., 0, 0], mean, rtol=1e-3, atol=1e-3)
    heat = heat_of("frame_occlusion", scored, (clip,), Settings(fill="neighbour"))
    torch.testing.assert_close(heat[..., 0, 0], neighbour, rtol=1e-3, atol=1e-3)


def test_regions_are_taken_away_whole():
    torch.manual_seed(0)
    clip, weights = torch.randn(1, 8, 3, 32, 32), torch.randn(1, 8, 3, 32, 32)
    regions = torch.zeros(8, 32, 32, dtype=torch.int64)
    regions[:, 4:20, 6:12] = 1
    heat = heat_of("occlusion", additive(weights), (clip,), Settings(regions=regions))
    lost = ((clip - clip.mean(1, keepdim=True)) * weights).sum(2)[0]
    for number in (0, 1):
        values = heat[0][regions == number]
        assert values.eq(values[0]).all()
        torch.testing.assert_close(values[0], lost[regions == number].sum(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("regions", "said"),
    [
        (torch.zeros(8, 16, 16, dtype=torch.int64), r"Regions of \(8, 16, 16\) .* belong to no input"),
        (torch.full((8, 32, 32), -1), "Regions are whole numbers from 0"),
        (torch.zeros(8, 32, 32), "Regions are whole numbers from 0"),
    ],
)
def test_regions_that_do_not_fit_are_refused(regions, said):
    scored, clips = scored_and_clips("kine_tiny")
    with pytest.raises(InvalidSetting, match=said):
        heat_of("occlusion", scored, clips, Settings(regions=regions))


def test_settings_that_do_not_exist_are_refused():
    with pytest.raises(
        InvalidSetting, match="An explanation's fill is one of temporal_mean, blur, neighbour"
    ):
        Settings(fill="black")  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="An explanation's units is one of tubes, frames"):
        Settings(units="people")  # type: ignore[arg-type]


def test_fills():
    torch.manual_seed(0)
    clip = torch.randn(2, 4, 3, 32, 32) + 3
    assert filled(clip, RGB, "temporal_mean")[:, 2].equal(clip.mean(1))
    assert filled(clip, RGB, "neighbour")[:, [0, 3]].equal(clip[:, [1, 2]])
    blurred = filled(clip, RGB, "blur")
    assert blurred.std() < 0.2
    torch.testing.assert_close(blurred.mean(), clip.mean(), rtol=0.02, atol=0)
    assert filled(clip[:, :1], RGB, "temporal_mean").equal(blurred[:, :1])
    spec = recogniser_and_clips("stgcn_tiny")[0].specs[0]
    joints = torch.rand(1, 5, 1, 17, 3)
    joints[:, 4] = 0
    rest = filled(joints, spec, "blur")
    torch.testing.assert_close(rest[0, :4, :, :, :2], joints[0, :4, :, :, :2].mean(0).expand(4, 1, 17, 2))
    assert rest[:, 4].eq(0).all()
    assert rest[..., 2].equal(joints[..., 2])


def test_occluded_joints_go_to_where_they_rest():
    scored, (clip,) = scored_and_clips("stgcn_tiny", batch=1)
    heat = heat_of("occlusion", scored, (clip,), Settings(tube=(6, 1, 1), batch=16))
    altered = clip.clone()
    altered[:, 6:, 1, 9, :2] = clip[:, :, 1, 9, :2].mean(1, keepdim=True)
    with torch.no_grad():
        lost = scored(clip) - scored(altered)
    torch.testing.assert_close(heat[0, 6:, 1, 9], lost.expand(6), rtol=1e-3, atol=1e-5)


def test_occluded_limbs_go_to_where_they_rest():
    scored, (clip,) = scored_and_clips("stgcn_tiny", batch=1)
    heat = heat_of("limb_occlusion", scored, (clip,), Settings(tube=(12, 1, 1), batch=16))
    altered = clip.clone()
    for joint in SKELETONS.get("coco17").limbs["left_arm"]:
        altered[:, :, 0, joint, :2] = clip[:, :, 0, joint, :2].mean(1, keepdim=True)
    with torch.no_grad():
        lost = scored(clip) - scored(altered)
    arm = heat[0, :, 0, list(SKELETONS.get("coco17").limbs["left_arm"])]
    torch.testing.assert_close(arm, lost.expand_as(arm), rtol=1e-3, atol=1e-5)


def test_limbs_need_poses():
    recogniser, _ = recogniser_and_clips("kine_tiny")
    reason = METHODS.get("limb_occlusion").refusal(recogniser)
    assert reason == "limb_occlusion is for poses, and kine_tiny sees none; use occlusion."


def test_of_pixels_and_poses_limbs_say_nothing_of_pixels():
    scored, clips = scored_and_clips("rgbpose_late_tiny", batch=1)
    pixels, joints = METHODS.get("limb_occlusion").heat(scored, clips, Settings(tube=(8, 1, 1)))
    assert pixels is None
    assert joints is not None
    assert joints.shape == clips[1].shape[:-1]


@pytest.mark.parametrize("name", list(SKELETONS))
def test_every_joint_is_in_one_limb(name):
    skeleton = SKELETONS.get(name)
    assert sorted(joint for limb in skeleton.limbs.values() for joint in limb) == list(range(len(skeleton)))
    assert {"left_arm", "right_arm", "left_leg", "right_leg", "head", "trunk"} >= set(skeleton.limbs)
    assert skeleton.index("left_wrist") in skeleton.limbs["left_arm"]
    assert skeleton.index("right_knee") in skeleton.limbs["right_leg"]
    for limb, joints in skeleton.limbs.items():
        if limb.startswith(("left", "right")):
            assert all(skeleton.side(joint) == limb.split("_")[0] for joint in joints)


def test_joints_of_other_names_are_in_the_limb_that_they_hang_on():
    skeleton = Skeleton("toy", ("pelvis", "left_hip", "left_shin", "tail"), (-1, 0, 1, 0))
    assert skeleton.limbs == {"trunk": (0, 3), "left_leg": (1, 2)}


def test_rise_finds_what_adds_to_the_score_and_nothing_elsewhere():
    torch.manual_seed(0)
    clip = torch.randn(1, 8, 3, 32, 32)
    weights = torch.zeros(1, 8, 3, 32, 32)
    weights[:, 0:4, :, 0:8, 0:8] = clip[:, 0:4, :, 0:8, 0:8]
    heat = heat_of("rise", additive(weights), (clip,), Settings(masks=400, cells=(2, 4, 4), batch=50))
    assert heat.shape == (1, 8, 32, 32)
    assert heat[0, :4, :8, :8].mean() > 5 * heat[0, 4:].mean().abs()
    t, y, x = (int(i) for i in (heat[0] == heat.max()).nonzero()[0])
    assert t < 6
    assert max(y, x) < 12
    # A score that does not depend on the clip has no heat, however high it is.
    blind = additive(0 * weights)
    assert heat_of("rise", blind, (clip,), Settings(masks=20)).eq(0).all()


def test_rise_is_the_same_by_seed():
    scored, clips = scored_and_clips("stgcn_tiny", batch=1)
    first = heat_of("rise", scored, clips, Settings(masks=12))
    torch.manual_seed(5)
    assert heat_of("rise", scored, clips, Settings(masks=12)).equal(first)
    assert not heat_of("rise", scored, clips, Settings(masks=12, seed=1)).equal(first)
