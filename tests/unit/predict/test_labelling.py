"""What to annotate next: windows without annotations, the least sure first, spread over videos."""

from __future__ import annotations

import numpy as np
import pytest

from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.predict.labelling import TIER, covered, least_sure, to_correct, unsure
from kinesphere.predict.timeline import Timeline

NOTHING = TimedLabels((), ())


def timeline(source: str, best: list[float], *, stride_s: float = 10.0) -> Timeline:
    """Windows of 10 s with the probability of the first of two labels."""
    p = np.array(best)
    starts = stride_s * np.arange(len(p))
    return Timeline(
        np.stack([p, 1 - p], axis=1), np.stack([starts, starts + 10], axis=1), LabelSet(("a", "b")), source
    )


def test_entropy_and_margin_by_hand() -> None:
    labels = LabelSet(("a", "b", "c"))
    p = np.array([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.25, 0.25]])
    found = Timeline(p, np.array([[0.0, 1.0]] * 3), labels, "v.mp4")
    assert np.allclose(unsure(found, "entropy"), [0, 1, 1.5 * np.log(2) / np.log(3)], atol=1e-9)
    assert np.allclose(unsure(found, "margin"), [0, 1, 0.75])
    several = Timeline(
        np.array([[0.5, 0.9], [1.0, 0.0]]), np.array([[0.0, 1.0]] * 2), LabelSet(("a", "b"), multi=True), "v"
    )
    assert np.allclose(unsure(several, "entropy"), [1, 0], atol=1e-9)
    assert np.allclose(unsure(several, "margin"), [1, 0], atol=1e-9)


def test_overlapping_annotations_cover_once() -> None:
    spans = np.array([[0.0, 10.0], [10.0, 20.0], [4.0, 14.0]])
    labels = [TimedLabel("v", "a", 0, 4), TimedLabel("v", "b", 2, 5), TimedLabel("v", "a", 19, 30)]
    assert covered(spans, labels).tolist() == [0.5, 0.1, 0.1]
    assert covered(spans, []).tolist() == [0, 0, 0]


def test_what_is_annotated_is_not_asked_again() -> None:
    answers = [timeline("x/v.mp4", [0.5, 0.6, 0.9])]
    annotated = TimedLabels.of([TimedLabel("v", "b", 0, 5), TimedLabel("w", "b", 10, 30)])
    found = least_sure(answers, annotated, count=9)
    assert [(each.start_s, each.label, each.runner_up) for each in found] == [(10, "a", "b"), (20, "a", "b")]
    assert least_sure(answers, TimedLabels.of([TimedLabel("", "b", 0, 30)]), count=9) == []


def test_one_video_does_not_take_the_whole_list() -> None:
    answers = [timeline("hard.mp4", [0.5, 0.51, 0.52, 0.53]), timeline("easy.mp4", [0.3, 0.95])]
    spread = [each.source for each in least_sure(answers, NOTHING, count=3)]
    assert spread == ["hard.mp4", "easy.mp4", "hard.mp4"]
    plain = [each.source for each in least_sure(answers, NOTHING, count=3, diversity=0)]
    assert plain == ["hard.mp4"] * 3


def test_windows_that_are_chosen_do_not_overlap() -> None:
    answers = [timeline("v.mp4", [0.5, 0.51, 0.52, 0.53], stride_s=5.0)]
    found = least_sure(answers, NOTHING, count=9)
    assert [each.start_s for each in found] == [0, 10]


def test_windows_for_a_tool_have_their_scores() -> None:
    (label,) = to_correct(least_sure([timeline("x/v.mp4", [0.75])], NOTHING, count=1)).labels
    assert label == Detection("v", "a", 0, 10, TIER, score=0.75)
    with pytest.raises(InvalidSetting, match=r"diversity from 0 to below 1; got 1, 0.5, 1"):
        least_sure([], NOTHING, count=1, diversity=1)
