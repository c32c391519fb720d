"""What becomes of proposals, also of those that are dropped: every one is told, with its reason."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.localise.methods.registry import METHODS
from kinesphere.localise.methods.ssn import SegmentDetector
from kinesphere.localise.proposal_fates import (
    REASONS,
    ProposalFate,
    Proposing,
    with_roles,
    write_fates,
)
from kinesphere.localise.suppression import Suppression
from kinesphere.predict.features import VideoFeatures

from .test_ssn import CLASSES, made, recipe


@pytest.fixture(scope="module")
def detector() -> SegmentDetector:
    """A network with fresh weights that scores anyhow, and a classifier of rows that finds the plateaus."""
    torch.manual_seed(0)
    found = METHODS.get("ssn").fresh(recipe(), [made(i) for i in range(2)], CLASSES)
    assert isinstance(found, SegmentDetector)
    for weight in found.net.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    # What is high in the first two features looks like action.
    found.actionness = torch.zeros(2, 9)
    found.actionness[1, :2], found.actionness[1, -1] = 3.0, -2.0
    return found


def of(detector: SegmentDetector, features: VideoFeatures, **rule: object) -> list[ProposalFate]:
    decoding = replace(detector.decoding, suppression=Suppression(**rule))
    return SegmentDetector(
        detector.net, {}, LabelSet(CLASSES.names), detector.sight, detector.mean, detector.std, decoding,
        detector.actionness, detector.targets,
    ).fates(features, "v7")  # fmt: skip


def test_every_proposal_is_told_once_with_what_became_of_it(detector) -> None:
    features = made(7).features
    proposed = detector.proposals(features)
    fates = of(detector, features, method="hard", tiou=0.4)
    assert len(fates) == len(proposed) + len(proposed.dropped)
    counts = Counter(each.fate for each in fates)
    assert counts["overlapped"] == len(proposed.dropped) > 0
    assert counts["detected"] > 0
    assert counts["suppressed"] > 0
    assert all(each.reason == REASONS[each.fate] for each in fates)
    assert all(0 <= each.start_s < each.end_s <= features.duration_s for each in fates)
    spans = features.to_s(proposed.stretches - 0.5).clip(0, features.duration_s)
    np.testing.assert_allclose([(f.start_s, f.end_s) for f in fates[: len(proposed)]], spans)
    kept = {(each.start_s, each.end_s) for each in fates[: len(proposed)]}
    for each in fates:
        if each.fate == "overlapped":
            assert (each.better_start_s, each.better_end_s) in kept
            assert each.label == ""
        elif each.fate == "suppressed":
            assert each.better_start_s is not None


def test_all_is_detected_where_nothing_is_suppressed_and_little_where_little_is_looked_at(detector) -> None:
    features = made(7).features
    whole = of(detector, features, method="none", most=100_000)
    assert {each.fate for each in whole} == {"detected", "overlapped"}
    few = SegmentDetector(
        detector.net, {}, CLASSES, detector.sight, detector.mean, detector.std,
        replace(detector.decoding, most=1), detector.actionness, detector.targets,
    )  # fmt: skip
    counts = Counter(each.fate for each in few.fates(features, "v"))
    assert counts["detected"] == 1
    assert counts["surpassed"] == len(detector.proposals(features)) - 1
    best = max(each.score for each in few.fates(features, "v") if each.score is not None)
    assert next(each for each in few.fates(features, "v") if each.fate == "detected").score == best
    low = of(detector, features, least_score=1e9)
    assert {each.fate for each in low} == {"too_low", "overlapped"}


def test_a_video_without_anything_like_action_has_no_proposal(detector) -> None:
    quiet = VideoFeatures(
        np.zeros((40, 8), np.float32), 0.5 + 0.25 * np.arange(40), 1.0, 0.25, 10.5, "made up"
    )
    blind = SegmentDetector(
        detector.net, {}, CLASSES, detector.sight, detector.mean, detector.std, detector.decoding,
        torch.tensor([[0.0] * 8 + [9.0], [0.0] * 9]), detector.targets,
    )  # fmt: skip
    assert blind.fates(quiet, "v") == []
    assert blind.detect(quiet, "v") == []


def test_what_proposals_are_of_ground_truth_by_hand() -> None:
    def fate(start_s: float, end_s: float, video: str = "v") -> ProposalFate:
        return ProposalFate(video, start_s, end_s, 1.0, "detected", "")

    truth = TimedLabels.of([TimedLabel("v", "hop", 10, 20), TimedLabel("v", "skip", 40, 60)])
    own = [fate(10, 19), fate(41, 43), fate(42, 55), fate(80, 90), fate(0, 5, "w")]
    found = with_roles(own, truth)
    assert [each.role for each in found] == ["foreground", "incomplete", "aside", "background", "background"]
    assert [each.truth for each in found] == ["hop", "skip", "skip", "", ""]
    assert [each.tiou for each in found] == pytest.approx([0.9, 0.1, 0.65, 0, 0])


def test_proposals_are_written_as_tables_and_as_json(tmp_path: Path) -> None:
    own = [ProposalFate("v", 1.0, 2.0, 3.0, "overlapped", REASONS["overlapped"], better_start_s=1.1)]
    write_fates(own, tmp_path / "deep" / "p.csv")
    [row] = csv.DictReader((tmp_path / "deep" / "p.csv").open(newline=""))
    assert (row["video"], row["fate"], row["better_start_s"], row["score"]) == ("v", "overlapped", "1.1", "")
    write_fates(own, tmp_path / "p.json")
    [entry] = json.loads((tmp_path / "p.json").read_text())["proposals"]
    assert entry["reason"] == "it overlaps a better proposal too much"
    with pytest.raises(InvalidSetting, match=r"Proposals are written as .csv or .json; got p.txt"):
        write_fates(own, tmp_path / "p.txt")


def test_only_detectors_that_propose_have_proposals(detector) -> None:
    assert isinstance(detector, Proposing)
    maxer = METHODS.get("temporalmaxer").fresh(
        recipe().model_copy(
            update={"model": recipe().model.model_copy(update={"name": "temporalmaxer", "arguments": {}})}
        ),
        [made(0)],
        CLASSES,
    )
    assert not isinstance(maxer, Proposing)
