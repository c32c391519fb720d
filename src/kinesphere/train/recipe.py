"""`Recipe`: every setting of a training run, on disk as YAML."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError, model_validator

from kinesphere.clips.augment.settings import Augment
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import write_text
from kinesphere.core.limits import brief
from kinesphere.core.registry import nearest
from kinesphere.core.setting_types import as_typed
from kinesphere.core.structured import Written, dump_yaml, parse_value, read_yaml
from kinesphere.train.clip_sections import ClipSection
from kinesphere.train.config import (
    ComputeSection,
    DataSection,
    LogSection,
    LossSection,
    ModelSection,
    OptimizerSection,
    ProbeSection,
    RebalanceSection,
    ScheduleSection,
    Section,
    TestSection,
    TrainSection,
)
from kinesphere.train.joint_sections import JointSection
from kinesphere.train.unlabelled_sections import PretrainSection, UnlabelledSection

RECIPE_FILE = "recipe.yaml"
_MOST_PROBLEMS = 20
Settings = TypeVar("Settings", bound=BaseModel)
_COMMAND_LINE = "the overrides of the command line"


class Recipe(Section):
    """Every setting of a training run.

    Only `data.source` has no default. A run writes the recipe it followed, with every `auto` resolved,
    to `recipe.yaml` in its folder; training that file again reproduces the run.
    """

    data: DataSection
    """Videos, labels and splits."""
    joint: JointSection = JointSection()
    """Several data sets at once, a head for each."""
    model: ModelSection = ModelSection()
    """Network and weights to start from."""
    clip: ClipSection = ClipSection()
    """Changes of the input contract on the model's card."""
    augment: Augment = Augment()
    """Random changes to training clips."""
    loss: LossSection = LossSection()
    """Loss function."""
    optimizer: OptimizerSection = OptimizerSection()
    """Optimiser."""
    schedule: ScheduleSection = ScheduleSection()
    """Schedule of the learning rate."""
    train: TrainSection = TrainSection()
    """Length, batches and seed of training."""
    probe: ProbeSection = ProbeSection()
    """Probes on frozen features, in place of a training from pixels."""
    rebalance: RebalanceSection = RebalanceSection()
    """A change of the head of a trained model, in place of training."""
    unlabelled: UnlabelledSection = UnlabelledSection()
    """Clips without labels to learn from as well."""
    pretrain: PretrainSection = PretrainSection()
    """Pre-training without labels, in place of training a classifier."""
    compute: ComputeSection = ComputeSection()
    """Device and arithmetic."""
    test: TestSection = TestSection()
    """Measurement of the final score."""
    log: LogSection = LogSection()
    """Loggers of curves."""
    out: str | None = None
    """Run folder; None is runs/<data>-<model>, numbered where that exists."""

    @model_validator(mode="before")
    @classmethod
    def _with_sources(cls, settings: Any) -> Any:
        """Settings in which `data.source` is that of all data sets of a joint training."""
        joint = settings.get("joint") if isinstance(settings, dict) else None
        sets = joint.get("sets") if isinstance(joint, dict) else None
        data = settings.get("data", {}) if isinstance(settings, dict) else None
        if not isinstance(sets, dict) or not sets or not isinstance(data, dict):
            return settings
        given = [each.get("source") for each in sets.values() if isinstance(each, dict)]
        listed = [[each] if isinstance(each, str) else each for each in given]
        sources = [part for each in listed if isinstance(each, list | tuple) for part in each]
        return {**settings, "data": {**data, "source": sources or data.get("source", ())}}

    @classmethod
    def load(cls, source: str | Path, overrides: Iterable[str] = ()) -> Self:
        """Read a recipe, or make one around data.

        Args:
            source: A YAML recipe, a run folder (its recipe, with `out` as where the folder lies now), or
                else data: a manifest, a folder of class folders, or recordings with timed labels.
            overrides: `section.key=value`, the value in YAML: `optimizer.lr=0.01`, `clip.size=[112, 112]`.

        Raises:
            InvalidSetting: If the file is missing or not a recipe, or a key or value is wrong.
        """
        path = Path(source)
        if not (path.exists() or (glob.has_magic(str(path)) and _matches(str(path)))):
            raise InvalidSetting(
                f"There is no recipe, run folder or data at {str(source)!r}; check the path."
            )
        if (path / RECIPE_FILE).is_file():
            path = path / RECIPE_FILE
        is_recipe = path.is_file() and path.suffix.lower() in (".yaml", ".yml")
        overrides = tuple(overrides)
        if is_recipe:
            settings = read_settings(path, overrides)
        else:
            settings = {"data": {"source": str(path)}}
            for override in overrides:
                _apply(settings, override)
        return cls._checked(settings, str(path) if is_recipe or not overrides else _COMMAND_LINE, overrides)

    @classmethod
    def build(cls, settings: dict[str, Any], origin: str = "recipe") -> Self:
        """A recipe from nested plain settings, checked.

        Raises:
            InvalidSetting: If a key or value is wrong; all problems are listed, with the nearest known keys.
        """
        return cls._checked(settings, origin, ())

    @classmethod
    def _checked(cls, settings: dict[str, Any], origin: str, overrides: Iterable[str]) -> Self:
        """A recipe from settings that hold `overrides` by now; each problem is said to be where it is."""
        return checked_settings(cls, settings, origin, overrides)

    def override(self, *overrides: str) -> Self:
        """A copy with some `section.key=value` applied, checked again."""
        settings = self.to_dict()
        for text in overrides:
            _apply(settings, text)
        return self._checked(settings, "recipe", overrides)

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, as in the YAML file."""
        return self.model_dump(mode="json")

    def dump(self, path: str | Path) -> None:
        """Write YAML, all settings included, atomically."""
        write_text(Path(path), dump_yaml(self.to_dict()))

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON Schema of the YAML file, for editors and forms."""
        return cls.model_json_schema()

    def differences(self, other: Recipe) -> list[str]:
        """Settings that differ, as `section.key: mine / theirs`; what is not written down has its default."""
        mine, theirs = (
            _flatten(each.model_copy(update={"augment": each.augment.resolved()}).to_dict())
            for each in (self, other)
        )
        return [
            f"{key}: {mine.get(key)!r} / {theirs.get(key)!r}"
            for key in dict.fromkeys([*mine, *theirs])
            if mine.get(key) != theirs.get(key)
        ]


def checked_settings(
    kind: type[Settings], settings: dict[str, Any], origin: str, overrides: Iterable[str] = ()
) -> Settings:
    """Settings of a kind, from nested plain values that hold `overrides` by now.

    Raises:
        InvalidSetting: If a key or value is wrong; each problem is said to be where it is.
    """
    try:
        return kind.model_validate(as_typed(settings, kind))
    except ValidationError as error:
        problems: dict[str, list[str]] = {}
        given = [_keys(override) for override in overrides]
        for problem in error.errors():
            place = _COMMAND_LINE if _is_of(problem["loc"], given) else origin
            problems.setdefault(place, []).append(_explain(kind, dict(problem)))
        listed = (f"In {place}: {_listed(found)}." for place, found in problems.items())
        raise InvalidSetting(" ".join(listed)) from None


def read_settings(path: Path, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """The nested plain values of a YAML recipe, or of that of a run folder, with `section.key=value` applied.

    Raises:
        InvalidSetting: If there is none, or an override is none.
    """
    path = path / RECIPE_FILE if (path / RECIPE_FILE).is_file() else path
    settings = _read_yaml(path)
    if _is_of_a_run(path):
        # The folder may have moved since: the one that is named is the run.
        settings["out"] = str(path.parent.resolve())
    for override in overrides:
        _apply(settings, override)
    return settings


def _is_of_a_run(path: Path) -> bool:
    """Whether a recipe lies in the folder of a run or of a cross-validation that has begun."""
    beside = ("splits.csv", "checkpoints", "folds.json")
    return path.name == RECIPE_FILE and any((path.parent / name).exists() for name in beside)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        settings = read_yaml(path, InvalidSetting)
    except InvalidSetting as error:
        raise InvalidSetting(f"This is not a readable YAML recipe: {error}") from error
    if not isinstance(settings, dict):
        kind = "str" if isinstance(settings, str) else type(settings).__name__
        raise InvalidSetting(f"{path} is not a recipe: it holds {kind}, not sections such as `data:`.")
    return settings


def _keys(override: str) -> list[str]:
    return override.partition("=")[0].strip().split(".")


def _is_of(place: Sequence[object], overrides: Iterable[Sequence[str]]) -> bool:
    """Whether a problem lies in what an override sets, or in a section of which one sets a part."""
    return any(all(a == b for a, b in zip(place, keys, strict=False)) for keys in overrides)


def _listed(problems: Iterable[str]) -> str:
    each = list(dict.fromkeys(problems))
    more = len(each) - _MOST_PROBLEMS
    return "; ".join(each[:_MOST_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")


def _apply(settings: dict[str, Any], override: str) -> None:
    """Set one `section.key=value` in nested settings."""
    _, equals, text = override.partition("=")
    keys = _keys(override)
    if not equals or not all(keys):
        raise InvalidSetting(f"Cannot read the override {override!r}; write section.key=value.")
    place = settings
    for key in keys[:-1]:
        inner = place.setdefault(key, {})
        if isinstance(inner, Written) and isinstance(inner.value, dict):  # an override of before
            inner = place[key] = inner.value
        if inner is None:  # a section that was left out
            inner = place[key] = {}
        if not isinstance(inner, dict):
            raise InvalidSetting(f"Cannot apply {override!r}: {key!r} is a value, not a section.")
        place = inner
    place[keys[-1]] = parse_value(text)


def _explain(recipe: type[BaseModel], problem: dict[str, Any]) -> str:
    """One pydantic problem in a user's words."""
    place = [str(part) for part in problem["loc"]]
    where = ".".join(place)
    if problem["type"] == "extra_forbidden":
        known = _keys_at(recipe, place[:-1])
        close = [".".join((*place[:-1], name)) for name in nearest(place[-1], known)]
        if len(place) == 1:
            close = close or suggest(place[0])
        hint = f"did you mean {' or '.join(close)}" if close else f"known: {', '.join(known)}"
        return f"there is no setting {where!r} ({hint})"
    if problem["type"] == "model_type":
        keys = _keys_at(recipe, place)
        likely = [f"{where}.{key}={problem['input']}" for key in ("name", "source", "preset") if key in keys]
        hint = f"did you mean {likely[0]}" if likely else f"it holds {', '.join(keys)}"
        return f"{where!r} is a section, not a setting; got {problem['input']!r} ({hint})"
    if problem["type"] == "missing":
        return f"{where!r} is required"
    message = problem["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{where}: {message}" + ("" if "; got " in message else f"; got {brief(problem['input'])}")


def _matches(pattern: str) -> bool:
    return any(glob.iglob(pattern, recursive=True))  # noqa: PTH207 (takes absolute patterns)


def suggest(name: str) -> list[str]:
    """Settings, `section.key`, that somebody may mean who writes a name without its section; best first."""
    keys = [key for key in _all_keys(Recipe) if "." in key or key == name]
    by_last = {key.rpartition(".")[2]: key for key in reversed(keys)}
    if name in Recipe.model_fields:
        return [f"{name}.name"] if f"{name}.name" in keys else []
    exact = [key for key in keys if key.rpartition(".")[2] == name.replace("-", "_")]
    return exact or [by_last[close] for close in nearest(name, by_last)]


def _all_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    found: list[str] = []
    for key, field in model.model_fields.items():
        inner = _section(field.annotation)
        if inner is not None and get_origin(field.annotation) is not dict:
            found += _all_keys(inner, f"{prefix}{key}.")
        else:
            found.append(prefix + key)
    return found


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section that a setting is, or may be; None of a single value."""
    arms = (annotation, *get_args(annotation))
    return next((arm for arm in arms if isinstance(arm, type) and issubclass(arm, BaseModel)), None)


def _keys_at(model: type[BaseModel], place: list[str]) -> list[str]:
    parts = iter(place)
    for part in parts:
        annotation = model.model_fields[part].annotation
        inner = _section(annotation)
        assert inner is not None
        model = inner
        if get_origin(annotation) is dict:  # sections by names of the user's
            next(parts, None)
    return list(model.model_fields)


def _flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
