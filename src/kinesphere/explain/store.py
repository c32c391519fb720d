"""Attributions on disk: an `.npz` with the heat, and what it is of as JSON among its arrays."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.clips.npz import BROKEN, BrokenArchive, read_arrays
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.files import replacing
from kinesphere.explain.attribution import Attribution, InputHeat
from kinesphere.explain.faithfulness import Curve, Faithfulness
from kinesphere.explain.geometry import Placement

SUFFIX = ".heat.npz"
_FORMAT = 1
_KEPT = np.float16
"""Of heat as a share of its strongest."""


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
        heats = tuple(_heat(arrays, number, each) for number, each in enumerate(text.pop("heats")))
        faithful = {name: _faithfulness(each) for name, each in text.pop("faithfulness").items()}
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in text.items()
        }
        return Attribution(**plain, heats=heats, faithfulness=faithful)
    except (BrokenArchive, InvalidSetting, AttributeError, RecursionError, *BROKEN) as error:
        raise InvalidAnnotation(f"{path} is not an explanation that can be read: {error}.") from error


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


def _faithfulness(plain: dict[str, Any]) -> Faithfulness:
    return Faithfulness(**{**plain, "curves": tuple(Curve(**each) for each in plain["curves"])})


def _heat(arrays: dict[str, np.ndarray], number: int, plain: dict[str, Any]) -> InputHeat:
    values = arrays[f"heat_{number}"].astype(np.float32) * np.float32(arrays[f"strongest_{number}"])
    times = arrays[f"times_{number}"]
    if values.ndim != 3 or times.shape != values.shape[:1]:
        raise BrokenArchive(f"its heat {values.shape} is not of {times.shape} frames")
    placement = plain["placement"]
    if placement is not None:
        sizes = {name: tuple(placement[name]) for name in ("source_size", "clip_size")}
        placement = Placement(**{**placement, **sizes})
    return InputHeat(
        plain["model"], ClipSpec.from_json(plain["spec"]), int(plain["view"]), times, values,
        float(plain["full"]), placement, arrays.get(f"points_{number}"),
    )  # fmt: skip
