"""`EpochSampler`: the order in which an epoch visits the samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal

import numpy as np
from torch.utils.data import Sampler

from kinesphere.core.errors import InvalidSetting

Balance = Literal["none", "sqrt", "equal"]
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, slots=True)
class Draw:
    """One visit to a sample; everything that its randomness depends on besides the seed.

    Attributes:
        index: Position of the sample in the manifest.
        epoch: The epoch.
        repeat: How often the epoch has drawn this sample before (balanced sampling repeats).
    """

    index: int
    epoch: int = 0
    repeat: int = 0


@dataclass(frozen=True)
class SetShares:
    """How the draws of an epoch divide over several data sets.

    Attributes:
        of: Number of the set of each sample, from 0.
        weights: Of each set, above 0; its share of the draws is its weight by their sum.
        alternating: Whether each batch is of one set; else sets are mixed within batches.
    """

    of: Sequence[int] = field(repr=False)
    weights: tuple[float, ...]
    alternating: bool = False

    def fractions(self) -> np.ndarray:
        """`(sets,)` shares that sum to 1."""
        weights = np.array(self.weights, dtype=float)
        fractions: np.ndarray = weights / weights.sum()
        return fractions


@dataclass(eq=False)
class EpochSampler(Sampler[Draw]):
    """Draws of one epoch, a function of (seed, epoch) alone.

    The same epoch comes out whatever the number of workers, and, joined over ranks, whatever the
    number of processes: batch k of all ranks together is the k-th slice of one global order.

    Args:
        targets: Class indices per sample, as `Manifest.targets` gives them.
        batch_size: Samples per batch of one process.
        shuffle: New order every epoch; else the manifest's.
        balance: `equal` draws each class equally often, `sqrt` in proportion to the square root of
            its count, `none` each sample once. An epoch always has as many draws as there are
            samples; within a class samples take turns.
        drop_last: Drop the samples that fill no whole batch on every process. Otherwise the last batch
            is smaller, and with several processes the first draws come again until all have the same
            number.
        seed: Seed of the order.
        rank: Number of this process, from 0.
        world: Number of processes.
        shares: How draws divide over data sets, within each of which `balance` holds; None where there is
            one. Mixed, the shares hold in every epoch to the draw; alternating, to the batch and over epochs.

    Raises:
        InvalidSetting: If the settings contradict each other or leave an epoch empty.
    """

    targets: Sequence[tuple[int, ...]] = field(repr=False)
    batch_size: int
    _: KW_ONLY
    shuffle: bool
    balance: Balance = "none"
    drop_last: bool = False
    seed: int = 0
    rank: int = 0
    world: int = 1
    shares: SetShares | None = None
    epoch: int = field(default=0, init=False)
    _resume: tuple[int, int] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InvalidSetting(f"A batch holds at least one sample; got batch size {self.batch_size}.")
        if not 0 <= self.rank < self.world:
            raise InvalidSetting(f"Ranks run from 0 to {self.world - 1}; got {self.rank}.")
        if self.balance not in ("none", "sqrt", "equal"):
            raise InvalidSetting(f"Unknown balance {self.balance!r}; use none, sqrt or equal.")
        if self.balance != "none" and not self.shuffle:
            raise InvalidSetting("Balanced sampling draws at random; set shuffle, or leave balance at none.")
        if self.balance != "none" and any(len(target) != 1 for target in self.targets):
            raise InvalidSetting("Balanced sampling needs exactly one label per sample; use balance none.")
        if self.shares is not None:
            self._check_shares(self.shares)
        if self.drop_last and len(self.targets) < self.batch_size * self.world:
            raise InvalidSetting(
                f"{len(self.targets)} samples do not fill one batch of {self.batch_size} on {self.world} "
                "processes; lower the batch size or keep the last batch."
            )

    def _check_shares(self, shares: SetShares) -> None:
        sets = range(len(shares.weights))
        if len(shares.of) != len(self.targets) or set(shares.of) != set(sets) or min(shares.weights) <= 0:
            raise InvalidSetting(
                f"Shares need a set for each of the {len(self.targets)} samples, samples in each set and "
                f"weights above 0; got {len(shares.of)} samples and the weights {shares.weights}."
            )
        if not self.shuffle:
            raise InvalidSetting("Shares of data sets are drawn at random; set shuffle, or leave them out.")

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.epoch = epoch

    def resume_at(self, epoch: int, batch: int) -> None:
        """Make iterations over `epoch` start at its batch number `batch`, to go on after a stop."""
        self.epoch = epoch
        self._resume = (epoch, batch)

    def __len__(self) -> int:
        """Draws of a whole epoch on this process."""
        per_step = self.batch_size * self.world
        count = len(self.targets)
        if self.drop_last:
            return count // per_step * self.batch_size
        return -(-count // self.world)

    def __iter__(self) -> Iterator[Draw]:
        order = self._order()
        total = len(self) * self.world
        order = np.resize(order, total)  # cuts the tail, or starts again from the front
        seen: dict[int, int] = {}
        draws = []
        for index in order.tolist():
            draws.append(Draw(index, self.epoch, seen.get(index, 0)))
            seen[index] = draws[-1].repeat + 1
        start = 0
        if self._resume is not None and self._resume[0] == self.epoch:
            start = self._resume[1] * self.batch_size
        yield from draws[self.rank :: self.world][start:]

    def _order(self) -> np.ndarray:
        count = len(self.targets)
        if not self.shuffle:
            return np.arange(count)
        generator = np.random.default_rng([self.seed, self.epoch])
        if self.shares is not None:
            alternating = self.shares.alternating
            return (self._alternating if alternating else self._mixed)(self.shares, generator)
        if self.balance == "none":
            return generator.permutation(count)
        return generator.permutation(self._drawn(np.arange(count), count, generator))

    def _mixed(self, shares: SetShares, generator: np.random.Generator) -> np.ndarray:
        """All draws of an epoch in one order."""
        quotas = _apportion(len(self.targets), shares.fractions(), generator)
        of = np.array(shares.of)
        drawn = [
            self._drawn(np.flatnonzero(of == number), quota, generator) for number, quota in enumerate(quotas)
        ]
        return generator.permutation(np.concatenate(drawn))

    def _alternating(self, shares: SetShares, generator: np.random.Generator) -> np.ndarray:
        """Batch after batch of one set each.

        Which one follows from the batch's number in the run by multiples of the golden ratio, which keep to
        the shares as closely as whole batches can, also over epochs of few batches.
        """
        per_step = self.batch_size * self.world
        steps = -(-len(self) * self.world // per_step)
        numbers = self.epoch * steps + np.arange(steps)
        places = (numbers * _GOLDEN + 0.5) % 1
        chosen = np.searchsorted(np.cumsum(shares.fractions())[:-1], places, side="right")
        of = np.array(shares.of)
        order = np.empty((steps, per_step), dtype=int)
        for number in range(len(shares.weights)):
            mine = np.flatnonzero(chosen == number)
            drawn = self._drawn(np.flatnonzero(of == number), len(mine) * per_step, generator)
            if self.balance != "none":  # it comes class by class
                drawn = generator.permutation(drawn)
            order[mine] = drawn.reshape(len(mine), per_step)
        return order.ravel()

    def _drawn(self, members: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
        """`count` draws from `members` as `balance` says; within a class, or all of them, in turn."""
        if self.balance == "none":
            return _take_turns(members, count, generator)
        classes = np.array([self.targets[member][0] for member in members])
        names, sizes = np.unique(classes, return_counts=True)
        weights = np.sqrt(sizes) if self.balance == "sqrt" else np.ones(len(names))
        quotas = _apportion(count, weights / weights.sum(), generator)
        drawn = [
            _take_turns(members[classes == name], quota, generator)
            for name, quota in zip(names, quotas, strict=True)
        ]
        return np.concatenate(drawn)


def _apportion(total: int, fractions: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Whole numbers that sum to `total` and follow `shares`; remainders fall at random."""
    exact = total * fractions
    quotas: np.ndarray = np.floor(exact).astype(int)
    order = generator.permutation(len(fractions))
    order = order[np.argsort(-(exact - quotas)[order], kind="stable")]
    quotas[order[: total - quotas.sum()]] += 1
    return quotas


def _take_turns(members: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """`count` draws from `members`, each as often as any other, give or take one."""
    rounds = -(-count // len(members))
    shuffled = [generator.permutation(members) for _ in range(rounds)]
    return np.concatenate([np.empty(0, dtype=int), *shuffled])[:count]
