"""Training in several processes: torch's elastic launcher runs one worker per share of the batch."""

from __future__ import annotations

import logging
import os
import sys
import uuid
from pathlib import Path

from kinesphere.core import errors
from kinesphere.core.device import cpu_count
from kinesphere.core.errors import KinesphereError, WorkerFailed
from kinesphere.core.signals import raise_if_stopped, stop_by, stopped_by
from kinesphere.core.threads import sleep_while_waiting

# A Ctrl-C reaches the workers too, and loading what they need takes seconds: they end without a word.
BEGIN = (
    "from signal import *; signal(SIGINT, SIG_DFL); signal(SIGTERM, SIG_DFL); "
    "import runpy; runpy.run_module('kinesphere.train.worker', run_name='__main__', alter_sys=True)"
)

_SIGNALS_OF_TORCH = "SIGHUP,SIGQUIT"
_LOGGERS_OF_TORCH = (
    "torch.distributed.elastic.agent.server.api",
    "torch.distributed.elastic.multiprocessing.api",
)


def fit_in_processes(folder: Path, processes: int) -> None:
    """Fit the run in `folder` (it holds a resolved recipe) with this many processes on this machine.

    Raises:
        KinesphereError: What a worker raised, or `WorkerFailed` if it died of something else.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    sleep_while_waiting()
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
    # The others are ours. Versions of torch know this by a field, or by the environment, or not at all.
    if hasattr(config, "signals_to_handle"):
        config.signals_to_handle = _SIGNALS_OF_TORCH
    else:
        os.environ.setdefault("TORCHELASTIC_SIGNALS_TO_HANDLE", _SIGNALS_OF_TORCH)
    launcher = elastic_launch(config, sys.executable)
    for name in _LOGGERS_OF_TORCH:
        logging.getLogger(name).addFilter(_unless_stopped)
    try:
        launcher("-u", "-c", BEGIN, str(folder), str(os.getpid()))
    except SignalException as error:  # versions of torch that take all signals for themselves
        raise stop_by(error.sigval) from None
    except ChildFailedError as error:
        raise_if_stopped()
        rank, failure = error.get_first_failure()
        raise _as_raised(rank, failure.message) from error


def _unless_stopped(record: logging.LogRecord) -> bool:
    """Whether a line of torch's launcher is shown: how it ends processes that a signal ends is not."""
    return stopped_by() is None


def _as_raised(rank: int, message: str) -> KinesphereError:
    """The worker's own error, from its text `Class: message`, where it is one of ours."""
    name, _, text = message.partition(": ")
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, KinesphereError):
        return kind(text)
    return WorkerFailed(f"Training process {rank} ended early: {message}. Its own output is above.")
