"""Data classes of arrays are shown by shape and type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from kinesphere.core.short_repr import short_repr


@dataclass(frozen=True, eq=False, repr=False)
class Example:
    data: np.ndarray
    parts: tuple[torch.Tensor, ...]
    names: tuple[str, ...]
    note: str | None = None
    __repr__ = short_repr


def test_arrays_are_shown_by_shape_and_type_and_long_tuples_by_their_first_members() -> None:
    example = Example(np.zeros((400, 3)), (torch.zeros(2, 3),), tuple("abcdef"))
    assert repr(example) == (
        "Example(data=float64 (400, 3), parts=(float32 (2, 3),), names=('a', 'b', 'c', … 6 in all))"
    )
    assert repr(Example(np.zeros(1, bool), (), ("a",), "late")).endswith("names=('a',), note='late')")
