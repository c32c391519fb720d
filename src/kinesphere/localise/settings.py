"""`LocaliseRecipe`: every setting of training a detector of actions, on disk as YAML."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field

from kinesphere.core.errors import InvalidSetting
from kinesphere.localise.decoding import Decoding
from kinesphere.localise.suppression import Method, Suppression
from kinesphere.predict.scorers import Mode
from kinesphere.train.clip_sections import ClipSection
from kinesphere.train.config import (
    ComputeSection,
    Count,
    OptimizerSection,
    Positive,
    ScheduleSection,
    Section,
    Share,
)
from kinesphere.train.recipe import checked_settings, read_settings

TASK: Literal["localise"] = "localise"
Plain = bool | int | float | str


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class RecordingsSection(Section):
    """Long videos, and what happens in them when."""

    videos: Names = ()
    """Videos (or pose files), folders and globs; none means those whose features lie in `features.folder`."""
    labels: Annotated[Names, Field(min_length=1)]
    """Files of timed labels: ActivityNet JSON, THUMOS14, ELAN, CSV, CVAT, VIA, Label Studio."""
    tier: str | None = None
    """The tier that holds the labels, where files have several; None takes all."""
    train: str = "training"
    """Subset of the labels to train on, where the files have subsets."""
    test: float | str = "testing"
    """Subset of the labels to test on; or, where the files have none, a fraction of the videos."""
    classes: tuple[str, ...] = ()
    """All classes in their order; none is those of the training labels, in alphabetical order."""


class FeatureSection(Section):
    """The features that the detector sees."""

    model: str | None = None
    """Recogniser whose features are extracted: a run folder, a model file or a registered model.tag."""
    folder: str | None = None
    """Folder of the feature files; with a model they are kept there, without one they must be there. None is
    `features` in the run folder with a model, and beside the videos without one."""
    stride_s: Positive = 0.25
    """Seconds between rows."""
    window_s: Positive | None = None
    """Seconds that a row sees; None is the model's own clip."""
    mode: Mode = "windows"
    """Whether windows are seen one by one, or as a stream."""


class BackboneSection(Section):
    """The recogniser of the features, where it learns together with the detector; of `ssn`."""

    train: bool = False
    """Whether it learns: snippets are read from the videos, and gradients reach it. Otherwise the detector
    learns alone, from features that are made once."""
    freeze: str | None = None
    """Last stage that does not learn, with all stages before it."""
    lr: Positive = 0.1
    """Factor of its learning rate, of the detector's."""


class DetectorSection(Section):
    """The network."""

    name: str = "temporalmaxer"
    """Detector: `temporalmaxer`, `actionformer`, `tridet`, `ssn`, `bmn`, `bsn`."""
    width: Annotated[int, Field(ge=16, le=4096)] = 128
    """Channels throughout; a multiple of 16; nothing to `ssn`."""
    levels: Annotated[int, Field(ge=1, le=10)] = 6
    """Levels of the pyramid; each is half as fine as the one before; nothing to `ssn`, `bmn`
    and `bsn`."""
    arguments: dict[str, Plain] = Field(default_factory=dict)
    """Further arguments of its builder."""


class TrainDetectorSection(Section):
    """The length of training, its batches and its seed."""

    epochs: Count = 40
    """Passes over the training videos."""
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 2
    """Videos per step."""
    longest_rows: Annotated[int, Field(ge=16, le=100_000)] = 2304
    """Rows of a training video; of longer ones a part is drawn in each epoch."""
    clip_norm: Positive | None = 1.0
    """Largest norm of the gradient; None sets no limit."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = 0.99
    """Decay of the moving average of the weights; that average is then the detector."""
    smoothing: Share = 0.0
    """Fraction of a label that is spread over the classes and the background."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of all random numbers."""


class DecodeSection(Section):
    """How answers become detections."""

    least_score: Share = 0.001
    """Detections of a lower score are left out."""
    most: Count = 200
    """Largest number of detections of a video."""
    method: Method = "gaussian"
    """What becomes of detections that overlap better ones: `gaussian`, `linear`, `hard`, `none`."""
    sigma: Positive = 0.5
    """Of the Gaussian."""
    tiou: Share = 0.1
    """Overlap from which `linear` and `hard` suppress."""

    per_class: bool = True
    """Whether only detections of one class suppress each other."""
    vote: Share = 0.0
    """Where classes do not go apart, boundaries are the mean of all detections that overlap the kept one by
    this or more; 0 for none."""

    def rule(self) -> Decoding:
        """As the decoder takes it.

        Raises:
            InvalidSetting: If a vote is asked for among detections of single classes.
        """
        if self.vote and self.per_class:
            raise InvalidSetting(
                f"decode.vote={self.vote:g} takes the mean over detections of all classes; set "
                "decode.per_class=false as well."
            )
        suppression = Suppression(
            self.method, self.tiou, self.sigma, self.least_score, self.most, self.per_class, self.vote
        )
        return Decoding(least_score=self.least_score, suppression=suppression)


class DetectorRecipe(Section):
    """What recipes of detectors have in common: how they are read and written."""

    @classmethod
    def load(cls, source: str | Path, overrides: Iterable[str] = ()) -> Self:
        """Read a YAML recipe or that of a run folder.

        Raises:
            InvalidSetting: If it is none, or a key or value is wrong.
        """
        overrides = tuple(overrides)
        return checked_settings(cls, read_settings(Path(source), overrides), str(source), overrides)

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, as in the YAML file."""
        return self.model_dump(mode="json")


class LocaliseRecipe(DetectorRecipe):
    """Every setting of training a detector of actions in long recordings.

    `task: localise` tells it from the recipe of a recogniser. A run writes the recipe that it followed to
    `recipe.yaml` in its folder.
    """

    task: Literal["localise"] = TASK
    """What is trained."""
    data: RecordingsSection
    """Recordings, labels and subsets."""
    features: FeatureSection = FeatureSection()
    """Features of the recordings."""
    clip: ClipSection = ClipSection()
    """Changes of the input contract of the recogniser that makes the features."""
    backbone: BackboneSection = BackboneSection()
    """What of that recogniser learns with the detector."""
    model: DetectorSection = DetectorSection()
    """Network."""
    optimizer: OptimizerSection = OptimizerSection(lr=1e-3)
    """Optimiser."""
    schedule: ScheduleSection = ScheduleSection(warmup_epochs=5)
    """Schedule of the learning rate."""
    train: TrainDetectorSection = TrainDetectorSection()
    """Length, batches and seed of training."""
    decode: DecodeSection = DecodeSection()
    """How answers become detections."""
    compute: ComputeSection = ComputeSection()
    """Device and arithmetic of the features, and of a recogniser that learns; the detector itself computes in
    fp32."""
    out: str | None = None
    """Run folder; None is runs/localise-<model>."""
