"""Makers of videos for this room, and a method whose heat is known."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kinesphere.explain.method import METHODS

sys.path[:0] = [str(Path(__file__).parents[1] / "video"), str(Path(__file__).parent)]


@pytest.fixture
def brightness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `brightness` be asked for."""
    from stand_ins import Brightness

    list(METHODS)
    monkeypatch.setitem(METHODS._members, "brightness", Brightness())
