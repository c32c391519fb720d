"""`bounded_map`: one function over many files in processes that may hang or die."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

import cv2
import torch

from kinesphere.core.signals import end_with, leave_to_parent, raise_if_stopped, shielded
from kinesphere.core.skipped import Skipped
from kinesphere.core.workers import refuse_in_workers, start_method

A = TypeVar("A")
R = TypeVar("R")

# What a worker sends instead of an answer, which is a pair.
_PROGRESS: tuple[()] = ()
# What a process may take until it begins, where it loads all libraries anew.
_STARTS_S = 60.0
# Signs of progress are sent no more often.
_QUIET_S = 0.2
# A worker's way to its parent, and when it last spoke.
_LINE: list[Any] = [None, 0.0]


@dataclass
class _Worker(Generic[A]):
    process: BaseProcess
    connection: Connection
    argument: A
    deadline_s: float


def bounded_map(
    function: Callable[[A], R], arguments: Iterable[A], *, workers: int, timeout_s: float
) -> Iterator[tuple[A, R | Skipped]]:
    """Call `function` on every argument in worker processes; pairs come as they are done.

    A call that makes no progress for too long has its process killed, and one whose process dies is given
    up; both come as `Skipped`, and the others go on. A call that never says `progressed` has to end in time.

    Args:
        function: A module-level function; what it raises is raised here.
        arguments: What to call it on; anything that pickles.
        workers: Processes at a time, at least 1.
        timeout_s: Longest time for one call, once its process is there, or between two signs of progress.

    Raises:
        InvalidSetting: If a spawned worker runs the script that started it from its top.
    """
    refuse_in_workers("Work on many files")
    context = multiprocessing.get_context(start_method())
    waiting = iter(arguments)
    idle: list[tuple[BaseProcess, Connection]] = []
    busy: dict[Connection, _Worker[A]] = {}
    try:
        while True:
            raise_if_stopped()
            while len(busy) < workers:
                try:
                    argument = next(waiting)
                except StopIteration:
                    break
                worker = _idle(idle, argument, timeout_s) or _start(context, function, argument, timeout_s)
                busy[worker.connection] = worker
            if not busy:
                return
            soonest_s = min(worker.deadline_s for worker in busy.values()) - time.monotonic()
            ready = set(wait(list(busy), timeout=max(soonest_s, 0.0)))
            for connection, worker in list(busy.items()):
                if connection in ready:
                    answer = _receive(worker)
                    if answer is _PROGRESS:
                        worker.deadline_s = time.monotonic() + timeout_s
                        continue
                    del busy[connection]
                    if not isinstance(answer, Skipped):
                        idle.append((worker.process, connection))
                        result, error = answer
                        if error is not None:
                            raise error
                        answer = result
                    yield worker.argument, answer
                elif time.monotonic() > worker.deadline_s:
                    del busy[connection]
                    _stop(worker.process, connection)
                    yield (
                        worker.argument,
                        Skipped(str(worker.argument), f"it took longer than {timeout_s:g} s and was stopped"),
                    )
    finally:
        for process, connection in [*idle, *((w.process, w.connection) for w in busy.values())]:
            _stop(process, connection)


def progressed() -> None:
    """Say in a worker that the present call goes on well; elsewhere it does nothing. Cheap to call often."""
    connection, said_s = _LINE
    if connection is not None and time.monotonic() - said_s > _QUIET_S:
        _LINE[:] = connection, time.monotonic()
        connection.send(_PROGRESS)


def _receive(worker: _Worker[A]) -> Any:
    """What a worker sends: a pair of result and error, or the sign of progress; `Skipped` if it died."""
    try:
        return worker.connection.recv() or _PROGRESS
    except (EOFError, OSError):  # before its answer, or in the middle of it
        worker.process.join()
        _stop(worker.process, worker.connection)
        return Skipped(
            str(worker.argument), f"the process that read it died (exit code {worker.process.exitcode})"
        )


def _idle(idle: list[tuple[BaseProcess, Connection]], argument: A, timeout_s: float) -> _Worker[A] | None:
    """An idle worker that has taken the argument; what has died while it was idle goes."""
    while idle:
        process, connection = idle.pop()
        try:
            connection.send(argument)
        except OSError:
            _stop(process, connection)
        else:
            return _Worker(process, connection, argument, time.monotonic() + timeout_s)
    return None


def _start(
    context: multiprocessing.context.BaseContext, function: Callable[[A], R], argument: A, timeout_s: float
) -> _Worker[A]:
    """A new worker that is given its first argument; its time begins anew once it says that it is there."""
    ours, theirs = context.Pipe()
    process = context.Process(  # type: ignore[attr-defined]
        target=_serve, args=(theirs, ours, function, os.getpid()), daemon=True
    )
    with shielded():
        process.start()
    theirs.close()
    with suppress(OSError):  # it may have died already, as its silence will tell
        ours.send(argument)
    return _Worker(process, ours, argument, time.monotonic() + _STARTS_S + timeout_s)


def _stop(process: BaseProcess, connection: Connection) -> None:
    connection.close()
    process.kill()
    process.join()


def _serve(connection: Connection, other_end: Connection, function: Callable[[A], R], parent: int) -> None:
    """A worker's life: answer until the parent hangs up, or is no more."""
    leave_to_parent()
    end_with(parent)
    other_end.close()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    _LINE[:] = connection, 0.0
    with suppress(OSError):  # the time of the first call begins; nobody may be there any more
        connection.send(_PROGRESS)
    while True:
        try:
            argument = connection.recv()
        except EOFError:
            return
        try:
            connection.send((function(argument), None))
        except Exception as error:
            connection.send((None, error))
