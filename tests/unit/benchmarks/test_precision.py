"""Each work runs once in each precision, and the record says so."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from benchmarks import precision, record, studies

from kinesphere.core.labels import LabelSet
from kinesphere.evaluate import Predictions, report_from_predictions
from kinesphere.evaluate.protocol import Environment, Protocol


def said(words: Sequence[str]) -> bytes:
    """A report of four right answers in the precision that was asked for."""
    given = next(word.partition("=")[2] for word in words if word.startswith("compute.precision="))
    table = Predictions(
        LabelSet(("a", "b")), tuple("1234"), tuple("1234"), (None,) * 4, tuple("xyzw"),
        np.array([0, 1, 0, 1]), np.eye(2)[[0, 1, 0, 1]], (None,) * 4,
    )  # fmt: skip
    report = report_from_predictions(table, Protocol("x"), Environment("m", "", "", "cpu", given))
    return json.dumps({"report": report.to_json()}).encode()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of test data with nothing but the tables of labels."""
    for work in precision.WORKS.values():
        if work.labels:
            path = tmp_path / work.labels
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [f"{i}.avi,{'ab'[i % 2]},group {i // 4}" for i in range(24)]
            path.write_text("\n".join(["path,label,group", *rows]))
    monkeypatch.setenv(studies.DATA, str(tmp_path))
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(precision, "RUNS", str(tmp_path / "runs"))
    return tmp_path


def test_every_work_is_trained_in_every_precision(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[Sequence[str]] = []

    def kinesphere(words: Sequence[str]) -> bytes:
        commands.append(words)
        return b"" if words[0] == "import" else said(words)

    monkeypatch.setattr(studies, "kinesphere", kinesphere)
    monkeypatch.setattr(sys, "argv", ["precision"])
    precision.main()
    assert [words[0] for words in commands] == ["import", "demo", "demo", "train", "train", "train", "train"]
    written = json.loads((data / "precision.json").read_text(encoding="utf-8"))
    assert [row["precision"] for row in written["rows"]] == 3 * ["fp32", "bf16"]
    with (data / "runs" / "ut.csv").open(newline="", encoding="utf-8") as file:
        splits = [row["split"] for row in csv.DictReader(file)]
    assert (splits.count("test"), splits.count("train")) == (4, 20)


def test_another_precision_than_asked_for_is_no_result(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "kinesphere", lambda words: said(["compute.precision=fp32"]))
    with pytest.raises(RuntimeError, match="demo ran in fp32, not in bf16"):
        precision.measure("demo", "bf16")
