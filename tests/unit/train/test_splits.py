"""Splits that are given or drawn, and what is said of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kinesphere.core.errors import IncompleteSplit, UnknownName
from kinesphere.data import Manifest, kfold
from kinesphere.train.recipe import Recipe
from kinesphere.train.resolve import read_data, resolve
from kinesphere.train.run import train


def resolved(table: Path, *overrides: str) -> tuple[str, ...]:
    recipe = Recipe.build({"data": {"source": str(table)}}).override("compute.device=cpu", *overrides)
    return resolve(recipe, read_data(recipe.data))[1].notes


def write(folder: Path, *rows: str, header: str = "path,label,split") -> Path:
    (folder / "m.csv").write_text("\n".join([header, *rows]))
    return folder / "m.csv"


def test_given_splits_that_tear_groups_and_recordings_are_said_loudly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        f"v_A_g0{g}_c0{c}.avi,{'ab'[g % 2]},{'test' if c == 4 else 'train'}"
        for g in range(1, 5)
        for c in range(1, 5)
    ]
    notes = resolved(write(tmp_path, *rows), "data.val=0")
    assert "4 groups lie in several splits, so that a test would flatter" in notes[0]
    assert "4 groups lie in several splits" in caplog.text
    rows = [f"{n}.mp4,{'ab'[n % 2]},{s},{s == 'test'},9" for n in range(4) for s in ("train", "test")]
    rows = [row.replace("True", "5").replace("False", "0") for row in rows]
    notes = resolved(write(tmp_path, *rows, header="path,label,split,start,end"), "data.val=0")
    assert any("4 videos occur in several splits" in note for note in notes)


def test_what_is_said_stands_in_the_report(recipe: Recipe, videos: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(videos)
    splits = {s.id: "test" if s.path.stem in "01" else "train" for s in manifest}
    manifest.with_splits(splits).write(tmp_path / "given.csv")
    lines = (tmp_path / "given.csv").read_text().splitlines()
    column = lines[0].split(",").index("group")
    cells = [line.split(",") for line in lines]
    for number, row in enumerate(cells[1:]):
        row[column] = f"group {number % 4}"
    (tmp_path / "given.csv").write_text("\n".join(map(",".join, cells)))
    run = train(
        recipe.override(
            f"data.source={tmp_path / 'given.csv'}", "data.test=test", "data.val=0.0", "train.epochs=1"
        )
    )
    notes = json.loads((run.folder / "report.json").read_text())["notes"]
    assert "groups lie in several splits" in notes[0]


def test_copies_of_one_file_are_drawn_together(tmp_path: Path) -> None:
    for label in ("a", "b"):
        for number in range(10):
            for copy in ("one", "two"):
                path = tmp_path / label / f"{copy}{number}.mp4"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(f"{label}{number}".encode())
    recipe = Recipe.build({"data": {"source": str(tmp_path)}}).override("compute.device=cpu")
    _, parts = resolve(recipe, read_data(recipe.data))
    assert parts.test is not None
    content = {part: {s.path.read_bytes() for s in getattr(parts, part)} for part in ("train", "val", "test")}
    assert not content["test"] & (content["train"] | content["val"])
    from kinesphere.data.content import contents_of
    from kinesphere.data.faults import copies_together, same_content

    manifest = Manifest.read(tmp_path)
    manifest = copies_together(manifest, same_content(contents_of(s.path for s in manifest)))
    for fold in kfold(manifest, 4):
        assert not {s.path.read_bytes() for s in fold.train} & {s.path.read_bytes() for s in fold.test}


def test_labels_that_are_likely_one_and_classes_that_are_not_taught(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [f"{n}.mp4,{'Wave' if n % 2 else 'wave'},train" for n in range(8)] + ["8.mp4,jump,test"]
    notes = resolved(write(tmp_path, *rows), "data.val=0")
    assert any("1 sets of labels differ in case, spaces or hyphens only" in note for note in notes)
    assert any("split 'train' has no sample of 1 classes: jump" in note for note in notes)
    assert "'Wave' = 'wave'" in caplog.text


def test_a_class_without_validation_clips_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    resolved(write(tmp_path, *(f"{n}.mp4,{'abc'[n % 3]}" for n in range(15)), header="path,label"))
    assert not [each for each in recwarn if each.category is IncompleteSplit]
    said = [record.getMessage() for record in caplog.records if "no sample of" in record.getMessage()]
    assert len(said) == 1
    assert re.fullmatch(r"split 'val' has no sample of 2 classes: \w, \w\.", said[0])


def test_a_wrong_model_is_refused_before_the_data_are_talked_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = write(tmp_path, *(f"{n}.mp4,{'abc'[n % 3]}" for n in range(15)), header="path,label")
    with pytest.raises(UnknownName, match="did you mean r3d_18"):
        resolved(table, "model.name=r3d_81")
    assert caplog.records == []


def test_wrong_rows_and_unused_files_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [f"{n}.mp4,{'ab'[n % 2]},0,{n % 9}" for n in range(1, 20)]
    table = write(tmp_path, *rows, header="path,label,start,end")
    notes = resolved(table, "data.wrong_rows=skip")
    assert any("2 rows of the table are wrong" in note for note in notes)
    for label in "ab":
        (tmp_path / "folder" / label).mkdir(parents=True)
        for number in range(8):
            (tmp_path / "folder" / label / f"{number}.mp4").write_bytes(f"{label}{number}".encode())
    (tmp_path / "folder" / "notes.txt").write_text("x")
    resolved(tmp_path / "folder")
    assert "1 files and folders are not used: 1 × no video's suffix. (notes.txt" in caplog.text


def test_the_groups_that_names_tell_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [f"v_A_g{g:02}_c{c:02}.avi,{'ab'[g % 2]}," for g in range(1, 21) for c in range(1, 4)]
    with caplog.at_level("INFO", "kinesphere.train"):
        resolved(write(tmp_path, *rows))
    assert "60 samples are kept together by source video (UCF101 names): 20 groups" in caplog.text
