"""Settings that a study draws: all combinations of their values, or some at random."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.limits import brief
from kinesphere.studies.study_recipe import SearchSection

_NUMBER = 20
_MOST = 10_000
_FURTHEST = 1e15
# Drawn numbers are written with so many digits, as a person would.
_DIGITS = 4


@dataclass(frozen=True)
class Draw:
    """What was drawn once: values by `section.key`."""

    settings: Mapping[str, Any]

    def __str__(self) -> str:
        return ", ".join(f"{key} {value}" for key, value in self.settings.items())


def drawn(search: SearchSection) -> list[Draw]:
    """All draws of a study, the same ones whenever it is read.

    Raises:
        InvalidSetting: If a setting has neither values nor a range, or a grid a range, or is endless.
    """
    for key, given in search.settings.items():
        _check(key, given, grid=search.draw == "grid")
    if search.draw == "grid":
        count = math.prod(len(values) for values in search.settings.values())
        if count > _MOST:
            raise InvalidSetting(
                f"The grid of the search has {count} combinations; at most {_MOST} are drawn."
            )
        found = itertools.product(*search.settings.values())
        return [Draw(dict(zip(search.settings, values, strict=True))) for values in found]
    if (search.number or 0) > _MOST:
        raise InvalidSetting(f"search.number is {search.number}; at most {_MOST} are drawn.")
    rng = np.random.default_rng(search.seed)
    draws: dict[str, Draw] = {}
    for _ in range(search.number or _NUMBER):
        draw = Draw({key: _value(given, rng) for key, given in search.settings.items()})
        draws.setdefault(str(draw), draw)  # the same settings again would teach nothing
    return list(draws.values())


def _check(key: str, given: Any, *, grid: bool) -> None:
    if isinstance(given, list) and given:
        return
    if not isinstance(given, dict) or grid:
        what = "a list of values" if grid else "a list of values or {low, high}"
        raise InvalidSetting(f"search.settings.{key} is {what}; got {given!r}.")
    if unknown := sorted(set(given) - {"low", "high", "log", "integer"}):
        raise InvalidSetting(f"search.settings.{key} takes low, high, log and integer; got {unknown[0]!r}.")
    low, high = given.get("low"), given.get("high")
    numbers = [each for each in (low, high) if isinstance(each, int | float) and not isinstance(each, bool)]
    if (
        len(numbers) < 2
        or not -_FURTHEST <= numbers[0] < numbers[1] <= _FURTHEST
        or (given.get("log") and numbers[0] <= 0)
    ):
        raise InvalidSetting(
            f"search.settings.{key} has a range from low to a larger high, both above 0 with log; got "
            f"{brief(low)} to {brief(high)}."
        )


def _value(given: Any, rng: np.random.Generator) -> Any:
    if isinstance(given, list):
        return given[int(rng.integers(len(given)))]
    low, high = float(given["low"]), float(given["high"])
    if given.get("integer"):
        return int(rng.integers(int(low), int(high) + 1))
    if given.get("log"):
        number = math.exp(rng.uniform(math.log(low), math.log(high)))
    else:
        number = float(rng.uniform(low, high))
    return float(f"{number:.{_DIGITS}g}")
