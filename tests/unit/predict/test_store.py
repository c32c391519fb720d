from __future__ import annotations

import csv
import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.core.errors import InUse, InvalidSetting, UnwritableFile
from kinesphere.core.labels import LabelSet
from kinesphere.models import create_model
from kinesphere.models.rejection import Rejection
from kinesphere.predict import FusedPredictor, Prediction, PredictionLog, Predictor, find_sources

SETTINGS = {"model": "abc", "views": "1x1"}


def record(source: str) -> dict[str, object]:
    top = [{"label": "jump, high", "probability": 0.75}, {"label": "hop", "probability": 0.25}]
    return {"source": source, "span": [0.0, 2.5], "top": top}


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_interrupted_run_goes_on_where_it_stopped(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with PredictionLog(path, SETTINGS) as log:
        assert log.missing(["a.mp4", "b.mp4"]) == ["a.mp4", "b.mp4"]
        log.write(record("a.mp4"))
        log.write({"source": "bad.mp4", "error": "no frame"})
        log.write(record("b, really.mp4"))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"source": "half')
    with PredictionLog(path, SETTINGS) as log:
        wanted = ["a.mp4", "bad.mp4", "b, really.mp4", "half", "c.mp4"]
        assert log.missing(wanted) == ["bad.mp4", "half", "c.mp4"]
        log.write(record("c.mp4"))
    assert path.read_text().count("\n") == (3 if name.endswith("jsonl") else 4)
    assert "half" not in path.read_text()


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_cut_at_any_byte_only_loses_the_last_record(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with PredictionLog(path, SETTINGS) as log:
        log.write(record("a.mp4"))
        first = path.stat().st_size
        log.write(record("b.mp4"))
    whole = path.read_bytes()
    for end in range(first, len(whole), 7):
        path.write_bytes(whole[:end])
        with PredictionLog(path, SETTINGS) as log:
            assert log.finished == {"a.mp4"}


def test_jsonl_holds_the_records_themselves(tmp_path: Path) -> None:
    with PredictionLog(tmp_path / "out.jsonl", SETTINGS) as log:
        log.write(record("a.mp4"))
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").open()] == [record("a.mp4")]


def test_csv_has_labels_and_probabilities_side_by_side(tmp_path: Path) -> None:
    with PredictionLog(tmp_path / "out.csv", SETTINGS, top=3) as log:
        log.write(record("a.mp4"))
        log.write({"source": "bad.mp4", "error": "no frame"})
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["label_1"] == "jump, high"
    assert rows[0]["probability_2"] == "0.25"
    assert rows[0]["label_3"] == ""
    assert rows[1]["error"] == "no frame"


def test_csv_says_when_the_answer_is_none_of_the_labels(tmp_path: Path) -> None:
    labels = LabelSet(("hop", "none"))
    rows = []
    for threshold in (0.5, 0.9):
        rule = Rejection("none", threshold, "nothing")
        answer = Prediction(np.array([0.7, 0.3]), labels, f"{threshold}.mp4", (0.0, 1.0), rejection=rule)
        rows.append(answer.to_json())
    several = {"source": "a.mp4", "models": [{"model": f"m{i}", **row} for i, row in enumerate(rows)]}
    with PredictionLog(tmp_path / "one.csv", SETTINGS) as log:
        list(map(log.write, rows))
    with PredictionLog(tmp_path / "two.csv", SETTINGS, models=("m0", "m1")) as log:
        log.write(several)
    one, two = (
        [row["notes"] for row in csv.DictReader((tmp_path / name).open())] for name in ("one.csv", "two.csv")
    )
    assert one == ["", "the answer is 'none'"]
    assert two == ["m1: the answer is 'none'"]


def test_other_settings_are_refused_with_what_changed(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    PredictionLog(path, SETTINGS).close()
    with pytest.raises(InvalidSetting, match=r"written with other settings \(model was 'abc', now 'xyz'\)"):
        PredictionLog(path, {**SETTINGS, "model": "xyz"})
    (tmp_path / "out.jsonl.settings.json").unlink()
    with pytest.raises(InvalidSetting, match=r"out\.jsonl\.settings\.json does not say how it was made"):
        PredictionLog(path, SETTINGS)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"written as \.jsonl or \.csv; got 'out\.txt'"):
        PredictionLog(tmp_path / "out.txt", SETTINGS)
    for name, message in (("o.jsonl", "holds a line that is no record"), ("o.csv", "has other columns")):
        PredictionLog(tmp_path / name, SETTINGS).close()
        (tmp_path / name).write_text("something else\n")
        with pytest.raises(InvalidSetting, match=message):
            PredictionLog(tmp_path / name, SETTINGS)


def test_damaged_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    PredictionLog(path, SETTINGS).close()
    path.write_bytes(path.read_bytes() + b"a.mp4,0\r1,2\n")
    with pytest.raises(InvalidSetting, match=r"out\.csv is no table \(new-line character seen"):
        PredictionLog(path, SETTINGS)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"x"', "{"])
def test_settings_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "out.jsonl"
    PredictionLog(path, SETTINGS).close()
    (tmp_path / "out.jsonl.settings.json").write_text(text)
    with pytest.raises(InvalidSetting, match=r"out\.jsonl\.settings\.json does not say how it was made"):
        PredictionLog(path, SETTINGS)


def test_a_part_of_a_record_is_never_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = tmp_path / "out.jsonl", os.write
    with PredictionLog(path, SETTINGS) as log:
        monkeypatch.setattr(os, "write", lambda file, data: real(file, bytes(data)[:7]))
        log.write(record("a.mp4"))  # taken bit by bit
        whole = path.read_bytes()
        assert json.loads(whole) == record("a.mp4")

        def fill_up(file: int, data: bytes) -> int:
            if path.stat().st_size > len(whole):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(file, bytes(data)[:7])

        monkeypatch.setattr(os, "write", fill_up)
        with pytest.raises(UnwritableFile, match=r"out\.jsonl cannot be written: No space left"):
            log.write(record("b.mp4"))
        assert path.read_bytes() == whole
        assert log.missing(["a.mp4", "b.mp4"]) == ["b.mp4"]


def test_two_processes_do_not_write_one_log(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with PredictionLog(path, SETTINGS), pytest.raises(InUse, match=r"The output .*out\.jsonl is in use"):
        PredictionLog(path, SETTINGS)
    PredictionLog(path, SETTINGS).close()


def test_csv_refuses_timelines(tmp_path: Path) -> None:
    with (
        PredictionLog(tmp_path / "out.csv", SETTINGS) as log,
        pytest.raises(InvalidSetting, match=r"cannot hold a timeline; write to a \.jsonl file"),
    ):
        log.write({**record("a.mp4"), "timeline": []})


def test_digest_follows_weights_labels_and_contract(predictor: Predictor) -> None:
    def fresh(seed: int, labels: str = "abc") -> Predictor:
        torch.manual_seed(seed)
        return Predictor(create_model("r3d_tiny", LabelSet(tuple(labels))), predictor.compute)

    base = fresh(0).digest()
    assert fresh(0).digest() == base
    assert fresh(1).digest() != base
    assert fresh(0, "abd").digest() != base
    changed = fresh(0)
    changed.module.specs = (changed.spec.with_(fps=5.0),)
    assert changed.digest() != base
    by_rule = set()
    for threshold in (0.1, 0.9):  # another rejection is another answer
        rule = Rejection("c", threshold, "nothing")
        pair = [fresh(0), fresh(1)]
        for each in pair:
            each.module.provenance = replace(each.module.provenance, rejection=rule)
        by_rule |= {pair[0].digest(), FusedPredictor([fresh(0), fresh(1)], rejection=rule).digest()}
    assert len(by_rule) == 4


def test_globs_in_folders_with_brackets(tmp_path: Path) -> None:
    folder = tmp_path / "[day 1] a"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "c.mp4").touch()
    for pattern in (f"{folder}/*/*.mp4", f"{folder}/**/*.mp4", f"{tmp_path}/[[]day*/b/c.mp4"):
        assert find_sources([pattern]) == [f"{folder}/b/c.mp4"]


def test_sources_from_files_folders_and_globs(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.MOV", "deep/c.avi", "notes.txt", ".hidden/d.mp4", "odd[1].mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    root = str(tmp_path)
    everything = [f"{root}/{name}" for name in ("a.MOV", "b.mp4", "deep/c.avi", "odd[1].mp4")]
    assert find_sources([root]) == everything
    assert find_sources([f"{root}/*.mp4"]) == [f"{root}/b.mp4", f"{root}/odd[1].mp4"]
    assert find_sources([f"{root}/**/*.avi"]) == [f"{root}/deep/c.avi"]
    assert find_sources([f"{root}/odd[1].mp4"]) == [f"{root}/odd[1].mp4"]
    assert find_sources([f"{root}/b.mp4", root, "gone.mp4", "rtsp://camera/*"]) == [
        f"{root}/b.mp4", everything[0], everything[2], everything[3], "gone.mp4", "rtsp://camera/*",
    ]  # fmt: skip
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidSetting, match=r"The folder .*empty holds no video; known suffixes: .*\.mp4"):
        find_sources([f"{root}/empty"])
    with pytest.raises(InvalidSetting, match=r"No file matches '.*\*\.webm'; check the pattern"):
        find_sources([f"{root}/*.webm"])


def test_a_data_sets_own_files_beside_its_videos_are_not_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("videos/a.mp4", "truth/a.npz", "settings.json", "manifest.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_sources([str(tmp_path)]) == [f"{tmp_path}/videos/a.mp4"]
    assert not caplog.text
    (tmp_path / ".cut.mp4").touch()
    find_sources([str(tmp_path)])
    assert "1 files and folders in" in caplog.text
    assert "are not used: 1 × hidden" in caplog.text
    caplog.clear()
    (tmp_path / "manifest.csv").unlink()
    find_sources([str(tmp_path)])
    assert "are not used: 2 × no video's suffix, 1 × hidden" in caplog.text
