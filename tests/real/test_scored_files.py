"""Official annotations and fixtures of the official evaluation codes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kinesphere.annotations.formats.ava import read_ava, read_label_map
from kinesphere.annotations.timed import Detection, TimedLabels
from kinesphere.annotations.timed_files import read_timed
from kinesphere.evaluate.files.boxes import score_boxes
from kinesphere.evaluate.files.detection_errors import errors_of
from kinesphere.evaluate.files.detections import Counted, hold, score_detections
from kinesphere.evaluate.files.proposals import score_proposals
from kinesphere.evaluate.files.tracks import read_tracks, score_tracks
from kinesphere.evaluate.files.video_classifier import Fusing, fuse_classifier, read_video_scores

pytestmark = pytest.mark.real
ROOT = os.environ.get("KINESPHERE_TEST_DATA")
if not ROOT:
    pytest.skip("KINESPHERE_TEST_DATA names no folder of test data", allow_module_level=True)

METRICS = Path(ROOT or "", "metrics")
LOCALIZATION = Path(ROOT or "", "localization")
THUMOS = LOCALIZATION / "thumos14" / "annotations"


def expected(folder: Path) -> Any:
    return json.loads((folder / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", ["plain", "edge", "ties"])
def test_activitynet_as_the_official_code(case: str) -> None:
    folder = METRICS / f"activitynet_map_{case}"
    wanted = expected(folder)
    predictions, truth = (read_timed(folder / f"{name}.json") for name in ("predictions", "ground_truth"))
    found = score_detections(
        predictions,
        truth,
        "activitynet",
        thresholds=wanted["thresholds"],
        counted=Counted(subset="validation"),
    )
    assert found.per_class.keys() == {*wanted["classes"]}
    for label, values in wanted["ap"].items():
        ours = [found.per_class[label][f"ap@{t:g}"] for t in wanted["thresholds"]]
        if case == "ties":
            low, high = (wanted[f"ap_{end}_over_tie_orders"][label] for end in ("min", "max"))
            assert all(a - 1e-9 <= ap <= b + 1e-9 for a, ap, b in zip(low, ours, high, strict=True))
        else:
            assert ours == pytest.approx(values, abs=1e-9)
    if case != "ties":
        assert found.scores["map"].value == pytest.approx(wanted["average_mAP"], abs=1e-9)
    if case == "edge":  # the official code divides 0 by 0 here, and comes to the same
        zero = wanted["zero_length_prediction_on_zero_length_truth"]
        one = zero["added"]
        added = Detection(one["video"], one["label"], *one["segment"], score=one["score"])
        more = TimedLabels((*predictions.labels, added), predictions.videos)
        again = score_detections(
            more, truth, "activitynet", thresholds=wanted["thresholds"], counted=Counted(subset="validation")
        )
        ours = [again.per_class[one["label"]][f"ap@{t:g}"] for t in wanted["thresholds"]]
        assert ours == pytest.approx(zero["ap_of_that_class"], abs=1e-9)


@pytest.mark.parametrize("case", ["plain", "ties"])
def test_ava_as_the_official_code(case: str) -> None:
    folder = METRICS / f"ava_map_{case}"
    wanted = expected(folder)
    boxes, truth = (read_ava(folder / f"{name}.csv") for name in ("detections", "ground_truth"))
    found = score_boxes(boxes, truth, names=read_label_map(folder / "label_map.pbtxt"))
    known = {label: ap for label, ap in wanted["ap"].items() if ap is not None}
    assert {label: row["ap"] for label, row in found.per_class.items()} == pytest.approx(known, abs=1e-9)
    assert found.scores["map"].value == pytest.approx(wanted["mAP"], abs=1e-9)


def test_thumos14_has_its_official_counts() -> None:
    for subset, videos, instances, ambiguous in (("test", 213, 3358, 99), ("validation", 200, 3007, 89)):
        labels = read_timed(THUMOS / f"temporal_annotations_{subset}")
        doubtful = sum(each.label == "Ambiguous" for each in labels.labels)
        assert (len(labels.videos), len(labels) - doubtful, doubtful) == (videos, instances, ambiguous)
    truth = read_timed(THUMOS / "temporal_annotations_test")
    perfect = TimedLabels.of(
        Detection(each.video, each.label, each.start_s, each.end_s, score=0.5) for each in truth.labels
    )
    for name, instances in (("213", 3358), ("212", 3358), ("211", 3329), ("210", 3311)):
        found = score_detections(perfect, truth, "thumos14", counted=Counted(videos=name))
        assert (found.counts["videos"], found.counts["instances"]) == (int(name), instances)
        assert found.scores["map"].value == 1
    table = read_timed(LOCALIZATION / "thumos14" / "test_Annotation.csv")
    assert len(table) == len(truth)


def test_activitynet_sample_on_the_local_annotations() -> None:
    folder = LOCALIZATION / "activitynet"
    given, truth = (
        read_timed(folder / f"{name}.json") for name in ("sample_detection_prediction", "anet_anno_action")
    )
    options: dict[str, Any] = {"videos": str(folder / "video_info_new.csv"), "subset": "validation"}
    found = score_detections(given, truth, "activitynet", counted=Counted(**options, unknown="drop"))
    assert round(found.scores["map"].value, 4) == 1
    assert (found.counts["videos"], found.counts["instances"]) == (4728, 7293)
    assert len(found.unknown_videos) == 198
    assert found.counts["zero_length_instances"] == 3
    assert found.counts["instances_beyond_the_video"] == 71
    assert found.counts["near_duplicate_instances"] == 19
    unfiltered = score_detections(given, truth, "activitynet", counted=Counted(**options, unknown="count"))
    assert round(unfiltered.scores["map"].value, 4) == 0.9774
    assert all(0 <= row["ap"] <= 1 for row in unfiltered.per_class.values() if row["ap"] is not None)


@pytest.mark.parametrize("case", ["plain", "edge", "ties"])
def test_proposals_as_the_official_code(case: str) -> None:
    folder = METRICS / f"activitynet_map_{case}"
    wanted = expected(folder)["proposals"]
    proposals, truth = (read_timed(folder / f"{name}.json") for name in ("predictions", "ground_truth"))
    options: dict[str, Any] = {"per_video": 4, "subset": "validation", "thresholds": wanted["thresholds"]}
    found = score_proposals(proposals, truth, **options)
    assert 100 * found.scores["auc"].value == pytest.approx(wanted["area_under_curve_percent"], abs=1e-9)
    assert found.curves["average_recall"] == pytest.approx(wanted["avg_recall"], abs=1e-9)
    assert found.curves["proposals_per_video"] == pytest.approx(wanted["proposals_per_video"], abs=1e-9)


def test_tud_campus_as_motmetrics_and_trackeval() -> None:
    folder = Path(ROOT or "", "tracking", "TUD-Campus")
    wanted = expected(folder)
    found = score_tracks(read_tracks(folder / "test.txt"), read_tracks(folder / "gt.txt"))
    scores = {name: score.value for name, score in found.scores.items()}
    mean = {name.lower(): value for name, value in wanted["trackeval"]["mean"].items()}
    clear = {name: wanted["metrics"][name] for name in ("mota", "idf1", "idp", "idr")}
    assert scores == pytest.approx(mean | clear | {"motp": wanted["trackeval"]["CLEAR"]["MOTP"]}, abs=1e-9)
    counts = {
        "switches": "num_switches", "fragmentations": "num_fragmentations",
        "false_positives": "num_false_positives",
        "false_negatives": "num_misses", "mostly_tracked": "mostly_tracked", "mostly_lost": "mostly_lost",
        "partially_tracked": "partially_tracked", "tracks": "num_unique_objects",
    }  # fmt: skip
    assert {name: found.counts[name] for name in counts} == {
        n: wanted["metrics"][t] for n, t in counts.items()
    }


def test_perfect_detections_of_thumos_have_no_error_though_every_cliff_dive_is_also_a_dive() -> None:
    truth = read_timed(THUMOS / "temporal_annotations_test")
    kept = [each for each in truth.labels if each.label != "Ambiguous"]
    perfect = TimedLabels.of(
        Detection(each.video, each.label, each.start_s, each.end_s, score=0.5) for each in kept
    )
    errors = errors_of(hold(perfect, truth, Counted(videos="212")), "thumos14")
    assert errors.kinds["true_positive"] == len(kept) == 3358
    assert errors.map_n == pytest.approx(1)
    assert not errors.missed.any()
    coverage, length, instances = errors.buckets
    assert errors.unknown(coverage) == 3358  # the folder does not tell how long videos are
    assert sum(row.instances for row in errors.by_bucket(length)) == 3358
    assert sum(row.instances for row in errors.by_bucket(instances)) == 3358
    # Half a length late: too little overlap for tIoU 0.5, too much for background.
    late = TimedLabels.of(
        Detection(
            each.video, each.label, each.start_s + (each.end_s - each.start_s) / 2,
            each.end_s + (each.end_s - each.start_s) / 2, score=0.5,
        )
        for each in kept
    )  # fmt: skip
    moved = errors_of(hold(late, truth, Counted(videos="212")), "thumos14").kinds
    assert moved["localisation"] > 0.9 * 3358
    assert sum(moved.values()) == 3358


def test_activitynets_sample_of_classifications_labels_its_segments() -> None:
    folder = LOCALIZATION / "activitynet"
    scores = read_video_scores(folder / "sample_classification_prediction.json")
    segments = read_timed(folder / "sample_detection_prediction.json")
    proposals = TimedLabels.of(
        Detection(each.video, "proposal", each.start_s, each.end_s, score=1.0) for each in segments.labels
    )
    fused = fuse_classifier(proposals, scores, Fusing(top=1))
    assert fused.agnostic
    assert fused.without_scores == 0
    same = sum(
        ours.label == theirs.label for ours, theirs in zip(fused.results.labels, segments.labels, strict=True)
    )
    # Both samples are the truth; in a few videos two things happen.
    assert (len(segments), same) == (7654, 7647)
    kept = fuse_classifier(segments, scores)
    assert (kept.agnostic, kept.other_labels, len(kept.results)) == (False, 0, 7654)
