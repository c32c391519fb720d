"""What every set of weights in the box promises: it predicts, is evaluated and is explained."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kinesphere.clips.modalities.pose.file import SUFFIX
from kinesphere.clips.sidecar import Extracts
from kinesphere.core.device import Compute
from kinesphere.data import Manifest
from kinesphere.evaluate import evaluate
from kinesphere.explain import explain
from kinesphere.models import list_models
from kinesphere.models.registry import MODELS
from kinesphere.predict import BoxPredictor, Opening, load
from kinesphere.synthetic import MannequinSettings, generate

SHIPPED = [
    f"{name}.{entry.tag}"
    for name in list_models()
    for entry in MODELS.get(name).card.weights
    if entry.file is not None
]
CPU = Compute("cpu", "fp32", True)


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Two short generated videos with pose files beside them."""
    settings = MannequinSettings(
        classes=("walk", "wave"), clips_per_class=1, splits=(0.0, 0.0, 1.0), size=(48, 64), fps=8,
        performers=2, scenes=2,
    )  # fmt: skip
    path = generate(settings, tmp_path_factory.mktemp("filmed"), workers=1)
    manifest = Manifest.read(path)
    for sample in manifest:
        video = path.parent / sample.path
        truth = Extracts(path.parent / "truth", path.parent).need(video, SUFFIX)
        shutil.copy(truth, video.with_name(video.name + SUFFIX))
    return manifest


@pytest.mark.parametrize("name", SHIPPED)
def test_it_predicts_is_evaluated_and_explained(name: str, filmed: Manifest) -> None:
    predictor = load(name, compute=CPU, opening=Opening())
    video = filmed.root / filmed[0].path
    assert predictor.predict(video).answer in predictor.labels
    report = evaluate(predictor, filmed, workers=0)
    assert report.clips == 2
    assert explain(predictor, video).label in predictor.labels


def test_the_box_answers_with_all_that_a_video_offers(filmed: Manifest, tmp_path: Path) -> None:
    video = filmed.root / filmed[0].path
    alone = shutil.copy(video, tmp_path / video.name)
    box = BoxPredictor(compute=CPU)
    assert box.predict(alone).model == box.of_frames.name
    assert box.predict(video).model == (box.fused.name if len(SHIPPED) > 1 else box.of_frames.name)
