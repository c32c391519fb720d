"""`RunningMetrics`: the scores that are shown while training and that pick the best weights."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, cat, nan, stack, where, zeros
from torchmetrics import Metric

from kinesphere.evaluate.metrics import lower_is_better, metrics_for

Scores = dict[str, float]
"""`loss`, and the metrics of training by name."""


def monitor_mode(name: str) -> Literal["min", "max"]:
    """Whether the weights with the least or the most of a score are the best."""
    return "min" if name == "loss" or lower_is_better(name) else "max"


class RunningMetrics(Metric):
    """Sums of the metrics of training (see `METRICS`); they stay on the device, so nothing waits for it.

    `compute` adds them up over processes, and gives None where there was no clip.

    Args:
        classes: K.
        multi: Whether a clip may carry several labels.
    """

    full_state_update = False
    sums: Tensor
    """Clips, loss, then those of the metrics; metrics of the same sums share them."""

    def __init__(self, classes: int, multi: bool) -> None:
        super().__init__(compute_with_cache=False)
        self._multi = multi
        self._metrics = metrics_for("training", classes)
        nothing = zeros(0, classes)
        distinct = dict.fromkeys(metric.sums for metric in self._metrics.values() if metric.sums is not None)
        self._widths = {sums: sums(nothing, nothing, multi).shape[1] for sums in distinct}
        self.add_state("sums", zeros(2 + sum(self._widths.values())), dist_reduce_fx="sum")

    def update(self, logits: Tensor, rows: Tensor, loss: Tensor) -> None:
        """Count a batch.

        Args:
            logits: (B, K).
            rows: (B, K) targets; of mixed clips the larger fraction counts as the right class.
            loss: Scalar mean over the batch.
        """
        logits = logits.detach().float()
        probabilities = logits.softmax(-1)
        if self._multi:
            answered = probabilities.isfinite().all(-1, keepdim=True)
            # In float32 all logits above 17 have the probability 1, and their order is lost.
            fine = logits if logits.device.type == "mps" else logits.double()
            probabilities = where(answered, fine.sigmoid(), nan)
        count = zeros((), device=logits.device) + len(logits)
        parts = [sums(probabilities, rows.float(), self._multi).sum(0).float() for sums in self._widths]
        self.sums += cat([stack([count, loss.detach().float() * count]), *parts])

    def compute(self) -> Scores | None:
        """The scores so far, of all processes."""
        return self.scores()

    def scores(self) -> Scores | None:
        """The scores so far, of this process alone."""
        values = self.sums.double().cpu().numpy()
        clips, loss = values[:2].tolist()
        if not clips:
            return None
        found, place = {"loss": loss / clips}, 2
        totals = {}
        for sums, width in self._widths.items():
            totals[sums] = values[[0, *range(place, place + width)]][None]
            place += width
        for name, metric in self._metrics.items():
            assert metric.sums is not None
            found[name] = float(metric.of_totals(totals[metric.sums])[0])
        return found
