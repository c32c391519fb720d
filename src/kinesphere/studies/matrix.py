"""The cells of a study: every combination of its axes, each a training recipe, in an order for chains."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, TypeVar

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.registry import nearest
from kinesphere.core.structured import settled
from kinesphere.studies.drawing import Draw, drawn
from kinesphere.studies.study_recipe import StudyRecipe, check_name, set_key
from kinesphere.train.config import DataSection
from kinesphere.train.joint_sections import SEPARATOR, SetSection
from kinesphere.train.recipe import Recipe

START = "cell:"
"""Before the name of another cell in `model.pretrained`."""
_AXIS = re.compile(r"\{([^{}]*)\}")
_MOST_RUNS = 20_000


@dataclass(frozen=True)
class Cell:
    """One combination of settings.

    Attributes:
        name: Name within the study, and of its folder.
        axes: Name of its setting on each axis that it has one of.
        recipe: What is trained, but for the seed, the folder, and the place of the weights of another cell.
        start: Name of the cell that its weights come from, or None.
        of: Name of the cell whose settings were drawn; its own where nothing is drawn.
        draw: What was drawn.
    """

    name: str
    axes: Mapping[str, str]
    recipe: Recipe
    start: str | None
    of: str
    draw: Draw | None = None


@dataclass(frozen=True)
class CellRun:
    """One training of a cell.

    Attributes:
        cell: What is trained.
        seed: Seed of the training.
        folder: The run folder.
    """

    cell: Cell
    seed: int
    folder: Path


@dataclass(frozen=True)
class Study:
    """A study that is ready to run.

    Attributes:
        recipe: As it was written.
        folder: Where everything lies.
        cells: In the order of the report.
        levels: Names of cells; those of a level start from cells of the levels before it.
        pairs: Pairs of cells, by name, that were asked for.
    """

    recipe: StudyRecipe
    folder: Path
    cells: tuple[Cell, ...]
    levels: tuple[tuple[str, ...], ...]
    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def plan(cls, recipe: StudyRecipe) -> Study:
        """The cells of a study.

        Raises:
            InvalidSetting: If a cell is no recipe, names repeat, or what is named is not there.
        """
        whole = _cells(recipe)
        draws = 1 if recipe.search is None else len(drawn(recipe.search))
        if len(whole) * draws * len(recipe.seeds) > _MOST_RUNS:
            raise InvalidSetting(
                f"The study {recipe.name} has {len(whole)} cells, {draws} draws of each and "
                f"{len(recipe.seeds)} seeds: more than the {_MOST_RUNS} runs that a study may have."
            )
        if not whole:
            raise InvalidSetting(f"The study {recipe.name} has no cells: exclude leaves none.")
        levels = _levels(whole)
        _check_joint(recipe, whole)
        known = [name for cell in whole for name in (cell.name, *results_of(cell))]
        for pair in recipe.compare:
            for name in pair:
                _check_known(name, known, "compare")
        cells = [each for cell in whole for each in _drawn(recipe, cell)]
        folder = Path(recipe.out or f"runs/{recipe.name}").resolve()
        return cls(recipe, folder, tuple(cells), levels, recipe.compare)

    @property
    def names(self) -> tuple[str, ...]:
        """The cells by name; those with drawn settings once."""
        return tuple(dict.fromkeys(cell.of for cell in self.cells))

    def of(self, name: str) -> tuple[Cell, ...]:
        """The cell of a name, or its draws."""
        return tuple(cell for cell in self.cells if cell.of == name)

    def runs(self, cells: Iterable[Cell]) -> Iterator[CellRun]:
        """The runs of some cells, seed by seed."""
        for cell in cells:
            for seed in self.recipe.seeds:
                yield CellRun(cell, seed, self.folder / "cells" / cell.name / f"seed-{seed}")


def results_of(cell: Cell) -> tuple[str, ...]:
    """What a cell is called in the report: by its name, or in joint training `CELL/SET` for each data set."""
    return tuple(f"{cell.of}{SEPARATOR}{name}" for name in cell.recipe.joint.sets) or (cell.of,)


def _check_joint(recipe: StudyRecipe, cells: Sequence[Cell]) -> None:
    """Refuse what asks cells of joint training for the one test that they do not have."""
    joint = next((cell.name for cell in cells if cell.recipe.joint.sets), None)
    if joint is None:
        return
    asked = "search" if recipe.search is not None else "evaluate" if recipe.evaluate else None
    if asked is not None:
        raise InvalidSetting(
            f"The cell {joint} trains on several data sets, each with a test of its own, which {asked} does "
            f"not know; leave {asked} out, or ask it of another study."
        )
    if begun := next((cell.name for cell in cells if cell.start == joint), None):
        raise InvalidSetting(
            f"The cell {begun} starts from {joint}, which trains on several data sets and has a model for "
            "each; train it first and name one: model.pretrained: RUN/sets/NAME."
        )


def merged(base: Mapping[str, Any], changes: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Settings with others laid over them; keys are `section.key` or sections.

    Raises:
        InvalidSetting: If a section is a value.
    """
    result = dict(base)
    for key, value in changes.items():
        set_key(result, key.split("."), value, name)
    return result


@dataclass(frozen=True)
class _Choice:
    """A combination of settings by axis, with settings beside them."""

    name: str
    axes: dict[str, str]
    settings: dict[str, Any]


def _cells(recipe: StudyRecipe) -> list[Cell]:
    axes = {axis: _axis(axis, values) for axis, values in recipe.matrix.items()}
    count = math.prod(len(names) for names in axes.values())
    if count > _MOST_RUNS:
        raise InvalidSetting(
            f"The matrix has {count} combinations: more than the {_MOST_RUNS} runs that a study may have. "
            "Take axes apart into several studies."
        )
    choices = [each for each in _product(axes, recipe.name) if not _excluded(each, axes, recipe.exclude)]
    if recipe.include and not axes:
        choices = []  # a matrix of nothing is no cell beside those that are listed
    for number, entry in enumerate(recipe.include):
        choices += itertools.islice(_included(entry, axes, f"include, entry {number + 1}"), _MOST_RUNS + 1)
    times = Counter(choice.name for choice in choices)
    if repeated := sorted(name for name, count in times.items() if count > 1):
        raise InvalidSetting(f"Each cell has a name of its own; these occur again: {', '.join(repeated)}.")
    assert isinstance(recipe.base, dict)
    return [_cell(recipe, choice, recipe.base) for choice in choices]


def _axis(axis: str, values: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """The settings of an axis by name."""
    if not values:
        raise InvalidSetting(f"matrix.{axis} has no settings; give a list of them.")
    found: dict[str, dict[str, Any]] = {}
    for value in values:
        if isinstance(value, dict):
            if "name" not in value:
                raise InvalidSetting(
                    f"A setting of matrix.{axis} has no name; write {{name: ..., key: ...}}."
                )
            name, settings = str(value["name"]), {key: each for key, each in value.items() if key != "name"}
        elif "." in axis:
            name, settings = _shown(value), {axis: value}
        else:
            raise InvalidSetting(
                f"matrix.{axis} lists {_shown(value)!r}: only an axis that is named as a setting, such as "
                "optimizer.lr, lists values; others list {name: ..., key: ...}."
            )
        if name in found:
            raise InvalidSetting(f"matrix.{axis} has two settings of the name {name!r}.")
        found[name] = settings
    return found


def _shown(value: Any) -> str:
    plain = settled(value)
    return "x".join(map(str, plain)) if isinstance(plain, list) else str(value)


def _product(axes: Mapping[str, Mapping[str, dict[str, Any]]], study: str) -> Iterator[_Choice]:
    for names in itertools.product(*axes.values()):
        settings: dict[str, Any] = {}
        for axis, name in zip(axes, names, strict=True):
            settings = merged(settings, axes[axis][name], f"matrix.{axis}, {name}")
        yield _Choice("-".join(names) or study, dict(zip(axes, names, strict=True)), settings)


def _excluded(
    choice: _Choice, axes: Mapping[str, Mapping[str, Any]], rules: Sequence[Mapping[str, Any]]
) -> bool:
    wanted = [{axis: _named(axis, names, axes, "exclude") for axis, names in rule.items()} for rule in rules]
    return any(all(choice.axes[axis] in names for axis, names in rule.items()) for rule in wanted)


def _named(axis: str, wanted: Any, axes: Mapping[str, Mapping[str, Any]], where: str) -> list[str]:
    """The settings of an axis that a rule names."""
    _check_known(axis, axes, where)
    names = [str(each) for each in (wanted if isinstance(wanted, list) else [wanted])]
    for name in names:
        _check_known(name, axes[axis], f"{where}, {axis}")
    return names


def _included(
    entry: Mapping[str, Any], axes: Mapping[str, Mapping[str, dict[str, Any]]], where: str
) -> Iterator[_Choice]:
    if "name" not in entry:
        raise InvalidSetting(f"{where} has no name.")
    chosen = {axis: _named(axis, value, axes, where) for axis, value in entry.items() if axis in axes}
    own = {key: value for key, value in entry.items() if key != "name" and key not in axes}
    for names in itertools.product(*chosen.values()):
        here, settings = dict(zip(chosen, names, strict=True)), dict[str, Any]()
        for axis, name in here.items():
            settings = merged(settings, axes[axis][name], where)
        yield _Choice(_filled(str(entry["name"]), here, where), here, merged(settings, own, where))


def _filled(text: str, axes: Mapping[str, str], where: str) -> str:
    """A name in which `{axis}` stands for the setting on an axis."""

    def value(found: re.Match[str]) -> str:
        _check_known(found[1], axes, where)
        return axes[found[1]]

    return _AXIS.sub(value, text)


def _cell(recipe: StudyRecipe, choice: _Choice, base: Mapping[str, Any]) -> Cell:
    where = f"the cell {choice.name}"
    try:
        check_name(choice.name)
    except ValueError as error:
        raise InvalidSetting(f"In {where}: {error}.") from None
    settings = merged(base, choice.settings, where)
    for key, beside in (("out", "out"), ("train.seed", "seeds")):
        section, _, last = key.rpartition(".")
        place = settings.get(section, {}) if section else settings
        if isinstance(place, dict) and last in place:
            raise InvalidSetting(f"In {where}: {key} is set by the study itself; see its {beside}.")
    start = None
    model = settings.get("model")
    given = model.get("pretrained") if isinstance(model, dict) else None
    if isinstance(given, str) and given.startswith(START):
        start = _filled(given.removeprefix(START), choice.axes, where)
    built = Recipe.build(settings, where)
    if recipe.root is not None:
        built = _below(built, Path(recipe.root))
    return Cell(choice.name, choice.axes, built, start, choice.name)


_Sourced = TypeVar("_Sourced", DataSection, SetSection)


def _below(recipe: Recipe, root: Path) -> Recipe:
    """A recipe whose data, and those of the sets of its joint training, lie below a folder."""

    def placed(section: _Sourced) -> _Sourced:
        return section.model_copy(update={"source": tuple(str(root / each) for each in section.source)})

    sets = {name: placed(each) for name, each in recipe.joint.sets.items()}
    joint = recipe.joint.model_copy(update={"sets": sets})
    return recipe.model_copy(update={"data": placed(recipe.data), "joint": joint})


def _drawn(recipe: StudyRecipe, cell: Cell) -> Iterator[Cell]:
    """The draws of a cell, which leave its test samples alone; itself where nothing is drawn."""
    if recipe.search is None:
        yield cell
        return
    for number, draw in enumerate(drawn(recipe.search), start=1):
        settings = merged(cell.recipe.to_dict(), draw.settings, "search")
        closed = merged(settings, {"test.open": False}, "search")
        built = Recipe.build(closed, "search")
        yield replace(cell, name=f"{cell.name}-draw{number:02d}", recipe=built, draw=draw)


def _levels(cells: Sequence[Cell]) -> tuple[tuple[str, ...], ...]:
    """Names by how many cells they start from, one after the other.

    Raises:
        InvalidSetting: If a cell starts from one that is not there, or from itself in the end.
    """
    known = [cell.name for cell in cells]
    graph: dict[str, set[str]] = {}
    for cell in cells:
        if cell.start is not None:
            _check_known(cell.start, known, f"the cell {cell.name}, model.pretrained")
        graph[cell.name] = set() if cell.start is None else {cell.start}
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError as error:
        raise InvalidSetting(
            f"Cells start from each other in a circle: {' <- '.join(error.args[1])}."
        ) from None
    levels = []
    while ready := set(sorter.get_ready()):
        levels.append(tuple(name for name in known if name in ready))
        sorter.done(*ready)
    return tuple(levels)


def _check_known(name: str, known: Iterable[str], where: str) -> None:
    """Raise, with the nearest names, where a name is none of those known."""
    names = list(known)
    if name not in names:
        hint = f"did you mean {' or '.join(nearest(name, names))}" if nearest(name, names) else ""
        listed = hint or f"known: {', '.join(names[:20]) or 'none'}"
        raise InvalidSetting(f"In {where}: there is no {name!r} ({listed}).")
