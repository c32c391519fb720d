from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from kinesphere.annotations.formats.ava import read_label_map
from kinesphere.annotations.formats.mot import write_tracks
from kinesphere.annotations.keyframe_files import (
    read_ava_keyframes,
    read_keyframes,
    write_keyframes,
    write_label_map,
)
from kinesphere.annotations.keyframes import Keyframe, Keyframes, KeyPerson
from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.timed import Track
from kinesphere.apps.cli.main import app
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.video import VideoWriter

NAMES = {"1": "walk", "12": "wave"}


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_lines_of_one_box_are_one_person(tmp_path: Path) -> None:
    text = (
        "v,0902,0.1,0.2,0.5,0.9,1,7\nv,0902,0.1,0.2,0.5,0.9,12,7\nv,902,0.6,0.2,0.8,0.9,1,8\n"
        "v,0903\nw,0902,-0.01,0.2,0.5,1.02,80,0\nw,0902,0.3,0.3,0.3,0.5,1,1\n"
    )
    found = read_ava_keyframes(written(tmp_path / "a.csv", text), NAMES)
    assert found.frames == (
        Keyframe(
            "v",
            902.0,
            (
                KeyPerson((0.1, 0.2, 0.5, 0.9), ("walk", "wave"), 7),
                KeyPerson((0.6, 0.2, 0.8, 0.9), ("walk",), 8),
            ),
        ),
        Keyframe("v", 903.0),
        Keyframe("w", 902.0, (KeyPerson((0.0, 0.2, 0.5, 1.0)),)),
    )
    assert found.numbers == {"walk": 1, "wave": 12}
    assert "1 lines of 1 actions that the label map does not name are left out (80)" in found.notes[0]
    assert "1 boxes without an area" in found.notes[1]
    assert [each.time_s for each in found.without(frozenset({("v", 902)})).frames] == [903.0, 902.0]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("v,902,10,20,50,90,1", "line 2: corners are fractions of the frame's width and height"),
        ("v,902,nan,0,1,1,1", "line 2: corners are fractions"),
        ("v,902,0.5,0,0.1,1,1", "line 2: a box is left, top, right, bottom"),
        ("v,902,0,0,1,1,1,0.75", "the number of the person; got 0.75. Are these results"),
        ("v,902,0,0,1,1,1.5", "line 2: times, corners and scores should be finite numbers"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(InvalidAnnotation, match=says):
        read_ava_keyframes(written(tmp_path / "a.csv", f"v,902,0,0,1,1,1\n{line}\n"))


def test_a_label_map_of_other_actions_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "v,902,0,0,1,1,3\nv,902,0,0,1,1,4\n")
    with pytest.raises(InvalidAnnotation, match=r"no action is among .* label map; its numbers are 3, 4"):
        read_ava_keyframes(path, NAMES)
    assert read_ava_keyframes(path).numbers == {"3": 3, "4": 4}


corner = st.integers(0, 4999)
boxes = st.tuples(corner, corner).map(
    lambda at: (at[0] / 1e4, at[1] / 1e4, (at[0] + 5000) / 1e4, (at[1] + 5000) / 1e4)
)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", 'b "c", d']),
            st.integers(0, 9999),
            st.lists(boxes, unique=True, max_size=3),
        ),
        unique_by=lambda each: each[:2],
        min_size=1,
    )
)
def test_what_is_written_is_read_again(tmp_path_factory, rows) -> None:
    frames = [
        Keyframe(
            video,
            float(time_s),
            tuple(KeyPerson(box, ("walk", "wave")[: 1 + i % 2], i) for i, box in enumerate(own)),
        )
        for video, time_s, own in rows
    ]
    if not any(frame.people for frame in frames):
        return
    folder = tmp_path_factory.mktemp("written")
    numbers = {"walk": 1, "wave": 12}
    write_keyframes(Keyframes(tuple(frames), numbers), folder / "a.csv")
    write_label_map(numbers, folder / "map.pbtxt")
    assert read_label_map(folder / "map.pbtxt") == NAMES
    again = read_keyframes([folder / "a.csv"], Recordings(), names=NAMES)
    assert list(again.frames) == sorted(frames, key=lambda each: (each.video, each.time_s))


def video(path: Path, frames: int = 75, fps: int = 25) -> Path:
    with VideoWriter(path, (48, 64), fps) as writer:
        for _ in range(frames):
            writer.write(np.zeros((48, 64, 3), np.uint8))
    return path


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<meta><task><id>1</id><name>a</name><size>75</size><mode>interpolation</mode><start_frame>0</start_frame>
<stop_frame>74</stop_frame><original_size><width>64</width><height>48</height></original_size></task>
<source>a.mp4</source></meta>
<track id="3" label="person">
  <box frame="0" outside="0" keyframe="1" xtl="0" ytl="0" xbr="16" ybr="24">
    <attribute name="action">walk, wave</attribute><attribute name="sits">false</attribute></box>
  <box frame="50" outside="0" keyframe="1" xtl="32" ytl="24" xbr="48" ybr="48">
    <attribute name="action">__undefined__</attribute><attribute name="sits">true</attribute></box>
  <box frame="74" outside="1" keyframe="1" xtl="32" ytl="24" xbr="48" ybr="48"/>
</track>
<track id="4" label="jump">
  <box frame="20" outside="0" keyframe="1" xtl="0" ytl="0" xbr="16" ybr="24"/>
  <box frame="30" outside="1" keyframe="1" xtl="0" ytl="0" xbr="16" ybr="24"/>
</track>
</annotations>"""


def test_tracks_of_cvat_with_actions_become_keyframes(tmp_path: Path) -> None:
    video(tmp_path / "a.mp4")
    path = written(tmp_path / "a.xml", CVAT)
    found = read_keyframes([path], Recordings(tmp_path))
    assert found.numbers == {"jump": 1, "sits": 2, "walk": 3, "wave": 4}
    assert [frame.time_s for frame in found.frames] == [0.0, 1.0, 2.0]
    first, second, third = (frame.people for frame in found.frames)
    assert first == (KeyPerson((0.0, 0.0, 0.25, 0.5), ("walk", "wave"), 3),)
    assert second == (
        KeyPerson((0.25, 0.25, 0.5, 0.75), ("walk", "wave"), 3),
        KeyPerson((0.0, 0.0, 0.25, 0.5), ("jump",), 4),
    )
    assert third == (KeyPerson((0.5, 0.5, 0.75, 1.0), ("sits",), 3),)
    some = read_keyframes([path], Recordings(tmp_path), classes=("walk", "crawl"))
    assert some.numbers == {"walk": 1, "crawl": 2}
    assert [each.actions for frame in some.frames for each in frame.people] == [("walk",), ("walk",), ()]


def test_a_table_says_what_people_of_tracks_do(tmp_path: Path) -> None:
    video(tmp_path / "a.mp4", fps=30, frames=60)
    frames = np.arange(1, 61)
    box = np.tile((0.0, 0.0, 32.0, 48.0), (60, 1))
    people = [Track(1, frames, box, np.ones(60)), Track(2, frames, box, np.ones(60), "machete")]
    write_tracks(tmp_path / "tracks" / "a", people)
    rows = "path,label,start,end,person,split\na.mp4,walk,0.5,1.5,1,train\na.mp4,wave,0.9,1.9,1,train\n"
    table = written(tmp_path / "manifest.csv", rows)
    found = read_keyframes([table], Recordings(tmp_path), tracks=tmp_path / "tracks")
    assert found.subsets == {"a": "train"}
    assert [[each.actions for each in frame.people] for frame in found.frames] == [[()], [("walk", "wave")]]
    with pytest.raises(InvalidAnnotation, match=r"no tracks of a in .*: none of a\.txt, a\.json, a\."):
        read_keyframes([table], Recordings(tmp_path), tracks=tmp_path)
    with pytest.raises(InvalidAnnotation, match="holds no tracks of people"):
        read_keyframes([table], Recordings(tmp_path))
    wrong = written(tmp_path / "wrong.csv", "path,label,start,end,person\na.mp4,walk,x,1,1\n")
    with pytest.raises(InvalidAnnotation, match="line 2: start and end are numbers of seconds"):
        read_keyframes([wrong], Recordings(tmp_path), tracks=tmp_path / "tracks")
    lacking = written(tmp_path / "lacking.csv", "label,start,end,person\nwalk,0,1,1\n")
    with pytest.raises(InvalidAnnotation, match="says not what people do: it needs the columns path"):
        read_keyframes([lacking], Recordings(tmp_path), tracks=tmp_path / "tracks")


@pytest.mark.parametrize("fps", [25, 30])
def test_the_rate_of_a_video_changes_nothing(tmp_path: Path, fps: int) -> None:
    """A person moves evenly to the right; at a second it is where it is, whatever the rate."""
    count = 3 * fps
    video(tmp_path / "a.mp4", frames=count, fps=fps)
    left = np.arange(count) / fps * 10
    box = np.stack([left, left * 0, left + 16, left * 0 + 24], 1)
    write_tracks(tmp_path / "tracks" / "a", [Track(1, np.arange(1, count + 1), box, np.ones(count))])
    table = written(tmp_path / "t.csv", "path,label,start,end,person\na.mp4,walk,0,3,1\n")
    found = read_keyframes([table], Recordings(tmp_path), tracks=tmp_path / "tracks")
    lefts = [frame.people[0].box[0] * 64 for frame in found.frames]
    assert lefts == pytest.approx([0, 10, 20], abs=0.4)


def test_the_verb_writes_tracks_of_cvat_in_the_form_of_ava(tmp_path: Path) -> None:
    video(tmp_path / "a.mp4")
    path = written(tmp_path / "a.xml", CVAT)
    arguments = ["data", "keyframes", str(path), "--videos", str(tmp_path), "--out", str(tmp_path / "k.csv")]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert {key: told[key] for key in ("videos", "keyframes", "boxes", "actions")} == {
        "videos": 1, "keyframes": 3, "boxes": 4, "actions": 6,
    }  # fmt: skip
    names = read_label_map(tmp_path / "k.pbtxt")
    again = read_keyframes([tmp_path / "k.csv"], Recordings(), names=names)
    assert again.frames == read_keyframes([path], Recordings(tmp_path)).frames
    assert "4 boxes" in CliRunner().invoke(app, arguments).output
