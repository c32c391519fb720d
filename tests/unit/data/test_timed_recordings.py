"""Files of timed labels as data sets: their videos found, tiers chosen, slips told, nothing lost silently."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.clips.modalities.pose.file import write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.core.errors import InvalidAnnotation, InvalidManifest, InvalidSetting
from kinesphere.data.manifest import Manifest
from kinesphere.data.spelling import Spelling, corrected
from kinesphere.data.timed_recordings import Cutting, cut_recordings, is_timed
from kinesphere.data.windows import WindowRule

Elan = Callable[..., str]
BASE = Cutting(tiers={"label": "base"})


def recording(path: Path, seconds: float = 20.0) -> Path:
    """A file of poses, twice a second, in the place of a video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = round(2 * seconds)
    poses = Poses(
        np.arange(count) / 2, np.ones((count, 1, 17, 2), np.float32), np.ones((count, 1, 17), np.float32),
        np.array([0]), "coco17", (48, 64), fps=2.0,
    )  # fmt: skip
    write_poses(poses, path)
    return path


@pytest.fixture
def folder(tmp_path: Path, elan: Elan) -> Path:
    """Two takes of two performers, annotated; `P02` has a video in another folder."""
    recording(tmp_path / "S001C001P001R001A001.pose.npz")
    recording(tmp_path / "more" / "S001C001P002R001A001.pose.npz")
    for performer in (1, 2):
        rows = {"base": [("walk", 0, 12000), ("run", 12000, 20000)], "effort": [("strong", 0, 20000)]}
        (tmp_path / f"S001C001P00{performer}R001A001.eaf").write_text(elan(rows))
    return tmp_path


def test_a_folder_of_elan_files_becomes_windows_by_tier(folder: Path) -> None:
    cut = cut_recordings([folder], BASE)

    assert cut.manifest.counts() == {"run": 2, "walk": 4}
    assert cut.manifest.groups == ("P001", "P002")
    assert not cut.manifest.wrong
    assert {sample.span for sample in cut.manifest} == {(0, 10), (5, 15), (10, 20)}
    assert cut.windows.annotations == {"label": {"run": 2, "walk": 2}}


def test_what_was_cut_reads_back_from_its_table(folder: Path) -> None:
    cut = cut_recordings([str(folder / "*.eaf")], Cutting(tiers={"label": "base", "effort": "effort"}))
    cut.manifest.write(folder / "windows.csv")
    again = Manifest.read(folder / "windows.csv")

    assert [(s.id, s.path, s.labels, s.span, s.group) for s in again] == [
        (s.id, s.path, s.labels, s.span, s.group) for s in cut.manifest
    ]
    efforts = Manifest.read(folder / "windows.csv", label_column="effort")
    assert efforts.counts() == {"strong": 6}
    assert dict(efforts[2].extra)["parent"] == "run"


def test_the_tier_must_be_said_where_there_are_several(folder: Path) -> None:
    with pytest.raises(InvalidAnnotation, match=r"2 tiers.*data\.tier=NAME, --tier NAME.*'base' \(4\)"):
        cut_recordings([folder], Cutting())


def test_a_recording_without_its_video_is_listed_or_refused(folder: Path, elan: Elan) -> None:
    (folder / "lost.eaf").write_text(elan({"base": [("walk", 0, 9000)]}))

    cut = cut_recordings([folder], BASE)
    (lost,) = cut.manifest.wrong
    assert lost.path.endswith("lost.eaf")
    assert "its video 'lost' lies neither beside it nor below its folder" in lost.reason
    with pytest.raises(InvalidManifest, match=r"1 recordings or labels cannot be used.*wrong_rows=skip"):
        cut_recordings([folder], BASE, wrong_rows="refuse")


def test_an_unreadable_file_of_a_folder_is_listed_and_a_named_one_refused(folder: Path) -> None:
    (folder / "broken.eaf").write_text("<a")

    assert any("broken.eaf" in each.path for each in cut_recordings([folder], BASE).manifest.wrong)
    with pytest.raises(InvalidAnnotation, match=r"broken\.eaf is no ELAN document"):
        cut_recordings([folder / "broken.eaf"], BASE)


def test_two_videos_of_one_name_are_told_apart_by_the_folder(folder: Path, elan: Elan) -> None:
    for name in ("a", "b"):
        recording(folder / name / "take.pose.npz")
        (folder / name / "take.eaf").write_text(elan({"base": [("walk", 0, 20000)]}))
    cut = cut_recordings([folder / "a", folder / "b"], BASE)

    assert [sample.id for sample in cut.manifest][:4:3] == [
        "a/take.pose.npz@0.0-10.0",
        "b/take.pose.npz@0.0-10.0",
    ]
    (folder / "take.eaf").write_text(elan({"base": [("walk", 0, 20000)]}))
    wrong = cut_recordings([folder], BASE).manifest.wrong
    assert any("2 files could be its video 'take'" in each.reason for each in wrong)


def test_groups_are_given_by_a_table_and_must_be_whole(folder: Path) -> None:
    names = [f"S001C001P00{i}R001A001" for i in (1, 2)]
    cut = cut_recordings([folder], Cutting(tiers=BASE.tiers, groups=dict.fromkeys(names, "Ann")))

    assert cut.manifest.groups == ("Ann",)
    with pytest.raises(InvalidManifest, match=r"1 of 2 recordings have no group.*add a row"):
        cut_recordings([folder], Cutting(tiers=BASE.tiers, groups={names[0]: "Ann"}))


def test_a_table_of_several_recordings_and_its_subsets(folder: Path) -> None:
    (folder / "set.json").write_text(
        '{"version": "1", "database": {"S001C001P001R001A001": {"duration": 20, "subset": "training", '
        '"annotations": [{"segment": [0, 20], "label": "walk"}]}, "gone": {"duration": 5, "subset": '
        '"validation", "annotations": []}}, "taxonomy": []}'
    )
    cut = cut_recordings([folder / "set.json"], Cutting())

    assert {sample.split for sample in cut.manifest} == {"train"}
    assert [each.path.endswith("set.json: gone") for each in cut.manifest.wrong] == [True]


def test_a_table_states_the_performer_and_the_split_of_each_recording(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        recording(tmp_path / f"{name}.pose.npz")
    (tmp_path / "settings.json").write_text('{"kind": "recordings"}')
    (tmp_path / "labels.csv").write_text(
        "path,label,start,end,group,split\na,walk,0,10,anna,train\nb,run,0,10,anna,train\n"
        "c,walk,0,10,ben,test\nc,run,10,20,carla,test\n"
    )
    cut = cut_recordings([tmp_path], Cutting())

    assert {(sample.path.name[0], sample.group, sample.split) for sample in cut.manifest} == {
        ("a", "anna", "train"), ("b", "anna", "train"), ("c", "c.pose.npz", "test"),
    }  # fmt: skip
    assert not cut.manifest.wrong
    (note,) = cut.notes
    assert note.endswith("1 videos have several values in the column 'group', which is not read of them; the "
                         "first is 'c' (ben, carla)")  # fmt: skip
    given = cut_recordings([tmp_path], Cutting(groups={"a": "x", "b": "y", "c": "x"}))
    assert given.manifest.groups == ("x", "y")


def test_a_video_is_found_under_the_name_from_before_its_upload(tmp_path: Path) -> None:
    recording(tmp_path / "dance.pose.npz")
    for name in ("0a1b2c3d-dance", "zz1b2c3d-dance"):
        (tmp_path / "labels.csv").write_text(f"path,label,start,end\n{name},walk,0,10\n{name},run,10,20\n")
        if name.startswith("0"):
            assert {each.path.name for each in cut_recordings([tmp_path], Cutting()).manifest} == {
                "dance.pose.npz"
            }
        else:
            with pytest.raises(InvalidManifest, match="lies neither beside it nor below its folder"):
                cut_recordings([tmp_path], Cutting())


def test_what_to_do_where_most_annotations_are_too_short_is_told(folder: Path, elan: Elan) -> None:
    for file in folder.glob("*.eaf"):
        file.write_text(elan({"base": [("walk", 0, 9000), ("run", 9000, 11000), ("jump", 12000, 13000)]}))

    (note,) = (each for each in cut_recordings([folder], BASE).notes if "label no window" in each)
    assert note.startswith(
        "4 of 6 annotations label no window; shorter windows (data.window.length_s, --window)"
    )
    assert "overlap_of=annotation" in note
    assert not cut_recordings([folder], Cutting(WindowRule(2, 1), {"label": "base"})).notes


def test_no_window_with_a_label_is_refused_with_the_reason(folder: Path, elan: Elan) -> None:
    for file in folder.glob("*.eaf"):
        file.write_text(elan({"base": [("walk", 1000, 2000)]}))
    with pytest.raises(
        InvalidManifest, match=r"no window has a label, with windows of 10 s every 5 s.*2 windows"
    ):
        cut_recordings([folder], BASE)


def test_several_labels_at_once_make_a_multi_label_set(folder: Path) -> None:
    rule = WindowRule(several="all", least_overlap=0.2, background="none")
    cut = cut_recordings([folder], Cutting(rule, {"label": "base"}))

    assert cut.manifest.labels.multi
    assert [sample.labels for sample in cut.manifest][:3] == [("walk",), ("run", "walk"), ("run", "walk")]


def test_which_sources_are_recordings(folder: Path) -> None:
    assert is_timed(folder)
    assert is_timed("x/*.eaf")
    assert not is_timed("clips.csv")
    (folder / "manifest.csv").write_text("path,label\n")
    assert not is_timed(folder)


def typed(*names: str) -> TimedLabels:
    return TimedLabels.of(TimedLabel("v", name, 0, 1, "base") for name in names)


def test_misspelt_labels_are_answered_with_the_nearest_and_counted() -> None:
    found = typed("walk", "wlak", "Walk|run", "hop", "hop")

    with pytest.raises(
        InvalidAnnotation,
        match=r"3 labels are not among the 2 known.*'wlak' \(1 annotation\); did you mean 'walk'\?"
        r".*'hop' \(2 annotations\)",
    ):
        corrected(found, Spelling(known=("walk", "run")))
    kept, left_out, _ = corrected(found, Spelling({"wlak": "walk"}, ("walk", "run"), "skip"))
    assert [each.label for each in kept.labels] == ["walk", "walk", "run"]
    assert [each.path for each in left_out] == ["'Walk'", "'hop'"]


def test_likely_slips_are_told_without_a_list_of_labels() -> None:
    _, _, notes = corrected(typed(*["walk"] * 10, "wakl", *["run"] * 3, "Run"), Spelling())

    assert notes == (
        "'run' (3) and 'Run' (1) differ by case or spaces alone; rename them if they are one class",
        "'wakl' (1) may be a slip for 'walk' (10); rename it if so",
    )


def test_other_tiers_stay_as_they_are_and_a_rename_must_be_of_something() -> None:
    found = typed("walk")
    kept, left_out, _ = corrected(found, Spelling(known=("low",)), ("effort",))

    assert (kept.labels, left_out) == (found.labels, ())
    with pytest.raises(
        InvalidSetting, match=r"labelled 'wlak', which was to be renamed\. Did you mean 'walk'"
    ):
        corrected(found, Spelling({"wlak": "walk"}))
