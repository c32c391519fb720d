"""Official lists with numbers, fields and lines that no list has: said, never a crash or a hang."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path

import pytest

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.data.catalogue import DATASETS
from kinesphere.data.media import look_through

LISTED = sorted(name for name in DATASETS if DATASETS.get(name).entries is not None)
TEXTS = {".txt", ".csv", ".json"}
LINES = (",", "," * 13, '"' + "x," * 100_000, "?v=a" * 15_000, "1 " * 30_000)


def read(name: str, folder: Path) -> None:
    """Go through the lists; whether they are refused does not matter, how does."""
    entries = DATASETS.get(name).entries
    assert entries is not None
    with suppress(InvalidAnnotation):
        list(entries(look_through(folder)))


@pytest.mark.parametrize("name", LISTED)
def test_lists_that_nobody_writes_are_no_crash_and_no_hang(name: str, tmp_path: Path) -> None:
    DATASETS.get(name).write_example(tmp_path)
    began = time.process_time()
    for path in sorted(each for each in tmp_path.rglob("*") if each.suffix in TEXTS)[:4]:
        text = path.read_text(encoding="utf-8")
        changed = [
            text[: found.start()] + digits + text[found.end() :]
            for digits in ("9" * 400, "9" * 5000, "nan", "-1")
            for found in list(re.finditer(r"\d+(\.\d+)?", text))[:4]
        ]
        for each in (*changed, *(f"{text}{line}\n" for line in LINES)):
            path.write_text(each, encoding="utf-8")
            read(name, tmp_path)
        path.write_text(text, encoding="utf-8")
    assert time.process_time() - began < 10


def test_an_open_quote_is_no_table(tmp_path: Path) -> None:
    DATASETS.get("charades").write_example(tmp_path)
    path = tmp_path / "Charades" / "Charades_v1_test.csv"
    path.write_text(path.read_text(encoding="utf-8") + '"' + "word\n" * 40_000, encoding="utf-8")
    with pytest.raises(InvalidAnnotation, match=r"Charades_v1_test.csv is no table \(field larger"):
        DATASETS.get("charades").inventory(tmp_path)


def test_a_line_without_end_is_named(tmp_path: Path) -> None:
    DATASETS.get("ucf101").write_example(tmp_path)
    path = tmp_path / "ucfTrainTestlist" / "testlist01.txt"
    path.write_text("x" * 70_000, encoding="utf-8")
    with pytest.raises(
        InvalidAnnotation, match=r"line 1 has 70000 characters, where lists have at most 65536"
    ):
        DATASETS.get("ucf101").inventory(tmp_path)


def test_a_subset_that_is_no_word_is_listed(tmp_path: Path) -> None:
    DATASETS.get("activitynet13").write_example(tmp_path)
    path = tmp_path / "activity_net.v1-3.min.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"testing"', '["testing"]'), encoding="utf-8")
    wrong = DATASETS.get("activitynet13").inventory(tmp_path).wrong
    assert ["its subset is \"['testing']\", none of" in each.reason for each in wrong] == [True]
