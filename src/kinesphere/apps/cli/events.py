"""`kinesphere events`: composite activities, by rules, in facts that any program wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinesphere.apps.cli.console import check_file, console, end, print_json, say
from kinesphere.apps.cli.options import Json
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, LabelMismatch
from kinesphere.core.skipped import Skipped

if TYPE_CHECKING:
    from kinesphere.predict.events import Event, Fact, Rules

OUTPUTS = (".csv", ".json", ".eaf", ".vtt")
_SHOWN = 200

RulesFile = Annotated[Path, typer.Argument(help="YAML file of rules (docs/events.md).")]
Facts = Annotated[
    list[Path],
    typer.Argument(
        help="Files of facts: CSV, Parquet or JSON with label, start_s, end_s and what is known of video, "
        "person, other, score and box; or timed labels as `kinesphere score segments` reads them."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="Write the events: .csv or .json with their evidence, of one video also .eaf or .vtt."),
]


def events(rules: RulesFile, facts: Facts, out: Out = None, as_json: Json = False) -> None:
    """Find composite activities (who does what before, while, without something else) in files of facts."""
    from kinesphere.predict.events import Rules, find_events

    check_file("--out", out, OUTPUTS)
    _check_inputs_stay(out, [rules, *facts])
    known = Rules.load(rules)
    by_video, notes, skipped = _read(facts)
    found = {video: find_events(known, each) for video, each in by_video.items()}
    notes += _doubts(known, by_video)
    if out is not None:
        _write(found, out)
    if as_json:
        print_json(_plain(found, by_video, notes, skipped))
    else:
        _show(found, by_video)
        for note in notes:
            say("note", "yellow", note)
        for each in skipped:
            say("refused", "red", f"{each.path}: {each.reason}")
    end(len(skipped))


def _check_inputs_stay(out: Path | None, inputs: Sequence[Path]) -> None:
    """Refuse to write the events in place of what they are found in."""
    for each in inputs:
        if out is not None and out.exists() and each.exists() and out.samefile(each):
            raise InvalidSetting(f"--out would overwrite {each} itself; choose another place.")


def _read(files: Sequence[Path]) -> tuple[dict[str, list[Fact]], list[str], list[Skipped]]:
    """The facts of all files by video, what they leave out, and which could not be read."""
    from kinesphere.predict.events import read_facts

    by_video: dict[str, list[Fact]] = {}
    notes: list[str] = []
    skipped: list[Skipped] = []
    for file in files:
        try:
            content = read_facts(file)
        except InvalidAnnotation as error:
            if len(files) == 1:
                raise
            skipped.append(Skipped(str(file), str(error)))
            continue
        notes += content.notes
        for video, each in content.facts.items():
            by_video.setdefault(video, []).extend(each)
    return by_video, notes, skipped


def _doubts(rules: Rules, by_video: Mapping[str, Sequence[Fact]]) -> list[str]:
    """What may be why a rule finds nothing."""
    every = [fact for facts in by_video.values() for fact in facts]
    doubts = []
    try:
        rules.check_labels({fact.label for fact in every}, "these facts")
    except LabelMismatch as error:
        doubts.append(str(error))
    nobody = sum(fact.person is None for fact in every)
    if nobody and rules.asks_for_people:
        doubts.append(
            f"{nobody} of {len(every)} facts are of nobody in particular; they are neither of the same "
            "person as others nor of a different one"
        )
    nowhere = sum(fact.box is None for fact in every)
    if nowhere and rules.asks_for_places:
        doubts.append(f"{nowhere} of {len(every)} facts have no box; they are in no place")
    return doubts


def _write(found: Mapping[str, Sequence[Event]], out: Path) -> None:
    from kinesphere.predict.events import write_event_segments, write_events

    if out.suffix.lower() in (".csv", ".json"):
        write_events(found, out)
    else:
        write_event_segments(found, out)


def _plain(
    found: Mapping[str, Sequence[Event]],
    by_video: Mapping[str, Sequence[Fact]],
    notes: Sequence[str],
    skipped: Sequence[Skipped],
) -> dict[str, Any]:
    from kinesphere.predict.events import event_json

    return {
        "events": [{"video": video, **event_json(each)} for video, all_ in found.items() for each in all_],
        "videos": len(by_video),
        "facts": sum(map(len, by_video.values())),
        "notes": list(notes),
        "skipped": [{"path": each.path, "reason": each.reason} for each in skipped],
    }


def _show(found: Mapping[str, Sequence[Event]], by_video: Mapping[str, Sequence[Fact]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from kinesphere.predict.events import in_words

    count = sum(map(len, found.values()))
    screen = console()
    if count:
        table = Table("video", "event", "from, s", "to, s", "people", "evidence")
        rows = [(video, event) for video, several in found.items() for event in several]
        for video, event in rows[:_SHOWN]:
            evidence = "\n".join(map(in_words, event.evidence))
            people = ", ".join(map(str, event.people)) or "–"
            times = f"{event.start_s:.2f}", f"{event.end_s:.2f}"
            table.add_row(*map(Text, (video, event.rule, *times, people, evidence)))
        screen.print(table)
        if count > _SHOWN:
            screen.print(f"    … and {count - _SHOWN} more events (see --json or --out)")
    facts = sum(map(len, by_video.values()))
    screen.print(f"{count} events in {facts} facts of {len(by_video)} videos", soft_wrap=True)
