"""Gradients along the straight path between two inputs, with more points where a sum misses.

Gauss-Legendre quadrature is good for smooth scores, and misses where a network has kinks (ReLU, maxima,
distances) or jumps on the way. What a piece of the path has to sum up to is known without quadrature: the
score's difference between its ends. So the path is cut into pieces, and the piece that misses most is halved
until all of them together miss little enough, or no more points are allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kinesphere.explain.varied import Varied

_ENOUGH = 0.005
"""Of the score's difference: half of what is promised, so that rounding does not break the promise."""
_PIECES = 8
_FEWER = 4
"""A piece has so many times fewer points than the path had as a whole."""


@dataclass(frozen=True)
class _Piece:
    """A part of the path from `low` to `high`, as shares of it, with its attributions."""

    low: float
    high: float
    parts: tuple[Tensor, ...]
    missed: float


class Path:
    """The straight path from one clip without content to a clip.

    Args:
        varied: The score by what varies.
        clip: `(1, T, ...)` each.
        origin: Where the path begins, of the same shapes.
        batch: Points of the path that run through the network together.
    """

    def __init__(self, varied: Varied, clip: Sequence[Tensor], origin: Sequence[Tensor], batch: int) -> None:
        self._varied, self._held, self._batch = varied, varied.held(clip), batch
        self._begin, self._end = varied.free(origin), varied.free(clip)

    def integral(self, steps: int, most: int) -> tuple[Tensor, ...]:
        """Attributions that add up to the score's difference, of the shapes that vary.

        Args:
            steps: Points of the path at first.
            most: Points of all pieces together, beyond which a sum that misses stays.
        """
        whole = self._piece(0.0, 1.0, steps)
        pieces, fewer = [whole], max(1, steps // _FEWER)
        used = 0
        difference = sum(float(part.sum(dtype=torch.float64)) for part in whole.parts) - whole.missed
        while abs(sum(piece.missed for piece in pieces)) > _ENOUGH * abs(difference):
            worst = max(pieces, key=lambda piece: abs(piece.missed))
            count = _PIECES if worst is whole else 2
            used += count * fewer
            if used > most:
                break
            pieces.remove(worst)
            step = (worst.high - worst.low) / count
            pieces += [
                self._piece(worst.low + i * step, worst.low + (i + 1) * step, fewer) for i in range(count)
            ]
        return tuple(torch.stack(parts).sum(0) for parts in zip(*(p.parts for p in pieces), strict=True))

    def _piece(self, low: float, high: float, steps: int) -> _Piece:
        from captum.attr import IntegratedGradients

        ends = [
            tuple(torch.lerp(a, b, share).detach() for a, b in zip(self._begin, self._end, strict=True))
            for share in (low, high)
        ]
        parts, missed = IntegratedGradients(self._varied).attribute(
            ends[1],
            baselines=ends[0],
            additional_forward_args=self._held,
            n_steps=steps,
            internal_batch_size=self._batch,
            return_convergence_delta=True,
        )
        return _Piece(low, high, tuple(part.detach() for part in parts), float(missed))
