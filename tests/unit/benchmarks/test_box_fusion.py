"""The box is fused on generated people, each of its models with a say, and keeps thresholds that it has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from benchmarks import box_fusion, record

from kinesphere.core.labels import LabelSet
from kinesphere.models import create_model, load_model, save_model
from kinesphere.predict import BoxPredictor
from kinesphere.predict.fusion import FusionFile

KNOWN = ("wave", "fall")


@pytest.mark.parametrize(
    ("found", "used"), [((0.0, 1.0), (0.25, 0.75)), ((0.9, 0.1), (0.75, 0.25)), ((0.4, 0.6), (0.4, 0.6))]
)
def test_every_model_has_a_say(found: tuple[float, ...], used: tuple[float, ...]) -> None:
    assert box_fusion.with_a_say(found) == pytest.approx(used)


@pytest.mark.slow
def test_fusion_and_thresholds_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    box, labels = tmp_path / "box", LabelSet((*KNOWN, "none of these"))
    for name, stem in (("kine_tiny", "basic_rgb"), ("dd_net_tiny", "basic_pose")):
        save_model(create_model(name, labels), box / f"{stem}.safetensors")
    monkeypatch.setattr(box_fusion, "FOLDER", box)
    monkeypatch.setattr(box_fusion, "CLASSES", labels.names)
    monkeypatch.setattr(box_fusion, "LABELS", labels)
    movements = {"wave": ("wave",), "fall": ("fall",), "none of these": ("stand",)}
    monkeypatch.setattr(box_fusion, "MOVEMENTS", movements)
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(sys, "argv", ["box_fusion", "--clips", "2", "--work", str(tmp_path / "work")])
    # Networks that were never trained may be right about nothing known: then there is nothing to keep.
    monkeypatch.setattr(box_fusion, "measured", lambda *_, label, on: box_fusion.Rejection(label, 0.4, on))
    box_fusion.main()
    assert load_model(box / "basic_rgb.safetensors").rejection.measured == "6 generated clips of validation"
    fusion = FusionFile.read(box)
    assert sum(fusion.weights) == pytest.approx(1)
    assert min(fusion.weights) >= 0.25
    assert BoxPredictor(box).fused.rejection == fusion.rejection
    assert (tmp_path / "results" / "box_fusion.json").is_file()
