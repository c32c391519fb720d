"""Scores of structured segment networks: the paper's rank detections, which leave with bounded ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kinesphere.annotations.timed import Detection
from kinesphere.localise.decoding import detections
from kinesphere.localise.fusion import fused
from kinesphere.localise.methods.registry import METHODS
from kinesphere.localise.methods.ssn import SegmentDetector
from kinesphere.localise.prediction import timeline_of
from kinesphere.localise.recordings import Recording, truth_of
from kinesphere.localise.run import scored
from kinesphere.localise.segment_scores import bounded, unbounded, unbounded_rule
from kinesphere.localise.structured import regressed
from kinesphere.localise.suppression import Method, Suppression, suppressed
from kinesphere.models.temporal.ssn import Verdicts
from kinesphere.predict import SegmentRule, segments

from .test_ssn import CLASSES, made, recipe

TEST = [made(i) for i in range(6, 9)]


@pytest.fixture(scope="module")
def detectors(tmp_path_factory: pytest.TempPathFactory) -> list[SegmentDetector]:
    """Two that learnt, whose scores of the paper are above 1 here and there."""
    train, found = [made(i) for i in range(4)], []
    for seed in (0, 1):
        torch.manual_seed(seed)
        own = METHODS.get("ssn").fresh(recipe(), train, CLASSES)
        assert isinstance(own, SegmentDetector)
        own.fit(train, recipe(), tmp_path_factory.mktemp("ssn") / "state.ckpt")
        found.append(own)
    return found


def by(own: SegmentDetector, **rule: object) -> SegmentDetector:
    decoding = replace(own.decoding, suppression=replace(own.decoding.suppression, **rule))
    return SegmentDetector(
        own.net, {}, own.labels, own.sight, own.mean, own.std, decoding, own.actionness, own.targets
    )


def of_the_paper(
    judges: list[SegmentDetector], weights: list[float], own: Recording, rule: Suppression
) -> list[Detection]:
    """What is found by the scores of the paper alone, of the proposals of the first."""
    features = own.features
    stretches = judges[0].proposals(features).stretches.astype(np.float64)
    said = [each.judge(features, features.to_s(stretches - 0.5)) for each in judges]
    scores = sum(weight * each for weight, (each, _) in zip(weights, said, strict=True))
    offsets = sum(weight * each for weight, (_, each) in zip(weights, said, strict=True))
    proposal, label = np.unravel_index(np.argsort(-scores, axis=None, kind="stable"), scores.shape)
    moved = regressed(stretches[proposal], offsets[proposal, label], float(len(features))) - 0.5
    kept = suppressed(moved, scores[proposal, label], label, rule)
    return detections(features, *kept, names=CLASSES.names, video=own.video)


@given(st.lists(st.floats(0, 1e35), min_size=1, max_size=20))
def test_scores_are_below_1_and_keep_their_order(scores: list[float]) -> None:
    found = bounded(np.sort(scores))
    assert ((found >= 0) & (found < 1)).all()
    assert (np.diff(found) >= 0).all()


def test_scores_by_hand_and_of_a_completeness_beyond_all_numbers() -> None:
    activity = torch.tensor([[5.0, 0.0, np.log(3.0)], [0.0, 0.0, 0.0]])
    completeness = torch.tensor([[0.0, 1.0], [1e4, -1e4]])
    scores = unbounded(Verdicts(activity, completeness, torch.zeros(2, 2, 2)))
    np.testing.assert_allclose(scores[0], [0.25, 0.75 * np.e], rtol=1e-6)  # background takes no part
    found = bounded(scores)
    np.testing.assert_allclose(found[0], 1 / (1 + 1 / scores[0]))
    np.testing.assert_allclose(found[0, 1], torch.sigmoid(torch.tensor(np.log(0.75) + 1)))
    assert 0.999 < found[1, 0] < 1
    assert found[1, 1] == 0


@pytest.mark.parametrize("method", ["gaussian", "linear", "hard", "none"])
def test_detections_are_those_of_the_papers_scores_and_their_map_is_the_same(
    detectors: list[SegmentDetector], method: Method
) -> None:
    own = by(detectors[0], method=method, tiou=0.4)
    rule = unbounded_rule(own.decoding.suppression)
    found = [one for each in TEST for one in own.detect(each.features, each.video)]
    paper = [one for each in TEST for one in of_the_paper([own], [1.0], each, rule)]
    assert [each.score for each in found] == [each.score / (1 + each.score) for each in paper]
    assert [replace(each, score=0) for each in found] == [replace(each, score=0) for each in paper]
    assert max(each.score for each in paper) > 1
    assert all(0 <= each.score < 1 for each in found)
    ours, theirs = (scored(each, TEST, truth_of(TEST)).scores for each in (found, paper))
    assert ours == theirs
    assert ours["map@0.5"].value > 0.5


def test_scores_of_several_detectors_are_averaged_before_they_are_bounded(
    detectors: list[SegmentDetector],
) -> None:
    one, blind, first = detectors[0], by(detectors[1]), TEST[0]
    blind.actionness = torch.tensor([[0.0] * 8 + [99.0], [0.0] * 9])  # proposes nothing, and judges
    features = [first.features] * 2
    found = fused([one, blind], features, [0.75, 0.25], first.video)
    wanted = of_the_paper([one, blind], [0.75, 0.25], first, unbounded_rule(one.decoding.suppression))
    assert len(found) == len(wanted) > 0
    for each, other in zip(found, wanted, strict=True):
        assert each.score == pytest.approx(other.score / (1 + other.score))
        assert each.label == other.label
        assert (each.start_s, each.end_s) == pytest.approx((other.start_s, other.end_s))
    assert all(0 <= each.score < 1 for each in found)


def test_the_least_score_is_one_of_detections(detectors: list[SegmentDetector]) -> None:
    first = TEST[0]
    whole = by(detectors[0], method="none").detect(first.features, first.video)
    sure = by(detectors[0], method="hard", tiou=1.0, least_score=0.5).detect(first.features, first.video)
    assert {each.score for each in sure} == {each.score for each in whole if each.score >= 0.5} != set()
    assert by(detectors[0], method="hard", least_score=1.0).detect(first.features) == []
    assert unbounded_rule(Suppression(least_score=0.75)).least_score == 3
    assert unbounded_rule(Suppression(least_score=0.0)).least_score == 0


def test_what_is_told_of_proposals_and_read_from_timelines_has_the_scores_of_detections(
    detectors: list[SegmentDetector],
) -> None:
    own, first = by(detectors[0], method="none", most=100_000), TEST[0]
    found = own.detect(first.features, first.video)
    fates = own.fates(first.features, first.video)
    assert {each.score for each in fates if each.fate == "detected"} <= {each.score for each in found}
    timeline = timeline_of(found, first.features, CLASSES, "v")
    assert 0.5 < timeline.probabilities.max() == found[0].score < 1
    sure = segments(timeline, SegmentRule(threshold=0.5))
    assert len(sure) == sum(each.score >= 0.5 for each in found) > 0
    assert all(0.5 <= each.probability < 1 for each in sure)
