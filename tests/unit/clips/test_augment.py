from __future__ import annotations

import json
from typing import get_args

import numpy as np
import pytest
import torch
from clip_fakes import noise_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.clips import MODALITIES, PRESETS, Augment, ClipSpec, Sampling, check_flip, preset
from kinesphere.clips.augment.rand_augment import Operation, OperationName, draw_operations, movement, repaint
from kinesphere.clips.geometry import Affine, centre_box
from kinesphere.clips.modalities import rgb
from kinesphere.core.errors import InvalidSetting, UnknownName
from kinesphere.core.labels import LabelSet

SPEC = ClipSpec(Sampling.parse("4x1x1"), (20, 24))
STILL = PRESETS["none"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("crop", ["centre", "random", "random_resized", "multi_scale"])
@settings(max_examples=30)
@given(seed=st.integers(0, 9999))
def test_augmentation_is_pure_and_alike_in_all_frames(crop, seed):
    augment = Augment(crop=crop, hue=0.5, gamma=0.5, rand_augment=2, erase=0.5)
    clip = noise_clip((28, 40))
    before = clip.data.clone()
    once, again = (augment.apply(clip, SPEC, generator(seed)) for _ in range(2))
    assert torch.equal(clip.data, before)
    assert torch.equal(once.data, again.data)
    assert once.flipped == again.flipped
    assert once.data.shape == (4, 3, 20, 24)
    assert once.data.dtype == torch.uint8
    assert all(torch.equal(frame, once.data[0]) for frame in once.data)
    assert np.array_equal(once.times, clip.times)


def test_none_is_what_testing_does():
    clip = noise_clip((28, 40))
    assert torch.equal(
        STILL.apply(clip, SPEC, generator()).data, rgb.crop(clip, centre_box((28, 40), (20, 24))).data
    )


def test_flip_says_so():
    clip = noise_clip((20, 24))
    flipped = [
        Augment(crop="centre", brightness=0, contrast=0, saturation=0, hue=0).apply(clip, SPEC, g)
        for g in map(generator, range(20))
    ]
    assert {c.flipped for c in flipped} == {True, False}
    for result in flipped:
        assert torch.equal(result.data, clip.data.flip(3) if result.flipped else clip.data)


def test_what_is_drawn_serves_frames_of_several_sizes():
    drawn = Augment(flip=1.0).draw((28, 40), SPEC, generator())
    large = MODALITIES.get("rgb").augment(noise_clip((56, 80)), drawn, SPEC.with_(size=(40, 48)))
    assert large.frame_size == (40, 48)
    assert large.flipped


def test_the_box_about_the_people_is_cut_by_itself():
    augment, people = Augment(crop="random_resized", flip=0.5), SPEC.with_(size=(32, 32))
    boxes = set()
    for seed in range(20):
        whole = augment.draw((28, 40), SPEC, generator(seed))
        about = augment.on_people(whole, (50, 50), people, generator(seed + 100))
        assert about.geometry.frame_size == (50, 50)
        assert (about.geometry.flip, about.colour, about.joints) == (
            whole.geometry.flip, whole.colour, whole.joints,
        )  # fmt: skip
        boxes.add(about.geometry.box)
    assert len(boxes) > 15


def test_erased_boxes_have_the_mean_colour_and_the_area_asked_for():
    augment = Augment(
        crop="centre", flip=0, brightness=0, contrast=0, saturation=0, hue=0, erase=1.0, erase_area=(0.2, 0.3)
    )
    clip = noise_clip((200, 240))
    spec = SPEC.with_(size=(200, 240))
    for seed in range(10):
        result = augment.apply(clip, spec, generator(seed)).data
        grey = (result == rgb.mean_colour(spec)[0]).all(1)
        assert 0.19 < grey[0].float().mean() < 0.31


@pytest.mark.parametrize("name", get_args(OperationName))
def test_every_operation_changes_the_clip_and_identity_does_not(name):
    clip = noise_clip()
    dull = clip.with_data((clip.data // 2 + 40).to(torch.uint8))
    operations = (Operation(name, 0.8),)
    affine = movement(operations)
    painted = repaint(dull, operations)
    changed = affine is not None or not torch.equal(painted.data, dull.data)
    assert changed == (name != "identity")
    assert (affine is None) or torch.equal(painted.data, dull.data)


def test_operations_at_strength_zero_that_have_one_do_nothing():
    clip = noise_clip()
    for name in get_args(OperationName):
        operations = (Operation(name, 0.0),)
        assert movement(operations) is None
        if name not in ("autocontrast", "equalize"):
            assert torch.equal(repaint(clip, operations).data, clip.data)


def test_operations_are_drawn_alike_often_both_ways_and_add_up():
    drawn = draw_operations(2800, 0.5, generator())
    counts = [sum(op.name == name for op in drawn) for name in get_args(OperationName)]
    assert min(counts) > 140
    assert {op.strength for op in drawn} == {-0.5, 0.5}
    both = movement((Operation("rotate", 0.5), Operation("rotate", 0.5), Operation("shear_x", -1.0)))
    assert both == Affine(angle_deg=30.0, shear_x=-0.3)


def test_mixing():
    assert Augment().mixing(4, (SPEC,), generator()) is None
    assert Augment(mixup=1.0, mix=0.0).mixing(4, (SPEC,), generator()) is None
    assert Augment(mixup=1.0).mixing(4, (SPEC,), generator()).region is None
    both = [PRESETS["strong"].mixing(4, (SPEC,), generator(seed)).region is None for seed in range(30)]
    assert set(both) == {True, False}


def test_what_sees_joints_is_cut_in_time():
    pose = ClipSpec(
        Sampling.parse("uniform50"), (20, 24), "pose", skeleton="coco17", mean=(0.5,) * 2, std=(0.5,) * 2
    )
    for specs in ((pose,), (SPEC, pose)):
        mixing = Augment(cutmix=1.0).mixing(4, specs, generator())
        assert mixing.region is None
        assert mixing.stretch.length == 50
    assert Augment(cutmix=1.0).mixing(4, (SPEC,), generator()).stretch is None


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    augment = preset(name)
    assert Augment(**json.loads(augment.model_dump_json())) == augment
    assert Augment(**json.loads(augment.resolved().model_dump_json())) == augment


def test_standard_is_the_default():
    assert preset("standard") == Augment()
    assert Augment(speed_jitter=0.2).jitter.speed == 0.2


def test_unknown_names():
    with pytest.raises(UnknownName, match="choose one of none, light, standard, strong"):
        preset("heavy")
    with pytest.raises(InvalidSetting, match="no setting 'flop'; did you mean flip"):
        Augment(flop=1)
    with pytest.raises(InvalidSetting, match=r"flip: .* a valid number.*; got 'often'"):
        Augment(flip="often")
    with pytest.raises(InvalidSetting, match=r"crop_scale: .* a valid tuple; got 0\.5"):
        Augment(crop_scale=0.5)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"crop": "corner"}, "crop: Input should be 'centre', 'random'"),
        ({"crop_scales": ()}, "crop_scales: .* at least 1 item"),
        ({"crop_scales": (1.2,)}, r"crop_scales\.0: .* less than or equal to 1; got 1\.2"),
        ({"crop_scale": (0.0, 1.0)}, r"crop_scale\.0: .* greater than 0; got 0\.0"),
        ({"crop_scale": (0.5,)}, r"crop_scale\.1: Field required"),
        ({"rand_augment": 1.5}, "rand_augment: .* a valid integer"),
        ({"crop_scale": (0.8, 0.5)}, "crop_scale: it runs from a least to a largest"),
        ({"crop_ratio": (2.0, float("inf"))}, r"crop_ratio\.1: "),
        ({"erase_area": (0.1, 1.1)}, r"erase_area\.1: .* less than or equal to 1"),
        ({"flip": 1.5}, "flip: .* less than or equal to 1"),
        ({"saturation": -0.1}, "saturation: .* greater than or equal to 0"),
        ({"hue": 0.6}, r"hue: .* less than or equal to 0\.5"),
        ({"gamma": -1.0}, "gamma: .* greater than or equal to 0"),
        ({"mixup": -1.0}, "mixup: .* greater than or equal to 0"),
        ({"enlarge": 0.9}, "enlarge: .* greater than or equal to 1"),
        ({"still_mix": 1.5}, "still_mix: .* less than or equal to 1"),
        ({"still_weight": 1.0}, "still_weight: .* less than 1"),
        ({"background": ("grey",), "background_label": "area"}, r"background_label is of .*\[replace\]"),
        ({"speed_jitter": -1.0}, "speed_jitter: .* greater than or equal to 0"),
    ],
)
def test_settings_refused(changes, match):
    with pytest.raises(InvalidSetting, match=match):
        Augment(**changes)


def test_flips_of_sided_labels_need_a_mirror_pair():
    names = ("turn left", "turn right", "Left_arm_swing", "leftover", "walk")
    pairs = (("turn left", "turn right"),)
    with pytest.raises(
        InvalidSetting, match="'turn left', 'turn right', 'Left_arm_swing' into something else"
    ):
        check_flip(Augment(), LabelSet(names))
    with pytest.raises(InvalidSetting, match="A flip would turn 'Left_arm_swing' into"):
        check_flip(Augment(), LabelSet(names, pairs))
    check_flip(Augment(), LabelSet((*names[:2], "leftover"), pairs))
    check_flip(Augment(flip=0.0), LabelSet(names))
