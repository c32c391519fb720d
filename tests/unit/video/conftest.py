"""Lets the tests of this room import their makers of videos, and the maker of damaged ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Streams without a container are read here as others; what is said of their rate has its own test."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.filterwarnings("ignore::kinesphere.core.errors.Assumed"))
