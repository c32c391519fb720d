"""The temporal shift.

Lin, Gan, Han: "TSM: Temporal Shift Module for Efficient Video Understanding", ICCV 2019,
https://arxiv.org/abs/1811.08383, section 3.

B batch, C channels, T time, H W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TemporalShift(nn.Module):
    """Exchange channels between neighbouring frames `(B, C, T, H, W)`; what leaves the clip is lost.

    Args:
        channels: C.
        division: One part in `division` comes from each neighbour.
        causal: Whether the past is the only neighbour.
    """

    def __init__(self, channels: int, *, division: int = 8, causal: bool = False) -> None:
        super().__init__()
        self.part = channels // division
        self.causal = causal

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        if self.causal:
            return self.carry(x_BCTHW, None)[0]
        n = self.part
        out = torch.empty_like(x_BCTHW)
        out[:, :n, :-1] = x_BCTHW[:, :n, 1:]
        out[:, :n, -1] = 0
        out[:, n : 2 * n, 1:] = x_BCTHW[:, n : 2 * n, :-1]
        out[:, n : 2 * n, 0] = 0
        out[:, 2 * n :] = x_BCTHW[:, 2 * n :]
        return out

    def carry(self, x_BCTHW: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """Causal shift that continues an earlier clip.

        Args:
            x_BCTHW: The next frames.
            past: What the previous call returned; None at the start (zeros).

        Returns:
            The shifted frames, and what the next call takes as `past`.
        """
        n = self.part
        out = torch.empty_like(x_BCTHW)
        out[:, :n, 1:] = x_BCTHW[:, :n, :-1]
        out[:, :n, :1] = 0 if past is None else past
        out[:, n:] = x_BCTHW[:, n:]
        return out, x_BCTHW[:, :n, -1:].clone()
