"""What each person of a video does, and what it does with objects."""

from kinesphere.predict.people.answer import (
    PeopleSettings,
    PeopleTimelines,
    PersonTimeline,
    people_timelines,
)
from kinesphere.predict.people.crops import CropRules
from kinesphere.predict.people.drawn import PeopleOverlay, annotate_people
from kinesphere.predict.people.files import action_facts, person_rows, write_people
from kinesphere.predict.people.objects import ObjectRules, object_facts
from kinesphere.predict.people.paths import Break, BreakRules, united

__all__ = [
    "Break",
    "BreakRules",
    "CropRules",
    "ObjectRules",
    "PeopleOverlay",
    "PeopleSettings",
    "PeopleTimelines",
    "PersonTimeline",
    "action_facts",
    "annotate_people",
    "object_facts",
    "people_timelines",
    "person_rows",
    "united",
    "write_people",
]
