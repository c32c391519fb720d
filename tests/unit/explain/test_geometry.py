"""Heat comes back to where it was in the source, in space and in time."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import make
from stand_ins import predictor_of

from kinesphere.clips import ClipSpec, Sampling, Views
from kinesphere.explain.explaining import Question, explain
from kinesphere.explain.geometry import at_times, fill_cells, placements
from kinesphere.video import Video

FRAMES, SPOT = 24, 6
STEADY = [round(1000 * i / 25) for i in range(FRAMES)]
VARIABLE = [int(i * 40 + 15 * (i % 3) + (i > 14) * 300) for i in range(FRAMES)]


pytestmark = pytest.mark.usefixtures("brightness")


def spotted(row: int, column: int, shown: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Dark frames; on one of them a bright spot about a pixel."""
    frames = [np.full((*size, 3), 20, np.uint8) for _ in range(FRAMES)]
    half = SPOT // 2
    frames[shown][max(row - half, 0) : row + half, max(column - half, 0) : column + half] = 255
    return frames


@settings(max_examples=25, deadline=None)
@given(
    place=st.tuples(st.floats(0.1, 0.9), st.floats(0.1, 0.9)),
    shown=st.integers(0, FRAMES - 1),
    resize=st.sampled_from(["short_side", "stretch", "letterbox"]),
    sampling=st.sampled_from(["12x2x1", "uniform12", "8x1x3"]),
    fps=st.sampled_from([None, 12.5]),
    crops=st.sampled_from([1, 3]),
    rotation=st.sampled_from([0, 90, -90, 180]),
    times=st.sampled_from([STEADY, VARIABLE]),
)
def test_a_spot_comes_back_to_its_pixel_and_its_time(
    place: tuple[float, float],
    shown: int,
    resize: str,
    sampling: str,
    fps: float | None,
    crops: int,
    rotation: int,
    times: list[int],
) -> None:
    comes_back(place, shown, resize, sampling, fps, crops, rotation, times)


@pytest.mark.parametrize(
    ("place", "resize", "sampling", "crops", "rotation", "times"),
    [
        pytest.param((0.3, 0.5), "short_side", "12x2x1", 1, 0, STEADY, id="crop"),
        pytest.param((0.3, 0.1), "short_side", "12x2x1", 3, 0, STEADY, id="crop to the left of three"),
        pytest.param((0.8, 0.1), "letterbox", "12x2x1", 1, 0, STEADY, id="letterbox"),
        pytest.param((0.8, 0.1), "stretch", "12x2x1", 1, 90, STEADY, id="rotation to the right"),
        pytest.param((0.4, 0.4), "short_side", "12x2x1", 1, -90, STEADY, id="rotation to the left, cropped"),
        pytest.param((0.2, 0.7), "stretch", "uniform12", 1, 0, STEADY, id="uniform sampling"),
        pytest.param((0.2, 0.7), "letterbox", "uniform12", 1, 0, VARIABLE, id="variable rate"),
    ],
)
def test_a_spot_comes_back_through_every_kind_of_change(
    place: tuple[float, float], resize: str, sampling: str, crops: int, rotation: int, times: list[int]
) -> None:
    seen = [comes_back(place, shown, resize, sampling, None, crops, rotation, times) for shown in (8, 9)]
    assert any(seen)


def comes_back(
    place: tuple[float, float],
    shown: int,
    resize: str,
    sampling: str,
    fps: float | None,
    crops: int,
    rotation: int,
    times: list[int],
) -> bool:
    """Check that a spot comes back; whether the clip shows the spot at all."""
    size = (60, 90)
    row, column = int(place[0] * size[0]), int(place[1] * size[1])
    video = make(
        "ffv1" if not rotation else "libx264", "matroska" if not rotation else "mp4", FRAMES, size=size,
        drawn=spotted(row, column, shown, size), times=times, time_base=Fraction(1, 1000),
        rotation_deg=rotation, options={} if not rotation else {"crf": "4"},
    )  # fmt: skip
    spec = ClipSpec(Sampling.parse(sampling), (32, 32), resize=resize, fps=fps)  # type: ignore[arg-type]
    crops = crops if resize == "short_side" else 1
    question = Question("brightness", views=Views(1, crops))
    found = explain(predictor_of("r3d_tiny", spec), video, question)
    with Video.open(video) as opened:
        frame_times, displayed_size = opened.frame_times(), opened.size
        pictures = opened.frames_at(frame_times).data[:, 0].astype(float)
    heat = found.on_source(frame_times, displayed_size)
    truth = pictures[shown] > 150
    seen = [h for h in found.heats if np.isclose(h.times, frame_times[shown]).any()]
    inside = np.zeros_like(truth)
    for each in seen:
        assert each.placement is not None
        inside |= each.placement.seen(displayed_size) & truth
    if not seen or inside.sum() < truth.sum():
        return False  # the clip shows other frames, or another part of them
    t, y, x = np.unravel_index(heat.argmax(), heat.shape)
    sampled = np.unique(np.concatenate([h.times for h in found.heats]))
    step = np.diff(sampled).max() if len(sampled) > 1 else 0.1
    assert abs(frame_times[t] - frame_times[shown]) <= step + 1e-6
    rows, columns = np.nonzero(truth)
    cell_y, cell_x = 1 / seen[0].placement.scale_y, 1 / seen[0].placement.scale_x  # type: ignore[union-attr]
    assert rows.min() - cell_y <= y <= rows.max() + cell_y
    assert columns.min() - cell_x <= x <= columns.max() + cell_x
    return True


def test_pixels_beside_the_crop_have_no_heat() -> None:
    (centre,) = placements((60, 90), ClipSpec(Sampling.parse("4x1x1"), (32, 32)))
    planes = np.ones((2, 32, 32), np.float32)
    heat = centre.to_source(planes, (60, 90))
    assert heat[:, :, 30:60].min() == pytest.approx(1)
    assert heat[:, :, :14].max() == 0


def test_a_flipped_crop_is_turned_back() -> None:
    straight, mirrored = (
        placements((32, 32), ClipSpec(Sampling.parse("4x1x1"), (32, 32)), Views(1, 10))[i] for i in (4, 9)
    )
    plane = np.zeros((1, 32, 32), np.float32)
    plane[0, 5, 3] = 1
    assert np.array_equal(
        mirrored.to_source(plane[:, :, ::-1], (32, 32)), straight.to_source(plane, (32, 32))
    )


def test_heat_holds_half_a_step_beyond_the_clip_and_no_longer() -> None:
    values = np.array([1.0, 3.0])
    found = at_times(values, np.array([1.0, 2.0]), np.array([0.4, 0.6, 1.0, 1.5, 2.0, 2.4, 2.6]), 0.5)
    assert found.tolist() == [0, 1, 1, 2, 3, 3, 0]


def test_frames_that_are_shown_twice_count_with_their_mean() -> None:
    values = np.array([1.0, 2.0, 5.0])
    found = at_times(values, np.array([0.0, 1.0, 0.0]), np.array([0.0, 1.0]), 0.1)
    assert found.tolist() == [3, 2]


def test_cells_fill_a_clip_evenly() -> None:
    cells = torch.zeros(1, 2, 2, 2)
    cells[0, 1, 0, 1] = 1
    filled = fill_cells(cells, (4, 8, 8))
    assert filled.shape == (1, 4, 8, 8)
    assert np.unravel_index(int(filled[0].argmax()), (4, 8, 8)) == (3, 0, 6)
    assert filled[0, 0].max() == 0
