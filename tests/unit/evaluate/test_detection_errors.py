"""What is wrong with detections (DETAD): by hand on small cases, and what holds of all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from kinesphere.annotations.formats.activitynet import write_activitynet
from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels
from kinesphere.apps.cli.main import app
from kinesphere.core.errors import InvalidSetting
from kinesphere.evaluate.files.detection_errors import BUCKETS, errors_of
from kinesphere.evaluate.files.detections import Counted, hold, score_detections
from kinesphere.evaluate.files.error_picture import draw_errors
from kinesphere.evaluate.metrics.detection_errors import KINDS, DetectionErrors, buckets_of

Truth = tuple[str, str, float, float]
Found = tuple[str, str, float, float, float]


def truths(*rows: Truth, durations: dict[str, float] | None = None) -> TimedLabels:
    labels = tuple(TimedLabel(*row) for row in rows)
    videos = tuple(dict.fromkeys(each.video for each in labels))
    return TimedLabels(labels, videos, durations or {})


def found(*rows: Found) -> TimedLabels:
    return TimedLabels.of(Detection(*row[:4], score=row[4]) for row in rows)


def kinds(errors: DetectionErrors) -> list[str]:
    return [KINDS[k] for k in errors.kind[:, 0]]


def kinds_one_by_one(given_: TimedLabels, truth: TimedLabels, tiou: float, right: list[bool]) -> list[str]:
    """The definition, for one detection after the other."""
    named = []
    for each, is_right in zip(given_.labels, right, strict=True):
        best, label = 0.0, ""
        for other in truth.labels:
            if other.video == each.video:
                shared = max(0.0, min(each.end_s, other.end_s) - max(each.start_s, other.start_s))
                lengths = each.end_s - each.start_s + other.end_s - other.start_s
                overlap = shared / (lengths - shared)
                if overlap > best or (overlap == best and other.label == each.label):
                    best, label = overlap, other.label
        above, near = ("double_detection", "wrong_label"), ("localisation", "confusion")
        kind = (above if best >= tiou else near)[label != each.label] if best >= 0.1 else "background"
        named.append("true_positive" if is_right else kind)
    return named


TRUTH = truths(("v", "a", 0, 10), ("v", "b", 20, 30), ("w", "a", 0, 20), durations={"v": 100.0, "w": 100.0})
GIVEN = found(
    ("v", "a", 0, 10, 0.99),  # right
    ("v", "a", 1, 10, 0.9),  # of a truth that is taken
    ("v", "a", 20, 29, 0.8),  # overlaps a b by 0.9
    ("v", "b", 20, 24, 0.7),  # overlaps its truth by 0.4
    ("v", "b", 0, 3, 0.6),  # overlaps an a by 0.3
    ("v", "b", 50, 60, 0.5),  # overlaps nothing
    ("w", "a", 0, 18, 0.4),  # right
)


def test_each_kind_of_error_by_hand() -> None:
    errors = errors_of(hold(GIVEN, TRUTH), "thumos14")
    assert kinds(errors) == [
        "true_positive", "double_detection", "wrong_label", "localisation", "confusion", "background",
        "true_positive",
    ]  # fmt: skip
    # a has two truths: its first two detections are the first 2G of rank 1; b has one.
    first, second, third = errors.profile[:3]
    assert (first.detections, second.detections, third.detections) == (3, 3, 1)
    assert first.kinds == dict.fromkeys(KINDS, 0.0) | {
        "true_positive": 1, "double_detection": 1, "localisation": 1,
    }  # fmt: skip
    assert second.kinds["wrong_label"] == second.kinds["true_positive"] == second.kinds["confusion"] == 1
    assert third.kinds["background"] == 1


def test_what_each_error_costs_by_hand() -> None:
    errors = errors_of(hold(GIVEN, TRUTH), "thumos14")
    # a: right, wrong, wrong, right: (1 + 2/4) / 2; b: 0.
    assert errors.map_without(None, normalised=False) == pytest.approx(0.375)
    # Without the double detection: (1 + 2/3) / 2; without the wrong label the same; others are b's.
    assert errors.map_without("double_detection", normalised=False) == pytest.approx(5 / 12)
    assert errors.map_without("wrong_label", normalised=False) == pytest.approx(5 / 12)
    assert errors.map_without("background", normalised=False) == pytest.approx(0.375)
    # N is 3 / 2: precision at recall 1/2 is 1, at recall 1 it is 1.5 / (1.5 + 2).
    assert errors.map_without(None, normalised=True) == pytest.approx((1 + 1.5 / 3.5) / 4)
    assert errors.map_n == pytest.approx((1 + 1.5 / 3.5) / 4)
    document = errors.to_json()
    assert document["map"]["gains"]["double_detection"] == pytest.approx(5 / 12 - 0.375)
    assert document["missed"] == pytest.approx(1 / 3)


def test_ground_truths_by_bucket_by_hand() -> None:
    errors = errors_of(hold(GIVEN, TRUTH), "thumos14")
    coverage, length, instances = (errors.by_bucket(by) for by in errors.buckets)
    assert [(row.name, row.instances) for row in coverage] == [("XL", 3)]
    assert [(row.name, row.range, row.instances) for row in length] == [
        ("M", "6 to 12", 2), ("XL", "above 18", 1),
    ]  # fmt: skip
    # M: of a the first is right, what finds w's is left out: precision 1 at recall 1; b is missed.
    assert (length[0].map_n, length[0].missed) == (pytest.approx(0.5), 0.5)
    # XL: only a has a truth there; it is found after two wrong ones: N / (N + 2) with N = 1.5.
    assert (length[1].map_n, length[1].missed) == (pytest.approx(1.5 / 3.5), 0)
    assert [(row.name, row.range, row.instances) for row in instances] == [("XS", "1", 3)]
    unknown = errors_of(hold(GIVEN, truths(("v", "a", 0, 10)), Counted(unknown="drop")), "activitynet")
    assert not unknown.by_bucket(unknown.buckets[0])
    assert [unknown.unknown(by) for by in unknown.buckets] == [1, 0, 0]
    own = errors_of(hold(GIVEN, TRUTH), "thumos14", buckets=buckets_of((0.5,), (15,), (2,)))
    assert [(row.range, row.instances) for row in own.by_bucket(own.buckets[1])] == [
        ("0 to 15", 2), ("above 15", 1),
    ]  # fmt: skip
    assert BUCKETS["thumos14"][2].ranges() == ("1", "2 to 40", "41 to 80", "81 and more")


def test_of_truths_that_are_overlapped_alike_a_detection_has_its_own() -> None:
    truth = truths(("v", "CliffDiving", 0, 10), ("v", "Diving", 0, 10))
    twice = found(*(("v", label, 0, 9, score) for label in ("Diving", "CliffDiving") for score in (0.9, 0.8)))
    assert kinds(errors_of(hold(twice, truth), "thumos14")) == ["true_positive", "double_detection"] * 2


def test_truths_found_beside_very_many_wrong_ones_are_missed() -> None:
    truth = truths(("v", "a", 0, 10))
    late = [("v", "a", 50.0 + i, 51.0 + i, 0.9) for i in range(30)]
    errors = errors_of(hold(found(*late, ("v", "a", 0, 10, 0.1)), truth), "thumos14")
    assert errors.missed.all()
    assert errors.to_json()["detections_beyond"] == 21
    errors = errors_of(hold(found(*late[:15], ("v", "a", 0, 10, 0.1)), truth), "thumos14")
    assert not errors.missed.any()


def test_what_overlaps_ambiguous_ground_truths_is_of_no_kind() -> None:
    truth = truths(("v", "a", 0, 10), ("v", "Ambiguous", 20, 30))
    given_ = found(("v", "a", 22, 24, 0.9), ("v", "a", 0, 10, 0.5))
    errors = errors_of(hold(given_, truth, Counted(ambiguous="ignore")), "thumos14")
    assert errors.kind[:, 0].tolist() == [-1, 0]
    assert errors.map_n == errors.map_without(None, normalised=False) == 1
    assert kinds(errors_of(hold(given_, truth), "thumos14")) == ["background", "true_positive"]


spans = st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 12), st.integers(1, 6))


@settings(max_examples=20, deadline=None)
@given(st.lists(spans, min_size=1, max_size=8), st.lists(spans, max_size=14))
def test_kinds_add_up_and_perfect_detections_have_no_error(
    annotated: list[tuple[int, ...]], given_: list[tuple[int, ...]]
) -> None:
    truth = truths(*((f"v{v}", "abc"[k], float(s), float(s + n)) for v, k, s, n in dict.fromkeys(annotated)))
    rows = [(f"v{v}", "abc"[k], float(s), float(s + n), 1 - i / 20) for i, (v, k, s, n) in enumerate(given_)]
    errors = errors_of(hold(found(*rows), truth), "thumos14", thresholds=[0.3, 0.7])
    assert sum(errors.kinds.values()) == pytest.approx(errors.looked_at.sum())
    assert [sum(row.kinds.values()) for row in errors.profile] == [row.detections for row in errors.profile]
    for t, tiou in enumerate((0.3, 0.7)):
        known = [each for each in found(*rows).labels if each.label in errors.classes]
        told = kinds_one_by_one(TimedLabels.of(known), truth, tiou, (errors.taken[:, t] >= 0).tolist())
        assert [KINDS[k] for k in errors.kind[:, t]] == told
    everything = score_detections(found(*rows), truth, "thumos14", thresholds=[0.3, 0.7])
    if errors.looked_at.all():
        assert errors.map_without(None, normalised=False) == pytest.approx(everything.scores["map"].value)
    for kind in KINDS[1:]:
        for normalised in (False, True):
            base = errors.map_without(None, normalised=normalised)
            assert errors.map_without(kind, normalised=normalised) >= base - 1e-12
    for by in errors.buckets[1:]:
        assert sum(row.instances for row in errors.by_bucket(by)) == len(truth)
    perfect = found(*((each.video, each.label, each.start_s, each.end_s, 0.5) for each in truth.labels))
    clean = errors_of(hold(perfect, truth), "thumos14", thresholds=[0.3, 1.0])
    assert clean.kinds == dict.fromkeys(KINDS, 0.0) | {"true_positive": len(truth)}
    assert clean.map_n == pytest.approx(1)
    assert not clean.missed.any()
    assert all(row.map_n == pytest.approx(1) for by in clean.buckets for row in clean.by_bucket(by))


def files(folder: Path) -> list[str]:
    write_activitynet(GIVEN, folder / "found.json")
    write_activitynet(TRUTH, folder / "truth.json")
    return ["score", "detections", str(folder / "found.json"), "--truth", str(folder / "truth.json")]


def run(words: list[str]) -> Any:
    return CliRunner().invoke(app, words)


@pytest.mark.slow
def test_the_command_says_what_is_wrong_and_draws_it(tmp_path: Path) -> None:
    words = files(tmp_path)
    for name in ("errors.svg", "errors.png"):
        done = run([*words, "--errors", str(tmp_path / name), "--protocol", "thumos14"])
        assert done.exit_code == 0, done.output
        assert "double detection" in done.output
        assert "length XL" in done.output
        assert (tmp_path / name).stat().st_size > 5000
    drawn = (tmp_path / "errors.svg").read_text()
    assert ">localisation<" in drawn
    assert "found.json: videos: all of the annotations" in drawn
    draw_errors(errors_of(hold(GIVEN, TRUTH), "thumos14"), tmp_path / "again.svg", "found.json: x")
    assert (tmp_path / "again.svg").stat().st_size > 5000
    # The option stands alone anywhere.
    for given_ in ([*words, "--errors", "--json"], [*words[:2], "--errors", *words[2:], "--json"]):
        done = run([*given_, "--protocol", "thumos14"])
        assert json.loads(done.stdout)["errors"] == json.loads(
            json.dumps(errors_of(hold(GIVEN, TRUTH), "thumos14").to_json())
        )
    assert "errors" not in json.loads(run([*words, "--json"]).stdout)


def test_errors_that_cannot_be_told_are_refused(tmp_path: Path) -> None:
    words = files(tmp_path)
    assert "--errors" in str(run([*words, "--errors", str(tmp_path / "x.pdf")]).exception)
    wrong = run([*words, "--errors", "--protocol", "ava"]).exception
    assert "--errors is of timed segments; boxes of --protocol ava have none" in str(wrong)
    with pytest.raises(InvalidSetting, match=r"Errors are drawn as .png or .svg; got x.pdf"):
        draw_errors(errors_of(hold(GIVEN, TRUTH), "thumos14"), tmp_path / "x.pdf")


def test_errors_are_told_without_torch(tmp_path: Path) -> None:
    words = [*files(tmp_path), "--errors", str(tmp_path / "errors.png"), "--json", "--tiou", "0.5"]
    code = (
        "import sys\nfrom kinesphere.apps.cli import main\n"
        f"sys.argv = ['kinesphere', *{words!r}]\n"
        "try: main.run()\nexcept SystemExit: pass\n"
        "assert not {'torch', 'av', 'cv2', 'lightning'} & sys.modules.keys()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert np.isclose(json.loads(ended.stdout)["errors"]["map"]["value"], 0.375)
