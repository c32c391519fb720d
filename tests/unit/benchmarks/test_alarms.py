"""Clips are held against what the source gave, and deliveries against what was raised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.alarms import (
    FPS,
    Delivered,
    Ours,
    Watched,
    delivered,
    delivery_goals,
    read_clip,
    watched,
    wrong_frames,
)
from benchmarks.broker import MISSING, MOSQUITTO

IMAGES = [np.full((64, 128, 3), 90, np.uint8)]


def test_clips_of_the_recorder_hold_what_they_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.alarms.BEFORE_S", 0.4)
    monkeypatch.setattr("benchmarks.alarms.AFTER_S", 0.2)
    run = watched(IMAGES, 1.7, Ours(tmp_path))
    assert len(run.about) == 1
    assert len(run.stalls_s) == round(1.7 * FPS)
    assert run.kept_bytes > 0
    wrong, total, error_s = wrong_frames(run, tmp_path)
    assert (wrong, error_s < 1e-4) == (0, True)
    (path,) = tmp_path.glob("*.mp4")
    assert len(read_clip(path)[0]) == total


def test_what_is_missing_or_wrong_is_counted(tmp_path: Path) -> None:
    run = Watched([n / FPS for n in range(200)], [80], [], 0.0, 0)
    assert wrong_frames(run, tmp_path) == (88, 88, 0.0)


def test_losses_are_held_against_the_bound() -> None:
    sound = Delivered(raised=510, beyond=60, arrived=450, twice=1, counted=60, in_order=True)
    assert all(line.endswith("met") for line in delivery_goals(sound))
    lost = Delivered(raised=510, beyond=60, arrived=449, twice=0, counted=60, in_order=True)
    assert all(line.endswith("missed") for line in delivery_goals(lost))
    assert "not measured" in delivery_goals(None)[0]


@pytest.mark.slow
@pytest.mark.skipif(MOSQUITTO is None, reason=MISSING)
def test_alarms_to_a_broker_that_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt", reason="needs the extra live")
    result = delivered(tmp_path, 10)
    assert (result.raised, result.beyond, result.arrived, result.counted) == (25, 3, 22, 3)
    assert result.in_order
