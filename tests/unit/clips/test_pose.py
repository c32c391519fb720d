"""The pose modality: reading, geometry, alignment, augmentation, drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.clips import MODALITIES, Augment, Clip, ClipSpec, Sampling, Views, stack
from kinesphere.clips.augment.joints import PoseChange
from kinesphere.clips.augment.parameters import AugmentParameters
from kinesphere.clips.geometry import Affine, Box, Geometry, Size
from kinesphere.clips.modalities.pose import reader as pose_modality
from kinesphere.clips.modalities.pose.draw import draw_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.skeleton import COCO17, NTU25
from kinesphere.core.errors import InvalidAnnotation, InvalidClip, InvalidSetting, NobodySeen

SPEC = ClipSpec(
    Sampling.parse("4x1x1"), (56, 56), "pose", skeleton="coco17", people=2, mean=(0.5, 0.5), std=(0.5, 0.5)
)
SPACE = SPEC.with_(skeleton="ntu25", dimensions=3, mean=(0.0,) * 3, std=(1.0,) * 3)


@dataclass(frozen=True)
class Film:
    """A video that is never decoded, and its poses."""

    known: Poses
    size: Size = (120, 160)
    fps: Fraction | None = Fraction(10)
    duration_s: float | None = 2.0
    tolerance_s: float = 0.0
    source: str = "a film"

    def frame_times(self) -> np.ndarray:
        return np.arange(20) / 10

    def frames_at(self, times_s: np.ndarray, size: Size | None = None) -> None:  # type: ignore[override]
        raise AssertionError("poses need no frames")

    def beside(self, modality: str) -> Poses | None:
        return self.known if modality == "pose" else None


def people(count: int = 20, persons: int = 2, space: bool = False, fps: float = 10, seed: int = 0) -> Poses:
    generator = np.random.default_rng(seed)
    skeleton = NTU25 if space else COCO17
    start = generator.uniform(20, 100, (1, persons, len(skeleton), 3 if space else 2))
    step = generator.uniform(-1, 1, start.shape)
    times = np.arange(count) / fps
    return Poses(
        times,
        (start + 10 * step * times[:, None, None, None]).astype(np.float32) / (50 if space else 1),
        np.full((count, persons, len(skeleton)), 0.5, np.float32),
        np.arange(persons),
        skeleton.name,
        None if space else (120, 160),
        fps=fps,
    )


def clip_of(points: np.ndarray, size: Size = (120, 160), skeleton: str = "coco17") -> Clip:
    scores = np.ones((*points.shape[:-1], 1), np.float32)
    data = torch.from_numpy(np.concatenate([points.astype(np.float32), scores], -1))
    return Clip(data, np.arange(len(data)) / 10, size, "pose", skeleton=skeleton)


def random_clip(seed: int = 0, size: Size = (120, 160)) -> Clip:
    points = np.random.default_rng(seed).uniform(0, 100, (3, 2, 17, 2))
    clip = clip_of(points, size)
    clip.data[1, 0, 5] = 0  # not seen
    return clip


# ---------------------------------------------------------------------------------------------- reading


def test_read_gives_the_pose_of_the_frame_on_show() -> None:
    known = people()
    [clip] = MODALITIES.get("pose").read(Film(known), SPEC.with_(resize="stretch"))
    assert clip.data.shape == (4, 2, 17, 3)
    frames = np.round(clip.times * 10).astype(int)
    assert frames.tolist() == [8, 9, 10, 11]
    expected = (known.keypoints[frames] + 0.5) * np.array([56 / 160, 56 / 120]) - 0.5
    np.testing.assert_allclose(clip.data[..., :2], expected, atol=1e-4)
    assert (clip.data[..., 2] == 0.5).all()


def test_a_rate_of_the_specs_own_gives_the_joints_between_two_poses() -> None:
    known = people()
    spec = SPEC.with_(resize="stretch", fps=20.0)
    [clip] = MODALITIES.get("pose").read(Film(known), spec)
    np.testing.assert_allclose(clip.times * 10, [9.25, 9.75, 10.25, 10.75])
    share = np.array([0.25, 0.75, 0.25, 0.75])[:, None, None, None]
    before, after = known.keypoints[[9, 9, 10, 10]], known.keypoints[[10, 10, 11, 11]]
    expected = (before * (1 - share) + after * share + 0.5) * np.array([56 / 160, 56 / 120]) - 0.5
    np.testing.assert_allclose(clip.data[..., :2], expected, atol=1e-3)


@pytest.mark.parametrize("resize", ["short_side", "stretch", "letterbox", "people"])
@pytest.mark.parametrize("rate", [7, 10, 30])
def test_other_rates_and_resolutions_give_the_same_clip(resize: str, rate: int) -> None:
    spec = SPEC.with_(resize=resize)
    [reference] = pose_modality.read(Film(people()), spec)
    other = people(count=2 * rate, fps=rate).resized((240, 320))
    [clip] = pose_modality.read(Film(other), spec)
    np.testing.assert_allclose(clip.data, reference.data, atol=0.01)
    assert clip.frame_size == (56, 56)


def test_a_clip_changes_the_poses_around_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    as_asked = pose_modality._as_asked

    def counting(poses: Poses, video: Film, spec: ClipSpec) -> Poses:
        asked.append(len(poses))
        return as_asked(poses, video, spec)

    whole = people(20, persons=3)
    monkeypatch.setattr(pose_modality, "_as_asked", counting)
    (clip,) = pose_modality.read(Film(whole), SPEC, (0.5, 0.9))
    assert max(asked) <= 8
    (other,) = pose_modality.read(Film(whole[2:14]), SPEC, (0.5, 0.9))
    assert torch.equal(clip.data, other.data)


def test_fewer_people_than_places_leave_zeros_and_more_are_chosen_from() -> None:
    [clip] = pose_modality.read(Film(people(persons=1)), SPEC)
    assert clip.data[:, 0, :, 2].all()
    assert not clip.data[:, 1].any()
    crowd = people(persons=3)
    scores = crowd.scores.copy()
    scores[:, 1] = 0.1
    [clip] = pose_modality.read(Film(replace(crowd, scores=scores)), SPEC.with_(resize="stretch"))
    [first] = pose_modality.read(Film(crowd.select(np.array([0, 2]))), SPEC.with_(resize="stretch"))
    torch.testing.assert_close(clip.data, first.data)


def test_nobody_gives_zeros_and_says_so() -> None:
    with pytest.warns(NobodySeen, match=r": nobody is seen between 0.80 and 1.10 s; the clip is all zeros"):
        [clip] = pose_modality.read(Film(people(persons=0)), SPEC.with_(resize="people"))
    assert clip.data.shape == (4, 2, 17, 3)
    assert not clip.data.any()


def test_a_source_without_poses_is_refused() -> None:
    class Bare:
        size, fps, duration_s = (10, 10), Fraction(10), 1.0

        def frame_times(self) -> np.ndarray:
            return np.zeros(1)

        def frames_at(self, times_s: np.ndarray, size: Size | None = None) -> None:
            raise AssertionError

    with pytest.raises(InvalidAnnotation, match="source has none; run `kinesphere extract pose`"):
        pose_modality.read(Bare(), SPEC)  # type: ignore[arg-type]


def test_pixels_and_space_are_not_confused() -> None:
    with pytest.raises(InvalidAnnotation, match="hold pixels only"):
        pose_modality.read(Film(people()), SPACE)
    with pytest.raises(InvalidAnnotation, match="pixels are asked for"):
        pose_modality.read(Film(people(space=True)), SPEC)


def test_views_are_crops_and_mirror_images() -> None:
    spec = SPEC.with_(short_side_px=64)
    clips = pose_modality.read(Film(people()), spec, views=Views(2, 10))
    assert stack(clips).shape == (20, 4, 2, 17, 3)
    for plain, mirrored in zip(clips[:5], clips[5:10], strict=True):
        torch.testing.assert_close(pose_modality.flip(plain, spec).data, mirrored.data)
        assert mirrored.flipped
    corner, far = clips[0].data[..., :2], clips[3].data[..., :2]
    torch.testing.assert_close(corner - far, torch.tensor([85.0 - 56, 64.0 - 56]).expand_as(corner))
    with pytest.raises(InvalidSetting, match="need frames to crop, in testing; use 1x1"):
        pose_modality.read(Film(people()), spec, views=Views(1, 3), generator=torch.Generator())


def test_people_box_holds_everybody_in_its_middle() -> None:
    spec = SPEC.with_(resize="people")
    [clip] = pose_modality.read(Film(people()), spec)
    points = clip.data[clip.data[..., 2] > 0][:, :2]
    low, high = points.amin(0), points.amax(0)
    torch.testing.assert_close((low + high) / 2, torch.tensor([27.5, 27.5]), atol=0.6, rtol=0)
    assert float((high - low).max()) == pytest.approx(56 / 1.25, abs=1)


def test_training_reads_whole_pictures_that_augmentation_crops() -> None:
    generator = torch.Generator().manual_seed(0)
    [clip] = pose_modality.read(Film(people()), SPEC, generator=generator, enlarge=8 / 7)
    assert clip.frame_size == (64, 85)
    augmented = Augment(crop="random").apply(clip, SPEC, generator)
    assert augmented.frame_size == (56, 56)


def test_joints_in_space_stay_in_metres() -> None:
    known = people(space=True)
    [clip] = pose_modality.read(Film(known), SPACE)
    assert clip.data.shape == (4, 2, 25, 4)
    np.testing.assert_allclose(clip.data[..., :3], known.keypoints[8:12], atol=1e-6)
    augmented = Augment(flip=0.0).apply(clip, SPACE, torch.Generator().manual_seed(3))
    torch.testing.assert_close(augmented.data, clip.data)


# --------------------------------------------------------------------------------------------- geometry


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.integers(8, 300), st.integers(8, 300))
def test_flip_and_resize_commute_and_undo_themselves(seed: int, height: int, width: int) -> None:
    clip = random_clip(seed)
    one = pose_modality.flip(pose_modality.resize(clip, (height, width)), SPEC)
    other = pose_modality.resize(pose_modality.flip(clip, SPEC), (height, width))
    torch.testing.assert_close(one.data, other.data, atol=1e-3, rtol=1e-4)
    flipped = pose_modality.flip(clip, SPEC)
    back = pose_modality.resize(one, (120, 160))
    torch.testing.assert_close(back.data, flipped.data, atol=1e-2, rtol=1e-4)
    torch.testing.assert_close(pose_modality.flip(flipped, SPEC).data, clip.data, atol=1e-4, rtol=0)


def test_flip_exchanges_left_and_right_joints() -> None:
    points = np.zeros((1, 1, 17, 2))
    points[0, 0, COCO17.index("left_wrist")] = (10, 5)
    flipped = pose_modality.flip(clip_of(points), SPEC)
    assert flipped.data[0, 0, COCO17.index("right_wrist"), :2].tolist() == [149, 5]
    assert flipped.flipped
    space = clip_of(np.ones((1, 1, 25, 3)), skeleton="ntu25")
    assert pose_modality.flip(space, SPACE).data[0, 0, 0].tolist() == [-1, 1, 1, 1]


def test_geometry_moves_joints_as_it_moves_pixels() -> None:
    """A bright dot in a picture and a joint on it end at the same place."""
    picture = np.zeros((1, 120, 160, 3), np.uint8)
    picture[0, 60:63, 90:93] = 255
    rgb = Clip(torch.from_numpy(picture).permute(0, 3, 1, 2), np.zeros(1), (120, 160))
    joint = clip_of(np.full((1, 1, 17, 2), (91, 61)))
    geometry = Geometry((120, 160), Box(20, 40, 80, 100), flip=True, affine=Affine(angle_deg=20, shift_x=0.1))
    spec = ClipSpec(SPEC.sampling, (112, 112), mean=(0.0,) * 3, std=(1.0,) * 3)
    shown = (
        MODALITIES.get("rgb")
        .augment(rgb, AugmentParameters(geometry), spec)
        .frames()[0, ..., 0]
        .astype(float)
    )
    rows, columns = np.indices(shown.shape)
    centre = np.array([(columns * shown).sum(), (rows * shown).sum()]) / shown.sum()
    moved = (
        MODALITIES.get("pose")
        .augment(joint, AugmentParameters(geometry), SPEC.with_(size=(112, 112)))
        .data[0, 0, 0, :2]
        .numpy()
    )
    np.testing.assert_allclose(moved, centre, atol=0.15)


def test_unseen_joints_stay_zeros_and_boxes_stay_inside() -> None:
    clip = random_clip()
    geometry = Geometry((120, 160), Box(20, 40, 80, 100), flip=True, affine=Affine(shift_y=0.2))
    parameters = AugmentParameters(geometry, joints=PoseChange(turn_deg=(0, 0, 30), jitter=0.1))
    moved = MODALITIES.get("pose").augment(clip, parameters, SPEC)
    assert not moved.data[1, 0, COCO17.mirror[5]].any()
    with pytest.raises(InvalidClip, match="reaches outside the frame"):
        pose_modality.crop(clip, Box(0, 0, 200, 10))


# ------------------------------------------------------------------------------- normalising, aligning


def test_normalise_spreads_the_picture_from_minus_one_to_one() -> None:
    corners = np.array([[-0.5, -0.5], [55.5, 55.5], [27.5, 27.5]])
    points = np.resize(corners, (1, 1, 17, 2))
    clip = clip_of(points, (56, 56))
    values = pose_modality.normalise(clip.data[None, None], SPEC)
    assert values.shape == (1, 1, 1, 1, 17, 3)
    torch.testing.assert_close(
        values[..., :3, :2].flatten(0, -3)[0], torch.tensor([[-1.0, -1], [1, 1], [0, 0]])
    )
    assert pose_modality.normalise(clip.data, SPEC, torch.float16).dtype == torch.float16
    with pytest.raises(InvalidClip, match=r"floating point \(..., T, M, J, 4\); got torch.float32"):
        pose_modality.normalise(clip.data, SPACE)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99))
def test_aligned_bodies_do_not_depend_on_where_the_camera_stood(seed: int) -> None:
    generator = np.random.default_rng(seed)
    points = generator.normal(size=(2, 5, 2, 25, 3))
    turn, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    spec = SPACE.with_(align="body")
    ones = np.ones((2, 5, 2, 25, 1))

    def aligned(x: np.ndarray) -> torch.Tensor:
        return pose_modality.normalise(torch.from_numpy(np.concatenate([x, ones], -1)).float(), spec)

    one = aligned(points)
    torch.testing.assert_close(one, aligned(points + generator.normal(size=3)), atol=1e-4, rtol=1e-4)
    assert one[:, 0, 0, NTU25.index("spine"), :3].abs().max() < 1e-5
    across = one[:, 0, 0, NTU25.index("right_shoulder"), :3] - one[:, 0, 0, NTU25.index("left_shoulder"), :3]
    assert across[:, 1:].abs().max() < 1e-4
    assert (across[:, 0] > 0).all()
    lengths = torch.from_numpy(np.linalg.norm(points[:, :, 0, 0] - points[:, :, 1, 7], axis=-1)).float()
    torch.testing.assert_close(
        (one[:, :, 0, 0, :3] - one[:, :, 1, 7, :3]).norm(dim=-1), lengths, atol=1e-4, rtol=1e-4
    )
    # Distances stay under any camera; only the twist about the trunk may differ by the two-step turn.
    other = aligned(points @ turn.T)
    torch.testing.assert_close(
        other[:, 0, 0, 4:9:4, 0].diff(dim=1), one[:, 0, 0, 4:9:4, 0].diff(dim=1), atol=1e-3, rtol=1e-3
    )


def test_alignment_waits_for_the_first_person() -> None:
    points = torch.randn(1, 3, 1, 25, 4, generator=torch.Generator().manual_seed(0))
    points[..., 3] = 1
    points[:, 0, :, :, :] = 0
    values = pose_modality.normalise(points, SPACE.with_(align="centre"))
    assert not values[:, 0].any()
    assert values[:, 1, 0, NTU25.index("spine"), :3].abs().max() == 0
    nobody = torch.zeros(1, 3, 1, 25, 4)
    assert not pose_modality.normalise(nobody, SPACE.with_(align="body")).any()


def test_upside_down_bodies_are_turned_upright() -> None:
    points = torch.zeros(1, 1, 1, 25, 4)
    points[..., 3] = 1
    points[0, 0, 0, NTU25.index("pelvis"), 2] = 1
    points[0, 0, 0, NTU25.index("left_shoulder"), 0] = 1
    values = pose_modality.normalise(points, SPACE.with_(align="body"))
    assert values[0, 0, 0, NTU25.index("pelvis"), 2] == pytest.approx(-1)
    assert values[0, 0, 0, NTU25.index("left_shoulder"), 0] == pytest.approx(-1)


# ----------------------------------------------------------------------------------------- augmentation


def test_turn_and_scale_keep_shape_about_the_middle() -> None:
    clip = random_clip()
    seen = clip.data[..., 2] > 0
    turned = PoseChange(turn_deg=(50, 50, 90)).apply(clip)
    middle = clip.data[seen][:, :2].mean(0)
    torch.testing.assert_close(turned.data[seen][:, :2].mean(0), middle, atol=1e-3, rtol=0)
    offset = clip.data[..., :2] - middle
    expected = torch.stack([-offset[..., 1], offset[..., 0]], -1) + middle
    torch.testing.assert_close(turned.data[seen][:, :2], expected[seen], atol=1e-3, rtol=0)
    scaled = PoseChange(scale=(2, 1, 5)).apply(clip)
    torch.testing.assert_close(
        (scaled.data[..., 0] - middle[0])[seen], 2 * offset[..., 0][seen], atol=1e-3, rtol=0
    )


def test_turns_in_space_are_rotations() -> None:
    clip = clip_of(np.random.default_rng(0).normal(size=(2, 1, 25, 3)), skeleton="ntu25")
    turned = PoseChange(turn_deg=(20, -30, 70)).apply(clip)
    one, other = (torch.cdist(c.data[:, 0, :, :3], c.data[:, 0, :, :3]) for c in (clip, turned))
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(turned.data, clip.data)


def test_jitter_dropout_and_places() -> None:
    clip = clip_of(np.random.default_rng(0).uniform(0, 100, (8, 3, 17, 2)))
    noisy = PoseChange(jitter=0.02, seed=1).apply(clip)
    error = (noisy.data - clip.data)[..., :2]
    diagonal = float((clip.data[..., :2].amax(2) - clip.data[..., :2].amin(2)).norm(dim=-1).mean())
    assert float(error.std()) == pytest.approx(0.02 * diagonal, rel=0.15)
    sparse = PoseChange(dropout=0.5, seed=1).apply(clip)
    lost = sparse.data[..., 2] == 0
    assert (lost == lost[:1]).all()
    assert 0.3 < float(lost.float().mean()) < 0.7
    assert not sparse.data[lost].any()
    places = {
        tuple(PoseChange(shuffle=True, seed=s).apply(clip).data[0, :, 0, 0].tolist()) for s in range(40)
    }
    assert len(places) == 6
    assert PoseChange(seed=5).apply(clip) is clip
    nobody = replace(clip, data=torch.zeros_like(clip.data))
    assert PoseChange(turn_deg=(0, 0, 9), jitter=1.0).apply(nobody) is nobody


def test_augment_decides_from_its_generator_alone() -> None:
    augment = Augment(crop="centre", joint_turn_deg=15, joint_scale=0.1, joint_jitter=0.01, joint_dropout=0.1,
                      people_shuffle=0.5)  # fmt: skip
    clip = random_clip()
    one, other, third = (augment.apply(clip, SPEC, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    torch.testing.assert_close(one.data, other.data)
    assert not torch.equal(one.data, third.data)
    drawn = augment.draw((120, 160), SPEC, torch.Generator().manual_seed(1))
    assert max(map(abs, drawn.joints.turn_deg)) <= 15
    assert all(0.9 <= factor <= 1.1 for factor in drawn.joints.scale)


def test_joints_turn_about_each_axis_by_its_own() -> None:
    augment = Augment(joint_turn_deg=(0.0, 40.0, 5.0), trim=0.2)
    drawn = [
        augment.draw((120, 160), SPEC, torch.Generator().manual_seed(seed)).joints.turn_deg
        for seed in range(50)
    ]
    x, y, z = (max(map(abs, turns)) for turns in zip(*drawn, strict=True))
    assert x == 0
    assert 20 < y <= 40
    assert 2 < z <= 5
    assert Augment(**augment.model_dump(mode="json")) == augment
    assert augment.jitter.trim == 0.2
    for wrong in ((1.0, 2.0), (0.0, -1.0, 0.0), -1.0):
        with pytest.raises(InvalidSetting, match=r"joint_turn_deg[^;]*: .*; got"):
            Augment(joint_turn_deg=wrong)  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------- drawing


def test_draw_paints_limbs_in_the_colours_of_their_sides() -> None:
    frame = np.zeros((200, 200, 3), np.uint8)
    joints = np.zeros((1, 17, 3), np.float32)
    joints[0, COCO17.index("left_elbow")] = (150, 100, 1)
    joints[0, COCO17.index("left_wrist")] = (150, 160, 1)
    joints[0, COCO17.index("right_elbow")] = (50, 100, 0.1)
    joints[0, COCO17.index("right_wrist")] = (50, 160, 0.1)
    draw_poses(frame, joints, COCO17, threshold=0.3)
    red, _, blue = frame[130, 150].astype(int)
    assert red > 200 > blue
    assert not frame[:, :100].any()
    draw_poses(frame, joints, COCO17, tracks=np.array([3]), threshold=0.05)
    red, _, blue = frame[130, 50].astype(int)
    assert blue > 200 > red


def test_clips_are_drawn_in_pixels_and_in_space() -> None:
    draw = MODALITIES.get("pose").draw
    pictures = draw(random_clip())
    assert pictures.shape == (3, 120, 160, 3)
    assert pictures.any((1, 2, 3)).all()
    space = clip_of(np.random.default_rng(0).normal(size=(2, 1, 25, 3)), skeleton="ntu25")
    assert draw(space).shape == (2, 256, 256, 3)
    assert not draw(replace(space, data=torch.zeros_like(space.data))).any()
    far = clip_of(np.full((1, 1, 17, 2), math.pi * 1e6))
    assert draw(far).shape == (1, 120, 160, 3)


def test_contract_of_clip_and_spec() -> None:
    with pytest.raises(InvalidClip, match="A pose clip names its skeleton"):
        Clip(torch.zeros(1, 1, 17, 3), np.zeros(1), (10, 10), "pose")
    with pytest.raises(InvalidClip, match=r"\(T, M, J, 3\) or \(T, M, J, 4\)"):
        Clip(torch.zeros(1, 1, 17, 2), np.zeros(1), (10, 10), "pose", skeleton="coco17")
    with pytest.raises(InvalidSetting, match="has 2 coordinates; got mean"):
        SPEC.with_(mean=(0.5,) * 3, std=(0.5,) * 3)
    with pytest.raises(InvalidSetting, match="where joints are seen, and a clip of rgb has none"):
        ClipSpec(SPEC.sampling, (56, 56), resize="people")
    with pytest.raises(InvalidSetting, match="Only a pose clip has dimensions=3; this is rgb"):
        ClipSpec(SPEC.sampling, (56, 56), dimensions=3)
    with pytest.raises(InvalidSetting, match="Alignment is for joints in space"):
        SPEC.with_(align="body")
    with pytest.raises(InvalidSetting, match="dimensions is one of 2, 3; got 4"):
        SPEC.with_(dimensions=4)
    assert ClipSpec.from_json(SPACE.with_(align="body").to_json()) == SPACE.with_(align="body")
