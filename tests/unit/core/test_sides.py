from __future__ import annotations

import pytest

from kinesphere.clips import Augment, check_flip, check_views
from kinesphere.clips.spec import Views
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.sides import mirror_order, partners, unpaired

SIDED = (
    "turn left", "turnLeft", "SwipeLeft", "lefthand", "leftwards", "turn_L", "left_hand", "l_arm", "LArm",
    "to the left", "turnleft", "RIGHT_TURN", "right-handed", "rightmost", "wave RH", "clockwise",
    "turn clockwise", "counter-clockwise", "anticlockwise", "turn ccw", "Anti Clockwise", "left2",
)  # fmt: skip
PLAIN = (
    "bright", "stand upright", "eat leftovers", "cleft", "fright", "playwright", "alright", "copyright",
    "theft", "clap", "L", "sign 3", "R", "clock", "lift", "R2D2", "rightful",
)  # fmt: skip


@pytest.mark.parametrize("name", SIDED)
def test_flips_of_labels_that_name_a_side_are_refused(name: str) -> None:
    with pytest.raises(InvalidSetting, match="into something else"):
        check_flip(Augment(flip=0.5), LabelSet((name, "other")))
    with pytest.raises(InvalidSetting, match=r"Views 2x10 hold mirror images.* that has no label; use 2x5"):
        check_views(Views(2, 10), LabelSet((name, "other")))
    check_views(Views(2, 5), LabelSet((name, "other")))
    itself = LabelSet((name, "other"), mirror=((name, name),))
    check_flip(Augment(flip=0.5), itself)
    check_views(Views(1, 10), itself)
    assert mirror_order(itself) == (0, 1)


@pytest.mark.parametrize("name", PLAIN)
def test_flips_of_other_labels_are_not(name: str) -> None:
    check_flip(Augment(flip=0.5), LabelSet((name, "other")))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("turn left", "turn right"),
        ("SwipeLeft", "SwipeRight"),
        ("from left to right", "from right to left"),
        ("turn_L", "turn_R"),
        ("lefthand wave", "righthand wave"),
        ("turn clockwise", "turn counter-clockwise"),
        ("cw", "ccw"),
        ("turnleft", "TurnRight"),
    ],
)
def test_partners_are_found_by_their_words(one: str, other: str) -> None:
    labels = LabelSet(("clap", one, other))
    assert partners(labels) == {one: other, other: one}
    assert mirror_order(labels) == (0, 2, 1)
    assert unpaired(labels) == ()
    with pytest.raises(InvalidSetting, match=r"\(data\.mirror: \[\["):  # training wants them said
        check_flip(Augment(flip=0.5), labels)


def test_partners_that_are_declared_come_first_and_several_are_none() -> None:
    labels = LabelSet(("jab left", "cross right", "jab right"), mirror=(("jab left", "cross right"),))
    assert mirror_order(labels) == (1, 0, 2)
    assert unpaired(labels) == ("jab right",)
    assert unpaired(LabelSet(("turn left", "turn right", "TurnRight"))) == (
        "turn left",
        "turn right",
        "TurnRight",
    )
