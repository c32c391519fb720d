"""Fusing run folders: what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinesphere.core.errors import InvalidSetting, LabelMismatch
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate import Environment, Predictions, Protocol, Report, report_from_predictions
from kinesphere.train import fuse_runs


def folder(
    path: Path, *, fingerprint: str = "x", data: str = "", split: str = "test", seed: int = 0, folds: int = 0
) -> Path:
    """What `kinesphere evaluate --out` writes, or a cross-validation."""
    count = 20
    predictions = Predictions(
        LabelSet(("a", "b")),
        tuple(f"clip{i}" for i in range(count)),
        tuple(f"clip{i}.mp4" for i in range(count)),
        (None,) * count,
        (None,) * count,
        np.arange(count) % 2,
        np.random.default_rng(seed).dirichlet((1, 1), count),
        tuple(f"f{i % folds}" for i in range(count)) if folds else (None,) * count,
    )
    predictions.write(path / "predictions.parquet")
    protocol = Protocol(data or f"data {fingerprint}", fingerprint, split, "2x1", (f"{seed + 1}x1x1",))
    provenance = Environment(f"model{seed}", "0", "0", "cpu", "fp32")
    report_from_predictions(predictions, protocol, provenance).write(path / "report.json")
    return path


def test_the_report_says_what_was_fused(tmp_path: Path) -> None:
    runs = [folder(tmp_path / name, seed=seed) for seed, name in enumerate("ab")]
    fusion = fuse_runs(runs, [3, 1])
    assert fusion.weights == (0.75, 0.25)
    assert fusion.learned_on is None
    assert fusion.report.environment.model == "0.75 × model0 + 0.25 × model1"
    assert fusion.report.protocol.sampling == ("1x1x1", "2x1x1")
    assert fusion.report.protocol.views == "2x1"
    assert fusion.report.clips == 20
    assert fuse_runs(runs).weights == (0.5, 0.5)


def test_without_models_only_the_scores_are_written(tmp_path: Path) -> None:
    runs = [folder(tmp_path / name, seed=seed) for seed, name in enumerate("ab")]
    assert fuse_runs(runs).write(tmp_path / "fused") == tuple(runs)
    assert sorted(path.name for path in (tmp_path / "fused").iterdir()) == [
        "predictions.parquet", "report.json",
    ]  # fmt: skip


def test_cross_validations_learn_the_weights_of_a_fold_on_the_others(tmp_path: Path) -> None:
    runs = [folder(tmp_path / name, seed=seed, split="3-fold", folds=3) for seed, name in enumerate("ab")]
    fusion = fuse_runs(runs, "learned")
    assert list(fusion.by_fold) == ["f0", "f1", "f2"]
    assert fusion.learned_on == 13
    assert sum(fusion.weights) == pytest.approx(1)
    sizes = (7, 7, 6)
    mean = sum(size * weights[0] for size, weights in zip(sizes, fusion.by_fold.values(), strict=True)) / 20
    assert fusion.weights[0] == pytest.approx(mean)
    assert fusion.report.environment.model.endswith("× model1, weights learned fold by fold")
    assert fusion.write(tmp_path / "fused") == tuple(runs)
    report = Report.read(tmp_path / "fused" / "report.json")
    assert {fold.name: fold.weights for fold in report.folds} == fusion.by_fold


def test_what_cannot_be_fused_is_refused(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "a"), folder(tmp_path / "b", fingerprint="y")
    with pytest.raises(InvalidSetting, match=r"were tested on different data \(data x, data y\); fuse runs"):
        fuse_runs([one, other])
    same = [folder(tmp_path / name, fingerprint=name, data="small") for name in "ef"]
    with pytest.raises(
        InvalidSetting, match=r"\(small, small\); .* drawn from train\.seed\. Train .* one seed"
    ):
        fuse_runs(same)
    with pytest.raises(InvalidSetting, match="is no run with a model, so weights cannot be learned"):
        fuse_runs([one, one], "learned")
    runs = [folder(tmp_path / name, split="val") for name in "cd"]
    with pytest.raises(InvalidSetting, match="scored on their validation clips, on which weights cannot"):
        fuse_runs(runs, "learned")
    (other / "report.json").unlink()
    with pytest.raises(InvalidSetting, match=r"holds no report.json; name a finished run"):
        fuse_runs([one, other])


def run_without_test(path: Path, labels: tuple[str, ...] = ("a", "b")) -> Path:
    """A run that held out no clips at all."""
    from kinesphere.models import create_model, save_model

    path.mkdir()
    save_model(create_model("kine_tiny", labels), path / "model.safetensors")
    (path / "recipe.yaml").write_text("data: {source: [clips], val: 0, test: 0}\n")
    return path


def test_plain_weights_need_no_test_clips(tmp_path: Path) -> None:
    from kinesphere.predict import FusedPredictor, load

    runs = [run_without_test(tmp_path / name) for name in "xy"]
    fusion = fuse_runs(runs, [3, 1])
    assert (fusion.predictions, fusion.report, fusion.learned_on) == (None, None, None)
    assert fusion.write(tmp_path / "fused") == ()
    fused = load(tmp_path / "fused")
    assert isinstance(fused, FusedPredictor)
    assert fused.weights == (0.75, 0.25)


def test_what_cannot_be_fused_without_test_clips(tmp_path: Path) -> None:
    run = run_without_test(tmp_path / "x")
    with pytest.raises(InvalidSetting, match=r"y holds no model, .*nothing to score"):
        fuse_runs([run, folder(tmp_path / "y")])
    other = run_without_test(tmp_path / "z", ("a", "c"))
    with pytest.raises(LabelMismatch, match="different labels cannot be fused"):
        fuse_runs([run, other])


def test_a_missing_table_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    with pytest.raises(InvalidSetting) as refused:
        fuse_runs([folder(tmp_path / "here"), tmp_path / "gone"])
    assert str(refused.value).count(str(tmp_path / "gone")) == 1
