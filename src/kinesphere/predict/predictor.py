"""`Predictor`: a recogniser that takes videos."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn

from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core.device import Compute
from kinesphere.core.labels import LabelSet
from kinesphere.core.sides import mirror_order
from kinesphere.core.threads import UsableThreads, computing_with
from kinesphere.data.sources import Opening
from kinesphere.models import Provenance, Recogniser
from kinesphere.models.rejection import Rejection
from kinesphere.models.runtime.framewise import FrameFeatures, FrameWise
from kinesphere.models.runtime.inference import optimise_for_inference, prepared_copy, prepared_stream
from kinesphere.models.runtime.measure import input_shape
from kinesphere.models.runtime.streaming import Streaming
from kinesphere.predict.scorers import ClipScorer, FrameScorer, Mode, Scorer, StreamScorer
from kinesphere.predict.video_predictor import VideoPredictor

log = logging.getLogger("kinesphere.predict")

_CLIPS_PER_PASS = {"cpu": 16}
_CLIPS_PER_PASS_GPU = 64
# Numbers in the clips of a pass: what a network makes of them on the way takes many times as much memory,
# which on a CPU long clips gain nothing by.
_NUMBERS_PER_PASS = {"cpu": 16_000_000}
_NUMBERS_PER_PASS_GPU = 500_000_000


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
        self._optimise = optimise
        self._most_clips = _CLIPS_PER_PASS_GPU
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
        return self.averaged(self._in_passes(flat).unflatten(0, (samples, count)), views)

    def _in_passes(self, clips: list[Tensor]) -> Tensor:
        """Probabilities of all clips, fewer at a time from the first pass on that a device's memory is too
        small for."""
        while True:
            step = self._clips_per_pass
            try:
                firsts = range(0, len(clips[0]), step)
                return torch.cat([self._forward([x[i : i + step] for x in clips]) for i in firsts])
            except torch.OutOfMemoryError:
                if step == 1:
                    raise
                self._most_clips = step // 2
                log.info("%s: %d clips at a time are too many for %s; %d are taken",
                         self.name, step, self.compute.device, self._most_clips)  # fmt: skip

    def averaged(self, each_SVK: Tensor, views: Views) -> Tensor:
        """Probabilities `(B, K)` of samples by those of their views; see `probabilities`."""
        if any(views.flipped):
            repeats = each_SVK.shape[1] // views.crops
            flipped_V = torch.tensor(views.flipped, device=each_SVK.device).repeat(repeats)
            mirrored_SVK = each_SVK[..., list(mirror_order(self.labels))]
            each_SVK = torch.where(flipped_V[:, None], mirrored_SVK, each_SVK)
        return each_SVK.amax(1) if views.pooling == "max" else each_SVK.mean(1)

    def scorer(self, views: Views, mode: Mode = "windows", window_s: float = 1.0) -> Scorer:
        """See `VideoPredictor.scorer`."""
        if mode == "streaming":
            return StreamScorer(self, views, window_s)
        return FrameScorer(self, views) if self.snippet else ClipScorer(self, views)

    @property
    def snippet(self) -> int:
        """Frames of one feature of a frame-wise network; 0 where windows share no computation."""
        net = self.module.net
        is_picture = all(MODALITIES.get(spec.modality).is_picture for spec in self.specs)
        return net.snippet if isinstance(net, FrameWise) and len(self.specs) == 1 and is_picture else 0

    @cached_property
    def _frame_net(self) -> nn.Module:
        """The part of a frame-wise network that looks at frames."""
        part = FrameFeatures(cast("FrameWise", self.module.net))
        return prepared_copy(part, self.module.card.name, self.compute) if self._optimise else part

    @cached_property
    def _stream_net(self) -> Streaming[Any]:
        """The network as it runs over a stream."""
        net = self.module.net
        made = prepared_stream(net, self.compute) if self._optimise else net
        return cast("Streaming[Any]", made)

    def frame_features(self, frames: Tensor) -> Tensor:
        """What a frame-wise network computes of snippets: `(N, T, C, H, W)` as in clips, to `(N, D)`."""
        step = self._clips_per_pass * self.specs[0].length // self.snippet
        clips = frames.shape[0] * self.snippet / self.specs[0].length
        with self._running(math.ceil(clips)):
            passes = [
                self._frame_net(self._ready(frames[i : i + step]).flatten(1, 2))
                for i in range(0, len(frames), step)
            ]
        return torch.cat(passes)

    def stream_features(self, frames: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Features `(V, T, D)` of the next frames `(V, T, C, H, W)` of a stream, and its state."""
        with self._running(frames.shape[1] * len(frames) / self.specs[0].length):
            return self._stream_net.stream_features(self._ready(frames), state)

    def from_features(self, features_BSD: Tensor, *, streaming: bool = False) -> Tensor:
        """Class probabilities `(B, K)` of what was computed of frames."""
        net = cast("FrameWise", self._stream_net if streaming else self.module.net)
        with self._running(1):
            return self._probable(net.from_features(features_BSD).float())

    def digest(self) -> str:
        """See `VideoPredictor.digest`."""
        rule = () if self.rejection is None else (self.rejection.rule,)
        return digest_of(self.specs, (*self.labels.names, *rule), self.module.state_dict())

    def threads(self, clips: float) -> int | None:
        """See `VideoPredictor.threads`."""
        if self.compute.device != "cpu":
            return None
        work = self.module.card.work(self.specs, min(clips, _CLIPS_PER_PASS["cpu"]))
        return self.compute.threads or self._usable.suiting(work)

    def windows_at_once(self, views: Views, mode: Mode = "windows") -> int:
        """See `VideoPredictor.windows_at_once`."""
        if mode == "streaming":
            return _CLIPS_PER_PASS.get(self.compute.device, _CLIPS_PER_PASS_GPU)
        clips = max(spec.sampling.clips for spec in self.specs) * views.clips * views.crops
        return max(1, self._clips_per_pass // clips)

    @property
    def _clips_per_pass(self) -> int:
        device, numbers = self.compute.device, sum(map(math.prod, map(input_shape, self.specs)))
        most = _NUMBERS_PER_PASS.get(device, _NUMBERS_PER_PASS_GPU) // numbers
        return max(1, min(_CLIPS_PER_PASS.get(device, _CLIPS_PER_PASS_GPU), most, self._most_clips))

    def _forward(self, clips: list[Tensor]) -> Tensor:
        with self._running(len(clips[0])):
            ready = [self._ready(x, i) for i, x in enumerate(clips)]
            return self._probable(self._net(*ready).float())

    @contextmanager
    def _running(self, clips: float) -> Iterator[None]:
        """Context in which so many clips, or a part of one, go through the network."""
        with (
            computing_with(self.threads(clips)),
            torch.inference_mode(),
            self.compute.autocast(),
        ):
            yield

    def _ready(self, x: Tensor, number: int = 0) -> Tensor:
        """Clips as the network takes them at one of its inputs."""
        spec = self.specs[number]
        # In fp32 until autocast decides: rounding pixels first would cost accuracy for nothing.
        on_device = x.to(self.compute.device, non_blocking=True)
        return MODALITIES.get(spec.modality).normalise(on_device, spec, torch.float32)

    def _probable(self, logits: Tensor) -> Tensor:
        return logits.sigmoid() if self.labels.multi else logits.softmax(-1)


def digest_of(specs: Sequence[ClipSpec], names: Sequence[str], state: Mapping[str, Tensor]) -> str:
    """A short digest of input contracts, labels and weights."""
    digest = hashlib.sha256(json.dumps([spec.to_json() for spec in specs]).encode())
    digest.update("\0".join(names).encode())
    for name, tensor in state.items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(-1).numpy().tobytes())
    return digest.hexdigest()[:16]
