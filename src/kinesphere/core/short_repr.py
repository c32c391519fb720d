"""`short_repr`: a data class in one line, with shapes and types in place of whole arrays."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

_SHOWN = 3


def short_repr(instance: Any) -> str:
    """`Timeline(probabilities=float64 (12, 3), spans=float64 (12, 2), …)`, to be set as `__repr__`.

    Arrays and tensors show their type and shape, long tuples their first members and their length; fields
    that hold their default are left out.
    """
    shown = []
    for field in fields(instance):
        value = getattr(instance, field.name)
        if field.repr and not (field.default is not MISSING and value is field.default):
            shown.append(f"{field.name}={_short(value)}")
    return f"{type(instance).__name__}({', '.join(shown)})"


def _short(value: Any) -> str:
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, tuple) and len(value) > _SHOWN:
        first = ", ".join(map(_short, value[:_SHOWN]))
        return f"({first}, … {len(value)} in all)"
    if isinstance(value, tuple):
        return f"({', '.join(map(_short, value))}{',' * (len(value) == 1)})"
    return repr(value)
