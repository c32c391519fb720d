"""What `check --model` holds data against."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kinesphere.apps.cli.check import _inputs
from kinesphere.clips.preparation import Preparation
from kinesphere.core.errors import MissingWeights, UnknownName
from kinesphere.core.labels import LabelSet
from kinesphere.data import Manifest, Sample
from kinesphere.models import create_model, save_model
from kinesphere.models.provenance import Provenance


def test_a_model_is_named_or_lies_in_a_file_or_a_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Manifest((Sample("a", Path("a.mp4"), ("a",)),), LabelSet(("a",)), Path())
    model = create_model("stgcn_tiny", ["a", "b"])
    learnt = Preparation(poses="pose_landmarker_full", poses_fps=10.0)
    model.provenance = replace(model.provenance, preparation=learnt)
    file = save_model(model, tmp_path / "run" / "model.safetensors")
    for source in (file, tmp_path / "run"):
        assert _inputs(str(source), data) == (model.specs, model.provenance)
    assert _inputs("stgcn_tiny", data) == (model.specs, Provenance("initialised"))
    with pytest.raises(MissingWeights, match=r"There is no file and no run folder .*no; check the path"):
        _inputs(str(tmp_path / "no"), data)
    with pytest.raises(MissingWeights, match=r"holds no model\.safetensors"):
        _inputs(str(tmp_path), data)
    (tmp_path / "stgcn_tiny").mkdir()  # a folder of data
    monkeypatch.chdir(tmp_path)
    assert _inputs("stgcn_tiny", data) == (model.specs, Provenance("initialised"))
    with pytest.raises(UnknownName, match="did you mean stgcn"):
        _inputs("st-gcn", data)
