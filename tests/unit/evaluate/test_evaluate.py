from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kinesphere.clips.spec import Views
from kinesphere.core.device import Compute
from kinesphere.core.errors import LabelMismatch, TooManyFailures
from kinesphere.core.labels import LabelSet
from kinesphere.data import Manifest, Sample
from kinesphere.evaluate import collect, evaluate
from kinesphere.models import create_model
from kinesphere.predict import Predictor
from kinesphere.video import VideoWriter

NAMES = ("dark", "bright", "unused")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for i in range(6):
        with VideoWriter(folder / f"{i}.mp4", (48, 48), 10) as writer:
            for t in range(12):
                writer.write(np.full((48, 48, 3), 40 + 130 * (i % 2) + t, np.uint8))
    (folder / "bad.mp4").write_bytes(b"nothing to see")
    return folder


def manifest(folder: Path) -> Manifest:
    files = ["0.mp4", "1.mp4", "bad.mp4", "2.mp4", "3.mp4", "4.mp4", "5.mp4"]
    samples = []
    for file in files:
        label = NAMES[int(file[0]) % 2] if file[0].isdigit() else "dark"
        samples.append(Sample(file, folder / file, (label,), group=f"group {file[0]}"))
    return Manifest(tuple(samples), LabelSet(("bright", "dark")), folder)


class Light(nn.Module):
    """Answers "bright" for pictures lighter than mid-grey, else "dark"; never "unused"."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        light = 20 * clips.mean((1, 2, 3, 4))
        return torch.stack([-light, light, torch.full_like(light, -30.0)], dim=1)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    recogniser = create_model("r3d_tiny", LabelSet(NAMES))
    recogniser.net = Light()
    return Predictor(recogniser, Compute("cpu", "fp32", True), name="light")


def test_report_of_a_perfect_model_with_an_unreadable_clip(predictor: Predictor, folder: Path) -> None:
    told: list[tuple[int, int]] = []
    report = evaluate(
        predictor, manifest(folder), batch_size=2, workers=0, split="test", date="2030-01-01",
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert report.line() == "top-1 100.0 % [51.8, 100.0] on 6 / 7 clips, 1 unreadable"
    assert [Path(each.path).name for each in report.skipped] == ["bad.mp4"]
    assert report.skipped[0].reason
    assert told[-1] == (7, 7)
    assert [row.support for row in report.classes] == [3, 3, 0]
    assert (report.protocol.dataset, report.protocol.split) == (folder.name, "test")
    assert report.protocol.sampling == (str(predictor.spec.sampling),)
    assert report.protocol.fingerprint == manifest(folder).fingerprint()
    assert (report.intervals.kind, report.intervals.units) == ("group", 6)
    assert (report.environment.model, report.environment.precision) == ("light", "fp32")


def test_predictions_follow_the_manifest_in_the_model_s_label_order(
    predictor: Predictor, folder: Path
) -> None:
    table = collect(predictor, manifest(folder), batch_size=3, workers=0)
    assert table.ids == ("0.mp4", "1.mp4", "2.mp4", "3.mp4", "4.mp4", "5.mp4")
    assert table.targets.tolist() == [0, 1, 0, 1, 0, 1]
    assert table.groups[1] == "group 1"
    np.testing.assert_allclose(table.probabilities.sum(1), 1, atol=1e-6)


def test_views_and_batch_size_do_not_depend_on_each_other(folder: Path) -> None:
    torch.manual_seed(0)
    real = Predictor(create_model("r3d_tiny", LabelSet(NAMES)), Compute("cpu", "fp32", True))
    tables = [
        collect(real, manifest(folder), views=Views(2, 3), batch_size=size, workers=0) for size in (1, 6)
    ]
    np.testing.assert_allclose(tables[0].probabilities, tables[1].probabilities, atol=1e-5)
    for path, row in zip(tables[0].paths, tables[0].probabilities, strict=True):
        alone = real.predict(path, views=Views(2, 3))
        np.testing.assert_allclose(row, alone.probabilities, atol=1e-5)
    report = evaluate(real, manifest(folder), views=Views(2, 3), workers=0)
    assert report.protocol.views == "2x3"


def test_nothing_readable_is_an_error(predictor: Predictor, folder: Path) -> None:
    bad = manifest(folder).select([2])
    with pytest.raises(TooManyFailures, match=r"None of the 1 clips could be read\. The first, .*bad\.mp4"):
        collect(predictor, bad, workers=0)


def test_labels_must_be_the_model_s(predictor: Predictor, folder: Path) -> None:
    strange = Manifest((Sample("0", folder / "0.mp4", ("grey",)),), LabelSet(("grey",)), folder)
    with pytest.raises(LabelMismatch, match="Label 'grey' is not among the 3 labels"):
        collect(predictor, strange, workers=0)
    several = Manifest(
        (Sample("0", folder / "0.mp4", ("dark", "bright")),), LabelSet(("bright", "dark"), multi=True), folder
    )
    with pytest.raises(LabelMismatch, match="data have several labels per clip, the model gives one label"):
        collect(predictor, several, workers=0)
