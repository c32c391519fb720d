"""Pre-training without labels: masked tubes, and contrasting times of a video with other videos.

B clips, V views, D width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.core.bf16_convolution import sound_convolutions
from kinesphere.data.dataset import Batch
from kinesphere.models.head import feature_width
from kinesphere.models.masked_tubes import MaskedTubes, tube_mask, tubelet_encoder
from kinesphere.models.recogniser import Recogniser
from kinesphere.train.further_scores import FurtherTask
from kinesphere.train.optim import ParameterGroup, optimizer_of, parameter_groups
from kinesphere.train.schedule import make_schedule
from kinesphere.train.unlabelled_sections import PretrainSection


def nt_xent(first_BD: Tensor, second_BD: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The normalised, temperature-scaled cross-entropy of pairs (Chen et al. 2020, equation 1).

    Args:
        first_BD, second_BD: Clips; rows of the same number are a pair, all others are negatives.
        temperature: By which cosines are divided.

    Returns:
        The mean over all 2 B clips, and of each whether its partner is nearest to it, bool `(2 B,)`.
    """
    clips = F.normalize(torch.cat((first_BD, second_BD)).float(), dim=1)
    count = len(first_BD)
    logits = clips @ clips.T / temperature
    logits = logits.masked_fill(torch.eye(2 * count, dtype=torch.bool, device=clips.device), -torch.inf)
    partner = torch.arange(2 * count, device=clips.device).roll(count)
    return F.cross_entropy(logits, partner), logits.argmax(1) == partner


def without_dropout(recogniser: Recogniser) -> Recogniser:
    """The same recogniser with its dropout turned off, for pre-training.

    Dropout is made against learning few labels by heart. Here it hides what two views of a clip share: most
    of the channels that are compared are then different ones.
    """
    for layer in recogniser.net.modules():
        if isinstance(layer, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d):
            layer.p = 0.0
    return recogniser


class PretrainTask(FurtherTask):
    """A task whose `extra` layers learn with the recogniser and are not kept with it."""

    extra: nn.Module

    def configure_optimizers(self) -> Any:
        groups = parameter_groups(self.recogniser, self._optimizer)
        for decays in (True, False):
            chosen = tuple(p for p in self.extra.parameters() if (p.dim() > 1) == decays)
            decay = self._optimizer.weight_decay if decays else 0.0
            groups.append(ParameterGroup("extra", chosen, self._optimizer.lr, decay))
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        optimizer = optimizer_of(groups, self._optimizer, scaled=scaled)
        schedule = make_schedule(optimizer, self._schedule, self.length.steps, self.length.steps_per_epoch)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _nothing(self) -> Tensor:
        """The loss of a batch of which no clip could be read."""
        learning = [p for p in self.parameters() if p.requires_grad]
        return sum((p.sum() for p in learning), start=torch.zeros((), device=self.device)) * 0


class MaskedTubesTask(PretrainTask):
    """Fills in masked tubes.

    Args:
        settings: Share of the mask, and the decoder.
        recogniser: The model, of the videomae family.
        args, kwargs: As of `RecognitionTask`.

    Raises:
        InvalidSetting: If the model is another.
    """

    further_names = ("loss",)
    training_scores = ("loss", "top1")

    def __init__(self, settings: PretrainSection, recogniser: Recogniser, *args: Any, **kwargs: Any) -> None:
        super().__init__(recogniser, *args, **kwargs)
        self._mask = settings.mask
        spec = recogniser.specs[0]
        self.extra = MaskedTubes(
            tubelet_encoder(recogniser.net, recogniser.card.name),
            spec.mean,
            spec.std,
            width=settings.decoder_width,
            depth=settings.decoder_depth,
            heads=settings.decoder_heads,
        )

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        generator = self._seed_step(batch_index)
        if not batch.indices:
            return self._nothing()
        (clips,) = self._normalised(tuple(x.flatten(0, 1) for x in batch.inputs))
        assert isinstance(self.extra, MaskedTubes)
        mask = tube_mask(len(clips), self.extra.grid(clips), self._mask, generator).to(clips.device)
        loss = self.extra.loss(clips, mask)
        count = torch.tensor([float(len(clips))], device=clips.device)
        self.further.update(loss[None].detach() * count, count)
        return loss


class ContrastiveTask(PretrainTask):
    """Tells the other time of a video from all other videos of the batch.

    Clips are compared behind a perceptron with a batch norm, as in SimCLR (Chen et al. 2020, section 4.2),
    which is not kept; the model learns without dropout, and has it again where it is fine-tuned.

    Args:
        settings: Temperature, and width of the projection.
        recogniser: The model; its head takes no part.
        args, kwargs: As of `RecognitionTask`.
    """

    further_names = ("loss", "top1")
    training_scores = ("loss", "top1")
    """`top1` is the fraction of clips whose nearest clip of the batch is of the same video."""

    def __init__(self, settings: PretrainSection, recogniser: Recogniser, *args: Any, **kwargs: Any) -> None:
        super().__init__(without_dropout(recogniser.without_head()), *args, **kwargs)
        self._kept = (recogniser,)  # not a part of this module: it learns nothing by itself
        width = feature_width(recogniser.net, recogniser.card.head[0])
        self.extra = nn.Sequential(
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, settings.projection),
        ).to(next(recogniser.parameters()).device)
        self._temperature = settings.temperature

    @property
    def scored(self) -> Recogniser:
        """The recogniser with the head that it began with, and everything before it as it is by now."""
        trained, kept = super().scored, self._kept[0]
        head = tuple(f"{path}." for path in kept.card.head)
        state = {key: each for key, each in trained.net.state_dict().items() if not key.startswith(head)}
        kept.net.load_state_dict(state, strict=False)
        return kept.eval()

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        self._seed_step(batch_index)
        if not batch.indices:
            return self._nothing()
        pairs = self._normalised(tuple(x.transpose(0, 1).flatten(0, 1) for x in batch.inputs))
        with sound_convolutions(self.device):
            features = self.recogniser(*pairs)
        first, second = self.extra(features).chunk(2)
        loss, found = nt_xent(first, second, self._temperature)
        count = torch.full((2,), float(len(found)), device=loss.device)
        self.further.update(torch.stack([loss.detach() * len(found), found.sum()]), count)
        return loss
