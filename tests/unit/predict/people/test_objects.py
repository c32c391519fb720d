"""Facts about people and objects: near, holds, carries, holds up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinesphere.annotations.timed import Track
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.skeleton import COCO17
from kinesphere.core.errors import InvalidSetting
from kinesphere.predict.people.objects import ObjectRules, object_facts

FPS, FRAMES, SIZE = 20, 200, (240, 640)
TIMES = np.arange(FRAMES) / FPS
HEIGHT = 100.0


def person(x: np.ndarray, identity: int = 1, top: np.ndarray | float = 100.0) -> Track:
    """Somebody 100 px high whose middle is at x in each frame."""
    boxes = np.stack([x - 20, np.full(FRAMES, top), x + 20, np.full(FRAMES, 100.0 + HEIGHT)], 1)
    return Track(identity, np.arange(1, FRAMES + 1), boxes, np.ones(FRAMES))


def thing(x: np.ndarray, y: np.ndarray, side: float = 14) -> Track:
    """A bag whose middle is at x, y in each frame."""
    boxes = np.stack([x - side / 2, y - side / 2, x + side / 2, y + side / 2], 1)
    return Track(5, np.arange(1, FRAMES + 1), boxes, np.full(FRAMES, 0.5), "bag")


def facts_of(
    people: list[Track], objects: list[Track], poses: Poses | None = None
) -> list[tuple[object, ...]]:
    return [
        (fact.label, fact.person, fact.other, round(fact.start_s, 2), round(fact.end_s, 2))
        for fact in object_facts(people, objects, TIMES, SIZE, poses)
    ]


# Somebody stands for 2 s, walks to the right for 4 s at 60 px/s, and stands again.
WAY = np.interp(TIMES, [0, 2, 6, 10], [100.0, 100, 340, 340])
# A bag that lies where the person gets to, is lifted over the head from 7 to 9 s, and put down there.
CARRIED = np.where(TIMES < 2, 118, WAY + 18)
RAISED = np.interp(TIMES, [0, 7, 7.25, 9, 9.25, 10], [150.0, 150, 85, 85, 150, 150])


def test_boxes_tell_what_is_held_carried_and_held_up() -> None:
    # A box reaches up to the hand.
    found = facts_of([person(WAY, top=np.minimum(100, RAISED - 5))], [thing(CARRIED, RAISED)])
    by_label = {label: (start, end) for label, who, what, start, end in found}
    assert {(who, what) for _, who, what, _, _ in found} == {(1, 5)}
    assert by_label["near bag"] == (0, 10)
    assert by_label["holds bag"] == (0, 10)
    assert by_label["holds up bag"] == pytest.approx((7.2, 9.1), abs=0.11)
    assert by_label["carries bag"] == pytest.approx((2, 6), abs=0.25)


def posed(way: np.ndarray, hand: np.ndarray) -> Poses:
    """The person's shoulders, elbows and wrists; the right wrist is at a point of each frame."""
    keypoints = np.zeros((FRAMES, 1, 17, 2), np.float32)
    scores = np.zeros((FRAMES, 1, 17), np.float32)
    names = {"left_shoulder": (-12, 118), "right_shoulder": (12, 118), "left_elbow": (-16, 140),
             "right_elbow": (16, 140), "left_wrist": (-16, 160), "left_ankle": (-8, 198)}  # fmt: skip
    for name, (x, y) in names.items():
        joint = COCO17.joints.index(name)
        keypoints[:, 0, joint] = np.stack([way + x, np.full(FRAMES, y)], 1)
        scores[:, 0, joint] = 1
    joint = COCO17.joints.index("right_wrist")
    keypoints[:, 0, joint], scores[:, 0, joint] = hand, 1
    return Poses(TIMES, keypoints, scores, np.array([3]), COCO17.name, SIZE, fps=FPS)


def test_joints_tell_who_holds_what_lies_within_the_box() -> None:
    hand = np.stack([WAY + 18, RAISED - 4], 1)
    found = facts_of([person(WAY)], [thing(CARRIED, RAISED)], posed(WAY, hand))
    spans = {label: (start, end) for label, _, _, start, end in found}
    assert spans["holds bag"] == (0, 10)
    assert spans["holds up bag"] == pytest.approx((7.1, 9.1), abs=0.11)
    assert spans["carries bag"] == pytest.approx((2, 6), abs=0.25)
    # The same bag at the hip, inside of the box, with the hands elsewhere, is held by nobody.
    elsewhere = np.stack([WAY + 16, np.full(FRAMES, 125.0)], 1)
    labels = {
        label for label, *_ in facts_of([person(WAY)], [thing(WAY, RAISED * 0 + 170)], posed(WAY, elsewhere))
    }
    assert labels == {"near bag"}


def test_facts_do_not_flicker() -> None:
    still = np.full(FRAMES, 100.0)
    rng = np.random.default_rng(0)
    # At the edge of nearness: 50 px from the box, give or take the jitter of a detector.
    edge = thing(still + 20 + 50 + 7 + rng.normal(0, 3, FRAMES), np.full(FRAMES, 150.0))
    assert len(facts_of([person(still)], [edge])) == 1
    # A hand hides what it holds now and then.
    seen = np.flatnonzero(TIMES % 1.0 >= 0.35)
    hidden = thing(still + 10, np.full(FRAMES, 150.0))
    hidden = replace(hidden, frames=seen + 1, boxes=hidden.boxes[seen], scores=hidden.scores[seen])
    assert [each[0] for each in facts_of([person(still)], [hidden])] == ["holds bag", "near bag"]
    # What is seen for 0.2 s is none.
    brief = replace(hidden, frames=seen[:4] + 1, boxes=hidden.boxes[:4], scores=hidden.scores[:4])
    assert facts_of([person(still)], [brief]) == []


def test_what_is_far_large_or_absent_gives_no_facts() -> None:
    still = np.full(FRAMES, 100.0)
    assert facts_of([person(still)], [thing(still + 300, np.full(FRAMES, 150.0))]) == []
    assert facts_of([], [thing(still, still)]) == []
    table = thing(still, np.full(FRAMES, 160.0), side=95)
    assert {each[0] for each in facts_of([person(still)], [table])} == {"near bag"}
    later = replace(thing(still, still), frames=np.arange(FRAMES) + FRAMES + 1)
    assert facts_of([person(still)], [later]) == []
    with pytest.raises(InvalidSetting, match="are not negative, the slack is 1 or more"):
        ObjectRules(slack=0.5)


def test_each_fact_says_where_and_how_surely() -> None:
    still = np.full(FRAMES, 100.0)
    holds, near = object_facts([person(still)], [thing(still, still + 60)], TIMES, SIZE)
    assert (near.label, holds.label, holds.score) == ("near bag", "holds bag", 0.5)
    assert holds.box == pytest.approx((93 / 640, 153 / 240, 107 / 640, 167 / 240))
