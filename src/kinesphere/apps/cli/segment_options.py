"""Options that say how a timeline becomes segments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from kinesphere.annotations.timed import TimedLabels
    from kinesphere.predict import SegmentRule

Threshold = Annotated[
    list[str] | None,
    typer.Option(
        help="Lowest probability of a segment of the timeline; windows below it have none. By default that "
        "from which on the model's file lets an answer count, else 0.5. LABEL=P is that of one label; may be "
        "given more than once.",
        show_default=False,
    ),
]
RuleFile = Annotated[
    Path | None,
    typer.Option("--rule", help="YAML of how a timeline becomes segments; the options below come after it."),
]
Hysteresis = Annotated[
    float | None, typer.Option(help="A segment goes on while its label has this probability or more.")
]
Smooth = Annotated[
    str | None, typer.Option(help="Windows averaged first, an odd number; median5 for their median.")
]
Viterbi = Annotated[
    str | None,
    typer.Option(
        help="Decode the most probable sequence of labels: 2.5s for segments that last so long on average, "
        "0.95 to stay so probably from window to window, or a file of timed annotations to learn from."
    ),
]
NoAction = Annotated[
    list[str] | None, typer.Option(help="A class that means that nothing happens; may be repeated.")
]
MinLength = Annotated[
    float | None, typer.Option(help="Shortest segment in seconds; shorter ones are dropped.")
]
MinGap = Annotated[
    float | None, typer.Option(help="Shortest pause of a label in seconds; over shorter ones it goes on.")
]
Truth = Annotated[
    Path | None,
    typer.Option(help="Timed annotations of the videos, shown above the prediction in pictures and pages."),
]
Picture = Annotated[
    Path | None, typer.Option(help="Folder for pictures of the timelines, or one file: .svg, .png.")
]
Page = Annotated[
    Path | None,
    typer.Option(help="Folder for pages that play a moment of the video at a click, or one .html file."),
]
_SMOOTH = re.compile(r"(mean|median)?\s*([0-9]{1,6})")


def segment_rule(
    file: Path | None,
    threshold: Sequence[str] | None,
    hysteresis: float | None,
    smooth: str | None,
    viterbi: str | None,
    no_action: Sequence[str] | None,
    min_length: float | None,
    min_gap: float | None,
) -> SegmentRule:
    """The rule of a file, of which each option that is given replaces its part.

    Raises:
        InvalidSetting: If an option or the file is wrong.
        InvalidAnnotation: If the file to learn transitions from is wrong.
    """
    from kinesphere.predict.segment_rule import SegmentRule, read_rule, stated_transitions

    rule = SegmentRule() if file is None else read_rule(file)
    given: dict[str, Any] = {"keep": hysteresis, "min_s": min_length, "gap_s": min_gap}
    if no_action:
        given["no_action"] = tuple(no_action)
    if threshold:
        common, singles = _thresholds(threshold)
        given |= {"threshold": common, "thresholds": {**rule.thresholds, **singles}}
    if smooth is not None:
        found = _SMOOTH.fullmatch(smooth.strip().lower())
        if found is None:
            raise InvalidSetting(f"--smooth takes an odd number such as 5, or median5; got {smooth!r}.")
        given |= {"smoothing": found[1] or "mean", "smooth": int(found[2])}
    if viterbi is not None:
        given["viterbi"] = stated_transitions(viterbi, no_action=given.get("no_action", rule.no_action))
    return replace(rule, **{name: value for name, value in given.items() if value is not None})


def read_truth(file: Path | None) -> TimedLabels | None:
    """The annotations of `--truth`, if there are any.

    Raises:
        InvalidAnnotation: If the file cannot be read.
    """
    from kinesphere.annotations.timed_files import read_timed

    return None if file is None else read_timed(file)


def _thresholds(given: Sequence[str]) -> tuple[float | None, dict[str, float]]:
    """The common threshold, the last one that is given, and those of single labels."""
    common, singles = None, {}
    for each in given:
        label, equals, number = each.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            raise InvalidSetting(
                f"--threshold takes a probability, or LABEL=PROBABILITY; got {each!r}."
            ) from None
        if equals:
            singles[label.strip()] = value
        else:
            common = value
    return common, singles
