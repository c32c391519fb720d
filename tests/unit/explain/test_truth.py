"""Whether maps are true: deletion and insertion, heat on people, and the sanity check."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from stand_ins import predictor_of
from torch import Tensor, nn

from kinesphere.clips import ClipSpec, Sampling
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.explain.agreement import Agreement, agreements
from kinesphere.explain.attribution import Attribution, InputHeat
from kinesphere.explain.faithfulness import Work, faithfulness
from kinesphere.explain.method import Method, Settings
from kinesphere.explain.people import around_joints, in_boxes, on_people
from kinesphere.explain.sanity import check_sanity, likeness
from kinesphere.explain.target import Scored
from kinesphere.models import Recogniser

PIXELS = ClipSpec(Sampling.parse("8x1x1"), (28, 28))
JOINTS = ClipSpec(
    PIXELS.sampling, (28, 28), modality="pose", skeleton="coco17", people=2, mean=(0.5, 0.5), std=(0.5, 0.5)
)


class Linear(nn.Module):
    """A probability that is a weighted sum of the pixels, or of the joints."""

    labels = LabelSet(("yes", "no"))

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = weights / weights.sum()
        self.specs = (JOINTS if weights.shape[1:] == (2, 17) else PIXELS,)

    def forward(self, x: Tensor) -> Tensor:
        share = (
            ((x.mean(2) if x.shape[-1] > 4 else x[..., :2].mean(-1)) * self.weights)
            .flatten(1)
            .sum(1)
            .clamp(1e-6, 1 - 1e-6)
        )
        return torch.stack([share.log(), (1 - share).log()], 1)


def linear(weights: Tensor) -> Recogniser:
    return cast("Recogniser", Linear(weights))


def pulsing(shape: tuple[int, ...]) -> Tensor:
    """A clip of ones in the first half of time and of minus ones in the second: its temporal mean is 0."""
    x = torch.ones(shape)
    x[:, shape[1] // 2 :] = -1
    return x


def test_random_rankings_give_the_straight_line_and_a_perfect_one_the_bound() -> None:
    weights = torch.zeros(8, 28, 28)
    weights[:4, 8:12, 8:12] = 1  # one cell of the first half
    x = pulsing((1, 8, 3, 28, 28))
    work = Work((2, 7, 7), steps=49, rankings=20)
    found = faithfulness(linear(weights), [x], [weights], 0, work)
    mean = found.curves[0]
    assert found.cells == 2 * 7 * 7
    assert mean.random_deletion == pytest.approx(0.5, abs=0.12)
    assert mean.deletion < 0.02 < 0.98 < mean.insertion
    assert mean.beaten >= 0.9  # a random one may begin with the same cell


def test_random_rankings_of_an_even_model_lie_on_the_straight_line() -> None:
    weights = torch.zeros(8, 28, 28)
    weights[:4] = 1
    found = faithfulness(linear(weights), [pulsing((1, 8, 3, 28, 28))], [weights], 0, Work((2, 7, 7)))
    for area in (found.curves[0].random_deletion, found.curves[0].random_insertion):
        assert area == pytest.approx(0.5, abs=0.02)


def test_joints_are_taken_away_one_by_one() -> None:
    weights = torch.zeros(8, 2, 17)
    weights[:4, 1, 9] = 1
    x = pulsing((1, 8, 2, 17, 3))
    x[..., 2] = 1  # seen throughout, and at rest in the middle
    found = faithfulness(linear(weights), [x], [weights], 0, Work((2, 7, 7), steps=68))
    assert found.cells == 2 * 2 * 17
    assert found.curves[0].deletion < 0.02
    assert found.curves[0].beaten >= 0.9


def test_a_map_without_heat_cannot_be_measured() -> None:
    with pytest.raises(InvalidSetting, match="no input has heat"):
        faithfulness(linear(torch.ones(8, 28, 28)), [torch.ones(1, 8, 3, 28, 28)], [None], 0)
    with pytest.raises(InvalidSetting, match="are at least 1"):
        Work(steps=0)


def test_heat_on_people_is_held_against_their_area() -> None:
    people = in_boxes(np.array([[[2, 2, 6, 8]], [[0, 0, 0, 0]]]), (10, 10))
    assert people[0].sum() == 24
    assert not people[1].any()
    heat = np.full((2, 10, 10), 0.1)
    heat[0, 3, 3] = 2
    heat[0, 9, 9] = -5  # speaks against the class
    found = on_people(heat, people)
    assert (found.pointing, found.area, found.frames) == (1, 0.24, 1)
    assert found.energy == pytest.approx((2 + 23 * 0.1) / (2 + 98 * 0.1))
    assert on_people(np.zeros((2, 10, 10)), people).energy == 0


def test_boxes_of_joints_are_a_quarter_larger() -> None:
    joints = np.zeros((1, 2, 3, 3))
    joints[0, 0] = [(4, 4, 1), (12, 12, 1), (50, 50, 0)]
    inside = around_joints(joints, (20, 20))
    rows, columns = np.nonzero(inside[0])
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (3, 13, 3, 13)


def test_frames_without_people_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="Nobody is seen"):
        on_people(np.ones((1, 4, 4)), np.zeros((1, 4, 4), bool))
    with pytest.raises(InvalidSetting, match="not of the same frames"):
        on_people(np.ones((1, 4, 4)), np.zeros((1, 4, 5), bool))


class Weights(Method):
    """Shows what was learnt, and nothing else."""

    name = "weights"
    summary = "For tests."

    def heat(
        self, scored: Scored, inputs: tuple[Tensor, ...], settings: Settings
    ) -> tuple[Tensor | None, ...]:
        return (next(scored.recogniser.net.parameters()).detach().flatten(2),)


class Edges(Method):
    """Depends on the clip alone."""

    name = "edges"
    summary = "For tests."

    def heat(
        self, scored: Scored, inputs: tuple[Tensor, ...], settings: Settings
    ) -> tuple[Tensor | None, ...]:
        return (inputs[0].mean(2).diff(dim=-1).abs(),)


def test_the_sanity_check_names_what_does_not_look_at_the_network() -> None:
    recogniser = predictor_of("r3d_tiny").module
    before = {name: value.clone() for name, value in recogniser.state_dict().items()}
    (spec,) = recogniser.specs
    x = torch.randn(1, spec.length, 3, *spec.size, generator=torch.Generator().manual_seed(0))
    edges = check_sanity(recogniser, Edges(), (x,), 0)
    weights = check_sanity(recogniser, Weights(), (x,), 0)
    assert edges.is_blind
    assert edges.alike[-1] == pytest.approx(1)
    assert weights.alike[0] == pytest.approx(1)  # the stem goes last
    assert not weights.is_blind
    assert edges.layers[0] == "head"
    assert len(edges.layers) == len(recogniser.stages) + 1
    assert all(torch.equal(before[name], value) for name, value in recogniser.state_dict().items())


def test_an_empty_map_is_like_no_other() -> None:
    assert likeness([torch.zeros(3, 3)], [torch.randn(3, 3)]) == 0
    assert likeness([torch.arange(9.0)], [torch.arange(9.0) * -2]) == pytest.approx(1)


def attribution(method: str, values: np.ndarray, *, signed: bool = False, label: str = "wave") -> Attribution:
    heat = InputHeat(
        "net", PIXELS, 0, np.arange(8.0), values.astype(np.float32), 1.0, method=method, signed=signed
    )
    return Attribution(
        "a.mp4", (28, 28), (0, 8), method, label, None, 1.0, 1.0, (label, 1.0), (heat,), signed
    )


def test_methods_agree_by_the_ranks_of_cells_and_the_hottest_tenth() -> None:
    values = np.random.default_rng(0).normal(size=(8, 28, 28))
    unsigned, other = (attribution(name, np.maximum(values, 0)) for name in ("cam", "rise"))
    signed = attribution("gradients", values, signed=True)
    empty = attribution("nothing", np.zeros_like(values))
    work = Work((8, 28, 28))
    found = agreements([[each] * 2 for each in (unsigned, other, signed, empty)], work)
    assert found[0, 1] == Agreement("net", ("cam", "rise"), pytest.approx(1), pytest.approx(1), 2)
    assert found[0, 2].ranks == pytest.approx(1)  # what speaks against the class is not compared
    assert found[0, 3] == Agreement("net", ("cam", "nothing"), None, None, 0)
    opposite = attribution("opposite", -values, signed=True)
    assert agreements([[signed], [opposite]], work)[0, 1].ranks == pytest.approx(-1)
    assert agreements([[signed], [opposite]], work)[0, 1].shared == 0


def test_agreement_is_between_methods_about_one_class() -> None:
    values = np.ones((8, 28, 28))
    with pytest.raises(InvalidSetting, match="name at least two of them"):
        agreements([[attribution("cam", values)]])
    with pytest.raises(InvalidSetting, match="wave by cam, clap by rise"):
        agreements([[attribution("cam", values)], [attribution("rise", values, label="clap")]])
