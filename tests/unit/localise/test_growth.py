"""What a training holds of its recordings."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np
import pytest
import torch

from kinesphere.localise import training
from kinesphere.localise.assembly import Truth
from kinesphere.localise.settings import LocaliseRecipe
from kinesphere.localise.sight import moments
from kinesphere.localise.training import DetectionTask
from kinesphere.models.temporal.temporalmaxer import TemporalMaxer
from kinesphere.predict.features import VideoFeatures


def test_batches_are_made_when_they_are_asked_for(monkeypatch):
    made, cropped = count(), training.cropped

    def counting(*args: Any) -> Any:
        next(made)
        return cropped(*args)

    monkeypatch.setattr(training, "cropped", counting)
    recipe = LocaliseRecipe.model_validate({"data": {"labels": ["x"]}})
    nothing = Truth(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))
    rows = [torch.ones(4, 20) for _ in range(7)]
    loader = DetectionTask(TemporalMaxer(4, 1, 16, 3), rows, [nothing] * 7, recipe).train_dataloader()
    assert len(loader) == 4
    batches = iter(loader)
    next(batches)
    assert next(made) == 2
    assert sum(1 for _ in batches) == 3


def test_moments_of_videos_are_those_of_all_rows_together():
    rng = np.random.default_rng(0)
    values = [rng.normal(5, 3, (rows, 3)).astype(np.float32) for rows in (1, 7, 30)]
    for each in values:
        each[:, 2] = 4.0
    videos = [VideoFeatures(v, 0.5 + np.arange(len(v)), 1.0, 1.0, len(v) + 1.0, "x") for v in values]
    mean, std = moments(videos)
    together = np.concatenate(values).astype(np.float64)
    assert mean.tolist() == pytest.approx(together.mean(0).tolist(), rel=1e-6)
    assert std.tolist() == pytest.approx([*together.std(0)[:2].tolist(), 1.0], rel=1e-6)
