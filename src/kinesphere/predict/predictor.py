"""`Predictor`: a recogniser that takes videos."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core.device import Compute
from kinesphere.core.labels import LabelSet
from kinesphere.core.sides import mirror_order
from kinesphere.core.threads import UsableThreads, computing_with
from kinesphere.data.sources import Opening
from kinesphere.models import Provenance, Recogniser
from kinesphere.models.rejection import Rejection
from kinesphere.models.runtime.inference import optimise_for_inference
from kinesphere.predict.video_predictor import VideoPredictor

_CLIPS_PER_PASS = {"cpu": 16}
_CLIPS_PER_PASS_GPU = 64


class Predictor(VideoPredictor):
    """Applies a recogniser to videos through its own input contract.

    Args:
        recogniser: The model as it is now: it is moved to the device and into evaluation mode, and
            what it learns later does not reach the predictor.
        compute: Where and how it runs; by default the best for this machine.
        name: For reports; by default the architecture's.
        optimise: Run a copy with fused operators (`models.optimise`), equal up to rounding.
        opening: Where files of flow and poses lie, and what becomes of those that are missing.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        compute: Compute | None = None,
        *,
        name: str | None = None,
        optimise: bool = True,
        opening: Opening | None = None,
    ) -> None:
        super().__init__(
            name or recogniser.card.name,
            compute or Compute.choose(),
            opening,
            recogniser.provenance.preparation,
        )
        self.module = recogniser.eval()
        self.compute.place(self.module)
        self._usable = UsableThreads.here()
        self._net = optimise_for_inference(recogniser, self.compute) if optimise else recogniser.net

    @property
    def labels(self) -> LabelSet:
        """See `VideoPredictor.labels`."""
        return self.module.labels

    @property
    def specs(self) -> tuple[ClipSpec, ...]:
        """The input contracts, one per input of the network."""
        return self.module.specs

    @property
    def provenances(self) -> tuple[Provenance, ...]:
        """See `VideoPredictor.provenances`."""
        return (self.module.provenance,)

    @property
    def rejection(self) -> Rejection | None:
        """See `VideoPredictor.rejection`."""
        return self.module.rejection

    def probabilities(self, inputs: Sequence[Tensor], views: Views = Views()) -> Tensor:  # noqa: B008
        """See `VideoPredictor.probabilities`."""
        samples, count = inputs[0].shape[:2]
        flat = [x.flatten(0, 1) for x in inputs]
        step = _CLIPS_PER_PASS.get(self.compute.device, _CLIPS_PER_PASS_GPU)
        passes = [self._forward([x[i : i + step] for x in flat]) for i in range(0, samples * count, step)]
        each_SVK: Tensor = torch.cat(passes).unflatten(0, (samples, count))
        if any(views.flipped):
            flipped_V = torch.tensor(views.flipped, device=each_SVK.device).repeat(count // views.crops)
            mirrored_SVK = each_SVK[..., list(mirror_order(self.labels))]
            each_SVK = torch.where(flipped_V[:, None], mirrored_SVK, each_SVK)
        return each_SVK.mean(1)

    def digest(self) -> str:
        """See `VideoPredictor.digest`."""
        rule = () if self.rejection is None else (self.rejection.rule,)
        return digest_of(self.specs, (*self.labels.names, *rule), self.module.state_dict())

    def threads(self, clips: int) -> int | None:
        """See `VideoPredictor.threads`."""
        if self.compute.device != "cpu":
            return None
        work = self.module.card.work(self.specs, min(clips, _CLIPS_PER_PASS["cpu"]))
        return self.compute.threads or self._usable.suiting(work)

    def _forward(self, clips: list[Tensor]) -> Tensor:
        with computing_with(self.threads(len(clips[0]))):
            return self._computed(clips)

    def _computed(self, clips: list[Tensor]) -> Tensor:
        device = self.compute.device
        # In fp32 until autocast decides: rounding pixels first would cost accuracy for nothing.
        ready = [
            MODALITIES.get(spec.modality).normalise(x.to(device, non_blocking=True), spec, torch.float32)
            for x, spec in zip(clips, self.specs, strict=True)
        ]
        with torch.inference_mode(), self.compute.autocast():
            logits: Tensor = self._net(*ready).float()
        return logits.sigmoid() if self.labels.multi else logits.softmax(-1)


def digest_of(specs: Sequence[ClipSpec], names: Sequence[str], state: Mapping[str, Tensor]) -> str:
    """A short digest of input contracts, labels and weights."""
    digest = hashlib.sha256(json.dumps([spec.to_json() for spec in specs]).encode())
    digest.update("\0".join(names).encode())
    for name, tensor in state.items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(-1).numpy().tobytes())
    return digest.hexdigest()[:16]
