"""Files of timed labels and boxes: what they hold, and typed errors that name the line or the video."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesphere.annotations.formats.activitynet import write_activitynet
from kinesphere.annotations.formats.ava import read_ava, read_label_map
from kinesphere.annotations.formats.registry import FORMATS
from kinesphere.annotations.people import read_people
from kinesphere.annotations.timed import PROPOSAL, Detection, TimedLabel, TimedLabels
from kinesphere.annotations.timed_files import read_timed
from kinesphere.core.errors import InvalidAnnotation, KinesphereError

WORDS = (
    "nan",
    "inf",
    "-inf",
    "1e308",
    "9" * 400,
    "9" * 5000,
    "-1",
    "1_0",
    "x",
    "{",
    '"',
    "é",
    "\x00",
    "",
    ",",
)
FUZZ = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


CVAT = "<annotations><meta><source>v.mp4</source></meta>{rest}</annotations>"
TRACK = (
    '<track id="0" label="a"><box frame="3" xtl="1" ytl="1" xbr="{right}" ybr="9"/>'
    '<box frame="{frame}" xtl="1" ytl="1" xbr="9" ybr="9" outside="1"/></track>'
)
VIA = {
    "file": {"1": {"fid": "1", "fname": "v.mp4"}}, "view": {"1": {"fid_list": ["1"]}},
    "attribute": {"1": {"aname": "TEMPORAL-SEGMENTS", "options": {}}}, "metadata": {},
}  # fmt: skip
DEPENDENT = """<ANNOTATION_DOCUMENT><TIME_ORDER><TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="0"/></TIME_ORDER>
<TIER TIER_ID="who"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t1">
<ANNOTATION_VALUE>run</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="why" PARENT_REF="who"><ANNOTATION>
<REF_ANNOTATION ANNOTATION_ID="{identifier}" ANNOTATION_REF="{to}">
<ANNOTATION_VALUE>x</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""


_BOX = {"x": 1, "y": 1, "width": 1, "height": 1}
LONG = {"labels": ["a"], "sequence": [{"frame": 1} | _BOX, {"frame": 900_000} | _BOX]}


def studio(values: list[Any]) -> list[Any]:
    """One task of Label Studio with regions of such values."""
    data = {"video": "v.mp4", "fps": 10}
    regions = [{"type": "x", "value": each} for each in values]
    return [{"id": 1, "data": data, "annotations": [{"result": regions}]}]


def osl(event: dict[str, Any]) -> dict[str, Any]:
    """One sample of OpenSportsLib with an event."""
    return {"version": "2.0", "data": [{"id": "v", "events": [event]}]}


ELAN = """<ANNOTATION_DOCUMENT><HEADER><MEDIA_DESCRIPTOR MEDIA_URL="v.mp4"/></HEADER>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="{value}"/>
<TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1500"/><TIME_SLOT TIME_SLOT_ID="ts0" TIME_VALUE="0"/></TIME_ORDER>
<TIER TIER_ID="who"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="{slot}">
<ANNOTATION_VALUE>run</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE/></ALIGNABLE_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""


def written(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_layouts_of_activitynet_are_one(tmp_path: Path) -> None:
    entry = {"label": "a", "segment": ["1.5", 2]}
    plain = read_timed(
        written(tmp_path / "bmn.json", {"v_0123456789x": {"duration_second": 9, "annotations": [entry]}})
    )
    assert plain.labels == (TimedLabel("0123456789x", "a", 1.5, 2.0),)
    assert plain.durations_s == {"0123456789x": 9.0}
    database = {"database": {"v": {"subset": "test", "annotations": [entry]}, "w": {"annotations": []}}}
    truth = read_timed(written(tmp_path / "truth.json", database))
    assert (truth.videos, truth.subsets) == (("v", "w"), {"v": "test"})
    found = read_timed(written(tmp_path / "found.json", {"results": {"v": [entry | {"score": 0.5}]}}))
    assert found.labels == (Detection("v", "a", 1.5, 2.0, score=0.5),)


def test_own_segments_are_read_as_csv_and_json(tmp_path: Path) -> None:
    rows = "label,start_s,end_s,probability,runner_up,runner_up_probability\nrun,0,1.5,0.9,walk,0.1\n"
    assert read_timed(written(tmp_path / "a.csv", rows)).labels == (Detection("", "run", 0, 1.5, score=0.9),)
    content = {
        "source": "b/clip.mp4",
        "segments": [{"label": "run", "start_s": 0, "end_s": 1.5, "probability": 0.9}],
    }
    assert read_timed(written(tmp_path / "a.json", content)).labels == (
        Detection("clip", "run", 0, 1.5, score=0.9),
    )


def test_elan_and_web_vtt_of_others(tmp_path: Path) -> None:
    found = read_timed(written(tmp_path / "a.eaf", ELAN.format(slot="ts2", value=0)))
    assert found.labels == (TimedLabel("v", "run", 0.0, 1.5, "who"),)
    assert found.notes == (f"{tmp_path / 'a.eaf'}: 1 annotations without a text are left out",)
    cue = "00:01.000 --> 00:02.000 line:0\n<b>run</b> &amp; jump"
    cues = f"WEBVTT\n\nNOTE x\n\n{cue}\n\n00:03.000 --> 00:04.000\n\n"
    found = read_timed(written(tmp_path / "a.vtt", cues))
    assert found.labels == (TimedLabel("", "run & jump", 1.0, 2.0),)
    assert found.notes == (f"{tmp_path / 'a.vtt'}: 1 cues without a text are left out",)


def test_folders_hold_a_file_for_each_video(tmp_path: Path) -> None:
    written(tmp_path / "a.mp4.csv", "label,start_s,end_s,probability\nrun,0,1.5,0.9\n")
    written(tmp_path / "b.json", {"source": "x/b.mp4", "segments": []})
    found = read_timed(tmp_path)
    assert found.labels == (Detection("a", "run", 0, 1.5, score=0.9),)
    assert found.videos == ("a", "b")


def test_tables_have_seconds_or_times_of_a_clock(tmp_path: Path) -> None:
    rows = "path;label;start;end\nv;a;0:01:02.5;1:03\nv;b;64,25;1:05,5\n"
    assert read_timed(written(tmp_path / "a.csv", rows)).labels == (
        TimedLabel("v", "a", 62.5, 63.0), TimedLabel("v", "b", 64.25, 65.5),
    )  # fmt: skip
    for wrong in ("00:00:01:12", "0:61", "1:60:00", "1:2:3:4", "a:01"):
        with pytest.raises(InvalidAnnotation, match=r"line 2: times are seconds .* not timecodes that count"):
            read_timed(written(tmp_path / "b.csv", f"path,label,start,end\nv,a,{wrong},9:00:00\n"))


def test_tables_say_which_columns_they_do_not_read(tmp_path: Path) -> None:
    found = read_timed(
        written(tmp_path / "a.csv", "video;type;startFrame;start;end;mood\nv;a;6;0.2;1.1;good\n")
    )
    assert found.labels == (TimedLabel("v", "a", 0.2, 1.1),)
    assert found.notes == (f"{tmp_path / 'a.csv'}: columns not read: 'mood'",)
    wide = ",".join(["label,start,end", *(f"c{number}" for number in range(13))])
    (note,) = read_timed(written(tmp_path / "b.csv", f"{wide}\n")).notes
    assert note.endswith("'c9' and 3 more")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "v 0 1 a 0.5\nv 3 2 a\n", "line 2: 'a' in 'v' ends at 2 s, before it starts at 3 s"),
        ("a.txt", "v 0 1 a nan\n", "line 1: the score of 'a' in 'v' should be a finite number; got nan"),
        ("a.txt", "v 0 1e30 a\n", "line 1: times of 'a' in 'v' should be finite seconds up to 1e"),
        ("a.txt", "v 0 x a\n", "line 1: times and scores should be numbers"),
        ("a.txt", "v 0 1\n", "line 1: lines are `video start end class score`"),
        ("a.txt", "run\nrun\n", "line 1: lines are .*got 'run'. A label a frame is not read; write segments"),
        ("a.csv", "video,label,start,end\nv,a,3,2\n", "line 2: 'a' in 'v' ends at 2 s, before"),
        ("a.csv", "video,label,start\nv,a,3\n", "lacks end_s; its columns are 'video', 'label', 'start'"),
        ("a.csv", "start_s,end_s,run,walk\n0,1,0.5,0.5\n", "A table of windows with a column for each label"),
        ("a.csv", "label,start,end\na,3\n", "line 2: 2 fields where the header has 3"),
        ("a.csv", "label,start,end\n,3,4\n", "line 2: the label is empty"),
        ("a.eaf", "<html/>", "is no ELAN document: it begins with 'html'"),
        ("a.eaf", "<a", "is no ELAN document: "),
        ("a.eaf", '<!DOCTYPE a [<!ENTITY b "c">]><a/>', "defines entities, which ELAN never does"),
        ("a.eaf", ELAN.format(slot="ts3", value=1500), "annotation 'a1': its time 'ts3' is not in the"),
        ("a.eaf", ELAN.format(slot="ts2", value="1.5"), "times are whole milliseconds; got '1.5'"),
        ("a.eaf", ELAN.format(slot="ts0", value=500), "'run' in 'v' ends at 0 s, before it starts at 0.5"),
        ("a.vtt", "1\n00:01.000 --> 00:02.000\na\n", "is no WebVTT: it begins with"),
        ("a.vtt", "WEBVTT\n\n0:1 --> 0:2\na\n", "block 1: '0:1 --> 0:2' are no times of WebVTT"),
        ("a.vtt", "WEBVTT\n\n00:03.000 --> 00:02.000\na\n", "block 1: 'a' in '' ends at 2 s, before"),
        ("a.parquet", "label", "a.parquet is no table of timed labels: "),
        ("a.csv", "label,label,start,end\na,b,3,4\n", "has the column 'label' twice"),
        ("a.csv", "path,label,start,end\na/v.mp4,x,3,4\nb/v.mp4,x,3,4\n", "line 3: 'b/v.mp4' and 'a"),
        ("a.csv", "label,start,end\na,0,2_0\n", "line 2: times are seconds"),
        ("a.json", {"results": {"v": [{"label": "a", "segment": [0]}]}}, "`segment` should be a start and"),
        ("a.json", {"results": {"v": [{"segment": [0, 1]}]}}, "v: entries hold `label` and"),
        (
            "a.json",
            {"results": {"v": [{"segment": [0, 1], "score": 1, "label": 3}]}},
            "a `label` is the name of a class; got 3. Write names for numbers of classes",
        ),
        ("a.json", {"results": {"v": [{"label": "a", "segment": [0, 10**400]}]}}, "`segment` should hold"),
        ("a.json", {"database": {"v": {"annotations": [{"label": "a", "segment": [2, 1]}]}}}, "'v' ends"),
        ("a.json", {"database": {"v": {"annotations": 3}}}, "video v: entries should be a list; got"),
        ("a.json", {"database": {"v_0123456789x": [], "0123456789x": []}}, "video 0123456789x twice"),
        ("a.json", [1, 2], "is no ActivityNet JSON: it holds no mapping"),
        ("a.json", {"version": 1}, "it needs `database`"),
        ("a.json", '{"results": {"v": [{"label": "a", "score": NaN}]}}', "'NaN' where numbers are"),
        ("a.json", {"segments": [{"label": "a"}]}, "segment 0: times and probability should be numbers"),
        ("a.xml", "<a/>", "is no CVAT annotation: it begins with 'a'"),
        ("a.xml", '<!ENTITY b "c"><annotations/>', "defines entities, which CVAT never does"),
        ("a.xml", "<annotations><meta>", "is no CVAT annotation: no element found"),
        ("a.xml", "<annotations/>", "it has no <meta>"),
        ("a.xml", CVAT.format(rest='<track id="0"/>'), "track '0': it has no label"),
        ("a.xml", CVAT.format(rest=2 * '<track id="0" label="a"/>'), "another track has this number too"),
        ("a.xml", CVAT.format(rest=TRACK.format(frame="x", right=9)), "'frame' should be a whole number"),
        ("a.xml", CVAT.format(rest=TRACK.format(frame=3, right=9)), "it has two shapes in frame 3"),
        ("a.xml", CVAT.format(rest=TRACK.format(frame=9, right=0)), "track '0', frame 3: its box .* is none"),
        ("a.xml", CVAT.format(rest=TRACK.format(frame=9, right="z")), "a box has the numbers xtl"),
        ("a.xml", CVAT.format(rest=TRACK.format(frame=9, right=9)), "counts in frames, and nothing says"),
        ("a.json", studio([LONG] * 3), "with frame 900000 the tracks have more than 2000000 boxes"),
        ("a.json", VIA | {"metadata": {"k": {"vid": "2", "z": [0, 1], "av": {}}}}, "no view '2' of a file"),
        ("a.json", VIA | {"metadata": {"k": {"vid": "1", "z": [2, 1], "av": {"1": "a"}}}}, "'a' in 'v'"),
        ("a.json", VIA | {"metadata": {"k": {"vid": "1", "z": [0, 1], "av": {"7": "a"}}}}, "attribute '7'"),
        ("a.json", VIA | {"metadata": []}, "`metadata` should be a mapping"),
        ("a.json", VIA | {"view": {"1": {"fid_list": ["9"]}}}, "view '1': it shows no file"),
        ("a.json", studio([{"ranges": [{"start": 1}], "timelinelabels": ["a"]}]), "'end' should be"),
        ("a.json", studio([{"ranges": [{"start": 9, "end": 1}], "labels": ["a"]}]), "'a' in 'v' ends"),
        ("a.json", studio([3]), "result 0: results have a `value`"),
        ("a.json", 2 * studio([]), "the video 'v' has a task already"),
        ("a.json", studio([{"sequence": [{"frame": 1}], "labels": ["a"]}]), "the box of frame 1 is none"),
        ("a.json", {"version": "2", "data": [3]}, "sample 0: samples are mappings; got 3"),
        ("a.json", {"version": "2", "data": [{}]}, "neither an input with a path nor an `id`"),
        ("a.json", {"version": "2", "data": 2 * [{"id": "v"}]}, "the video 'v' has a sample already"),
        ("a.json", osl({"label": "a", "position_ms": "x"}), "`position_ms` should be a number; got 'x'"),
        ("a.json", osl({"position_ms": 3}), "events have a `label` and a `head`"),
        ("a.json", osl({"label": "a", "position_ms": 3, "end_ms": 2}), "sample 0: 'a' in 'v' ends at"),
        ("a.eaf", DEPENDENT.format(to="a9", identifier="a2"), "belongs to the annotation 'a9', which is not"),
        ("a.eaf", DEPENDENT.format(to="a2", identifier="a2"), "belongs to the annotation 'a2', which is not"),
        ("a.eaf", DEPENDENT.format(to="a1", identifier="a1"), "another annotation has this identifier too"),
        ("a.txt2", "<a/>", "has none of the suffixes of timed labels"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(name: str, content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidAnnotation, match=message):
        read_timed(written(tmp_path / name, content), dependents=True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("v,902,0,0,1", "line 2: lines are video, time, four corners, action"),
        ("v,902,0,0,1,x,3", "line 2: times, corners and scores should be finite numbers"),
        ("v,902,0,0,1,nan,3", "line 2: the box of '3' in 'v' should be four finite numbers"),
        ("v,inf,0,0,1,1,3", "line 2: times, corners and scores should be finite numbers"),
        ("v,902,0,0,1,1,3,inf", "line 2: the score of '3' in 'v' should be a finite number"),
    ],
)
def test_wrong_lines_of_ava_are_named(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidAnnotation, match=message):
        read_ava(written(tmp_path / "a.csv", f"v,902.0,0,0,1,1,3\n{line}\n"))


def test_label_maps(tmp_path: Path) -> None:
    items = 'item {\n  name: "bend/bow (at the waist)"\n  id: 1\n}\nlabel {\n name: "run"\n label_id: 10\n}\n'
    names = {"1": "bend/bow (at the waist)", "10": "run"}
    assert read_label_map(written(tmp_path / "a.pbtxt", items)) == names
    assert read_label_map(written(tmp_path / "a.txt", "1: bend/bow (at the waist)\n10: run\n")) == names
    with pytest.raises(InvalidAnnotation, match="no label map: it holds no class"):
        read_label_map(written(tmp_path / "b.txt", "run\n"))
    with pytest.raises(InvalidAnnotation, match="no label map: it holds a number twice"):
        read_label_map(written(tmp_path / "c.txt", "1: a\n1: b\n"))
    with pytest.raises(InvalidAnnotation, match="items have an id and a name"):
        read_label_map(written(tmp_path / "d.pbtxt", "item { id: 1 }"))


def test_folders_of_thumos_are_of_one_subset(tmp_path: Path) -> None:
    written(tmp_path / "Diving_test.txt", "v 0 1\n")
    written(tmp_path / "Ambiguous_test.txt", "w 0 1\n")
    assert {each.label for each in read_timed(tmp_path).labels} == {"Diving", "Ambiguous"}
    written(tmp_path / "Diving_val.txt", "v 0 1\n")
    with pytest.raises(InvalidAnnotation, match="of one subset; it holds those of test and val"):
        read_timed(tmp_path)


def damaged(text: str, seed: int) -> str:
    """Words exchanged for strange ones, pieces dropped and repeated."""
    dice = random.Random(seed)
    parts = list(text)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(parts))
        match dice.randrange(3):
            case 0:
                parts[at] = dice.choice(WORDS)
            case 1:
                del parts[at : at + dice.randint(1, 9)]
            case _:
                parts[at:at] = parts[at : at + dice.randint(1, 9)]
        if not parts:
            break
    return "".join(parts)


@pytest.mark.parametrize("name", ["activitynet", "thumos", "timed_table", "ava", "mot", "coco_boxes"])
@FUZZ
@given(seed=st.integers(0, 2**32))
def test_damaged_files_give_typed_errors(name: str, seed: int, tmp_path: Path) -> None:
    read_damaged(name, seed, tmp_path)


@pytest.mark.parametrize("name", ["elan", "cvat", "via", "label_studio", "opensportslib"])
@settings(FUZZ, max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_damaged_files_of_tools_give_typed_errors(name: str, seed: int, tmp_path: Path) -> None:
    read_damaged(name, seed, tmp_path)


def read_damaged(name: str, seed: int, tmp_path: Path) -> None:
    """Read a damaged example; anything but a typed error fails."""
    form = FORMATS.get(name)
    path = tmp_path / f"x{form.suffixes[0]}"
    form.write_example(path)
    path.write_text(damaged(path.read_text(encoding="utf-8"), seed), encoding="utf-8", errors="replace")
    read: Callable[[Path], Any] = form.read
    with warnings.catch_warnings(), suppress(KinesphereError):
        warnings.simplefilter("error")
        read(path)


@FUZZ
@given(seed=st.integers(0, 2**32))
def test_damaged_files_of_people_give_typed_errors(seed: int, tmp_path: Path) -> None:
    entry = {"image_id": 1, "keypoints": [9.0, 9.0, 2.0] * 2, "bbox": [0, 0, 9, 9], "iscrowd": 0}
    text = json.dumps({"images": [{"id": 1, "file_name": "a/1.jpg"}], "annotations": [entry]})
    path = tmp_path / "a.json"
    path.write_text(damaged(text, seed), encoding="utf-8", errors="replace")
    with warnings.catch_warnings(), suppress(KinesphereError):
        warnings.simplefilter("error")
        read_people(path)


def test_results_round_trip(tmp_path: Path) -> None:
    found = TimedLabels.of([Detection("v", "a", 0.1, 2.0, score=0.25)])
    write_activitynet(found, tmp_path / "a.json")
    assert read_timed(tmp_path / "a.json").labels == found.labels


def test_results_without_labels_are_proposals(tmp_path):
    path = tmp_path / "proposals.json"
    path.write_text('{"results": {"v": [{"score": 0.9, "segment": [1.0, 3.0]}]}}')
    assert read_timed(path).labels == (Detection("v", PROPOSAL, 1.0, 3.0, score=0.9),)
