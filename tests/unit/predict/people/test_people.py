"""Who does what: windows along tracks, cut out of frames that are decoded once."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.damage import damage_packets

from kinesphere.annotations.timed import Track
from kinesphere.clips.source import WrappedSource
from kinesphere.clips.spec import ClipSpec, Sampling, Views
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.predict.people import BreakRules, CropRules, PeopleSettings, people_timelines, united
from kinesphere.predict.people.crops import PeopleClips, PersonWindow, crops_of
from kinesphere.predict.people.paths import on_video, paths_of, usual_distance_s
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.predict.segmentation import segments
from kinesphere.video import Video, VideoWriter

from .conftest import FRAMES, SIZE, Colours, squares


@pytest.mark.parametrize("follows", [False, True])
def test_each_person_is_asked_about_alone(passing: Path, follows: bool) -> None:
    told: list[tuple[int, int]] = []
    found = people_timelines(
        Colours(),
        str(passing),
        squares(),
        settings=PeopleSettings(0.4, 0.2, CropRules(1.0, 0.05, follows)),
        advance=lambda done, of: told.append((done, of)),
    )
    count = sum(len(each.timeline) for each in found)
    assert told == [(min(done, count), count) for done in range(8, count + 8, 8)]
    assert [each.person for each in found] == [1, 2]
    for each, label in zip(found, ("red", "blue"), strict=True):
        assert {window.top(1)[0][0] for window in each.timeline} == {label}
        assert each.timeline.spans[0, 0] == 0
        assert each.timeline.spans[-1, 1] == pytest.approx(2.0)
        assert not each.breaks
    assert found.notes == ()
    plain = found.to_json(1)
    assert [person["person"] for person in plain["people"]] == [1, 2]
    assert plain["people"][1]["timeline"][0]["person"] == 2
    assert found[2].timeline is found.people[1].timeline
    with pytest.raises(InvalidSetting, match=r"There is no person 3 in .*; there are: 1, 2"):
        found[3]


def test_every_frame_is_decoded_once_for_all_people(passing: Path) -> None:
    asked: list[float] = []
    with Video.open(passing) as video:

        def read(times_s: np.ndarray, size: tuple[int, int] | None = None) -> object:
            asked.extend(times_s.tolist())
            return video.frames_at(times_s, size=size)

        source = WrappedSource(video, read=read)  # type: ignore[arg-type]
        paths = [paths_of(track, video.frame_times(), BreakRules()).paths[0] for track in squares()]
        windows = [PersonWindow(i, (0.2 * n, 0.2 * n + 0.8)) for n in range(6) for i in (0, 1)]
        specs = [
            ClipSpec(Sampling("dense", 16), size=(24, 24)),
            ClipSpec(Sampling("dense", 8), size=(16, 32)),
        ]
        clips = PeopleClips(source, specs, paths, windows, Views(), CropRules())
        for _, ((large,), (small,)) in clips:
            assert (tuple(large.data.shape), tuple(small.data.shape)) == ((16, 3, 24, 24), (8, 3, 16, 32))
    assert len(asked) == len(set(asked)) == clips.decoded
    assert asked == sorted(asked)


def test_crops_have_the_input_s_shape_and_stay_in_the_picture_where_they_can() -> None:
    rules = CropRules(1.5, 0, follows=True)
    boxes = np.array(
        [[0.0, 0, 20, 40], [50, 30, 70, 70], [140, 60, 160, 96], [30, 0, 60, 96], [0, 40, 160, 60]]
    )
    crops = crops_of(boxes, rules, 1.0, SIZE)
    np.testing.assert_allclose(crops[:, 2], crops[:, 3])
    np.testing.assert_allclose(crops[:, 3], [60, 60, 54, 96, 160])
    np.testing.assert_allclose(crops[:4, :2], [[0, 0], [30, 20], [106, 42], [0, 0]])
    np.testing.assert_allclose(crops[4], [0, -30, 160, 160])  # a border around what is too long
    still = crops_of(boxes[:2], CropRules(1.0, 0), 2.0, SIZE)
    np.testing.assert_allclose(still, [[0, 0, 140, 70]] * 2)


def test_gaps_and_jumps_end_a_path_and_are_counted(passing: Path) -> None:
    one, other = squares()
    frames = np.concatenate([np.arange(1, 11), np.arange(14, 21), np.arange(40, 51)])
    torn = replace(one, frames=frames, boxes=one.boxes[frames - 1], scores=one.scores[frames - 1])
    exchanged = replace(
        other, boxes=np.concatenate([other.boxes[:25], other.boxes[25:] - [100, 45, 100, 45]])
    )
    found = people_timelines(Colours(), str(passing), [torn, exchanged], settings=PeopleSettings(0.4, 0.2))
    assert [(each.kind, each.identity) for each in found.breaks] == [("jump", 2), ("gap", 1)]
    assert found.breaks[1].time_s == pytest.approx(39 / 25)
    assert found.breaks[1].amount == pytest.approx(20 / 25)
    spans = found[1].timeline.spans
    assert not ((spans[:, 0] < 0.8) & (spans[:, 1] > 0.85)).any()
    # What touches at the jump is of two people: no segment, smoothing or decoding reaches over it.
    blue = found[2].timeline
    assert blue.breaks_s.tolist() == [found.breaks[0].time_s] == [1.0]
    sides = [s.start_s >= 1 - 1e-6 or s.end_s <= 1 + 1e-6 for s in segments(blue, SegmentRule(gap_s=5))]
    assert sides
    assert all(sides)
    assert blue.smoothed(9).probabilities[0] == pytest.approx(blue.probabilities[:4].mean(0))
    assert "1 times somebody is away for longer than 0.5 s; the clips begin anew after" in found.notes
    assert any("1 times the box of a person jumps" in note for note in found.notes)


def test_what_lies_outside_of_the_video_is_left_out_or_refused(passing: Path) -> None:
    one, other = squares()
    with Video.open(passing) as video:
        moved = replace(one, boxes=one.boxes.copy())
        moved.boxes[:10, [0, 2]] -= 500
        placed = on_video([moved, replace(other, scores=np.zeros(FRAMES))], video)
        assert [len(track) for track in placed.tracks] == [FRAMES - 10]
        assert placed.notes == (
            "50 boxes of its tracks have confidence 0 and are left out",
            "10 boxes of its tracks lie outside of the picture and are left out",
        )
        fractions = on_video([replace(one, boxes=one.boxes / 1000)], video)
        assert fractions.tracks == ()
        assert len(fractions.notes) == 1
        assert fractions.notes[0].startswith("50 boxes of its tracks are less than a pixel wide or high")
        corners = [
            replace(each, boxes=np.concatenate([each.boxes[:, :2], each.boxes[:, :2] + each.boxes[:, 2:]], 1))
            for each in (one, other)
        ]
        (told,) = on_video(corners, video).notes
        assert re.fullmatch(
            r"\d+ of 100 boxes of its tracks reach far beyond the picture of \d+x\d+; a .*", told
        )
        assert told.endswith("(not right and bottom) in pixels of this video's frames")
        with pytest.raises(InvalidAnnotation, match=r"Track 1 has a box in frame 90 at one box a frame, but"):
            on_video([replace(one, frames=one.frames + 40)], video)
        with pytest.raises(InvalidAnnotation, match=r"frame 50 at 10 frames a second, .* ends at 2.00 s"):
            on_video([one], video, fps=10)
        from_zero = on_video([replace(one, frames=one.frames - 1)], video)
        assert from_zero.tracks[0].frames[0] == 1
        assert from_zero.notes == ("its tracks count frames from 0",)
        slow = Track(1, np.arange(1, 11), one.boxes[::5], np.ones(10))
        np.testing.assert_array_equal(on_video([slow], video, fps=5).tracks[0].frames, 3 + 5 * np.arange(10))
        fast = Track(1, np.arange(1, 101), np.repeat(one.boxes, 2, 0), np.ones(100))
        np.testing.assert_array_equal(on_video([fast], video, fps=50).tracks[0].frames, one.frames)
        with pytest.raises(InvalidSetting, match=r"positive number of frames a second; got 0"):
            on_video([one], video, fps=0)


def test_nobody_twenty_people_and_objects(passing: Path) -> None:
    one, _ = squares()
    nobody = people_timelines(Colours(), str(passing), [replace(one, label="dog")])
    assert (len(nobody), [each.label for each in nobody.objects]) == (0, ["dog"])
    assert nobody.notes == ("nobody is seen in it",)
    assert nobody.to_json()["people"] == []
    crowd = [replace(one, identity=i) for i in range(20)]
    assert len(people_timelines(Colours(), str(passing), crowd, settings=PeopleSettings(2, 2))) == 20
    brief = replace(one, frames=one.frames[:3], boxes=one.boxes[:3], scores=one.scores[:3])
    found = people_timelines(Colours(), str(passing), [brief])
    assert found.notes == (
        "nobody is seen in it",
        "1 parts of tracks are shorter than 0.3 s and have no answer",
    )
    with pytest.raises(InvalidSetting, match="at least one window; got batch_size=0"):
        PeopleSettings(batch_size=0)


def test_a_pair_is_the_box_around_both() -> None:
    one, other = squares()
    pair = united(one, other, 9)
    assert (pair.identity, len(pair)) == (9, FRAMES)
    np.testing.assert_array_equal(pair.boxes[0], [5, 4, 155, 90])
    with pytest.raises(InvalidAnnotation, match=r"Tracks 1 and 2 have no frame in common"):
        united(one, replace(other, frames=other.frames + 100))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CropRules(0.5), "1 to 10 times as large as its box"),
        (lambda: BreakRules(gap_s=-1), "are not negative"),
    ],
)
def test_wrong_rules_are_refused(make: object, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        make()  # type: ignore[operator]


def test_tracks_of_one_box_a_second_hold_together(passing: Path) -> None:
    """A video of 5 s; those who have boxes once a second, and somebody who was away for three."""
    times = np.arange(125) / 25
    frames = np.arange(1, 126, 25)
    boxes = np.tile([10.0, 10, 40, 60], (5, 1))
    slow = Track(1, frames, boxes, np.ones(5))
    away = Track(2, frames[[0, 1, 4]], boxes[:3], np.ones(3))
    usual_s = usual_distance_s([slow, away], times)
    assert usual_s == pytest.approx(1.0)
    assert [len(path) for path in paths_of(slow, times, BreakRules(), usual_s).paths] == [101]
    assert [at.kind for at in paths_of(away, times, BreakRules(), usual_s).breaks] == ["gap"]
    assert len(paths_of(slow, times, BreakRules()).breaks) == 4


@pytest.mark.filterwarnings("ignore::kinesphere.core.errors.DamagedVideo")
def test_a_frame_that_stands_in_is_cut_where_the_person_was_in_it(tmp_path: Path) -> None:
    """The red square is in the middle of every crop that follows it, also while nothing can be decoded."""
    one, _ = squares()
    with VideoWriter(tmp_path / "red.mp4", SIZE, 25, threads=1, keyframe_interval=10) as writer:
        for left, top, right, bottom in one.boxes.astype(int):
            frame = np.full((*SIZE, 3), 110, np.uint8)
            frame[top:bottom, left:right] = (230, 20, 20)
            writer.write(frame)
    broken = damage_packets(tmp_path / "red.mp4", tmp_path / "lost.mp4", range(15, 30), whole=True)
    predictor = Colours()
    settings = PeopleSettings(0.4, 0.2, CropRules(1.0, 0.0, follows=True))
    found = people_timelines(predictor, str(broken), [one], settings=settings)
    assert any("undecodable packet" in note for note in found.notes)
    middles = torch.stack(predictor.seen).float()[..., 12:20, 12:20].mean((-1, -2))
    assert float(middles[..., 0].min()) > 180
