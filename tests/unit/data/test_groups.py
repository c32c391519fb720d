"""Groups that names and files tell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kinesphere.core.errors import InvalidSetting
from kinesphere.data import Manifest, holdout, kfold
from kinesphere.train.splits_csv import SplitTable


@pytest.mark.parametrize(
    ("name", "label", "group"),
    [
        ("S001C002P003R002A013.skeleton.pose.npz", "A013", "P003"),
        ("S001C002P003R002A013_rgb.avi", "x", "P003"),
        ("v_ApplyEyeMakeup_g07_c01.avi", "ApplyEyeMakeup", "ApplyEyeMakeup_g07"),
        ("v_shooting_01_02.mpg", "shooting", "shooting_01"),
        ("April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "brush_hair", "April_09"),
        ("April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "brush hair", "April_09"),
        ("person01_boxing_d1_uncomp.avi", "boxing", "person01"),
        ("a01_s05_e02_sdepth.avi", "x", "s05"),
        ("a1_s2_t3_color.avi", "x", "s2"),
        ("P03_cam01_P03_cereals.avi", "x", "P03"),
        ("yHdeyJ4g0_0_000010_000020.mp4", "x", "yHdeyJ4g0_0"),
        ("lesson_0001_0010.mp4", "x", "lesson"),
        ("lesson-part02.mp4", "x", "lesson"),
        ("LessonPart2.mp4", "x", "Lesson"),
        ("lesson1part2.mp4", "x", "lesson1"),
        ("jump_clip02.mp4", "jump", None),
        ("haircut_01.mp4", "haircut", None),
        ("long_shot_03.mp4", "long_shot", None),
        ("goal-shot12.mp4", "goal shot", None),
        ("screenshot_01.mp4", "x", None),
        ("videoclip1.mp4", "x", None),
        ("fall_010_020.mp4", "fall", None),
        ("take_1.mp4", "x", None),
        ("IMG_0001.mp4", "x", None),
        ("VID_20240101_123456.mp4", "x", None),
        ("lesson_0010_0001.mp4", "x", None),
        ("0001.mp4", "x", None),
    ],
)
def test_names(name: str, label: str, group: str | None) -> None:
    from kinesphere.data.groups import group_of_name

    found = group_of_name(Path(name), label)
    assert (found and found[0]) == group


def test_every_rule_fits_its_example() -> None:
    from kinesphere.data.groups import NAME_RULES, group_of_name

    for rule in NAME_RULES:
        found = group_of_name(Path(f"{rule.example}.avi"), "x")
        assert found is not None
        assert found[1] is rule


def test_two_numbers_that_are_no_range_in_other_names_give_no_group(tmp_path: Path) -> None:
    for label in ("jump", "walk"):
        (tmp_path / label).mkdir()
        for subject in range(1, 5):
            for take in range(1, 4):
                (tmp_path / label / f"subject_{subject:03}_{take:03}.mp4").write_bytes(b"x")
                (tmp_path / label / f"lesson_{subject}000_{subject}100.mp4").write_bytes(b"x")
    manifest = Manifest.read(tmp_path)
    assert {sample.group for sample in manifest if "subject" in sample.id} == {None}
    assert {sample.group for sample in manifest if "lesson" in sample.id} == {"lesson"}


def test_classes_that_lie_in_one_group_tell_where_it_comes_from(tmp_path: Path) -> None:
    for label, name in (("jump", "monday_part"), ("walk", "tuesday_part")):
        (tmp_path / label).mkdir()
        for number in range(8):
            (tmp_path / label / f"{name}{number}.mp4").write_bytes(b"x")
    with pytest.raises(InvalidSetting, match=r"16 samples are kept together by recording .*'path' makes"):
        holdout(Manifest.read(tmp_path), {"train": 0.7, "test": 0.3})


def table(folder: Path, *rows: str, header: str = "path,label,start,end") -> Path:
    path = folder / "m.csv"
    path.write_text("\n".join([header, *rows]))
    return path


def test_spans_of_one_video_never_part(tmp_path: Path) -> None:
    rows = [f"{i}.mp4,{'ab'[j % 2]},{j},{j + 1}" for i in range(10) for j in range(6)]
    manifest = Manifest.read(table(tmp_path, *rows))
    assert manifest.groups == tuple(f"{i}.mp4" for i in range(10))
    assert [each.sentence() for each in manifest.groupings] == [
        "60 samples are kept together by file: 10 groups"
    ]
    split = holdout(manifest, {"train": 0.7, "test": 0.3})
    assert not set(split.where(split="train").groups) & set(split.where(split="test").groups)
    for fold in kfold(manifest, 5):
        assert not {s.path for s in fold.train} & {s.path for s in fold.test}


def test_spans_of_manifests_made_in_python_never_part_either(tmp_path: Path) -> None:
    from dataclasses import replace

    rows = [f"{i}.mp4,{'ab'[j % 2]},{j},{j + 1}" for i in range(10) for j in range(6)]
    read = Manifest.read(table(tmp_path, *rows))
    manifest = replace(read, samples=tuple(replace(sample, group=None) for sample in read))
    for fold in kfold(manifest, 5):
        assert not {s.path for s in fold.train} & {s.path for s in fold.test}


def test_clips_of_one_source_never_part(tmp_path: Path) -> None:
    for label in ("Archery", "Diving"):
        (tmp_path / label).mkdir()
        for group in range(1, 9):
            for clip in range(1, 4):
                (tmp_path / label / f"v_{label}_g{group:02}_c{clip:02}.avi").write_bytes(b"x")
    manifest = Manifest.read(tmp_path)
    assert len(manifest.groups) == 16
    split = holdout(manifest, {"train": 0.75, "test": 0.25})
    assert not set(split.where(split="train").groups) & set(split.where(split="test").groups)
    assert Manifest.read(tmp_path, group_column="path").groups == ()


def test_given_groups_win_and_spread_over_their_file(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "v_A_g01_c01.avi,a,0,1,anna",
        "v_A_g01_c01.avi,a,1,2,",
        "v_A_g01_c02.avi,a,0,1,",
        "alone.avi,b,,,",
        header="path,label,start,end,group",
    )
    assert [sample.group for sample in Manifest.read(path)] == ["anna", "anna", "A_g01", None]


def test_groups_of_names_that_are_no_utf_8_can_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for label in ("run", "walk"):
        (folder / label).mkdir(parents=True)
        for number in range(2):
            name = os.fsdecode(b"caf\xe9_%s_part0%d.mp4" % (label.encode(), number))
            (folder / label / name).write_bytes(label.encode())
    manifest = Manifest.read(folder)
    groups = [sample.group for sample in manifest]
    assert len(set(groups)) == 2
    SplitTable.of(manifest, {}).write(tmp_path / "splits.csv")
    assert [row.group for row in SplitTable.read(tmp_path / "splits.csv")] == groups
    manifest.write(tmp_path / "again.csv")
    assert [sample.group for sample in Manifest.read(tmp_path / "again.csv")] == groups
