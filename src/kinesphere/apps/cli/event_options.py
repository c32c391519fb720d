"""The option that looks for events of rules in what is predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinesphere.apps.cli.console import say
from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from kinesphere.core.labels import LabelSet
    from kinesphere.predict import SegmentRule
    from kinesphere.predict.bulk import SideFiles
    from kinesphere.predict.event_finder import EventFinder

EventRules = Annotated[
    Path | None,
    typer.Option(
        "--events",
        metavar="FILE",
        help="YAML rules of events (docs/events.md) that are looked for in each video's segments: shown, in "
        "the records of --out and --json, and beside each file of --segments as NAME.events.json; ELAN, "
        "pictures and pages show them too.",
        show_default=False,
    ),
]
ENDING = ".events.json"


def with_events(
    rules: Path | None, segments: SegmentRule, files: SideFiles
) -> tuple[EventFinder | None, SideFiles]:
    """What finds events by the rules of a file, and where they are written as well; None without.

    Raises:
        InvalidSetting: If the rules are wrong, or two videos would have one file.
    """
    from kinesphere.predict.event_finder import EventFinder
    from kinesphere.predict.events import Rules

    if rules is None:
        return None, files
    return EventFinder(Rules.load(rules), segments), replace(files, events=event_files(files.segments))


def event_files(segments: Mapping[str, Sequence[Path]]) -> dict[str, Path]:
    """The file of events beside the first file of segments of each video.

    Raises:
        InvalidSetting: If one of them is the file of another video's segments.
    """
    from kinesphere.predict.timeline_files import TOOLS

    found = {}
    for source, (path, *_) in segments.items():
        kind = next((each for each in TOOLS if path.name.lower().endswith(each)), path.suffix)
        found[source] = path.with_name(path.name[: len(path.name) - len(kind)] + ENDING)
    both = {*found.values()} & {path for several in segments.values() for path in several}
    if both or len({*found.values()}) < len(found):
        clash = min(both or found.values())
        raise InvalidSetting(
            f"The events of a video would lie in {clash}, which is the file of another one; rename a video."
        )
    return found


def say_doubts(
    finder: EventFinder | None, labels: LabelSet, *, people: bool = False, tracks: bool = False
) -> None:
    """Say what the rules ask for that is not known of the videos.

    Raises:
        LabelMismatch: If they speak of a label that cannot occur.
    """
    from kinesphere.predict.events import check_rules
    from kinesphere.predict.people.objects import VERBS

    if finder is None:
        return
    with_things = VERBS if people and tracks else ()
    for note in check_rules(finder.rules, labels, "the model", people=people, with_things=with_things):
        say("note", "yellow", note, to_stderr=True)
