"""`ClipDataset`: samples of a manifest as clips, and the batches they make."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch.utils.data import Dataset

from kinesphere.clips.augment.background import Background
from kinesphere.clips.augment.parameters import AugmentParameters
from kinesphere.clips.augment.settings import Augment, check_flip, preset
from kinesphere.clips.clip import Clip, stack
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.source import WrappedSource
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core.errors import (
    InvalidAnnotation,
    InvalidClip,
    InvalidSetting,
    KinesphereWarning,
    MissingExtra,
    MissingWeights,
    PreparedOtherwise,
    VideoError,
)
from kinesphere.core.short_repr import short_repr
from kinesphere.core.skipped import Skipped
from kinesphere.data.background import Backdrop, DifferentVideos, Lenders, with_background
from kinesphere.data.manifest import Manifest
from kinesphere.data.sample import Sample
from kinesphere.data.sampler import Draw
from kinesphere.data.sources import Opening

# What can be wrong with one sample; any other exception is a bug.
UNREADABLE = (VideoError, InvalidAnnotation, InvalidClip, MissingExtra, MissingWeights)


@dataclass(frozen=True, eq=False, repr=False)
class Item:
    """One sample as tensors.

    Attributes:
        inputs: One `(V, T, C, H, W)` per spec (pose: `(V, T, M, J, 3)`).
        target: Class index, long `()`; for multi-label sets 0 and 1, float32 `(K,)`. Where labels are mixed
            with the background's class: their weights, float32 `(K,)`.
        index: Position in the manifest.
        notes: Warnings about it: what was not used whole, or not as it stood.
    """

    inputs: tuple[torch.Tensor, ...]
    target: torch.Tensor
    index: int
    notes: tuple[Skipped, ...] = ()

    __repr__ = short_repr


@dataclass(frozen=True, eq=False, repr=False)
class Batch:
    """The readable samples of one batch, and the others by name.

    Attributes:
        inputs: One `(B, V, T, C, H, W)` per spec, uint8 for rgb; frames keep their channels last in
            memory. Empty if no sample was readable.
        targets: Class indices, long `(B,)`; for multi-label sets 0 and 1, and for mixed labels their
            weights, float32 `(B, K)`.
        indices: Positions in the manifest (B).
        failures: Samples that could not be read and are missing here.
        notes: Warnings about samples that are here.
    """

    inputs: tuple[torch.Tensor, ...]
    targets: torch.Tensor
    indices: tuple[int, ...]
    failures: tuple[Skipped, ...] = ()
    notes: tuple[Skipped, ...] = ()

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.indices)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Self:
        """The batch on another device."""
        return replace(
            self,
            inputs=tuple(x.to(device, non_blocking=non_blocking) for x in self.inputs),
            targets=self.targets.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> Self:
        """The batch in page-locked memory, from where copies to a GPU run beside computation."""
        return replace(
            self, inputs=tuple(x.pin_memory() for x in self.inputs), targets=self.targets.pin_memory()
        )


class ClipDataset(Dataset[Item | Skipped]):
    """Reads, augments and labels the clips of a manifest.

    What an item holds depends on (seed, epoch, index, repeat) alone, never on workers, order or what
    was read before. A video that cannot be read gives a `Skipped`, not an error, and never another
    video in its place.

    Args:
        manifest: The samples. Those of pose models are videos with a pose file beside them or in the
            column `pose_file`, or pose files themselves.
        specs: What the network takes; several for networks with several inputs. Sampling and
            augmentation of one sample are the same for all of them.
        train: Sample and augment at random, instead of centred and unchanged.
        augment: Settings of augmentation, only with `train`; by default none beyond the sampling.
            All clips of a sample share their augmentation parameters, so that they share one label.
        views: Clips and crops per sample, only without `train`.
        opening: Where sidecar files and decoded frames lie, and what becomes of missing files; by default,
            and with `train`, a sample for which something would have to be extracted is a failure.
        background: Change of the background of people, by its name or as a whole; only without `train`, where
            `augment` says.
        seed: Seed of all randomness.

    Raises:
        InvalidSetting: If settings contradict each other, or a flip would make labels wrong.
        LabelMismatch: If a sample has a label outside the set.
    """

    def __init__(
        self,
        manifest: Manifest,
        specs: ClipSpec | Sequence[ClipSpec],
        *,
        train: bool,
        augment: Augment | None = None,
        views: Views = Views(),  # noqa: B008 (frozen)
        opening: Opening = Opening(extracting=False),  # noqa: B008 (frozen)
        background: Background | Backdrop = "keep",
        seed: int = 0,
    ) -> None:
        self.manifest = manifest
        self.specs = (specs,) if isinstance(specs, ClipSpec) else tuple(specs)
        if not self.specs:
            raise InvalidSetting("A dataset needs at least one clip spec; got none.")
        if train and views != Views():
            raise InvalidSetting(f"Views {views} are for testing; training samples at random.")
        if augment is not None and not train:
            raise InvalidSetting("Augmentation is for training; set train, or leave augment out.")
        backdrop = background if isinstance(background, Backdrop) else Backdrop(background)
        if train and backdrop.change != "keep":
            raise InvalidSetting("A changed background is for testing; in training set augment.background.")
        if train:
            augment = augment or preset("none")
            check_flip(augment, manifest.labels)
        for spec in self.specs:
            MODALITIES.get(spec.modality)  # refuses one that is not there here, not in a worker
        self.train = train
        self.augment = augment  # set exactly when training
        self.views = views
        self.opening = replace(opening, extracting=opening.extracting and not train)
        self.backdrop = backdrop
        self.seed = seed
        self._targets = manifest.targets
        self._flipped = manifest.labels.flipped()

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, draw: Draw | int) -> Item | Skipped:
        """The sample of a draw (a plain index is the first draw of epoch 0)."""
        draw = Draw(draw) if isinstance(draw, int) else draw
        sample = self.manifest[draw.index]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", KinesphereWarning)
            try:
                clips, other = self._read(draw)
            except UNREADABLE as error:
                return Skipped(str(sample.path), str(error), index=draw.index)
        notes = []
        for warning in caught:
            if isinstance(warning.message, KinesphereWarning):
                notes.append(
                    Skipped(str(sample.path), str(warning.message), is_failure=False, index=draw.index)
                )
            else:
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        is_flipped = clips[0][0].flipped and self.train
        return Item(
            tuple(stack(views) for views in clips),
            self._target(draw.index, is_flipped, None if other is None else other.lent),
            draw.index,
            tuple(notes),
        )

    def clips(self, draw: Draw) -> list[list[Clip]]:
        """The V clips of a draw, for each spec.

        Raises:
            VideoError: If the video cannot be read.
            InvalidAnnotation: If a file of flow, joints or masks cannot.
        """
        return self._read(draw)[0]

    def _read(self, draw: Draw) -> tuple[list[list[Clip]], Lenders | None]:
        """The clips of a draw, and who lent them a background."""
        sample = self.manifest[draw.index]
        when, how, where = self._seeds(draw)
        video, other = self._open(sample, draw.index, where)
        with video:
            if self.augment is None:
                plain = [
                    MODALITIES.get(spec.modality).read(video, spec, sample.span, views=self.views)
                    for spec in self.specs
                ]
                return plain, other
            read = self._windows(video, sample, when)
        return self._augmented(read, self._draw(read, self.augment, how)), other

    def _seeds(self, draw: Draw) -> tuple[int, int, int]:
        """Of a draw: the seeds of the time it shows, of its augmentation, and of its background."""
        seeds = np.random.SeedSequence([self.seed, draw.epoch, draw.index, draw.repeat])
        when, how, where = seeds.generate_state(3, np.uint64).tolist()
        return when, how, where

    def _windows(self, video: WrappedSource, sample: Sample, when: int) -> list[list[Clip]]:
        """The clips of a random time, for each spec, before they are augmented."""
        assert self.augment is not None
        return [
            MODALITIES.get(spec.modality).read(
                video,
                spec,
                sample.span,
                # The same state for every spec: inputs with equal sampling show the same timestamps.
                generator=torch.Generator().manual_seed(when),
                jitter=self.augment.jitter,
                enlarge=self.augment.enlarge,
            )
            for spec in self.specs
        ]

    def _augmented(self, read: list[list[Clip]], drawn: list[AugmentParameters]) -> list[list[Clip]]:
        return [
            [MODALITIES.get(spec.modality).augment(clip, parameters, spec) for clip in clips]
            for clips, spec, parameters in zip(read, self.specs, drawn, strict=True)
        ]

    def _draw(self, read: list[list[Clip]], augment: Augment, how: int) -> list[AugmentParameters]:
        """What happens to clips that were read, for each spec.

        The same for all inputs; boxes about the people are cut apart from whole frames.
        """
        generator = torch.Generator().manual_seed(how)
        frame_sizes = [clips[0].frame_size for clips in read]
        drawn = augment.draw(frame_sizes[0], self.specs[0], generator)
        return [
            augment.on_people(drawn, size, spec, generator)
            if (spec.resize == "people") != (self.specs[0].resize == "people")
            else drawn
            for size, spec in zip(frame_sizes, self.specs, strict=True)
        ]

    def _open(self, sample: Sample, index: int, number: int) -> tuple[WrappedSource, Lenders | None]:
        """A sample's video as this draw sees it, and who lends it a background."""
        generator = torch.Generator().manual_seed(number)
        change = self.augment.draw_background(generator) if self.augment is not None else self.backdrop.change
        also = () if change == "keep" else ("mask",)
        video = self.opening.open(
            sample.path, self.specs, span=sample.span, files=dict(sample.sidecars), also=also, fps=sample.fps
        )
        for remark in video.remarks:
            warnings.warn(PreparedOtherwise(remark), stacklevel=2)
        if change == "keep":
            return video, None
        other, chosen = None, self.backdrop.lenders
        if change == "replace":
            opener = partial(self.opening.open, also=("mask",))
            if chosen is None:
                other = Lenders(self._videos.others(sample.path, number), opener)
            else:
                lender = chosen[index]
                own = partial(opener, files=dict(lender.sidecars))
                other = Lenders([lender.path], own, lender.span)
        return with_background(video, change, other, self.backdrop.fill), other

    @cached_property
    def _videos(self) -> DifferentVideos:
        # Found out once, not for each sample whose background is replaced.
        return DifferentVideos(sample.path for sample in self.manifest)

    @cached_property
    def _classes_of(self) -> dict[Path, torch.Tensor]:
        """Of each video the mean of its samples' classes, `(K,)`: what its background stands for."""
        rows: dict[Path, list[torch.Tensor]] = {}
        for sample, classes in zip(self.manifest, self._targets, strict=True):
            rows.setdefault(sample.path, []).append(self._row(classes))
        return {path: torch.stack(each).mean(0) for path, each in rows.items()}

    def _target(self, index: int, is_flipped: bool, lent: tuple[Path, float] | None) -> torch.Tensor:
        classes = self._targets[index]
        mixes = self.augment is not None and self.augment.mixes_labels
        if not (mixes or self.manifest.labels.multi):
            return torch.tensor(self._flipped[classes[0]] if is_flipped else classes[0])
        target = self._row(classes)
        if self.augment is not None and mixes and lent is not None:
            path, people = lent
            target = torch.lerp(target, self._classes_of[path], self.augment.background_weight(people))
        return target[list(self._flipped)] if is_flipped else target

    def _row(self, classes: Sequence[int]) -> torch.Tensor:
        row = torch.zeros(len(self.manifest.labels))
        row[list(classes)] = 1
        return row


def collate(items: Sequence[Item | Skipped]) -> Batch:
    """Items of one dataset as a batch; failures are set apart."""
    read = [item for item in items if isinstance(item, Item)]
    failures = tuple(item for item in items if isinstance(item, Skipped))
    if not read:
        return Batch((), torch.empty(0, dtype=torch.long), (), failures)
    inputs = tuple(_joined([item.inputs[i] for item in read]) for i in range(len(read[0].inputs)))
    return Batch(
        inputs,
        torch.stack([item.target for item in read]),
        tuple(item.index for item in read),
        failures,
        tuple(note for item in read for note in item.notes),
    )


def _joined(samples: list[torch.Tensor]) -> torch.Tensor:
    """`(V, T, …)` tensors as `(B, V, T, …)`, in the memory order that they have."""
    if samples[0].is_contiguous():
        return torch.stack(samples)
    return torch.stack([x.permute(0, 1, 3, 4, 2) for x in samples]).permute(0, 1, 2, 5, 3, 4)
