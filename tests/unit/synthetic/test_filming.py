"""How people are filmed: how large they are, and who stands by them; older sets stay as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinesphere.core.errors import InvalidSetting
from kinesphere.synthetic import MannequinSettings, plan_clip, render_clip
from kinesphere.synthetic.render.render import Rendered

SMALL = MannequinSettings(
    classes=("punch",), size=(64, 96), duration_s=(0.5, 0.5), fps=6, clutter=0.0, shutter=0.0, performers=3
)


def filmed(**changes: object) -> Rendered:
    settings = replace(SMALL, **changes)
    return render_clip(plan_clip(settings, "punch", "train", 0), settings)


def test_settings_of_before_have_their_fingerprint_and_their_cameras() -> None:
    assert MannequinSettings().fingerprint().startswith("e997efdcc31f9825")
    assert not {"partners", "margin", "occasions", "flow"} & MannequinSettings().plain().keys()
    assert replace(SMALL, partners=0.5).fingerprint() != SMALL.fingerprint()
    shown = filmed().ground_truth
    assert shown.mask.shape[1] == 1
    np.testing.assert_allclose(shown.boxes[0, 0], [41.5, 10.5, 54.5, 54.5], atol=1.0)


def test_the_margin_decides_how_large_people_are() -> None:
    heights = []
    for margin in ((0.0, 0.0), (0.75, 0.75)):
        boxes = filmed(margin=margin).ground_truth.boxes[:, 0]
        heights.append(float((boxes[:, 3] - boxes[:, 1]).max()) / 64)
    assert heights[0] > 0.7
    assert 0.1 < heights[1] < 0.3


def test_a_partner_faces_the_performer_within_reach() -> None:
    joints = filmed(partners=1.0).ground_truth.joints3d
    assert joints.shape[1] == 2
    hips = joints[:, :, 11:13].mean(axis=2)
    assert 0.2 < np.linalg.norm(hips[0, 0] - hips[0, 1]) < 2.5
    shoulders = joints[0, 1, 5] - joints[0, 1, 6]  # left minus right: of who faces -x, along -y
    assert shoulders[1] < 0


def test_on_an_occasion_a_movement_is_done_in_ones_own_way() -> None:
    often = replace(SMALL, occasions=0.5)
    plans = [plan_clip(often, "punch", "train", number) for number in range(8)]
    tidy = [plan_clip(SMALL, "punch", "train", number) for number in range(8)]
    assert {plan.is_occasion for plan in plans} == {False, True}
    assert [replace(plan, is_occasion=False) for plan in plans] == tidy
    for plan, own in zip(plans, tidy, strict=True):
        assert bool(plan.grades()) is not plan.is_occasion
        if plan.is_occasion:
            shown = render_clip(plan, often).ground_truth.joints3d
            assert not np.allclose(shown, render_clip(own, SMALL).ground_truth.joints3d, atol=0.02)
            break


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"margin": (0.5, 0.2)}, "'margin' must be"), ({"partners": 1.5}, "'partners' must be a probability")],
)
def test_impossible_settings_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidSetting, match=says):
        replace(SMALL, **changes)
