from __future__ import annotations

import multiprocessing

import pytest

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.workers import refuse_in_workers, start_method


def test_processes_are_forked_on_linux_and_spawned_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for platform, method in (("linux", "fork"), ("darwin", "spawn"), ("win32", "spawn")):
        monkeypatch.setattr("sys.platform", platform)
        assert start_method() == method


def test_a_script_without_a_guard_is_told_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_in_workers("Training")
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(
        InvalidSetting, match=r'Training starts processes.*below `if __name__ == "__main__":`'
    ):
        refuse_in_workers("Training")
