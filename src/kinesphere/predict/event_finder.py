"""`EventFinder`: the events of rules in what a model says of whole videos."""

from __future__ import annotations

from dataclasses import dataclass

from kinesphere.predict.events import Event, Fact, Rules, find_events, timeline_facts
from kinesphere.predict.people import PeopleTimelines, action_facts
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.predict.timeline import Timeline


@dataclass(frozen=True)
class EventFinder:
    """Finds events in answers about videos.

    Attributes:
        rules: What to look for.
        rule: How timelines become segments, which are the facts.
    """

    rules: Rules
    rule: SegmentRule = SegmentRule()  # noqa: RUF009 (frozen)

    def facts(self, answer: Timeline | PeopleTimelines) -> list[Fact]:
        """What is known to happen: segments; of people with their boxes, and what they do with objects."""
        if isinstance(answer, Timeline):
            return timeline_facts(answer, self.rule)
        return [*action_facts(answer, self.rule), *answer.facts]

    def find(self, answer: Timeline | PeopleTimelines) -> list[Event]:
        """The events of one video, in the order in which they are complete.

        Raises:
            InvalidSetting: If what meets a rule takes too long to tell (see `MOST_TRIED`).
        """
        return find_events(self.rules, self.facts(answer))
