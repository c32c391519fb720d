"""Readers of what pose estimators wrote: COCO, OpenPose, PySKL."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinesphere.annotations.formats.coco import read_coco
from kinesphere.annotations.formats.openpose import read_openpose
from kinesphere.clips.skeleton import COCO17
from kinesphere.core.errors import InvalidAnnotation, LeftOut, WrongEntry


def two_people(t: int) -> list[np.ndarray]:
    """Two people of 17 joints (x, y, 1) who walk past each other, far apart in y."""
    joints = np.random.default_rng(0).uniform(0, 40, (17, 2))
    return [
        np.column_stack([joints + np.array([10 + 5 * t, 0]), np.ones(17)]),
        np.column_stack([joints + np.array([110 - 5 * t, 100]), np.ones(17)]),
    ]


def coco(tracked: bool = False) -> dict[str, Any]:
    images = [{"id": 90 + t, "width": 200, "height": 160, "file_name": f"{t}.jpg"} for t in range(12)]
    annotations = []
    for t in range(12):
        order = (0, 1) if t % 2 else (1, 0)
        for person in order:
            joints = two_people(t)[person].copy()
            joints[:, 2] = 2
            entry: dict[str, Any] = {"image_id": 90 + t, "keypoints": joints.ravel().tolist()}
            annotations.append(entry | ({"track_id": f"p{person}"} if tracked else {}))
    return {"images": images[::-1], "annotations": annotations}


@pytest.mark.parametrize("tracked", [True, False])
def test_coco_people_keep_their_numbers(tmp_path: Path, tracked: bool) -> None:
    path = tmp_path / "keypoints.json"
    path.write_text(json.dumps(coco(tracked)))
    poses = read_coco(path, fps=10)
    assert poses.keypoints.shape == (12, 2, 17, 2)
    assert poses.frame_size == (160, 200)
    assert poses.present.all()
    for person in range(2):
        truth = np.array([two_people(t)[1 - person][:, :2] for t in range(12)])
        np.testing.assert_allclose(poses.keypoints[:, person], truth, rtol=1e-5)


def test_coco_joints_are_known_by_their_names(tmp_path: Path) -> None:
    path, content = tmp_path / "keypoints.json", coco()
    path.write_text(json.dumps(content))
    plain = read_coco(path, fps=10)
    order = np.random.default_rng(1).permutation(17)
    side = {"left": "L", "right": "r"}
    names = [COCO17.joints[i] for i in order]
    names = ["-".join([side.get(word, word) for word in name.split("_")]) for name in names]
    for entry in content["annotations"]:
        entry["category_id"] = 1
        entry["keypoints"] = np.reshape(entry["keypoints"], (17, 3))[order].ravel().tolist()
    content["categories"] = [{"id": 1, "name": "person", "keypoints": names}]
    path.write_text(json.dumps(content))
    np.testing.assert_array_equal(read_coco(path, fps=10).keypoints, plain.keypoints)
    # An animal of as many joints, and a person whose joints have numbers for names.
    animal = ["Nose", "Neck", "Root of tail", *map(str, range(14))]
    content["categories"] += [{"id": 2, "name": "dog", "keypoints": animal}]
    content["annotations"][3]["category_id"] = 2
    path.write_text(json.dumps(content))
    with pytest.warns(
        WrongEntry, match="annotation 3: category 'dog' has 17 joints, one of them 'Neck'; COCO's"
    ):
        assert read_coco(path, fps=10).present.sum() == plain.present.sum() - 1
    content["categories"][0]["keypoints"] = [str(number) for number in range(1, 18)]
    content["annotations"][3]["category_id"] = 1
    path.write_text(json.dumps(content))
    assert read_coco(path, fps=10).present.all()
    content["categories"][0]["keypoints"] = names[:-1]
    path.write_text(json.dumps(content))
    with pytest.raises(
        InvalidAnnotation, match=r"'person' has 16 joints; COCO's 17 are nose, .* Rename those"
    ):
        read_coco(path, fps=10)


def test_coco_tracks_are_in_a_frame_once(tmp_path: Path) -> None:
    path, content = tmp_path / "keypoints.json", coco(tracked=True)
    content["annotations"][7]["track_id"] = content["annotations"][6]["track_id"]
    path.write_text(json.dumps(content))
    with pytest.warns(WrongEntry, match="track 'p0' comes twice in image 93; a person is there once"):
        poses = read_coco(path, fps=10)
    assert poses.present.sum() == 23


def test_coco_people_of_whom_nothing_was_seen_are_away(tmp_path: Path) -> None:
    path, content = tmp_path / "keypoints.json", coco(tracked=True)
    content["annotations"][0]["keypoints"] = [0] * 51
    path.write_text(json.dumps(content))
    poses = read_coco(path, fps=10)
    assert sorted(poses.present[0].tolist()) == [False, True]
    assert poses.present[1:].all()


def test_coco_boxes_without_keypoints_are_left_out_and_counted(tmp_path: Path) -> None:
    path, content = tmp_path / "keypoints.json", coco()
    content["annotations"].insert(5, {"image_id": 91, "bbox": [0, 0, 9, 9]})
    path.write_text(json.dumps(content))
    with pytest.warns(LeftOut, match="1 of 25 annotations have no keypoints; they are left out"):
        poses = read_coco(path, fps=10)
    assert poses.present.all()


def test_coco_results_need_a_frame_size(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results = [{"image_id": t, "keypoints": two_people(t)[0].ravel().tolist(), "score": 1} for t in (0, 1, 2)]
    path.write_text(json.dumps(results))
    assert read_coco(path, fps=10, frame_size=(160, 200)).people == 1
    with pytest.raises(InvalidAnnotation, match="lists results without images; give the frame size"):
        read_coco(path, fps=10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(keypoints=[1, 2]), "annotation 3: keypoints should be 51 numbers; got 2"),
        (lambda a: a.update(keypoints=["a"] * 51), "annotation 3: keypoints should be numbers"),
        (
            lambda a: a.update(keypoints=[float("nan")] * 51),
            "annotation 3: keypoints should be finite numbers",
        ),
        (lambda a: a.update(keypoints=[1e9] * 51), "annotation 3: keypoints lie within 100000 pixels"),
        (lambda a: a.update(keypoints=[10**400] * 51), "annotation 3: keypoints should be numbers"),
        (lambda a: a.update(keypoints=None), "should be 51 numbers; got NoneType"),
        (lambda a: a.update(image_id=7), "annotation 3: there is no image 7"),
        (lambda a: a.update(image_id=[7]), r"annotation 3: an image_id is a number or a name; got \[7\]"),
        (lambda a: a.update(track_id=[7]), r"annotation 3: a track_id is a number or a name; got \[7\]"),
    ],
)
def test_a_wrong_annotation_is_left_out_and_told(
    tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    content = coco()
    change(content["annotations"][3])
    path = tmp_path / "keypoints.json"
    path.write_text(json.dumps(content))
    with pytest.warns(WrongEntry, match=message):
        poses = read_coco(path, fps=10)
    assert poses.present.sum() == 23
    content["annotations"] = content["annotations"][3:4]
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidAnnotation, match=message.replace("3", "0")):
        read_coco(path, fps=10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["images"][0].update(width=3), r"images of one video have one size; got \[\(160, 3\)"),
        (lambda c: c.pop("images"), "is no COCO keypoint file; it lacks 'images'"),
        (lambda c: (c["images"].clear(), c["annotations"].clear()), "one size; got"),
        (lambda c: c["images"][0].update(height=None), "images have id, width and height; one is"),
        (lambda c: c["images"][0].update(width="200"), "images have id, width and height; one is"),
        (lambda c: c["images"][0].update(height=1e400), "images have id, width and height; one is"),
        (lambda c: c["images"][0].update(id=[1]), "images have id, width and height; one is"),
        (lambda c: c["images"][0].update(id=90), "two images have one id; export it again"),
        (
            lambda c: [entry.pop("keypoints") for entry in c["annotations"]],
            "none of 24 annotations has keypoints; export it with them",
        ),
    ],
)
def test_wrong_coco_files_are_refused(tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    content = coco()
    change(content)
    path = tmp_path / "keypoints.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidAnnotation, match=message):
        read_coco(path, fps=10)
    path.write_text("{")
    with pytest.raises(InvalidAnnotation, match=r"keypoints.json is no JSON"):
        read_coco(path, fps=10)


def write_openpose(folder: Path, frame: int, people: list[np.ndarray]) -> Path:
    path = folder / f"clip_{frame:012d}_keypoints.json"
    content = {"version": 1.3, "people": [{"pose_keypoints_2d": p.ravel().tolist()} for p in people]}
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(("joints", "name"), [(25, "openpose25"), (18, "openpose18")])
def test_openpose_folders(tmp_path: Path, joints: int, name: str) -> None:
    for t in (0, 1, 3):
        people = [np.resize(p, (joints, 3)) for p in two_people(t)]
        write_openpose(tmp_path, t, people if t != 1 else [])
    poses = read_openpose(tmp_path, fps=25, frame_size=(160, 200))
    assert poses.skeleton == name
    assert poses.present.tolist() == [[True, True], [False, False], [False, False], [True, True]]
    np.testing.assert_allclose(poses.times, np.arange(4) / 25)


def test_wrong_openpose_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidAnnotation, match="holds no OpenPose files"):
        read_openpose(tmp_path, fps=25, frame_size=(160, 200))
    write_openpose(tmp_path, 0, [np.zeros((25, 3))])
    write_openpose(tmp_path, 1, [np.zeros((18, 3))])
    with pytest.raises(InvalidAnnotation, match="mixes OpenPose's body models"):
        read_openpose(tmp_path, fps=25, frame_size=(160, 200))
    path = write_openpose(tmp_path, 1, [np.zeros((7, 3))])
    for text, message in (
        (path.read_text(), "person 0: keypoints should be 75 or 54 numbers; got 21"),
        ('{"people": [3]}', "person 0: a person should be an object; got 3"),
        ('{"people": 3}', "lacks the list 'people'"),
        ("{", "is no JSON"),
        (json.dumps({"people": [{}] * 201}), "has 201 people; a frame shows 200 at most"),
        (json.dumps({"people": [{"pose_keypoints_2d": [1.0] * 54}]}), "1 people have 54 numbers where"),
    ):
        path.write_text(text)
        write_openpose(tmp_path, 0, [np.ones((25, 3))])
        write_openpose(tmp_path, 2, [np.ones((25, 3))])
        with pytest.warns(WrongEntry, match=message):
            poses = read_openpose(tmp_path, fps=25, frame_size=(160, 200))
        assert poses.present.tolist() == [[True], [False], [True]]
        if "54 numbers where" not in message:
            for frame in (0, 2):
                write_openpose(tmp_path, frame, []).unlink()
            with pytest.raises(InvalidAnnotation, match=message):
                read_openpose(tmp_path, fps=25, frame_size=(160, 200))
    dated = path.rename(tmp_path / "clip_20240101120000_keypoints.json")
    with pytest.raises(InvalidAnnotation, match="would be frame 20240101120000; name the files by frames"):
        read_openpose(tmp_path, fps=25, frame_size=(160, 200))
    dated.rename(tmp_path / "other_000000000000_keypoints.json")
    with pytest.raises(InvalidAnnotation, match="is frame 000000000000 again; keep one video per folder"):
        read_openpose(tmp_path, fps=25, frame_size=(160, 200))
