"""Windows of long recordings: their spans, and labels that are right at the borders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.annotations.formats.elan import read_elan
from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.data.windows import WindowRule, Windows, windows_of

Elan = Callable[..., str]
TENTHS = st.integers(0, 300)


def labels(*rows: tuple[str, float, float] | tuple[str, float, float, str]) -> TimedLabels:
    """Annotations of the one recording `v`."""
    made = (TimedLabel("v", row[0], row[1], row[2], row[3] if len(row) > 3 else "") for row in rows)
    return TimedLabels(tuple(made), ("v",))


def found(cut: Windows) -> dict[tuple[float, float], tuple[str, ...]]:
    """Labels by window."""
    return {sample.span: sample.labels for sample in cut.samples if sample.span is not None}


def test_a_window_takes_the_label_that_covers_most_of_it() -> None:
    cut = windows_of(labels(("walk", 0, 11), ("run", 11, 20), ("wave", 2, 3)), {"v": 20.0})

    assert found(cut) == {(0, 10): ("walk",), (5, 15): ("walk",), (10, 20): ("run",)}
    assert cut.annotations == {"label": {"run": 1, "walk": 1, "wave": 1}}
    assert cut.counts == {"label": {"run": 1, "walk": 2}}
    assert [(each.path, each.reason) for each in cut.left_out] == [
        ("v, 'wave' at 2–3 s", "labels no window: too short, or beside a longer label")
    ]


@pytest.mark.parametrize(
    ("end_s", "expected"), [(15.0, ("walk",)), (14.999, None)], ids=["just enough", "a millisecond less"]
)
def test_exactly_the_least_overlap_is_enough(end_s: float, expected: tuple[str, ...] | None) -> None:
    cut = windows_of(labels(("walk", 10, end_s)), {"v": 20.0}, WindowRule(stride_s=10))

    assert found(cut).get((10, 20)) == expected
    assert cut.undecided == (expected is None)
    assert cut.untouched == 1


def test_a_label_that_ends_where_a_window_begins_is_not_in_it() -> None:
    rule = WindowRule(stride_s=10, least_overlap=0.1, background="nothing")

    assert found(windows_of(labels(("walk", 0, 10)), {"v": 20.0}, rule)) == {
        (0, 10): ("walk",), (10, 20): ("nothing",),
    }  # fmt: skip


def test_a_short_annotation_labels_a_long_window_by_its_own_length() -> None:
    rule = WindowRule(stride_s=10, least_overlap=0.5, overlap_of="annotation", several="all")
    cut = windows_of(labels(("jump", 9, 11), ("walk", 8, 40), ("clap", 19.4, 20.4)), {"v": 30.0}, rule)

    assert found(cut) == {(0, 10): ("jump",), (10, 20): ("clap", "jump", "walk"), (20, 30): ("walk",)}


@pytest.mark.parametrize(
    ("last", "spans"),
    [
        ("end", [(0, 10), (5, 15), (7.5, 17.5)]),
        ("short", [(0, 10), (5, 15), (10, 17.5)]),
        ("drop", [(0, 10), (5, 15)]),
    ],
)
def test_the_last_window_follows_the_rule(last: str, spans: list[tuple[float, float]]) -> None:
    rule = WindowRule(last=last)  # type: ignore[arg-type]

    assert rule.spans(0.0, 17.5) == spans
    assert rule.spans(0.0, 15.0) == [(0, 10), (5, 15)]
    assert rule.spans(0.0, 4.0) == ([] if last == "drop" else [(0, 4)])


def test_a_recording_that_gives_no_window_is_listed() -> None:
    both = TimedLabels((TimedLabel("a", "walk", 0, 3), TimedLabel("b", "run", 0, 3)), ("a", "b"))
    cut = windows_of(both, {"a": 4.0}, WindowRule(last="drop"))

    assert not cut.samples
    assert {(each.path, each.reason) for each in cut.left_out} >= {
        ("a", "shorter than a window of 10 s"),
        ("b", "its length is not known, because its video is not there"),
    }


def test_a_recording_that_nobody_annotated_is_no_background() -> None:
    two = TimedLabels((TimedLabel("a", "walk", 0, 10),), ("a", "b"))
    cut = windows_of(two, {"a": 20.0, "b": 20.0}, WindowRule(stride_s=10, background="nothing"))

    assert [sample.labels for sample in cut.samples] == [("walk",), ("nothing",)]
    assert [each.path for each in cut.left_out] == ["b"]
    assert "no annotation of the class" in cut.left_out[0].reason
    assert cut.untouched == 2


def test_grades_stand_beside_the_movement_that_they_belong_to() -> None:
    both = labels(("walk", 0, 8, "base"), ("run", 8, 20, "base"), ("strong", 6, 8, "strength"))
    rule = WindowRule(stride_s=10, least_overlap=0.2)
    cut = windows_of(both, {"v": 20.0}, rule, {"label": "base", "strength": "strength"})

    assert [(s.labels, dict(s.extra)) for s in cut.samples] == [
        (("walk",), {"strength": "strong", "parent": "walk"}),
        (("run",), {"strength": "", "parent": ""}),
    ]


def test_several_grades_name_the_parent_of_each() -> None:
    three = labels(
        ("walk", 0, 6, "base"), ("run", 6, 10, "base"), ("strong", 6, 9, "strength"), ("slow", 0, 6, "speed")
    )
    columns = {"label": "base", "strength": "strength", "speed": "speed"}
    (sample,) = windows_of(three, {"v": 10.0}, WindowRule(least_overlap=0.3), columns).samples

    assert dict(sample.extra) == {
        "strength": "strong", "strength_parent": "run", "speed": "slow", "speed_parent": "walk",
    }  # fmt: skip


def test_annotations_behind_the_end_are_told() -> None:
    cut = windows_of(labels(("walk", 0, 12), ("run", 30, 40), ("hop", 5, 5)), {"v": 10.0})

    assert [(each.path, each.reason, each.is_failure) for each in cut.left_out] == [
        ("v, 'walk' at 0–12 s", "ends after the recording, which is 10 s long", False),
        ("v, 'run' at 30–40 s", "lies after the recording, which is 10 s long", True),
        ("v, 'hop' at 5–5 s", "has no length", False),
    ]


def test_a_misspelt_tier_is_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidAnnotation, match=r"no tier 'bse'\. Did you mean 'base'\?.*'base' \(1\)"):
        windows_of(labels(("walk", 0, 8, "base")), {"v": 20.0}, tiers={"label": "bse"})


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"stride_s": 11}, "would leave gaps"),
        ({"least_overlap": 0}, "least overlap is above 0"),
        ({"several": "most"}, "several is largest or all"),
        ({"background": " "}, "background class needs a name"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(settings_: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        WindowRule(**settings_)  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from("abc"), TENTHS, TENTHS, st.sampled_from(["t", "u"])), max_size=8),
    length=st.integers(1, 80),
    stride=st.integers(1, 80),
    tenths=st.integers(1, 300),
    percent=st.integers(1, 100),
    several=st.sampled_from(["largest", "all"]),
    overlap_of=st.sampled_from(["window", "annotation"]),
)
def test_labels_equal_those_counted_tenth_by_tenth(
    rows: list[tuple[str, int, int, str]], length: int, stride: int, tenths: int, percent: int, several: str,
    overlap_of: str,
) -> None:  # fmt: skip
    """Every tenth of a second of every window is looked at, on tiers that overlap and have gaps."""
    rows = [(name, min(a, b), max(a, b), tier) for name, a, b, tier in rows]
    rows.append(("c", 0, 1, "t"))
    rule = WindowRule(
        length / 10, min(stride, length) / 10, percent / 100, "none", overlap_of, several  # type: ignore[arg-type]
    )  # fmt: skip
    timed = labels(*((name, a / 10, b / 10, tier) for name, a, b, tier in rows))
    cut = windows_of(timed, {"v": tenths / 10}, rule, {"label": "t"})

    expected = {}
    for span in rule.spans(0.0, tenths / 10):
        first, last = (round(time_s * 10) for time_s in span)
        covers, enough, touched = {}, [], False
        for name in "abc":
            on = np.zeros(last - first, bool)
            one = False
            for label, a, b, tier in rows:
                if label == name and tier == "t":
                    inside = slice(max(a - first, 0), max(b - first, 0))
                    on[inside] = True
                    count = len(on[inside])
                    one |= count > 0 and 100 * count >= percent * min(b - a, last - first)
            touched |= bool(on.any())
            covers[name] = int(on.sum())
            if on.any() and (100 * on.sum() >= percent * len(on) if overlap_of == "window" else one):
                enough.append(name)
        if several == "all" or not enough:
            expected[span] = tuple(enough) if touched else ("none",)
        else:
            best = max(covers[name] for name in enough)
            expected[span] = tuple(name for name in enough if covers[name] == best)
    answered = found(cut)
    for span, names in expected.items():
        if several == "all" or len(names) < 2:
            assert answered.get(span, ()) == names
        else:
            assert len(answered[span]) == 1
            assert set(answered[span]) <= set(names)
    assert cut.undecided == sum(not names for names in expected.values())
    assert cut.untouched == 0


def test_an_elan_file_with_overlapping_tiers_gaps_and_empty_labels_is_cut(tmp_path: Path, elan: Elan) -> None:
    file = tmp_path / "a.eaf"
    file.write_text(elan({
        "base": [("walk", 0, 6000), ("", 6000, 8000), ("run", 9000, 20000)],
        "effort": [("strong", 4000, 12000)],
    }))  # fmt: skip
    timed = read_elan(file)
    cut = windows_of(timed, {timed.videos[0]: 20.0}, tiers={"label": "base", "effort": "effort"})

    assert [(s.span, s.labels, dict(s.extra)) for s in cut.samples] == [
        ((0, 10), ("walk",), {"effort": "strong", "parent": "walk"}),
        ((5, 15), ("run",), {"effort": "strong", "parent": "run"}),
        ((10, 20), ("run",), {"effort": "", "parent": ""}),
    ]
    assert any("without a text" in note for note in timed.notes)
