"""A stranger can read the page of benchmarks: every miss says why, every record stands in the overview."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.remarks import READING, WHY_MISSED, unexplained, verdict, why_missed
from docs.generate import RESULTS, SUBJECTS, benchmarks_page

RECORDS = sorted(RESULTS.glob("*.json"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_every_goal_that_is_missed_says_why(path: Path) -> None:
    assert unexplained(path.stem, json.loads(path.read_text(encoding="utf-8"))["goals"]) == []


def test_a_line_says_whether_its_goal_is_met() -> None:
    assert verdict("speed: 1.2x (goal: at least 1x): met") == "met"
    assert verdict("gain: -5.9 points (goal: above 0): missed.") == "missed"
    assert verdict("truth held (goal: at least 93 %): 95.0 %, met") == "met"
    assert verdict("speed (goal: at least 1x): not measured in this run") is None
    assert why_missed("live", "answers a second at 25 frames a second: 25 (goal: at least 24): met") is None
    assert why_missed("live", "answers a second at 25 frames a second: 24 (goal: at least 25): missed")
    assert unexplained("live", ["something new: 1 (goal: at least 2): missed"]) != []


def test_remarks_are_of_benchmarks_that_there_are() -> None:
    names = {path.stem for path in RECORDS} | {path.stem for path in RESULTS.parent.glob("*.py")}
    assert {*WHY_MISSED, *READING} <= names | {"results"}
    listed = [name for names in SUBJECTS.values() for name in names]
    assert len(set(listed)) == len(listed)


def test_the_overview_counts_every_goal_and_names_every_machine() -> None:
    page = benchmarks_page()
    overview, _, rest = page.partition("\n## ")
    records = [json.loads(path.read_text(encoding="utf-8")) for path in RECORDS]
    rows = [line.split("|") for line in overview.splitlines() if line.startswith("| [")]
    assert len(rows) == len(records)
    for column, word in ((3, "met"), (4, "missed")):
        counted = sum(int(row[column]) for row in rows if row[column].strip().isdigit())
        assert counted == sum(verdict(goal) == word for record in records for goal in record["goals"])
    assert {row[2].strip() for row in rows} <= {
        line[2] for line in overview.splitlines() if line.startswith("- ")
    }
    assert "NVIDIA" in overview
    assert rest.count("Why: ") == sum(
        verdict(goal) == "missed" for record in records for goal in record["goals"]
    )
