"""`PeopleRecipe`: every setting of training a detector of people's actions, on disk as YAML."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from kinesphere.clips.augment.settings import Augment
from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.errors import InvalidSetting
from kinesphere.localise.settings import DetectorRecipe
from kinesphere.models.spatiotemporal.box_head import BoxHeadForm, Context, OverTime
from kinesphere.models.spatiotemporal.network import LastStage
from kinesphere.train.config import (
    ComputeSection,
    Count,
    OptimizerSection,
    Positive,
    Processes,
    ScheduleSection,
    Section,
    as_tuple,
)

TASK: Literal["localise_people"] = "localise_people"
Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]


class KeyframeSection(Section):
    """Videos, and who does what in them at which times."""

    videos: Annotated[Names, Field(min_length=1)]
    """Videos, folders and globs."""
    labels: Annotated[Names, Field(min_length=1)]
    """Files of AVA's form, of tracks with actions (CVAT), or tables with the columns path, label, start, end
    and person."""
    test_labels: Names = ()
    """Files of the keyframes to test on, where they are not in `labels`."""
    label_map: str | None = None
    """Names of the classes of AVA's form (`.pbtxt`); None names them by their numbers."""
    excluded: str | None = None
    """File of the frames that do not count, lines of video and time."""
    tracks: str | None = None
    """Folder of the tracks of tables: `NAME.txt` (MOTChallenge), `NAME.json` or `NAME/gt/gt.txt`."""
    classes: tuple[str, ...] = ()
    """Classes that count, in their order; none is all that occur."""
    every_s: Annotated[int, Field(ge=1, le=3600)] = 1
    """Seconds from one keyframe of a track to the next."""
    train: str = "train"
    """Subset of the videos to train on, where the files have subsets."""
    test: float | str = "test"
    """Subset of the videos to test on; or, where the files have none, a fraction of the videos."""
    mirror: tuple[tuple[str, str], ...] = ()
    """Pairs of classes that a horizontal flip exchanges: `[[turn left, turn right]]`."""


class BoxNetworkSection(Section):
    """The network: a 3D network of the zoo, and a head that looks at boxes."""

    name: str = "slowfast_resnet50"
    """Model whose feature maps are looked at, or `model.tag` with its public weights."""
    pretrained: str | None = None
    """Run folder or model file of such a model whose weights are the start; the model is then its."""
    last_stage: LastStage = "dense"
    """Stride of the last stage: stays (`strided`), or goes, so that maps are twice as fine (`dense`), with
    kernels that reach twice as far (`dilated`)."""
    bins: Annotated[int, Field(ge=1, le=64)] = 8
    """Bins of a box on each side."""
    context: Context = "none"
    """What is seen beside the box: nothing (`none`), the whole frame (`frame`), or how the person relates to
    every place of it (`actor`)."""
    over_time: OverTime = "mean"
    """Pooling of the maps over time: `mean` or `max`."""
    relation_width: Annotated[int, Field(ge=1, le=8192)] = 512
    """Channels of `context: actor`."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout before the classifier."""

    def form(self) -> BoxHeadForm:
        """The head that they describe; its stride is measured on the network."""
        return BoxHeadForm(self.bins, 16.0, self.context, self.over_time, self.relation_width, self.dropout)


class BoxClipSection(Section):
    """The clips about keyframes: whole frames, which keep their shape on a canvas of the network's size."""

    sampling: str | None = None
    """Frames and interval, such as `32x2x1`; None is the model's own."""
    fps: Positive | None = None
    """Frame rate at which the interval counts; None is the model's own, or each video's."""
    size: tuple[Annotated[int, Field(ge=16, le=4096)], Annotated[int, Field(ge=16, le=4096)]] | None = None
    """Height and width of the network's input; None is the model's own."""

    def of(self, spec: ClipSpec) -> ClipSpec:
        """The contract of a model with these changes.

        Raises:
            InvalidSetting: If frames are not sampled at an interval.
        """
        sampling = spec.sampling if self.sampling is None else Sampling.parse(self.sampling)
        if sampling.kind != "dense":
            raise InvalidSetting(
                f"A clip about a time has frames at an interval; the model samples {sampling}. State "
                "clip.sampling, such as 16x2x1."
            )
        return spec.with_(
            sampling=Sampling("dense", sampling.length, sampling.interval),
            fps=self.fps or spec.fps,
            size=self.size or spec.size,
            resize="letterbox",
            short_side_px=None,
        )


class TrainPeopleSection(Section):
    """The length of training, its batches and its seed."""

    epochs: Count = 10
    """Passes over the keyframes to train on."""
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 8
    """Keyframes per step."""
    clip_norm: Positive | None = 40.0
    """Largest norm of the gradient; None sets no limit."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of the moving average of the weights; that average is then the detector."""
    workers: Processes = 0
    """Processes that read clips; 0 reads them between the steps."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of all random numbers."""


class PeopleRecipe(DetectorRecipe):
    """Every setting of training a detector of people's actions.

    `task: localise_people` tells it from other recipes. A run writes the recipe that it followed to
    `recipe.yaml` in its folder.
    """

    task: Literal["localise_people"] = TASK
    """What is trained."""
    data: KeyframeSection
    """Videos, keyframes and subsets."""
    model: BoxNetworkSection = BoxNetworkSection()
    """Network."""
    clip: BoxClipSection = BoxClipSection()
    """Clips about keyframes."""
    augment: Augment = Augment(preset="standard", crop_scale=(0.7, 1.0), enlarge=1.0)
    """Random changes to training clips; boxes follow them."""
    optimizer: OptimizerSection = OptimizerSection(lr=1e-3)
    """Optimiser."""
    schedule: ScheduleSection = ScheduleSection(warmup_epochs=1)
    """Schedule of the learning rate."""
    train: TrainPeopleSection = TrainPeopleSection()
    """Length, batches and seed of training."""
    compute: ComputeSection = ComputeSection()
    """Device and arithmetic."""
    out: str | None = None
    """Run folder; None is runs/localise-people-<model>."""
