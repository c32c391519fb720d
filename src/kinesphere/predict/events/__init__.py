"""Events: activities of one or several people that a rule puts together from facts."""

from kinesphere.predict.events.facts import Event, Fact

__all__ = ["Event", "Fact"]
