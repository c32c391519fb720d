"""`kinesphere events`: composite activities, by rules, in facts that any program wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinesphere.apps.cli.answers import show_events
from kinesphere.apps.cli.console import check_file, console, end, print_json, say
from kinesphere.apps.cli.options import Json
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.skipped import Skipped

if TYPE_CHECKING:
    from kinesphere.predict.events import Event, Fact

OUTPUTS = (".csv", ".json", ".eaf", ".vtt")

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
    from kinesphere.predict.events import Rules, doubts, find_events

    check_file("--out", out, OUTPUTS)
    _check_inputs_stay(out, [rules, *facts])
    known = Rules.load(rules)
    by_video, notes, skipped = _read(facts)
    found = {video: find_events(known, each) for video, each in by_video.items()}
    notes += doubts(known, [fact for facts in by_video.values() for fact in facts])
    if out is not None:
        _write(found, out)
    if as_json:
        print_json(_plain(found, by_video, notes, skipped))
    else:
        show_events(found)
        counts = (sum(map(len, each.values())) for each in (found, by_video))
        console().print("{} events in {} facts of {} videos".format(*counts, len(by_video)), soft_wrap=True)
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
