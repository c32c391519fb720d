"""Timed labels from tool to tool: all that was there is there again, or is counted and named."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from kinesphere.annotations.conversion import class_counts, convert
from kinesphere.annotations.formats.registry import FORMATS
from kinesphere.annotations.recordings import FrameClock, Recordings
from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels
from kinesphere.annotations.timed_files import read_timed
from kinesphere.annotations.timed_targets import TIMED_TARGETS
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.video import VideoWriter

LABELS = (
    TimedLabel("dance", "run", 0.0, 1.2),
    TimedLabel("dance", "walk & wave", 1.2, 2.0),
    TimedLabel("dance", "run", 2.4, 3.0),
)


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


@pytest.mark.parametrize("form", sorted(TIMED_TARGETS))
def test_labels_come_back(form: str, videos: Recordings, tmp_path: Path) -> None:
    target = TIMED_TARGETS[form]
    labels = tuple(replace(each, tier="base") if target.keeps_tiers else each for each in LABELS)
    path = tmp_path / f"dance{target.suffix}"
    assert target.write(TimedLabels.of(labels), path, videos) == ()
    assert sorted(read_timed(path, videos).labels, key=by_time) == [*labels]
    scored = tuple(Detection(*(getattr(each, name) for name in FIELDS), score=0.25) for each in labels)
    target.write(TimedLabels.of(scored), path, videos)
    assert sorted(read_timed(path, videos).labels, key=by_time) == [*scored]


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
        "'Walk' (1) and 'walk' (9) differ by case or spaces",
        "'wlak' (1) may be 'walk' (9) misspelt",
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
    assert [clock.time_s(frame) for frame in range(5)] == [0.0, 0.1, 0.5, 0.6, 0.4]
    assert [clock.frame(time_s) for time_s in (-1.0, 0.04, 0.29, 0.31, 9.0)] == [0, 0, 1, 2, 3]
