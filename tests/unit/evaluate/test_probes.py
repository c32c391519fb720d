from __future__ import annotations

import numpy as np
import pytest
import torch

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate import Predictions
from kinesphere.evaluate.probes import pair_accuracy, shuffle_frames

LABELS = LabelSet(("fall", "get up", "wave"))


def predictions(targets: list[int], probabilities: list[list[float]]) -> Predictions:
    count = len(targets)
    return Predictions(
        labels=LABELS,
        ids=tuple(map(str, range(count))),
        paths=tuple(f"{i}.mp4" for i in range(count)),
        spans=(None,) * count,
        groups=tuple(f"performer{i % 3}" for i in range(count)),
        targets=np.array(targets),
        probabilities=np.array(probabilities),
        folds=(None,) * count,
    )


def test_shuffle_keeps_the_frames_and_moves_all_inputs_alike() -> None:
    frames = torch.arange(12).reshape(1, 1, 12, 1, 1, 1).expand(4, 2, 12, 3, 2, 2)
    rgb, flow = shuffle_frames(0)((frames, frames[..., :2, :, :]))
    assert rgb.shape == frames.shape
    assert torch.equal(rgb[:, :, :, :2], flow)
    assert torch.equal(rgb.sort(dim=2).values, frames)
    orders = {tuple(clip[0, :, 0, 0, 0].tolist()) for clip in rgb}
    assert len(orders) == 4
    assert tuple(range(12)) not in orders


def test_shuffle_repeats_with_its_seed() -> None:
    frames = torch.arange(16).reshape(1, 1, 16, 1, 1, 1)
    assert torch.equal(shuffle_frames(3)((frames,))[0], shuffle_frames(3)((frames,))[0])


def test_pair_accuracy_asks_only_which_of_the_two() -> None:
    table = predictions([0, 1, 2, 0], [[0.2, 0.1, 0.7], [0.3, 0.4, 0.3], [0.1, 0.1, 0.8], [0.1, 0.6, 0.3]])
    score = pair_accuracy(table, [("fall", "get up")])
    assert score.value == pytest.approx(2 / 3)
    assert score.low is not None
    assert score.high is not None
    assert 0 <= score.low <= score.value <= score.high <= 1


def test_pairs_must_occur() -> None:
    with pytest.raises(InvalidSetting, match="No clip belongs to one of the pairs"):
        pair_accuracy(predictions([2], [[0.1, 0.2, 0.7]]), [("fall", "get up")])
