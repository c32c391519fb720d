"""Stochastic depth: residual branches that are left out at random while training.

Huang, Sun, Liu, Sedra, Weinberger: "Deep Networks with Stochastic Depth", ECCV 2016,
https://arxiv.org/abs/1603.09382, section 3.
"""

from __future__ import annotations

from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """Zeroes a residual branch for some clips of a training batch and scales it up for the others.

    Args:
        rate: Probability with which a clip goes without the branch.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """`x (B, ...)`, the branch's output."""
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        mask = x.new_empty((len(x), *[1] * (x.dim() - 1))).bernoulli_(keep)
        return x * mask / keep

    def extra_repr(self) -> str:
        return f"{self.rate:g}"


def rising_rates(last: float, depth: int) -> list[float]:
    """Rates of `depth` blocks, from 0 in the first to `last` in the last."""
    return [last * i / max(1, depth - 1) for i in range(depth)]
