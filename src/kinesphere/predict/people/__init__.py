"""What each person of a video does, and what it does with objects."""

from kinesphere.predict.people.answer import (
    PeopleSettings,
    PeopleTimelines,
    PersonTimeline,
    people_timelines,
)
from kinesphere.predict.people.crops import CropRules
from kinesphere.predict.people.paths import Break, BreakRules, united

__all__ = [
    "Break",
    "BreakRules",
    "CropRules",
    "PeopleSettings",
    "PeopleTimelines",
    "PersonTimeline",
    "people_timelines",
    "united",
]
