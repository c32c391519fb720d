from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kinesphere.clips import ClipSpec, Sampling
from kinesphere.clips.geometry import (
    Affine,
    Box,
    Geometry,
    centre_box,
    erased_box,
    multi_scale_box,
    plan_frames,
    random_box,
    random_resized_box,
    view_boxes,
)
from kinesphere.core.errors import InvalidSetting

sides = st.integers(1, 2000)
sizes = st.tuples(sides, sides)
crops = st.tuples(st.integers(1, 300), st.integers(1, 300))


def spec_of(size, **changes) -> ClipSpec:
    return ClipSpec(Sampling.parse("4x1x1"), size, **changes)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("frame", "changes", "enlarge", "decode", "canvas"),
    [
        ((240, 320), {"short_side_px": 128}, 1.0, (128, 171), (128, 171)),
        ((240, 320), {}, 1.0, (112, 149), (112, 149)),
        ((320, 240), {}, 1.0, (149, 112), (149, 112)),
        ((60, 80), {}, 1.0, (112, 149), (112, 149)),
        ((240, 320), {}, 8 / 7, (128, 171), (128, 171)),
        ((240, 320), {"short_side_px": 128}, 8 / 7, (128, 171), (128, 171)),
        ((240, 320), {"resize": "stretch"}, 1.0, (112, 112), (112, 112)),
        ((240, 320), {"resize": "stretch", "short_side_px": 128}, 1.0, (128, 128), (128, 128)),
        ((240, 320), {"resize": "letterbox"}, 1.0, (84, 112), (112, 112)),
        ((320, 240), {"resize": "letterbox"}, 2.0, (224, 168), (224, 224)),
    ],
)
def test_planned_sizes(frame, changes, enlarge, decode, canvas):
    plan = plan_frames(frame, spec_of((112, 112), **changes), enlarge=enlarge)
    assert (plan.decode, plan.canvas) == (decode, canvas)


def test_a_wide_crop_is_covered_without_more_enlargement_than_it_needs():
    assert plan_frames((240, 320), spec_of((128, 171))).canvas == (128, 171)
    assert plan_frames((240, 320), spec_of((112, 200), short_side_px=112)).canvas == (150, 200)


@given(sizes, crops, st.sampled_from(["short_side", "stretch", "letterbox"]), st.floats(1, 2))
def test_the_crop_always_fits_the_planned_frame(frame, size, resize, enlarge):
    plan = plan_frames(frame, spec_of(size, resize=resize), enlarge=enlarge)
    assert centre_box(plan.canvas, size).size == size
    assert plan.decode[0] <= plan.canvas[0]
    assert plan.decode[1] <= plan.canvas[1]


def test_shrinking_below_the_crop_refused():
    with pytest.raises(InvalidSetting, match="factor of at least 1"):
        plan_frames((240, 320), spec_of((112, 112)), enlarge=0.5)


def test_view_boxes():
    frame, size = (128, 171), (112, 112)
    assert view_boxes(frame, size, 1) == [(Box(8, 29, 112, 112), False)]
    assert view_boxes(frame, size, 2) == [(Box(8, 29, 112, 112), flip) for flip in (False, True)]
    assert [box.left for box, _ in view_boxes(frame, size, 3)] == [0, 29, 59]
    assert {box.top for box, _ in view_boxes(frame, size, 3)} == {8}
    assert [box.top for box, _ in view_boxes((171, 128), size, 3)] == [0, 29, 59]
    five = view_boxes(frame, size, 5)
    assert [(box.top, box.left) for box, _ in five] == [(0, 0), (0, 59), (16, 0), (16, 59), (8, 29)]
    assert view_boxes(frame, size, 10) == five + [(box, True) for box, _ in five]
    with pytest.raises(InvalidSetting, match="1, 2, 3, 5 or 10 crops"):
        view_boxes(frame, size, 4)
    with pytest.raises(InvalidSetting, match="does not fit"):
        view_boxes((100, 171), size, 1)


@given(sizes, crops, st.integers(0, 999))
def test_random_boxes_lie_in_the_frame(frame, size, seed):
    random = generator(seed)
    for box in (
        random_box(frame, size, random),
        random_resized_box(frame, size, (0.1, 1.0), (0.75, 1.33), random),
    ):
        assert box.within(frame)


@given(st.tuples(st.integers(64, 400), st.integers(64, 400)), st.integers(0, 999))
def test_erased_boxes_keep_their_area(frame, seed):
    box = erased_box(frame, (0.1, 0.6), generator(seed))
    assert box.within(frame)
    assert 0.08 <= box.height * box.width / (frame[0] * frame[1]) <= 0.62


@given(st.tuples(st.integers(200, 900), st.integers(200, 900)), st.integers(0, 999))
def test_random_resized_boxes_are_distorted_and_shrunk_within_bounds(frame, seed):
    """Also on frames far from the shape of the result."""
    box = random_resized_box(frame, (1, 1), (0.5, 1.0), (0.75, 4 / 3), generator(seed))
    ratio = box.width / box.height
    assert 0.73 <= ratio <= 1.37
    largest = min(frame[0], frame[1] / ratio)
    assert 0.48 <= (box.height / largest) ** 2 <= 1.02


def test_random_resized_boxes_have_the_shape_of_the_result():
    random = generator()
    boxes = [random_resized_box((400, 400), (50, 100), (0.1, 0.2), (0.8, 1.25), random) for _ in range(100)]
    ratios = [box.width / box.height for box in boxes]
    assert 1.55 < min(ratios) < 1.8
    assert 2.3 < max(ratios) < 2.55


def test_multi_scale_boxes():
    random = generator()
    boxes = {multi_scale_box((256, 340), (224, 224), (1.0, 0.875, 0.75, 0.66), random) for _ in range(2000)}
    sides_px = [256, 224, 192, 169]
    assert {box.height for box in boxes} == set(sides_px)
    assert {(abs(sides_px.index(b.height) - sides_px.index(b.width))) for b in boxes} == {0, 1}
    assert all(box.within((256, 340)) for box in boxes)
    # 10 sizes (4 square, 6 one step off) at 5 places; those as high as the frame have only 3 apart.
    assert len(boxes) == 8 * 5 + 2 * 3


@given(sizes, sizes, st.data())
def test_scaled_boxes_stay_inside_and_come_close(old, new, data):
    top = data.draw(st.integers(0, old[0] - 1))
    left = data.draw(st.integers(0, old[1] - 1))
    box = Box(top, left, data.draw(st.integers(1, old[0] - top)), data.draw(st.integers(1, old[1] - left)))
    scaled = box.scaled(old, new)
    assert scaled.within(new)
    assert abs(scaled.top - box.top * new[0] / old[0]) <= 1
    assert abs(scaled.width - box.width * new[1] / old[1]) <= 1.01
    assert box.scaled(old, old) == box


def test_box_and_geometry_refused():
    with pytest.raises(InvalidSetting, match="corner of at least 0"):
        Box(-1, 0, 4, 4)
    with pytest.raises(InvalidSetting, match="reaches outside the frame"):
        Geometry((8, 8), Box(0, 0, 9, 4))


def test_geometry_in_another_frame_size():
    geometry = Geometry((100, 200), Box(10, 20, 50, 100))
    assert geometry.box_in((100, 200)) == geometry.box
    assert geometry.box_in((50, 100)) == Box(5, 10, 25, 50)


def test_affine_matrix():
    size = (101, 201)
    assert Affine().matrix(size) == pytest.approx(np.eye(2, 3))
    centre = np.array([100, 50, 1])
    assert Affine(angle_deg=30).matrix(size) @ centre == pytest.approx(centre[:2])
    # Clockwise on a screen whose y points down: the right end goes down.
    assert Affine(angle_deg=90).matrix(size) @ [150, 50, 1] == pytest.approx([100, 100])
    assert Affine(shift_x=0.5, shift_y=-1).matrix(size) @ centre == pytest.approx([200.5, -51])
    assert Affine(shear_x=0.5).matrix(size) @ [100, 60, 1] == pytest.approx([105, 60])
