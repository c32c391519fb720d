"""Facts are read from tables, JSON and timed labels; events are written with their evidence."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from kinesphere.annotations.timed_files import read_timed
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.predict.events import (
    Event,
    Fact,
    read_facts,
    write_event_segments,
    write_events,
    write_facts,
)

FACTS = {
    "a": [Fact("run", 0.5, 2, 1), Fact("holds knife", 1, 3, 1, 7, 0.5, (0.1, 0.2, 0.3, 0.4))],
    "b": [Fact("stürzt, fällt", 4, 4)],
}


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_facts_come_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"facts{suffix}"
    write_facts(FACTS, path)
    assert {video: list(facts) for video, facts in read_facts(path).facts.items()} == FACTS


def test_what_goes_on_has_no_end_in_json(tmp_path: Path) -> None:
    write_facts({"a": [Fact("run", 1, math.inf)]}, tmp_path / "f.json")
    assert json.loads((tmp_path / "f.json").read_text())["facts"][0]["end_s"] is None
    assert read_facts(tmp_path / "f.json").facts["a"] == (Fact("run", 1, math.inf),)


def test_tables_of_others_and_of_people_are_facts(tmp_path: Path) -> None:
    (tmp_path / "clip.csv").write_text("label;start;end;track_id;colour\nrun;1;2;3;red\nwalk;2;3;;blue\n")
    content = read_facts(tmp_path / "clip.csv")
    assert content.facts == {"clip": (Fact("run", 1, 2, 3), Fact("walk", 2, 3))}
    assert "columns not read: 'colour'" in content.notes[0]
    header = "person,label,start_s,end_s,probability,runner_up,runner_up_probability,other"
    (tmp_path / "people.csv").write_text(f"{header}\n2,run,0,1,0.75,walk,0.2,\n")
    content = read_facts(tmp_path / "people.csv")
    assert (content.facts, content.notes) == ({"people": (Fact("run", 0, 1, 2, None, 0.75),)}, ())
    run = {"person": 2, "label": "run", "start_s": 0, "end_s": 1, "probability": 0.75}
    near = {"label": "near bag", "start_s": 0, "end_s": 1, "person": 2, "other": 5, "box": [0, 0, 1, 1]}
    people = {"source": "x/clip.mp4", "people": [{"person": 2, "segments": [run]}], "facts": [near]}
    (tmp_path / "people.json").write_text(json.dumps(people))
    wanted = Fact("near bag", 0, 1, 2, 5, 1.0, (0, 0, 1, 1)), Fact("run", 0, 1, 2, None, 0.75)
    assert read_facts(tmp_path / "people.json").facts == {"clip": wanted}


def test_tiers_called_after_people_are_theirs(tmp_path: Path) -> None:
    slots = '<TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="t2" TIME_VALUE="1500"/>'
    ref = 'ANNOTATION_ID="a1" TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t2"'
    (tmp_path / "v.eaf").write_text(
        f"<ANNOTATION_DOCUMENT><TIME_ORDER>{slots}</TIME_ORDER><TIER TIER_ID='person 4'><ANNOTATION>"
        f"<ALIGNABLE_ANNOTATION {ref}><ANNOTATION_VALUE>run</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION>"
        "</ANNOTATION></TIER></ANNOTATION_DOCUMENT>"
    )
    assert list(read_facts(tmp_path / "v.eaf").facts.values()) == [(Fact("run", 0, 1.5, 4),)]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("f.csv", "label,start\nrun,1\n", "lacks end_s"),
        ("f.csv", "label,start,end\nrun,1\n", r"f.csv, line 2: 2 fields where the header has 3"),
        ("f.csv", "label,start,end,person\nrun,1,2,1.5\n", "line 2: times, scores and boxes are numbers"),
        ("f.csv", "label,start,end,Label\nrun,1,2,walk\n", "has the column 'Label' twice"),
        ("f.csv", "label,start,end\nrun,2,1\n", "line 2: .* an end that is not before it"),
        ("f.csv", "label,start,end,left\nrun,1,2,0\n", "has the columns left; boxes have left, top"),
        ("f.json", '{"facts": 3}', "facts should be a list"),
        ("f.json", '{"facts": [{"label": "x"}]}', "fact 0: facts hold label, start_s and end_s"),
        ("f.json", '{"facts": [{"label": "x", "start_s": 0, "end_s": true}]}', "fact 0: times, scores"),
        ("f.json", '{"people": [4]}', "people hold segments"),
        ("f.json", '{"facts": [{"label": "x", "start_s": 0, "end_s": 1, "box": 3}]}', "has four numbers"),
        ("f.txt", "", "empty"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidAnnotation, match=words):
        read_facts(tmp_path / name)


def test_events_are_written_with_what_they_rest_on(tmp_path: Path) -> None:
    events = {"a": [Event("robbery", 0.5, 3, tuple(FACTS["a"]))]}
    write_events(events, tmp_path / "e.csv")
    assert (
        "robbery,0.5,3,1,person 1 run 0.50-2.00 s; person 1 holds knife (7)"
        in (tmp_path / "e.csv").read_text()
    )
    write_events(events, tmp_path / "e.json")
    [plain] = json.loads((tmp_path / "e.json").read_text())["events"]
    assert (plain["rule"], plain["people"], plain["evidence"][1]["box"]) == (
        "robbery",
        [1],
        [0.1, 0.2, 0.3, 0.4],
    )
    for suffix in (".eaf", ".vtt"):
        write_event_segments(events, tmp_path / f"e{suffix}")
        [label] = read_timed(tmp_path / f"e{suffix}").labels
        assert (label.label, label.start_s, label.end_s) == ("robbery", 0.5, 3)
    with pytest.raises(InvalidSetting, match="files are of one video, and the facts are of 2"):
        write_event_segments({"a": [], "b": []}, tmp_path / "e.eaf")
    for write in (write_events, write_event_segments):
        with pytest.raises(InvalidSetting, match=r"are written as \.(csv|eaf)"):
            write(events, tmp_path / "e.doc")
    with pytest.raises(InvalidSetting, match="Facts are written as"):
        write_facts(FACTS, tmp_path / "f.doc")
