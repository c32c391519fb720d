"""Two sets are learnt alone and together on the same clips, and each has a row."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from benchmarks import joint

from kinesphere.video import VideoWriter


def write_set(folder: Path, name: str, levels: dict[str, int]) -> Path:
    rows = [("path", "label", "group")]
    rng = np.random.default_rng(0)
    for label, level in levels.items():
        for i in range(10):
            path = folder / f"{name}-{label}-{i}.mp4"
            frames = np.clip(level + rng.integers(-20, 20, (8, 32, 32, 3)), 0, 255).astype(np.uint8)
            with VideoWriter(path, (32, 32), 8) as writer:
                for frame in frames:
                    writer.write(frame)
            rows.append((str(path), label, f"g{i % 5}"))
    table = folder / f"{name}.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return table


@pytest.mark.slow
def test_each_set_is_compared_on_all_its_clips(tmp_path: Path) -> None:
    sets = {
        "a": write_set(tmp_path, "a", {"bright": 200, "dark": 40}),
        "b": write_set(tmp_path, "b", {"grey": 120, "dark": 20}),
    }
    rows = joint.compared(sets, {"model": {"name": "kine_tiny", "freeze": "layer4"}}, 2, [0])
    assert [(row["data set"], row["clips"], row["groups"]) for row in rows] == [
        ("a", "20", "5"),
        ("b", "20", "5"),
    ]
    assert all("points" in row["together less alone"] for row in rows)
