"""One of several training processes; started by `launch`, or by torchrun on several machines.

torchrun --nnodes 2 --nproc-per-node 8 … -m kinesphere.train.worker RUN_FOLDER
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch.distributed
from torch.distributed.elastic.multiprocessing.errors import record

from kinesphere.core.errors import KinesphereError
from kinesphere.core.signals import end_silently, end_with

_LATER_S = 5.0
# As long as torch's launcher leaves to processes that it has asked to end.
_GRACE_S = 30.0


@record
def main(folder: str, parent: str | None = None) -> None:
    """Fit the run in `folder` as this process's share."""
    from kinesphere.train.recipe import Recipe
    from kinesphere.train.resolve import read_samples, resolve
    from kinesphere.train.resume import check_data
    from kinesphere.train.run_folder import RunFiles
    from kinesphere.train.splits_csv import SplitTable
    from kinesphere.train.trainer import fit

    if parent is not None:
        end_with(int(parent))
    files = RunFiles(Path(folder))
    # Launched by `train`, the run is claimed already; by torchrun, its first process claims it for all.
    alone = parent is None and int(os.environ.get("RANK", "0")) == 0
    with files.claimed() if alone else nullcontext():
        end_silently()
        if int(os.environ.get("RANK", "0")):
            logging.getLogger("kinesphere").setLevel(logging.ERROR)  # what it has to say, the first one says
        with (
            _silent() if parent is not None else nullcontext()
        ):  # `train` has said what is wrong with the data
            recipe = Recipe.load(files.recipe)
            resolved, parts = resolve(recipe, read_samples(recipe))
        if parent is None and files.splits.is_file():
            check_data(files, parts)
        elif alone and not files.holds_a_run:
            SplitTable.of(parts.whole, parts.uses(), parts.contents).write(files.splits)
        try:
            fit(resolved, parts)
        except KinesphereError:
            raise
        except Exception as error:
            # Most likely another process has ended, and talking to it failed. Its end is what counts: the
            # launcher hears of it, and ends this one without a word.
            time.sleep(_LATER_S)
            if _tells_of_another(error):
                os._exit(1)
            time.sleep(_GRACE_S)
            raise


@contextmanager
def _silent() -> Iterator[None]:
    """Within the block nothing but errors is logged."""
    logger = logging.getLogger("kinesphere")
    before = logger.level
    logger.setLevel(max(before, logging.ERROR))
    try:
        yield
    finally:
        logger.setLevel(before)


def _tells_of_another(error: Exception) -> bool:
    """Whether an error says no more than that another process cannot be reached."""
    from torch.distributed import DistError

    return isinstance(error, DistError) or bool(re.search(r"gloo|closed by peer|reset by peer", str(error)))


def _leave() -> None:
    """End this process, its work done and written, without taking the interpreter down first.

    Threads of torch and gloo may still run. One that asks for the interpreter while that is taken down is
    unwound through code that forbids it, and the process, long done, aborts.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    for child in multiprocessing.active_children():  # loading workers, which nothing else would end at once
        child.terminate()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
    _leave()
