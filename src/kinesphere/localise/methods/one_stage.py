"""One-stage detectors: every point of a pyramid over the features says what happens there, and how far it
reaches (ActionFormer, TemporalMaxer, TriDet)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from kinesphere.annotations.timed import Detection
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.localise.assembly import padded
from kinesphere.localise.decoding import Decoding, detections, segments_of
from kinesphere.localise.detector_file import DetectorFile, whole
from kinesphere.localise.methods.registry import METHODS, Method
from kinesphere.localise.recordings import Recording
from kinesphere.localise.settings import LocaliseRecipe
from kinesphere.localise.sight import Sight, moments
from kinesphere.localise.suppression import Suppression
from kinesphere.localise.training import fit
from kinesphere.models.temporal.actionformer import ActionFormer
from kinesphere.models.temporal.pyramid import OneStage
from kinesphere.models.temporal.temporalmaxer import TemporalMaxer
from kinesphere.models.temporal.tridet import TriDet
from kinesphere.predict.features import VideoFeatures

NETWORKS: dict[str, Callable[..., OneStage]] = {
    "actionformer": ActionFormer,
    "temporalmaxer": TemporalMaxer,
    "tridet": TriDet,
}
"""Builders by name: `(features, classes, width, levels, **arguments)` gives a network."""

_LARGEST, _MULTIPLE = 1 << 14, 16


class Localiser:
    """A detector of actions in long recordings.

    Args:
        net: The network.
        name: In `NETWORKS`.
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

    def fit(
        self,
        recordings: Sequence[Recording],
        recipe: LocaliseRecipe,
        state: Path,
        progress: pl.Callback | None = None,
    ) -> None:
        """Train the network; see `Detector.fit`."""
        rows = [self.normalised(each.rows()) for each in recordings]
        truths = [each.truth(self.labels.names) for each in recordings]
        fit(self.net, rows, truths, recipe, state, progress)

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
        rule = self.decoding
        decoding = {
            "least_score": rule.least_score,
            "most": rule.most,
            "least_rows": rule.least_rows,
            "suppression": vars(rule.suppression),
        }
        file = DetectorFile.of(
            self.name, self.arguments, self.labels, self.sight, {"decoding": decoding}, self.net,
            mean=self.mean, std=self.std,
        )  # fmt: skip
        return file.write(path)

    @classmethod
    def load(cls, path: Path) -> Localiser:
        """Read one.

        Raises:
            InvalidCheckpoint: If the file is damaged, of another kind, or contradicts itself.
        """
        file = DetectorFile.read(path, {"mean": ("C",), "std": ("C",)})
        with whole(path):
            rule = dict(file.own["decoding"])
            decoding = Decoding(**{**rule, "suppression": Suppression(**rule["suppression"])})
            net = build(file.architecture, file.sight.width, len(file.labels), file.arguments)
            net.load_state_dict(file.net)
        return cls(
            net.eval(), file.architecture, file.arguments, file.labels, file.sight, decoding=decoding,
            **file.tensors,
        )  # fmt: skip


def build(name: str, features: int, classes: int, arguments: dict[str, Any]) -> OneStage:
    """A network by name.

    Raises:
        InvalidSetting: If it has no such argument, or a value is wrong or beyond reason.
    """
    builder = NETWORKS[name]
    known = [key for key in inspect.signature(builder).parameters if key not in ("features", "classes")]
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise InvalidSetting(f"{name} has no argument {unknown[0]!r}; it takes {', '.join(known)}.")
    sizes = (features, classes, *(value for value in arguments.values() if isinstance(value, int)))
    if not all(0 <= size <= _LARGEST for size in sizes):
        raise InvalidSetting(f"Sizes of {name} are at most {_LARGEST}; got {sizes}.")
    width, heads = arguments.get("width", 16), arguments.get("heads", 1)
    if isinstance(width, int) and width % _MULTIPLE:
        raise InvalidSetting(f"model.width of {name} is a multiple of {_MULTIPLE}; got {width}.")
    if isinstance(width, int) and isinstance(heads, int) and (heads < 1 or width % heads):
        raise InvalidSetting(f"model.width={width} of {name} cannot be shared by {heads} heads.")
    try:
        return builder(features, classes, **arguments)
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise InvalidSetting(f"{name} cannot be built with {arguments}: {error}.") from error


def fresh(name: str, recipe: LocaliseRecipe, recordings: Sequence[Recording], labels: LabelSet) -> Localiser:
    """A detector with fresh weights; see `Method.fresh`."""
    sight = Sight.of(recordings[0].features)
    arguments = {"width": recipe.model.width, "levels": recipe.model.levels, **recipe.model.arguments}
    net = build(name, sight.width, len(labels), arguments)
    mean, std = moments([each.features for each in recordings])
    return Localiser(net, name, arguments, labels, sight, mean, std, recipe.decode.rule())


for _name in NETWORKS:
    METHODS.add(_name, Method(partial(fresh, _name), Localiser.load))
