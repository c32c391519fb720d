"""Colours of labels, the same in pictures and pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_HUES = (
    "#2dbfae", "#fb8a4a", "#7894ff", "#f4c448", "#d66ebe", "#8cc85a",
    "#5abef0", "#f06e6e", "#b9a1ff", "#c9a36a", "#4fd18b", "#a9b4bc",
)  # fmt: skip
INK = "#14181b"
"""Text on any of them."""


def hues(labels: Iterable[str]) -> Mapping[str, str]:
    """A colour for each label in order of appearance; they repeat after twelve."""
    return {label: _HUES[i % len(_HUES)] for i, label in enumerate(dict.fromkeys(labels))}
