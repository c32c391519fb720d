"""`Localiser`: a detector with the features that it sees and the names of its classes, and its file."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kinesphere.annotations.timed import Detection
from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting, KinesphereError
from kinesphere.core.files import replacing
from kinesphere.core.labels import LabelSet
from kinesphere.core.registry import Registry
from kinesphere.localise.decoding import Decoding, detections, segments_of
from kinesphere.localise.suppression import Suppression
from kinesphere.models.header import FORMAT, KEY, header_of, metadata_of
from kinesphere.models.temporal.actionformer import ActionFormer
from kinesphere.models.temporal.pyramid import OneStage
from kinesphere.models.temporal.temporalmaxer import TemporalMaxer
from kinesphere.models.temporal.tridet import TriDet
from kinesphere.predict.features import VideoFeatures

DETECTORS: Registry[Callable[..., OneStage]] = Registry("detector", group="kinesphere.detectors")
"""Builders by name: `(features, classes, width, levels, **arguments)` gives a network."""
DETECTORS.add("actionformer", ActionFormer)
DETECTORS.add("temporalmaxer", TemporalMaxer)
DETECTORS.add("tridet", TriDet)

KIND = "localiser"
_LARGEST = 1 << 14


@dataclass(frozen=True)
class Sight:
    """The features that a detector sees.

    Attributes:
        origin: What makes them (`VideoFeatures.origin`).
        stride_s, window_s: Their grid.
        width: Numbers of a row.
    """

    origin: str
    stride_s: float
    window_s: float
    width: int

    @classmethod
    def of(cls, features: VideoFeatures) -> Sight:
        """Those of a video."""
        return cls(features.origin, features.stride_s, features.window_s, features.width)

    def check(self, features: VideoFeatures, name: str) -> None:
        """Refuse other features.

        Raises:
            InvalidSetting: If a video has features by another model or on another grid.
        """
        other = Sight.of(features)
        if self.origin != other.origin or self.width != other.width:
            raise InvalidSetting(
                f"{name} has features of {other.origin} ({other.width} numbers); the detector sees those of "
                f"{self.origin} ({self.width}). Extract them with that model."
            )
        if abs(self.stride_s - other.stride_s) > 0.01 * self.stride_s:
            raise InvalidSetting(
                f"{name} has features every {other.stride_s:g} s, the detector sees one every "
                f"{self.stride_s:g} s; extract them anew."
            )


class Localiser:
    """A detector of actions in long recordings.

    Args:
        net: The network.
        name: In `DETECTORS`.
        arguments: That rebuild it, beside features and classes.
        labels: Its classes.
        sight: The features that it sees.
        mean, std: `(C,)` of the features that it was trained on.
        decoding: How its answers become detections.
    """

    def __init__(
        self,
        net: OneStage,
        name: str,
        arguments: dict[str, Any],
        labels: LabelSet,
        sight: Sight,
        mean: Tensor,
        std: Tensor,
        decoding: Decoding,
    ) -> None:
        self.net, self.name, self.arguments = net, name, arguments
        self.labels, self.sight = labels, sight
        self.mean, self.std = mean, std
        self.decoding = decoding

    def normalised(self, rows_CT: Tensor) -> Tensor:
        """Features as the network takes them."""
        return (rows_CT - self.mean[:, None]) / self.std[:, None]

    @torch.inference_mode()
    def detect(self, features: VideoFeatures, video: str = "") -> list[Detection]:
        """What happens in a video when, the surest first.

        Args:
            features: Of the video.
            video: Its name, for the detections and messages.

        Raises:
            InvalidSetting: If the features are others than it sees.
        """
        self.sight.check(features, video or "the video")
        rows_CT = self.normalised(torch.from_numpy(features.values.T.copy()))
        x_BCT, mask_BT = padded([rows_CT], self.net.multiple)
        answers = self.net.eval()(x_BCT, mask_BT)
        found = segments_of(self.net, answers, self.decoding)
        return detections(features, *found, names=self.labels.names, video=video)

    def save(self, path: Path) -> Path:
        """Write the localiser to a `.safetensors`; the file appears whole or not at all."""
        from safetensors.torch import save_file

        rule = self.decoding
        header = {
            "format": FORMAT,
            "kind": KIND,
            "architecture": self.name,
            "arguments": self.arguments,
            "labels": self.labels.to_json(),
            "sight": vars(self.sight),
            "decoding": {
                "least_score": rule.least_score,
                "most": rule.most,
                "least_rows": rule.least_rows,
                "suppression": vars(rule.suppression),
            },
        }
        own = self.net.state_dict().items()
        state = {f"net.{key}": value.detach().cpu().contiguous() for key, value in own}
        state |= {"mean": self.mean.cpu(), "std": self.std.cpu()}
        with replacing(path) as temporary:
            save_file(state, temporary, metadata={KEY: json.dumps(header)})
        return path

    @classmethod
    def load(cls, path: Path) -> Localiser:
        """Read one.

        Raises:
            InvalidCheckpoint: If the file is damaged, of another kind, or contradicts itself.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        header = header_of(metadata_of(path), path.name)
        if header.get("kind") != KIND:
            raise InvalidCheckpoint(f"{path.name} holds a recogniser of clips, not a detector of actions.")
        try:
            labels = LabelSet(tuple(map(str, header["labels"]["names"])))
            sight = Sight(**header["sight"])
            rule = dict(header["decoding"])
            decoding = Decoding(**{**rule, "suppression": Suppression(**rule["suppression"])})
            net = build(str(header["architecture"]), sight.width, len(labels), dict(header["arguments"]))
            state = load_file(path)
            mean, std = state.pop("mean"), state.pop("std")
            net.load_state_dict({key.removeprefix("net."): value for key, value in state.items()})
        except (KinesphereError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            raise InvalidCheckpoint(f"{path.name} is no whole detector: {str(error)[:300]}") from error
        if mean.shape != (sight.width,) or std.shape != (sight.width,):
            raise InvalidCheckpoint(f"{path.name} is no whole detector: its features have other widths.")
        name, arguments = str(header["architecture"]), dict(header["arguments"])
        return cls(net.eval(), name, arguments, labels, sight, mean, std, decoding)


def is_localiser(path: Path) -> bool:
    """Whether a model file holds a localiser.

    Raises:
        InvalidCheckpoint: If it is damaged.
    """
    metadata = metadata_of(path) if path.suffix.lower() == ".safetensors" else None
    return KEY in (metadata or {}) and header_of(metadata, path.name).get("kind") == KIND


def build(name: str, features: int, classes: int, arguments: dict[str, Any]) -> OneStage:
    """A network by name.

    Raises:
        UnknownName: If there is none of that name.
        InvalidSetting: If it has no such argument, or a size is beyond reason.
    """
    builder = DETECTORS.get(name)
    known = [key for key in inspect.signature(builder).parameters if key not in ("features", "classes")]
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise InvalidSetting(f"{name} has no argument {unknown[0]!r}; it takes {', '.join(known)}.")
    sizes = (features, classes, *(value for value in arguments.values() if isinstance(value, int)))
    if not all(0 <= size <= _LARGEST for size in sizes):
        raise InvalidSetting(f"Sizes of {name} are at most {_LARGEST}; got {sizes}.")
    return builder(features, classes, **arguments)


def padded(rows: list[Tensor], multiple: int) -> tuple[Tensor, Tensor]:
    """Videos `(C, T)` of several lengths as a batch `(B, C, T)`, zero behind their end, and its mask."""
    longest = max(each.shape[1] for each in rows)
    longest = -(-longest // multiple) * multiple
    x_BCT = torch.stack([F.pad(each, (0, longest - each.shape[1])) for each in rows])
    lengths = torch.tensor([each.shape[1] for each in rows])
    return x_BCT, torch.arange(longest)[None] < lengths[:, None]


def moments(videos: list[VideoFeatures]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation `(C,)` of the rows of some videos."""
    values = np.concatenate([each.values for each in videos]).astype(np.float64)
    mean, std = values.mean(0), values.std(0)
    # A number that never changes says nothing, and must not be blown up.
    std = np.where(std > 1e-6 * (1 + np.abs(mean)), std, 1.0)
    return torch.from_numpy(mean).float(), torch.from_numpy(std).float()
