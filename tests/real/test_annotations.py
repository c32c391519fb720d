"""Files that people made with annotation tools are read as the tools themselves say."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from kinesphere.annotations.formats.elan import read_elan
from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.timed_files import read_timed

ROOT = os.environ.get("KINESPHERE_TEST_DATA")
if ROOT is None:
    pytest.skip("KINESPHERE_TEST_DATA names no folder of real data", allow_module_level=True)
pytestmark = pytest.mark.real
DATA = Path(ROOT) / "annotation"


def test_elan_says_what_its_own_export_says() -> None:
    path = DATA / "elan" / "speach_test.eaf"
    with (DATA / "elan" / "speach_test.eaf.tsv").open(encoding="utf-8", newline="") as file:
        rows = [(row[0], *(round(1000 * float(time)) for time in row[2:4]), row[5].strip())
                for row in csv.reader(file, delimiter="\t")]  # fmt: skip
    found = [
        (each.tier, round(1000 * each.start_s), round(1000 * each.end_s), each.label)
        for each in read_elan(path, dependents=True).labels
    ]
    assert sorted(found) == sorted(rows)
    own = read_elan(path)
    assert {each.tier for each in own.labels} == {"marker", "Person1 (Utterance)", "Person1 (Chunk)"}
    assert any("tiers that depend on others are not read" in note for note in own.notes)


def test_elan_knows_its_vocabulary_from_the_file_beside() -> None:
    found = read_elan(DATA / "elan" / "fables_01_03_aesop_64kb.eaf", dependents=True)
    assert len(found) > 60
    assert not any("does not list" in note for note in found.notes)


def test_cvat_tracks_last_as_long_as_they_are_seen() -> None:
    found = read_timed(DATA / "cvat" / "video_annotations.xml", Recordings(fps=10))
    spans = [(each.label, each.start_s, each.end_s, each.tier) for each in found.labels]
    assert spans == [
        ("II", 1.0, 1.3, "track 0"), ("klhg", 1.0, 1.3, "track 1"), ("II", 1.3, 1.6, "track 2"),
    ]  # fmt: skip
    (track,) = found.tracks["t"]
    assert (track.frames.tolist(), track.boxes.tolist()) == ([11], [[3.0, 4.0, 10.0, 5.0]])
    images = read_timed(DATA / "cvat" / "images_project_annotations.xml", Recordings(fps=10))
    assert not images.labels
    assert any("are no frames of a video are not read" in note for note in images.notes)


def test_label_studio_fills_the_frames_between_key_frames(tmp_path: Path) -> None:
    content = json.loads((DATA / "label_studio" / "video_key_frames.json").read_text(encoding="utf-8"))
    task = {"id": 1, "data": {"video": "v.mp4"}, "annotations": [{"result": content["results"]}]}
    (tmp_path / "a.json").write_text(json.dumps([task]), encoding="utf-8")
    found = read_timed(tmp_path / "a.json")
    frames: dict[str, list[int]] = {}
    for each in found.labels:  # 25 frames a second, by their number and the duration
        first, end = round(25 * each.start_s) + 1, round(25 * each.end_s)
        frames.setdefault(each.tier, []).extend(range(first, end + 1))
    expected = [[key["frame"] for key in each["value"]["sequence"]] for each in content["expected"]]
    assert list(frames.values()) == expected


def test_label_studio_tasks_of_pictures_have_no_times() -> None:
    found = read_timed(DATA / "label_studio" / "rectangles.json")
    assert not found.labels
    assert any("results without times are not read" in note for note in found.notes)
