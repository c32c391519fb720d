from __future__ import annotations

import numpy as np
import pytest
import torch

from kinesphere.localise.boundaries import between, boundary_features, inside_labels
from kinesphere.localise.matching import (
    MatchTargets,
    balanced_loss,
    boundary_loss,
    match_regression,
    matching_loss,
)
from kinesphere.models.temporal.bmn import Matched


def test_what_is_positive_weighs_as_much_as_what_is_not():
    p = torch.tensor([0.9, 0.2, 0.4, 0.5])
    # One of four: 0.5 · 4 for it, 0.5 · 4 / 3 for the others, mean over four.
    wanted = -(2 * np.log(0.9) + (2 / 3) * (np.log(0.8) + np.log(0.6) + np.log(0.5))) / 4
    found = boundary_loss(p, torch.tensor([1.0, 0.5, 0.0, 0.3]))
    assert float(found) == pytest.approx(wanted, abs=1e-5)
    asked = torch.tensor([True, True, False, False])
    half = balanced_loss(p, torch.tensor([True, False, True, False]), asked)
    assert float(half) == pytest.approx(-(np.log(0.9) + np.log(0.8)) / 2, abs=1e-5)
    nothing = balanced_loss(p, torch.zeros(4, dtype=torch.bool))
    assert 0 < float(nothing) < 1
    assert balanced_loss(p, torch.ones(4, dtype=torch.bool)).isfinite()


def test_of_what_matches_less_as_many_count_as_match_well():
    wanted = torch.tensor([0.8, 0.5, 0.6, 0.4, 0.2, 0.1, 0.0, 0.9])
    found = torch.full((8,), 0.5)
    asked = torch.tensor([True] * 7 + [False])
    drawn = torch.tensor([0.0, 0.9, 0.1, 0.2, 0.1, 0.7, 0.9, 0.9])
    # One matches well; of three that match less the draw above 2/3 counts, of two bad ones that above 1/2.
    loss = match_regression(found, wanted, asked, drawn)
    assert float(loss) == pytest.approx(0.5 * (0.3**2 + 0.0 + 0.4**2) / 3)
    # Twice as many bad ones, and those that overlap nothing among them: two of three, above 1/3.
    more = match_regression(found, wanted, asked, drawn, most_low=2.0, apart=True)
    assert float(more) == pytest.approx(0.5 * (0.3**2 + 0.0 + 0.4**2 + 0.5**2) / 4)
    assert float(match_regression(found, wanted * 0.5, asked, drawn)) == 0  # nothing to balance by


def test_the_loss_of_a_map_is_that_of_its_parts_and_cells_beyond_the_video_do_not_count():
    T = 3
    generator = torch.Generator().manual_seed(0)
    found = Matched(
        *(torch.rand(size, generator=generator) for size in ((1, T), (1, T), (1, T, T), (1, T, T)))
    )
    matches = torch.tensor([[[0.95, 0.2, 0.1], [0.5, 0.25, 0.95], [0.4, 0.95, 0.95]]])
    wanted = MatchTargets(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0]]), matches)
    drawn = torch.full((1, T, T), 0.99)
    inside = torch.tensor([[[True, True, True], [True, True, False], [True, False, False]]])
    parts = (
        boundary_loss(found.starts, wanted.starts)
        + boundary_loss(found.ends, wanted.ends)
        + 10 * match_regression(found.regressed[inside], matches[inside], inside[inside], drawn[inside])
        + balanced_loss(found.classified[inside], matches[inside] > 0.9)
    )
    torch.testing.assert_close(matching_loss(found, wanted, drawn), parts)
    moved = Matched(
        found.starts, found.ends, *(torch.where(inside, m, 0.7) for m in (found.classified, found.regressed))
    )
    torch.testing.assert_close(matching_loss(moved, wanted, drawn), parts)


def test_proposals_lie_between_the_middles_of_likely_rows_and_know_the_actionness_around_them():
    starts, ends = np.zeros(10), np.zeros(10)
    starts[2], ends[6] = 0.9, 0.8
    segments, scores = between(starts, ends)
    best = int(scores.argmax())
    np.testing.assert_allclose(segments[best], [0.25, 0.65])
    assert scores[best] == pytest.approx(0.72)
    inside = inside_labels(np.array([[0.2, 0.65]]), 10)
    np.testing.assert_allclose(inside, [0, 0, 1, 1, 1, 1, 0.5, 0, 0, 0], atol=1e-9)
    features = boundary_features(np.arange(10) / 10, np.array([[0.25, 0.65]]))
    assert features.shape == (1, 32)
    # The actionness rises by a row's tenth a row: middles of the samples are told back.
    np.testing.assert_allclose(features[0, :8], np.linspace(0.12, 0.28, 8), atol=1e-9)
    np.testing.assert_allclose(features[0, 8:24], np.linspace(0.2, 0.6, 16), atol=1e-9)
    np.testing.assert_allclose(features[0, 24:], np.linspace(0.52, 0.68, 8), atol=1e-9)
    assert boundary_features(np.ones(10), np.array([[-3.0, -2.0]])).max() == 0
