"""What `kinesphere predict` shows of each answer, and writes beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinesphere.apps.cli.answers import (
    show_events,
    show_people,
    show_segments,
    show_side_by_side,
    why_rejected,
)
from kinesphere.apps.cli.console import console, end, print_json_line, say, tinted
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.skipped import Skipped

if TYPE_CHECKING:
    from kinesphere.predict import Prediction, Timeline
    from kinesphere.predict.bulk import Answer, SideBySide, SideOutputs
    from kinesphere.predict.event_finder import EventFinder
    from kinesphere.predict.events import Event
    from kinesphere.predict.people import PeopleTimelines

BAR = 32


@dataclass
class Screen:
    """Shows each answer as it comes, with the files beside it written, and the failures at the end."""

    as_json: bool
    top: int
    outputs: SideOutputs
    finder: EventFinder | None = None
    _skipped: list[Skipped] = field(default_factory=list)

    def settings(self) -> dict[str, Any]:
        """What the records of a resumable output depend on beside the model and its windows."""
        if self.finder is None:
            return {}
        return {"events": {"rules": self.finder.rules.digest, "segments": repr(self.finder.rule)}}

    def take(self, answer: Answer | SideBySide) -> dict[str, Any]:
        """Show or keep one answer, write what was asked for beside it, and give its record."""
        from kinesphere.predict.bulk import SideBySide, record_of
        from kinesphere.predict.events import event_json

        record = record_of(answer, self.top)
        events, unfound = self._events(answer)
        if events is not None:
            record["events"] = [event_json(each) for each in events]
        if unfound is not None:
            # What failed is no record: it is tried again the next time.
            record["error"] = unfound.reason
        if self.as_json:
            print_json_line(record)
        if isinstance(answer, SideBySide):
            self._skipped += answer.failures
            if not self.as_json:
                show_side_by_side(answer, self.top, self.outputs.rule)
        elif isinstance(answer, Skipped):
            self._skipped.append(answer)
        else:
            self._say(answer, events)
            problems = (self.outputs.write(answer, events), unfound)
            self._skipped += [each for each in problems if each is not None]
        return record

    def _events(self, answer: Answer | SideBySide) -> tuple[list[Event] | None, Skipped | None]:
        """The events of a video; None where none are asked for, or with why they cannot be told."""
        from kinesphere.predict import Timeline
        from kinesphere.predict.people import PeopleTimelines

        if self.finder is None or not isinstance(answer, Timeline | PeopleTimelines):
            return None, None
        try:
            return self.finder.find(answer), None
        except InvalidSetting as error:
            return None, Skipped(answer.source, f"no events: {error}")

    def _say(self, answer: Prediction | Timeline | PeopleTimelines, events: Sequence[Event] | None) -> None:
        from kinesphere.predict import Timeline
        from kinesphere.predict.people import PeopleTimelines
        from kinesphere.predict.segmentation import below

        if self.as_json:
            if isinstance(answer, Timeline) and answer.source in self.outputs.files.segments:
                silent = below(answer, self.outputs.rule)
                if silent.windows:
                    say("note", "yellow", f"{answer.source}: {silent}", to_stderr=True)
            return
        if isinstance(answer, PeopleTimelines):
            show_people(answer, self.outputs.rule)
        else:
            self._show(answer)
        if events is not None:
            show_events({answer.source: events})

    def finish(self, already: int, again: int, out: Path | None) -> None:
        """Print what is left to say and leave with the exit code."""
        if not self.as_json:
            if again:
                console().print(
                    f"{again} videos of {out} were predicted again, because files that were asked for were "
                    "missing",
                    soft_wrap=True,
                )
            if already:
                console().print(f"{already} videos were already in {out}", soft_wrap=True)
            for each in self._skipped:
                say("refused", "red", f"{each.path}: {each.reason}")
        end(len(self._skipped))

    def _show(self, answer: Prediction | Timeline) -> None:
        from kinesphere.predict import Timeline

        screen = console()
        whole = answer.mean() if isinstance(answer, Timeline) else answer
        start_s, end_s = whole.span
        by = f"  by {whole.model}" if whole.model else ""
        screen.print(tinted((whole.source, "bold"), f"  {start_s:.2f} – {end_s:.2f} s{by}"), soft_wrap=True)
        if isinstance(answer, Timeline):
            show_segments(answer, self.outputs.rule)
        else:
            width = max(len(name) for name, _ in whole.top(self.top))
            for name, probability in whole.top(self.top):
                bar = "█" * round(BAR * probability)
                screen.print(tinted(f"  {name:<{width}}  {probability:6.1%}  ", (bar, "cyan")))
            if whole.rejection is not None:
                screen.print(
                    tinted("  answer: ", (whole.answer, "bold"), why_rejected(whole)), soft_wrap=True
                )
        for note in whole.notes:
            screen.print(tinted("  ", ("note", "yellow"), f" {note}"), soft_wrap=True)
