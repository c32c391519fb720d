"""Timed labels from files that somebody damaged or made up: refused or said, in time, and nothing is written
outside the folder that was named.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinesphere.annotations.conversion import convert
from kinesphere.annotations.formats.elan import write_example
from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.timed import TimedLabel
from kinesphere.annotations.timed_files import read_timed
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.video import VideoWriter


def written(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def annotated(path: Path, **videos: Any) -> Path:
    """ActivityNet's JSON of some videos with lists of spans."""
    database = {
        name: {"annotations": [{"label": "run", "segment": list(span)} for span in spans]}
        for name, spans in videos.items()
    }
    return written(path, {"database": database})


@pytest.fixture
def videos(tmp_path: Path) -> Recordings:
    with VideoWriter(tmp_path / "a.mp4", (16, 16), 25) as writer:
        for _ in range(50):
            writer.write(np.zeros((16, 16, 3), np.uint8))
    return Recordings(tmp_path)


@pytest.mark.parametrize("unit", [("PAL-frames", 1 / 25), ("NTSC-frames", 1001 / 30_000)])
def test_elan_counts_in_what_it_says(unit: tuple[str, float], tmp_path: Path) -> None:
    path = tmp_path / "a.eaf"
    write_example(path)
    name, unit_s = unit
    path.write_text(path.read_text(encoding="utf-8").replace("milliseconds", name), encoding="utf-8")
    found = read_timed(path)
    ends = [each.end_s for each in found.labels]
    assert ends == pytest.approx([1500 * unit_s, 3000 * unit_s])
    assert f"its times are {name}, as its TIME_UNITS says" in found.notes[0]


def test_unknown_units_of_elan_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.eaf"
    write_example(path)
    path.write_text(path.read_text(encoding="utf-8").replace("milliseconds", "hours"), encoding="utf-8")
    with pytest.raises(InvalidAnnotation, match="TIME_UNITS should be one of milliseconds, PAL-frames, NTSC"):
        read_timed(path)


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "a/../../b", "a\0b", "a\nb", "x//y"])
def test_names_of_videos_lead_nowhere_else(name: str, tmp_path: Path) -> None:
    path = annotated(tmp_path / "x.json", **{name: [(0, 1)]})
    with pytest.raises(InvalidAnnotation, match="has no name for a file below the folder that is written"):
        convert([path], "elan", tmp_path / "one" / "two" / "three")
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["x.json"]


def test_names_of_videos_may_have_folders(tmp_path: Path) -> None:
    path = annotated(tmp_path / "x.json", **{"run/a": [(0, 1)]})
    assert convert([path], "elan", tmp_path / "out").files == (tmp_path / "out" / "run" / "a.eaf",)


def test_names_too_long_for_a_file_are_refused(tmp_path: Path) -> None:
    path = annotated(tmp_path / "x.json", **{"é" * 150: [(0, 1)]})
    with pytest.raises(InvalidAnnotation, match="too long for a file; shorten it in the annotations"):
        convert([path], "elan", tmp_path / "out")


@pytest.mark.parametrize("form", ["elan", "label_studio", "opensportslib", "via", "activitynet", "csv"])
def test_texts_that_utf8_cannot_hold_are_spelled(form: str, tmp_path: Path) -> None:
    path = written(
        tmp_path / "x.json",
        {"database": {"a\ud800": {"annotations": [{"label": "b\ud801", "segment": [0, 1]}]}}},
    )
    done = convert([path], form, tmp_path / "out", Recordings(fps=25))
    assert [count.labels for count in done.after.values()] == [1]


@pytest.mark.parametrize("form", ["elan", "label_studio", "cvat"])
def test_what_begins_before_the_video_is_cut_and_told(form: str, videos: Recordings, tmp_path: Path) -> None:
    path = annotated(tmp_path / "x.json", a=[(-1.0, 1.0)])
    done = convert([path], form, tmp_path / "out", videos)
    (label,) = read_timed(done.files[0], videos).labels
    assert (label.start_s, label.end_s) == pytest.approx((0, 1), abs=0.02)
    assert any("begin before the video and are cut to its start" in note for note in done.notes)


def test_costs_grow_with_labels_and_not_with_their_square(tmp_path: Path) -> None:
    path = annotated(tmp_path / "x.json", a=[(i / 1000, 100) for i in range(2000)])
    began = time.process_time()
    done = convert([path], "elan", tmp_path / "out")
    assert done.lost == ()
    assert time.process_time() - began < 3


def test_lanes_are_taken_again_from_the_first(tmp_path: Path) -> None:
    spans = [(0, 4), (1, 2), (1.5, 3), (2, 5), (4, 6)]
    path = annotated(tmp_path / "x.json", a=spans)
    found = read_timed(convert([path], "elan", tmp_path / "out").files[0])
    tiers = {(each.start_s, each.end_s): each.tier for each in found.labels}
    assert [tiers[start, end] for start, end in spans] == [
        "labels",
        "labels 2",
        "labels 3",
        "labels 2",
        "labels",
    ]


def test_a_cue_without_end_is_refused_at_once(tmp_path: Path) -> None:
    path = written(tmp_path / "a.vtt", "WEBVTT\n\n00:00.000 --> 00:01.000\na" + " 1 % (" * 60_000)
    began = time.process_time()
    with pytest.raises(InvalidAnnotation, match="names have up to 1000 characters"):
        read_timed(path)
    assert time.process_time() - began < 2


def test_somebody_without_a_label_is_left_out(tmp_path: Path) -> None:
    box = {"frame": 1, "x": 1, "y": 1, "width": 1, "height": 1}
    result = {"type": "videorectangle", "value": {"sequence": [box], "labels": [" "]}}
    task = {"data": {"video": "a.mp4", "fps": 25}, "annotations": [{"result": [result]}]}
    found = read_timed(written(tmp_path / "a.json", [task]))
    assert found.labels == ()
    assert "it has no label and is left out" in found.notes[0]


@pytest.mark.parametrize("labels", [5, "run", {"a": 1}])
def test_labels_of_a_head_are_a_list(labels: Any, videos: Recordings, tmp_path: Path) -> None:
    sample = {"inputs": [{"path": "a.mp4"}], "labels": {"action": {"labels": labels}}}
    path = written(tmp_path / "x.json", {"version": "2.0", "data": [sample]})
    with pytest.raises(InvalidAnnotation, match="a head has `label` or `labels`"):
        read_timed(path, videos)


def test_labels_of_a_head_are_read(videos: Recordings, tmp_path: Path) -> None:
    sample = {"inputs": [{"path": "a.mp4"}], "labels": {"action": {"labels": ["run", "jump"]}}}
    path = written(tmp_path / "x.json", {"version": "2.0", "data": [sample]})
    assert read_timed(path, videos).labels == tuple(TimedLabel("a", each, 0, 2) for each in ("run", "jump"))
