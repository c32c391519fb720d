"""Answers on the screen: the segments of a timeline, and several models side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kinesphere.apps.cli.console import console, say, tinted
from kinesphere.core.text import visible

if TYPE_CHECKING:
    from kinesphere.predict import Prediction, SegmentRule, Timeline, VideoPredictor
    from kinesphere.predict.bulk import Answer, SideBySide
    from kinesphere.predict.events import Event
    from kinesphere.predict.people import PeopleTimelines


def show_segments(timeline: Timeline, rule: SegmentRule) -> None:
    """The segments of a timeline, a line each, and how many windows none speaks of."""
    from kinesphere.predict.segmentation import below, segments

    screen = console()
    for part in segments(timeline, rule):
        times = f"{part.start_s:9.2f} – {part.end_s:9.2f} s"
        rival = f"  ({part.runner_up} {part.runner_up_probability:.1%})" if part.runner_up else ""
        screen.print(f"  {times}  {part.probability:6.1%}  {part.label}{rival}", soft_wrap=True)
    for line in below(timeline, rule).lines:
        screen.print(tinted("  ", ("note", "yellow"), f" {line}"), soft_wrap=True)


def show_people(people: PeopleTimelines, rule: SegmentRule) -> None:
    """The segments of each person, what people do with objects, and what makes it doubtful."""
    screen = console()
    screen.print(tinted((people.source, "bold"), f"  {len(people)} people"), soft_wrap=True)
    for each in people:
        start_s, end_s = (float(people.frame_times[each.track.frames[at] - 1]) for at in (0, -1))
        span = f"  {start_s:.2f} – {end_s:.2f} s"
        screen.print(tinted((f"{each.track.label} {each.person}", "bold"), span), soft_wrap=True)
        show_segments(each.timeline, rule)
        for fact in people.facts:
            if fact.person == each.person:
                times = f"{fact.start_s:9.2f} – {fact.end_s:9.2f} s"
                screen.print(f"  {times}          {fact.label} ({fact.other})", soft_wrap=True)
    for note in people.notes:
        screen.print(tinted("  ", ("note", "yellow"), f" {note}"), soft_wrap=True)


def show_events(found: Mapping[str, Sequence[Event]], *, most: int = 200) -> None:
    """A table of the events of videos with their evidence, and how many there are."""
    from rich.table import Table
    from rich.text import Text

    from kinesphere.predict.events import in_words

    rows = [(video, event) for video, several in found.items() for event in several]
    if rows:
        screen = console()
        table = Table("video", "event", "from, s", "to, s", "people", "evidence")
        for video, event in rows[:most]:
            evidence = "\n".join(visible(in_words(each), line=True) for each in event.evidence)
            people = ", ".join(map(str, event.people)) or "–"
            times = f"{event.start_s:.2f}", f"{event.end_s:.2f}"
            table.add_row(*map(Text, (video, event.rule, *times, people, evidence)))
        screen.print(table)
        if len(rows) > most:
            screen.print(f"    … and {len(rows) - most} more events (see --json)")


def why_rejected(answer: Prediction) -> str:
    """Why an answer is that it is none of what the model knows; empty for any other answer."""
    rule = answer.rejection
    if rule is None or not answer.is_rejected:
        return ""
    best = max(rule.known(answer.labels), key=answer.__getitem__)
    needs = f"; an answer needs {rule.threshold:.1%}" if answer[best] < rule.threshold else ""
    return f"  (the likeliest movement, {best}, has {answer[best]:.1%}{needs})"


def show_side_by_side(answers: SideBySide, top: int, rule: SegmentRule) -> None:
    """One table with a column of best labels for each model; of timelines each model's segments in turn."""
    from rich.table import Table
    from rich.text import Text

    from kinesphere.predict import Prediction, Timeline

    screen = console()
    spans = dict.fromkeys(each.span for each in answers.answers.values() if isinstance(each, Prediction))
    times = ", ".join(f"{start_s:.2f} – {end_s:.2f} s" for start_s, end_s in spans)
    screen.print(tinted((answers.source, "bold"), f"  {times}"), soft_wrap=True)
    for name, answer in answers.answers.items():
        if isinstance(answer, Timeline):
            screen.print(tinted("  ", (name, "cyan")), soft_wrap=True)
            show_segments(answer, rule)
    columns = {
        name: _column(answer, top)
        for name, answer in answers.answers.items()
        if not isinstance(answer, Timeline)
    }
    if any(isinstance(answer, Prediction) for answer in answers.answers.values()):
        table = Table(box=None, padding=(0, 1))
        table.add_column("")
        for name in _short(list(columns)):
            table.add_column(Text(name), overflow="fold")
        for row in range(max(map(len, columns.values()))):
            cells = [Text(column[row]) if row < len(column) else Text() for column in columns.values()]
            table.add_row(str(row + 1), *cells)
        screen.print(table)
    for name, answer in answers.answers.items():
        whole = answer.mean() if isinstance(answer, Timeline) else answer
        for note in whole.notes if isinstance(whole, Prediction) else ():
            screen.print(tinted("  ", ("note", "yellow"), f" {name}: {note}"), soft_wrap=True)


def _short(names: list[str]) -> list[str]:
    """The names of models without folders and ending, where that still tells all apart."""
    short = [Path(name).name.removesuffix(".safetensors") or name for name in names]
    return short if len(set(short)) == len(short) else names


def _column(answer: Answer, top: int) -> list[str]:
    """The best labels of one model with their probabilities; a dash where it has no answer."""
    from kinesphere.predict import Prediction

    if not isinstance(answer, Prediction):
        return ["–"]
    lines = [f"{probability:6.1%} {label}" for label, probability in answer.top(top)]
    return lines if answer.rejection is None else [*lines, f"answer: {answer.answer}"]


def introduce(predictor: VideoPredictor | None, *, to_stderr: bool) -> None:
    """Say which recogniser answers where none was named, what it knows and what it does not."""
    from kinesphere.predict import BoxPredictor

    if isinstance(predictor, BoxPredictor):
        for line in predictor.about():
            say("note", "yellow", line, to_stderr=to_stderr)
