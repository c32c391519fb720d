"""`METHODS`: detectors by name, whatever they are made of; a run knows no more of them than this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import lightning.pytorch as pl

from kinesphere.annotations.timed import Detection
from kinesphere.core.labels import LabelSet
from kinesphere.core.registry import Registry
from kinesphere.localise.detector_file import detector_header
from kinesphere.localise.recordings import Recording
from kinesphere.localise.settings import LocaliseRecipe
from kinesphere.localise.sight import Sight
from kinesphere.models import Recogniser
from kinesphere.predict.features import FeatureExtractor, VideoFeatures


class Detector(Protocol):
    """Finds actions of K classes in the features of recordings."""

    @property
    def name(self) -> str:
        """In `METHODS`."""

    @property
    def labels(self) -> LabelSet:
        """The K classes."""

    @property
    def sight(self) -> Sight:
        """The features that it sees."""

    def fit(
        self,
        recordings: Sequence[Recording],
        recipe: LocaliseRecipe,
        state: Path,
        progress: pl.Callback | None = None,
    ) -> None:
        """Train, from the state where there is one.

        Args:
            recordings: To train on.
            recipe: Length, optimiser and seed.
            state: File of what is needed to go on; its folder is there.
            progress: Told how far it is.

        Raises:
            TrainingDiverged: If the loss stops being a number.
        """

    def detect(self, features: VideoFeatures, video: str = "") -> list[Detection]:
        """What happens in a video when, the surest first; scores are from 0 to 1.

        Args:
            features: Of the video.
            video: Its name, for the detections and messages.

        Raises:
            InvalidSetting: If the features are others than it sees.
        """

    def save(self, path: Path) -> Path:
        """Write a `.safetensors` whose header has this kind and name; it appears whole or not at all."""


@runtime_checkable
class Proposes(Protocol):
    """A detector that says first where any action is, whatever it is."""

    def propose(self, features: VideoFeatures, video: str = "") -> list[Detection]:
        """Where any action is, the surest first; see `Detector.detect`."""


@runtime_checkable
class LearnsThrough(Protocol):
    """A detector that learns together with the recogniser that makes its features."""

    def fit_through(
        self,
        recordings: Sequence[Recording],
        extractor: FeatureExtractor,
        recipe: LocaliseRecipe,
        state: Path,
        progress: pl.Callback | None = None,
    ) -> Recogniser:
        """Train both, from the state where there is one.

        Args:
            recordings: To train on, with the features of the recogniser at the start.
            extractor: That made these.
            recipe: Length, optimiser, device and seed.
            state: File of what is needed to go on; its folder is there.
            progress: Told how far it is.

        Returns:
            The recogniser as it has learnt.

        Raises:
            TrainingDiverged: If the loss stops being a number.
        """

    def see_anew(self, recordings: Sequence[Recording]) -> None:
        """Take the features of the recogniser that has learnt, of the recordings to train on."""


@dataclass(frozen=True)
class Method:
    """One way.

    Attributes:
        fresh: Makes a detector with fresh weights for the features of the recordings to train on, which all
            see alike, and for classes.
        load: Reads one that was saved.
        learns_through: Whether its detectors learn through the recogniser, too (`LearnsThrough`).
    """

    fresh: Callable[[LocaliseRecipe, Sequence[Recording], LabelSet], Detector]
    load: Callable[[Path], Detector]
    learns_through: bool = False


METHODS: Registry[Method] = Registry(
    "detector", Method, package="kinesphere.localise.methods", group="kinesphere.detectors"
)


def load_detector(path: Path) -> Detector:
    """Read a detector, whatever its method.

    Raises:
        InvalidCheckpoint: If the file is damaged, of another kind, or contradicts itself.
        UnknownName: If there is no such method here.
    """
    return METHODS.get(str(detector_header(path).get("architecture"))).load(path)
