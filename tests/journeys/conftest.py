from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from kinesphere.apps.cli.main import run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def kinesphere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command, run in this process: words in; exit code, output and errors out."""

    def command(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kinesphere", *map(str, words)])
        capsys.readouterr()
        try:
            run()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *capsys.readouterr()

    return command
