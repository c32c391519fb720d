"""Axes of activations, and cells brought to each other."""

from __future__ import annotations

import pytest
import torch

from kinesphere.core.errors import InvalidSetting
from kinesphere.explain.grids import about_the_centre, at_joints, on_frames, spread
from kinesphere.models.layout import Layout

GRID = {"B": 2, "T": 3, "H": 2, "W": 5}


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("B C T H W", (2, 4, 3, 2, 5)),
        ("B T H W C", (2, 3, 2, 5, 4)),
        ("BT C H W", (6, 4, 2, 5)),
        ("B THW C", (2, 30, 4)),
        ("B 1+THW C", (2, 31, 4)),
        ("B T 1+HW C", (2, 3, 11, 4)),
        ("BT 1+HW C", (6, 11, 4)),
    ],
)
def test_every_layout_of_planes_gives_the_same_cells(text, shape):
    planes = torch.randn(2, 4, 3, 2, 5)
    order = {"B": 0, "C": 1, "T": 2, "H": 3, "W": 4}
    words = [word.removeprefix("1+") for word in text.split()]
    laid = planes.permute([order[letter] for word in words for letter in word])
    laid = laid.reshape(
        [size - word.startswith("1+") for size, word in zip(shape, text.split(), strict=True)]
    )
    for axis, word in enumerate(text.split()):
        if word.startswith("1+"):
            first = torch.full_like(laid.narrow(axis, 0, 1), 99)
            laid = torch.cat([first, laid], axis)
    assert laid.shape == shape
    layout = Layout(text, GRID)
    assert layout.cells(layout.features(laid).sum(1)).equal(planes.sum(1))


def test_people_and_joints_come_after_time():
    people = torch.randn(2, 3, 4, 5, 6)  # B M C T J
    layout = Layout("BM C T J", {"B": 2, "M": 3, "J": 6})
    found = layout.cells(layout.features(people.flatten(0, 1)).sum(1))
    assert found.equal(people.sum(2).transpose(1, 2))
    alone = Layout("BM C T", {"B": 2, "M": 3, "J": 6})
    assert alone.cells(torch.randn(6, 5)).shape == (2, 5, 3, 1)


def test_snippets_and_their_frames_are_one_axis_of_time():
    snippets = torch.randn(2, 3, 4, 2, 5, 6)  # B T C T H W
    layout = Layout("BT C T H W", {"B": 2})
    found = layout.cells(layout.features(snippets.flatten(0, 1)).sum(1))
    assert found.equal(snippets.sum(2).flatten(1, 2))


@pytest.mark.parametrize("text", ["B C X", "C T H W", "B C T H", "BC T", "B C T T T+"])
def test_what_is_no_layout_is_told(text):
    with pytest.raises(InvalidSetting, match="is no layout: words of the letters"):
        Layout(text, {"B": 1})


@pytest.mark.parametrize(
    ("text", "shape"), [("B THW C", (2, 29, 4)), ("BT C H W", (5, 4, 2, 5)), ("B C T", (2, 4))]
)
def test_other_shapes_are_told(text, shape):
    layout = Layout(text, GRID)
    with pytest.raises(InvalidSetting, match="are not laid out as"):
        layout.features(torch.randn(shape))


def test_spreading_keeps_the_sum_and_the_extent():
    coarse = torch.rand(2, 3, 4)
    fine = spread(coarse, (6, 10))
    assert fine.shape == (2, 6, 10)
    torch.testing.assert_close(fine.sum((1, 2)), coarse.sum((1, 2)))
    torch.testing.assert_close(
        spread(coarse, (6, 8)), coarse.repeat_interleave(2, 1).repeat_interleave(2, 2) / 4
    )
    torch.testing.assert_close(spread(fine, (3, 10)).sum(2), coarse.sum(2))


def test_the_centre_is_the_middle_half_of_either_side():
    whole = about_the_centre(torch.ones(1, 1, 3, 3))
    assert whole.shape == (1, 1, 12, 12)
    assert whole[:, :, 3:9, 3:9].eq(0.25).all()
    assert whole.sum() == 9


def test_joints_take_the_cell_that_they_lie_in():
    cells = torch.arange(8.0).view(1, 2, 2, 2) + 1
    poses = torch.zeros(1, 4, 1, 3, 3)
    poses[0, :, 0] = torch.tensor([[0.1, 0.9, 1.0], [0.6, 0.1, 0.0], [1.0, 0.1, 1.0]])
    found = at_joints(cells, poses)[0, :, 0]
    assert found[:, 0].tolist() == [3, 3, 7, 7]
    assert not found[:, 1:].any()  # not seen; outside


def test_steps_last_as_many_frames_as_they_stand_for():
    poses = torch.ones(1, 4, 2, 3, 3)
    poses[:, :, 1, :, 2] = 0
    found = on_frames(torch.tensor([1.0, 2.0]).view(1, 2, 1, 1), poses)
    assert found[0, :, 0, 0].tolist() == [1, 1, 2, 2]
    assert not found[:, :, 1].any()
