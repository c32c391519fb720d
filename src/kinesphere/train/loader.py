"""`ResumableLoader`: batches from anywhere in the run, and how long training waited for them."""

from __future__ import annotations

import time
from collections.abc import Iterator

from kinesphere.core.closing import Closing
from kinesphere.core.signals import raise_if_stopped, shielded
from kinesphere.data.dataset import Batch
from kinesphere.data.loader import ClipLoader
from kinesphere.data.sampler import EpochSampler


class ResumableLoader(Closing):
    """One epoch per iteration, from the position on.

    The position moves before a batch is handed over, so a state saved while a batch is being worked
    on, or after, continues behind it. Nothing is fetched before the first `next`, when the position
    is sure to be restored.

    Args:
        loader: Loads what an `EpochSampler` draws.
    """

    def __init__(self, loader: ClipLoader) -> None:
        assert isinstance(loader.sampler, EpochSampler)
        self.loader = loader
        self._sampler = loader.sampler
        self.epoch = 0
        self.batch = 0
        self.waited_s = 0.0
        """Seconds that `next` has taken since the loader was made."""

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        start, count = self.batch, len(self)
        self._sampler.resume_at(self.epoch, start)
        began = time.perf_counter()
        with shielded():
            batches = iter(self.loader)
        for number in range(start, count):
            raise_if_stopped()
            batch = next(batches)
            self.waited_s += time.perf_counter() - began
            last = number + 1 == count
            self.epoch, self.batch = (self.epoch + 1, 0) if last else (self.epoch, number + 1)
            yield batch
            began = time.perf_counter()

    def close(self) -> None:
        """End the processes that load."""
        self.loader.close()

    def state_dict(self) -> dict[str, int]:
        """The position: epoch, and batch within it."""
        return {"epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a position."""
        self.epoch, self.batch = state["epoch"], state["batch"]
