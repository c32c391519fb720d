"""Layouts of folders, and what of a folder is not used."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesphere.clips import MODALITIES
from kinesphere.core.errors import InvalidManifest, InvalidSetting, KinesphereError
from kinesphere.data.groups import group_of_name
from kinesphere.data.manifest import Manifest
from kinesphere.predict import find_sources
from kinesphere.video import Video


def files(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode("utf-8", "surrogateescape"))
    return root


def unused(manifest: Manifest) -> dict[str, str]:
    return {each.path: each.reason for each in manifest.unused}


SPLIT = ("train/walk/a.mp4", "train/wave/b.mp4", "test/walk/c.mp4", "test/wave/d.mp4")


def test_what_lies_beside_the_splits_is_listed_and_not_taken_for_classes(tmp_path: Path) -> None:
    files(
        tmp_path, *SPLIT, "__MACOSX/train/walk/._a.mp4", "annotations/x.json", ".cache/y.mp4", "readme.txt",
        "runs/one/recipe.yaml", "runs/one/splits.csv", "runs/one/annotated.mp4", "extra/z.mp4", "lost.mp4",
    )  # fmt: skip
    manifest = Manifest.read(tmp_path)
    assert manifest.labels.names == ("walk", "wave")
    assert [sample.split for sample in manifest] == ["test", "test", "train", "train"]
    assert unused(manifest) == {
        "__MACOSX": "a folder of the operating system",
        "annotations": "a folder without a video",
        "annotations/x.json": "no video's suffix",
        ".cache": "hidden",
        "readme.txt": "no video's suffix",
        "runs": "a folder without a video",
        "runs/one": "the folder of a training run",
        "extra/z.mp4": "lies beside the folders of the splits",
        "lost.mp4": "lies beside the folders of the splits",
    }


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "dev"), {"train", "val"}),
        (("Training", "Testing", "Eval"), {"train", "test", "val"}),
        (("train", "eval"), {"train", "test"}),
        (("train", "valid", "evaluation"), {"train", "val", "test"}),
        (("train", "val", "test"), {"train", "val", "test"}),
    ],
)
def test_names_of_splits(tmp_path: Path, folders: tuple[str, ...], splits: set[str]) -> None:
    for folder in folders:
        files(tmp_path, f"{folder}/walk/a.mp4", f"{folder}/wave/b.mp4")
    manifest = Manifest.read(tmp_path)
    assert set(manifest.splits) == splits
    assert manifest.labels.names == ("walk", "wave")


def test_an_unlabelled_or_empty_split_is_listed(tmp_path: Path) -> None:
    files(tmp_path, *SPLIT[:2], "test/1.mp4", "test/2.mp4")
    (tmp_path / "val").mkdir()
    (tmp_path / "train" / "jump").mkdir()
    manifest = Manifest.read(tmp_path)
    assert manifest.labels.names == ("walk", "wave")
    assert manifest.splits == ("train",)
    unlabelled = "lies in the split 'test' without a class folder and has no label"
    assert unused(manifest) == {
        "test/1.mp4": unlabelled,
        "test/2.mp4": unlabelled,
        "val": "a folder without a video",
        "train/jump": "a folder without a video",
    }


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train/1.mp4", "test/2.mp4"), "'test', 'train' are splits, but their videos lie in no"),
        (("train/1.mp4", "test/2.mp4", "jump/3.mp4"), "nothing gives their labels"),
        (("train/1.mp4", "test/notes.txt"), "the folders 'train' are splits"),
        (("train/walk/1.mp4", "jump/3.mp4"), "'train' looks like a split of classes, and 'jump'"),
        (("UCF/walk/1.mp4", "UCF/wave/2.mp4"), "the one class 'UCF', with 2 folders in it.*give .*UCF"),
        (("train/all/walk/1.mp4", "train/all/wave/2.mp4"), "the one class 'all'.*give .*train/all"),
    ],
)  # fmt: skip
def test_a_layout_that_is_not_understood_is_refused(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InvalidManifest, match=message):
        Manifest.read(files(tmp_path, *names))


def test_splits_may_lie_within_classes(tmp_path: Path) -> None:
    files(tmp_path, "walk/train/a.mp4", "walk/test/b.mp4", "wave/train/c.mp4", "wave/test/d.mp4")
    manifest = Manifest.read(tmp_path)
    assert manifest.labels.names == ("walk", "wave")
    assert [sample.split for sample in manifest] == ["test", "train", "test", "train"]


def test_linked_folders_are_entered_and_loops_listed(tmp_path: Path) -> None:
    files(tmp_path / "elsewhere", "1.mp4", "deep/2.mp4")
    files(tmp_path / "data", "walk/a.mp4")
    (tmp_path / "data" / "wave").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "walk" / "back").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "walk" / "gone.mp4").symlink_to(tmp_path / "nowhere")
    manifest = Manifest.read(tmp_path / "data")
    assert [(sample.id, sample.labels[0]) for sample in manifest] == [
        ("walk/a.mp4", "walk"), ("wave/1.mp4", "wave"), ("wave/deep/2.mp4", "wave")
    ]  # fmt: skip
    assert unused(manifest) == {
        "walk/back": "a link to a folder that holds it",
        "walk/gone.mp4": "a link to nothing",
    }


def test_pipes_are_not_opened_and_extracted_files_need_no_word(tmp_path: Path) -> None:
    files(tmp_path, "walk/a.mp4", "walk/a.mp4.pose.npz", "walk/b.mp4.flow.npz", "wave/c.mov")
    os.mkfifo(tmp_path / "walk" / "pipe.mp4")
    assert unused(Manifest.read(tmp_path)) == {
        "walk/b.mp4.flow.npz": "no video's suffix",
        "walk/pipe.mp4": "neither file nor folder",
    }


def test_files_of_other_packages_modalities_need_no_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = MODALITIES.get("flow")
    assert flow.sidecar is not None
    accel = replace(flow, sidecar=replace(flow.sidecar, suffix=".accel.csv", alone=Video.open))
    monkeypatch.setitem(MODALITIES._members, "accel", accel)
    files(tmp_path, "walk/a.mp4", "walk/a.mp4.accel.csv", "walk/b.mp4.accel.csv", "wave/c.mov")
    assert unused(Manifest.read(tmp_path)) == {"walk/b.mp4.accel.csv": "no video's suffix"}
    of = [group_of_name(Path(f"v_Walk_g03_c02{end}"), "Walk") for end in (".accel.csv", ".mp4")]
    assert of[0] == of[1] is not None


def test_one_list_of_suffixes_for_training_and_prediction(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files(tmp_path, "walk/a.MXF", "walk/b.3g2", "wave/c.asf", "wave/d.xyz")
    assert [sample.id for sample in Manifest.read(tmp_path)] == ["walk/a.MXF", "walk/b.3g2", "wave/c.asf"]
    assert len(find_sources([str(tmp_path)])) == 3
    assert "1 files and folders" in caplog.text
    assert "1 × no video's suffix" in caplog.text


def test_folder_names_in_two_forms_are_one_class_and_other_bytes_no_label(tmp_path: Path) -> None:
    files(tmp_path, "plie\u0301/a.mp4", "pli\u00e9/b.mp4", os.fsdecode(b"wave/\xff.mp4"))
    manifest = Manifest.read(tmp_path)
    assert manifest.labels.names == ("pli\u00e9", "wave")
    assert manifest[2].id == r"wave/\udcff.mp4"
    assert manifest[2].path.read_bytes() == b"wave/\xff.mp4"
    manifest.write(tmp_path / "table.csv")
    manifest.write(tmp_path / "table.parquet")
    for name in ("table.csv", "table.parquet"):
        assert Manifest.read(tmp_path / name).samples == manifest.samples
    files(tmp_path, os.fsdecode(b"\xfe/a.mp4"))
    with pytest.raises(InvalidManifest, match=r"the label '\\\\udcfe' is no text"):
        Manifest.read(tmp_path)


def test_videos_that_a_folders_table_leaves_out_are_listed(tmp_path: Path) -> None:
    files(tmp_path, "walk/a.mp4", "walk/b.mp4")
    (tmp_path / "labels.csv").write_text("path,label\nwalk/a.mp4,run\n")
    assert unused(Manifest.read(tmp_path)) == {"walk/b.mp4": "not in the folder's table"}


def test_links_to_folders_of_links_do_not_multiply(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / "elsewhere" / str(number)).mkdir(parents=True)
    for number in range(39):
        for name in ("left", "right"):
            target = tmp_path / "elsewhere" / str(number + 1)
            (tmp_path / "elsewhere" / str(number) / name).symlink_to(target)
    files(tmp_path, "data/walk/1.mp4", "elsewhere/39/deep.mp4")
    (tmp_path / "data" / "wave").symlink_to(tmp_path / "elsewhere" / "0")
    manifest = Manifest.read(tmp_path / "data")
    assert 2 <= len(manifest) <= 9
    assert "a folder that is linked more than 8 times" in unused(manifest).values()


NAMES = st.sampled_from(
    [
        "train",
        "test",
        "val",
        "eval",
        "a",
        "b",
        "__MACOSX",
        ".git",
        "runs",
        "A",
        "[b]",
        "\udcff",
        "e\u0301",
        "x|y",
        " ",
    ]
) | st.text(st.characters(exclude_characters="\0/", codec="utf-8"), min_size=1, max_size=6)
LEAVES = st.sampled_from(["1.mp4", "2.MKV", "x.txt", ".h.mp4", "recipe.yaml", "3.mp4.pose.npz", "\udcfe.avi"])


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.lists(NAMES, max_size=4), LEAVES), min_size=1, max_size=8))
def test_any_tree_gives_samples_or_typed_errors(
    tmp_path_factory: pytest.TempPathFactory, tree: list[tuple[list[str], str]]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for folders, leaf in tree:
        with contextlib.suppress(OSError):  # a folder where a file is
            files(root, "/".join([*(name for name in folders if name not in (".", "..")), leaf]))
    everything = sum(path.is_file() for path in root.rglob("*"))
    try:
        manifest = Manifest.read(root)
    except KinesphereError:
        return
    assert len(manifest) + len(manifest.unused) > 0
    assert len(manifest) <= everything


def test_a_link_that_leads_to_itself_is_not_used(tmp_path: Path) -> None:
    files(tmp_path, "walk/a.mp4", "wave/b.mp4")
    (tmp_path / "walk" / "loop.mp4").symlink_to("loop.mp4")
    manifest = Manifest.read(tmp_path)
    assert len(manifest.samples) == 2
    assert unused(manifest) == {"walk/loop.mp4": "cannot be opened (Too many levels of symbolic links)"}
    assert len(find_sources([str(tmp_path)])) == 2


def test_frames_that_are_stored_as_images_are_told(tmp_path: Path) -> None:
    files(tmp_path, *(f"walk/v1/img_{number:05d}.jpg" for number in range(3)), "walk/v1/flow.PNG")
    advice = r"There are 4 images: a folder .* is read as a video where its frame rate is stated, .*`fps.txt`"
    with pytest.raises(InvalidManifest, match=rf"holds no videos in class folders; .* {advice}"):
        Manifest.read(tmp_path)
    with pytest.raises(InvalidSetting, match=rf"holds no video; known suffixes: .* {advice}"):
        find_sources([str(tmp_path / "walk")])
    files(tmp_path, "wave/a.mp4", "walk/b.mp4")
    assert unused(Manifest.read(tmp_path))["walk/v1/flow.PNG"] == "an image, not a video"
    (tmp_path / "walk" / "fps.txt").write_text("12")
    assert unused(Manifest.read(tmp_path)) == {"walk/fps.txt": "no video's suffix"}
    assert [sample.id for sample in Manifest.read(tmp_path)] == ["walk/b.mp4", "walk/v1", "wave/a.mp4"]
    for sources in (tmp_path, tmp_path / "walk" / "v1", tmp_path / "walk" / "v*"):
        assert str(tmp_path / "walk" / "v1") in find_sources([str(sources)])


@pytest.mark.parametrize("closed", ["walk", "."])
def test_a_folder_that_may_not_be_entered_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    """The system's calls refuse what lies in a folder of somebody else's."""
    files(tmp_path, "walk/a.mp4", "wave/b.mp4", "run/c.mp4")
    inside = str(tmp_path / closed)

    def refusing(call: Callable[..., object]) -> Callable[..., object]:
        def asked(path: object, *more: object, **settings: object) -> object:
            text = os.fspath(path) if isinstance(path, str | Path) else ""
            is_listed = call is listed and text == inside
            if is_listed or (call is stated and text.startswith(inside + os.sep) and closed != "."):
                raise PermissionError(errno.EACCES, "Permission denied", text)
            return call(path, *more, **settings)

        return asked

    listed, stated = os.scandir, os.stat
    monkeypatch.setattr(os, "scandir", refusing(listed))
    monkeypatch.setattr(os, "stat", refusing(stated))
    if closed == ".":
        with pytest.raises(InvalidManifest, match="holds no videos in class folders"):
            Manifest.read(tmp_path)
        return
    manifest = Manifest.read(tmp_path)
    assert manifest.labels.names == ("run", "wave")
    assert unused(manifest)["walk"] == "cannot be opened (Permission denied)"
