"""Attributions on disk: an `.npz` with the heat, and what it is of as JSON among its arrays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import MISSING, Field, asdict, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints, overload

import numpy as np
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveFloat, create_model
from pydantic import Field as Checked

from kinesphere.clips.npz import BROKEN, BrokenArchive, read_arrays
from kinesphere.clips.spec import LARGEST_SIDE_PX, ClipSpec
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.files import replacing
from kinesphere.explain.attribution import Attribution, InputHeat
from kinesphere.explain.geometry import Placement

SUFFIX = ".heat.npz"
_FORMAT = 1
_KEPT = np.float16
"""Of heat as a share of its strongest."""


_Side = Annotated[int, Checked(ge=1, le=LARGEST_SIDE_PX)]


class _Strict(BaseModel):
    """Text from outside: only what is known, and only finite numbers."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _PlacementText(_Strict):
    source_size: tuple[_Side, _Side]
    clip_size: tuple[_Side, _Side]
    scale_x: PositiveFloat
    scale_y: PositiveFloat
    left: float
    top: float
    flipped: bool


class _HeatText(_Strict):
    model: str
    spec: dict[str, Any]
    view: NonNegativeInt
    full: NonNegativeFloat
    placement: _PlacementText | None
    method: str = ""
    signed: bool | None = None  # files of earlier versions say it of all heat together
    sums_up: bool | None = None


def _text_model() -> Any:
    """What is checked of a text: the fields of an attribution, but its arrays, with their types."""
    hints = get_type_hints(Attribution)
    own: dict[str, Any] = {"size": tuple[_Side, _Side], "heats": tuple[_HeatText, ...]}
    checked: dict[str, Any] = {
        each.name: (own.get(each.name, hints[each.name]), _default(each)) for each in fields(Attribution)
    }
    return create_model("_Text", __base__=_Strict, **checked)


def _default(field: Field[Any]) -> Any:
    """What stands for a field that the file of an earlier version does not have."""
    if field.default_factory is not MISSING:
        return Checked(default_factory=field.default_factory)
    return ... if field.default is MISSING else field.default


_Text = _text_model()
"""Everything of an attribution but its arrays."""


def write_attribution(path: Path, attribution: Attribution) -> None:
    """Write an attribution; heat is rounded to a two-thousandth of its strongest.

    Raises:
        UnwritableFile: If the place takes no file.
    """
    arrays: dict[str, np.ndarray] = {"text": np.array(json.dumps(_described(attribution)))}
    for number, heat in enumerate(attribution.heats):
        strongest = float(np.abs(heat.values).max(initial=0.0))
        arrays[f"strongest_{number}"] = np.array(strongest)
        arrays[f"heat_{number}"] = (heat.values / (strongest or 1.0)).astype(_KEPT)
        arrays[f"times_{number}"] = heat.times
        if heat.points is not None:
            arrays[f"points_{number}"] = heat.points
    with replacing(path) as scratch, scratch.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # its stubs take them for its other argument


def read_attribution(path: Path) -> Attribution:
    """Inverse of `write_attribution`.

    Raises:
        InvalidAnnotation: If the file is no attribution.
    """
    try:
        arrays = read_arrays(path)
        text: dict[str, Any] = json.loads(str(arrays["text"][()]))
        if text.pop("format") != _FORMAT:
            raise InvalidAnnotation(f"{path} is an explanation in a format that this version does not know.")
        plain = _Text.model_validate(text)
        heats = tuple(_heat(arrays, number, each, plain) for number, each in enumerate(plain.heats))
        if not heats:
            raise BrokenArchive("it holds no heat")
        rest = {each.name: getattr(plain, each.name) for each in fields(Attribution)}
        return Attribution(**{**rest, "heats": heats})
    except (BrokenArchive, InvalidSetting, AttributeError, RecursionError, *BROKEN) as error:
        raise InvalidAnnotation(
            f"{path} is not an explanation that can be read: {error}. Delete it; it is made again."
        ) from error


class StoredAttributions(Sequence[Attribution]):
    """Attributions of files, of which each is read when it is asked for.

    Args:
        files: In their order.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = tuple(files)

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, place: int) -> Attribution: ...
    @overload
    def __getitem__(self, place: slice) -> StoredAttributions: ...
    def __getitem__(self, place: int | slice) -> Attribution | StoredAttributions:
        if isinstance(place, slice):
            return StoredAttributions(self._files[place])
        return read_attribution(self._files[place])


def _described(attribution: Attribution) -> dict[str, Any]:
    """Everything but the arrays, as plain values."""
    heats = [
        {
            "model": heat.model,
            "spec": heat.spec.to_json(),
            "view": heat.view,
            "full": heat.full,
            "placement": None if heat.placement is None else asdict(heat.placement),
            "method": heat.method,
            "signed": heat.signed,
            "sums_up": heat.sums_up,
        }
        for heat in attribution.heats
    ]
    plain = {each.name: getattr(attribution, each.name) for each in fields(Attribution)}
    measured = {model: each.to_json() for model, each in attribution.faithfulness.items()}
    streams = [asdict(stream) for stream in attribution.streams]
    return {"format": _FORMAT, **plain, "faithfulness": measured, "streams": streams, "heats": heats}


def _heat(arrays: dict[str, np.ndarray], number: int, plain: _HeatText, text: Any) -> InputHeat:
    values = arrays[f"heat_{number}"].astype(np.float32) * np.float32(arrays[f"strongest_{number}"])
    times, points = arrays[f"times_{number}"].astype(np.float64), arrays.get(f"points_{number}")
    if values.ndim != 3 or not len(values) or times.shape != values.shape[:1]:
        raise BrokenArchive(f"its heat {values.shape} is not of {times.shape} frames")
    if not (np.isfinite(values).all() and np.isfinite(times).all()):
        raise BrokenArchive("its heat or its times are not all numbers")
    placement = None if plain.placement is None else Placement(**dict(plain.placement))
    if placement is not None and placement.clip_size != values.shape[1:]:
        raise BrokenArchive(f"its heat {values.shape} is not of clips of {placement.clip_size}")
    if placement is None and (
        points is None or points.shape[:-1] != values.shape or points.shape[-1] not in (3, 4)
    ):
        raise BrokenArchive("its heat is neither of pixels nor of joints")
    spec = ClipSpec.from_json(plain.spec)
    return InputHeat(
        plain.model, spec, plain.view, times, values, plain.full, placement, points,
        plain.method,
        text.signed if plain.signed is None else plain.signed,
        text.residual is not None if plain.sums_up is None else plain.sums_up,
    )  # fmt: skip
