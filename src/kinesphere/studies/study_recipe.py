"""`StudyRecipe`: every setting of a study of many runs, on disk as YAML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.limits import brief
from kinesphere.core.registry import nearest
from kinesphere.core.setting_types import as_typed
from kinesphere.core.structured import Written, parse_value, read_yaml, settled
from kinesphere.studies.evaluation_settings import EvaluationSection
from kinesphere.train.config import Count, Section

_LONGEST_NAME = 200
_NAME = re.compile(r"[A-Za-z0-9][\w.+ -]*")
# Sections of plain recipe settings: what is written there is typed by the recipe, not here.
_RAW = ("base", "matrix", "include")
_BESIDE = ("name", "root", "out", "seeds", "jobs")


def check_name(name: str) -> str:
    """A name that can be part of a folder's.

    Raises:
        ValueError: If it cannot.
    """
    if not _NAME.fullmatch(name) or name.endswith((" ", ".")):
        raise ValueError(f"a name begins with a letter or digit, and holds these and . _ + -; got {name!r}")
    if len(name.encode()) > _LONGEST_NAME:
        raise ValueError(f"a name has up to {_LONGEST_NAME} bytes; got {brief(name)}")
    return name


Name = Annotated[str, AfterValidator(check_name)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class SearchSection(Section):
    """Settings that are drawn for every cell; validation chooses, and the test is opened for the choice."""

    draw: Literal["grid", "random"] = "random"
    """All combinations of the values, or so many at random."""
    number: Count | None = None
    """Draws of `random`; 20 where this is not given."""
    seed: Seed = 0
    """Seed of the draws."""
    settings: dict[str, Any] = Field(min_length=1)
    """For each `section.key` a list of values; of `random` also `{low: 1e-4, high: 1, log: true}`."""

    @model_validator(mode="after")
    def _check_number(self) -> SearchSection:
        if self.draw == "grid" and self.number is not None:
            raise ValueError("a grid has as many draws as combinations; number is for random")
        return self


class StudyRecipe(Section):
    """A matrix of runs and what is asked of them."""

    name: Name
    """Name of the study, and of its folder."""
    base: str | dict[str, Any] = Field(default_factory=dict)
    """Settings of a training recipe that all cells share, or the path of one."""
    matrix: dict[Name, list[Any]] = Field(default_factory=dict)
    """Axes by name, each a list of named settings, `{name: scratch, model.pretrained: null}`, or of an axis
    that is named as a setting (`optimizer.lr`) a list of values. Every combination is a cell."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    """Seeds of training; each cell is run once for each of them."""
    exclude: tuple[dict[str, Any], ...] = ()
    """Combinations that are left out: for some axes the name of a setting, or a list of names."""
    include: tuple[dict[str, Any], ...] = ()
    """Cells beside the matrix: `name`, for some axes the name of a setting, and settings of their own."""
    compare: tuple[tuple[str, str], ...] = ()
    """Pairs of cells that are held against each other; none is every pair with the same test clips."""
    search: SearchSection | None = None
    """Settings to draw."""
    evaluate: tuple[EvaluationSection, ...] = ()
    """What every cell is tested on besides its own test."""
    root: str | None = None
    """Folder that relative `data.source` and data of `evaluate` lie below; None is the working folder."""
    out: str | None = None
    """Folder of the study; None is runs/<name>."""
    jobs: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = "auto"
    """Cells at a time, each in a process of its own from two on; auto is one for every four cores."""

    @model_validator(mode="after")
    def _check_lists(self) -> StudyRecipe:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"each seed counts once; got {list(self.seeds)}")
        names = [each.name for each in self.evaluate]
        if len(set(names)) != len(names):
            raise ValueError(f"what is evaluated has names of its own; got {names}")
        return self

    @classmethod
    def load(cls, path: str | Path, overrides: Iterable[str] = ()) -> Self:
        """Read a study.

        Args:
            path: The YAML file.
            overrides: `name=value` of the study (`seeds=[0]`, `root=...`), and `section.key=value` of `base`.

        Raises:
            InvalidSetting: If the file is missing or no study, or a key or value is wrong.
        """
        path = Path(path)
        if not path.is_file():
            raise InvalidSetting(f"There is no study at {str(path)!r}; check the path.")
        content = read_yaml(path, InvalidSetting)
        if not isinstance(content, dict):
            raise InvalidSetting(f"{path} is no study: it holds no keys such as `name:` and `matrix:`.")
        if "matrix" not in content and "data" in content:
            raise InvalidSetting(
                f"{path} is a recipe of one training; `kinesphere train {path}` follows it. A study has "
                "`name:`, `base:` and `matrix:`."
            )
        content = {**content, "base": _base(content.get("base"), path)}
        for override in overrides:
            _apply(content, override)
        return cls.build(content, str(path))

    @classmethod
    def build(cls, content: Mapping[str, Any], origin: str = "study") -> Self:
        """A study from nested plain settings, checked.

        Raises:
            InvalidSetting: If a key or value is wrong; all problems are listed, with the nearest known keys.
        """
        raw = {key: content[key] for key in _RAW if key in content}
        plain = {key: value for key, value in content.items() if key not in _RAW}
        try:
            return cls.model_validate({**as_typed(plain, cls), **raw})
        except ValidationError as error:
            problems = dict.fromkeys(_explain(cls, dict(problem)) for problem in error.errors())
            raise InvalidSetting(f"In {origin}: {'; '.join(list(problems)[:20])}.") from None

    def to_json(self) -> dict[str, Any]:
        """Plain values, as in the YAML file."""
        plain: dict[str, Any] = settled(self.model_dump(mode="json"))
        return plain


def set_key(settings: dict[str, Any], keys: list[str], value: Any, name: str) -> None:
    """Set one value in nested settings; mappings are laid over each other.

    Args:
        settings: Changed in place; what is inside is copied before it is.
        keys: Its sections and its name.
        value: A value, or a mapping of them.
        name: What sets it, for the message.

    Raises:
        InvalidSetting: If a section is a value.
    """
    inner = settings
    for key in keys[:-1]:
        below = inner.get(key, {})
        if not isinstance(below, dict):
            raise InvalidSetting(f"{name} sets {'.'.join(keys)}, but {key!r} is a value, not a section.")
        inner[key] = below = dict(below)
        inner = below
    last = keys[-1]
    if isinstance(value, dict):
        known = inner.get(last)
        if known is not None and settled(known) is not None and not isinstance(known, dict):
            raise InvalidSetting(f"{name} sets {'.'.join(keys)}, but {last!r} is a value, not a section.")
        inner[last] = dict(known) if isinstance(known, dict) else {}
        for key, part in value.items():
            set_key(inner, [last, *str(key).split(".")], part, name)
        return
    inner[last] = value


def _base(base: Any, study: Path) -> dict[str, Any]:
    """The settings that all cells share.

    Raises:
        InvalidSetting: If the recipe that is named is not there or is none.
    """
    if base is None or isinstance(base, dict):
        return dict(base or {})
    places = [study.parent / str(base), Path(str(base))]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise InvalidSetting(
            f"In {study}: base names {str(base)!r}, which is neither below {study.parent} nor in the working "
            "folder."
        )
    content = read_yaml(found, InvalidSetting)
    if not isinstance(content, dict):
        raise InvalidSetting(f"{found} is not a recipe: it holds no sections such as `data:`.")
    return _without_seed({key: value for key, value in content.items() if key != "out"})


def _without_seed(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of one training without its seed: a study has seeds of its own."""
    train = settings.get("train")
    if not isinstance(train, dict):
        return settings
    return {**settings, "train": {key: value for key, value in train.items() if key != "seed"}}


def _apply(content: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(keys):
        raise InvalidSetting(f"Cannot read the override {override!r}; write name=value.")
    value = parse_value(text)
    if len(keys) == 1:
        if keys[0] not in _BESIDE:
            hint = " or ".join(nearest(keys[0], _BESIDE)) or ", ".join(_BESIDE)
            raise InvalidSetting(
                f"{keys[0]!r} is nothing that is set on the command line of a study (did you mean {hint}?); "
                "settings of its runs are written section.key=value."
            )
        content[keys[0]] = value
        return
    if isinstance(value, Written) and isinstance(value.value, dict):
        value = value.value
    base = dict(content["base"])
    set_key(base, keys, value, "the command line")
    content["base"] = base


def _explain(model: type[Section], problem: dict[str, Any]) -> str:
    """One pydantic problem in a user's words."""
    place = [str(part) for part in problem["loc"]]
    where = ".".join(place)
    if problem["type"] == "extra_forbidden":
        known = _known(model, problem["loc"][:-1])
        close = [".".join((*place[:-1], name)) for name in nearest(place[-1], known)]
        hint = f"did you mean {' or '.join(close)}" if close else f"known: {', '.join(known)}"
        return f"there is no setting {where!r} ({hint})"
    if problem["type"] == "missing":
        return f"{where!r} is required"
    message = str(problem["msg"]).removeprefix("Value error, ").rstrip(".")
    return f"{where or 'the study'}: {message}; got {brief(settled(problem['input']))}"


def _known(model: type[Section], place: tuple[str | int, ...]) -> list[str]:
    inner: dict[str, type[Section]] = {"search": SearchSection, "evaluate": EvaluationSection}
    found = inner.get(str(place[0]), model) if place else model
    return list(found.model_fields)
