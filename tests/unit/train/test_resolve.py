from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinesphere.clips.modalities.pose.file import write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.threads import UsableThreads
from kinesphere.data import Manifest, Sample
from kinesphere.train.recipe import Recipe
from kinesphere.train.resolve import default_model, extracts, read_data, resolve
from kinesphere.train.trainer import build_recogniser


def manifest(
    splits: tuple[str | None, ...] = (), groups: int = 0, labels: tuple[str, ...] = ("a", "b")
) -> Manifest:
    samples = tuple(
        Sample(
            f"{label}{i}", Path(f"{label}{i}.mp4"), (label,),
            group=f"g{i % groups}" if groups else None, split=splits[i % len(splits)] if splits else None,
        )
        for label in labels
        for i in range(20)
    )  # fmt: skip
    return Manifest(samples, LabelSet(labels), Path())


def recipe(*overrides: str) -> Recipe:
    return Recipe.build({"data": {"source": "x"}}).override("compute.device=cpu", *overrides)


def test_auto_holds_out_a_fifth_then_a_tenth_and_keeps_groups_whole() -> None:
    resolved, parts = resolve(recipe(), manifest(groups=10))
    assert parts.val is not None
    assert parts.test is not None
    assert (resolved.data.val, resolved.data.test) == (0.1, 0.2)
    assert len(parts.test) == 8
    assert len(parts.train) + len(parts.val) == 32
    groups = [set(part.groups) for part in (parts.train, parts.val, parts.test)]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]


def test_auto_takes_threads_by_the_work_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    usable = UsableThreads(64, stated=False)
    monkeypatch.setattr(UsableThreads, "here", lambda: usable)

    def threads(*overrides: str) -> object:
        return resolve(recipe("model.name=r3d_18", *overrides), manifest())[0].compute.threads

    assert threads("model.name=dd_net", "train.batch_size=4") == 1
    assert threads() == 64
    small = threads("train.batch_size=1", "clip.size=[56,56]", "clip.sampling=4x1x1")
    assert isinstance(small, int)
    assert 1 < small < 64
    assert threads("compute.processes=4") == 16
    assert threads("compute.threads=5") == 5
    with pytest.raises(InvalidSetting, match="greater than or equal to 1"):
        threads("compute.threads=0")


def test_auto_takes_the_datas_own_splits() -> None:
    resolved, parts = resolve(recipe(), manifest(("train", "valid", "test")))
    assert (resolved.data.val, resolved.data.test) == ("valid", "test")
    assert parts.test is not None
    assert {sample.split for sample in parts.test} == {"test"}
    resolved, parts = resolve(recipe(), manifest(("train", "other")))
    assert (resolved.data.val, resolved.data.test) == (0.1, 0.0)
    assert parts.test is None


def test_unused_samples_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "kinesphere.train"):
        resolve(recipe(), manifest(("train", "test", "train", "spare")))
    assert "10 of 40 samples are in other splits" in caplog.text


def test_resolving_twice_changes_nothing() -> None:
    data = manifest(groups=10)
    once, parts = resolve(recipe("augment.preset=strong", "out=runs/x"), data)
    twice, again = resolve(once, data)
    assert once.differences(twice) == []
    assert parts == again
    plain = once.to_dict()
    assert "auto" not in [value for section in plain.values() if isinstance(section, dict) for value in [
        v for k, v in section.items() if k != "workers"]]  # fmt: skip
    assert plain["augment"]["mixup"] == 0.8


@pytest.mark.parametrize(
    ("overrides", "splits", "message"),
    [
        (("data.val=test", "data.test=test"), ("train", "test"), "must be different splits"),
        (
            ("data.test=0.2",),
            ("train", "test"),
            "data.test is the fraction 0.2, but the data have a split 'test'; name that",
        ),
        (("data.val=0", "train.early_stopping=3"), (), "Early stopping needs validation"),
        (("compute.device=abacus",), (), "Unknown device 'abacus'"),
    ],
)
def test_contradictions(overrides: tuple[str, ...], splits: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        resolve(recipe(*overrides), manifest(splits))


def test_flips_need_mirror_pairs() -> None:
    data = manifest(labels=("turn left", "turn right"))
    with pytest.raises(InvalidSetting, match="mirror pair"):
        resolve(recipe(), data)
    paired = replace(data, labels=replace(data.labels, mirror=(("turn left", "turn right"),)))
    resolve(recipe(), paired)


def test_several_labels_choose_loss_and_score() -> None:
    data = manifest()
    multi = replace(data, labels=replace(data.labels, multi=True))
    resolved, _ = resolve(recipe(), multi)
    assert (resolved.loss.name, resolved.train.monitor) == ("bce", "macro_f1")


def test_sources_are_joined(tmp_path: Path) -> None:
    for name, label in (("one", "a"), ("two", "b")):
        (tmp_path / f"{name}.csv").write_text(f"path,label\nclip.mp4,{label}\n")
    joined = read_data(recipe(f"data.source=[{tmp_path}/one.csv, {tmp_path}/two.csv]").data)
    assert joined.labels.names == ("a", "b")
    assert len({sample.id for sample in joined}) == 2


def test_out_is_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "x-fc").mkdir(parents=True)
    resolved, _ = resolve(recipe("model.name=fc"), manifest())
    assert resolved.out == str(tmp_path / "runs" / "x-fc-2")


def test_extracted_files_lie_beside_the_videos_or_mirrored(tmp_path: Path) -> None:
    video, file = tmp_path / "data" / "a" / "b.mp4", tmp_path / "flow" / "a" / "b.mp4.x"
    assert extracts(recipe().data).path(video, ".x") == video.with_name("b.mp4.x")
    file.parent.mkdir(parents=True)
    file.touch()
    for source in (str(tmp_path / "data"), f"[{tmp_path}/data/a, {tmp_path}/other]"):
        data = recipe(f"data.source={source}", f"data.extracts={tmp_path / 'flow'}").data
        assert extracts(data).path(video, ".x") == file


def test_the_contract_follows_what_the_network_is_built_for() -> None:
    settings = recipe(
        "model={name: dd_net_tiny, arguments: {skeleton: kinect20}}", "clip={fps: 60, align: centre}"
    )
    (spec,) = build_recogniser(settings, manifest()).specs
    assert (spec.skeleton, spec.dimensions, spec.fps, spec.align) == ("kinect20", 3, 60, "centre")


def test_pose_files_get_the_model_for_their_joints(tmp_path: Path) -> None:
    (tmp_path / "broken.pose.npz").touch()
    shape = (8, 1, 20)
    poses = Poses(
        np.arange(8) / 30,
        np.ones((*shape, 3), np.float32),
        np.ones(shape, np.float32),
        np.zeros(1, np.int64),
        "kinect20",
        None,
        fps=30.0,
    )
    write_poses(poses, tmp_path / "good.pose.npz")
    table = tmp_path / "manifest.csv"
    table.write_text("path,label\nbroken.pose.npz,a\ngood.pose.npz,b\n")
    assert default_model(Manifest.read(table)) == ("dd_net", {"skeleton": "kinect20", "dimensions": 3})
    assert default_model(manifest()) == ("kine_small", {})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.freeze=layer9", "r3d_tiny has no stage 'layer9'; did you mean 'layer"),
        ("model.arguments={no_such: 1}", "r3d_tiny has no argument 'no_such'"),
    ],
)
def test_what_a_model_has_not_is_refused_before_the_data_are_divided(
    setting: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kinesphere.train.resolve.divide", lambda *given: pytest.fail("divided"))
    with pytest.raises(InvalidSetting, match=message):
        resolve(recipe("model.name=r3d_tiny", setting), manifest())


@pytest.mark.parametrize("loss", ["balanced_softmax", "logit_adjusted"])
def test_a_long_tail_is_made_up_for_once(loss: str) -> None:
    assert resolve(recipe(f"loss.name={loss}"), manifest())[0].loss.name == loss
    twice = rf"loss.name={loss} makes up for .* data.balance=sqrt does so again; keep one of them"
    with pytest.raises(InvalidSetting, match=twice):
        resolve(recipe(f"loss.name={loss}", "data.balance=sqrt"), manifest())
