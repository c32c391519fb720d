"""Facts in, events out, on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

RECIPE = Path(__file__).parents[2] / "recipes" / "events" / "robbery.yaml"
FACTS = """video,label,start,end,person,other
a.mp4,run,1,4,1,
a.mp4,run,2,6,2,
a.mp4,holds up knife,5,9,2,3
b.mp4,run,1,4,1,
b.mp4,run,40,44,2,
b.mp4,holds up knife,45,49,2,3
"""


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    path = tmp_path / "facts.csv"
    path.write_text(FACTS)
    return path


def test_events_are_shown_printed_and_written(
    kinesphere: Callable[..., tuple[int, str, str]], facts: Path, tmp_path: Path
) -> None:
    code, out, _ = kinesphere("events", RECIPE, facts)
    assert code == 0
    assert "person 2 holds up knife (3) 5.00-9.00 s" in out
    assert "1 events in 6 facts of 2 videos" in out
    code, out, _ = kinesphere("events", RECIPE, facts, "--json", "--out", tmp_path / "events.json")
    [event] = json.loads(out)["events"]
    assert (code, event["video"], event["rule"], event["start_s"], event["people"]) == (
        0,
        "a",
        "robbery",
        1,
        [2, 1],
    )
    assert json.loads((tmp_path / "events.json").read_text())["events"] == [event]


def test_what_cannot_be_read_is_listed_and_what_cannot_be_found_is_said(
    kinesphere: Callable[..., tuple[int, str, str]], facts: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.csv").write_text("label,start\n")
    (tmp_path / "other.csv").write_text("label,start,end\nruns,1,2\n")
    code, out, _ = kinesphere("events", RECIPE, facts, tmp_path / "broken.csv", "--json")
    document = json.loads(out)
    assert (code, len(document["events"]), document["videos"]) == (1, 1, 2)
    assert "lacks end_s" in document["skipped"][0]["reason"]
    code, out, _ = kinesphere("events", RECIPE, tmp_path / "other.csv")
    assert (code, "'run' (did you mean 'runs'?)" in out) == (0, True)
    assert "1 of 1 facts are of nobody in particular" in out
    code, _, err = kinesphere("events", RECIPE, tmp_path / "broken.csv")
    assert (code, "InvalidAnnotation" in err) == (2, True)


def test_wrong_rules_and_targets_are_refused_first(
    kinesphere: Callable[..., tuple[int, str, str]], facts: Path, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: {r: {parts: {a: {label: run, places: door}}}}")
    code, _, err = kinesphere("events", rules, facts)
    assert (code, "did you mean place" in err) == (2, True)
    code, _, err = kinesphere("events", RECIPE, facts, "--out", tmp_path / "events.eaf")
    assert (code, "the facts are of 2" in err) == (2, True)
    code, _, err = kinesphere("events", RECIPE, facts, "--out", tmp_path / "events.doc")
    assert (code, "--out names a .csv or .json or .eaf or .vtt file" in err) == (2, True)
    code, _, err = kinesphere("events", RECIPE, facts, "--out", facts)
    assert (code, "--out would overwrite" in err, facts.read_text() == FACTS) == (2, True, True)
