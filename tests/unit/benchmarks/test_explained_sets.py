"""The benchmark of real videos explains what it says, and chooses clips evenly."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import explained_sets, record, studies

from kinesphere.clips.modalities.mask.file import write_masks
from kinesphere.core.labels import LabelSet
from kinesphere.data import Manifest
from kinesphere.explain.faithfulness import Work
from kinesphere.models import create_model, save_model
from kinesphere.video import VideoWriter


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Untrained models in the place of trained ones, and four videos with masks."""
    rng, root = np.random.default_rng(0), tmp_path / "runs"
    lines = ["path,label,group,split"]
    for number in range(4):
        label = ("hop", "skip")[number % 2]
        path = tmp_path / f"{label}{number}.mp4"
        with VideoWriter(path, (32, 32), 12) as writer:
            for _ in range(12):
                writer.write(rng.integers(0, 256, (32, 32, 3), np.uint8))
        masks = np.zeros((12, 32, 32), np.uint8)
        masks[:, :, 16:] = 255
        for name in ("ut", "fight"):
            write_masks(root / f"{name}_extracts" / f"{path.name}.mask.npz", masks, size=(32, 32), origin="x")
        lines.append(f"{path},{label},{number // 2},test")
    torch.manual_seed(0)
    for each in explained_sets.MODELS:
        save_model(
            create_model("kine_tiny", LabelSet(("hop", "skip"))), root / each.name / "model.safetensors"
        )
        (root / f"{each.name.partition('_')[0]}.csv").write_text("\n".join(lines))
    monkeypatch.setenv(studies.DATA, str(tmp_path))
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(explained_sets, "WORK", Work((1, 2, 2), 2, 2))
    monkeypatch.setattr(explained_sets, "PIXELS", ("gradcam",))
    few = [
        explained_sets.Explained(each.name, each.what, each.recipe, ("gradcam",))
        for each in explained_sets.MODELS
    ]
    monkeypatch.setattr(explained_sets, "MODELS", few)
    return root


@pytest.mark.slow
def test_what_is_there_is_used_and_both_records_are_written(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[Sequence[str]] = []
    monkeypatch.setattr(studies, "kinesphere", lambda words: commands.append(words) or b"")
    options = ["--runs", str(runs), "--maps", "2", "--pictures", str(tmp_path / "pictures")]
    monkeypatch.setattr(sys, "argv", ["explained_sets", *options])
    explained_sets.main()
    assert {words[0] for words in commands} == {"extract"}
    assert {file.name for file in tmp_path.glob("*.json")} == {
        "explained_sets.json",
        "explained_backgrounds.json",
    }
    assert len(list((tmp_path / "pictures").iterdir())) == 3 * 2
    text = (tmp_path / "explained_sets.json").read_text(encoding="utf-8")
    assert "Pixels and joints of UT-Interaction fused with equal weights: pixels add" in text
    assert '"UT-Interaction, 2"' in text
    assert str(tmp_path) not in text


def test_clips_are_taken_by_turns_from_classes_and_groups(tmp_path: Path) -> None:
    rows = [f"{i}.avi,{'ab'[i % 2]},{i // 4}" for i in range(12)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,group", *rows]))
    chosen = explained_sets.spread(Manifest.read(tmp_path / "labels.csv"), 4)
    assert sorted((sample.labels[0], sample.group) for sample in chosen) == [
        ("a", "0"), ("a", "1"), ("b", "0"), ("b", "1"),
    ]  # fmt: skip
