"""Folders of images as samples: in tables, in lists of this field, made from videos."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kinesphere.apps.cli.main import app
from kinesphere.clips import ClipSpec, Sampling
from kinesphere.core.errors import InvalidManifest, InvalidSetting
from kinesphere.data import ClipDataset, Item, Manifest, check
from kinesphere.train.config import DataSection
from kinesphere.train.resolve import read_data

SPEC = ClipSpec(Sampling.parse("4x2x1"), (16, 16))


@pytest.fixture
def extracted(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """Two videos of two classes, and their frames at 10 a second."""
    for number, label in enumerate(("walk", "run")):
        make_video(tmp_path / "videos" / label / f"{number}.mp4", frames=25, tint=number)
    words = ["extract", "frames", str(tmp_path / "videos"), "--out", str(tmp_path / "images"), "--rate", "10"]
    found = CliRunner().invoke(app, [*words, "--format", "png"])
    assert found.exit_code == 0, found.output
    assert "20 images of 2 videos" in found.stdout
    return tmp_path


def test_frames_become_images_once_and_read_as_a_video(extracted: Path) -> None:
    (extracted / "m.csv").write_text("path,label\nimages/walk/0,walk\nimages/run/1,run\n")
    item = ClipDataset(Manifest.read(extracted / "m.csv"), SPEC, train=False)[0]
    assert isinstance(item, Item)
    assert item.inputs[0].shape == (1, 4, 3, 16, 16)

    words = ["extract", "frames", str(extracted / "videos"), "--out", str(extracted / "images")]
    again = CliRunner().invoke(app, [*words, "--rate", "10", "--format", "png", "--json"])
    assert len(json.loads(again.stdout)["kept"]) == 2
    other = CliRunner().invoke(app, [*words, "--count", "3", "--json"])
    assert other.exit_code == 1
    assert "was made with other settings" in json.loads(other.stdout)["failures"][0]["reason"]
    anew = CliRunner().invoke(app, [*words, "--count", "3", "--overwrite", "--short-side", "24", "--json"])
    assert json.loads(anew.stdout)["images"] == 6
    assert sorted(path.name for path in (extracted / "images/run/1").iterdir()) == [
        "frames.json", "img_00001.jpg", "img_00002.jpg", "img_00003.jpg",
    ]  # fmt: skip


def test_a_list_of_folders_with_numbers_of_frames_and_labels(extracted: Path) -> None:
    listed = extracted / "train.txt"
    listed.write_text("images/walk/0 10 10\nimages/run/1 10 2\nnothing\n")
    with pytest.raises(InvalidManifest, match=r"line 3: should read `path num_frames label`; got 'nothing'"):
        Manifest.read(listed)
    manifest = Manifest.read(listed, wrong_rows="skip")

    assert manifest.labels.names == ("2", "10")
    assert dict(manifest[0].extra) == {"num_frames": "10"}
    (extracted / "category.txt").write_text("\n".join(f"class {i}" for i in range(11)))
    assert Manifest.read(listed, wrong_rows="skip").labels.names == ("class 2", "class 10")
    found = check(manifest, SPEC, workers=1)
    assert (found.frame_rates, found.codecs, found.unreadable) == ({"10": 2}, {"images": 2}, ())


def test_the_rate_comes_from_the_table_a_setting_or_nowhere(extracted: Path) -> None:
    for file in extracted.glob("images/*/*/frames.json"):
        file.unlink()
    (extracted / "m.csv").write_text("path,label,fps\nimages/walk/0,walk,5\nimages/run/1,run,\n")

    found = check(Manifest.read(extracted / "m.csv"), SPEC, workers=1)
    assert found.frame_rates == {"5": 1}
    assert "nothing states their frame rate" in found.unreadable[0].reason
    manifest = read_data(DataSection(source=(str(extracted / "m.csv"),), fps=8.0))
    assert [sample.fps for sample in manifest] == [5.0, 8.0]


@pytest.mark.parametrize("words", [[], ["--count", "2", "--rate", "2"]])
def test_frames_need_a_count_or_a_rate(tmp_path: Path, words: list[str]) -> None:
    arguments = ["extract", "frames", str(tmp_path), "--out", str(tmp_path / "x"), *words]
    assert isinstance(CliRunner().invoke(app, arguments).exception, InvalidSetting)
