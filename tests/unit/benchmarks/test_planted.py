"""What counts as pointing at the patch, and which methods are held to it."""

from __future__ import annotations

import torch
from benchmarks.planted import Judged, Measured, _of_joints, _of_pixels, _row, notes, outcome, table
from benchmarks.planted_clips import RIGHT_WRIST, frames, poses

from kinesphere.clips.skeleton import SKELETONS
from kinesphere.explain.sanity import Sanity

ELBOW = SKELETONS.get("coco17").index("right_elbow")


def test_heat_on_the_patch_points_and_heat_on_the_distractor_does_not() -> None:
    clips = frames(6, seed=0)
    shown = clips.labels != 2
    patch, distractor = clips.patch[shown], clips.distractor[shown]
    right = Judged(*_of_pixels(patch.float(), patch, distractor))
    wrong = Judged(*_of_pixels(distractor.float(), patch, distractor))
    assert (right.strict.mean(), right.within.mean(), right.on_patch.mean()) == (1, 1, 1)
    assert (wrong.strict.mean(), wrong.within.mean(), wrong.on_distractor.mean()) == (0, 0, 1)
    assert right.chance.mean() < 0.3
    empty = Judged(*_of_pixels(torch.zeros_like(patch, dtype=torch.float32), patch, distractor))
    assert empty.on_patch.eq(0).all()


def test_coarse_cells_are_judged_by_themselves() -> None:
    patch = torch.zeros(1, 8, 64, 64, dtype=torch.bool)
    patch[:, :, 0:2, 0:2] = True
    coarse = torch.zeros(1, 1, 2, 2)
    coarse[..., 0, 0] = 1
    found = Judged(*_of_pixels(coarse, patch, ~patch))
    assert (float(found.within), float(found.chance)) == (1, 0.25)


def test_a_neighbour_along_a_bone_is_within_a_cell() -> None:
    clips = poses(4, seed=0)
    heat = torch.zeros(clips.patch.shape)
    heat[..., ELBOW] = 1
    found = Judged(*_of_joints(heat, clips.patch, clips.distractor))
    assert (found.strict.mean(), found.within.mean()) == (0, 1)
    heat[..., RIGHT_WRIST] = 2
    assert Judged(*_of_joints(heat, clips.patch, clips.distractor)).strict.mean() == 1


def test_methods_that_the_sanity_check_names_are_not_held() -> None:
    wrong = Judged(*torch.zeros(4, 3), torch.ones(3))
    rows = [
        _row("CNN", name, [(wrong, Sanity(name, ("head",), (alike,)))])
        for name, alike in (("gradcam", 0.1), ("rise", 0.9), ("activation_map", 0.1))
    ]
    assert [row["sanity check"] for row in rows] == ["", "named", ""]
    assert rows[0]["clips"] == 3
    lines = outcome(rows)
    assert all("met by 0 of 1" in line and "missed by CNN gradcam" in line for line in lines)
    good = [
        row | {"pointing": "0.950", "within a cell": "1.000", "on the distractor": "0.199"} for row in rows
    ]
    assert all("met by 1 of 1" in line and "missed" not in line for line in outcome(good))


def test_a_network_that_has_not_learnt_is_left_out_and_named() -> None:
    good = Judged(*torch.ones(4, 3), torch.zeros(3))
    networks = [
        Measured("CNN", 10, 1.0, {"rise": (good, Sanity("rise", ("head",), (0.1,)))}),
        Measured("CNN", 11, 0.7, {}),
    ]
    assert [(row["method"], row["clips"]) for row in table(networks)] == [("rise", 3)]
    assert "left out: CNN of seed 11, 70%" in notes(networks)[1]
