from __future__ import annotations

import numpy as np
import pytest
import torch

from kinesphere.core.errors import InvalidSetting
from kinesphere.localise.proposals import Grouping, greedy, grouped, sliding, smoothing
from kinesphere.localise.suppression import tiou
from kinesphere.models.temporal.ssn import SSN, Placed, RowScores, Stages


def plateaus(*stretches: tuple[int, int], rows: int) -> np.ndarray:
    found = np.full(rows, 0.02)
    for first, end in stretches:
        found[first:end] = 0.97
    return found


def test_a_low_tolerance_splits_two_plateaus_and_a_high_one_joins_them():
    actionness = plateaus((10, 20), (26, 40), rows=50)

    def found(tolerance: float) -> list[list[int]]:
        rule = Grouping(sigma=0, thresholds=(0.5,), tolerances=(tolerance,))
        return sorted(grouped(actionness, rule).stretches.tolist())

    assert found(0.1) == [[10, 20], [26, 40]]
    # Forwards 6 of 16 rows are below, backwards 6 of 20.
    assert found(0.35) == [[10, 20], [10, 40], [26, 40]]
    assert found(1.0) == [[10, 20], [10, 40], [26, 40]]


def test_proposals_lie_in_the_video_and_find_what_is_scripted():
    rng = np.random.default_rng(0)
    hits = total = 0
    for _ in range(10):
        rows, at, truth = 200, int(rng.integers(5, 15)), []
        while at < 180:
            end = min(200, at + int(rng.integers(8, 40)))
            truth.append((at, end))
            at = end + int(rng.integers(6, 30))
        noisy = np.clip(plateaus(*truth, rows=rows) + rng.normal(0, 0.15, rows), 0, 1)
        found = grouped(noisy)
        assert (found.stretches >= 0).all()
        assert (found.stretches[:, 1] <= rows).all()
        assert (found.stretches[:, 1] > found.stretches[:, 0]).all()
        assert (np.diff(found.scores) <= 0).all()
        hits += (tiou(np.array(truth, float), found.stretches.astype(float)).max(1) >= 0.5).sum()
        total += len(truth)
        # What was left out can be looked at: each overlaps the better one that it names.
        assert len(found.dropped)
        for lost, better in zip(found.dropped, found.stretches[found.better], strict=True):
            assert tiou(lost[None].astype(float), better[None].astype(float))[0, 0] > 0.85
    assert hits >= 0.95 * total
    assert len(grouped(np.zeros(5))) == len(grouped(np.zeros(0))) == 0


def test_what_windows_have_smoothed_is_not_smoothed_again():
    assert smoothing(0.0, 0.2) == pytest.approx(3.0)  # the authors' 3 snippets
    assert smoothing(1.0, 0.2) == pytest.approx(np.sqrt(0.36 - 1 / 12) / 0.2)
    assert smoothing(2.0, 0.25) == pytest.approx(0.6532, abs=1e-4)
    assert smoothing(2.1, 0.25) == smoothing(10.0, 0.5) == 0.0
    # Actions of 1 to 3 s with pauses of 0.5 to 1 s, a row every 0.25 s: what smoothing by three rows joins.
    rng, at, truth = np.random.default_rng(0), 4, []
    while at < 380:
        truth.append((at, at + int(rng.integers(4, 13))))
        at = truth[-1][1] + int(rng.integers(2, 5))
    seen = np.convolve(plateaus(*truth, rows=400), np.full(4, 1 / 4), "same")

    def recall(sigma: float) -> float:
        found = grouped(seen, Grouping(sigma=sigma)).stretches
        return float((tiou(np.array(truth, float), found.astype(float)).max(1) >= 0.5).mean())

    assert recall(smoothing(2.0, 0.25)) > 0.95
    assert recall(Grouping().sigma) < 0.7


def test_suppression_keeps_what_overlaps_by_no_more_and_says_who_dropped_what():
    segments = np.array([[0.0, 10.0], [0.0, 5.0], [1.0, 10.0], [20.0, 30.0]])
    kept, lost, better = greedy(segments, np.array([0.5, 0.9, 0.4, 0.1]), 0.5)
    assert kept.tolist() == [1, 0, 3]
    assert lost.tolist() == [2]
    assert better.tolist() == [1]


def test_windows_overlap_and_have_a_second_of_the_video():
    found = sliding(10.0, (1.0, 4.0))
    assert found.min() == 0
    assert found.max() == 10
    assert ((found[:, 1] - found[:, 0]) >= 1 - 1e-9).all()
    assert sliding(0.5, (1.0, 4.0)).tolist() == [[0.0, 0.5]]
    with pytest.raises(InvalidSetting, match="an overlap of 0 to below 1"):
        sliding(10.0, overlap=1.0)
    with pytest.raises(InvalidSetting, match="Grouping needs thresholds"):
        Grouping(tolerances=(2.0,))


def placed(*ticks: tuple[int, int, int, int], scale: tuple[float, float] = (1.0, 1.0)) -> Placed:
    return Placed(torch.tensor(ticks), torch.tensor([scale] * len(ticks)))


INTERIOR = placed((2, 4, 9, 12), (10, 13, 20, 25))
BORDER = placed((0, 0, 5, 9), (20, 25, 30, 30), (3, 4, 4, 5), scale=(0.3, 0.6))


@pytest.mark.parametrize("stages", [Stages(), Stages(course=(1, 2)), Stages((1,), (1, 2), (2,))])
@pytest.mark.parametrize("joint", [False, True])
def test_products_of_rows_give_what_the_pyramid_gives_within_the_video_and_at_its_ends(stages, joint):
    torch.manual_seed(0)
    net, rows = lively(SSN(8, 3, stages, joint=joint)), torch.randn(30, 8)
    scores = RowScores(net).scores(rows)
    for where in (INTERIOR, BORDER):
        direct, quick = net.pooled(rows, where), RowScores(net).pooled(scores, where)
        for name in ("activity", "completeness", "regression"):
            torch.testing.assert_close(getattr(quick, name), getattr(direct, name), atol=1e-5, rtol=1e-5)


def test_published_products_are_the_pyramid_for_whole_undivided_stages_alone():
    torch.manual_seed(0)
    rows = torch.randn(30, 8)
    for stages, where, equal in (
        (Stages(), INTERIOR, True),
        (Stages(), BORDER, False),
        (Stages(course=(1, 2)), INTERIOR, False),
    ):
        net = lively(SSN(8, 3, stages))
        published = RowScores(net, published=True)
        found, direct = published.pooled(published.scores(rows), where), net.pooled(rows, where)
        assert torch.allclose(found.activity, direct.activity, atol=1e-5)
        assert torch.allclose(found.completeness, direct.completeness, atol=1e-5) == equal
        assert torch.allclose(found.regression, direct.regression, atol=1e-5) == equal
    with pytest.raises(ValueError, match="no published re-organised form"):
        RowScores(SSN(8, 3, joint=True), published=True)


def test_snippets_that_are_all_rows_of_a_stage_give_what_pooling_gives():
    torch.manual_seed(0)
    net, rows = lively(SSN(8, 3, Stages(course=(1, 2)))), torch.randn(12, 8)
    pooled = net.pooled(rows, placed((1, 3, 8, 10), scale=(0.5, 1.0)))
    drawn = net(rows[None, 1:10], torch.tensor([[0.5, 1.0]]))
    torch.testing.assert_close(drawn.completeness, pooled.completeness)
    torch.testing.assert_close(drawn.activity, pooled.activity)


def lively(net: SSN) -> SSN:
    """With weights and biases that matter, unlike fresh ones."""
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter)
    return net.eval()
