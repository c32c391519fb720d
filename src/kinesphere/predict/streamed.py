"""`Streamed`: a predictor whose network takes a video frame by frame, asked so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.errors import InvalidSetting, NotFinite
from kinesphere.core.threads import UsableThreads, computing_with
from kinesphere.models.runtime.streaming import Streaming
from kinesphere.predict.predictor import Predictor
from kinesphere.predict.video_predictor import VideoPredictor


@dataclass(frozen=True)
class StreamedState:
    """What a network remembers of a stream.

    Attributes:
        frames: How many frames it has seen.
        net: Its own state.
    """

    frames: int
    net: Any


class Streamed:
    """Asks a predictor's network about one frame after another; work and memory per frame are constant.

    An answer is what the predictor says of a clip of all frames since `begin`, up to rounding.

    Args:
        predictor: Of one input, whose network can stream.

    Raises:
        InvalidSetting: If it cannot stream.
    """

    def __init__(self, predictor: VideoPredictor) -> None:
        if not isinstance(predictor, Predictor) or not _streams(predictor):
            raise InvalidSetting(
                f"{predictor.name} cannot take a video frame by frame; it answers about windows. Networks "
                "that can are called movinet_..._stream and tsm_..._online."
            )
        self.predictor = predictor
        self.contract = predictor.spec
        self.spec: ClipSpec = self.contract.with_(sampling=Sampling("dense", 1))
        """The input contract of one frame."""
        net = predictor.module.net
        assert isinstance(net, Streaming)
        self._net: Streaming[Any] = net
        work = predictor.module.card.work(predictor.specs, 1) / self.contract.length
        on_cpu = predictor.compute.device == "cpu"
        self._threads = (predictor.compute.threads or UsableThreads.here().suiting(work)) if on_cpu else None

    @classmethod
    def of(cls, predictor: VideoPredictor) -> Self | None:
        """As the class itself; None of a predictor that cannot stream."""
        return cls(predictor) if isinstance(predictor, Predictor) and _streams(predictor) else None

    def begin(self) -> StreamedState:
        """The state before the first frame."""
        return StreamedState(0, self._net.stream_init(1, self.contract.size))

    def step(self, frames: Tensor, state: StreamedState) -> tuple[np.ndarray, StreamedState]:
        """Probabilities `(T, K)` float64 after each of the next frames, and the state after the last.

        Args:
            frames: `(T, C, H, W)` as a clip of `spec` holds them (rgb: uint8).
            state: Of the frames before.

        Raises:
            NotFinite: If something in the answer is not a finite number.
        """
        predictor = self.predictor
        modality = MODALITIES.get(self.spec.modality)
        with computing_with(self._threads), torch.inference_mode(), predictor.compute.autocast():
            x = modality.normalise(frames[None].to(predictor.compute.device), self.spec, torch.float32)
            logits, net = self._net.stream_step(x, state.net)
            logits = logits.float()
        answer = logits.sigmoid() if predictor.labels.multi else logits.softmax(-1)
        rows: np.ndarray = answer[0].cpu().double().numpy()
        if not np.isfinite(rows).all():
            raise NotFinite(
                f"{predictor.name} answers with {rows[~np.isfinite(rows)][0]} after {state.frames} frames, "
                f"in {predictor.compute.precision}; check its weights, or try precision fp32."
            )
        return rows, StreamedState(state.frames + len(frames), net)


def _streams(predictor: Predictor) -> bool:
    """Whether its network can stream: some of a family look into the future, and refuse to begin."""
    net: nn.Module = predictor.module.net
    if not isinstance(net, Streaming) or len(predictor.specs) != 1:
        return False
    try:
        net.stream_init(1, predictor.specs[0].size)
    except InvalidSetting:
        return False
    return True
