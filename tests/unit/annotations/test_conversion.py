"""Timed labels from tool to tool: all that was there is there again, or is counted and named."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesphere.annotations.conversion import class_counts, convert
from kinesphere.annotations.formats.elan import of_tiers, read_elan
from kinesphere.annotations.formats.registry import FORMATS
from kinesphere.annotations.recordings import FrameClock, Recordings
from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels, Track
from kinesphere.annotations.timed_files import read_timed
from kinesphere.annotations.timed_targets import TIMED_TARGETS
from kinesphere.annotations.track_spans import track_labels
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.video import VideoWriter

LABELS = (
    TimedLabel("dance", "run", 0.0, 1.2),
    TimedLabel("dance", "walk & wave", 1.2, 2.0),
    TimedLabel("dance", "run", 2.4, 3.0),
)


NOTES = {
    "opensportslib": ["OpenSportsLib knows moments; the ends of 3 labels stand in `end_ms` for others"],
}
FIELDS = ("video", "label", "start_s", "end_s", "tier")


def by_time(label: TimedLabel) -> float:
    return label.start_s


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """A video of 3 s at 10 frames a second, of 32 × 24 px."""
    folder = tmp_path_factory.mktemp("videos")
    with VideoWriter(folder / "dance.mp4", fps=Fraction(10), size=(24, 32)) as writer:
        for _ in range(30):
            writer.write(np.zeros((24, 32, 3), np.uint8))
    return Recordings(folder)


@pytest.mark.parametrize("form", sorted({*TIMED_TARGETS} - {"mot"}))
def test_labels_come_back(form: str, videos: Recordings, tmp_path: Path) -> None:
    target = TIMED_TARGETS[form]
    labels = tuple(replace(each, tier="base") if target.keeps_tiers else each for each in LABELS)
    path = tmp_path / f"dance{target.suffix}"
    notes = target.write(TimedLabels.of(labels), path, videos)
    assert [*notes] == [f"{path}: {note}" for note in NOTES.get(form, ())]
    assert sorted(read_timed(path, videos).labels, key=by_time) == [*labels]
    scored = tuple(Detection(*(getattr(each, name) for name in FIELDS), score=0.25) for each in labels)
    target.write(TimedLabels.of(scored), path, videos)
    assert sorted(read_timed(path, videos).labels, key=by_time) == [*scored]


@pytest.mark.parametrize("form", ["cvat", "label_studio", "mot"])
def test_tracks_come_back(form: str, videos: Recordings, tmp_path: Path) -> None:
    frames = np.array([3, 4, 5, 9, 10])
    boxes = np.stack([frames, frames, frames + 8, frames + 12], axis=1).astype(np.float64)
    track = Track(1, frames, boxes, np.ones(5), "dancer")
    clock = videos.clock("dance", tmp_path)
    times = tuple(track_labels("dance", [track], clock))
    assert [(each.start_s, each.end_s) for each in times] == [(0.2, 0.5), (0.8, 1.0)]
    label = TimedLabel("dance", "run", 0.0, 1.0)
    path = tmp_path / f"dance{TIMED_TARGETS[form].suffix}"
    found = TimedLabels((label, *times), ("dance",), tracks={"dance": (track,)})
    TIMED_TARGETS[form].write(found, path, videos)
    again = read_timed(path, videos)
    (back,) = again.tracks["dance"]
    assert (back.label, back.frames.tolist()) == ("dancer", frames.tolist())
    assert np.allclose(back.boxes, boxes)
    spans = {(each.label, each.start_s, each.end_s) for each in again.labels}
    lost = set() if form != "mot" else {("run", 0.0, 1.0)}
    assert spans == {("run", 0.0, 1.0), ("dancer", 0.2, 0.5), ("dancer", 0.8, 1.0)} - lost


def test_what_a_format_cannot_hold_is_told(videos: Recordings, tmp_path: Path) -> None:
    FORMATS.get("cvat").write_example(tmp_path / "dance.xml")
    found = convert([tmp_path / "dance.xml"], "mot", tmp_path / "mot", Recordings(fps=10))
    assert found.lost == ("run: 2 before, 0 after",)
    assert (tmp_path / "mot" / "a" / "gt" / "labels.txt").read_text() == "person\n"
    found = convert([tmp_path / "mot" / "a"], "activitynet", tmp_path / "a.json", Recordings(fps=10))
    assert (found.lost, len(found.notes)) == ((), 2)
    assert "ActivityNet JSON has no tiers; labels of 1 lie together: track 1" in found.notes
    assert "ActivityNet JSON has no boxes; of 1 tracks only the times are written" in found.notes


def test_what_people_annotated_goes_before_what_was_predicted(videos: Recordings, tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    scored = [Detection(video, "run", 0.0, 1.0, score=0.5) for video in ("dance", "walk")]
    TIMED_TARGETS["label_studio"].write(TimedLabels.of(scored), path, Recordings(fps=10))
    assert read_timed(path).labels == tuple(scored)
    tasks = json.loads(path.read_text())
    assert '<Label value="run" />' in (tmp_path / "tasks.config.xml").read_text()
    result = tasks[0]["predictions"][0]["result"]
    result[0]["value"]["ranges"][0]["end"] = 5
    tasks[0]["annotations"] = [{"result": result}, {"was_cancelled": True, "result": result}]
    path.write_text(json.dumps(tasks))
    corrected = read_timed(path)
    assert corrected.labels == (TimedLabel("dance", "run", 0.0, 0.5),)
    assert corrected.notes == (f"{path}: 1 tasks are not annotated; what is predicted for them is not read",)


def test_labels_of_whole_clips_last_as_long_as_the_video(videos: Recordings, tmp_path: Path) -> None:
    sample = {"inputs": [{"path": "clips/dance.mp4"}], "labels": {"action": {"label": "run"}}}
    other = {"id": "walk", "labels": {"action": {"label": "walk"}}, "events": [{"label": "x"}]}
    path = tmp_path / "osl.json"
    path.write_text(json.dumps({"version": "2.0", "data": [sample, other]}))
    found = read_timed(path, videos)
    assert [(each.label, each.start_s, round(each.end_s, 6)) for each in found.labels] == [("run", 0.0, 3.0)]
    assert [note.partition(": ")[2] for note in found.notes] == [
        "1 events without `position_ms` are left out",
        "1 clips have labels, but their videos are not at hand to tell how long they are",
    ]


def test_videos_are_found_below_the_annotations(videos: Recordings, tmp_path: Path) -> None:
    """Whatever folder is written to; of several files of one name none is taken."""
    assert videos.folder is not None
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.csv").write_text("path,label,start_s,end_s\nvideos/dance.mp4,run,0,1\n")
    with pytest.raises(InvalidAnnotation, match=r"nothing says how long a frame of 'dance' is shown"):
        convert([tmp_path / "set" / "a.csv"], "cvat", tmp_path / "out")
    shutil.copytree(videos.folder, tmp_path / "set" / "videos")
    for source in (tmp_path / "set" / "a.csv", tmp_path / "set"):
        assert convert([source], "cvat", tmp_path / "out").after["run"].labels == 1
    shutil.copytree(videos.folder, tmp_path / "set" / "more")
    with pytest.raises(InvalidAnnotation, match=r"nothing says how long a frame of 'dance' is shown"):
        convert([tmp_path / "set" / "a.csv"], "cvat", tmp_path / "anew")


def test_counts_before_and_after_are_of_the_files(videos: Recordings, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,label,start_s,end_s\ndance.mp4,run,0,1\nwalk.mp4,run,1,3\n")
    found = convert([tmp_path / "a.csv"], "elan", tmp_path / "out", videos)
    assert {path.name for path in found.files} == {"dance.eaf", "walk.eaf"}
    assert found.before == found.after == class_counts(read_timed(tmp_path / "out").labels)
    assert (found.before["run"].labels, found.before["run"].seconds, found.lost) == (2, 3.0, ())
    with pytest.raises(InvalidSetting, match=r"is of one video, and there are 2 \(dance, walk\)"):
        convert([tmp_path / "a.csv"], "elan", tmp_path / "b.eaf")
    with pytest.raises(InvalidSetting, match=r"written as .*; got 'elna'; did you mean elan"):
        convert([tmp_path / "a.csv"], "elna", tmp_path / "b.eaf")


def test_names_that_look_misspelt_are_told(tmp_path: Path) -> None:
    rows = ["walk"] * 9 + ["wlak", "Walk", "jump"]
    lines = "".join(f"{label},{i},{i + 1}\n" for i, label in enumerate(rows))
    (tmp_path / "a.csv").write_text(f"label,start_s,end_s\n{lines}")
    notes = convert([tmp_path / "a.csv"], "csv", tmp_path / "b.csv").notes
    assert notes == (
        "'walk' (9) and 'Walk' (1) differ by case or spaces alone; rename them if they are one class",
        "'wlak' (1) may be a slip for 'walk' (9); rename it if so",
    )


def test_labels_that_overlap_lie_on_further_tiers_of_elan(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("label,start_s,end_s,tier\na,0,2,x\nb,1,3,x\nc,2,3,x\n")
    found = convert([tmp_path / "v.csv"], "elan", tmp_path / "v.eaf")
    assert [(each.label, each.tier) for each in read_timed(tmp_path / "v.eaf").labels] == [
        ("a", "x"), ("c", "x"), ("b", "x 2"),
    ]  # fmt: skip
    assert found.notes == (f"{tmp_path / 'v.eaf'}: labels of the tier 'x' overlap and lie on 2 tiers",)


def test_a_frame_rate_is_never_guessed(videos: Recordings, tmp_path: Path) -> None:
    path = tmp_path / "dance.xml"
    FORMATS.get("cvat").write_example(path)
    (tmp_path / "a.mp4").unlink()  # the video that is meant
    with pytest.raises(InvalidAnnotation, match="counts in frames, and nothing says how long a frame of 'a'"):
        read_timed(path)
    at_ten = [(each.label, each.start_s, each.end_s) for each in read_timed(path, Recordings(fps=10)).labels]
    assert at_ten == [("run", 0.2, 0.5), ("person", 0.0, 0.4), ("run", 0.8, 0.9)]
    with pytest.raises(InvalidAnnotation, match="a frame rate is a number above 0; got 0"):
        read_timed(path, Recordings(fps=0))
    with pytest.raises(InvalidAnnotation, match="CVAT needs the size of the frames of 'walk'"):
        TIMED_TARGETS["cvat"].write(
            TimedLabels.of([TimedLabel("walk", "run", 0, 1)]), tmp_path / "walk.xml", Recordings(fps=10)
        )


def test_frames_of_uneven_length_have_their_own_times() -> None:
    clock = FrameClock(10.0, times_s=np.array([0.0, 0.1, 0.5, 0.6]))
    times_s = [clock.time_s(frame) for frame in range(6)]
    assert times_s == pytest.approx(
        [0.0, 0.1, 0.5, 0.6, 0.7, 0.8]
    )  # never back, behind the last frame either
    assert [clock.frame(time_s) for time_s in (-1.0, 0.04, 0.29, 0.31, 9.0)] == [0, 0, 1, 2, 3]


labels_of_people = st.lists(
    st.tuples(st.sampled_from(["run", "walk & wave", "é <x>"]), st.integers(0, 29), st.integers(1, 12)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(drawn=labels_of_people, shift_s=st.floats(-0.049, 0.049))
def test_times_come_back_to_a_frame(
    drawn: list[tuple[str, int, int]], shift_s: float, videos: Recordings, tmp_path: Path
) -> None:
    labels = [
        TimedLabel("dance", name, max(start / 10 + shift_s, 0.0), min(start + length, 30) / 10 + shift_s, "t")
        for name, start, length in drawn
    ]
    for form, apart_s in (("elan", 0.0005), ("cvat", 0.05), ("label_studio", 0.05), ("via", 0), ("csv", 0)):
        path = tmp_path / f"{form}{TIMED_TARGETS[form].suffix}"
        TIMED_TARGETS[form].write(TimedLabels.of(labels), path, videos)
        again = [(each.label, each.start_s, each.end_s) for each in read_timed(path, videos).labels]
        for (name, *times), label in zip(sorted(again), sorted_by(labels), strict=True):
            assert name == label.label
            assert times == pytest.approx([label.start_s, label.end_s], abs=apart_s + 1e-9)


def sorted_by(labels: list[TimedLabel]) -> list[TimedLabel]:
    return sorted(labels, key=lambda each: (each.label, each.start_s, each.end_s))


def test_elan_gives_dependent_annotations_their_part_of_the_time(tmp_path: Path) -> None:
    path = tmp_path / "a.eaf"
    FORMATS.get("elan").write_example(path)
    text = path.read_text().replace('MIME_TYPE="video/mp4"', 'MIME_TYPE="video/mp4" TIME_ORIGIN="500"')
    parts = "".join(
        f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="p{i}" ANNOTATION_REF="a2"{previous}><ANNOTATION_VALUE>'
        f"{i}</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>"
        for i, previous in ((2, ' PREVIOUS_ANNOTATION="p1"'), (1, ""))
    )
    tier = f'<TIER TIER_ID="steps" LINGUISTIC_TYPE_REF="notes-lt" PARENT_REF="actions">{parts}</TIER>'
    path.write_text(text.replace("</ANNOTATION_DOCUMENT>", f"{tier}</ANNOTATION_DOCUMENT>"))
    found = read_elan(path, dependents=True)
    assert [(each.label, each.start_s, each.end_s, each.tier) for each in found.labels] == [
        ("run", 0.5, 2.0, "actions"), ("walk & wave", 2.0, 3.5, "actions"), ("fast", 0.5, 2.0, "notes"),
        ("2", 2.75, 3.5, "steps"), ("1", 2.0, 2.75, "steps"),
    ]  # fmt: skip
    assert len(of_tiers(found, ["notes"])) == 1
    with pytest.raises(
        InvalidAnnotation, match="no label on a tier 'x'; those with labels are actions, notes"
    ):
        of_tiers(found, ["x"])


def test_elan_says_what_a_vocabulary_does_not_list(tmp_path: Path) -> None:
    path = tmp_path / "a.eaf"
    FORMATS.get("elan").write_example(path)
    kinds = (
        '<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="default-lt" CONTROLLED_VOCABULARY_REF="moves"/>'
        '<CONTROLLED_VOCABULARY CV_ID="moves"><CV_ENTRY>run</CV_ENTRY></CONTROLLED_VOCABULARY>'
    )
    path.write_text(path.read_text().replace("</ANNOTATION_DOCUMENT>", f"{kinds}</ANNOTATION_DOCUMENT>"))
    note = f"{path}, tier 'actions': its vocabulary 'moves' does not list walk & wave"
    assert note in read_elan(path).notes


def test_tags_of_frames_that_follow_each_other_are_one_label(tmp_path: Path) -> None:
    images = "".join(f'<image id="{i}" name="frame_{i:06d}"><tag label="run"/></image>' for i in (4, 5, 6, 9))
    path = tmp_path / "v.xml"
    path.write_text(f"<annotations><meta><source>v.mp4</source></meta>{images}</annotations>")
    spans = [(each.start_s, each.end_s) for each in read_timed(path, Recordings(fps=10)).labels]
    assert spans == [(0.4, 0.7), (0.9, 1.0)]


def test_labels_that_people_have_made_are_not_written_over(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("path,label,start,end\nv,run,0,1.5\nv,walk,2,3\n")
    second.write_text("path,label,start,end\nv,run,0,1.5\n")
    out = tmp_path / "elan"
    convert([first], "elan", out)
    convert([first], "elan", out)  # nothing is lost
    before = (out / "v.eaf").read_bytes()
    with pytest.raises(InvalidAnnotation, match=r"v\.eaf holds 1 labels without scores, .* 'walk' at 2–3 s"):
        convert([second], "elan", out)
    assert (out / "v.eaf").read_bytes() == before
    (tmp_path / "scored.csv").write_text("path,label,start,end,score\nv,run,0,1.5,0.5\n")
    convert([tmp_path / "scored.csv"], "csv", tmp_path / "found.csv")
    convert([second], "csv", tmp_path / "found.csv")
    assert "walk" not in (tmp_path / "found.csv").read_text()
