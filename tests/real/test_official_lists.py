"""Official lists as their authors publish them: the counts that cards state, and the names of classes."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from kinesphere.annotations.formats.activitynet import read_activitynet
from kinesphere.annotations.formats.ntu import NtuName, read_missing
from kinesphere.data import Manifest
from kinesphere.data.catalogue import DATASETS
from kinesphere.data.inventory import Inventory
from kinesphere.datasets.ntu import parts_of
from kinesphere.models.weights.class_names import names_of

pytestmark = pytest.mark.real
ROOT = os.environ.get("KINESPHERE_TEST_DATA")

if not ROOT:
    pytest.skip("KINESPHERE_TEST_DATA names no folder of real data", allow_module_level=True)

LABELS = Path(ROOT or "") / "labels"
LOCALIZATION = Path(ROOT or "") / "localization"


def lists(name: str, *places: Path, empty: Path) -> Inventory:
    """The lists of a set, held against a folder that has none of its videos."""
    found = DATASETS.get(name).inventory(empty, lists=places)
    assert found.present == 0
    assert len(found.missing) == found.listed
    return found


def checked(name: str) -> dict[tuple[str, str], int]:
    """What the card says that this test counts."""
    return {(c.protocol, c.split): c.number for c in DATASETS.get(name).card.counts if c.is_checked}


def counted(found: Inventory) -> dict[tuple[str, str], int]:
    return {
        (protocol, split): clips for protocol, parts in found.parts.items() for split, clips in parts.items()
    }


def label_map(*parts: str) -> list[str]:
    return LABELS.joinpath("mmaction2", *parts).read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(("name", "videos"), [("ucf101", 13_320), ("hmdb51", 6_766)])
def test_all_splits_have_their_official_counts(name: str, videos: int, tmp_path: Path) -> None:
    found = lists(name, LABELS / "tsn" / f"{name}_splits", empty=tmp_path)
    card = DATASETS.get(name).card
    assert found.listed == videos
    assert counted(found) == checked(name)
    assert not card.differences(found)
    assert not found.wrong
    assert list(found.classes) == sorted(label_map(name, "label_map.txt"))
    assert len(found.classes) == card.class_count
    if name == "ucf101":
        assert set(found.classes) == set(names_of(name))
        for number in range(3):  # no split parts a source video
            sides = {(entry.group, entry.parts[number][1]) for entry in found.absent}
            assert len(sides) == len({group for group, _ in sides}) == 2_525


@pytest.mark.parametrize("classes", [400, pytest.param(600, marks=pytest.mark.slow)])
def test_validation_lists_of_kinetics(classes: int, tmp_path: Path) -> None:
    name = f"kinetics{classes}"
    found = lists(name, LABELS / "kinetics" / f"kinetics-{classes}_val.csv", empty=tmp_path)
    assert counted(found) == checked(name)
    assert not found.wrong
    assert (
        set(found.classes) == set(label_map("kinetics", f"label_map_k{classes}.txt")) == set(names_of(name))
    )
    found.write_urls(tmp_path / "urls.csv")
    assert len((tmp_path / "urls.csv").read_text().splitlines()) == 1 + found.listed


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("jester", ("jester", "label_map.txt")),
        ("diving48", ("diving48", "label_map.txt")),
        ("something_something_v1", ("sthv1", "label_map.txt")),
        ("something_something_v2", ("sthv2", "label_map.txt")),
        ("kinetics700", ("kinetics", "label_map_k700.txt")),
    ],
)
def test_cards_state_as_many_classes_as_there_are(name: str, place: tuple[str, ...]) -> None:
    assert len(set(label_map(*place))) == DATASETS.get(name).card.class_count


def test_both_subsets_of_thumos14(tmp_path: Path) -> None:
    """Every line counts once, the 361 spans with two classes are a clip each, Ambiguous ones are apart."""
    found = lists("thumos14", LOCALIZATION / "thumos14" / "annotations", empty=tmp_path)
    card = DATASETS.get("thumos14").card
    assert not card.differences(found)
    assert found.clips == 6_004
    assert [each.reason.split()[0] for each in found.wrong] == ["99", "89"]
    assert set(found.classes) == set(card.classes)
    assert sum(len(entry.labels) == 2 for entry in found.absent) == 361
    assert all(entry.video_s for entry in found.absent)
    avoided = {entry.video for entry in found.absent if dict(entry.extra)["avoid"]}
    assert len(avoided) == 14 + 7


@pytest.mark.slow
def test_activitynet_of_bmn_and_of_its_authors(tmp_path: Path) -> None:
    """BMN's annotations have the videos that were found; the authors' sample holds the whole validation."""
    found = lists("activitynet13", LOCALIZATION / "activitynet", empty=tmp_path)
    card = DATASETS.get("activitynet13").card
    assert found.video_parts == {"": {"train": 9_649, "val": 4_728, "test": 4_851}}
    assert found.annotation_parts == {"": {"train": 14_859, "val": 7_293}}
    assert "val: the lists have 4728 videos, officially there are 4926" in card.differences(found)
    assert not found.wrong
    assert set(found.classes) == set(label_map("activitynet", "label_map.txt"))
    sample = read_activitynet(LOCALIZATION / "activitynet" / "sample_detection_prediction.json")
    stated = {c.unit: c.number for c in card.counts if c.is_checked}
    assert stated == {"videos": len(sample.videos), "annotations": len(sample.labels)}
    found.write_urls(tmp_path / "urls.csv")
    assert len((tmp_path / "urls.csv").read_text().splitlines()) == 1 + found.listed


def test_parts_of_ntu_follow_from_names() -> None:
    """What is published with and without the authors' missing recordings differs by those of each part."""
    with_skeletons = {
        (60, "cross_subject"): (40_091, 16_487),
        (60, "cross_view"): (37_646, 18_932),
        (120, "cross_subject"): (63_026, 50_919),
        (120, "cross_setup"): (54_468, 59_477),
    }
    files = {60: "NTU_RGBD_samples_with_missing_skeletons.txt"}
    files[120] = files[60].replace("RGBD", "RGBD120")
    folder = LABELS.parent / "skeletons" / "ntu"
    for (classes, protocol), kept in with_skeletons.items():
        missing = read_missing(folder / files[classes])
        assert len(missing) == {60: 302, 120: 535}[classes]
        parts = Counter(dict(parts_of(NtuName.parse(name), classes))[protocol] for name in missing)
        counts = DATASETS.get(f"ntu{classes}").card.counts
        whole = {count.split: count.number for count in counts if count.protocol == protocol}
        assert tuple(whole[part] - parts[part] for part in ("train", "test")) == kept


def test_clips_of_small_sets() -> None:
    videos = LABELS.parent / "videos"
    found = DATASETS.get("ut_interaction_set1").inventory(videos / "ut_interaction_set1")
    assert not DATASETS.get("ut_interaction_set1").card.differences(found)
    table = {sample.path.name: sample for sample in Manifest.read(videos / "ut_interaction_set1")}
    assert {s.path.name: (s.labels, s.group) for s in found.samples} == {
        name: (sample.labels, sample.group) for name, sample in table.items()
    }
    fights = DATASETS.get("surveillance_fights").inventory(videos / "surveillance_fight")
    assert (fights.clips, set(fights.classes)) == (204, {"fight", "noFight"})
    names = label_map("gym", "label_map.txt")  # two of them are spelled alike
    assert len(names) == DATASETS.get("gym99").card.class_count
