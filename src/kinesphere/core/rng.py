"""Single random numbers from a `torch.Generator`, the one source of randomness in this package."""

from __future__ import annotations

import torch


def uniform(generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    """A number in `[low, high)`."""
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def integer(generator: torch.Generator, low: int, high: int) -> int:
    """A whole number in `[low, high]`, both ends included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def happens(generator: torch.Generator, probability: float) -> bool:
    """True with this probability. Draws a number even when the outcome is certain."""
    return uniform(generator) < probability


def beta(generator: torch.Generator, alpha: float) -> float:
    """A number in [0, 1] from the Beta(alpha, alpha) distribution."""
    # torch's Beta distribution takes no generator; its Dirichlet sampler does.
    concentration = torch.full((2,), alpha, dtype=torch.float64)
    return float(torch._sample_dirichlet(concentration, generator=generator)[0])
