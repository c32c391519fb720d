"""Data sets with several protocols: every clip once, a column for each, and training by one."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinesphere.core.errors import InvalidManifest
from kinesphere.data import Manifest
from kinesphere.datasets import import_skeletons
from kinesphere.train import Recipe, cross_validate, train

CLASSES = ("clap", "run")
# Which of 16 clips each protocol tests.
TESTED = {"split1": {0, 1, 2, 3}, "split2": {4, 5, 6, 7, 8, 9}}


def clip(number: int) -> np.ndarray:
    """`(T, 15, 2)` of a class of its own kind of motion."""
    joints = np.random.default_rng(number).normal(size=(8, 15, 2)).astype(np.float32)
    joints[:, :, number % 2] += np.linspace(0, 5, 8)[:, None]
    return joints


def write_jhmdb(folder: Path, name: str, numbers: list[int]) -> None:
    folder.mkdir(exist_ok=True)
    clips = [clip(number) for number in numbers]
    np.savez(
        folder / f"{name}.npz",
        joints=np.concatenate(clips),
        lengths=np.array([len(each) for each in clips]),
        labels=np.array([CLASSES[number % 2] for number in numbers]),
    )


def jhmdb(folder: Path) -> Path:
    for split, tested in TESTED.items():
        write_jhmdb(folder, f"{split}_train", [n for n in range(16) if n not in tested])
        write_jhmdb(folder, f"{split}_test", sorted(tested))
    return folder


def annotation(number: int) -> dict[str, Any]:
    points = np.random.default_rng(number).uniform(0, 60, (1, 8, 17, 2)).astype(np.float16)
    points[..., number % 2] += np.linspace(0, 30, 8)[None, :, None].astype(np.float16)
    return {
        "frame_dir": f"v{number:02d}",
        "label": number % 2,
        "img_shape": (96, 128),
        "total_frames": 8,
        "keypoint": points,
        "keypoint_score": np.full((1, 8, 17), 0.9, np.float16),
    }


def write_pyskl(path: Path, splits: dict[str, list[int]]) -> Path:
    lists = {name: [f"v{n:02d}" for n in numbers] for name, numbers in splits.items()}
    path.write_bytes(pickle.dumps({"split": lists, "annotations": [annotation(n) for n in range(16)]}))
    return path


def pyskl(path: Path) -> Path:
    splits = {}
    for protocol, tested in zip(("xsub", "xview"), TESTED.values(), strict=True):
        splits[f"{protocol}_train"] = [n for n in range(16) if n not in tested]
        splits[f"{protocol}_val"] = sorted(tested)
    return write_pyskl(path, splits)


def test_each_clip_of_jhmdb_is_there_once_with_a_column_per_split(tmp_path: Path) -> None:
    result = import_skeletons("jhmdb", jhmdb(tmp_path / "jhmdb"), tmp_path / "out")
    assert (result.files, result.samples, result.skipped) == (16, 16, ())
    for column in ("split1", "split2"):
        manifest = Manifest.read(result.manifest, split_column=column)
        assert Counter(sample.split for sample in manifest) == {
            "train": 16 - len(TESTED[column]),
            "test": len(TESTED[column]),
        }
        assert Counter(sample.labels[0] for sample in manifest.where(split="test")) == Counter(
            CLASSES[number % 2] for number in TESTED[column]
        )
    usual = Manifest.read(result.manifest)
    assert [s.split for s in usual] == [
        s.split for s in Manifest.read(result.manifest, split_column="split1")
    ]


def test_protocols_of_pyskl_are_not_mixed(tmp_path: Path) -> None:
    result = import_skeletons("pyskl", pyskl(tmp_path / "set.pkl"), tmp_path / "out")
    assert (result.samples, result.skipped) == (16, ())
    for column, tested in zip(("xsub", "xview"), TESTED.values(), strict=True):
        manifest = Manifest.read(result.manifest, split_column=column)
        assert {s.id for s in manifest.where(split="val")} == {f"v{number:02d}" for number in tested}
        assert len(manifest.where(split="train")) == 16 - len(tested)
    # The first protocol is the one that nobody has to ask for.
    assert len(Manifest.read(result.manifest).where(split="val")) == len(TESTED["split1"])


def test_a_clip_that_a_protocol_trains_and_tests_is_left_out(tmp_path: Path) -> None:
    path = write_pyskl(tmp_path / "set.pkl", {"train1": [0, 1, 2, 3], "test1": [3, 4, 5], "all": [1]})
    result = import_skeletons("pyskl", path, tmp_path / "out")
    assert len(Manifest.read(result.manifest)) == 15
    said = {each.path: each.reason for each in result.skipped}
    assert "It belongs to train and to test of split1 at once" in said["v03"]
    assert "its name tells neither train nor val nor test" in said["split 'all'"]
    write_jhmdb(tmp_path / "jhmdb", "split1_train", [0, 1, 2, 3])
    write_jhmdb(tmp_path / "jhmdb", "split1_test", [3, 4, 5])
    result = import_skeletons("jhmdb", tmp_path / "jhmdb", tmp_path / "other")
    assert [each.path for each in result.skipped] == ["split1_train/0003"]
    assert len(Manifest.read(result.manifest)) == 5


def test_lists_that_name_clips_without_an_annotation_are_told(tmp_path: Path) -> None:
    path = write_pyskl(tmp_path / "set.pkl", {"xsub_train": [*range(12), 77], "xsub_val": [12, 13, 14, 15]})
    result = import_skeletons("pyskl", path, tmp_path / "out")
    assert [(each.path, each.is_failure) for each in result.skipped] == [("v77", False)]


@pytest.mark.parametrize(("kind", "column", "test"), [("jhmdb", "split2", "test"), ("pyskl", "xview", "val")])
def test_training_follows_the_split_column(tmp_path: Path, kind: str, column: str, test: str) -> None:
    source = jhmdb(tmp_path / "jhmdb") if kind == "jhmdb" else pyskl(tmp_path / "set.pkl")
    manifest = import_skeletons(kind, source, tmp_path / "data").manifest
    settings = [
        f"data.split_column={column}", f"data.val={test if test == 'val' else 0}", "train.epochs=1",
        "train.batch_size=4", "compute.workers=0", "clip.sampling=uniform8", "log.tensorboard=false",
    ]  # fmt: skip
    run = train(Recipe.load(manifest, [*settings, f"out={tmp_path / 'run'}"]))
    assert run.report is not None
    assert run.report.clips == len(TESTED["split2"])
    assert Recipe.load(tmp_path / "run").data.split_column == column


def test_folds_of_data_with_a_split_column_are_their_own(tmp_path: Path) -> None:
    manifest = import_skeletons("jhmdb", jhmdb(tmp_path / "jhmdb"), tmp_path / "data").manifest
    settings = ["data.split_column=split2", "train.steps=1", "train.batch_size=4", "compute.workers=0",
                "clip.sampling=uniform8", "log.tensorboard=false", f"out={tmp_path / 'folds'}"]  # fmt: skip
    assert cross_validate(Recipe.load(manifest, settings), 2).report.clips == 16


def test_an_unknown_column_is_answered_with_the_nearest(tmp_path: Path) -> None:
    manifest = import_skeletons("pyskl", pyskl(tmp_path / "set.pkl"), tmp_path / "data").manifest
    for asked in ({"split_column": "xveiw"}, {"group_column": "xveiw"}, {"label_column": "xveiw"}):
        with pytest.raises(InvalidManifest, match=r"column 'xveiw'; did you mean xview"):
            Manifest.read(manifest, **asked)  # type: ignore[arg-type]
