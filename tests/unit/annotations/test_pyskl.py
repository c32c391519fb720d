"""Skeleton pickles of PySKL and MMAction2."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinesphere.annotations.formats.pyskl import read_pyskl
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, UnsafeFile
from kinesphere.data import Manifest
from kinesphere.datasets import import_skeletons


def pyskl() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    return {
        "split": {"train1": ["a"], "test1": ["b"]},
        "annotations": [
            {
                "frame_dir": "a",
                "label": 3,
                "img_shape": (240, 320),
                "original_shape": (240, 320),
                "total_frames": 5,
                "keypoint": generator.uniform(0, 200, (2, 5, 17, 2)).astype(np.float16),
                "keypoint_score": generator.uniform(0, 1, (2, 5, 17)).astype(np.float16),
            },
            {
                "frame_dir": "b",
                "label": 1,
                "total_frames": 4,
                "keypoint": generator.normal(size=(1, 4, 25, 3)),
            },
        ],
    }


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pyskl_pickles_are_read_without_unpickling(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "set.pkl"
    content = pyskl()
    path.write_bytes(pickle.dumps(content, protocol))
    read = read_pyskl(path)
    assert {name: clip.label for name, clip in read.items()} == {"a": 3, "b": 1}
    assert read.protocols.of("a") == (("split1", "train"),)
    assert read.protocols.of("b") == (("split1", "test"),)
    first = content["annotations"][0]
    np.testing.assert_array_equal(read["a"].poses().keypoints, np.moveaxis(first["keypoint"], 0, 1))
    np.testing.assert_array_equal(read["a"].poses().scores, np.moveaxis(first["keypoint_score"], 0, 1))
    assert read["b"].poses().skeleton == "ntu25"
    assert read["b"].poses().frame_size is None
    first |= {"img_shape": np.array([240, 320]), "total_frames": np.int64(5), "label": np.int64(3)}
    path.write_bytes(pickle.dumps(content["annotations"], protocol))
    assert read_pyskl(path).protocols.names == ()
    assert read_pyskl(path)["a"].poses().frame_size == (240, 320)
    assert read_pyskl(path)["a"].label == 3
    path.write_bytes(pickle.dumps(content | {"split": {"train": 3}}, protocol))
    with pytest.raises(InvalidAnnotation, match="'split' should be lists of clips by their names"):
        read_pyskl(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a: a.update(keypoint=np.zeros((2, 5, 17))),
            r"'keypoint' should be numbers .*; got \(2, 5, 17\)",
        ),
        (lambda a: a.update(keypoint=None), "got NoneType"),
        (
            lambda a: a.update(keypoint=np.zeros((2, 5, 16, 2))),
            "no known skeleton has 16 joints of 2 coordinates",
        ),
        (lambda a: a.update(total_frames=9), "9 frames announced, 5 there"),
        (lambda a: a.pop("keypoint_score"), r"'keypoint_score' should have shape \(2, 5, 17\)"),
        (lambda a: a.update(img_shape=(1,)), r"'img_shape' should be \(H, W\); got"),
        (lambda a: a.update(img_shape=np.array([240, 0])), r"'img_shape' should be \(H, W\); got \[240"),
        (lambda a: a.update(total_frames=np.array([5, 5])), r"\[5 5\] frames announced, 5 there"),
        (
            lambda a: a.update(keypoint_score=np.zeros((2, 5, 17), bool)),
            r"'keypoint_score' should have shape \(2, 5, 17\)",
        ),
        (
            lambda a: a["keypoint"].fill(np.nan),
            "170 of 170 joints have a score, but coordinates that are no num",
        ),
        (lambda a: a.update(keypoint=a["keypoint"].astype(float) + 1e9), "or far outside any image"),
        (lambda a: a.update(keypoint=np.zeros((0, 10**12, 17, 2)), total_frames=10**12), "shows nobody"),
        (lambda a: a["keypoint_score"].fill(0), "shows nobody: no joint has a score"),
        (lambda a: a.update(total_frames=1 << 99), "a number of 100 bits frames announced"),
        (
            lambda a: a.update(keypoint=np.zeros((1001, 1, 17, 2)), total_frames=1),
            "1001 people are more than",
        ),
    ],
)
def test_a_wrong_annotation_is_left_out_and_the_others_are_imported(
    tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    content = pyskl()
    change(content["annotations"][0])
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(InvalidAnnotation, match=message):
        read_pyskl(path)["a"].poses()
    result = import_skeletons("pyskl", path, tmp_path / "out")
    assert [sample.labels for sample in Manifest.read(result.manifest)] == [("class001",)]
    assert [each.path for each in result.skipped] == ["a"]
    assert re.search(message, result.skipped[0].reason)


class _Evil:
    def __reduce__(self) -> Any:
        return (__import__("os").system, ("touch /tmp/owned",))


def test_hostile_and_foreign_pickles(tmp_path: Path) -> None:
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps({"annotations": [_Evil()]}))
    with pytest.raises(UnsafeFile, match="nothing was executed"):
        read_pyskl(path)
    path.write_bytes(pickle.dumps({"annotations": 3}))
    with pytest.raises(InvalidAnnotation, match="lacks the list 'annotations'"):
        read_pyskl(path)
    whole = pickle.dumps(pyskl())
    for length in range(0, len(whole), len(whole) // 20):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidAnnotation, match="is not a readable pickle"):
            read_pyskl(path)


def test_pyskl_sets_keep_their_splits_and_skip_what_has_no_label(tmp_path: Path) -> None:
    content = pyskl()
    content["annotations"].append(content["annotations"][1] | {"frame_dir": "c", "label": -1})
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps(content))
    result = import_skeletons("pyskl", path, tmp_path / "out")
    assert [s.reason for s in result.skipped] == ["it has no label"]
    manifest = Manifest.read(result.manifest)
    assert [(s.labels, s.split) for s in manifest] == [(("class003",), "train"), (("class001",), "test")]


def test_pickles_of_other_hands_are_read(tmp_path: Path) -> None:
    content = pyskl()
    first, second = content["annotations"]
    first |= {"keypoint": first["keypoint"].astype(np.int64), "total_frames": 5.0, "label": "walk, fast"}
    second["label"] = np.array(1)
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps(content))
    result = import_skeletons("pyskl", path, tmp_path / "out")
    assert not result.skipped
    assert [sample.labels for sample in Manifest.read(result.manifest)] == [("walk, fast",), ("class001",)]
    np.testing.assert_array_equal(
        read_pyskl(path)["a"].poses().keypoints, np.moveaxis(first["keypoint"], 0, 1)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(keypoint=a["keypoint"][0]), r"got \(5, 17, 2\) of float16"),
        (lambda a: a.update(keypoint=a["keypoint"].tolist()), "got list"),
        (
            lambda a: a.update(keypoint=np.ones((2, 5, 17, 3))),
            r"known are coco17 \(17, 2\), .* Scores of joints in an image go into 'keypoint_score'",
        ),
        (
            lambda a: a.update(keypoint_score=a["keypoint_score"][..., None]),
            r"should have shape \(2, 5, 17\); got \(2, 5, 17, 1\)",
        ),
        (lambda a: a.pop("keypoint_score"), "got NoneType. Where the estimator gave no scores, write 1"),
    ],
)
def test_wrong_arrays_are_told_as_they_are(
    tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    content = pyskl()
    change(content["annotations"][0])
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(InvalidAnnotation, match=message):
        read_pyskl(path)["a"].poses()


def test_a_list_of_names_gives_classes_theirs(tmp_path: Path) -> None:
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps(pyskl()))
    names = ["drink", "eat", "sit, slowly", "wave"]
    result = import_skeletons("pyskl", path, tmp_path / "out", names=names)
    assert Manifest.read(result.manifest).labels.names == ("eat", "wave")
    with pytest.raises(
        InvalidSetting, match="has a class 3, counted from 0, but there are 3 names of classes"
    ):
        import_skeletons("pyskl", path, tmp_path / "other", names=names[:3])
    assert not (tmp_path / "other").exists()
    with pytest.raises(InvalidSetting, match="names its classes itself; leave the list of names out"):
        import_skeletons("ntu", tmp_path, tmp_path / "other", names=names)
