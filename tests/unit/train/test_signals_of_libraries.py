"""Handlers and messages of Lightning and of torch's launcher that would come before ours."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch.distributed.launcher.api as launcher

from kinesphere.core import signals
from kinesphere.train.callbacks import HearSignals
from kinesphere.train.launch import fit_in_processes


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def heard(number: int, frame: object) -> None:
    """A handler of a library's, which would swallow the signal."""


@pytest.mark.parametrize("hook", ["on_fit_start", "on_train_start"])
@pytest.mark.parametrize("processes", [1, 2])
def test_handlers_of_lightning_go_whenever_it_installs_them(
    handlers: None, hook: str, processes: int
) -> None:
    """Which versions do before the start of the fit, and others between that and the start of training."""
    trainer: Any = SimpleNamespace(world_size=processes)
    with signals.stoppable():
        signal.signal(signal.SIGTERM, heard)
        getattr(HearSignals(), hook)(trainer, None)
        assert signal.getsignal(signal.SIGTERM) is (signals._handle if processes == 1 else signal.SIG_DFL)


def test_the_launcher_leaves_the_signals_and_says_nothing_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    given = []
    log = logging.getLogger("torch.distributed.elastic.multiprocessing.api")
    monkeypatch.setattr(log, "propagate", True)
    monkeypatch.setattr(log, "filters", [])

    def launch(config: Any, entrypoint: str) -> Any:
        given.append(config)
        return lambda *words: None

    monkeypatch.setattr(launcher, "elastic_launch", launch)
    fit_in_processes(tmp_path, 2)
    if hasattr(given[0], "signals_to_handle"):
        assert given[0].signals_to_handle == "SIGHUP,SIGQUIT"
    log.warning("process 1 has failed")
    monkeypatch.setattr("kinesphere.train.launch.stopped_by", lambda: signal.SIGTERM)
    log.warning("Sending process 1 closing signal SIGTERM")
    assert caplog.messages == ["process 1 has failed"]
