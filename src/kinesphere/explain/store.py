"""Attributions on disk: an `.npz` with the heat, and what it is of as JSON among its arrays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, overload

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from kinesphere.clips.npz import BROKEN, BrokenArchive, read_arrays
from kinesphere.clips.spec import LARGEST_SIDE_PX, ClipSpec
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.files import replacing
from kinesphere.explain.attribution import Attribution, InputHeat
from kinesphere.explain.faithfulness import Faithfulness
from kinesphere.explain.geometry import Placement

SUFFIX = ".heat.npz"
_FORMAT = 1
_KEPT = np.float16
"""Of heat as a share of its strongest."""


_Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE_PX)]


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


class _Text(_Strict):
    """Everything of an attribution but its arrays."""

    source: str
    size: tuple[_Side, _Side]
    span: tuple[float, float]
    method: str
    label: str
    against: str | None
    probability: float
    score: float
    answer: tuple[str, float]
    signed: bool
    residual: float | None
    notes: tuple[str, ...]
    faithfulness: dict[str, Faithfulness]
    heats: tuple[_HeatText, ...]


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
        heats = tuple(_heat(arrays, number, each) for number, each in enumerate(plain.heats))
        if not heats:
            raise BrokenArchive("it holds no heat")
        rest = {name: getattr(plain, name) for name in _Text.model_fields if name != "heats"}
        return Attribution(**rest, heats=heats)
    except (BrokenArchive, InvalidSetting, AttributeError, RecursionError, *BROKEN) as error:
        raise InvalidAnnotation(f"{path} is not an explanation that can be read: {error}.") from error


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
        }
        for heat in attribution.heats
    ]
    names = (
        "source", "size", "span", "method", "label", "against", "probability", "score", "answer", "signed",
        "residual", "notes",
    )  # fmt: skip
    measured = {model: each.to_json() for model, each in attribution.faithfulness.items()}
    plain = {name: getattr(attribution, name) for name in names}
    return {"format": _FORMAT, **plain, "faithfulness": measured, "heats": heats}


def _heat(arrays: dict[str, np.ndarray], number: int, plain: _HeatText) -> InputHeat:
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
    return InputHeat(plain.model, spec, plain.view, times, values, plain.full, placement, points)
