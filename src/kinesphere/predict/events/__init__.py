"""Events: activities of one or several people that rules put together from facts."""

from kinesphere.predict.events.doubts import check_rules, doubts
from kinesphere.predict.events.event_files import (
    event_json,
    event_segments,
    event_tiers,
    in_words,
    write_event_segments,
    write_events,
)
from kinesphere.predict.events.fact_files import read_facts, write_facts
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
    "check_rules",
    "doubts",
    "event_json",
    "event_segments",
    "event_tiers",
    "find_events",
    "in_words",
    "read_facts",
    "timeline_facts",
    "write_event_segments",
    "write_events",
    "write_facts",
]
