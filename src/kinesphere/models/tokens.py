"""`Tokens`: networks whose layers give a row of tokens, and tell where in the clip these lie."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

Grid = tuple[int, int, int]


@runtime_checkable
class Tokens(Protocol):
    """A network of tokens that lie on a grid over the clip, time slowest, class tokens left out."""

    def token_grid(self, x_BTCHW: Tensor, path: str) -> Grid:
        """Tokens along time, rows and columns.

        Args:
            x_BTCHW: The network's input.
            path: Dotted path of the layer whose output is asked about.
        """
        ...
