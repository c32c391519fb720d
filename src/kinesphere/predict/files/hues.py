"""Colours of labels, the same in pictures and pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_HUES = (
    "#2dbfae", "#fb8a4a", "#7894ff", "#f4c448", "#d66ebe", "#8cc85a",
    "#5abef0", "#f06e6e", "#b9a1ff", "#c9a36a", "#4fd18b", "#a9b4bc",
)  # fmt: skip
_PALER = 0.5
"""How much of white is in the second dozen."""
INK = "#14181b"
"""Text on any of them."""


def hues(labels: Iterable[str]) -> Mapping[str, str]:
    """A colour for each label in order of appearance: twelve, the same ones paler, and all of them again."""
    every = (*_HUES, *map(_pale, _HUES))
    return {label: every[i % len(every)] for i, label in enumerate(dict.fromkeys(labels))}


def _pale(hue: str) -> str:
    """A colour between this one and white."""
    parts = (int(hue[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(part + _PALER * (255 - part)):02x}" for part in parts)
