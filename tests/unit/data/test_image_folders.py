"""Folders of images as samples: in tables, in lists of this field, made from videos."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kinesphere.annotations.extract.frames import ExtractedFrames, FrameSettings, extract_frames
from kinesphere.apps.cli.main import app
from kinesphere.clips import ClipSpec, Sampling
from kinesphere.core.errors import InvalidManifest, InvalidSetting
from kinesphere.data import ClipDataset, Item, Manifest, check
from kinesphere.data.frame_lists import read_frame_list
from kinesphere.models import create_model, save_model
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


def test_what_was_extracted_is_data_itself(extracted: Path) -> None:
    manifest = Manifest.read(extracted / "images")
    assert [(sample.id, sample.labels) for sample in manifest] == [("run/1", ("run",)), ("walk/0", ("walk",))]
    assert manifest.unused == ()
    item = ClipDataset(manifest, SPEC, train=False)[0]
    assert isinstance(item, Item)
    assert item.inputs[0].shape == (1, 4, 3, 16, 16)
    found = CliRunner().invoke(app, ["check", str(extracted / "images"), "--json"])
    assert (found.exit_code, json.loads(found.stdout)["clips"]) == (0, 2), found.output
    model = str(save_model(create_model("r3d_tiny", ["run", "walk"]), extracted / "model.safetensors"))
    words = ["extract", "features", str(extracted / "images"), "--out", str(extracted / "features"), "--json"]
    for key in ("written", "kept"):
        found = CliRunner().invoke(app, [*words, "--model", model])
        assert (found.exit_code, len(json.loads(found.stdout)[key])) == (0, 2), found.output


def test_folders_of_others_are_never_replaced(extracted: Path) -> None:
    theirs = extracted / "out" / "walk" / "0"
    theirs.mkdir(parents=True)
    (theirs / "notes.txt").write_text("mine")
    words = ["extract", "frames", str(extracted / "videos"), "--out", str(extracted / "out"), "--count", "2"]
    for more in ([], ["--overwrite"]):
        found = CliRunner().invoke(app, [*words, *more, "--json"])
        assert found.exit_code == 1
        (failure,) = json.loads(found.stdout)["failures"]
        assert "holds files and no frames.json, so it was not made by this command" in failure["reason"]
        assert (theirs / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in (extracted / "out").rglob("*.*")) == [
        "frames.json", "img_00001.jpg", "img_00002.jpg", "notes.txt",
    ]  # fmt: skip


def test_frames_of_one_folder_are_extracted_twice_at_once(extracted: Path) -> None:
    videos = sorted((extracted / "videos").rglob("*.mp4"))
    settings = FrameSettings(count=4)

    def extract(_: int) -> ExtractedFrames:
        return extract_frames(videos, extracted / "both", settings, root=extracted / "videos", overwrite=True)

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(extract, range(3)))
    assert [each.images for each in found] == [8, 8, 8]
    assert len(list((extracted / "both").rglob("*.jpg"))) == 8
    assert list((extracted / "both").rglob(".*")) == []


def test_a_list_of_folders_with_numbers_of_frames_and_labels(extracted: Path) -> None:
    listed = extracted / "train.txt"
    listed.write_text("images/walk/0 10 10\nimages/run/1 10 2\nnothing\n")
    wrong = r"line 3: should read `video\.mp4 label` or, for images, `path num_frames label`; got 'nothing'"
    with pytest.raises(InvalidManifest, match=wrong):
        Manifest.read(listed)
    manifest = Manifest.read(listed, wrong_rows="skip")

    assert manifest.labels.names == ("2", "10")
    assert dict(manifest[0].extra) == {"num_frames": "10"}
    (extracted / "category.txt").write_text("\n".join(f"class {i}" for i in range(11)))
    assert Manifest.read(listed, wrong_rows="skip").labels.names == ("class 2", "class 10")
    found = check(manifest, SPEC, workers=1)
    assert (found.frame_rates, found.codecs, found.unreadable) == ({"10": 2}, {"images": 2}, ())
    assert not any(each.kind == "frames" for each in found.problems)
    listed.write_text("images/walk/0 12 10\nimages/run/1 9 2\n")
    (fewer,) = (
        each for each in check(Manifest.read(listed), SPEC, workers=1).problems if each.kind == "frames"
    )
    assert fewer.message.startswith("1 folders hold fewer images than the list says")
    assert fewer.where == ("images/walk/0: 10 of 12",)


def test_a_list_of_videos_with_labels(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    names = ("some videos/drinking (1).mp4", "some videos/lecture.mp4 2.MKV", "c.mp4")
    for name in names:
        make_video(tmp_path / name, frames=8)
    listed = tmp_path / "train.txt"
    listed.write_text(f"{names[0]} 1\n{names[1]}\t0\n{names[2]},1\n")
    manifest = Manifest.read(listed)

    assert [(sample.id, sample.labels, sample.extra) for sample in manifest] == [
        (names[0], ("1",), ()), (names[1], ("0",), ()), (names[2], ("1",), ()),
    ]  # fmt: skip
    assert all(sample.path.is_file() for sample in manifest)
    listed.write_text("c.mp4 1,2\nc.mp4 12 0\nfolder.avi 121 0\nd.mp4 0 -1\n")
    again = Manifest.read(listed, wrong_rows="skip")
    assert [(sample.labels, sample.extra) for sample in again] == [
        (("1", "2"), ()), (("0",), (("num_frames", "12"),)), (("0",), (("num_frames", "121"),)),
    ]  # fmt: skip
    assert [each.path for each in again.wrong] == [f"{listed}, line 4"]


def test_names_that_are_numbered_from_one(tmp_path: Path) -> None:
    (tmp_path / "classInd.txt").write_text("1 Archery\n2 Bowling\n3 Diving\n")
    listed = tmp_path / "trainlist01.txt"
    listed.write_text("Bowling/a.avi 2\nDiving/b.avi 3\n")
    assert Manifest.read(listed).labels.names == ("Bowling", "Diving")
    listed.write_text("Archery/a.avi 0\nBowling/b.avi 1\n")
    assert Manifest.read(listed).labels.names == ("Archery", "Bowling")
    listed.write_text("Archery/a.avi 0\nDiving/b.avi 3\n")
    assert Manifest.read(listed).labels.names == ("0", "3")


def test_check_and_evaluate_take_a_rate_for_folders_of_images(extracted: Path) -> None:
    for file in extracted.glob("images/*/*/frames.json"):
        file.unlink()
    (extracted / "m.csv").write_text("path,label\nimages/walk/0,walk\nimages/run/1,run\n")
    words = ["check", str(extracted / "m.csv"), "--json"]
    before = json.loads(CliRunner().invoke(app, words).stdout)
    assert "(check, evaluate: --fps)" in before["unreadable"][0]["reason"]
    after = CliRunner().invoke(app, [*words, "--fps", "8"])
    assert after.exit_code == 0
    assert json.loads(after.stdout)["frame_rates"] == {"8": 2}
    (extracted / "images" / "walk" / "0" / "fps.txt").write_text("5")
    assert json.loads(CliRunner().invoke(app, [*words, "--fps", "8"]).stdout)["frame_rates"] == {"8": 2}


def test_folders_whose_names_end_in_numbers_are_those_that_are_there(tmp_path: Path) -> None:
    listed = tmp_path / "train.txt"
    listed.write_text("my clip 12 30 5\nother 12 30 5\nmany 30 1, 2 ,3\n")
    (tmp_path / "my clip 12").mkdir()
    samples, wrong, classes = read_frame_list(listed)
    assert wrong == []
    assert [(each.id, each.labels) for each in samples] == [
        ("my clip 12", ("5",)), ("other", ("5", "30")), ("many", ("1", "2", "3")),
    ]  # fmt: skip
    assert classes == ("1", "2", "3", "5", "30")


@pytest.mark.parametrize(
    "line", ["v 30 " + "9" * 5000, "v 30 99999999999", "1 " * 60_000 + "x", "v " + "9" * 50]
)
def test_lines_of_absurd_numbers_are_wrong_and_cost_nothing(tmp_path: Path, line: str) -> None:
    listed = tmp_path / "train.txt"
    listed.write_text(f"a 10 999999999\n{line}\n")
    began = time.process_time()
    samples, wrong, classes = read_frame_list(listed)
    assert (len(samples), len(wrong), classes) == (1, 1, ("999999999",))
    assert time.process_time() - began < 2


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
