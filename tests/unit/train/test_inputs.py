"""The contracts of a model's inputs with a recipe's changes."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinesphere.clips.augment.settings import Augment
from kinesphere.clips.modalities.flow.file import write_flow
from kinesphere.clips.modalities.mask.file import write_masks
from kinesphere.clips.modalities.pose.file import read_poses, write_poses
from kinesphere.clips.modalities.pose.poses import Extent, Poses
from kinesphere.clips.preparation import Preparation
from kinesphere.clips.sidecar import Extracts
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.data import Manifest, Sample
from kinesphere.models import card, create_model
from kinesphere.models.registry import MODELS
from kinesphere.train.inputs import check_augment, clip_specs, preparation_of
from kinesphere.train.recipe import Recipe


def changed(name: str, *overrides: str, **arguments: Any) -> tuple[ClipSpec, ...]:
    recipe = Recipe.build({"data": {"source": "x"}}).override(*overrides)
    specs = clip_specs(name, MODELS.get(name).specs(arguments), recipe.clip)
    assert specs is not None
    return specs


def test_one_input_takes_all_changes() -> None:
    own = card("r3d_18").inputs[0]
    assert clip_specs("r3d_18", [own], Recipe.build({"data": {"source": "x"}}).clip) is None
    (spec,) = changed("r3d_18", "clip.size=64", "clip.sampling=8x2x1", "clip.fps=15")
    assert (spec.size, str(spec.sampling), spec.fps, spec.mean) == ((64, 64), "8x2x1", 15.0, own.mean)
    assert spec.short_side_px == round((own.short_side_px or 0) * 64 / 112)
    assert changed("dd_net", "clip.people=2")[0].people == 2
    (spec,) = changed("posec3d_slowonly_resnet50", "clip.resize=short_side")
    assert spec.resize == "short_side"
    assert changed("dd_net", "clip.resize=people")[0].resize == "people"
    (spec,) = changed("r3d_18", "clip.resize=letterbox")
    assert (spec.resize, spec.short_side_px) == ("letterbox", None)


def test_each_kind_of_input_has_changes_of_its_own() -> None:
    pixels, flow = changed(
        "two_stream_i3d", "clip.size=96", "clip.rgb.size=112", "clip.flow.method=tvl1", "clip.sampling=16x1x1"
    )
    assert (pixels.size, flow.size) == ((112, 112), (96, 96))
    assert (pixels.flow, flow.flow) == ("dis", "tvl1")
    assert str(pixels.sampling) == str(flow.sampling) == "16x1x1"
    pixels, pose = changed("rgbpose_conv3d", "clip.rgb.sampling=uniform4", "clip.pose.sampling=uniform16")
    assert (str(pixels.sampling), str(pose.sampling)) == ("uniform4", "uniform16")
    (_, pose) = changed("rgbpose_conv3d", "clip.pose.resize=people")
    assert (pose.resize, pose.short_side_px) == ("people", None)


def test_a_bare_method_of_flow_stands_for_its_section() -> None:
    _, flow = changed("two_stream_i3d", "clip.flow=farneback")
    assert flow.flow == "farneback"
    before = {"data": {"source": "x"}, "clip": {"flow": None}}
    assert Recipe.build(before).clip == Recipe.build({"data": {"source": "x"}}).clip


def test_what_all_pictures_take_leaves_the_poses_beside_them() -> None:
    pixels, pose = changed("rgbpose_late", "clip.size=112", "clip.resize=stretch", "clip.fps=15")
    assert (pixels.size, pixels.short_side_px, pixels.resize, pixels.fps) == ((112, 112), 128, "stretch", 15)
    assert (pose.size, pose.resize, pose.fps) == ((64, 64), "people", 15)
    # Poses that are laid on the pixels are resized as these are.
    assert [spec.resize for spec in changed("rgbpose_conv3d", "clip.resize=stretch")] == ["stretch"] * 2
    pixels, pose = changed("rgbpose_late", "clip.resize=people", "clip.people=1")
    assert (pixels.resize, pose.resize, pose.people) == ("short_side", "people", 1)


@pytest.mark.parametrize(
    ("model", "override", "message"),
    [
        (
            "rgbpose_late",
            "clip.sampling=8x2x1",
            r"2 inputs that are sampled each in its own way; set clip.rgb.sampling and clip.pose.sampling in",
        ),
        ("r3d_18", "clip.flow=tvl1", r"r3d_18 does not look at flow; leave clip.flow out"),
        ("dd_net", "clip.rgb.size=8", r"dd_net does not look at pixels; leave clip.rgb out"),
        ("dd_net", "clip.align=body", r"does not look at joints in space; leave clip.align out"),
        ("r3d_18", "clip.people=2", r"r3d_18 does not look at poses; leave clip.people out"),
        ("r3d_18", "clip.resize=people", r"r3d_18 does not look at poses; leave clip.resize out"),
        ("two_stream_i3d", "clip.rgb.resize=people", "where joints are seen, and a clip of rgb has none"),
        ("rgbpose_late", "clip.pose.length=3", r"no setting 'clip.pose.length'"),
        ("two_stream_i3d", "clip.flow.metod=tvl1", r"'clip.flow.metod' \(did you mean clip.flow.method"),
    ],
)
def test_changes_without_a_meaning_are_refused(model: str, override: str, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        changed(model, override)


def built(name: str, *overrides: str, **arguments: Any) -> tuple[ClipSpec, ...]:
    spec = changed(name, *overrides, **arguments) if overrides else None
    return create_model(name, LabelSet(("a", "b")), spec=spec, arguments=arguments).specs


def test_networks_are_built_for_the_size_of_the_clips() -> None:
    for name in ("two_stream_tiny", "two_stream_fused_3d_tiny"):
        assert [(spec.size, spec.short_side_px) for spec in built(name, size_px=96)] == [((96, 96), 108)] * 2
    pixels, pose = built("rgbpose_conv3d_tiny", size_px=24)
    assert (pixels.size, pose.size, pose.short_side_px) == ((96, 96), (24, 24), 24)
    pixels, pose = built("rgbpose_late_tiny", "clip.size=48", size_px=24)
    assert (pixels.size, pose.size) == ((48, 48), (24, 24))
    with pytest.raises(InvalidSetting, match=r"exactly \(64, 64\) pixels; .* with its argument size_px"):
        built("two_stream_tiny", "clip.size=96")
    with pytest.raises(InvalidSetting, match=r"exactly \(16, 16\) pixels; got a spec of \(24, 24\)"):
        built("rgbpose_late_tiny", "clip.pose.size=24")
    for name, least in (("two_stream_tiny", 57), ("two_stream_fused_3d_tiny", 32)):
        with pytest.raises(InvalidSetting, match=f"takes frames of {least} px or more; got size_px=24"):
            built(name, size_px=24)


# --------------------------------------------------------------------------------- how files were made


@pytest.fixture
def samples(tmp_path: Path) -> Manifest:
    """Four samples; the pose file of the last is broken, and so is its flow."""
    for i in range(3):
        poses = Poses(
            np.arange(8) / 10,
            np.ones((8, 1, 17, 2), np.float32),
            np.ones((8, 1, 17), np.float32),
            np.zeros(1, np.int64),
            "coco17",
            (48, 64),
            fps=10.0,
            origin=f"MediaPipe 0.{i} pose_landmarker_lite",
            video=Extent(24, 0.8, 30.0),
            max_people=2,
        )
        write_poses(poses, tmp_path / f"{i}.mp4.pose.npz")
        size, fields = (24, 32), np.zeros((1, 24, 32, 2), np.float32)
        write_flow(
            tmp_path / f"{i}.mp4.flow.npz",
            fields,
            size=size,
            method="dis",
            bound_px=10.0,
            frames=2,
            video_size=(48, 64) if i else size,
        )
    for kind in ("pose", "flow"):
        (tmp_path / f"3.mp4.{kind}.npz").touch()
    rows = tuple(Sample(str(i), tmp_path / f"{i}.mp4", ("a",)) for i in range(4))
    return Manifest(rows, LabelSet(("a", "b")), tmp_path)


def test_files_tell_how_they_were_made(
    samples: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pose, flow = card("rgbpose_late").inputs[1], card("two_stream").inputs[1]
    with caplog.at_level(logging.WARNING, "kinesphere.train"):
        made = preparation_of(samples, [pose, flow], Extracts())
    assert made == Preparation("pose_landmarker_lite", 2, 10.0, 24, 10.0)
    assert caplog.text == ""
    assert preparation_of(samples, card("r3d_18").inputs, Extracts()) == Preparation()
    assert preparation_of(samples, [flow], Extracts(tmp_path / "elsewhere")) == Preparation()
    for i, name in ((0, "heavy"), (1, "full")):
        path = tmp_path / f"{i}.mp4.pose.npz"
        write_poses(replace(read_poses(path), origin=f"MediaPipe 0 pose_landmarker_{name}"), path)
    with caplog.at_level(logging.WARNING, "kinesphere.train"):
        preparation_of(samples, [pose], Extracts())
    assert "were made with different settings (poses); prediction follows most" in caplog.text


def test_cures_need_what_they_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    samples = tuple(Sample(str(i), tmp_path / f"{i}.mp4", ("a",)) for i in range(2))
    manifest = Manifest(samples, LabelSet(("a", "b")), tmp_path)
    poses, frames = (create_model(name, LabelSet(("a", "b"))) for name in ("dd_net", "kine_small"))
    pasted = Augment(background=("replace",), background_label="area")
    with pytest.raises(InvalidSetting, match=r"dd_net sees no pixels that stand still; leave augment\.still"):
        check_augment(Augment(still_mix=0.5), poses, manifest, Extracts())
    with pytest.raises(InvalidSetting, match=r"dd_net sees no background; leave augment\.back"):
        check_augment(pasted, poses, manifest, Extracts())
    with pytest.raises(InvalidSetting, match="needs masks, and none of the 2 training samples has them"):
        check_augment(pasted, frames, manifest, Extracts())
    write_masks(tmp_path / "1.mp4.mask.npz", np.zeros((3, 8, 8), np.uint8), size=(8, 8), origin="nobody")
    with caplog.at_level(logging.WARNING, "kinesphere.train"):
        check_augment(pasted, frames, manifest, Extracts())
    assert "Of 2 training samples, 1 have no masks" in caplog.text
    assert "0.mp4" in caplog.text
