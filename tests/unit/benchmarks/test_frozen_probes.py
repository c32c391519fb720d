"""Every probe answers for clips of groups that it never met, on both kinds of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks import frozen_probes
from benchmarks.frozen_probes import INPUTS, Arm, Network
from tests.unit.benchmarks.test_joint import write_set


def network() -> Network:
    return Network({"name": "kine_tiny"}, {"sampling": "uniform4", "size": 32}, ("", "layer3"), epochs=2)


@pytest.mark.slow
def test_each_probe_has_a_row_beside_the_linear_one(tmp_path: Path) -> None:
    labels = write_set(tmp_path, "a", {"bright": 200, "dark": 40})
    rows, goals = frozen_probes.measure(labels, network(), tmp_path / "work")
    assert [row["frames"] for row in rows] == [name for name in INPUTS.values() for _ in range(7)] + ["none"]
    assert all("points" in str(row["less linear"]) for row in rows[1:7])
    assert rows[0]["less linear"] == "–"
    assert len(goals) == 2
    assert str(rows[-1]["top-1"]).startswith("50.0 %"), "frames of one shape tell nothing"


def test_inner_folds_choose_without_the_groups_that_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = write_set(tmp_path, "a", {"bright": 200, "dark": 40})
    samples, arms = frozen_probes.arms_of(labels, network(), "stretch", tmp_path / "work")
    groups = np.array([sample.group for sample in samples])
    met: list[tuple[set[str], set[str]]] = []
    plain = frozen_probes.right_or_wrong

    def watched(family, candidate, train, test):
        met.append((set(groups[train]), set(groups[test])))
        return plain(family, candidate, train, test)

    monkeypatch.setattr(frozen_probes, "right_or_wrong", watched)
    said, kept = Arm("two grids", arms[0].choices + arms[3].choices).answers(samples)
    assert (said >= 0).all()
    assert len(kept) == 5
    assert len(met) == 5 * (4 * 2 + 1)
    assert not any(train & test for train, test in met)
    for fold in range(5):
        *inner, (_, left_out) = met[9 * fold : 9 * fold + 9]
        assert not any(left_out & (train | test) for train, test in inner)
