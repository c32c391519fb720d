"""Training in several processes: torch's elastic launcher runs one worker per share of the batch."""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path

from kinesphere.core import errors
from kinesphere.core.device import cpu_count
from kinesphere.core.errors import KinesphereError, WorkerFailed
from kinesphere.core.signals import raise_if_stopped, stop_by

# A Ctrl-C reaches the workers too, and loading what they need takes seconds: they end without a word.
BEGIN = (
    "from signal import *; signal(SIGINT, SIG_DFL); signal(SIGTERM, SIG_DFL); "
    "import runpy; runpy.run_module('kinesphere.train.worker', run_name='__main__', alter_sys=True)"
)


def fit_in_processes(folder: Path, processes: int) -> None:
    """Fit the run in `folder` (it holds a resolved recipe) with this many processes on this machine.

    Raises:
        KinesphereError: What a worker raised, or `WorkerFailed` if it died of something else.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("TORCHELASTIC_SIGNALS_TO_HANDLE", "SIGHUP,SIGQUIT")  # the others are ours
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cpu_count() // processes)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        monitor_interval=0.2,
    )
    launcher = elastic_launch(config, sys.executable)
    try:
        launcher("-u", "-c", BEGIN, str(folder), str(os.getpid()))
    except SignalException as error:  # versions of torch that take all signals for themselves
        raise stop_by(error.sigval) from None
    except ChildFailedError as error:
        raise_if_stopped()
        rank, failure = error.get_first_failure()
        raise _as_raised(rank, failure.message) from error


def _as_raised(rank: int, message: str) -> KinesphereError:
    """The worker's own error, from its text `Class: message`, where it is one of ours."""
    name, _, text = message.partition(": ")
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, KinesphereError):
        return kind(text)
    return WorkerFailed(f"Training process {rank} ended early: {message}. Its own output is above.")
