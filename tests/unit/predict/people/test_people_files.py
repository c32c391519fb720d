"""What people do on disk, in the video, and on the command line."""

from __future__ import annotations

import csv
import json
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from kinesphere.apps.cli import main
from kinesphere.core.errors import InvalidSetting
from kinesphere.predict.people import (
    PeopleOverlay,
    PeopleSettings,
    PeopleTimelines,
    action_facts,
    annotate_people,
    people_timelines,
    person_rows,
    write_people,
)
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.video import Video

from .conftest import FRAMES, SIZE, Colours, bag, squares

DATE = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def people(passing: Path) -> PeopleTimelines:
    return people_timelines(Colours(), str(passing), [*squares(), bag()], settings=PeopleSettings(0.5, 0.25))


def test_each_person_has_rows_and_facts(people: PeopleTimelines) -> None:
    assert [(row.name, {each.label for each in row.segments}) for row in person_rows(people)] == [
        ("person 1", {"red"}),
        ("person 1: objects", {"near bag", "holds bag", "carries bag"}),
        ("person 2", {"blue"}),
    ]
    red, blue = action_facts(people)
    assert (red.label, red.person, red.start_s, red.end_s) == ("red", 1, 0, pytest.approx(2))
    assert red.box is not None
    assert red.box[1::2] == pytest.approx((4 / 96, 44 / 96))
    assert blue.person == 2
    # Nothing reaches the threshold: rows without segments.
    assert [len(row.segments) for row in person_rows(people, SegmentRule(threshold=1.0))] == [0, 3, 0]


def test_files_name_the_person(people: PeopleTimelines, tmp_path: Path) -> None:
    for suffix in ("csv", "json", "parquet", "vtt", "eaf"):
        write_people(people, tmp_path / f"a.{suffix}", date=DATE)
        write_people(people, tmp_path / f"a.{suffix}", date=DATE)
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["person"], row["label"], row["other"]) for row in rows} == {
        ("1", "red", ""),
        ("2", "blue", ""),
        *(("1", f"{verb} bag", "3") for verb in ("near", "holds", "carries")),
    }
    assert pq.read_table(tmp_path / "a.parquet").num_rows == len(rows)
    plain = json.loads((tmp_path / "a.json").read_text())
    assert [person["segments"][0]["label"] for person in plain["people"]] == ["red", "blue"]
    assert {fact["label"] for fact in plain["facts"]} == {"near bag", "holds bag", "carries bag"}
    assert "person 2: blue" in (tmp_path / "a.vtt").read_text()
    tiers = [each.get("TIER_ID") for each in ET.parse(tmp_path / "a.eaf").getroot().iter("TIER")]
    assert [each for each in tiers if each and not each.endswith(("probability", "runner-up"))] == [
        "person 1", "person 2", "person 1 carries bag 3", "person 1 holds bag 3", "person 1 near bag 3",
    ]  # fmt: skip
    with pytest.raises(InvalidSetting, match=r"as .json, .csv, .ava.csv, .parquet, .eaf or .vtt; got '.txt'"):
        write_people(people, tmp_path / "a.txt")


def test_people_are_drawn_where_they_are(people: PeopleTimelines, passing: Path, tmp_path: Path) -> None:
    frame = np.zeros((2 * SIZE[0], 2 * SIZE[1], 3), np.uint8)
    drawn = PeopleOverlay(people).draw(frame, 1.0)
    assert drawn[8 + 40, 2 * 55].any()  # the left edge of the red square's box
    assert drawn[2 * 50 + 40, 2 * 75].any()
    # After the last frame of a track nothing of it is left.
    gone = replace(people, people=people.people[:1], objects=())
    short = replace(gone.people[0].track, frames=np.arange(1, 11), boxes=gone.people[0].track.boxes[:10],
                    scores=np.ones(10))  # fmt: skip
    gone = replace(gone, people=(replace(gone.people[0], track=short),))
    assert not PeopleOverlay(gone).draw(np.zeros((*SIZE, 3), np.uint8), 1.0).any()
    counts: list[tuple[int, int | None]] = []
    copy = annotate_people(passing, tmp_path / "a.mp4", people, progress=lambda *each: counts.append(each))
    with Video.open(copy) as video:
        assert len(video.frame_times()) == FRAMES == len(counts)


def run(*words: str) -> None:
    main.app(["predict", *words], standalone_mode=False)


def test_the_command_asks_about_each_person(shell: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ("--segments", "a.eaf", "--annotate", "b.mp4", "--page", "a.html", "--out", "a.jsonl")
    run("a.mp4", "--people", "--tracks", "tracks/a", "--window", "0.5", *files)
    shown = capsys.readouterr().out
    assert "person 1  0.00 – 1.96 s" in shown
    assert "carries bag (3)" in shown
    assert (shell / "b.mp4").is_file()
    page = (shell / "a.html").read_text()
    assert "person 1: objects" in page
    assert "person 2" in page
    (record,) = map(json.loads, (shell / "a.jsonl").read_text().splitlines()[-1:])
    assert [person["person"] for person in record["people"]] == [1, 2]
    run("a.mp4", "--people", "--tracks", "tracks", "--window", "0.5", "--json")
    plain = json.loads(capsys.readouterr().out)
    assert plain["people"][0]["timeline"][0].keys() >= {"person", "span", "top"}
    assert {fact["label"] for fact in plain["facts"]} == {"near bag", "holds bag", "carries bag"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tracks", "tracks"], "--tracks and --tracks-fps say where people are; give --people as well"),
        (["--people", "--tracks", "none"], "There is no none; name the file or folder of the tracks"),
        (["--people", "--model", "a", "--model", "b"], "--people takes the answers of one model"),
        (["b.mp4", "--people", "--tracks", "one.txt"], "tracks of one video, and there are 2; name a folder"),
    ],
)
def test_options_that_do_not_fit_are_refused(words: list[str], message: str, shell: Path) -> None:
    shutil.copy(shell / "a.mp4", shell / "b.mp4")
    (shell / "one.txt").write_text("1,1,0,0,9,9\n")
    with pytest.raises(InvalidSetting, match=message):
        run("a.mp4", *words)


def test_a_video_without_tracks_is_listed(shell: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(shell / "a.mp4", shell / "b.mp4")
    run("a.mp4", "b.mp4", "--people", "--tracks", "tracks")
    out = capsys.readouterr().out
    assert "There are no tracks of b.mp4 in tracks: none of b.txt, b.json, b." in out
