"""The one scale of colours of an explanation, with its numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_STRONGEST_ALPHA = 0.8


@dataclass(frozen=True)
class ColourScale:
    """Colours of heat: none where there is none, so that frames show through.

    Attributes:
        full: The heat, above or below zero, of full colour; 0 where there is no heat at all.
        signed: Whether heat below zero has colours of its own.
    """

    full: float
    signed: bool = False

    @property
    def name(self) -> str:
        """Name of the scale among matplotlib's."""
        return "RdBu_r" if self.signed else "inferno"

    @property
    def limits(self) -> tuple[float, float]:
        """Least and greatest heat of the scale."""
        top = self.full or 1.0
        return (-top, top) if self.signed else (0.0, top)

    def colours(self, heat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Colours uint8 `(..., 3)` of heat `(...)` and their opacity from 0 to 1."""
        from matplotlib import colormaps

        low, high = self.limits
        share = np.clip((heat - low) / (high - low), 0, 1)
        table = (colormaps[self.name](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
        strength = np.clip(np.abs(heat) / high, 0, 1)
        colours: np.ndarray = table[(share * 255).round().astype(np.uint8)]
        return colours, _STRONGEST_ALPHA * np.sqrt(strength)

    def over(self, frames: np.ndarray, heat: np.ndarray) -> np.ndarray:
        """Frames uint8 `(..., H, W, 3)` with heat `(..., H, W)` laid over them."""
        colours, alpha = self.colours(heat)
        mixed = frames * (1 - alpha[..., None]) + colours * alpha[..., None]
        painted: np.ndarray = mixed.round().astype(np.uint8)
        return painted
