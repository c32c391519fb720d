"""What people read: names as they are, every problem with its place, and what was probably meant."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from pathlib import Path

import pytest

from kinesphere.core.errors import NobodySeen


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["epochs=1"], "did you mean train.epochs"),
        (["model.nmae=r3d_18"], r"did you mean model\.name"),
        (["model=r3d_18"], "did you mean model.name=r3d_18"),
        (["data=elsewhere"], "did you mean data.source=elsewhere"),
        (["--model", "r3d_18"], "Did you mean model.name=VALUE"),
        (["--epochs=3"], "Did you mean train.epochs=3"),
        (["--folsd", "3"], "--folds"),
        (["model.name=r3d_81"], "did you mean r3d_18"),
        (["data.labels=[wave,fall]"], "must list every label that occurs.*'get up'"),
        (["data.labels=[wave,fall,get_up]"], "In data.labels: label 'get_up'.*Did you mean 'get up'"),
        (["data.mirror=[[wave,x]]"], "mirrored labels, pair wave / x: label 'x'"),
    ],
)
def test_what_was_meant_is_said(kinesphere, mannequins: Path, tmp_path: Path, words, hint) -> None:
    ended = kinesphere("train", mannequins, f"out={tmp_path / 'run'}", *words)
    assert ended.code == 2
    assert re.search(hint, " ".join((ended.out + ended.err).split())), ended.err
    assert "to train on" not in ended.out + ended.err  # nothing is announced that is refused afterwards


def test_one_class_is_nothing_to_tell_apart(kinesphere, mannequins: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "wave [1]").mkdir(parents=True)
    for number, clip in enumerate(sorted(mannequins.rglob("*wave*.mp4"))[:4]):
        shutil.copy(clip, tmp_path / "data" / "wave [1]" / f"[bold]{number}[x].mp4")
    ended = kinesphere("train", tmp_path / "data", f"out={tmp_path / 'run'}")
    assert ended.code == 2
    assert "All 4 samples are of one class, 'wave [1]'" in ended.err
    checked = kinesphere("check", tmp_path / "data")
    assert checked.code == 1
    assert "There is one class only, 'wave [1]'" in checked.out


def test_names_in_brackets_are_shown_as_they_are(kinesphere, mannequins: Path, tmp_path: Path) -> None:
    clip = next(iter(sorted(mannequins.rglob("*.mp4"))))
    for name in ("[red]a", "b[nonsense]"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        shutil.copy(clip, folder / "[bold]x.mp4")
        (folder / "broken[blue].mp4").write_bytes(b"no video")
    ended = kinesphere("check", tmp_path / "data")
    assert "Traceback" not in ended.err
    for name in ("[red]a", "b[nonsense]", "broken[blue].mp4"):
        assert name in ended.out


def test_check_says_why_a_file_cannot_be_read(kinesphere, mannequins: Path, tmp_path: Path) -> None:
    clips = sorted(mannequins.rglob("*.mp4"))
    for name, clip in zip("ab", clips, strict=False):
        (tmp_path / "data" / name).mkdir(parents=True)
        shutil.copy(clip, tmp_path / "data" / name / "good.mp4")
    (tmp_path / "data" / "a" / "text.mp4").write_bytes(b"no video")
    ended = kinesphere("check", tmp_path / "data")
    assert "3 clips in 3 files\n" in ended.out
    assert re.search(r"^ +a/text\.mp4: cannot be read as a video \(.+\); check that", ended.out, re.MULTILINE)


def test_the_doctor_names_extras_with_their_brackets(kinesphere) -> None:
    from importlib.util import find_spec

    if find_spec("gradio") is not None:
        pytest.skip("the extra `web` is installed")
    assert "kinesphere[web]" in kinesphere("doctor").out


def test_warnings_show_what_happened_and_not_our_code(kinesphere, capsys) -> None:
    kinesphere("--version")  # installs the formatter
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(NobodySeen("clip[1].mp4: nobody"), stacklevel=1)
    said = capsys.readouterr().err
    assert "warning  clip[1].mp4: nobody (NobodySeen)" in said
    assert "test_messages.py" not in said
    assert "warnings.warn" not in said


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["check", "DATA", "--preview", "FILE.gif"], "--preview names a .png or .jpg or .jpeg file"),
        (
            ["import", "FILE.pth", "--model", "r3d_tiny", "--out", "FILE.pt"],
            "--out names a .safetensors file",
        ),
        (["evaluate", "r3d_tiny", "DATA", "--out", "FILE"], "--out names a folder, but .* is a file"),
        (["demo", "--out", "FILE"], "--out names a folder"),
        (["fuse", "DATA", "DATA", "--out", "FILE"], "--out names a folder"),
        (["extract", "flow", "DATA", "--out", "FILE"], "--out names a folder"),
        (["render", "bvh", "DATA", "--out", "FILE"], "--out names a folder"),
        (["import-skeletons", "bvh", "DATA", "--out", "FILE"], "--out names a folder"),
        (["train", "DATA", "out=FILE"], "out names a folder"),
        (["check", "no data", "--preview", "/proc/x.png"], "x.png cannot be written"),
        (
            ["import", "FILE", "--model", "no", "--out", "/proc/x.safetensors"],
            "x.safetensors cannot be written",
        ),
        (["evaluate", "no", "DATA", "--out", "/proc/x"], "/proc/x cannot be written"),
        (["fuse", "DATA", "DATA", "--out", "/proc/x/y"], "/proc/x/y cannot be written"),
        (["predict", "DATA", "--model", "no", "--out", "/proc/x.csv"], "x.csv cannot be written"),
    ],
)
def test_targets_are_refused_before_the_work(kinesphere, mannequins: Path, tmp_path: Path, words, problem):
    (tmp_path / "file").write_text("")
    words = [w.replace("DATA", str(mannequins)).replace("FILE", str(tmp_path / "file")) for w in words]
    ended = kinesphere(*words)
    assert ended.code == 2
    assert re.search(problem, ended.err), ended.err


def test_problems_are_listed_whole_for_machines(kinesphere, tmp_path: Path) -> None:
    for number in range(50):
        folder = tmp_path / "data" / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.mp4").write_bytes(b"no video")
    found = json.loads(kinesphere("check", tmp_path / "data", "--json").out)
    listed = next(each for each in found["problems"] if len(each["where"]) > 10)
    assert len(listed["where"]) == 50
    assert "and 40 more" in kinesphere("check", tmp_path / "data").out


@pytest.mark.parametrize("words", [["check"], ["train"], ["predict", "--model"]])
def test_a_name_that_no_file_can_have_is_told_in_a_sentence(kinesphere, tmp_path: Path, words) -> None:
    ended = kinesphere(*words, "a" * 300, *(["b.mp4"] if words[0] == "predict" else []))
    assert ended.code == 2
    told = {"predict": "There is no model called 'a+'"}
    data = "(File name too long|neither a manifest file nor a folder); check the path"
    assert re.search(told.get(words[0], data), ended.err)
    assert "Traceback" not in ended.err
