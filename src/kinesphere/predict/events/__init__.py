"""Events: activities of one or several people that rules put together from facts."""

from kinesphere.predict.events.fact_files import (
    event_json,
    in_words,
    read_facts,
    write_event_segments,
    write_events,
    write_facts,
)
from kinesphere.predict.events.facts import Event, Fact
from kinesphere.predict.events.matcher import Matcher, find_events
from kinesphere.predict.events.observed import StreamFacts, timeline_facts
from kinesphere.predict.events.rules import Rules

__all__ = [
    "Event",
    "Fact",
    "Matcher",
    "Rules",
    "StreamFacts",
    "event_json",
    "find_events",
    "in_words",
    "read_facts",
    "timeline_facts",
    "write_event_segments",
    "write_events",
    "write_facts",
]
