from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.annotations.conversion import convert
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.models.rejection import Rejection
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.predict.segmentation import Segment, below, segments
from kinesphere.predict.timeline import Timeline
from kinesphere.predict.timeline_files import elan, read_timeline, web_vtt, write_segments, write_timeline

DATE = datetime(2030, 1, 1, tzinfo=UTC)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(lambda text: bool(text.strip()))


@st.composite
def segment_lists(draw: st.DrawFn) -> list[Segment]:
    edges = draw(st.lists(st.integers(0, 9_000_000), min_size=2, max_size=14, unique=True).map(sorted))
    pairs = zip(edges[::2], edges[1::2], strict=False)
    return [Segment(draw(NAMES), a / 1000, b / 1000, draw(st.floats(0, 1))) for a, b in pairs]


@given(segment_lists())
def test_elan_keeps_labels_and_milliseconds(found: list[Segment]) -> None:
    root = ET.fromstring(elan(found, "clip.mp4", DATE))
    slots = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE", "")) for slot in root.iter("TIME_SLOT")}
    rows = [
        (a.findtext("ANNOTATION_VALUE"), slots[a.get("TIME_SLOT_REF1")], slots[a.get("TIME_SLOT_REF2")])
        for a in root.iter("ALIGNABLE_ANNOTATION")
    ]
    printable = [s for s in found if s.label.isprintable()]
    expected = [(s.label, round(1000 * s.start_s), round(1000 * s.end_s)) for s in printable]
    assert len(rows) == len(found)
    assert [row for row, s in zip(rows, found, strict=True) if s.label.isprintable()] == expected
    tiers = [tier.get("TIER_ID") for tier in root.iter("TIER")]
    assert tiers == ["kinesphere", "kinesphere probability", "kinesphere runner-up"]


def test_elan_gives_overlapping_labels_their_own_tiers() -> None:
    found = [Segment("a", 0, 2, 0.9), Segment("b", 1, 3, 0.8), Segment("a", 4, 5, 0.7)]
    root = ET.fromstring(elan(found, "/data/a clip.mp4", DATE))
    assert [tier.get("TIER_ID") for tier in root.iter("TIER") if not tier.get("PARENT_REF")] == ["a", "b"]
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None
    assert media.get("MEDIA_URL") == "file:///data/a%20clip.mp4"


def test_elan_replaces_what_xml_cannot_hold() -> None:
    root = ET.fromstring(elan([Segment("bell\x07", 0, 1, 1)], "rtsp://camera/1", DATE))
    assert root.findtext(".//ANNOTATION_VALUE") == "bell\ufffd"


@given(segment_lists())
def test_vtt_has_one_well_formed_cue_per_segment(found: list[Segment]) -> None:
    head, *cues = web_vtt(found).rstrip("\n").split("\n\n")
    assert head == "WEBVTT"
    assert len(cues) == len(found)
    for cue, segment in zip(cues, found, strict=True):
        times, *text = cue.split("\n")
        match = re.fullmatch(r"(\d\d):(\d\d):(\d\d\.\d{3}) --> \d\d:\d\d:\d\d\.\d{3}", times)
        assert match is not None
        start = 3600 * int(match[1]) + 60 * int(match[2]) + float(match[3])
        assert start == pytest.approx(segment.start_s, abs=6e-4)
        assert len(text) == 1
        assert "-->" not in text[0]


def test_vtt_reads_like_this() -> None:
    assert web_vtt([Segment("<b>jump</b>", 3661.5, 3663, 0.934)]) == (
        "WEBVTT\n\n01:01:01.500 --> 01:01:03.000\n&lt;b&gt;jump&lt;/b&gt; 93 %\n"
    )


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
@settings(deadline=None, max_examples=30)
@given(st.integers(0, 999), st.lists(NAMES, min_size=2, max_size=4, unique=True), st.booleans())
def test_timeline_survives_the_disk(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, seed: int, labels: list[str], multi: bool
) -> None:
    generator = np.random.default_rng(seed)
    spans = np.array([(i, i + 2.5) for i in range(4)])
    timeline = Timeline(
        generator.random((4, len(labels))),
        spans,
        LabelSet(tuple(labels), multi=multi),
        "é.mp4",
        breaks_s=np.array([0.0, 5.5])[: seed % 3],
    )
    path = tmp_path_factory.mktemp("timeline") / f"timeline{suffix}"
    write_timeline(timeline, path)
    again = read_timeline(path)
    np.testing.assert_array_equal(again.probabilities, timeline.probabilities)
    np.testing.assert_array_equal(again.spans, timeline.spans)
    np.testing.assert_array_equal(again.breaks_s, timeline.breaks_s)
    assert (again.labels, again.source) == (timeline.labels, timeline.source)


def test_csv_of_windows_and_of_segments(tmp_path: Path) -> None:
    labels = LabelSet(("run, fast", "sit"))
    timeline = Timeline(np.array([[0.75, 0.25]]), np.array([[0.0, 1.5]]), labels, "clip.mp4")
    write_timeline(timeline, tmp_path / "windows.csv")
    with (tmp_path / "windows.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["start_s", "end_s", "run, fast", "sit"],
            ["0.0", "1.5", "0.75", "0.25"],
        ]
    segment = Segment("run, fast", 0, 1.5, 0.75, "sit", 0.25)
    write_segments([segment], tmp_path / "segments.csv", source="clip.mp4")
    with (tmp_path / "segments.csv").open(newline="") as file:
        assert list(csv.reader(file))[1] == ["run, fast", "0", "1.5", "0.75", "sit", "0.25"]


def test_segments_choose_their_format_by_suffix(tmp_path: Path) -> None:
    found = [Segment("jump", 0.5, 1.5, 0.9, "hop", 0.1)]
    for suffix in ("json", "eaf", "vtt"):
        write_segments(found, tmp_path / f"out.{suffix}", source="clip.mp4", date=DATE)
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "source": "clip.mp4",
        "segments": [
            {
                "label": "jump",
                "start_s": 0.5,
                "end_s": 1.5,
                "probability": 0.9,
                "runner_up": "hop",
                "runner_up_probability": 0.1,
            }
        ],
    }
    assert (tmp_path / "out.eaf").read_bytes().startswith(b"<?xml")
    assert (tmp_path / "out.vtt").read_text().startswith("WEBVTT")


def test_predictions_are_written_over_and_what_people_made_of_them_is_not(tmp_path: Path) -> None:
    found = [Segment("jump", 0.5, 1.5, 0.9, "hop", 0.1), Segment("hop", 2, 3, 0.8)]
    more = {"events": [Segment("fight", 0, 1, 1.0)]}
    for suffix in ("eaf", "csv", "json", "parquet", "via.json", "vtt"):
        for some in (found, found[:1]):
            write_segments(some, tmp_path / f"out.{suffix}", source="clip.mp4", date=DATE, more=more)
    corrected = tmp_path / "corrected.csv"
    corrected.write_text("path,label,start,end\nclip.mp4,jump,0.5,1.5\nclip.mp4,run,4,5\n")
    convert([corrected], "elan", tmp_path / "gala.eaf")
    before = (tmp_path / "gala.eaf").read_bytes()
    for path in (tmp_path / "gala.eaf", corrected):
        with pytest.raises(InvalidAnnotation, match=r"holds 2 labels without scores, .* 'jump' at 0\.5"):
            write_segments(found, path, source="clip.mp4")
    assert (tmp_path / "gala.eaf").read_bytes() == before


def test_unknown_formats_and_damaged_files_are_refused(tmp_path: Path) -> None:
    timeline = Timeline(np.ones((1, 2)) / 2, np.array([[0.0, 1.0]]), LabelSet(("a", "b")), "clip.mp4")
    with pytest.raises(InvalidSetting, match=r"written as \.json, \.csv or \.parquet; got '\.xml'"):
        write_timeline(timeline, tmp_path / "timeline.xml")
    with pytest.raises(
        InvalidSetting, match=r"as \.json, \.csv, \.parquet, \.eaf, \.vtt, \.xml, .*; got '\.srt'"
    ):
        write_segments([], tmp_path / "segments.srt", source="clip.mp4")
    with pytest.raises(InvalidSetting, match=r"read from \.json or \.parquet; got '\.csv'"):
        read_timeline(tmp_path / "timeline.csv")
    for name in ("gone.json", "text.parquet", "list.json"):
        if name != "gone.json":
            (tmp_path / name).write_text("[]")
        with pytest.raises(InvalidAnnotation, match="does not hold a timeline"):
            read_timeline(tmp_path / name)
    assert not list(tmp_path.glob(".*"))


def test_every_format_has_probability_and_runner_up(tmp_path: Path) -> None:
    timeline = Timeline(
        np.array([[0.6, 0.3, 0.1], [0.7, 0.1, 0.2], [0.4, 0.3, 0.3]]),
        np.array([[0.0, 2.0], [1.0, 3.0], [2.0, 4.0]]),
        LabelSet(("wave", "fall", "sit")),
        "clip.mp4",
    )
    found, silent = segments(timeline), below(timeline)
    assert str(silent) == "1 of 3 windows below the threshold of 0.5"
    assert (found[0].runner_up, found[0].runner_up_probability) == ("fall", pytest.approx(0.2))
    for suffix in ("csv", "json", "eaf", "vtt"):
        write_segments(found, tmp_path / f"s.{suffix}", source="clip.mp4", coverage=silent)
    (row,) = csv.DictReader((tmp_path / "s.csv").open(encoding="utf-8"))
    assert (row["probability"], row["runner_up"], float(row["runner_up_probability"])) == (
        str(found[0].probability), "fall", pytest.approx(0.2),
    )  # fmt: skip
    plain = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert plain["windows"] == {"count": 3, "below_threshold": 1, "threshold": 0.5}
    assert plain["segments"][0]["runner_up"] == "fall"
    vtt = (tmp_path / "s.vtt").read_text(encoding="utf-8")
    assert "NOTE 1 of 3 windows below the threshold" in vtt
    assert "wave 65 % (fall 20 %)" in vtt
    root = ET.parse(tmp_path / "s.eaf").getroot()
    notes = {note.get("ANNOTATION_REF"): [] for note in root.iter("REF_ANNOTATION")}
    for note in root.iter("REF_ANNOTATION"):
        notes[note.get("ANNOTATION_REF")].append(note.findtext("ANNOTATION_VALUE"))
    assert notes == {"a1": ["0.650", "fall 0.200"]}
    assert root.findtext("HEADER/PROPERTY") == str(silent)


def test_windows_that_are_none_of_what_is_known_are_not_below_the_threshold(tmp_path: Path) -> None:
    timeline = Timeline(
        np.array([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.4, 0.3, 0.3]]),
        np.array([[0.0, 2.0], [2.0, 4.0], [4.0, 6.0]]),
        LabelSet(("wave", "fall", "other")),
        "clip.mp4",
        rejection=Rejection("other", 0.5, "by hand"),
    )
    silent = below(timeline, SegmentRule(threshold=0.7))
    assert silent.lines == ("2 of 3 windows are 'other'", "1 of 3 windows below the threshold of 0.7")
    assert below(timeline, SegmentRule(threshold=0.3)).lines == silent.lines[:1]
    assert str(below(timeline, SegmentRule(threshold=0.3, smooth=3))) == "3 of 3 windows are 'other'"
    write_segments(segments(timeline), tmp_path / "s.json", source="clip.mp4", coverage=silent)
    plain = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["windows"]
    assert plain == {
        "count": 3, "below_threshold": 1, "threshold": 0.7, "rejected": 2, "rejected_as": "other",
    }  # fmt: skip


def test_the_only_label_has_no_runner_up() -> None:
    timeline = Timeline(
        np.array([[0.9]]), np.array([[0.0, 1.0]]), LabelSet(("wave",), multi=True), "clip.mp4"
    )
    (found,) = segments(timeline)
    assert (found.runner_up, found.runner_up_probability) == (None, None)
    assert web_vtt([found]).endswith("wave 90 %\n")
