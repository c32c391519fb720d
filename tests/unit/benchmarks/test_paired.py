"""Before and after are matched row by row, each measured with its own package."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from benchmarks import paired, record
from benchmarks.paired import cells, compared, measured

SCRIPT = """
import json, pathlib, package
folder = pathlib.Path(__file__).parent / "results"
folder.mkdir(exist_ok=True)
rows = [
    {"video": "a", "all, ms": package.TIME, "ours, ms": package.TIME, "by": "x"},
    {"video": "b", "all, ms": "9", "ours, ms": "", "by": "y"},
]
(folder / "toy.json").write_text(json.dumps({"title": "Toy", "rows": rows}))
"""


@pytest.fixture
def checkouts(tmp_path: Path) -> tuple[Path, Path]:
    for name, time in (("old", "4.0"), ("new", "1.0")):
        (tmp_path / name / "src").mkdir(parents=True)
        (tmp_path / name / "src" / "package.py").write_text(f"TIME = '{time}'")
    (tmp_path / "new" / "benchmarks").mkdir()
    (tmp_path / "new" / "benchmarks" / "toy.py").write_text(SCRIPT)
    return tmp_path / "old", tmp_path / "new"


def test_each_side_is_measured_with_its_own_package(checkouts: tuple[Path, Path]) -> None:
    old, new = checkouts
    before, after = (cells(measured(each, new, "toy", ())["rows"], ["ours, ms"]) for each in (old, new))
    assert before == {("a",): {"ours, ms": 4.0}, ("b",): {}}
    rows = compared([before], [after], ["ours, ms"])
    assert rows == [
        {"what": "a", "measured": "ours, ms", "before": "4.00", "after": "1.00", "change": "0.250"}
    ]
    assert not (new / "benchmarks" / "results").exists()  # a run leaves the checkout as it is


def test_what_was_not_there_before_stays_empty() -> None:
    rows = compared([{}, {}], [{("a",): {"s": 1.0}}, {("a",): {"s": 3.0}}], ["s"])
    assert rows == [{"what": "a", "measured": "s", "before": "", "after": "2.00", "change": ""}]


def test_a_record_names_both(checkouts: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = checkouts
    monkeypatch.setattr(record, "RESULTS", new / "kept")
    monkeypatch.setattr(paired, "HERE", new)
    monkeypatch.setattr(
        sys,
        "argv",
        ["paired", str(old), "toy", "--columns", "ours, ms", "--rounds", "1", "--options=--fast 2"],
    )
    paired.main()
    kept = json.loads((new / "kept" / "paired_toy.json").read_text())
    assert kept["title"] == "Toy: before and after"
    assert (
        kept["command"]
        == "python -m benchmarks.paired BEFORE toy --columns 'ours, ms' --rounds 1 '--options=--fast 2'"
    )
    assert kept["rows"][0]["change"] == "0.250"
    assert "by the script of the code after" in kept["notes"][1]
