"""FixMatch: labelled clips, and beside them unlabelled ones whose labels are the sure answers to weak views.

Sohn et al.: "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence", NeurIPS 2020,
https://arxiv.org/abs/2001.07685, section 2.2; for video as Xing et al., "SVFormer", CVPR 2023,
https://arxiv.org/abs/2211.13222, section 3.2, with labels by the averaged weights.

B labelled clips, U unlabelled clips, K classes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kinesphere.core.bf16_convolution import sound_convolutions
from kinesphere.core.signals import raise_if_stopped, shielded
from kinesphere.core.skipped import Skipped
from kinesphere.data.dataset import Batch
from kinesphere.data.loader import ClipLoader
from kinesphere.data.sampler import EpochSampler
from kinesphere.data.two_views import UNKNOWN
from kinesphere.train.further_scores import FurtherTask
from kinesphere.train.history import Row
from kinesphere.train.loader import ResumableLoader
from kinesphere.train.losses import dense_targets, loss_at
from kinesphere.train.unlabelled_sections import UnlabelledSection


@dataclass(frozen=True, eq=False, repr=False)
class MixedBatch(Batch):
    """Labelled clips, with unlabelled ones beside them.

    Attributes:
        unlabelled: Weak and strong views, `(U, 2, T, …)` per spec; targets are -1 where not known.
    """

    unlabelled: Batch | None = None


class MixedLoader(ResumableLoader):
    """Batches of labelled and unlabelled clips at once, from anywhere in the run.

    An epoch is one pass over whichever has more batches; the other goes round by its own epochs. Where each
    stands follows from the number of batches since the beginning.

    Args:
        labelled: Loads what an `EpochSampler` draws.
        unlabelled: The same of `TwoViews`.
        offset: Added to the positions of unlabelled samples that could not be read, which are told apart from
            labelled ones by that.
    """

    def __init__(self, labelled: ClipLoader, unlabelled: ClipLoader, offset: int) -> None:
        super().__init__(labelled)
        self._streams = (_Endless(labelled), _Endless(unlabelled))
        self._offset = offset

    def __len__(self) -> int:
        return max(len(stream.loader) for stream in self._streams)

    def __iter__(self) -> Iterator[Batch]:
        start, count = self.batch, len(self)
        began = time.perf_counter()
        for number in range(start, count):
            raise_if_stopped()
            labelled, unlabelled = (stream.batch(self.epoch * count + number) for stream in self._streams)
            self.waited_s += time.perf_counter() - began
            last = number + 1 == count
            self.epoch, self.batch = (self.epoch + 1, 0) if last else (self.epoch, number + 1)
            yield MixedBatch(
                labelled.inputs,
                labelled.targets,
                labelled.indices,
                (*labelled.failures, *map(self._moved, unlabelled.failures)),
                (*labelled.notes, *map(self._moved, unlabelled.notes)),
                unlabelled,
            )
            began = time.perf_counter()

    def _moved(self, skipped: Skipped) -> Skipped:
        return replace(skipped, index=None if skipped.index is None else skipped.index + self._offset)

    def close(self) -> None:
        for stream in self._streams:
            stream.loader.close()


class _Endless:
    """Batches of a loader by their number since the beginning of the run."""

    def __init__(self, loader: ClipLoader) -> None:
        assert isinstance(loader.sampler, EpochSampler)
        self.loader = loader
        self._sampler = loader.sampler
        self._next = -1
        self._batches: Iterator[Batch] = iter(())

    def batch(self, number: int) -> Batch:
        """The batch of a number; fast where it follows the one before."""
        epoch, within = divmod(number, len(self.loader))
        if number != self._next or within == 0:
            self._sampler.resume_at(epoch, within)
            with shielded():
                self._batches = iter(self.loader)
        self._next = number + 1
        return next(self._batches)


@dataclass(frozen=True)
class PseudoLabels:
    """Answers that serve as labels.

    Attributes:
        classes: Long `(U,)`.
        sure: Whether each counts, bool `(U,)`.
    """

    classes: Tensor
    sure: Tensor


def pseudo_labels(weak_UK: Tensor, threshold: float) -> PseudoLabels:
    """The labels that logits of weak views give; no gradient passes."""
    best, classes = weak_UK.detach().float().softmax(-1).max(-1)
    return PseudoLabels(classes, best >= threshold)


def consistency_loss(strong_UK: Tensor, labels: PseudoLabels) -> Tensor:
    """Cross-entropy of strong views with the labels that are sure, its mean over all U clips (equation 4)."""
    losses = F.cross_entropy(strong_UK.float(), labels.classes, reduction="none")
    return (losses * labels.sure).mean()


class FixMatchTask(FurtherTask):
    """Adds the loss of unlabelled clips to that of labelled ones.

    One pass through the network holds labelled, weak and strong views, so that batch norms see all alike.

    Args:
        settings: Threshold, weight and teacher.
        args, kwargs: As of `RecognitionTask`; `ema` is given.
    """

    further_names = ("loss", "unlabelled_loss", "mask_rate", "pseudo_label_accuracy")
    training_scores = ("loss", "top1", "unlabelled_loss", "mask_rate", "pseudo_label_accuracy")
    """`mask_rate` is the fraction of unlabelled clips whose labels are sure and count; the accuracy is that
    of these labels, where the true ones are known."""

    def __init__(self, settings: UnlabelledSection, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = settings

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        moved = super().transfer_batch_to_device(batch, device, dataloader_idx)
        if isinstance(moved, MixedBatch) and moved.unlabelled is not None:
            return replace(moved, unlabelled=moved.unlabelled.to(device, non_blocking=True))
        return moved

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        assert isinstance(batch, MixedBatch)
        others = batch.unlabelled
        if not batch.indices or others is None or not others.indices:
            return super().training_step(batch, batch_index)
        self._seed_step(batch_index)
        rows = dense_targets(batch.targets, len(self.recogniser.labels))
        labelled = self._normalised(tuple(x.flatten(0, 1) for x in batch.inputs))
        weak = self._normalised(tuple(x[:, 0] for x in others.inputs))
        strong = self._normalised(tuple(x[:, 1] for x in others.inputs))
        counts = [len(rows), len(others), len(others)]
        together = tuple(torch.cat(views) for views in zip(labelled, weak, strong, strict=True))
        with sound_convolutions(self.device):
            own, weak_UK, strong_UK = self.recogniser(*together).split(counts)
        if self._settings.teacher == "average":
            with torch.no_grad():
                weak_UK = self.scored(*weak)
        labels = pseudo_labels(weak_UK, self._settings.threshold)
        supervised = loss_at(self._loss, self.global_step / self.length.steps)(own, rows)
        unlabelled = consistency_loss(strong_UK, labels)
        self.training_metrics.update(own, rows, supervised)
        loss = supervised + self._settings.weight * unlabelled
        self._count(loss, unlabelled, labels, others.targets)
        return loss

    def _count(self, loss: Tensor, unlabelled: Tensor, labels: PseudoLabels, targets: Tensor) -> None:
        clips = torch.tensor(float(len(targets)), device=targets.device)
        judged = labels.sure & (targets != UNKNOWN)
        right = judged & (labels.classes == targets)
        self.further.update(
            torch.stack([loss.detach() * clips, unlabelled.detach() * clips, labels.sure.sum(), right.sum()]),
            torch.stack([clips, clips, clips, judged.sum()]),
        )


def told(rows: list[Row]) -> str:
    """For the report: how many unlabelled clips counted in the last epoch, and how rightly."""
    last = rows[-1] if rows else {}
    rate, right = last.get("train_mask_rate"), last.get("train_pseudo_label_accuracy")
    if rate is None:
        return "FixMatch: no unlabelled clip was read."
    if rate == 0:
        return (
            "FixMatch: in the last epoch no unlabelled clip was answered surely enough to count (mask rate "
            "0), so that they taught nothing; lower unlabelled.threshold, or train longer."
        )
    known = "not known, as no clip among them has one" if right is None else f"{100 * right:.1f} %"
    return (
        f"FixMatch: in the last epoch {100 * rate:.1f} % of the unlabelled clips were answered surely "
        f"enough to count (mask rate); accuracy of these labels: {known}."
    )
