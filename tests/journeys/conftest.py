from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from kinesphere.apps.cli.main import run

# Makers of small videos of every kind, and of small public files.
sys.path += [str(Path(__file__).parents[1] / "unit" / room) for room in ("video", "models")]


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def kinesphere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """The command, run in this process: words in; exit code, output and errors out."""

    def command(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["kinesphere", *map(str, words)])
        capsys.readouterr()
        try:
            run()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Ended(code, *capsys.readouterr())

    return command
