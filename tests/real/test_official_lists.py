"""Official lists as their authors publish them: the counts that cards state, and the names of classes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kinesphere.data.catalogue import DATASETS
from kinesphere.data.inventory import Inventory
from kinesphere.models.weights.class_names import names_of

pytestmark = pytest.mark.real
ROOT = os.environ.get("KINESPHERE_TEST_DATA")

if not ROOT:
    pytest.skip("KINESPHERE_TEST_DATA names no folder of real data", allow_module_level=True)

LABELS = Path(ROOT or "") / "labels"


def lists(name: str, *places: Path, empty: Path) -> Inventory:
    """The lists of a set, held against a folder that has none of its videos."""
    found = DATASETS.get(name).inventory(empty, lists=places)
    assert found.present == 0
    assert len(found.missing) == found.listed
    return found


def checked(name: str) -> dict[tuple[str, str], int]:
    """What the card says that this test counts."""
    return {(c.protocol, c.split): c.clips for c in DATASETS.get(name).card.counts if c.is_checked}


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
    assert not card.differences(found.parts)
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
