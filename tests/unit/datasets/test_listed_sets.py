"""What stands on official lists: forms that publishers gave out, and lines that name no clip."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.data.catalogue import DATASETS
from kinesphere.data.inventory import Inventory


def example(name: str, folder: Path) -> Path:
    return DATASETS.get(name).write_example(folder)


def inventory(name: str, folder: Path) -> Inventory:
    return DATASETS.get(name).inventory(folder)


def replaced(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def reasons(found: Inventory) -> dict[str, str]:
    return {each.path: each.reason for each in found.wrong}


WRONG = {
    "thumos14": (
        "annotations/temporal_annotations_test/Diving_test.txt",
        "video_test_1 3 2",
        "is not a video, a start and a later end",
    ),
    "gym99": (
        "annotations/gym99_val_element.txt",
        "ccccccccccc_E_000010_000020_A_0001_0002 99",
        "is not an element and a class below 99",
    ),
    "omnisource": (
        "annotations/kinetics_200/k200_val.txt",
        "x.mp4 200",
        "is not a path and a class below 200",
    ),
    "charades": (
        "Charades/Charades_v1_test.csv",
        "DDDDD,S4,,,,,,,,c1 0 1,1",
        "is not such as c092 11.90 21.20;c147 0.00 12.60",
    ),
    "ucf101": ("ucfTrainTestlist/testlist01.txt", "Archery", "is not such as Archery/v_Archery_g01_c01.avi"),
    "hmdb51": ("testTrainMulti_7030_splits/wave_test_split1.txt", "a.avi 3", "a clip and 0, 1 or 2"),
    "kinetics400": (
        "annotations/val.csv",
        "abseiling,x,5,5,val,0",
        "'x' from 5 to 5 s is no part of a video",
    ),
    "kinetics700": ("annotations/val.csv", "abseiling,x,soon,5,val,0", "start and end are no seconds"),
    "sports1m": ("original/test_partition.txt", "https://www.youtube.com/watch?v=x 3", "there is no label 3"),
    "jester": ("jester-v1-train.csv", "one;Thumb Up", "is not the number of a clip and its class"),
    "kth": ("00sequences.txt", "person26_boxing_d1  frames 1-2", "is no passage of a person's action"),
    "hollywood2": (
        "ClipSets/Run_train.txt",
        "actioncliptrain00003 2",
        "is not the name of a clip and 1 or -1",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_lines_that_name_no_clip_are_listed(name: str, tmp_path: Path) -> None:
    file, line, reason = WRONG[name]
    root = example(name, tmp_path)
    whole = inventory(name, root)
    replaced(root / file, lambda text: f"{text}{line}\n")
    found = inventory(name, root)
    new = {place: why for place, why in reasons(found).items() if place not in reasons(whole)}
    (place,) = new
    assert place.startswith(f"{Path(file).name}, line ")
    assert reason in new[place]
    assert found.failures == 1
    assert found.samples == whole.samples


def test_kinetics_is_read_from_either_form_once(tmp_path: Path) -> None:
    """The publishers' archive holds every list as CSV and as JSON; a test list may keep its classes back."""
    root = example("kinetics600", tmp_path)
    content = {
        "aaaaaaaaaaa": {"annotations": {"label": "abseiling", "segment": [3.0, 13.0]}, "subset": "validate"},
        "bbbbbbbbbbb": {"annotations": {"segment": [0, 10]}},
        "ccccccccccc": {"annotations": {}},
    }
    (root / "annotations" / "validate.json").write_text(json.dumps(content))
    assert inventory("kinetics600", root).listed == 4
    (root / "annotations" / "val.csv").unlink()
    found = inventory("kinetics600", root)
    assert found.missing == ("aaaaaaaaaaa_000003_000013", "bbbbbbbbbbb_000000_000010")
    assert found.unlabelled == 1
    assert reasons(found) == {"validate.json, ccccccccccc": "it has no segment of two times"}
    assert found.parts == {"": {"train": 2, "val": 2, "test": 1}}
    (root / "annotations" / "val.csv").write_text("path,label\na.mp4,walk\n")
    other = inventory("kinetics600", root)
    assert reasons(other) == {
        "val.csv": "no list of Kinetics: it has no columns youtube_id, time_start, time_end"
    }
    (root / "annotations" / "val.csv").unlink()
    (root / "annotations" / "validate.json").write_text("[]")
    with pytest.raises(InvalidAnnotation, match="holds no videos by their names"):
        inventory("kinetics600", root)


def test_a_video_on_both_lists_of_sports1m_is_tested(tmp_path: Path) -> None:
    root = example("sports1m", tmp_path)
    replaced(root / "original" / "train_partition.txt", lambda text: f"{text}http://y.be/?v=g_h-i 1\n")
    found = inventory("sports1m", root)
    assert {sample.id: (sample.split, sample.labels) for sample in found.samples} == {
        "g_h-i": ("test", ("boomerang",)),
        "a_b-c": ("train", ("sprint",)),
        "d_e-f": ("train", ("boomerang", "diving")),
    }
    assert list(reasons(found).values()) == ["on the list of the test, too, which counts"]
    assert found.failures == 0


def test_templates_have_places_for_words(tmp_path: Path) -> None:
    root = example("something_something_v2", tmp_path)
    found = inventory("something_something_v2", root)
    first = found.samples[1]
    assert (first.id, first.labels, first.split) == ("1", ("Holding something",), "train")
    assert dict(first.extra) == {"sentence": "Holding a cup", "placeholders": "a cup"}
    assert {sample.id: sample.labels for sample in found.samples}["4"] == ("Closing something",)
    (root / "labels" / "test-answers.csv").unlink()
    (root / "labels" / "validation.json").write_text('[{"id": "x"}, 5]')
    without = inventory("something_something_v2", root)
    assert without.unlabelled == 1
    assert reasons(without) == {
        f"validation.json, clip {n}": "it has no number, template or placeholders" for n in (1, 2)
    }
    (root / "labels" / "train.json").write_text("{}")
    with pytest.raises(InvalidAnnotation, match=r"train\.json is no list of clips"):
        inventory("something_something_v2", root)


def test_the_newest_labels_of_diving48_count(tmp_path: Path) -> None:
    root = example("diving48", tmp_path)
    clips = [{"vid_name": "dd_00000", "label": 1}]
    (root / "Diving48_test.json").write_text(json.dumps(clips))
    found = inventory("diving48", root)
    assert reasons(found) == {"Diving48_test.json": "of other labels than V2, which are used"}
    assert (found.listed, found.failures) == (4, 0)
    (root / "Diving48_V2_test.json").write_text(json.dumps([*clips, {"vid_name": "ee", "label": 2}]))
    assert reasons(inventory("diving48", root))["Diving48_V2_test.json, clip 2"].endswith("no label of 2")
    for file, words in (("Diving48_V2_test.json", "no list of clips"), ("Diving48_vocab.json", "of classes")):
        (root / file).write_text("{}")
        with pytest.raises(InvalidAnnotation, match=words):
            inventory("diving48", root)


def test_passages_of_kth_count_frames_from_one(tmp_path: Path) -> None:
    found = inventory("kth", example("kth", tmp_path))
    first, second, *_ = found.samples
    assert (first.span, second.span) == ((0, 0.8), (0.8, 1.6))
    assert (first.group, first.split, dict(first.extra)) == ("person11", "train", {"scenario": "d1"})
    assert list(reasons(found).values()) == ["person13_handclapping_d3 is missing from the set itself"]
    replaced(tmp_path / "00sequences.txt", lambda text: text.replace("1-20", "20-1", 1))
    assert (
        "frames 20 to 1 of person11_boxing_d1 are no passage" in reasons(inventory("kth", tmp_path)).values()
    )


def test_clips_of_hollywood2_show_several_actions(tmp_path: Path) -> None:
    found = DATASETS.get("hollywood2").inventory(example("hollywood2", tmp_path), protocol="automatic")
    assert {sample.id: (sample.split, sample.labels) for sample in found.samples} == {
        "actioncliptrain00001": (None, ("Run",)),
        "actioncliptrain00002": (None, ("Eat", "Kiss")),
        "actionclipautoautotrain00001": ("train", ("Run",)),
        "actioncliptest00001": ("test", ("Kiss",)),
    }
    assert found.manifest().labels.multi


def test_lists_that_are_no_text_are_refused(tmp_path: Path) -> None:
    root = example("ucf101", tmp_path)
    (root / "ucfTrainTestlist" / "testlist01.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InvalidAnnotation, match=r"testlist01\.txt is no list in UTF-8"):
        inventory("ucf101", root)
