from __future__ import annotations

import pytest
import torch
from sklearn.metrics import f1_score, recall_score

from kinesphere.train.losses import dense_targets
from kinesphere.train.running_metrics import Tally


def test_scores_agree_with_scikit_learn_over_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(60, 4, generator=generator)
    targets = torch.randint(0, 4, (60,), generator=generator)
    tally = Tally(4, multi=False)
    for part in range(0, 60, 16):
        rows = dense_targets(targets[part : part + 16], 4)
        tally.add(logits[part : part + 16], rows, torch.tensor(float(part)))
    scores = tally.scores()
    assert scores is not None
    predicted = logits.argmax(-1)
    assert scores.clips == 60
    assert scores.top1 == pytest.approx(float((predicted == targets).float().mean()))
    assert scores.mean_class == pytest.approx(recall_score(targets, predicted, average="macro"))
    assert scores.f1 == pytest.approx(f1_score(targets, predicted, average="macro"))
    assert scores.loss == pytest.approx((0 * 16 + 16 * 16 + 32 * 16 + 48 * 12) / 60)
    tally.clear()
    assert tally.scores() is None


def test_several_labels_per_clip() -> None:
    generator = torch.Generator().manual_seed(1)
    logits, rows = torch.randn(40, 5, generator=generator), torch.rand(40, 5, generator=generator).round()
    tally = Tally(5, multi=True)
    tally.add(logits, rows, torch.tensor(1.0))
    scores = tally.scores()
    assert scores is not None
    assert scores.f1 == pytest.approx(f1_score(rows, logits > 0, average="macro"))


def test_no_number_and_no_label_are_no_hits() -> None:
    nan, inf = float("nan"), float("inf")
    tally = Tally(3, multi=False)
    logits = torch.tensor([[nan, nan, nan], [inf, 0.0, 0.0], [1.0, 0.0, 0.0], [-inf, 1.0, 0.0]])
    tally.add(logits, dense_targets(torch.tensor([0, 0, 0, 1]), 3), torch.tensor(1.0))
    scores = tally.scores()
    assert scores is not None
    assert scores.top1 == 0.5
    assert scores.mean_class == pytest.approx((1 / 3 + 1) / 2)
    several = Tally(3, multi=True)
    rows = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    several.add(torch.tensor([[2.0, -1.0, -1.0], [2.0, -1.0, -1.0]]), rows, torch.tensor(1.0))
    counted = several.scores()
    assert counted is not None
    assert counted.top1 == 0.5  # the second clip carries no label, so none was hit
