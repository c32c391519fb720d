"""`RunningMetrics`: the scores that are shown while training and that pick the best weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from torch import Tensor, cat, nan, stack, where, zeros
from torchmetrics import Metric

from kinesphere.evaluate.metrics import lower_is_better, metrics_for
from kinesphere.train.set_heads import SetHead

Scores = dict[str, float]
"""`loss`, and the metrics of training by name."""


def monitor_mode(name: str) -> Literal["min", "max"]:
    """Whether the weights with the least or the most of a score are the best."""
    return "min" if name == "loss" or lower_is_better(name) else "max"


class RunningMetrics(Metric):
    """Sums of the metrics of training (see `METRICS`); they stay on the device, so nothing waits for it.

    `compute` adds them up over processes, and gives None where there was no clip. With heads, each metric is
    the mean over the sets that had clips, and `set/metric` is that of one.

    Args:
        classes: K, of all heads.
        multi: Whether a clip may carry several labels.
        heads: Those of a joint training; none where all outputs are one head.
    """

    full_state_update = False
    sums: Tensor
    """Clips, loss, then, for each head, its clips (where there are heads) and the sums of its metrics."""

    def __init__(self, classes: int, multi: bool, heads: Sequence[SetHead] = ()) -> None:
        super().__init__(compute_with_cache=False)
        self._heads = tuple(heads)
        sizes = [len(head.labels) for head in heads] or [classes]
        self._parts = [_Sums(size, multi) for size in sizes]
        count = 1 if heads else 0
        self.add_state(
            "sums", zeros(2 + sum(count + part.width for part in self._parts)), dist_reduce_fx="sum"
        )

    def update(self, logits: Tensor, rows: Tensor, loss: Tensor) -> None:
        """Count a batch.

        Args:
            logits: (B, K).
            rows: (B, K) targets; of mixed clips the larger fraction counts as the right class.
            loss: Scalar mean over the batch.
        """
        logits = logits.detach().float()
        count = zeros((), device=logits.device) + len(logits)
        found = [stack([count, loss.detach().float() * count])]
        for head, part in zip(self._heads, self._parts, strict=False):
            mine = rows[:, head.rows].sum(1) > 0
            found += [mine.sum()[None].float(), part.of(logits[mine, head.rows], rows[mine, head.rows])]
        if not self._heads:
            found.append(self._parts[0].of(logits, rows))
        self.sums += cat(found)

    def compute(self) -> Scores | None:
        """The scores so far, of all processes."""
        return self.scores()

    def scores(self) -> Scores | None:
        """The scores so far, of this process alone."""
        values = self.sums.double().cpu().numpy()
        clips, loss = values[:2].tolist()
        if not clips:
            return None
        if not self._heads:
            return {"loss": loss / clips, **self._parts[0].scores(clips, values[2:])}
        place, of_sets = 2, {}
        for head, part in zip(self._heads, self._parts, strict=True):
            count, end = float(values[place]), place + 1 + part.width
            if count:
                of_sets[head.name] = part.scores(count, values[place + 1 : end])
            place = end
        mean = {
            name: sum(each[name] for each in of_sets.values()) / len(of_sets)
            for name in next(iter(of_sets.values()))
        }
        apart = {f"{of}/{name}": value for of, found in of_sets.items() for name, value in found.items()}
        return {"loss": loss / clips, **mean, **apart}


class _Sums:
    """Sums of the metrics of one head; metrics of the same sums share them.

    Args:
        classes: K, of the head.
        multi: Whether a clip may carry several labels.
    """

    def __init__(self, classes: int, multi: bool) -> None:
        self._multi = multi
        self._metrics = metrics_for("training", classes)
        nothing = zeros(0, classes)
        distinct = dict.fromkeys(metric.sums for metric in self._metrics.values() if metric.sums is not None)
        self._widths = {sums: sums(nothing, nothing, multi).shape[1] for sums in distinct}

    @property
    def width(self) -> int:
        """How many numbers they are."""
        return sum(self._widths.values())

    def of(self, logits: Tensor, rows: Tensor) -> Tensor:
        """The sums `(width,)` of some clips."""
        probabilities = logits.softmax(-1)
        if self._multi:
            answered = probabilities.isfinite().all(-1, keepdim=True)
            # In float32 all logits above 17 have the probability 1, and their order is lost.
            fine = logits if logits.device.type == "mps" else logits.double()
            probabilities = where(answered, fine.sigmoid(), nan)
        return cat([sums(probabilities, rows.float(), self._multi).sum(0).float() for sums in self._widths])

    def scores(self, clips: float, values: np.ndarray) -> Scores:
        """The metrics of that many clips from their sums `(width,)`."""
        found, place, totals = {}, 0, {}
        for sums, width in self._widths.items():
            totals[sums] = np.concatenate([[clips], values[place : place + width]])[None]
            place += width
        for name, metric in self._metrics.items():
            assert metric.sums is not None
            found[name] = float(metric.of_totals(totals[metric.sums])[0])
        return found
