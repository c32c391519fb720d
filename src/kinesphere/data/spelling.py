"""Labels that people typed by hand: renamed, held against the classes that were meant, likely slips told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from kinesphere.annotations.spelling import likely_misspelt
from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.labels import normal
from kinesphere.core.registry import nearest
from kinesphere.core.skipped import Skipped

Unknown = Literal["refuse", "skip"]
"""What becomes of labels that are not among the known ones."""
_LISTED = 20


@dataclass(frozen=True)
class Spelling:
    """How labels are brought into their one spelling.

    Attributes:
        renames: New name of labels; several may become one.
        known: All labels that may occur; none takes every label.
        unknown: Whether others are an error, or left out and listed.
    """

    renames: Mapping[str, str] = field(default_factory=dict)
    known: Sequence[str] = ()
    unknown: Unknown = "refuse"


def parts_of(label: str) -> list[str]:
    """The single labels of an annotation, which joins several with `|`."""
    return [name for name in dict.fromkeys(normal(part) for part in label.split("|")) if name]


def corrected(
    labels: TimedLabels, spelling: Spelling, tiers: Sequence[str | None] = (None,)
) -> tuple[TimedLabels, tuple[Skipped, ...], tuple[str, ...]]:
    """Labels in their one spelling.

    Args:
        labels: As they were typed.
        spelling: What they should be.
        tiers: Tiers that it is about; None is all of them. Others stay as they are.

    Returns:
        The labels; those left out; and what looks like a slip, for people.

    Raises:
        InvalidAnnotation: If a label is not known and unknown ones are refused; all are listed, each with the
            nearest known ones.
        InvalidSetting: If a label that does not occur is to be renamed.
    """
    renames = {normal(old): normal(new) for old, new in spelling.renames.items()}
    known = {normal(name) for name in spelling.known} | {*renames.values()} if spelling.known else set()

    def concerns(each: TimedLabel) -> bool:
        return None in tiers or each.tier in tiers

    typed = Counter(name for each in labels.labels if concerns(each) for name in parts_of(each.label))
    if absent := [name for name in renames if name not in typed]:
        close = nearest(absent[0], typed)
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise InvalidSetting(f"No annotation is labelled {absent[0]!r}, which was to be renamed.{hint}")
    counts: Counter[str] = Counter()
    for name, count in typed.items():
        counts[renames.get(name, name)] += count
    unknown = {name: count for name, count in counts.items() if known and name not in known}
    if unknown and spelling.unknown == "refuse":
        listed = "; ".join(map(str, (_answer(name, unknown[name], known) for name in [*unknown][:_LISTED])))
        raise InvalidAnnotation(
            f"{len(unknown)} labels are not among the {len(known)} known ones: {listed}. Correct them, "
            "rename them, or leave them out (unknown labels: skip)."
        )
    kept: list[TimedLabel] = []
    for each in labels.labels:
        if not concerns(each):
            kept.append(each)
            continue
        names = [renames.get(name, name) for name in parts_of(each.label)]
        names = [name for name in dict.fromkeys(names) if name not in unknown]
        if names:
            kept.append(replace(each, label="|".join(names)))
    left_out = tuple(Skipped(repr(name), _answer(name, count, known)) for name, count in unknown.items())
    remaining = Counter({name: count for name, count in counts.items() if name not in unknown})
    slips = () if known else tuple(likely_misspelt(remaining))
    return replace(labels, labels=tuple(kept)), left_out, slips


def _answer(name: str, count: int, known: Iterable[str]) -> str:
    close = nearest(name, known)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    times = "1 annotation" if count == 1 else f"{count} annotations"
    return f"{name!r} ({times}){hint}"
