"""Training of a structured segment network together with the recogniser that makes its rows.

Zhao et al. 2017 (see `kinesphere.models.temporal.ssn`), section 4: the snippets of proposals are read from
the videos and go through the recogniser with gradients. It stays in evaluation mode: its batch norms keep
their statistics, as in the authors' code, and rows are what the extractor of features makes of the same
windows.

N snippets, P proposals, S snippets of each, V clips of a snippet, D numbers of a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from kinesphere.clips.modality import MODALITIES
from kinesphere.core.device import Compute
from kinesphere.core.threads import computing_with
from kinesphere.data.loader import LoaderSettings
from kinesphere.localise.settings import BackboneSection, LocaliseRecipe
from kinesphere.localise.snippets import Draws, Shown
from kinesphere.localise.structured import COUNTS, segment_loss
from kinesphere.localise.training import NetworkTask, clip_loader, fit_task
from kinesphere.models import Recogniser, load_model
from kinesphere.models.temporal.ssn import SSN, Verdicts
from kinesphere.predict.features import FeatureExtractor
from kinesphere.predict.scorers import inputs_of


class Step(NamedTuple):
    """What a step sees.

    Attributes:
        which: `(P, S)`: which snippets are those of the proposals.
        scale, labels, targets: See `Shown`.
        inputs: Clips `(N, V, T, ...)` of the snippets, each once, one for each input of the recogniser.
    """

    which: Tensor
    scale: Tensor
    labels: Tensor
    targets: Tensor
    inputs: tuple[Tensor, ...]

    def to(self, device: torch.device | str) -> Step:
        """The same on another device."""
        which, scale, labels, targets = (each.to(device) for each in self[:4])
        return Step(which, scale, labels, targets, tuple(each.to(device) for each in self.inputs))


class ClipSegments(nn.Module):
    """A structured segment network on clips.

    Args:
        recogniser: Makes the rows; its head takes no part, and stays as it is.
        section: What of it learns.
        net: Judges proposals by their rows.
        mean, std: `(D,)` that rows are normalised with.
        compute: Arithmetic of the recogniser.

    Raises:
        InvalidSetting: If there is no stage of the name that is to be frozen, or the recogniser has several
            heads.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        recogniser: Recogniser,
        section: BackboneSection,
        net: SSN,
        mean: Tensor,
        std: Tensor,
        compute: Compute,
    ) -> None:
        super().__init__()
        if section.freeze is not None:
            recogniser.freeze(section.freeze)
        self.backbone, self.specs = recogniser.without_head().eval().net, recogniser.specs
        self.net, self._compute = net, compute
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode, except for the recogniser."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, inputs: Sequence[Tensor], which_PS: Tensor, scale_P2: Tensor) -> Verdicts:
        """About proposals by the clips of their snippets; arguments as in `Step`."""
        rows_ND = (self.rows(inputs) - self.mean) / self.std
        verdicts: Verdicts = self.net(rows_ND[which_PS], scale_P2)
        return verdicts

    def rows(self, inputs: Sequence[Tensor]) -> Tensor:
        """Features `(N, D)` of clips as they were read, with gradients."""
        count, views = inputs[0].shape[:2]
        clips = [
            MODALITIES.get(spec.modality).normalise(x.flatten(0, 1), spec, torch.float32)
            for x, spec in zip(inputs, self.specs, strict=True)
        ]
        with self._compute.autocast():
            seen: Tensor = self.backbone(*clips)
        found: Tensor = seen.float().flatten(1).unflatten(0, (count, views)).mean(1)
        return found

    def learnt(self, recogniser: Recogniser) -> Recogniser:
        """The whole recogniser with the weights that were learnt."""
        heads = tuple(f"{path}." for path in recogniser.card.head)
        state = {k: v for k, v in self.backbone.cpu().state_dict().items() if not k.startswith(heads)}
        recogniser.net.load_state_dict({**recogniser.net.state_dict(), **state})
        notes = (
            *recogniser.provenance.notes,
            "Trained as the backbone of ssn; its head was not, and is old.",
        )
        recogniser.provenance = replace(
            recogniser.provenance, origin="trained end to end", notes=notes, scores={}, clips=None,
            rejection=None, test_views=None,
        )  # fmt: skip
        return recogniser.eval()


@dataclass(frozen=True, eq=False)
class StepClips(Dataset[Step]):
    """The steps of an epoch with the clips of their snippets.

    Attributes:
        steps: What is shown.
        videos: Files, by their number.
        extractor: Says which clips rows are made of.
    """

    steps: Sequence[Shown]
    videos: Sequence[Path]
    extractor: FeatureExtractor

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> Step:
        shown = self.steps[index]
        each_N2, which = shown.each_once()
        windows = [
            window
            for video in each_N2[:, 0].unique().tolist()
            for window in self.extractor.windows(
                self.videos[video], each_N2[each_N2[:, 0] == video, 1].tolist()
            )
        ]
        inputs = inputs_of(windows, len(windows[0].clips))
        return Step(which, shown.scale, shown.labels, shown.targets, tuple(inputs))


class ClipSegmentTask(NetworkTask[ClipSegments]):
    """Proposals of a few videos at a time, by snippets that are read from the videos."""

    def __init__(
        self,
        net: ClipSegments,
        draws: Draws,
        videos: Sequence[Path],
        extractor: FeatureExtractor,
        recipe: LocaliseRecipe,
    ) -> None:
        super().__init__(net, recipe, draws.steps)
        self._draws, self._videos, self._extractor = draws, tuple(videos), extractor
        self._factor, self._loading = recipe.backbone.lr, LoaderSettings.choose(recipe.compute.workers)

    def batches(self, epoch: int) -> Iterator[Step]:
        """See `NetworkTask.batches`."""
        yield from self._loader(epoch)

    def train_dataloader(self) -> DataLoader[Any]:
        """The steps of the epoch, read as they are needed."""
        return self._loader(self.current_epoch)

    def _loader(self, epoch: int) -> DataLoader[Any]:
        steps = StepClips(list(self._draws.of(epoch)), self._videos, self._extractor)
        return clip_loader(steps, self._loading, "Training on snippets", batch_size=None)

    def transfer_batch_to_device(self, batch: Step, device: torch.device, dataloader_idx: int) -> Step:
        """All of it."""
        return batch.to(device)

    def learning(self) -> list[tuple[list[nn.Parameter], float]]:
        """The network, and the recogniser at its own rate."""
        return [
            (list(self.net.net.parameters()), 1.0),
            ([each for each in self.net.backbone.parameters() if each.requires_grad], self._factor),
        ]

    def loss_of(self, batch: Step) -> Tensor:
        """See `NetworkTask.loss_of`."""
        verdicts = self.net(batch.inputs, batch.which, batch.scale)
        return segment_loss(verdicts, batch.labels, batch.targets, COUNTS).total


def fit_clips(
    net: SSN,
    moments: tuple[Tensor, Tensor],
    draws: Draws,
    videos: Sequence[Path],
    extractor: FeatureExtractor,
    recipe: LocaliseRecipe,
    state: Path,
    progress: pl.Callback | None = None,
) -> Recogniser:
    """Train a network and its recogniser, from the state where there is one.

    Args:
        net: With fresh weights; it has the trained ones afterwards.
        moments: Mean and deviation `(D,)` that rows are normalised with.
        draws: What is shown.
        videos: Files of the videos that it is of.
        extractor: Makes the rows, with the recogniser to start from.
        recipe: Length, optimiser, device and seed.
        state: File of what is needed to go on, written after every epoch.
        progress: Told how far it is.

    Returns:
        The recogniser as it has learnt.

    Raises:
        InvalidSetting: If the recogniser has no such stage to freeze, or several heads.
        TrainingDiverged: If the loss stops being a number.
    """
    compute = recipe.compute.choose()
    recogniser = load_model(extractor.model)
    whole = ClipSegments(recogniser, recipe.backbone, net, *moments, compute)
    compute.place(whole)
    task = ClipSegmentTask(whole, draws, videos, extractor, recipe)
    with computing_with(compute.threads):
        fit_task(task, recipe, state, progress, compute.device)
    net.cpu()
    return whole.learnt(recogniser)
