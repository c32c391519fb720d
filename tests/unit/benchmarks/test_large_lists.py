"""Lists of many clips, of few here."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import large_lists
from benchmarks.large_lists import KINDS, Opened, goals, opened, row


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_lists_hold_as_many_clips_as_were_asked_for(kind: large_lists.Kind, tmp_path: Path) -> None:
    found = opened(kind.write(50, tmp_path), kind.dataset)
    assert found.clips == 50
    assert found.peak_gb >= found.held_gb


def test_the_largest_list_is_held_against_the_goals() -> None:
    found = {10: Opened(10, 0.1, 0.01, 0.02), 1000: Opened(1000, 12.0, 0.4, 0.5)}
    assert row(KINDS[0], found)["1 000 clips, s of CPU"] == "12"
    time, memory = goals({"a": found})
    assert time.endswith("12.0 s (goal: at most 10 s): missed")
    assert memory.endswith("0.500 GB (goal: at most 1 GB): met")
