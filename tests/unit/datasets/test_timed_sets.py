"""Sets of uncut videos: spans as clips, times and subsets for localisation, and names that tell the parts."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from kinesphere.annotations.timed_files import read_timed
from kinesphere.apps.cli.main import app
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.data import Manifest
from kinesphere.data.catalogue import DATASETS
from kinesphere.data.inventory import Inventory
from kinesphere.data.timed_recordings import Cutting, cut_recordings
from kinesphere.data.windows import WindowRule
from kinesphere.datasets.example_videos import write_videos
from kinesphere.localise.recordings import divide
from kinesphere.localise.settings import RecordingsSection
from kinesphere.models.weights.class_names import names_of


def example(name: str, folder: Path) -> Path:
    return DATASETS.get(name).write_example(folder)


def inventory(name: str, folder: Path, *, probe: bool = False) -> Inventory:
    return DATASETS.get(name).inventory(folder, probe=probe)


def labels_in(subset: str, subsets: Mapping[str, str]) -> int:
    """Videos of a subset, of which there is one at least."""
    count = sum(each == subset for each in subsets.values())
    assert count
    return count


def rewritten(root: Path, **videos: object) -> None:
    """ActivityNet's annotations with other entries for some videos."""
    path = root / "activity_net.v1-3.min.json"
    content = json.loads(path.read_text())
    content["database"] |= videos
    path.write_text(json.dumps(content))


def test_labels_of_one_span_are_one_clip_of_thumos14(tmp_path: Path) -> None:
    found = inventory("thumos14", example("thumos14", tmp_path))
    assert found.counted(DATASETS.get("thumos14").card.counts[0]) == 2
    assert found.annotation_parts == {"": {"test": 3, "train": 2}}
    assert found.parts == {"": {"train": 2, "test": 2}}
    both = next(sample for sample in found.samples if len(sample.labels) > 1)
    assert (both.labels, both.span, both.split) == (("CliffDiving", "Diving"), (0.2, 0.9), "test")
    columns = {sample.id: dict(sample.extra) for sample in found.samples}
    assert columns["video_test_0000003@0-1"] == {"subset": "test", "avoid": "yes"}
    assert [(each.path, each.is_failure) for each in found.wrong] == [("Ambiguous_test.txt", False)]
    assert found.failures == 0


@pytest.mark.parametrize(("name", "test"), [("thumos14", "testing"), ("activitynet13", "validation")])
def test_timed_labels_fit_windows_and_recipes_of_localisation(name: str, test: str, tmp_path: Path) -> None:
    """One file, written by the verb, has the subsets by the names that recipes ask for, and gives windows."""
    (tmp_path / "set").mkdir()
    root = example(name, tmp_path / "set")
    out = tmp_path / "timed.json"
    with pytest.raises(SystemExit) as ended:
        app(["datasets", name, str(root), "--timed", str(out), "--json"])
    assert ended.value.code == 0
    labels = read_timed(out)
    section = RecordingsSection(videos=(str(root),), labels=(str(out),), test=test)
    divided = divide(sorted(root.rglob("*.mp4")), labels, section, seed=0)
    assert len(divided.train) == labels_in("training", labels.subsets)
    assert len(divided.test) == labels_in(test, labels.subsets)
    assert not divided.skipped
    assert set(labels.subsets) == set(labels.videos)
    assert set(labels.durations_s.values()) == {2.0}
    assert len(labels.labels) == sum(inventory(name, root).classes.values())
    rule = WindowRule(length_s=0.5, stride_s=0.5)
    cut = cut_recordings([str(out)], Cutting(rule=rule, videos=root), wrong_rows="refuse")
    assert {sample.split for sample in cut.manifest} >= {"train"}
    assert len(cut.manifest) >= len(labels.labels)


def test_sets_without_times_have_no_timed_labels(tmp_path: Path) -> None:
    found = inventory("omnisource", example("omnisource", tmp_path))
    with pytest.raises(InvalidSetting, match="say nothing of when something happens"):
        found.timed_labels()
    root = example("thumos14", tmp_path / "thumos")
    for video in root.rglob("*.mp4"):
        video.unlink()
    with pytest.raises(InvalidSetting, match=r"None of the \d+ videos on the lists is there"):
        inventory("thumos14", root).timed_labels()
    with pytest.raises(InvalidSetting, match="Give the folder of the data set"):
        app(["datasets", "thumos14", "--timed", str(tmp_path / "timed.json")])


def test_dead_and_truncated_downloads_of_activitynet_are_counted(tmp_path: Path) -> None:
    root = example("activitynet13", tmp_path)
    spans = [{"label": "Ballet", "segment": span} for span in ([1, 3], [6, 7], [1, 3.0000001], [2, 2])]
    facts = {"duration": 10.0, "subset": "training", "annotations": spans}
    rewritten(root, ddddddddd_4=facts, eeeeeeeee_5=facts, fffffffff_6=facts)
    write_videos(root / "videos", ["v_ddddddddd_4.mp4"], seconds=4)
    (root / "videos" / "v_eeeeeeeee_5.mp4").write_bytes(b"<html>Video unavailable</html>")
    found = inventory("activitynet13", root, probe=True)
    assert (found.present, found.listed) == (5, 6)
    assert [each.path for each in found.truncated] == ["videos/v_ddddddddd_4.mp4"]
    assert found.truncated[0].reason == "it ends at 4.0 s, by the lists at 10.0 s"
    reasons = {each.path: each.reason for each in found.unusable}
    assert reasons["v_ddddddddd_4@6-7"] == "its video ends at 4.0 s, before 6 s"
    assert reasons["v_ddddddddd_4@2-2"] == "on the lists without length"
    assert any(path.endswith("v_eeeeeeeee_5.mp4") for path in reasons)
    assert found.annotation_parts[""]["train"] == 2 + 3 * len(spans)
    assert {sample.span for sample in found.samples if "ddd" in sample.id} == {(1, 3)}
    found.write_urls(tmp_path / "urls.csv")
    (row,) = csv.DictReader((tmp_path / "urls.csv").read_text().splitlines())
    assert row == {
        "url": "https://www.youtube.com/watch?v=fffffffff_6", "start": "", "end": "", "name": "v_fffffffff_6",
        "label": "Ballet", "split": "train",
    }  # fmt: skip


def test_entries_of_activitynet_that_are_wrong_are_listed(tmp_path: Path) -> None:
    root = example("activitynet13", tmp_path)
    wrong = {"subset": "training", "annotations": [{"label": "Ballet", "segment": [3, 1]}]}
    rewritten(root, aaaaaaaaaa1=[], bbbbbbbbbb2={"subset": "holdout"}, cccccccccc3=wrong)
    with pytest.raises(InvalidAnnotation, match="name no clip"):
        inventory("activitynet13", root)
    rewritten(root, dddddddddd4={"subset": "testing"})
    assert [each.reason for each in inventory("activitynet13", root).wrong] == [
        "it is no video with a list of annotations",
        "its subset is 'holdout', none of training, validation, testing",
        "an annotation has no label, or no segment from a start to a later end",
    ]
    (root / "activity_net.v1-3.min.json").write_text("[]")
    with pytest.raises(InvalidAnnotation, match="holds no videos by their names"):
        inventory("activitynet13", root)


def test_annotations_of_bmn_have_their_subsets_in_a_table(tmp_path: Path) -> None:
    write_videos(tmp_path, ["v_aaaaaaaaaa1.mp4"])
    content = {
        "v_aaaaaaaaaa1": {"duration_second": 1.0, "annotations": [{"label": "Ballet", "segment": [0, 1]}]}
    }
    (tmp_path / "anet_anno_action.json").write_text(json.dumps(content))
    table = tmp_path / "video_info_new.csv"
    table.write_text("video,subset\nv_aaaaaaaaaa1,validation\n")
    assert inventory("activitynet13", tmp_path).samples[0].split == "val"
    table.write_text("name\nx\n")
    with pytest.raises(InvalidAnnotation, match="tells no subsets"):
        inventory("activitynet13", tmp_path)


def test_elements_of_finegym_have_the_times_of_the_annotations(tmp_path: Path) -> None:
    root = example("gym99", tmp_path)
    for path in (root / "subactions").iterdir():
        path.unlink()
    titles = root / "annotations" / "gym99_categories.txt"
    titles.write_text(titles.read_text() + titles.read_text().replace("Clabel:   1", "Clabel:   2"))
    found = inventory("gym99", root)
    assert set(found.classes) == {"(VT) round-off", "(FX) turn (class 1)"}
    assert found.absent[0].origin is not None
    assert found.absent[0].origin.span == (11.75, 12.5)
    assert found.absent[0].labels == ("(VT) round-off",)
    info = root / "annotations" / "finegym_annotation_info_v1.1.json"
    info.write_text('{"a": {"E": {"timestamps": []}}}')
    with pytest.raises(InvalidAnnotation, match="lacks times of an event"):
        inventory("gym99", root)
    info.write_text("[]")
    with pytest.raises(InvalidAnnotation, match="holds no videos by their names"):
        inventory("gym99", root)
    info.unlink()
    whole = inventory("gym99", root).absent[0].origin
    assert whole is not None
    assert whole.span == (11, 12)


def test_activities_of_charades_are_several_and_timed(tmp_path: Path) -> None:
    root = example("charades", tmp_path)
    with (root / "Charades" / "Charades_v1_test.csv").open("a") as file:
        file.write("DDDDD,S4,Kitchen,,,,,,,,1\n")
    write_videos(root, ["DDDDD.mp4"])
    found = inventory("charades", root)
    assert found.unlabelled == 1
    first = found.samples[-2]
    assert {sample.id: sample.labels for sample in found.samples}["AAAAA"] == (
        "Holding some clothes",
        "Eating a sandwich",
    )
    assert found.manifest().labels.multi
    assert first.group == "S1"
    timed = found.timed_labels()
    assert timed.durations_s["AAAAA"] == 1.0
    assert "DDDDD" in timed.videos
    assert [(each.label, each.start_s, each.end_s) for each in timed.labels if each.video == "AAAAA"] == [
        ("Holding some clothes", 0.0, 0.5),
        ("Eating a sandwich", 0.2, 1.0),
    ]
    (root / "Charades" / "Charades_v1_test.csv").write_text("path,label\n")
    assert "has no columns id, subject" in inventory("charades", root).wrong[0].reason


def test_the_cleanest_web_list_is_read_and_images_are_counted(tmp_path: Path) -> None:
    found = inventory("omnisource", example("omnisource", tmp_path))
    assert found.parts == {"web": {"train": 3, "val": 1}, "kinetics": {"train": 2, "val": 1}}
    assert [each.reason for each in found.wrong] == ["1 images, which are no videos"]
    assert {dict(sample.extra)["origin"] for sample in found.samples} == {"kinetics", "insvideo"}


def test_names_tell_the_parts_of_ntu_videos(tmp_path: Path) -> None:
    root = example("ntu120", tmp_path)
    found = inventory("ntu60", root)
    assert found.parts == {
        "cross_subject": {"train": 2, "test": 1},
        "cross_view": {"train": 2, "test": 1},
    }
    assert [each.reason for each in found.extra] == ["it is of NTU RGB+D 120"]
    columns = {sample.id: dict(sample.extra) for sample in found.samples}
    assert columns["S001C001P001R001A001"]["skeleton"] == "missing"
    assert columns["S001C001P001R001A001"]["action"] == "A001"
    assert {"drink water", "eat meal/snack"} <= {*found.classes} <= {*names_of("ntu60")}
    whole = inventory("ntu120", root)
    assert whole.parts["cross_setup"] == {"train": 2, "test": 2}
    (root / "nturgb+d_rgb" / "S001C001P001R001A001_rgb.avi").write_bytes(b"")
    (root / "other_missing_skeletons.txt").write_text("none\n")
    write_videos(root, ["holiday.mp4"])
    broken = inventory("ntu120", root)
    assert {each.path for each in broken.unusable} == {
        "S001C001P001R001A001_rgb.avi",
        "other_missing_skeletons.txt",
    }
    assert [each.path for each in broken.extra] == ["holiday.mp4"]


def test_clips_without_lists_are_known_by_name_and_folder(tmp_path: Path) -> None:
    (tmp_path / "ut").mkdir()
    root = example("ut_interaction_set1", tmp_path / "ut")
    write_videos(root, ["9_11_0.avi", "seq1.avi"])
    (root / "8_2_1.avi").write_bytes(b"")
    found = inventory("ut_interaction_set1", root)
    assert [(s.group, s.labels) for s in found.samples] == [
        ("sequence01", ("handshake",)),
        ("sequence01", ("hug",)),
        ("sequence02", ("handshake",)),
        ("sequence02", ("hug",)),
    ]
    assert {each.path for each in found.extra} == {"9_11_0.avi", "seq1.avi"}
    assert [each.reason for each in found.unusable] == ["an empty file"]
    fights = tmp_path / "fights"
    fights.mkdir()
    write_videos(example("surveillance_fights", fights), ["other.mp4"])
    (fights / "fight" / "fi003.mp4").write_bytes(b"")
    seen = inventory("surveillance_fights", fights)
    assert seen.classes == {"fight": 2, "noFight": 1}
    assert [each.reason for each in seen.extra] == ["it lies in neither fight nor noFight"]
    assert seen.failures == 1
    assert isinstance(seen.manifest(), Manifest)
