"""A model of a background study held against another one: clip by clip, and a verdict.

The verdict follows from two differences over people before the background of another class: in the share
taken for the background's class, and in the share taken for the people's.

- It leans less on the background, if fewer are taken for the background's class (the whole interval is below
  zero), and not fewer for the people's.
- It leans more on the background, if more are taken for the background's class.
- It answers worse, if fewer are taken for either class.
- No difference is shown, else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kinesphere.evaluate.paired import Difference, mean_difference, share_difference
from kinesphere.studies.conditions import CONDITIONS, Condition
from kinesphere.studies.people import OnPeopleShare


@dataclass(frozen=True, eq=False)
class Answered:
    """The answers of one model under all conditions to the same N clips.

    Attributes:
        said: `(N,)` class indices under each condition, by its name.
        targets: `(N,)` the people's classes.
        backgrounds: `(N,)` the classes of swapped backgrounds.
        groups: Group of each clip.
    """

    said: Mapping[str, np.ndarray]
    targets: np.ndarray
    backgrounds: np.ndarray
    groups: tuple[str | None, ...]

    def right(self, name: str) -> np.ndarray:
        """bool `(N,)`: which clips are taken for the people's class."""
        right: np.ndarray = self.said[name] == self.targets
        return right

    def as_background(self, name: str) -> np.ndarray:
        """bool `(N,)`: which clips are taken for the class of the swapped background."""
        taken: np.ndarray = self.said[name] == self.backgrounds
        return taken

    @property
    def contrasted(self) -> np.ndarray:
        """bool `(N,)`: which clips are right when swapped people move, and wrong when they stand still."""
        contrasted: np.ndarray = self.right("swapped") & ~self.right("swapped_frozen")
        return contrasted


@dataclass(frozen=True)
class ComparedCell:
    """The difference of two models under one condition.

    Attributes:
        condition: What was changed.
        accuracy: In the share of clips taken for the people's class.
        as_background: Of swapped clips, in the share taken for the background's class.
    """

    condition: Condition
    accuracy: Difference
    as_background: Difference | None


@dataclass(frozen=True)
class Comparison:
    """A model less the one that it is compared with, on the same clips.

    Attributes:
        model: Name of the model.
        against: Name of the other one.
        cells: One for each condition.
        contrasted: Difference in the share that is right moving and wrong still.
        on_people: Difference in the share of attribution that is on people, where both were asked.
        verdict: In words.
    """

    model: str
    against: str
    cells: tuple[ComparedCell, ...]
    contrasted: Difference
    on_people: Difference | None
    verdict: str

    def of(self, name: str) -> ComparedCell:
        """The cell of a condition."""
        return next(cell for cell in self.cells if cell.condition.name == name)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        cells = [
            {
                "condition": cell.condition.name, "accuracy": cell.accuracy.to_json(),
                "as_background": None if cell.as_background is None else cell.as_background.to_json(),
            }
            for cell in self.cells
        ]  # fmt: skip
        return {
            "model": self.model, "against": self.against, "cells": cells,
            "contrasted": self.contrasted.to_json(), "verdict": self.verdict,
            "on_people": None if self.on_people is None else self.on_people.to_json(),
        }  # fmt: skip


def compare(
    names: tuple[str, str],
    first: Answered,
    second: Answered,
    shares: Sequence[OnPeopleShare | None] = (None, None),
) -> Comparison:
    """A second model less a first one.

    Args:
        names: Of the first and the second model.
        first: Answers of the first.
        second: Answers of the second to the same clips.
        shares: Their shares of attribution on people, where these were asked for.
    """
    groups = first.groups
    cells = []
    for condition in CONDITIONS:
        name = condition.name
        taken = None
        if condition.is_swapped:
            taken = share_difference(first.as_background(name), second.as_background(name), groups)
        accuracy = share_difference(first.right(name), second.right(name), groups)
        cells.append(ComparedCell(condition, accuracy, taken))
    contrasted = share_difference(first.contrasted, second.contrasted, groups)
    one, other = shares
    on_people = None if one is None or other is None else _on_people(one, other)
    said = verdict(names, cells)
    return Comparison(names[1], names[0], tuple(cells), contrasted, on_people, said)


def _on_people(first: OnPeopleShare, second: OnPeopleShare) -> Difference | None:
    both = [name for name in first.clips if name in second.clips]
    if not both:
        return None
    energy = [np.array([each.clips[name].energy for name in both]) for each in (first, second)]
    return mean_difference(energy[0], energy[1], [first.groups[name] for name in both])


def verdict(names: tuple[str, str], cells: Sequence[ComparedCell]) -> str:
    """Which of two models leans more on backgrounds, by the rule of this module, with its numbers."""
    first, second = names
    by_name = {cell.condition.name: cell for cell in cells}
    whole, swapped = by_name["as_it_is"].accuracy, by_name["swapped"].accuracy
    taken = by_name["swapped"].as_background
    assert taken is not None
    if taken.is_more:
        says = f"{second} leans more on the background than {first}"
    elif taken.is_less and swapped.is_less:
        says = f"{second} answers worse than {first}"
    elif taken.is_less:
        says = f"{second} leans less on the background than {first}"
    else:
        says = f"No difference between {second} and {first} is shown"
    return (
        f"{says}: before another class's background, people are taken for the background's class by {taken}, "
        f"for their own by {swapped}; unchanged clips by {whole}."
    )
