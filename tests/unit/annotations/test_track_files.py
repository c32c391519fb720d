"""Tracks with classes, as MOT text has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinesphere.annotations.formats.mot import read_mot, write_tracks
from kinesphere.annotations.timed import Track
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting


def track(identity: int, frames: list[int], label: str = "person") -> Track:
    boxes = np.array([[10.0 + frame, 20, 40 + frame, 80.5] for frame in frames])
    return Track(identity, np.array(frames), boxes, np.ones(len(frames)), label)


def test_tracks_of_several_classes_round_trip_through_a_folder(tmp_path: Path) -> None:
    given = [track(1, [1, 2, 5]), track(2, [2, 3], "knife"), track(7, [4], "bag of rice")]
    write_tracks(tmp_path / "clip", given)
    found = read_mot(tmp_path / "clip" / "gt" / "gt.txt")
    assert (tmp_path / "clip" / "gt" / "labels.txt").read_text() == "person\nknife\nbag of rice\n"
    assert [(each.identity, each.label) for each in found] == [
        (1, "person"),
        (2, "knife"),
        (7, "bag of rice"),
    ]
    for one, other in zip(given, found, strict=True):
        np.testing.assert_array_equal(one.frames, other.frames)
        np.testing.assert_allclose(one.boxes, other.boxes)


def test_a_file_of_results_has_no_classes(tmp_path: Path) -> None:
    write_tracks(tmp_path / "a.txt", [track(3, [1])])
    assert (tmp_path / "a.txt").read_text() == "1,3,11.0,20.0,30.0,60.5,1.0,-1,-1,-1\n"
    with pytest.raises(InvalidSetting, match=r"no room for class names \(knife\); name a folder"):
        write_tracks(tmp_path / "a.txt", [track(1, [1], "knife")])


def test_classes_without_names_are_those_of_mot16_and_a_track_is_of_most_of_its_boxes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("1,1,0,0,9,9,1,3,1\n2,1,0,0,9,9,1,3,1\n3,1,0,0,9,9,1,4,1\n1,2,0,0,9,9,1,1,1\n")
    assert [each.label for each in read_mot(path)] == ["car", "person"]
    path.write_text("1,1,0,0,9,9,0.5,3,4,5\n")  # ten columns: a place in the world
    assert read_mot(path)[0].label == "person"


@pytest.mark.parametrize(
    ("names", "number", "message"),
    [
        ("person\nknife\n", "3", r"line 1: class 3 has no name, labels.txt beside it has 2"),
        ("person\n\nknife\n", "1", r"labels.txt, line 2: a class has no name"),
        ("person\n", "1.5", r"line 1: a class is a number from 1 on, -1 for none; got 1.5"),
        ("person\n", "nan", r"line 1: a class is a number"),
    ],
)
def test_wrong_classes_are_named(names: str, number: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text(names)
    (tmp_path / "gt.txt").write_text(f"1,1,0,0,9,9,1,{number},1\n")
    with pytest.raises(InvalidAnnotation, match=message):
        read_mot(tmp_path / "gt.txt")
