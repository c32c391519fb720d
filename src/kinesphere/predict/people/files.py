"""What people do on disk: JSON, CSV, AVA's CSV, Parquet, ELAN with a tier a person, WebVTT; and as rows for
pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.annotations.kept_labels import refuse_to_lose
from kinesphere.annotations.keyframe_files import corners, csv_field
from kinesphere.annotations.timed import video_name
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import replacing
from kinesphere.core.rows import write_csv, write_json, write_parquet
from kinesphere.predict.events.facts import Fact
from kinesphere.predict.files.registry import TimelineRow
from kinesphere.predict.people.answer import PeopleTimelines
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.predict.segmentation import Segment, segments
from kinesphere.predict.timeline_files import elan_tiers, web_vtt

AVA = ".ava.csv"
COLUMNS = (
    "person", "label", "start_s", "end_s", "probability", "runner_up", "runner_up_probability", "other",
)  # fmt: skip
_NO_MORE: Mapping[str, Sequence[Segment]] = {}
_KINDS = {"label": str, "runner_up": str, "person": int, "other": int}


def person_rows(
    people: PeopleTimelines,
    rule: SegmentRule = SegmentRule(),  # noqa: B008 (frozen)
) -> tuple[TimelineRow, ...]:
    """A row of segments for each person, and one for what it does with objects where there are facts of that.

    Args:
        people: What everybody does.
        rule: How timelines become segments.
    """
    rows = []
    for each in people:
        name = f"{each.track.label} {each.person}"
        rows.append(TimelineRow(name, tuple(segments(each.timeline, rule))))
        own = [_segment(fact) for fact in people.facts if fact.person == each.person]
        if own:
            rows.append(TimelineRow(f"{name}: objects", tuple(own)))
    return tuple(rows)


def action_facts(
    people: PeopleTimelines,
    rule: SegmentRule = SegmentRule(),  # noqa: B008 (frozen)
) -> list[Fact]:
    """The segments of everybody as facts, in order of time, each with the mean of the person's box in it.

    Args:
        people: What everybody does.
        rule: How timelines become segments.
    """
    height, width = people.frame_size
    found = []
    for each in people:
        times = people.frame_times[each.track.frames - 1]
        for segment in segments(each.timeline, rule):
            during = (times >= segment.start_s) & (times < segment.end_s)
            box = None
            if during.any():
                mean = each.track.boxes[during].mean(0) / (width, height, width, height)
                left, top, right, bottom = mean.tolist()
                box = (left, top, right, bottom)
            span = segment.start_s, segment.end_s
            found.append(Fact(segment.label, *span, each.person, score=segment.probability, box=box))
    return sorted(found, key=lambda fact: (fact.start_s, fact.end_s, fact.person or 0))


def write_people(
    people: PeopleTimelines,
    path: str | Path,
    *,
    rule: SegmentRule = SegmentRule(),  # noqa: B008 (frozen)
    date: datetime | None = None,
    more: Mapping[str, Sequence[Segment]] = _NO_MORE,
) -> None:
    """Write everybody's segments as `.json`, `.csv`, `.parquet`, `.eaf` (ELAN) or `.vtt` (WebVTT).

    Facts about objects go with them; in ELAN each person and fact has a tier. `.ava.csv` has no segments but
    a line for each person, label and whole second, with the person's box and the label's probability.

    Args:
        people: What everybody does.
        path: The suffix chooses the format.
        rule: How timelines become segments.
        date: Stamp of an ELAN file; None means now.
        more: What else an ELAN file holds, by the names of its tiers.

    Raises:
        InvalidSetting: If the suffix is none of these.
    """
    path = Path(path)
    refuse_to_lose(path)
    with replacing(path) as scratch:
        if path.name.lower().endswith(AVA):
            scratch.write_text("".join(f"{line}\n" for line in ava_rows(people)), encoding="utf-8")
            return
        match path.suffix.lower():
            case ".json":
                write_json(scratch, _plain(people, rule), indent=1)
            case ".csv":
                rows = _table(people, rule)
                write_csv(scratch, COLUMNS, ([row[name] for name in COLUMNS] for row in rows))
            case ".parquet":
                write_parquet(scratch, COLUMNS, _table(people, rule), _KINDS)
            case ".eaf":
                tiers = {**_tiers(people, rule), **more}
                scratch.write_bytes(elan_tiers(tiers, people.source, date or datetime.now(UTC)))
            case ".vtt":
                cues = [
                    replace(each, label=f"{row.name}: {each.label}")
                    for row in person_rows(people, rule)
                    for each in row.segments
                    if isinstance(each, Segment)
                ]
                cues.sort(key=lambda each: (each.start_s, each.end_s))
                scratch.write_text(web_vtt(cues), encoding="utf-8")
            case other:
                raise InvalidSetting(
                    "What people do is written as .json, .csv, .ava.csv, .parquet, .eaf or .vtt; got "
                    f"{other!r}."
                )


def ava_rows(people: PeopleTimelines) -> list[str]:
    """Lines of AVA's form: video, second, box as fractions of the frame, number of the label, probability.

    A person's answer at a whole second is that of the window that holds it, of several the one whose middle
    is nearest.
    """
    height, width = people.frame_size
    found: list[tuple[int, int, str]] = []
    for each in people:
        times = people.frame_times[each.track.frames - 1]
        spans, labels = each.timeline.spans, each.timeline.labels
        numbers = people.numbers or {name: at for at, name in enumerate(labels.names, 1)}
        for second in range(math.ceil(spans[0, 0] - 1e-6), math.ceil(spans[-1, 1] - 1e-6)):
            holding = np.flatnonzero((spans[:, 0] <= second + 1e-6) & (spans[:, 1] > second + 1e-6))
            shown = int(np.searchsorted(times, second + 1e-3)) - 1
            if not len(holding) or shown < 0:
                continue
            window = holding[np.abs(spans[holding].mean(1) - second).argmin()]
            box = corners((each.track.boxes[shown] / (width, height, width, height)).tolist())
            head = f"{csv_field(video_name(people.source))},{second:04d},{box}"
            row = each.timeline.probabilities[window].tolist()
            found += [
                (second, each.person, f"{head},{numbers[name]},{score:.6f}")
                for name, score in zip(labels.names, row, strict=True)
            ]
    return [line for _, _, line in sorted(found, key=lambda each: each[:2])]


def _plain(people: PeopleTimelines, rule: SegmentRule) -> dict[str, Any]:
    everybody = [
        {
            "person": each.person,
            "label": each.track.label,
            "breaks": [asdict(at) for at in each.breaks],
            "segments": [
                {"person": each.person, **asdict(segment)} for segment in segments(each.timeline, rule)
            ],
        }
        for each in people
    ]
    return {
        "source": people.source,
        "people": everybody,
        "facts": [asdict(fact) for fact in people.facts],
        "notes": list(people.notes),
    }


def _table(people: PeopleTimelines, rule: SegmentRule) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"person": each.person, **asdict(segment), "other": None}
        for each in people
        for segment in segments(each.timeline, rule)
    ]
    rows += [{"person": fact.person, **asdict(_segment(fact)), "other": fact.other} for fact in people.facts]
    return sorted(rows, key=lambda row: (row["start_s"], row["end_s"], row["person"]))


def _tiers(people: PeopleTimelines, rule: SegmentRule) -> dict[str, list[Segment]]:
    """By name of a tier its segments, of which none overlap."""
    tiers: dict[str, list[Segment]] = {}
    for each in people:
        name = f"{each.track.label} {each.person}"
        if not each.timeline.labels.multi:
            tiers[name] = segments(each.timeline, rule)
            continue
        for segment in segments(each.timeline, rule):
            tiers.setdefault(f"{name} {segment.label}", []).append(segment)
    for fact in people.facts:
        tiers.setdefault(f"person {fact.person} {fact.label} {fact.other}", []).append(_segment(fact))
    return tiers


def _segment(fact: Fact) -> Segment:
    return Segment(fact.label, fact.start_s, fact.end_s, fact.score)
