"""The sections of a recipe: plain settings, each documented, none with behaviour of its own.

Those about clips are in clip_sections.py.
"""

from __future__ import annotations

import logging
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from kinesphere.clips.augment.background import Background
from kinesphere.clips.spec import Views
from kinesphere.core.device import Compute
from kinesphere.data.manifest import Unlabelled, WrongRows
from kinesphere.data.windows import LastWindow, OverlapOf, Several, WindowRule

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=1e12)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Processes = Annotated[int, Field(ge=0, le=1024)]
ProbeKind = Literal["linear", "attentive", "pooled", "knn"]


FORMER_METRICS = {"mean_class": "mean_class_accuracy", "f1": "macro_f1"}
"""Names of metrics in recipes and run folders of before, and what they are called now."""
log = logging.getLogger("kinesphere.train")


class Section(BaseModel):
    """Base of all sections: immutable, and an unknown key is an error rather than a shrug."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


def as_tuple(value: Any) -> Any:
    """A single text as a tuple of one; anything else as it is."""
    return (value,) if isinstance(value, str) else value


def _as_numbers(value: Any) -> Any:
    return (value,) if isinstance(value, int | float) else value


def _check_views(value: Any) -> Any:
    return str(Views.parse(str(value)))


def cells_of(text: str) -> tuple[int, int, int]:
    """Parts along time, rows and columns that a text like `4x3x3` states.

    Raises:
        ValueError: If it is none.
    """
    parts = text.strip().split("x")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and 0 < len(part) < 4 for part in parts):
        raise ValueError(f"cells are parts along time, rows and columns, such as 4x3x3; got {text[:40]!r}")
    return int(parts[0]), int(parts[1]), int(parts[2])


def _check_cells(value: Any) -> Any:
    return "x".join(map(str, cells_of(str(value))))


def _check_shots(value: tuple[int, int]) -> tuple[int, int]:
    from kinesphere.evaluate.metrics import check_shots

    return check_shots(value)


def _check_monitor(value: str) -> str:
    from kinesphere.evaluate.metrics import metrics_for

    if value in FORMER_METRICS:
        log.warning(
            "train.monitor: %s is called %s; the next version no longer reads the old name.",
            value,
            FORMER_METRICS[value],
        )
    name = FORMER_METRICS.get(value, value)
    known = ("auto", "loss", *metrics_for("training"))
    if name not in known:
        raise ValueError(f"no such score steers training; known: {', '.join(known)}")
    return name


class WindowSection(Section):
    """The windows that long recordings with timed labels are cut into."""

    length_s: Positive = 10.0
    """Length of a window in seconds; a shorter recording is one window."""
    stride_s: Positive = 5.0
    """Seconds between the starts of windows."""
    least_overlap: Share = 0.5
    """Least fraction that a label covers, above 0."""
    overlap_of: OverlapOf = "window"
    """Of what that is a fraction: of the window, all spans of a class together; or of a single annotation, or
    of the window where that is shorter."""
    several: Several = "largest"
    """What becomes of several labels that cover enough: the one with the largest overlap, or all."""
    last: LastWindow = "end"
    """Last window: ends with the recording, is short, or is left out (`drop`)."""
    background: str | None = None
    """Class of windows that no label touches; None leaves them out."""

    def rule(self) -> WindowRule:
        """The rule that they state.

        Raises:
            InvalidSetting: If they contradict each other.
        """
        return WindowRule(**self.model_dump())


class DataSection(Section):
    """The videos, their labels and their splits."""

    source: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    """Manifest (CSV, Parquet) or folder of class folders; or recordings with timed labels: files of ELAN or
    another timed format, a folder of them, a glob (`recordings/*.eaf`). Several are joined."""
    tier: str | None = None
    """Tier of timed labels that holds the classes; None takes the only one. Given, every source is recordings
    with timed labels, whatever its suffix."""
    window: WindowSection | None = None
    """Windows that recordings with timed labels are cut into: `length_s` (10), `stride_s` (5),
    `least_overlap` (0.5), `overlap_of` (`window`, `annotation`), `several` (`largest`, `all`), `last` (`end`,
    `short`, `drop`), `background` (none). Given, every source is such recordings."""
    videos: str | None = None
    """Folder of the videos of timed labels; None looks beside them, then below their folder."""
    fps: Positive | None = None
    """Frame rate of folders of images for which the column `fps` states none; it goes before `fps.txt`."""
    label_column: str = "label"
    """Column of the manifest that holds the labels."""
    unlabelled: Unlabelled = "refuse"
    """Whether samples without a label in that column are an error or left out."""
    wrong_rows: WrongRows = "refuse"
    """Whether rows of the manifest that make no sample are an error or left out and listed."""
    group_column: str = "group"
    """Column of the manifest that holds the groups, which are never divided between splits. Where it is
    empty, groups follow from file names, else every file is one; `path` makes every file one."""
    split_column: str = "split"
    """Column of the manifest that holds the splits; sets with several protocols have several."""
    mirror: tuple[tuple[str, str], ...] = ()
    """Pairs of labels that a horizontal flip exchanges: `[[turn left, turn right]]`."""
    labels: tuple[str, ...] = ()
    """All labels in their order, `[little, medium, max]`, which the model and every table keep; none is the
    alphabetical order."""
    parents: dict[str, str] = Field(default_factory=dict)
    """Wider class of each label, `{walk fast: walk, walk slow: walk}`: labels of one parent are a family,
    which reports score as well. None takes the manifest's column `parent`, if it has one."""
    ordered: bool = False
    """Whether the labels are grades, from low to high in the order of `data.labels`, those of each parent for
    themselves: reports then hold the mean error in grades and quadratic kappa."""
    val: float | str = "auto"
    """Validation data: the name of a split, a fraction of the training samples (groups kept whole), or 0 for
    none. `auto` takes the split `val` where there is one, else a tenth."""
    test: float | str = "auto"
    """Test data, scored at the end and used for nothing else: the name of a split, a fraction of the samples
    (groups kept whole), or 0 for none. `auto` takes the split `test` where there is one, else a fifth."""
    label_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Fraction of the training samples whose labels are used, drawn by class and in whole groups with
    `train.seed`; splits.csv lists them. The others are `unlabelled`, or stay unused without that section."""
    max_unreadable: Share = 0.2
    """Largest fraction of unreadable samples; with more, training stops."""
    balance: Literal["none", "sqrt", "equal"] = "none"
    """Sampling of classes in training: by their frequency, by its square root, or equally."""
    cache: str | None = None
    """Folder for decoded, resized frames, so that later epochs skip decoding."""
    cache_gb: Positive = 20.0
    """Upper bound of the size of the cache folder, in 10^9 bytes."""
    extracts: str | None = None
    """Folder of sidecar files that `kinesphere extract --out` wrote; None looks beside the videos. Missing
    flow is computed from the frames, counted and listed."""

    @model_validator(mode="after")
    def _check_shares(self) -> DataSection:
        for name in ("val", "test"):
            value = getattr(self, name)
            if isinstance(value, float) and not 0 <= value < 1:
                raise ValueError(f"{name} as a fraction is at least 0 and below 1; got {value}")
        if lonely := next((name for name, parent in self.parents.items() if not parent.strip()), None):
            raise ValueError(
                f"parents: {lonely!r} has no parent; write {{label: parent}}, with a space behind the colon"
            )
        if self.ordered and not self.labels:
            raise ValueError("ordered needs data.labels, all labels from the lowest grade to the highest")
        return self


class ModelSection(Section):
    """The network, its weights, and what of it is trained."""

    name: str = "auto"
    """Registered model; `auto` is the one that the weights of `pretrained` belong to, else the compact
    default, for pose files the one for poses."""
    pretrained: str | bool | None = None
    """Weights to start from: a tag of the model's weights (`k400`), true for the card's first, model and tag
    (`r3d_18.k400`), a run folder, a model file, or a checkpoint of any other program, which is imported on
    the way."""
    arguments: dict[str, bool | int | float | str | tuple[int, ...] | None] = Field(default_factory=dict)
    """Arguments of the model's builder."""
    freeze: str | None = None
    """Last stage that is frozen, with all stages before it. `tail` names the layers between the last stage
    and the head, `all` is everything but the head."""
    head: Literal["normalised"] | None = None
    """Form of the last layer: `normalised` answers by the cosine between features and each class's weights
    (needed by `ldam`, which sets it); None keeps that of the model or of its weights."""
    head_scale: Annotated[float, Field(gt=0, le=10_000)] = 30.0
    """Factor of the cosines of a normalised head."""
    reset_head: bool = False
    """Whether the last layer starts afresh although the weights know the classes. With `freeze: all` and
    `data.balance: equal`, the classifier of a trained run is trained anew (Kang et al. 2020, cRT)."""


class LossSection(Section):
    """The loss function."""

    name: str = "auto"
    """Loss: `cross_entropy`, `class_balanced`, `balanced_softmax`, `logit_adjusted`, `focal`, `ldam`, `bce`,
    `asymmetric`; `auto` fits the labels."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Fraction of the target that is spread over all classes (Szegedy et al. 2016, section 7)."""
    beta: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Beta of the effective number of samples, for `class_balanced` (Cui et al. 2019, equation 2) and the
    weights of `ldam`."""
    defer: Share | None = None
    """Fraction of the steps after which `class_balanced` and `ldam` weigh classes (deferred re-weighting, Cao
    et al. 2019); 1 is never. None is from the start for `class_balanced`, and 0.8 for `ldam`."""
    gamma: Annotated[float, Field(ge=0)] = 2.0
    """Focusing exponent of the focal loss (Lin et al. 2017, equation 4), and of `asymmetric` for labels that
    are not there (Ridnik et al. 2021: 4)."""
    clip: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Probability below which a label that is not there costs nothing, for `asymmetric`."""
    margin: Annotated[float, Field(ge=0, le=2)] = 0.5
    """Margin of the rarest class in `ldam`, in units of the cosine; others fall with the fourth root of their
    number of samples (Cao et al. 2019, equation 13)."""
    tau: Annotated[float, Field(ge=0)] = 1.0
    """Strength of `logit_adjusted` (Menon et al. 2021, equation 10); 1 equals `balanced_softmax`. Shares
    of classes are the training file's, so it takes the place of `data.balance`, and is not added to it."""
    parents: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the cross-entropy of families (`data.parents`), whose probabilities are the sums of their
    classes', beside the loss of classes."""


class OptimizerSection(Section):
    """The optimiser."""

    name: Literal["adamw", "sgd", "adam"] = "adamw"
    """Optimisation algorithm: `adamw`, `sgd` or `adam`."""
    lr: Positive = 1e-3
    """Peak learning rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """Weight decay of weights; biases and normalisation layers have none."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of `sgd`, with Nesterov's step."""
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Decay rates of the two moments of `adam` and `adamw`."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor of the learning rate from each stage to the one before it, towards the input; 1 is off."""
    head_lr: Positive = 1.0
    """Factor of the head's learning rate."""


class ScheduleSection(Section):
    """The schedule of the learning rate, which changes at every step; counted in (fractions of) epochs."""

    name: Literal["cosine", "step", "exponential", "constant"] = "cosine"
    """Shape of the schedule after the warm-up."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Length of the warm-up, a linear rise from zero to the peak, in epochs."""
    floor: Share = 0.0
    """Last learning rate of `cosine`, as a fraction of the peak."""
    milestones: tuple[Positive, ...] = ()
    """Epochs at which the learning rate of `step` drops."""
    factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Factor of the learning rate: of `step` at each milestone, of `exponential` over the whole run."""

    @model_validator(mode="after")
    def _check_milestones(self) -> ScheduleSection:
        if (self.name == "step") != bool(self.milestones):
            raise ValueError("the step schedule needs milestones, and only it does")
        if list(self.milestones) != sorted(self.milestones):
            raise ValueError(f"milestones rise; got {list(self.milestones)}")
        return self


class TrainSection(Section):
    """The length of training, its batches and its seed."""

    epochs: Count | None = None
    """Passes over the training samples; 30 where neither this nor steps is given."""
    steps: Count | None = None
    """Optimiser steps, instead of epochs."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 16
    """Clips per forward pass in each process."""
    accumulate: Count = 1
    """Forward passes per optimiser step."""
    clip_norm: Positive | None = None
    """Largest norm of the gradient; None sets no limit."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of the moving average of the weights; that average is then the model."""
    early_stopping: Count | None = None
    """Number of validations without a better score after which training stops."""
    monitor: Annotated[str, AfterValidator(_check_monitor)] = "auto"
    """Validation score that picks the best weights: `top1`, `mean_class_accuracy`, `macro_f1`, `loss`, or
    a metric of another package that has the use `training`; auto is top1, macro_f1 for several labels, and
    mean_class_accuracy where `rebalance` chooses."""
    validate_every: Count = 1
    """Epochs between validations."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Base seed of all random numbers; without a column of splits, also of the clips that are held out."""
    checkpoint_minutes: Positive | None = 5.0
    """Longest time between checkpoints for resuming, besides one at every epoch's end."""
    checkpoint_steps: Count | None = None
    """Largest number of optimiser steps between checkpoints for resuming."""

    @model_validator(mode="after")
    def _check_length(self) -> TrainSection:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        return self


class ProbeSection(Section):
    """Probes: several heads on the features of frozen layers, fitted at once, of which the best is kept."""

    kind: Annotated[tuple[ProbeKind, ...], BeforeValidator(as_tuple)] = ()
    """Kinds of probes to try: `linear`, what `model.freeze` leaves free; `attentive`, one learnt query that
    attends to all tokens (or places of the last feature map) of the whole network, which is frozen; `pooled`,
    a linear layer on means over `cells` of `stages`; `knn`, a vote of the nearest training clips. None is
    `linear`, if there is a `probe.lr`."""
    lr: Annotated[tuple[Positive, ...], BeforeValidator(_as_numbers)] = ()
    """Learning rates to try in place of `optimizer.lr`. With one or more, what `model.freeze` leaves free is
    trained on features that are computed once for each clip, without augmentation."""
    weight_decay: Annotated[
        tuple[Annotated[float, Field(ge=0, le=1e12)], ...], BeforeValidator(_as_numbers)
    ] = ()
    """Weight decays to try with each learning rate; none takes `optimizer.weight_decay`."""
    stages: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """Stages that `pooled` looks at, tried one against another; none is the network's last grid."""
    cells: Annotated[tuple[Annotated[str, BeforeValidator(_check_cells)], ...], BeforeValidator(as_tuple)] = (
        "1x1x1",
        "4x3x3",
    )
    """Parts of the clip along time, rows and columns, over each of which `pooled` takes means; tried with
    each of `stages`."""
    k: Annotated[tuple[Count, ...], BeforeValidator(_as_numbers), Field(min_length=1)] = (1, 3, 5, 10, 20)
    """Numbers of neighbours to try, for `knn`."""
    temperature: Annotated[tuple[Positive, ...], BeforeValidator(_as_numbers), Field(min_length=1)] = (
        0.02,
        0.07,
        0.2,
    )
    """Temperatures to try with each: a neighbour of cosine s has the weight exp(s / temperature)."""
    folds: Annotated[int, Field(ge=2, le=1000)] = 5
    """Inner folds of the training samples, groups kept whole, that choose the probe where no samples
    validate. The test samples never choose."""
    views: Annotated[str, BeforeValidator(_check_views)] = "1x1"
    """Clips x crops of each sample that probes learn from."""
    cache: str | None = None
    """Folder of the features, which runs on the same frozen weights share; None is `features` in the run's
    folder, or in that of the cross-validation."""

    @property
    def kinds(self) -> tuple[ProbeKind, ...]:
        """The kinds that are tried; none where nothing asks for probes."""
        return tuple(dict.fromkeys(self.kind)) or (("linear",) if self.lr else ())


class RebalanceSection(Section):
    """A change of the head of a trained model (`model.pretrained`) by a rule, in place of training."""

    method: Literal["tau_normalised", "logit_adjusted"] | None = None
    """Rule: `tau_normalised` divides the weights of each class by the tau-th power of their norm (Kang et al.
    2020), `logit_adjusted` takes tau log prior from the logits (Menon et al. 2021, equation 9), with the
    shares of classes in the training file."""
    tau: Annotated[
        tuple[Annotated[float, Field(ge=0, le=10)], ...], BeforeValidator(_as_numbers), Field(min_length=1)
    ] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    """Values of tau to try, of which the validation samples choose by `train.monitor`; 0 changes nothing."""


class ComputeSection(Section):
    """The device and its arithmetic, which change speed, and rounding."""

    device: str = "auto"
    """Device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of the heavy operators; auto is mixed where the hardware has it."""
    channels_last: bool = True
    """Memory layout of convolutions: channels last where that is faster, or contiguous."""
    checkpoint_activations: bool = False
    """Activation checkpointing: activations of the stages are computed again in the backward pass instead of
    kept. Less memory and the same gradients, for one more forward pass per step."""
    processes: Annotated[Processes, Field(ge=1)] = 1
    """Number of training processes that divide each step, one per GPU."""
    workers: Literal["auto"] | Processes = "auto"
    """Decoding processes per training process."""
    threads: Literal["auto"] | Annotated[Processes, Field(ge=1)] = "auto"
    """Threads that compute on the CPU in each training process; auto is what `OMP_NUM_THREADS` states, else
    by the multiply-adds of a batch: small networks are faster with one. Probes take as many of them
    as their own layers are worth."""

    def choose(self) -> Compute:
        """The settings with every `auto` decided for this machine.

        Raises:
            InvalidSetting: If the device is absent.
        """
        threads = None if self.threads == "auto" else self.threads
        return Compute.choose(self.device, self.precision, self.channels_last, threads)


class TestSection(Section):
    """The measurement of the final score."""

    __test__ = False  # not a test case, whatever its name suggests to pytest
    views: Annotated[str, BeforeValidator(_check_views)] = "1x1"
    """Clips x crops whose probabilities are averaged, such as `10x3`. With several labels a sample, `10x3max`
    takes the largest of each label, as the protocol of Charades does."""
    background: Background = "keep"
    """Change of the background, or of the people, in test clips, which shows what the answers rest on. Needs
    masks (`kinesphere extract mask`)."""
    open: bool = True
    """Whether the test samples are scored at the end. A study that draws settings leaves that to the settings
    that it chooses; the report of the others is on their validation samples."""
    shots: Annotated[tuple[Count, Count], AfterValidator(_check_shots)] = (20, 100)
    """Training clips below which the report calls a class few-shot, and above which it calls it many-shot
    (Liu et al. 2019)."""


class LogSection(Section):
    """The loggers of curves, besides metrics.csv in the run folder."""

    tensorboard: bool = True
    """TensorBoard event files in the run folder."""
    wandb: str | None = None
    """Weights & Biases project (extra `track`)."""
    wandb_offline: bool = False
    """Offline mode: W&B's files stay in the run folder, and nothing is sent."""
    mlflow: str | None = None
    """MLflow tracking URL or folder (extra `track`)."""
    every_steps: Count = 10
    """Optimiser steps between two points of a curve."""
