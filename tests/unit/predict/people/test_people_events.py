"""Events in what people do: found by the command that asks about them, and by `events` in its files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import kinesphere.predict.events.search as rule_search
from kinesphere.annotations.formats.elan import read_elan
from kinesphere.apps.cli import main
from kinesphere.apps.cli.event_options import event_files
from kinesphere.core.errors import InvalidSetting, LabelMismatch
from kinesphere.predict.events import Fact, event_tiers, find_events, read_facts, write_event_segments
from kinesphere.predict.events.rules import Rules

RULES = """
rules:
  handover:            # of two people, one of them red with a bag
    parts: {red: {label: red}, blue: {label: blue}, bag: {label: carries *}}
    same: [[red, bag]]
    different: [[red, blue]]
    within_s: 20
  seen: {parts: {red: {label: red, place: left}}}
places: {left: {box: [0, 0, 0.6, 1]}}
"""


@pytest.fixture
def rules(shell: Path) -> Path:
    (shell / "rules.yaml").write_text(RULES)
    return shell / "rules.yaml"


def run(*words: str) -> int:
    """The exit code."""
    return main.app([*words], standalone_mode=False) or 0


PEOPLE = ("--people", "--tracks", "tracks", "--window", "0.5", "--events", "rules.yaml")


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_events_are_shown_recorded_and_written_beside_the_segments(
    shell: Path, rules: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("predict", "a.mp4", *PEOPLE, "--segments", "a.eaf", "--page", "a.html", "--out", "a.jsonl")
    shown = capsys.readouterr().out
    assert "person 1 carries bag (3)" in shown
    (record,) = records(shell / "a.jsonl")
    assert [each["rule"] for each in record["events"]] == ["handover", "seen"]
    assert record["events"][0]["people"] == [1, 2]
    written = json.loads((shell / "a.events.json").read_text())["events"]
    assert written == [{"video": "a", **each} for each in record["events"]]
    tiers = {each.tier for each in read_elan(shell / "a.eaf").labels}
    assert {"event: handover", "event: seen", "person 1", "person 2"} <= tiers
    assert "handover" in (shell / "a.html").read_text()
    # What was found in a file is no fact in it.
    content = read_facts(shell / "a.eaf")
    assert {fact.label for fact in content.facts["a"]} == {
        "red",
        "blue",
        "near bag",
        "holds bag",
        "carries bag",
    }
    assert any("2 events that were found in it are not read" in note for note in content.notes)


def test_two_commands_find_what_one_does(
    shell: Path, rules: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules.write_text(RULES.replace(", place: left", ""))  # of which files of segments tell nothing
    run("predict", "a.mp4", *PEOPLE, "--segments", "a.json", "--json")
    one = json.loads(capsys.readouterr().out)["events"]
    run("events", "rules.yaml", "a.json", "--json")
    other = json.loads(capsys.readouterr().out)["events"]

    def plain(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        return [(each["rule"], each["start_s"], each["end_s"], each["people"]) for each in events]

    assert plain(one) == plain(other)
    assert len(one) == 2


def test_several_videos_go_on_where_they_were_and_other_rules_begin_anew(
    shell: Path, rules: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(shell / "a.mp4", shell / "b.mp4")
    shutil.copytree(shell / "tracks" / "a", shell / "tracks" / "b")
    words = ("predict", "a.mp4", "b.mp4", *PEOPLE, "--out", "all.jsonl", "--segments", "parts")
    with monkeypatch.context() as patch:
        # The second video is killed while its events are written.
        module = __import__("kinesphere.predict.bulk", fromlist=["write_events"])
        written = module.write_events

        def killed(events: Any, path: Path) -> None:
            if path.name.startswith("b"):
                raise KeyboardInterrupt
            written(events, path)

        patch.setattr(module, "write_events", killed)
        assert run(*words) == 130
    assert [Path(each["source"]).name for each in records(shell / "all.jsonl")] == ["a.mp4"]
    run(*words)
    assert "1 videos were already in" in capsys.readouterr().out
    assert [len(each["events"]) for each in records(shell / "all.jsonl")] == [2, 2]
    assert sorted(path.name for path in (shell / "parts").iterdir()) == [
        "a.csv", "a.events.json", "b.csv", "b.events.json"
    ]  # fmt: skip
    (shell / "parts" / "a.events.json").unlink()
    run(*words)  # a missing file is written again
    assert (shell / "parts" / "a.events.json").is_file()
    rules.write_text(RULES + "# a comment changes nothing\n")
    run(*words)
    rules.write_text(RULES.replace("within_s: 20", "within_s: 19"))
    with pytest.raises(InvalidSetting, match=r"other settings \(events\.rules was"):
        run(*words)


def test_what_cannot_be_found_is_said_before_and_what_takes_too_long_after(
    shell: Path, rules: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidSetting, match="--events belongs to a timeline; give --window"):
        run("predict", "a.mp4", "--events", "rules.yaml")
    with pytest.raises(LabelMismatch, match=r"'carries \*'.* not among the 2 labels of the model"):
        run("predict", "a.mp4", "--window", "0.5", "--events", "rules.yaml")
    rules.write_text("rules: {r: {repeat: {label: red, times: 2, people: same}, within_s: 9}}")
    run("predict", "a.mp4", "--window", "0.5", "--events", "rules.yaml")
    assert "nobody is told apart" in capsys.readouterr().err
    rules.write_text(RULES)
    monkeypatch.setattr(rule_search, "MOST_TRIED", 0)
    assert run("predict", "a.mp4", *PEOPLE, "--segments", "a.csv", "--out", "a.jsonl") == 1
    assert "no events: " in capsys.readouterr().out
    (record,) = records(shell / "a.jsonl")
    assert "events" not in record
    assert (shell / "a.csv").is_file()
    assert not (shell / "a.events.json").exists()


def test_no_two_videos_share_a_file_of_events() -> None:
    segments = {"a.mp4": [Path("a.json")], "a.events.mp4": [Path("a.events.json")]}
    with pytest.raises(InvalidSetting, match=r"a\.events\.json, which is the file of another one"):
        event_files(segments)
    assert event_files({"a.mp4": [Path("x/a.via.json"), Path("x/a.csv")]}) == {
        "a.mp4": Path("x/a.events.json")
    }


def test_events_of_one_rule_that_overlap_lie_on_tiers_of_their_own(tmp_path: Path) -> None:
    rules = Rules.parse("rules: {r: {parts: {a: {label: x}, b: {label: y}}, same: [[a, b]], within_s: 99}}")
    facts = [Fact("x", 0, 5, 1), Fact("y", 4, 20, 1), Fact("x", 2, 6, 2), Fact("y", 5, 25, 2)]
    found = find_events(rules, facts)
    assert list(event_tiers(found)) == ["event: r"]
    write_event_segments({"v": found}, tmp_path / "v.eaf")
    spans = {each.tier: (each.start_s, each.end_s) for each in read_elan(tmp_path / "v.eaf").labels}
    assert spans == {"r": (0, 20), "r 2": (2, 25)}
