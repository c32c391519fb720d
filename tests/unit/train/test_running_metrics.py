from __future__ import annotations

import pytest
import torch
from sklearn.metrics import f1_score, recall_score

from kinesphere.train.losses import dense_targets
from kinesphere.train.running_metrics import RunningMetrics, monitor_mode


def test_scores_agree_with_scikit_learn_over_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(60, 4, generator=generator)
    targets = torch.randint(0, 4, (60,), generator=generator)
    metrics = RunningMetrics(4, multi=False)
    for part in range(0, 60, 16):
        rows = dense_targets(targets[part : part + 16], 4)
        metrics.update(logits[part : part + 16], rows, torch.tensor(float(part)))
    scores = metrics.compute()
    assert scores is not None
    predicted = logits.argmax(-1)
    assert list(scores) == ["loss", "top1", "mean_class_accuracy", "macro_f1"]
    assert scores["top1"] == pytest.approx(float((predicted == targets).float().mean()))
    assert scores["mean_class_accuracy"] == pytest.approx(recall_score(targets, predicted, average="macro"))
    assert scores["macro_f1"] == pytest.approx(f1_score(targets, predicted, average="macro"))
    assert scores["loss"] == pytest.approx((0 * 16 + 16 * 16 + 32 * 16 + 48 * 12) / 60)
    metrics.reset()
    assert metrics.scores() is None


def test_several_labels_per_clip() -> None:
    generator = torch.Generator().manual_seed(1)
    logits, rows = torch.randn(40, 5, generator=generator), torch.rand(40, 5, generator=generator).round()
    metrics = RunningMetrics(5, multi=True)
    metrics.update(logits, rows, torch.tensor(1.0))
    scores = metrics.compute()
    assert scores is not None
    assert scores["macro_f1"] == pytest.approx(f1_score(rows, logits > 0, average="macro"))


def test_the_order_of_confident_answers_is_kept() -> None:
    metrics = RunningMetrics(3, multi=True)
    metrics.update(torch.tensor([[20.0, 25.0, -3.0]]), torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor(1.0))
    scores = metrics.compute()
    assert scores is not None
    assert scores["top1"] == 1


def test_no_number_and_no_label_are_no_hits() -> None:
    nan, inf = float("nan"), float("inf")
    metrics = RunningMetrics(3, multi=False)
    logits = torch.tensor([[nan, nan, nan], [inf, 0.0, 0.0], [1.0, 0.0, 0.0], [-inf, 1.0, 0.0]])
    metrics.update(logits, dense_targets(torch.tensor([0, 0, 0, 1]), 3), torch.tensor(1.0))
    scores = metrics.compute()
    assert scores is not None
    assert scores["top1"] == 0.5
    assert scores["mean_class_accuracy"] == pytest.approx((1 / 3 + 1) / 2)
    several = RunningMetrics(3, multi=True)
    rows = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    several.update(torch.tensor([[2.0, -1.0, -1.0], [2.0, -1.0, -1.0]]), rows, torch.tensor(1.0))
    counted = several.compute()
    assert counted is not None
    assert counted["top1"] == 0.5  # the second clip carries no label, so none was hit


def test_of_mixed_clips_either_half_is_right_and_else_the_larger_part() -> None:
    metrics = RunningMetrics(3, multi=False)
    rows = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.7, 0.3, 0.0]])
    metrics.update(torch.eye(3)[[0, 1, 1]], rows, torch.tensor(1.0))
    scores = metrics.compute()
    assert scores is not None
    assert scores["top1"] == pytest.approx(2 / 3)


def test_the_best_weights_have_the_least_loss_or_the_most_of_a_score() -> None:
    assert [monitor_mode(name) for name in ("loss", "ece", "top1", "macro_f1")] == [
        "min",
        "min",
        "max",
        "max",
    ]


@pytest.mark.parametrize("multi", [False, True])
def test_counting_stays_on_the_device_and_never_waits_for_it(multi: bool) -> None:
    metrics = RunningMetrics(3, multi).to("meta")  # where nothing has a value that could be waited for
    logits, rows = torch.empty(4, 3, device="meta"), torch.empty(4, 3, device="meta")
    metrics.update(logits, rows, torch.empty((), device="meta"))
    assert metrics.sums.device.type == "meta"
