from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from kinesphere.annotations.formats.activitynet import write_activitynet
from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.evaluate.files.proposals import score_proposals
from kinesphere.localise import boundaries
from kinesphere.localise.structured import (
    PoolRule,
    drawn,
    offsets_to,
    pools_of,
    regressed,
    segment_loss,
    target_moments,
)
from kinesphere.models.temporal.ssn import Verdicts

TRUTH, LABELS = np.array([[10.0, 20.0], [40.0, 60.0]]), np.array([0, 2])
PROPOSALS = np.array([[10.0, 21.0], [12.0, 14.0], [70.0, 90.0], [70.0, 71.0], [40.0, 50.0]])


def test_proposals_are_foreground_incomplete_background_or_aside():
    found = pools_of(PROPOSALS, TRUTH, LABELS, 100)
    assert found.foreground.tolist() == [0, 5, 6]
    assert found.incomplete.tolist() == [1]
    assert found.background.tolist() == [2]
    assert found.aside.tolist() == [3, 4]  # too short for background; half an action is neither
    assert found.labels.tolist() == [0, 0, -1, -1, 2, 0, 2]
    np.testing.assert_allclose(found.targets[5:], 0)
    np.testing.assert_allclose(regressed(PROPOSALS[:2], found.targets[:2], 100.0), [[10, 20], [10, 20]])
    np.testing.assert_allclose(offsets_to(np.array([[0.0, 10.0]]), np.array([[5.0, 25.0]])), [[1, np.log(2)]])
    mean, std = target_moments([found])
    np.testing.assert_allclose(mean, found.targets[0])  # actions themselves do not count
    assert std.tolist() == [1, 1]
    strict = pools_of(PROPOSALS, TRUTH, LABELS, 100, PoolRule(foreground=0.95, within=1.0))
    assert strict.foreground.tolist() == [5, 6]
    assert strict.incomplete.tolist() == []
    with pytest.raises(InvalidAnnotation, match="without an action has no foreground"):
        pools_of(PROPOSALS, TRUTH[:0], LABELS[:0], 100)


def test_one_foreground_six_incomplete_and_one_background_are_drawn_in_this_order():
    rng = np.random.default_rng(0)
    whole = pools_of(PROPOSALS, TRUTH, LABELS, 100)
    bare = pools_of(PROPOSALS[:0], TRUTH, LABELS, 100)
    for video in (0, 1):
        found = drawn([whole, bare], video, rng)
        kinds = [next(k for k in range(3) if i in (whole, bare)[v].all[k]) for v, i in found]
        assert kinds == [0, 1, 1, 1, 1, 1, 1, 2]
        assert found[0][0] == video
    # What a video lacks comes from the others.
    assert {v for v, _ in drawn([whole, bare], 1, rng)[1:]} == {0}


@pytest.mark.parametrize(
    ("proposals", "says"),
    [
        ([], "goes on before or after an action.* longer recordings.* smaller features.stride_s"),
        ([[12.0, 14.0]], "a pause of more than a second.* 'rest'.* data.classes.* model.name=temporalmaxer"),
    ],
    ids=["incomplete", "background"],
)
def test_where_a_kind_of_proposals_is_missing_it_is_said_which_settings_bring_it(proposals, says):
    bare = pools_of(np.array(proposals).reshape(-1, 2), TRUTH, LABELS, 100)
    with pytest.raises(InvalidAnnotation, match=says):
        drawn([bare], 0, np.random.default_rng(0))


def test_where_no_action_is_foreground_it_is_said_what_to_annotate():
    bare = replace(pools_of(PROPOSALS, TRUTH, LABELS, 100), foreground=np.zeros(0, np.int64))
    with pytest.raises(InvalidAnnotation, match=r"annotate actions in data\.labels, of classes"):
        drawn([bare], 0, np.random.default_rng(0))


def test_the_loss_is_that_by_hand_and_counts_the_hardest_of_six():
    activity = torch.zeros(8, 3)
    activity[0, 2] = 1.0
    completeness = torch.zeros(8, 2)
    completeness[0, 1] = 0.25
    completeness[1:7, 0] = torch.tensor([-2.0, -0.5, 0.5, -1.0, 0.1, -3.0])
    regression = torch.zeros(8, 2, 2)
    regression[0, 1] = torch.tensor([0.5, 3.0])
    labels = torch.tensor([1, 0, 0, 0, 0, 0, 0, -1])
    targets = torch.zeros(8, 2)
    completeness.requires_grad_()
    found = segment_loss(Verdicts(activity, completeness, regression), labels, targets)
    right = -np.log(np.exp(1) / (2 + np.exp(1)))
    assert float(found.activity) == pytest.approx((right + np.log(3)) / 2)
    # 0.75 of the foreground, 1.5 of the worst of six incomplete ones: 1 + 1 of them.
    assert found.completeness.item() == pytest.approx((0.75 + 1.5) / 2)
    assert float(found.regression) == pytest.approx(2 * (0.125 + 2.5) / 2)
    total = float(found.activity) + 0.1 * found.completeness.item() + 0.1 * float(found.regression)
    assert found.total.item() == pytest.approx(total)
    found.total.backward()
    assert torch.nonzero(completeness.grad[:, 0])[:, 0].tolist() == [3]


def test_the_map_of_matches_is_that_of_all_proposals_one_by_one():
    T, truth = 12, np.array([[0.1, 0.45], [0.5, 0.93]])
    found = boundaries.matching_map(truth, T)
    for d in range(T):
        for t in range(T - d):
            a, b = t / T, (t + d + 1) / T
            shared = [max(0.0, min(b, y) - max(a, x)) for x, y in truth]
            each = [s / (b - a + y - x - s) for s, (x, y) in zip(shared, truth, strict=True)]
            assert found[d, t] == pytest.approx(max(each), abs=1e-4)
    starts, ends = boundaries.boundary_labels(truth, T)
    np.testing.assert_allclose(starts[:4], [1, 1, 0.7, 0], atol=1e-9)  # 1.2 rows, 1.5 to both sides
    assert ends[int(0.93 * T)] == pytest.approx(1)
    assert (
        boundaries.matching_map(truth[:0], T).max() == boundaries.boundary_labels(truth[:0], T)[0].max() == 0
    )


def test_boundaries_of_a_fraction_are_a_row_wide_at_least():
    T, truth = 100, np.array([[0.105, 0.405], [0.505, 0.525]])
    starts, ends = boundaries.boundary_labels(truth, T, fraction=0.1)
    # A tenth of thirty rows, 1.5 to both sides of 10.5; one row of two, half to both sides of 50.5.
    np.testing.assert_allclose(starts[8:13], [0, 1, 1, 1, 0], atol=1e-9)
    np.testing.assert_allclose(starts[49:52], [0, 1, 0], atol=1e-9)
    np.testing.assert_allclose(ends[38:43], [0, 1, 1, 1, 0], atol=1e-9)
    np.testing.assert_allclose(ends[51:54], [0, 1, 0], atol=1e-9)


def test_soft_suppression_spares_what_a_long_proposal_overlaps_moderately():
    rng = np.random.default_rng(0)
    segments = np.sort(rng.random((30, 2)), 1)
    scores = rng.random(30)
    left = [(float(s), a, b) for s, (a, b) in zip(scores, segments, strict=True)]
    wanted = []
    while left:
        best = max(left)
        left.remove(best)
        wanted.append(best)
        _, x, y = best
        for i, (s, a, b) in enumerate(left):
            shared = max(0.0, min(b, y) - max(a, x))
            overlap = shared / (b - a + y - x - shared)
            if overlap > 0.5 + 0.4 * (y - x):
                left[i] = (s * np.exp(-(overlap**2) / 0.4), a, b)
    found = boundaries.softened(segments, scores)
    np.testing.assert_allclose(found[1], [s for s, _, _ in wanted], rtol=1e-4)
    np.testing.assert_allclose(found[0], [each[1:] for each in wanted])
    assert len(boundaries.softened(segments, scores, most=5)[1]) == 5


def test_proposals_between_likely_boundaries_are_written_and_scored(tmp_path):
    T, truth = 20, np.array([[0.2, 0.4], [0.6, 0.9]])
    match = boundaries.matching_map(truth, T)
    starts, ends = boundaries.boundary_labels(truth, T)
    segments, scores = boundaries.softened(*boundaries.matched_proposals(starts, ends, match, match))
    assert {tuple(each) for each in segments[:2].round(2).tolist()} == {(0.2, 0.4), (0.6, 0.9)}
    found = TimedLabels.of(boundaries.as_detections(segments, scores, "v", 50.0))
    write_activitynet(found, tmp_path / "proposals.json")
    assert set(json.loads((tmp_path / "proposals.json").read_text())["results"]) == {"v"}
    labels = tuple(TimedLabel("v", "jump", a * 50, b * 50) for a, b in truth)
    result = score_proposals(found, TimedLabels(labels, ("v",), {"v": 50.0}))
    assert result.counts["proposals"] == len(segments)
