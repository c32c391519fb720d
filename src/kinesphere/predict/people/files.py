"""What people do on disk: JSON, CSV, Parquet, ELAN with a tier a person, WebVTT; and as rows for pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kinesphere.annotations.kept_labels import refuse_to_lose
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import replacing
from kinesphere.core.rows import write_csv, write_json, write_parquet
from kinesphere.predict.events.facts import Fact
from kinesphere.predict.files.registry import TimelineRow
from kinesphere.predict.people.answer import PeopleTimelines
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.predict.segmentation import Segment, segments
from kinesphere.predict.timeline_files import elan_tiers, web_vtt

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

    Facts about objects go with them; in ELAN each person and fact has a tier.

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
                    f"What people do is written as .json, .csv, .parquet, .eaf or .vtt; got {other!r}."
                )


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
