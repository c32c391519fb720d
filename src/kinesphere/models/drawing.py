"""`Drawing`: modules that draw joints as maps, for networks that look at the maps alone."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Drawing(Protocol):
    """A module from joints `(B, T, P, J, C)`, the last of C their score, to K maps `(B, T, K, H, W)`.

    People share a map; joints without a score are not drawn.
    """

    def parts_of_maps(self, joints: int) -> Tensor:
        """`(K, J)`: the part of each map that each of J joints has, 1 over all of them."""
        ...
