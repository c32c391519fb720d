"""`make_loader`: batches of a `ClipDataset`, loaded with settings that fit the machine."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import cv2
import torch
from torch.utils.data import DataLoader, get_worker_info

from kinesphere.core.closing import Closing
from kinesphere.core.device import cpu_count
from kinesphere.core.errors import InvalidSetting, WorkerFailed
from kinesphere.core.skipped import Skipped
from kinesphere.core.workers import refuse_in_workers, start_method
from kinesphere.data.dataset import Batch, ClipDataset, Item, collate
from kinesphere.data.sampler import Balance, EpochSampler, SetShares

_MOST_WORKERS = 16
_PREFETCH = 2


@dataclass(frozen=True)
class LoaderSettings:
    """How batches are fetched.

    Attributes:
        workers: Processes that read; 0 reads in the training process.
        pin_memory: Whether batches land in page-locked memory (with a GPU).
        context: How worker processes start.
    """

    workers: int
    pin_memory: bool
    context: Literal["fork", "spawn"] | None

    @classmethod
    def choose(cls, workers: int | Literal["auto"] = "auto", threads: int | None = None) -> Self:
        """Settings for this machine.

        `auto` takes one worker per core, at most 16. Where the network computes on the CPU itself, that is
        half the cores, or all those that its threads leave; it needs the cores more.

        Args:
            workers: Their number, or `auto`.
            threads: How many threads the network computes with on the CPU; None where it takes all cores.

        Raises:
            InvalidSetting: If `workers` is negative or another word.
        """
        has_gpu = torch.cuda.is_available()
        if workers == "auto":
            cores = cpu_count()
            count = cores if has_gpu else max(cores // 2, cores - (threads or cores))
            workers = min(max(count, 1), _MOST_WORKERS)
        if not isinstance(workers, int) or workers < 0:
            raise InvalidSetting(f"Loader workers are 'auto' or a number from 0; got {workers!r}.")
        # Workers run torch and OpenCV with one thread (see `begin_worker`): forked ones miss no thread
        # pool of the parent.
        return cls(workers, has_gpu, start_method() if workers else None)


class ClipLoader(DataLoader[Batch], Closing):
    """torch's loader, whose workers end when it is closed.

    They have to be ended while all that connects them with this process is alive. The garbage collector, to
    which a trainer's objects are left as they refer to each other, takes the queues first: the request to end
    is never sent, and torch waits five seconds for an answer.
    """

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """Batches in order; workers begin at once.

        Raises:
            WorkerFailed: If a batch does not fit into the memory that workers share with this process.
        """
        return _handed_over(super().__iter__())

    def close(self) -> None:
        """End the workers and drop what they have fetched; another iteration starts new ones."""
        iterator, self._iterator = self._iterator, None
        if iterator is not None:
            iterator._shutdown_workers()  # type: ignore[attr-defined]  # torch has no public name for it


def make_loader(
    dataset: ClipDataset,
    batch_size: int,
    *,
    workers: int | Literal["auto"] = "auto",
    balance: Balance = "none",
    drop_last: bool = False,
    rank: int = 0,
    world: int = 1,
    threads: int | None = None,
    shares: SetShares | None = None,
) -> ClipLoader:
    """Batches of a dataset: shuffled when it trains, in the manifest's order otherwise. Close it after use.

    The sampler is an `EpochSampler`: call `loader.sampler.set_epoch(n)` before each epoch, or
    `loader.sampler.resume_at(epoch, batch)` to continue within one.

    Args:
        dataset: What to load.
        batch_size: Samples per batch.
        workers: Processes that read, or `auto` for what fits the machine; the batches are the same.
        balance, drop_last, rank, world, shares: See `EpochSampler`.
        threads: See `LoaderSettings.choose`.

    Raises:
        InvalidSetting: If the settings contradict each other.
    """
    settings = LoaderSettings.choose(workers, threads)
    if settings.workers:
        refuse_in_workers("Reading clips")
    sampler = EpochSampler(
        dataset.manifest.targets,
        batch_size,
        shuffle=dataset.train,
        balance=balance,
        drop_last=drop_last,
        seed=dataset.seed,
        rank=rank,
        world=world,
        shares=shares,
    )
    return ClipLoader(
        dataset,  # type: ignore[arg-type]  # collate turns items into batches
        batch_size,
        sampler=sampler,
        collate_fn=_collate,
        num_workers=settings.workers,
        pin_memory=settings.pin_memory,
        prefetch_factor=_PREFETCH if settings.workers else None,
        persistent_workers=settings.workers > 0,
        multiprocessing_context=settings.context,
        worker_init_fn=begin_worker,
    )


def _collate(items: Sequence[Item | Skipped]) -> Batch | WorkerFailed:
    """The batch; in a worker, in shared memory already.

    Left to the queue, sharing would fail in a thread of its own, which drops the batch that is waited for.
    """
    batch = collate(items)
    if get_worker_info() is None:
        return batch
    tensors = (*batch.inputs, batch.targets)
    try:
        for tensor in tensors:
            tensor.share_memory_()
    except RuntimeError as error:
        size = sum(tensor.nbytes for tensor in tensors) / 2**20
        return WorkerFailed(
            f"A batch of {size:.1f} MiB does not fit into shared memory, through which loader workers hand "
            f"batches over ({error}). Give the container more (docker run --shm-size=1g), take smaller "
            "batches, or read without workers (compute.workers=0 in training)."
        )
    return batch


def _handed_over(batches: Iterator[Batch | WorkerFailed]) -> Iterator[Batch]:
    for batch in batches:
        if isinstance(batch, WorkerFailed):
            raise batch
        yield batch


def begin_worker(number: int) -> None:
    """What a loader's worker does first: it computes with one thread, and leaves signals to its parent."""
    cv2.setNumThreads(0)
    # Ctrl-C reaches the parent, which ends the workers; each printing a traceback helps nobody.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
