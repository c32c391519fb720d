"""Tracks with classes, as MOT text has them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from kinesphere.annotations.boxes import FoundBox, followed
from kinesphere.annotations.formats.coco_boxes import write_coco_tracks
from kinesphere.annotations.formats.mot import read_mot, write_tracks
from kinesphere.annotations.timed import Track
from kinesphere.annotations.track_files import read_track_file
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, MissingExtra


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


def coco(**of_boxes: object) -> dict[str, object]:
    images = [{"id": 7 + n, "file_name": f"img/{n:06d}.jpg"} for n in range(3)]
    boxes = [
        {"image_id": 7 + n, "bbox": [10 + n, 20, 30, 40], "category_id": 1 + i, "score": 0.9, **of_boxes}
        for n in range(3)
        for i in range(2)
    ]
    return {
        "images": images,
        "annotations": boxes,
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "bag"}],
    }


def written(content: object, path: Path) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_coco_boxes_become_tracks_by_their_identities(tmp_path: Path) -> None:
    content = coco()
    for i, each in enumerate(content["annotations"]):  # type: ignore[arg-type]
        each["track_id"] = 1 + i % 2
    one, bag = read_track_file(written(content, tmp_path / "a.json"), 25)
    assert (one.label, bag.label, bag.identity) == ("person", "bag", 2)
    assert one.frames.tolist() == [1, 2, 3]  # the names count from 0
    assert one.boxes[1].tolist() == [11, 20, 41, 60]
    write_coco_tracks(tmp_path / "b.json", [one, bag])
    again = read_track_file(tmp_path / "b.json", 25)
    assert [(each.identity, each.label, each.frames.tolist()) for each in again] == [
        (1, "person", [1, 2, 3]),
        (2, "bag", [1, 2, 3]),
    ]
    np.testing.assert_array_equal(again[0].boxes, one.boxes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"annotations": 1, "images": []}, "is no COCO file of boxes"),
        ({"annotations": [], "images": [{}]}, "`images` should be a list of images with an `id`"),
        (
            {"annotations": [], "images": [{"id": "a", "file_name": "x"}]},
            "image 'a' .'x'. has no frame number",
        ),
        ({"annotations": [], "images": [], "categories": [{}]}, "`categories` should be a list of classes"),
        ([{"bbox": [1, 2, 3, 4]}], "entry 0: boxes have `image_id` and `bbox`"),
        ([{"image_id": "a", "bbox": [1, 2, 3, 4]}], "image 'a' is not a frame number"),
        ([{"image_id": 1.5, "bbox": [1, 2, 3, 4]}], "an identity is a whole number or a text; got 1.5"),
        ([{"image_id": 1, "bbox": [1, 2, 3]}], "`bbox` is left, top, width, height"),
        ([{"image_id": 1, "bbox": [1, 2, -3, 4]}], "width and height of a box are not negative"),
        (
            [{"image_id": 1, "bbox": [1, 2, 3, 4], "track_id": "x"}],
            "a track is a whole number, up to 2147483648; got 'x'",
        ),
        ([{"image_id": 1, "bbox": [1, 2, 3, 4], "track_id": 10**30}], "a track is a whole number, up to"),
        ([{"image_id": 1, "bbox": [1, 2, 3, 4], "category_id": [1]}], "an identity is a whole number or"),
        (
            [{"image_id": 1, "bbox": [1, 2, 3, 4], "track_id": 1}, {"image_id": 1, "bbox": [1, 2, 3, 4]}],
            "has a box without an identity in frame 1",
        ),
        ([{"image_id": 1, "bbox": [1, 2, 3, 4], "track_id": 1}] * 2, "1 has two boxes in frame 1; keep one"),
    ],
)
def test_wrong_coco_files_are_named(content: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidAnnotation, match=message):
        read_track_file(written(content, tmp_path / "a.json"), 25)


def test_a_number_that_lacks_does_not_move_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("1,1,10,,30,60,1\n")
    with pytest.raises(InvalidAnnotation, match=r"line 1: lines are frame, id .* got \['1', '1', '10', ''"):
        read_track_file(path, 25)
    path.write_text("1,1,10,20,30,60,1,\n")  # one comma too many is none
    [track] = read_track_file(path, 25)
    assert track.boxes.tolist() == [[10, 20, 40, 80]]


@pytest.mark.parametrize(("fps", "lost", "people"), [(10, 8, 1), (60, 90, 2)])
def test_who_is_lost_is_kept_for_a_second_whatever_the_rate(fps: float, lost: int, people: int) -> None:
    pytest.importorskip("trackers")
    frames = [*range(1, 31), *range(31 + lost, 61 + lost)]
    found = [FoundBox(frame, (10, 20, 40, 80), 0.9, "person") for frame in frames]
    assert len(followed(found, fps)) == people


def test_a_box_in_a_frame_of_next_week_is_reached(tmp_path: Path) -> None:
    pytest.importorskip("trackers")
    lines = [f"{n},-1,10,20,30,60,0.9" for n in (*range(1, 9), *range(99_000_000, 99_000_008))]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    early, late = read_track_file(tmp_path / "a.txt", 25)
    assert (early.frames[-1], late.frames[-1]) == (8, 99_000_007)
    with pytest.raises(InvalidSetting, match="in a positive number of frames a second; got -5"):
        read_track_file(tmp_path / "a.txt", -5)


def test_boxes_without_identities_are_followed(tmp_path: Path) -> None:
    pytest.importorskip("trackers")
    frames = range(1, 21)
    lines = [
        f"{n},-1,{10 + 4 * n},20,30,60,0.9,-1,-1,-1\n{n},-1,{200 - 4 * n},90,30,60,0.9,-1,-1,-1"
        for n in frames
    ]
    (tmp_path / "det").mkdir()
    (tmp_path / "det" / "det.txt").write_text("\n".join(lines))
    one, other = read_track_file(tmp_path, 25)
    assert {one.label, other.label} == {"person"}
    assert min(len(one), len(other)) >= 18
    assert np.diff(one.boxes[:, 0]).min() > 2
    assert np.diff(other.boxes[:, 0]).max() < -2
    with pytest.raises(
        InvalidSetting, match=r"There is no tracker 'magic'; use 'bytetrack', 'ocsort', 'sort'"
    ):
        read_track_file(tmp_path, 25, tracker="magic")  # type: ignore[arg-type]
    (tmp_path / "mixed.txt").write_text("1,-1,0,0,9,9\n1,4,0,0,9,9\n")
    with pytest.raises(InvalidAnnotation, match=r"1 boxes with an identity and 1 without \(-1\)"):
        read_track_file(tmp_path / "mixed.txt", 25)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04\xb8")
    with pytest.raises(
        InvalidAnnotation, match=r"cannot be read as text: .* It is an archive; unpack it first"
    ):
        read_track_file(tmp_path / "a.zip", 25)
    with pytest.raises(InvalidAnnotation, match=r"holds no tracks: none of gt/gt.txt"):
        read_track_file(tmp_path / "empty", 25)


def test_an_empty_file_has_nobody(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n")
    assert read_track_file(tmp_path / "a.txt", 25) == ()


def test_without_a_tracker_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackers", None)
    (tmp_path / "a.txt").write_text("1,-1,0,0,9,9\n")
    with pytest.raises(MissingExtra, match=r"pip install 'kinesphere\[people\]'"):
        read_track_file(tmp_path / "a.txt", 25)
