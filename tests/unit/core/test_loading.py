"""The collector rests while a program loads, and leaves alone what was loaded."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from kinesphere.core.loading import begin_loading, end_loading


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_the_collector_rests_until_all_is_loaded() -> None:
    begin_loading()
    assert not gc.isenabled()
    loaded = [[0] for _ in range(1000)]
    end_loading()
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(loaded)


def test_where_nothing_is_being_loaded_nothing_is_frozen() -> None:
    end_loading()
    assert gc.get_freeze_count() == 0
