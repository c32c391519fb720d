"""The training of a detector of people's actions on clips about keyframes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from kinesphere.clips.augment.settings import Augment
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.sides import unpaired
from kinesphere.core.threads import computing_with
from kinesphere.data.loader import LoaderSettings
from kinesphere.localise.people.detector import PeopleDetector
from kinesphere.localise.people.keyframe_set import KeyframeClips, KeyframeSet, collated
from kinesphere.localise.people.settings import PeopleRecipe
from kinesphere.localise.training import NetworkTask, clip_loader, fit_task
from kinesphere.models.spatiotemporal.network import BoxActions

Batch = tuple[Tensor, Tensor, Tensor]


def fit_people(
    detector: PeopleDetector,
    keyframes: KeyframeSet,
    recipe: PeopleRecipe,
    state: Path,
    progress: pl.Callback | None = None,
) -> None:
    """Train a detector, from the state where there is one; it has the trained weights afterwards.

    Args:
        detector: With a fresh head.
        keyframes: To train on.
        recipe: Length, optimiser, augmentation, device and seed.
        state: File of what is needed to go on, written after every epoch.
        progress: Told how far it is.

    Raises:
        InvalidSetting: If clips are changed so that boxes or classes cannot follow.
        TrainingDiverged: If the loss stops being a number.
    """
    check_augment(recipe.augment, detector.labels)
    compute = recipe.compute.choose()
    compute.place(detector.net)
    task = BoxTask(detector, keyframes, recipe, compute)
    with computing_with(compute.threads):
        fit_task(task, recipe, state, progress, compute.device)
    detector.net.cpu()


_OF_WHOLE_CLIPS = (
    "mixup", "cutmix", "still_mix", "background", "speed_jitter", "frame_jitter", "trim",
)  # fmt: skip


def check_augment(augment: Augment, labels: LabelSet) -> None:
    """Refuse changes that boxes cannot follow, and mirror images in which a class would have no label.

    Raises:
        InvalidSetting: If so.
    """
    if asked := [name for name in _OF_WHOLE_CLIPS if getattr(augment, name)]:
        raise InvalidSetting(
            f"{' and '.join(f'augment.{name}' for name in asked)}: what mixes clips or moves them in time "
            "does not go with people in boxes at one time; leave it out, or set it to 0."
        )
    alone = unpaired(labels)
    if augment.flip and alone:
        raise InvalidSetting(
            f"In a mirror image {', '.join(map(repr, alone))} would be something that has no label; set "
            "augment.flip=0, or name pairs in data.mirror."
        )


class BoxTask(NetworkTask[BoxActions]):
    """Boxes of a few keyframes at a time; each action by itself (binary cross-entropy)."""

    def __init__(
        self, detector: PeopleDetector, keyframes: KeyframeSet, recipe: PeopleRecipe, compute: Compute
    ) -> None:
        settings = recipe.train
        count = len(keyframes.with_people())
        super().__init__(detector.net, recipe, -(-count // settings.batch_size))
        self._detector, self._keyframes, self._compute = detector, keyframes, compute
        self._augment, self._settings, self._count = recipe.augment, settings, count

    def batches(self, epoch: int) -> Iterator[Batch]:
        """See `NetworkTask.batches`."""
        yield from self._loader(epoch)

    def train_dataloader(self) -> DataLoader[Any]:
        """The batches of the epoch, read as they are needed."""
        return self._loader(self.current_epoch)

    def _loader(self, epoch: int) -> DataLoader[Any]:
        seed = self._settings.seed * 100_003 + epoch
        detector = self._detector
        clips = KeyframeClips(self._keyframes, detector.spec, detector.labels, self._augment, seed)
        order = torch.randperm(self._count, generator=torch.Generator().manual_seed(seed)).tolist()
        size = self._settings.batch_size
        steps = [order[first : first + size] for first in range(0, len(order), size)]
        loading = LoaderSettings.choose(self._settings.workers)
        return clip_loader(clips, loading, "Training on clips", batch_sampler=steps, collate_fn=collated)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Any:
        """All of it."""
        return tuple(each.to(device) for each in batch)

    def loss_of(self, batch: Batch) -> Tensor:
        """See `NetworkTask.loss_of`."""
        clips, rois, targets = batch
        with self._compute.autocast():
            maps = self.net.maps(self._detector.inputs(clips))
        logits = self.net.head([each.float() for each in maps], rois)
        total = F.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
        return total / max(targets.numel(), 1)
