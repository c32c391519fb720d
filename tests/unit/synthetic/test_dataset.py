from __future__ import annotations

import csv
import dataclasses
import hashlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from kinesphere.clips import ClipSpec, Sampling
from kinesphere.clips.modalities.flow.file import FlowFile
from kinesphere.clips.sidecar import Extracts
from kinesphere.core.errors import InvalidManifest, InvalidSetting, UnknownName
from kinesphere.data import ClipDataset, Item, Manifest, Opening
from kinesphere.synthetic import (
    MannequinSettings,
    generate,
    generate_recordings,
    load_ground_truth,
    plan_clip,
    plan_clips,
    render_clip,
)
from kinesphere.synthetic.dataset import COLUMNS, claim
from kinesphere.synthetic.render.ground_truth import save_ground_truth
from kinesphere.video import Video

TINY = MannequinSettings(
    classes=("clap", "fall", "get up"),
    clips_per_class=3,
    splits=(0.34, 0.33, 0.33),
    size=(48, 64),
    fps=8,
    duration_s=(1.0, 1.0),
    performers=3,
    scenes=3,
)


def digests(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return generate(TINY, tmp_path_factory.mktemp("set"), workers=1)


def test_the_manifest_reads_back_with_splits_groups_and_grades(made):
    manifest = Manifest.read(made)
    assert list(manifest.labels) == ["clap", "fall", "get up"]
    assert len(manifest) == 9
    assert set(manifest.splits) == {"train", "val", "test"}
    table = rows(made)
    assert tuple(table[0]) == COLUMNS
    fall = next(row for row in table if row["label"] == "fall")
    assert fall["end_position"] in ("sitting", "lying")
    assert 0 <= float(fall["end_position_value"]) <= 1
    assert fall["strength"] == fall["strength_value"] == ""
    assert all(not row["end_position"] for row in table if row["label"] == "get up")


def test_no_performer_and_no_scene_straddles_splits(made):
    table = rows(made)
    for column in ("performer", "scene"):
        homes = {(row[column], row["split"]) for row in table}
        assert len({name for name, _ in homes}) == len(homes)


def test_videos_show_what_the_truth_says(made):
    with Video.open(made.parent / rows(made)[0]["path"]) as video:
        assert video.size == (48, 64)
        times = video.frame_times()
    np.testing.assert_allclose(times, np.arange(8) / 8, atol=1e-3)
    plan = next(plan_clips(TINY))
    truth, drawn = (
        load_ground_truth(made.parent / "truth" / f"{plan.id}.npz"),
        render_clip(plan, TINY).ground_truth,
    )
    np.testing.assert_array_equal(truth.mask, drawn.mask)
    np.testing.assert_array_equal(truth.joints2d, drawn.joints2d)
    np.testing.assert_array_equal(truth.boxes, drawn.boxes)


@pytest.mark.parametrize("train", [True, False])
def test_true_inputs_are_read_by_models(tmp_path, train):
    settings = dataclasses.replace(TINY, classes=("clap",), splits=(1.0, 0.0, 0.0), flow=True)
    path = generate(dataclasses.replace(settings, clips_per_class=1), tmp_path, workers=1)
    truth = load_ground_truth(next((tmp_path / "truth").glob("*.npz")))
    extracts = Extracts(tmp_path / "truth", tmp_path)
    manifest = Manifest.read(path)
    frames = Sampling.parse("8x1x1")

    def clip(modality: str, **settings):
        spec = ClipSpec(frames, (48, 64), modality, resize="stretch", **settings)
        item = ClipDataset(manifest, spec, train=train, opening=Opening(extracts))[0]
        assert isinstance(item, Item), item
        return item.inputs[0][0].numpy()

    joints = clip("pose", mean=(0.5,) * 2, std=(0.5,) * 2, skeleton="coco17")[:, 0]
    np.testing.assert_allclose(joints, truth.joints2d[:, 0], atol=1 / 32)
    masks = clip("mask", mean=(0.5,), std=(0.5,))[:, 0] > 127
    assert (masks & truth.mask[:, 0]).sum() > 0.9 * (masks | truth.mask[:, 0]).sum()
    fields = clip("flow", mean=(0.0,) * 2, std=(1.0,) * 2)
    assert np.abs(fields - truth.flow).mean() < 0.05 + 0.05 * np.abs(truth.flow).mean()
    tvl1 = clip("flow", mean=(0.0,) * 2, std=(1.0,) * 2, flow="tvl1")
    np.testing.assert_array_equal(tvl1, fields)
    video = manifest[0].path
    assert FlowFile.open(extracts.path(video, ".flow.npz")).method == "truth"
    assert FlowFile.open(extracts.path(video, ".flow.npz")).clipped == 0


def test_flow_is_kept_to_a_part_of_a_pixel_and_changes_no_picture(tmp_path):
    settings = dataclasses.replace(TINY, flow=True)
    plan = next(plan_clips(TINY))
    moving, plain = render_clip(plan, settings), render_clip(plan, TINY)
    np.testing.assert_array_equal(moving.frames, plain.frames)
    save_ground_truth(moving.ground_truth, tmp_path / "x.npz")
    kept = load_ground_truth(tmp_path / "x.npz").flow
    np.testing.assert_allclose(kept, moving.ground_truth.flow, atol=1 / 64)
    assert plain.ground_truth.flow is None


def test_sets_from_before_there_was_flow_go_on():
    assert "flow" not in TINY.plain()
    assert dataclasses.replace(TINY, flow=True).plain()["flow"]
    assert TINY.fingerprint() != dataclasses.replace(TINY, flow=True).fingerprint()


def test_bytes_do_not_depend_on_the_number_of_workers(made, tmp_path):
    generate(TINY, tmp_path / "two", workers=2)
    assert digests(tmp_path / "two") == digests(made.parent)


def test_finished_videos_are_kept_and_lost_ones_made_again(made, tmp_path):
    seen: list[tuple[int, int]] = []
    folder = tmp_path / "set"
    path = generate(TINY, folder, workers=1)
    before = digests(folder)
    videos = sorted((folder / "videos").iterdir())
    videos[0].unlink()
    (folder / "truth" / "videos" / f"{videos[2].name}.mask.npz").unlink()
    kept = videos[1].stat().st_mtime_ns
    generate(TINY, folder, workers=1, progress=lambda done, total: seen.append((done, total)))
    assert digests(folder) == before
    assert videos[1].stat().st_mtime_ns == kept
    assert seen[-1] == (9, 9)
    assert path == folder / "manifest.csv"


def test_what_killed_processes_left_goes(tmp_path):
    left = [tmp_path / place / ".kinesphere-left" for place in ("", "videos", "poses", "tracks/a/gt")]
    for each in left:
        each.mkdir(parents=True)
    claim(tmp_path, "people", TINY)
    assert not [each for each in left if each.exists()]


def test_a_folder_with_another_set_is_refused(made, tmp_path):
    with pytest.raises(InvalidSetting, match="written with other settings"):
        generate(dataclasses.replace(TINY, seed=1), made.parent, workers=1)
    (tmp_path / "manifest.csv").write_text("path,label\n")
    with pytest.raises(InvalidSetting, match=r"exists, but settings\.json does not say how it was made"):
        generate(TINY, tmp_path, workers=1)
    with pytest.raises(InvalidSetting, match="At least one worker"):
        generate(TINY, tmp_path / "new", workers=0)


def test_recordings_carry_timed_annotations(tmp_path):
    small = MannequinSettings(
        classes=("sit down", "walk", "clap"),
        size=(48, 64),
        fps=6,
        performers=3,
        scenes=3,
        splits=(0.5, 0.0, 0.5),
    )
    path = generate_recordings(small, tmp_path, count=2, movements=3, workers=1)
    manifest = Manifest.read(path)
    by_video: dict[Path, list[tuple[float, float]]] = {}
    for sample in manifest:
        assert sample.span is not None
        by_video.setdefault(sample.path, []).append(sample.span)
    assert len(by_video) == 2
    for video_path, spans in by_video.items():
        assert len(spans) >= 3
        assert all(a[1] < b[0] for a, b in pairwise(spans))
        with Video.open(video_path) as video:
            assert video.duration_s is not None
            assert spans[-1][1] <= video.duration_s + 0.2
    labels = [sample.labels[0] for sample in manifest]
    for i, label in enumerate(labels):
        if label == "sit down":
            assert labels[i + 1] == "stand up"
    with pytest.raises(InvalidSetting, match="count and movements of at least 1"):
        generate_recordings(small, tmp_path / "none", count=0)


def test_background_correlation_binds_scene_kinds_to_classes():
    def shares(**settings: float) -> tuple[float, float]:
        plans = list(plan_clips(MannequinSettings(clips_per_class=40, scenes=60, **settings)))
        kinds: dict[str, dict[str, set[int]]] = {"train": {}, "test": {}}
        for plan in plans:
            if plan.split in kinds:
                kinds[plan.split].setdefault(plan.label, set()).add(plan.scene % 10)
        return tuple(float(np.mean([len(k) for k in kinds[s].values()])) for s in ("train", "test"))

    assert shares(background_correlation=1.0)[0] == 1
    assert shares(background_correlation=1.0)[1] > 3
    assert shares()[0] > 6
    assert shares(test_background_correlation=1.0)[1] == 1


def test_imbalance_thins_the_later_classes_of_the_training_split():
    settings = MannequinSettings(clips_per_class=100, imbalance=10)
    counts = [settings.clip_count(label, "train") for label in settings.classes]
    assert counts[0] == 70
    assert counts[-1] == 7
    assert counts == sorted(counts, reverse=True)
    assert {settings.clip_count(label, "test") for label in settings.classes} == {20}


def test_more_clips_leave_the_first_ones_unchanged():
    few, many = MannequinSettings(clips_per_class=10), MannequinSettings(clips_per_class=20)
    later = {plan.id: plan for plan in plan_clips(many)}
    assert all(later[plan.id] == plan for plan in plan_clips(few))


def test_pools_partition_performers():
    settings = MannequinSettings(performers=7)
    pools = [set(settings.pool(split, 7)) for split in ("train", "val", "test")]
    assert set.union(*pools) == set(range(7))
    assert sum(map(len, pools)) == 7
    assert all(pools)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ()}, "'classes' must be one or more different movements"),
        ({"clips_per_class": 0}, "'clips_per_class' must be at least 1; got 0"),
        ({"imbalance": 0.5}, "'imbalance' must be 1"),
        ({"splits": (0.5, 0.1, 0.1)}, "'splits' must be three fractions that sum to 1"),
        ({"size": (16, 16)}, "'size' must be"),
        ({"fps": 0}, "'fps' must be from 1 to 120"),
        ({"duration_s": (3.0, 2.0)}, "'duration_s' must be"),
        ({"performers": 2}, "'performers' must be at least one for each of the 3 splits"),
        ({"scenes": 1}, "'scenes' must be at least one"),
        ({"background_correlation": 1.5}, "'background_correlation' must be a probability"),
        ({"view_deg": 200}, "'view_deg' must be"),
        ({"elevation_deg": (30, 10)}, "'elevation_deg' must be"),
        ({"shake": -1}, "'shake' must be"),
        ({"shutter": 2}, "'shutter' must be"),
        ({"noise": 100}, "'noise' must be"),
        ({"crf": 60}, "'crf' must be from 0 to 51"),
        ({"flow": True, "truth": False}, "'flow' must be False where 'truth' is"),
        ({"seed": -1}, "'seed' must be"),
    ],
)
def test_wrong_settings_are_named(change, message):
    with pytest.raises(InvalidSetting, match=message):
        MannequinSettings(**change)


def test_plans_exist_for_the_sets_own_classes_only():
    with pytest.raises(InvalidSetting, match="no video of class 'kick' in split 'train'"):
        plan_clip(TINY, "kick", "train", 0)


def test_unknown_classes_get_a_hint():
    with pytest.raises(UnknownName, match="did you mean"):
        MannequinSettings(classes=("clapp",))


def test_a_damaged_truth_file_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(InvalidManifest, match="not the ground-truth file"):
        load_ground_truth(path)
