"""The benchmark of two who cross stages them, and judges who is said to do what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from benchmarks.people import anonymous, judge
from benchmarks.people_clips import STAYING, Crossing, plan_crossing

from kinesphere.annotations.timed import TimedLabel, Track
from kinesphere.core.labels import LabelSet
from kinesphere.predict.people import PeopleTimelines, PersonTimeline
from kinesphere.predict.timeline import Timeline
from kinesphere.synthetic.settings import MannequinSettings

TIMES = np.arange(40) / 10


def track(identity: int, left: np.ndarray) -> Track:
    boxes = np.stack([left, np.full(40, 10.0), left + 20, np.full(40, 60.0)], 1)
    return Track(identity, np.arange(1, 41), boxes, np.ones(40))


def test_two_cross_each_other_or_one_stays() -> None:
    settings = MannequinSettings(size=(96, 128), fps=25, seed=1234, performers=40, scenes=24)
    for number, expected in ((1, {"walk", "run"}), (2, {"walk", *STAYING})):
        take = plan_crossing(number, settings)
        labels = {each.label for each in take.play.movements}
        assert labels <= expected
        assert "walk" in labels
        assert len(labels) == 2
        ways = [
            [each for each in take.play.movements if each.person == person and each.label != "stand"]
            for person in (1, 2)
        ]
        assert all(ways)


def test_frames_are_judged_by_who_is_found_there() -> None:
    one, other = track(1, 5.0 + 2 * np.arange(40)), track(2, 200.0 - 2 * np.arange(40))
    acts = {1: (TimedLabel("a", "walk", 0, 2),), 2: (TimedLabel("a", "wave", 1, 4),)}
    labels = LabelSet(("walk", "wave"))
    spans = np.array([[0.0, 2.0], [2.0, 4.0]])
    walks = Timeline(np.array([[0.9, 0.1], [0.9, 0.1]]), spans, labels, "a")
    turns = Timeline(np.array([[0.9, 0.1], [0.1, 0.9]]), spans, labels, "a")
    # Whoever is found at the first one's box has another number here.
    people = PeopleTimelines(
        "a", (PersonTimeline(track(7, one.boxes[:, 0] + 1), walks), PersonTimeline(other, turns)), (), TIMES,
        (100, 240),
    )  # fmt: skip
    judged = judge([(Crossing(Path("a"), (one, other), acts), people)])
    assert judged.frames == {"walk": 20, "wave": 30}
    assert judged.right == {"walk": 20, "wave": 20}
    assert judged.percentage == 80
    assert judged.worst() == "wave 67 %"


def test_boxes_lose_their_identities_and_are_followed() -> None:
    apart = track(1, np.full(40, 5.0) + np.arange(40)), track(2, np.full(40, 150.0))
    assert sorted(len(each) > 35 for each in anonymous(apart, 10)) == [True, True]
