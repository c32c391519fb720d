"""Tasks that count more in training than the scores of labelled clips."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, zeros
from torchmetrics import Metric

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.train.module import RecognitionTask
from kinesphere.train.running_metrics import Scores


class Means(Metric):
    """Means of named numbers over the clips that each was counted on; they stay on the device.

    Args:
        names: Of the numbers.
    """

    full_state_update = False
    sums: Tensor
    """Sums, and how many clips they are of, `(2, N)`."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(compute_with_cache=False)
        self.names = names
        self.add_state("sums", zeros(2, len(names)), dist_reduce_fx="sum")

    def update(self, sums: Tensor, counts: Tensor) -> None:
        """Count a batch: sums and numbers of clips, each `(N,)`."""
        self.sums += torch.stack([sums.detach().float(), counts.float()])

    def compute(self) -> Scores:
        """The means so far, of all processes; what was counted on no clip is missing."""
        sums, counts = self.sums.double().cpu().tolist()
        each = zip(self.names, sums, counts, strict=True)
        return {name: value / count for name, value, count in each if count}


class FurtherTask(RecognitionTask):
    """A task that counts `further` numbers, which a resumed run goes on with; each has a column of its
    own."""

    further_names: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.further = Means(self.further_names)

    def end_epoch(self) -> tuple[Scores | None, Scores | None]:
        training, validation = super().end_epoch()
        found = {**(training or {}), **self.further.compute()}
        self.further.reset()
        self.check_finite("training", found if "loss" in found else None)
        return found or None, validation

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        rows = self.all_gather(self.further.sums)
        assert isinstance(rows, Tensor)
        checkpoint["further_scores"] = rows.reshape(self._world, *self.further.sums.shape).cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        rows = checkpoint.get("further_scores")
        if rows is None or rows.shape[1:] != self.further.sums.shape:
            raise InvalidCheckpoint(
                "The run was begun with another way of training: its state does not hold "
                f"{', '.join(self.further_names)}. Train anew with another `out`."
            )
        if self.global_rank < len(rows):
            self.further.sums = rows[self.global_rank].to(self.device)
