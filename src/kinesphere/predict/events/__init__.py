"""Events: activities of one or several people that rules put together from facts."""

from kinesphere.predict.events.facts import Event, Fact
from kinesphere.predict.events.matcher import Matcher, find_events
from kinesphere.predict.events.rules import Rules

__all__ = ["Event", "Fact", "Matcher", "Rules", "find_events"]
