from __future__ import annotations

import csv
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from kinesphere.clips.modalities.pose.file import read_poses
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, UnknownName
from kinesphere.data.catalogue import DATASETS
from kinesphere.data.manifest import Manifest
from kinesphere.synthetic import LABORATORY, generate_laboratory
from kinesphere.synthetic.body.body import forward_kinematics
from kinesphere.synthetic.body.performer import draw_performer
from kinesphere.synthetic.laboratory.acts import between, performed
from kinesphere.synthetic.laboratory.capture import capture_laboratory
from kinesphere.synthetic.laboratory.element_rules import ELEMENT_RULES, rules_met
from kinesphere.synthetic.laboratory.elements import ELEMENTS, plan_footage
from kinesphere.synthetic.laboratory.generate import placed_at
from kinesphere.synthetic.laboratory.plan import plan_laboratory, scaled, tendency
from kinesphere.synthetic.laboratory.rules import RULES, level_of
from kinesphere.synthetic.laboratory.scale import BASE_CLIPS, DIMENSIONS, TOGETHER, dimension
from kinesphere.synthetic.laboratory.twins import TWINS, plan_twins
from kinesphere.synthetic.settings import SPLITS

CLASSES = ("walk", "jump", "swing", "wave")
FEW = replace(
    LABORATORY, classes=CLASSES, performers=6, scenes=3, fps=8, duration_s=(1.0, 1.2), size=(32, 32)
)
TINY = 1e-3
LABELS = {each.label(level.name) for each in DIMENSIONS if each.base in CLASSES for level in each.levels}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate_laboratory(
        FEW, tmp_path_factory.mktemp("laboratory"), scale=TINY, joints_only=True, workers=1
    ).parent


def shown(name: str, value: float, seed: int) -> str:
    generator = np.random.default_rng([seed, *map(ord, name)])
    performer = draw_performer("somebody", generator)
    scale = dimension(name)
    movement = performed(scale.base, {name: value}, performer, 2.7, generator)
    times = np.arange(162) / 60
    onset = max(0.0, 2.7 - movement.duration_s) * generator.uniform()
    placed = forward_kinematics(performer.body, movement.pose(times - onset, performer.body))
    return level_of(name, placed, times)


@pytest.mark.parametrize("name", [each.name for each in DIMENSIONS])
def test_every_level_is_told_from_its_siblings_by_the_joints(name):
    for level in dimension(name).levels:
        for seed in range(2):
            assert shown(name, level.value, seed) == level.name


def test_the_scale_is_as_imbalanced_as_the_dance_study():
    assert len(BASE_CLIPS) == 9
    assert sum(BASE_CLIPS.values()) == 3900
    assert sum(each.clips for each in DIMENSIONS) == 4100
    assert [len(each.levels) for each in DIMENSIONS] == [3, 2, 2, 2, 3, 3, 3, 3, 4, 2, 2, 2]
    counts = [[level.clips for level in each.levels] for each in DIMENSIONS]
    ratios = [max(each) / min(each) for each in counts]
    assert {2.0, 3.0, 8.0} <= set(ratios)
    assert max(ratios) == 8.0
    assert {each.base for each in DIMENSIONS} == set(BASE_CLIPS)
    assert set(RULES) == {each.name for each in DIMENSIONS}
    with pytest.raises(UnknownName, match="no dimension 'flaw'; did you mean flow"):
        dimension("flaw")


def test_tables_hold_every_class_in_every_split_and_no_performer_in_two(made):
    base, evaluated = Manifest.read(made / "base.csv"), Manifest.read(made / "eval.csv")
    assert set(base.labels) == set(CLASSES)
    assert set(evaluated.labels) == LABELS
    assert len(base) == 3 * len(CLASSES)
    assert len(evaluated) == 3 * len(LABELS)
    whose: dict[str | None, set[str | None]] = {}
    for sample in (*base, *evaluated):
        assert sample.path.is_file()
        whose.setdefault(sample.group, set()).add(sample.split)
    assert all(len(splits) == 1 for splits in whose.values())
    assert set.union(*whose.values()) == set(SPLITS)
    for row in table(made / "eval.csv"):
        scale = dimension(row["dimension"])
        assert row["label"] == f"{row['parent']} {row['level']}"
        assert row["parent"] == scale.base
        assert float(row["grade"]) == pytest.approx(scale.grade(row["level"]), abs=1e-3)
        assert np.isfinite(float(row["measured"]))


def test_two_movements_at_once_are_two_labels(made):
    together = Manifest.read(made / "together.csv")
    assert together.labels.multi
    assert {sample.labels for sample in together} == {("walk",), ("wave",), ("walk", "wave")}
    assert {sample.labels for sample in together} < set(TOGETHER)


def test_a_profile_stands_for_every_performer_and_dimension(made):
    rows = table(made / "profiles.csv")
    clips = table(made / "eval.csv")
    assert sum(int(row["clips"]) for row in rows) == len(clips)
    for row in rows[:12]:
        own = [
            float(clip["grade"])
            for clip in clips
            if clip["performer"] == row["performer"] and clip["dimension"] == row["dimension"]
        ]
        assert row["grade"] == (f"{np.mean(own):.3f}" if own else "")


def test_performers_do_what_they_are_inclined_to():
    clips = [clip for clip in plan_laboratory(LABORATORY, 0.2, 0) if clip.dimension == "kinesphere"]
    scale = dimension("kinesphere")
    inclined = [tendency(LABORATORY, clip.performer, "kinesphere") for clip in clips]
    assert np.corrcoef(inclined, [scale.grade(clip.level) for clip in clips])[0, 1] > 0.5
    counts = [sum(clip.level == level.name for clip in clips) for level in scale.levels]
    assert counts == [sum(scaled(level.clips, 0.2, LABORATORY).values()) for level in scale.levels]


def test_an_interrupted_run_goes_on_to_the_same_bytes(made, tmp_path):
    files = sorted(path for path in made.rglob("*") if path.is_file())
    before = {path: path.read_bytes() for path in files if path.suffix != ".npz"}
    lost = next(path for path in files if path.suffix == ".npz")
    poses = lost.read_bytes()
    kept = next(path for path in reversed(files) if path.suffix == ".npz")
    written_ns = kept.stat().st_mtime_ns
    lost.unlink()
    (made / "eval.csv").unlink()
    generate_laboratory(FEW, made, scale=TINY, joints_only=True, workers=1)
    assert {path: path.read_bytes() for path in before} == before
    assert lost.read_bytes() == poses
    assert kept.stat().st_mtime_ns == written_ns
    with pytest.raises(InvalidSetting, match="written with other settings"):
        generate_laboratory(FEW, made, scale=0.5, joints_only=True, workers=1)
    with pytest.raises(InvalidSetting, match=r"scale of a laboratory lies above 0 .* got 0"):
        generate_laboratory(FEW, tmp_path, scale=0.0)
    with pytest.raises(InvalidSetting, match=r"base movements balance, clap.*; got punch"):
        generate_laboratory(replace(FEW, classes=("walk", "punch")), tmp_path)


def test_joints_are_seen_by_a_camera_that_stands_still(made):
    row = next(row for row in table(made / "base.csv") if row["label"] == "walk")
    poses = read_poses(made / row["path"])
    assert poses.keypoints.shape[1:] == (1, 17, 2)
    assert poses.frame_size == FEW.size
    assert len(poses.times) == round(float(row["duration"]) * FEW.fps)


@pytest.mark.parametrize("name", ELEMENTS)
def test_footage_of_an_element_meets_its_rules_and_not_all_others(name):
    own = set(ELEMENTS[name].acts)
    for shot in [each for each in plan_footage(LABORATORY, 2, 14.0, 0) if each.label == name]:
        met = set(rules_met(*placed_at(shot.figure(LABORATORY), shot.duration_s, 30.0)))
        assert own <= met
        assert len(met - own) <= 3
    assert own <= set(ELEMENT_RULES)


def test_what_is_not_evaluated_lies_between_its_levels():
    assert between("jump") == {"emphasis": 0.5, "time in the air": 0.5}
    assert between("swing")["flow"] == dimension("flow").between


@pytest.mark.slow
def test_an_eighth_is_filmed(tmp_path):
    few = replace(FEW, classes=("jump",), duration_s=(0.5, 0.5))
    generate_laboratory(few, tmp_path, scale=TINY, workers=1)
    for name in ("base_rgb", "eval_rgb", "footage_rgb", "base_scenes_rgb", "base_cameras_rgb"):
        assert all((tmp_path / row["path"]).is_file() for row in table(tmp_path / f"{name}.csv"))
    poses, videos = table(tmp_path / "base.csv"), table(tmp_path / "base_rgb.csv")
    assert {row["id"] for row in videos} <= {row["id"] for row in poses}


def test_captured_motion_gives_the_same_tables(tmp_path):
    source = DATASETS.get("laban_effort").write_example(tmp_path / "bvh")
    done = capture_laboratory("laban_effort", source, tmp_path / "out", views_deg=(0.0, 45.0))
    assert (done.clips, done.skipped) == (4, ())
    base, evaluated = Manifest.read(done.base), table(done.evaluations)
    assert set(base.labels) == {"walking", "pointing"}
    assert len(evaluated) == 4 * 4
    assert {row["dimension"] for row in evaluated} == {"space", "weight", "time", "flow"}
    assert all(row["label"] == f"{row['dimension']} {row['level']}" for row in evaluated)
    splits = {sample.id: sample.split for sample in base}
    assert all(row["split"] == splits[row["id"].rsplit(" ", 1)[0]] for row in evaluated)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "poses").iterdir()}
    capture_laboratory("laban_effort", source, tmp_path / "out", views_deg=(0.0, 45.0))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with pytest.raises(InvalidSetting, match="written with other settings"):
        capture_laboratory("laban_effort", source, tmp_path / "out")
    with pytest.raises(InvalidSetting, match=r"needs a set of motion capture .* which holds skeletons"):
        capture_laboratory("jhmdb", source, tmp_path / "more")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidAnnotation, match=r"holds no motion of .* with an evaluation"):
        capture_laboratory("laban_effort", tmp_path / "empty", tmp_path / "none")


def test_twins_repeat_what_tests_with_one_thing_changed(made):
    clips = plan_laboratory(FEW, TINY, 1)
    tested = {clip.id: clip for clip in clips if clip.table == "base" and clip.split == "test"}
    known = FEW.pool("train", FEW.performers), FEW.pool("train", FEW.scenes)
    twins = plan_twins(clips, FEW)
    assert {twin.table for twin in twins} == set(TWINS)
    for twin in twins:
        clip = tested[twin.twin_of]
        changed = {f.name for f in fields(clip) if getattr(clip, f.name) != getattr(twin, f.name)}
        own = {"base_performers": "performer", "base_scenes": "scene", "base_cameras": "azimuth_deg"}[
            twin.table
        ]
        assert changed - {"posed"} == {"id", "table", "twin_of", own}
        if own == "azimuth_deg":
            assert FEW.view_deg <= abs(twin.azimuth_deg) <= 180
        else:
            assert getattr(twin, own) in known[own == "scene"]
    assert len({twin.id for twin in twins} | {clip.id for clip in clips}) == len(twins) + len(clips)
    assert not [
        twin for twin in plan_twins(clips, replace(FEW, view_deg=180)) if twin.table == "base_cameras"
    ]
    for name in ("base_performers", "base_cameras"):
        rows = table(made / f"{name}.csv")
        assert {row["id"] for row in rows} == set(tested)
        assert all((made / row["path"]).is_file() for row in rows)
    assert not (made / "base_scenes.csv").exists()


def test_how_far_hands_reach_goes_with_neither_element_nor_performer():
    footage = plan_footage(LABORATORY, 12, 4.0, 2)
    for part in (footage, [shot for shot in footage if shot.filmed]):
        counted = Counter((shot.label, shot.kinesphere) for shot in part)
        assert len(set(counted.values())) == 1
        whose: dict[int, set[str]] = {}
        for shot in part:
            whose.setdefault(shot.performer, set()).add(shot.kinesphere)
        assert all(len(reaches) == 3 for reaches in whose.values())
