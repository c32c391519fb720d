"""Events on disk, with their evidence: JSON and CSV; over time ELAN, WebVTT, and tiers beside segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import replacing
from kinesphere.core.rows import write_csv, write_json
from kinesphere.predict.events.fact_files import EVENT_TIER, fact_json
from kinesphere.predict.events.facts import Event, Fact
from kinesphere.predict.segmentation import Segment
from kinesphere.predict.timeline_files import write_segments

EVENT_COLUMNS = ("video", "rule", "start_s", "end_s", "people", "evidence")


def write_events(events: Mapping[str, Sequence[Event]], path: str | Path) -> None:
    """Write events by video as `.csv` or `.json`, with their evidence.

    Raises:
        InvalidSetting: If the suffix is neither.
    """
    path = Path(path)
    with replacing(path) as scratch:
        match path.suffix.lower():
            case ".csv":
                rows = (
                    (video, event.rule, event.start_s, event.end_s, " ".join(map(str, event.people)),
                     "; ".join(map(in_words, event.evidence)))
                    for video, found in events.items()
                    for event in found
                )  # fmt: skip
                write_csv(scratch, EVENT_COLUMNS, rows)
            case ".json":
                plain = [
                    {"video": video, **event_json(each)} for video, found in events.items() for each in found
                ]
                write_json(scratch, {"events": plain}, indent=1)
            case other:
                raise InvalidSetting(f"Events are written as .csv or .json; got {other!r}.")


def write_event_segments(events: Mapping[str, Sequence[Event]], path: str | Path) -> None:
    """Write the events of one video as ELAN (`.eaf`) or WebVTT (`.vtt`), as sure as their least sure fact.

    Raises:
        InvalidSetting: If the suffix is neither, or events are of several videos.
    """
    path = Path(path)
    if path.suffix.lower() not in (".eaf", ".vtt"):
        raise InvalidSetting(f"Events over time are written as .eaf or .vtt; got {path.suffix!r}.")
    if len(events) > 1:
        raise InvalidSetting(
            f"{path.suffix} files are of one video, and the facts are of {len(events)}; write .csv or .json, "
            "or name the facts of one."
        )
    for video, found in events.items() or [(path.stem, ())]:
        write_segments(event_segments(found), path, source=video)


def event_segments(events: Sequence[Event]) -> list[Segment]:
    """Events over time, ordered by start, as sure as their least sure fact."""
    found = [
        Segment(each.rule, each.start_s, each.end_s, min(fact.score for fact in each.evidence))
        for each in events
    ]
    return sorted(found, key=lambda each: (each.start_s, each.end_s))


def event_tiers(events: Sequence[Event]) -> dict[str, list[Segment]]:
    """Events as tiers of an ELAN file that holds what they were found in, one for each rule."""
    tiers: dict[str, list[Segment]] = {}
    for each in event_segments(events):
        tiers.setdefault(f"{EVENT_TIER}{each.label}", []).append(each)
    return tiers


def event_json(event: Event) -> dict[str, Any]:
    """Plain values: rule, start_s, end_s, people, and the facts of the evidence."""
    return {
        "rule": event.rule,
        "start_s": event.start_s,
        "end_s": event.end_s,
        "people": list(event.people),
        "evidence": [fact_json(fact) for fact in event.evidence],
    }


def in_words(fact: Fact) -> str:
    """`person 1 run 3.00-5.50 s`."""
    who = "" if fact.person is None else f"person {fact.person} "
    whom = "" if fact.other is None else f" ({fact.other})"
    return f"{who}{fact.label}{whom} {fact.start_s:.2f}-{fact.end_s:.2f} s"
