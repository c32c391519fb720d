"""Every annotation format against its promises; a format is added by one file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinesphere.annotations.extract.estimator_outputs import match_outputs
from kinesphere.annotations.formats.registry import FORMATS, EstimatorFormat, Format, estimators
from kinesphere.annotations.parsing.frame_numbers import Numbering
from kinesphere.apps.cli.main import app
from kinesphere.clips.modalities.pose.file import read_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.core.errors import InvalidAnnotation, UnknownName
from kinesphere.core.registry import Registry
from kinesphere.video import VideoWriter

CONTRIBUTING = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"
Install = Callable[[Registry[Any], str, str], None]
VIDEO: dict[str, Any] = {"fps": 30.0, "frame_size": (48, 64), "frames": 4, "numbering": Numbering()}


def example(name: str, folder: Path) -> Path:
    path = folder / f"example{FORMATS.get(name).suffixes[0]}"
    FORMATS.get(name).write_example(path)
    return path


def content(name: str, path: Path) -> Any:
    form = FORMATS.get(name)
    return form.read(path, **VIDEO) if isinstance(form, EstimatorFormat) else form.read(path)


def assert_equal(one: Any, other: Any) -> None:
    """Equality of data classes, arrays and collections of them."""
    assert type(one) is type(other)
    if is_dataclass(one):
        for field in fields(one):
            assert_equal(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, Mapping):
        assert one.keys() == other.keys()
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for each, twin in zip(one, other, strict=True):
            assert_equal(each, twin)
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize("name", FORMATS)
def test_examples_are_read(name: str, tmp_path: Path) -> None:
    form = FORMATS.get(name)
    assert form.title
    assert form.holds
    path = example(name, tmp_path)
    found = content(name, path)
    assert found
    assert_equal(content(name, path), found)
    if isinstance(found, Poses):
        assert found.present.any()


@pytest.mark.parametrize("name", FORMATS)
def test_broken_files_are_refused(name: str, tmp_path: Path) -> None:
    path = example(name, tmp_path)
    for file in path.iterdir() if path.is_dir() else [path]:
        file.write_bytes(b"\x00 no such file")
    if name == "utkinect_labels":  # a list of lines, of which the right ones count
        assert content(name, path).wrong
        return
    with pytest.raises(InvalidAnnotation, match=r"example"):
        content(name, path)


@pytest.mark.parametrize("name", [n for n in FORMATS if getattr(FORMATS.get(n), "write", None)])
def test_what_is_written_is_read_again(name: str, tmp_path: Path) -> None:
    form = FORMATS.get(name)
    assert isinstance(form, Format)
    assert form.write is not None
    found = content(name, example(name, tmp_path))
    again = tmp_path / f"again{form.suffixes[0]}"
    form.write(found, again)
    assert_equal(content(name, again), found)


@pytest.mark.parametrize("name", estimators())
def test_outputs_of_estimators_are_found_and_numbered(name: str, tmp_path: Path) -> None:
    form = estimators()[name]
    path = tmp_path / ("example.json" if form.suffixes == (".json",) else "example")
    form.write_example(path)
    assert form.find(tmp_path) == [path]
    assert form.frame_numbers(path) == [0, 1, 2, 3]
    assert content(name, path).origin == form.origin
    video = tmp_path / "example.mp4"
    assert match_outputs(name, tmp_path, [video, tmp_path / "other.mp4"]) == ({video: path}, ())


def test_unknown_formats_are_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="no annotation format called 'openpos'; did you mean openpose"):
        FORMATS.get("openpos")


def test_a_format_is_one_file(tmp_path: Path, install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    """The example of CONTRIBUTING.md, a module of another distribution, is all that it takes."""
    blocks = re.findall(r"^```python\n(.*?)^```", CONTRIBUTING.read_text(encoding="utf-8"), re.M | re.S)
    (code,) = (block for block in blocks if "FORMATS" in block)
    install(FORMATS, "kinesphere.formats", code)
    assert estimators()["stickcsv"].origin == "Stick"
    with pytest.raises(SystemExit):
        app(["import-skeletons", "--help"])
    assert "coco, openpose and stickcsv" in " ".join(capsys.readouterr().out.split())
    data, outputs = tmp_path / "data", tmp_path / "outputs"
    videos = [data / "anna.mp4", data / "ben.mp4"]
    data.mkdir()
    outputs.mkdir()
    for video in videos:
        with VideoWriter(video, (48, 64), 30) as writer:
            for _ in range(4):
                writer.write(np.zeros((48, 64, 3), np.uint8))
        estimators()["stickcsv"].write_example(outputs / f"{video.stem}.stick.csv")
    assert match_outputs("stickcsv", outputs, videos)[0][videos[1]] == outputs / "ben.stick.csv"
    with pytest.raises(SystemExit) as left:
        app(["import-skeletons", "stickcsv", str(outputs), "--videos", str(data)])
    assert not left.value.code, capsys.readouterr()
    poses = read_poses(videos[0].with_name("anna.mp4.pose.npz"))
    assert (poses.origin, poses.keypoints[:, 0, 0, 0].tolist()) == ("Stick", [9, 10, 11, 12])


def test_the_longest_suffix_of_a_format_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coco = estimators()["coco"]
    toy = replace(coco, suffixes=(".csv", ".stick.csv"), find=lambda folder: sorted(folder.rglob("*.csv")))
    monkeypatch.setitem(FORMATS._members, "toy", toy)
    files = [tmp_path / "anna.csv", tmp_path / "ben.stick.csv"]
    for path in files:
        path.touch()
    videos = [tmp_path / "anna.mp4", tmp_path / "ben.mp4"]
    assert match_outputs("toy", tmp_path, videos) == (dict(zip(videos, files, strict=True)), ())
