"""Score fusion: several models as one, the weights they have in it, and the file that names them.

The fused probabilities are the weighted mean of those of the models (Simonyan, Zisserman: "Two-Stream
Convolutional Networks for Action Recognition in Videos", NIPS 2014, section 3, fuse so with equal weights).
A model of joints has no part in the answer to what shows nobody.
Finished runs are fused in `kinesphere.train.fusion`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from kinesphere.clips.preparation import Preparation
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting, KinesphereError, LabelMismatch
from kinesphere.core.files import write_text
from kinesphere.core.labels import LabelSet
from kinesphere.core.structured import read_json
from kinesphere.core.text import told_apart
from kinesphere.data.sources import Opening
from kinesphere.models.provenance import Provenance
from kinesphere.models.rejection import Rejection
from kinesphere.predict.predictor import Predictor
from kinesphere.predict.scorers import FusedScorer, Mode, Scorer, weights_where_seen
from kinesphere.predict.video_predictor import VideoPredictor

log = logging.getLogger("kinesphere.predict")

FILE_NAME = "fusion.json"
FORMAT = 1
_MOST_BYTES = 1 << 20
_MOST_MEMBERS = 64
# Expectation maximisation ends when no weight moves more than this.
_SETTLED = 1e-6
_MOST_STEPS = 10_000


class FusedPredictor(VideoPredictor):
    """Several predictors whose probabilities are averaged; each input is read once.

    Where a member sees nobody, as one of joints may, the others answer alone.

    Args:
        members: Two or more, of the same labels in any order; their own openings are not used.
        weights: One per member, not negative; only their ratios count. None gives equal weights.
        name: For reports; by default the members' names with their weights.
        rejection: When the fused answer is that it is none of what is known; None for never, since those of
            the members were measured on theirs.
        opening: Where files of flow and poses lie, and what becomes of those that are missing.

    Raises:
        InvalidSetting: If there are fewer than two members, or the weights cannot work.
        LabelMismatch: If the members know different labels.
    """

    def __init__(
        self,
        members: Sequence[Predictor],
        weights: Sequence[float] | None = None,
        *,
        name: str | None = None,
        rejection: Rejection | None = None,
        opening: Opening | None = None,
    ) -> None:
        self._rejection = rejection
        self.weights = tuple(normalised_weights(weights, len(members)).tolist())
        self.members = tuple(members)
        named = zip(self.weights, self.members, strict=True)
        text = " + ".join(f"{weight:.3g} × {member.name}" for weight, member in named)
        preparation, differing = Preparation.common([member.opening.preparation for member in members])
        if differing:
            log.warning(
                "The fused models learnt from files that were made with different settings (%s); most are "
                "followed.",
                ", ".join(differing),
            )
        super().__init__(name or text, members[0].compute, opening, preparation)
        first = members[0].labels
        for member in members[1:]:
            check_labels(member.labels, first)
        self._orders = [[member.labels.index(label) for label in first.names] for member in members]
        self._specs = tuple(dict.fromkeys(spec for member in members for spec in member.specs))
        self._places = [[self._specs.index(spec) for spec in member.specs] for member in members]

    @property
    def labels(self) -> LabelSet:
        """The labels in the order of the first member's."""
        return self.members[0].labels

    @property
    def member_names(self) -> tuple[str, ...]:
        """The members' names; of one name, from different folders, they are numbered."""
        return tuple(told_apart(member.name for member in self.members))

    @property
    def specs(self) -> tuple[ClipSpec, ...]:
        """The input contracts of all members, each once."""
        return self._specs

    @property
    def provenances(self) -> tuple[Provenance, ...]:
        """See `VideoPredictor.provenances`."""
        return tuple(each for member in self.members for each in member.provenances)

    @property
    def rejection(self) -> Rejection | None:
        """See `VideoPredictor.rejection`."""
        return self._rejection

    def threads(self, clips: float) -> int | None:
        """See `VideoPredictor.threads`; of the member that takes the most."""
        each = [member.threads(clips) for member in self.members]
        return max((number for number in each if number is not None), default=None)

    def scorer(self, views: Views, mode: Mode = "windows", window_s: float = 1.0) -> Scorer:
        """See `VideoPredictor.scorer`; each member shares between windows what it can."""
        if mode == "streaming":
            return super().scorer(views, mode, window_s)
        scorers = [member.scorer(views) for member in self.members]
        return FusedScorer(self.members, scorers, self.weights, self._orders, self._places)

    def windows_at_once(self, views: Views, mode: Mode = "windows") -> int:
        """See `VideoPredictor.windows_at_once`; of the member that takes the fewest."""
        return min(member.windows_at_once(views, mode) for member in self.members)

    def probabilities(self, inputs: Sequence[Tensor], views: Views = Views()) -> Tensor:  # noqa: B008
        """See `VideoPredictor.probabilities`."""
        each_MBK = torch.stack(self.member_probabilities(inputs, views))
        weights_BM = torch.from_numpy(self.weights_for(inputs))
        return (weights_BM.T[..., None].to(each_MBK) * each_MBK).sum(0)

    def weights_for(self, inputs: Sequence[Tensor]) -> np.ndarray:
        """The weights of the members in each sample, `(B, M)`; see `weights_where_seen`."""
        return weights_where_seen(self.weights, self._blind(inputs))

    @property
    def may_see_nobody(self) -> bool:
        """See `VideoPredictor.may_see_nobody`; of all members that have a weight."""
        return all(member.may_see_nobody for member in self._counting)

    def sees_nobody(self, inputs: Sequence[Tensor]) -> np.ndarray:
        """See `VideoPredictor.sees_nobody`; of all members that have a weight."""
        counts = np.array(self.weights) > 0
        nobody: np.ndarray = np.logical_and.reduce(self._blind(inputs)[:, counts], axis=1)
        return nobody

    def _blind(self, inputs: Sequence[Tensor]) -> np.ndarray:
        """bool `(B, M)`: whose answer to which sample means nothing."""
        pairs = zip(self.members, self._places, strict=True)
        return np.stack([member.sees_nobody([inputs[i] for i in own]) for member, own in pairs], 1)

    @property
    def _counting(self) -> list[Predictor]:
        return [member for member, weight in zip(self.members, self.weights, strict=True) if weight > 0]

    def member_probabilities(self, inputs: Sequence[Tensor], views: Views = Views()) -> list[Tensor]:  # noqa: B008
        """What each member says by itself, `(B, K)` in the order of `labels`; see `probabilities`."""
        return [
            member.probabilities([inputs[i] for i in own], views)[:, order]
            for member, own, order in zip(self.members, self._places, self._orders, strict=True)
        ]

    def digest(self) -> str:
        """See `VideoPredictor.digest`."""
        parts = zip(self.weights, self.members, strict=True)
        rule = [] if self._rejection is None else [self._rejection.rule]
        text = " ".join([*(f"{weight!r} {member.digest()}" for weight, member in parts), *rule])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def normalised_weights(weights: Sequence[float] | None, count: int) -> np.ndarray:
    """Weights of models as float64 `(count,)` that sums to 1.

    Raises:
        InvalidSetting: If there are fewer than two models, or the weights cannot work.
    """
    if count < 2:
        raise InvalidSetting(f"Fusing takes two models or more; got {count}.")
    given = np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)
    if given.shape != (count,) or not np.isfinite(given).all() or (given < 0).any() or not given.any():
        raise InvalidSetting(
            f"Fusing {count} models takes {count} weights, none negative and not all 0; got {given.tolist()}."
        )
    with np.errstate(over="ignore"):
        total = given.sum()
    if not np.isfinite(total):
        given = given / given.max()
    result: np.ndarray = given / given.sum()
    return result


def likeliest_weights(likelihood: np.ndarray) -> tuple[float, ...]:
    """The weights, summing to 1, under which the mixture of models makes what happened most likely.

    The likelihood of a mixture over its weights has one maximum, which expectation maximisation finds.

    Args:
        likelihood: `(M, N)`, the probability, above 0, that each of M models gave to each of N true answers.
    """
    weights = np.full(len(likelihood), 1 / len(likelihood))
    for _ in range(_MOST_STEPS):
        joint = weights[:, None] * likelihood
        moved = (joint / joint.sum(0)).mean(1)
        step = np.abs(moved - weights).max()
        weights = moved
        if step < _SETTLED:
            break
    return tuple(weights.tolist())


def check_labels(labels: LabelSet, first: LabelSet) -> None:
    """Refuse to fuse models of different labels.

    Raises:
        LabelMismatch: If they differ in more than their order.
    """
    if set(labels.names) != set(first.names) or labels.multi != first.multi:
        raise LabelMismatch(
            f"Models of different labels cannot be fused: one knows {len(first)}, another "
            f"{len(labels)}; train them on the same data."
        )


@dataclass(frozen=True)
class FusionFile:
    """What `fusion.json` says: run folders or model files, a weight for each, and when the answer is none."""

    models: tuple[Path, ...]
    weights: tuple[float, ...]
    rejection: Rejection | None = None

    def write(self, folder: Path) -> Path:
        """Write the file into a folder; the models are named as seen from there."""
        entries = [
            {"model": Path(os.path.relpath(model.absolute(), folder.absolute())).as_posix(), "weight": weight}
            for model, weight in zip(self.models, self.weights, strict=True)
        ]
        content: dict[str, Any] = {"format": FORMAT, "members": entries}
        if self.rejection is not None:
            content["rejection"] = self.rejection.to_json()
        write_text(folder / FILE_NAME, json.dumps(content, indent=1))
        return folder / FILE_NAME

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the file of a folder.

        Raises:
            InvalidCheckpoint: If it is damaged or newer than we are.
        """
        path = folder / FILE_NAME
        advice = "make it again with `kinesphere fuse`"
        try:
            content = read_json(path, InvalidCheckpoint, _MOST_BYTES)
            version = int(content["format"])
            if len(content["members"]) > _MOST_MEMBERS:
                raise ValueError(f"{len(content['members'])} models, where {_MOST_MEMBERS} are read at most")
            models = tuple(folder / str(entry["model"]) for entry in content["members"])
            weights = tuple(float(entry["weight"]) for entry in content["members"])
            stated = content.get("rejection")
            rejection = None if stated is None else Rejection.from_json(stated)
        except (KinesphereError, ValueError, KeyError, TypeError, OverflowError) as error:
            reason = str(error).rstrip(".") if isinstance(error, KinesphereError) else repr(error)
            raise InvalidCheckpoint(f"{path} is no fusion of models ({reason}); {advice}.") from error
        if version > FORMAT:
            raise InvalidCheckpoint(
                f"{path} has format {version}, but we read up to {FORMAT}; update Kinesphere."
            )
        return cls(models, weights, rejection)
