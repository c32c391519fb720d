"""Counts from which the scores that steer training follow; they add up over batches and processes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TallyScores:
    """Scores of the clips counted so far; fractions, but for the loss.

    Attributes:
        clips: Number of clips N.
        loss: Mean loss.
        top1: Share of clips whose most probable class is (one of) the right one(s).
        mean_class: Recall, averaged over the classes that occur.
        f1: F1, averaged over the classes that occur or were predicted.
    """

    clips: int
    loss: float
    top1: float
    mean_class: float
    f1: float


class Tally:
    """Sums over clips, kept on the device so that counting never waits for it.

    Args:
        classes: K.
        multi: Whether a clip may carry several labels (a class is then predicted above 0.5).
        device: Where the sums live.
    """

    def __init__(self, classes: int, multi: bool, device: torch.device | str = "cpu") -> None:
        self.classes = classes
        self.multi = multi
        self.sums = torch.zeros(3 + 3 * classes, device=device)
        """(3 + 3 K,): clips, loss, top-1 hits; then per class hits, predicted, actual."""

    def add(self, logits: Tensor, rows: Tensor, loss: Tensor) -> None:
        """Count a batch.

        Args:
            logits: (B, K).
            rows: (B, K) targets; of mixed clips the larger share counts as the right class.
            loss: Scalar mean over the batch.
        """
        logits, rows = logits.detach().float(), rows.float()
        best, most = logits.argmax(dim=-1, keepdim=True), rows.amax(dim=-1, keepdim=True)
        # What is no number is no answer, and where there is no label there is none to hit.
        sound = logits.softmax(-1).isfinite().all(-1, keepdim=True)
        top1 = ((rows.gather(1, best) >= most) & (most > 0) & sound).float().sum()
        if self.multi:
            given, actual = ((logits > 0) & sound).float(), (rows > 0.5).float()
        else:
            given = torch.zeros_like(rows).scatter_(1, best, sound.float())
            actual = torch.zeros_like(rows).scatter_(1, rows.argmax(dim=-1, keepdim=True), 1.0)
        count = torch.full_like(top1, len(logits))
        self.sums += torch.cat(
            [
                torch.stack([count, loss.detach().float() * count, top1]),
                (given * actual).sum(0),
                given.sum(0),
                actual.sum(0),
            ]
        )

    def clear(self) -> None:
        """Start again."""
        self.sums.zero_()

    def scores(self, sums: Tensor | None = None) -> TallyScores | None:
        """Scores of all clips counted (or of sums that were added over processes); None without a clip."""
        values = (self.sums if sums is None else sums).double().cpu()
        clips, loss, top1 = values[:3].tolist()
        if not clips:
            return None
        hits, given, actual = values[3:].split(self.classes)
        occurs, used = actual > 0, (actual + given) > 0
        recall = hits[occurs] / actual[occurs]
        f1 = 2 * hits[used] / (actual + given)[used]
        return TallyScores(
            int(clips),
            loss / clips,
            top1 / clips,
            float(recall.mean()) if len(recall) else 0.0,
            float(f1.mean()) if len(f1) else 0.0,
        )
