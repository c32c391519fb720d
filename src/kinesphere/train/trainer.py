"""The training of one run in one process: model, loaders, callbacks and Lightning's trainer."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.plugins.precision import Precision as FullPrecision
from lightning.pytorch.strategies import DDPStrategy
from rich.console import Console

from kinesphere.clips.augment.settings import Augment
from kinesphere.clips.modality import sees_frames
from kinesphere.clips.preparation import Preparation
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.device import Compute, Precision
from kinesphere.core.threads import computing_with
from kinesphere.data.dataset import ClipDataset
from kinesphere.data.loader import ClipLoader, make_loader
from kinesphere.data.manifest import Manifest
from kinesphere.data.sampler import Balance, SetShares
from kinesphere.data.sources import Opening
from kinesphere.evaluate.seen import digests_of
from kinesphere.models.create import create_model, with_specs
from kinesphere.models.head import HeadForm
from kinesphere.models.provenance import ClipDigests
from kinesphere.models.recogniser import Recogniser
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.starting import is_file, start_from
from kinesphere.train.callbacks import HearSignals, StopAfter, Validate
from kinesphere.train.checkpoints import KeepBest, ResumeState, SafeCheckpointIO, keep, read_state
from kinesphere.train.config import DataSection
from kinesphere.train.inputs import check_augment, clip_specs, preparation_of
from kinesphere.train.loader import ResumableLoader
from kinesphere.train.loggers import make_loggers, naming_the_disk
from kinesphere.train.losses import LossContext, LossFunction, make_loss
from kinesphere.train.metrics_csv import History
from kinesphere.train.module import Length, RecognitionTask
from kinesphere.train.problem_files import ProblemFiles
from kinesphere.train.progress import ShowProgress
from kinesphere.train.recipe import Recipe
from kinesphere.train.resolve import extracts, frame_cache
from kinesphere.train.run_folder import RunFiles
from kinesphere.train.running_metrics import monitor_mode
from kinesphere.train.set_heads import JointLoss, heads_of, shares_of
from kinesphere.train.splits import Parts
from kinesphere.train.start import Start, lesson_of, tell_start

log = logging.getLogger("kinesphere.train")


@dataclass(frozen=True)
class ProcessRank:
    """This process among those that train together."""

    rank: int = 0
    world: int = 1

    @classmethod
    def here(cls) -> ProcessRank:
        """As torchrun tells it; alone without torchrun."""
        if not TorchElasticEnvironment.detect():
            return cls()
        return cls(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))


def fit(recipe: Recipe, parts: Parts, console: Console | None = None) -> None:
    """Train as a resolved recipe says, from the folder's state where there is one.

    Leaves `model.safetensors` (best, or last without validation), `checkpoints/`, `metrics.csv` and, if
    anything could not be read, `unreadable.csv` in the run folder.

    Args:
        recipe: Resolved; `out` is the run folder.
        parts: The samples.
        console: For progress; None is standard error.
    """
    files, process = RunFiles(Path(str(recipe.out))), ProcessRank.here()
    compute, weights = recipe.compute.choose(), files.weights(joint=bool(recipe.joint.sets))
    recogniser = starting(recipe, parts, compute)
    check_augment(recipe.augment, recogniser, parts.train, extracts(recipe.data))
    preparation = recogniser.provenance.preparation
    with (
        _training(recipe, parts, recogniser.specs, process, preparation) as training,
        _validation_loader(recipe, parts.val, recogniser.specs, process, preparation) as validation,
    ):
        task = build_task(recipe, recogniser, parts.train, len(training))
        state = read_state(files.state) if files.state.is_file() else None
        best = KeepBest(weights, recipe.train.monitor, parts.train.fingerprint())
        callbacks = _callbacks(recipe, parts, files, training, best, console, recogniser.specs)
        with quiet_engine(), naming_the_disk(files.folder), computing_with(compute.threads):
            loggers = []
            if process.rank == 0:
                loggers = make_loggers(
                    recipe, files.folder, 0 if state is None else int(state["global_step"])
                )
            trainer = _trainer(recipe, compute, process, task.length, callbacks, loggers)
            trainer.fit(
                task,
                train_dataloaders=training,
                val_dataloaders=validation,
                ckpt_path=None if state is None else str(files.state),
                weights_only=True,
            )
    if process.rank == 0:
        keep(task.scored, files.last, parts.train.fingerprint(), {})
        if best.best is None:
            keep(task.scored, weights, parts.train.fingerprint(), {})


def starting(recipe: Recipe, parts: Parts, compute: Compute) -> Recogniser:
    """The model of a recipe before its first step, on its device; its provenance knows the run's clips.

    Where it starts from weights, what of them was loaded is logged and written into the run's folder.
    """
    recogniser = build_recogniser(recipe, parts.train, tell=False)
    before = recogniser.provenance
    if recipe.model.pretrained or "." in recipe.model.name:
        weights = recipe.model.pretrained if isinstance(recipe.model.pretrained, str) else recipe.model.name
        tell_start(RunFiles(Path(str(recipe.out))).start, Start.of(weights, recogniser, before))
    recogniser.provenance = replace(
        before,
        preparation=preparation_of(parts.train, recogniser.specs, extracts(recipe.data)),
        clips=_clips_of(parts, recogniser),
        test_views=recipe.test.views,
        class_counts={name: parts.train.counts()[name] for name in parts.train.labels},
        lessons=(*before.lessons, lesson_of(recipe, parts.train)),
    )
    compute.place(recogniser)
    return recogniser


def _clips_of(parts: Parts, start: Recogniser) -> ClipDigests | None:
    """Which clips a run meets, and which ones had taught the weights that it starts from."""
    # To learn from a clip without its label is to have met it, too.
    uses = {name: "train" if use == "unlabelled" else use for name, use in parts.uses().items()}
    before = start.provenance.clips
    used = ((sample, uses[sample.id]) for sample in parts.whole if sample.id in uses)
    return digests_of(used, parts.contents, () if before is None else (before,))


def build_recogniser(recipe: Recipe, train: Manifest, *, tell: bool = True) -> Recogniser:
    """The model of a recipe before its first step; the same for the same seed.

    What of it starts afresh although weights were given is logged, unless a caller tells it (`tell`).
    """
    torch.manual_seed(recipe.train.seed)
    settings = recipe.model
    architecture = MODELS.get(settings.name.partition(".")[0])
    name = architecture.card.name
    if isinstance(settings.pretrained, str) and is_file(settings.pretrained, settings.name):
        recogniser = start_from(
            settings.pretrained, settings.name, train.labels, settings.arguments, tell=tell
        )
    else:
        recogniser = create_model(
            settings.name,
            train.labels,
            pretrained=settings.pretrained,
            arguments=settings.arguments,
            tell=tell,
        )
    specs = clip_specs(name, recogniser.specs, recipe.clip)
    if specs is not None:
        with_specs(recogniser, specs)
    if settings.head is not None:
        recogniser.shape_head(HeadForm(settings.head, bias=False, scale=settings.head_scale))
    if settings.reset_head and not recogniser.reset:
        log.info("Fresh head: %s.", ", ".join(recogniser.reset_head(train.labels)))
    if settings.freeze is not None:
        frozen = recogniser.freeze(settings.freeze)
        log.info("Frozen: %d tensors up to stage %s.", len(frozen), settings.freeze)
    if recipe.compute.checkpoint_activations:
        recogniser.checkpoint_activations()
    return recogniser


def build_task(recipe: Recipe, recogniser: Recogniser, train: Manifest, batches: int) -> RecognitionTask:
    """The task of a recipe.

    Args:
        recipe: Resolved.
        recogniser: The model.
        train: Training samples, for the class counts.
        batches: Batches of one epoch in this process.

    Raises:
        InvalidSetting: If the model cannot be trained in the way that is asked for.
    """
    rest = (loss_of(recipe, train), recipe.optimizer, recipe.schedule, run_length(recipe, batches))
    seed, ema = recipe.train.seed, recipe.train.ema
    if recipe.pretrain.method is not None:
        from kinesphere.train.pretraining import ContrastiveTask, MaskedTubesTask

        pretraining = MaskedTubesTask if recipe.pretrain.method == "masked_tubes" else ContrastiveTask
        torch.manual_seed(seed)  # of the layers that pre-training adds
        return pretraining(recipe.pretrain, recogniser, *rest, seed=seed, ema=ema)
    if recipe.unlabelled.method is not None:
        from kinesphere.train.semi_supervised import FixMatchTask

        return FixMatchTask(recipe.unlabelled, recogniser, *rest, seed=seed, ema=ema)
    heads = heads_of(recipe, train.labels)
    return RecognitionTask(recogniser, *rest, seed=seed, ema=ema, augment=recipe.augment, heads=heads)


def loss_of(recipe: Recipe, train: Manifest) -> LossFunction:
    """The loss of a recipe for the classes of its training samples; for several sets, each by itself."""
    heads = heads_of(recipe, train.labels)
    if not heads:
        return _loss(recipe, train)
    return JointLoss(heads, tuple(_loss(recipe, head.own(train)) for head in heads))


def _loss(recipe: Recipe, train: Manifest) -> LossFunction:
    counts, settings = train.counts(), recipe.loss
    context = LossContext(
        torch.tensor([counts[name] for name in train.labels]),
        train.labels.multi,
        settings.label_smoothing,
        settings.beta,
        settings.gamma,
        settings.tau,
        margin=settings.margin,
        scale=recipe.model.head_scale,
        defer=settings.defer,
        clip=settings.clip,
        families=torch.tensor(train.labels.family_indices),
        parent_weight=settings.parents,
    )
    return make_loss(settings.name, context)


def run_length(recipe: Recipe, batches: int) -> Length:
    """How many epochs and optimiser steps a recipe asks for, with this many batches per epoch."""
    per_epoch = -(-batches // recipe.train.accumulate)
    if recipe.train.steps is not None:
        return Length(-(-recipe.train.steps // per_epoch), recipe.train.steps, per_epoch)
    assert recipe.train.epochs is not None
    return Length(recipe.train.epochs, recipe.train.epochs * per_epoch, per_epoch)


def _training(
    recipe: Recipe,
    parts: Parts,
    specs: tuple[ClipSpec, ...],
    process: ProcessRank,
    preparation: Preparation,
) -> ResumableLoader:
    """Batches of all that a run learns from."""
    if recipe.pretrain.method == "contrastive":
        pairs = _pairs(recipe, parts.train, specs, preparation, recipe.pretrain.second, apart=True)
        return ResumableLoader(
            _loader(recipe, pairs, process, drop_last=len(pairs) >= recipe.train.batch_size)
        )
    labelled = training_loader(recipe, parts.train, specs, process, preparation)
    if parts.unlabelled is None:
        return labelled
    from kinesphere.train.semi_supervised import MixedLoader

    pairs = _pairs(recipe, parts.unlabelled, specs, preparation, recipe.unlabelled.strong)
    size = min(recipe.unlabelled.ratio * recipe.train.batch_size, len(pairs) // process.world)
    beside = _loader(recipe, pairs, process, drop_last=True, batch_size=size)
    return MixedLoader(labelled.loader, beside, len(parts.train))


def _pairs(
    recipe: Recipe, samples: Manifest, specs: tuple[ClipSpec, ...], preparation: Preparation,
    strong: Augment, *, apart: bool = False,
) -> ClipDataset:  # fmt: skip
    """Two views of every sample."""
    from kinesphere.data.two_views import TwoViews

    return TwoViews(
        samples, specs, weak=recipe.augment, strong=strong, apart=apart,
        opening=_opening(recipe.data, preparation), seed=recipe.train.seed,
    )  # fmt: skip


def training_loader(
    recipe: Recipe,
    train: Manifest,
    specs: tuple[ClipSpec, ...],
    process: ProcessRank = ProcessRank(),
    preparation: Preparation = Preparation(),  # noqa: B008 (frozen)
) -> ResumableLoader:
    """Batches of augmented clips.

    The last batch of an epoch is left out when it is less than half full and there is another: a
    gradient of few clips would weigh as much as one of many. It holds other samples every epoch.
    """
    per_step = recipe.train.batch_size * process.world
    drop_last = len(train) > per_step and 0 < len(train) % per_step < per_step / 2
    dataset = _dataset(recipe, train, specs, preparation, training=True)
    shares = shares_of(recipe, train.samples)
    return ResumableLoader(_loader(recipe, dataset, process, recipe.data.balance, drop_last, shares=shares))


def _validation_loader(
    recipe: Recipe,
    samples: Manifest | None,
    specs: tuple[ClipSpec, ...],
    process: ProcessRank,
    preparation: Preparation,
) -> AbstractContextManager[ResumableLoader | None]:
    """Batches of the clips that validate, if there are any."""
    if samples is None:
        return nullcontext()
    dataset = _dataset(recipe, samples, specs, preparation, training=False)
    return ResumableLoader(_loader(recipe, dataset, process))


def _dataset(
    recipe: Recipe,
    samples: Manifest,
    specs: tuple[ClipSpec, ...],
    preparation: Preparation,
    *,
    training: bool,
) -> ClipDataset:
    """The run's own clips; what would have to be extracted is refused."""
    opening = _opening(recipe.data, preparation)
    augment = recipe.augment if training else None
    return ClipDataset(
        samples, specs, train=training, augment=augment, opening=opening, seed=recipe.train.seed
    )


def _opening(data: DataSection, preparation: Preparation) -> Opening:
    return Opening(extracts(data), preparation=preparation, cache=frame_cache(data), extracting=False)


def _loader(
    recipe: Recipe, dataset: ClipDataset, process: ProcessRank, balance: Balance = "none",
    drop_last: bool = False, batch_size: int | None = None,
    shares: SetShares | None = None,
) -> ClipLoader:  # fmt: skip
    return make_loader(
        dataset, batch_size or recipe.train.batch_size, workers=recipe.compute.workers, balance=balance,
        drop_last=drop_last, rank=process.rank, world=process.world, threads=recipe.compute.choose().threads,
        shares=shares,
    )  # fmt: skip


def _callbacks(
    recipe: Recipe, parts: Parts, files: RunFiles, training: ResumableLoader, best: KeepBest,
    console: Console | None, specs: tuple[ClipSpec, ...],
) -> list[pl.Callback]:  # fmt: skip
    settings = recipe.train
    state = ResumeState(files.state, training, settings.checkpoint_steps, settings.checkpoint_minutes)
    history = History(files.metrics, training)
    samples = sum(len(part) for part in (parts.train, parts.unlabelled, parts.val) if part is not None)
    callbacks: list[pl.Callback] = [
        HearSignals(),
        Validate(settings.validate_every),
        ProblemFiles(files, samples, recipe.data.max_unreadable),
        history,
        ShowProgress(
            history,
            training,
            console,
            cached=recipe.data.cache is not None,
            decodes=sees_frames(specs),
        ),
        best,
    ]
    if settings.steps is not None:
        callbacks.append(StopAfter(settings.steps))
    if settings.early_stopping is not None:
        callbacks.append(
            EarlyStopping(
                f"val/{settings.monitor}",
                patience=settings.early_stopping,
                mode=monitor_mode(settings.monitor),
                strict=False,
                check_on_train_epoch_end=False,
            )
        )
    return [*callbacks, state]


def _trainer(
    recipe: Recipe, compute: Compute, process: ProcessRank, length: Length, callbacks: list[pl.Callback],
    loggers: list[Logger],
) -> pl.Trainer:  # fmt: skip
    kind, _, index = compute.device.partition(":")
    several = process.world > 1
    return pl.Trainer(
        accelerator=kind,
        devices=recipe.compute.processes if several else [int(index)] if index else 1,
        num_nodes=max(1, process.world // recipe.compute.processes),
        strategy=DDPStrategy() if several else "auto",
        max_epochs=length.epochs,
        accumulate_grad_batches=recipe.train.accumulate,
        gradient_clip_val=recipe.train.clip_norm,
        check_val_every_n_epoch=recipe.train.validate_every,
        num_sanity_val_steps=0,
        log_every_n_steps=recipe.log.every_steps,
        use_distributed_sampler=False,
        logger=loggers or False,
        callbacks=callbacks,
        plugins=[
            _arithmetic(kind, compute.precision),
            SafeCheckpointIO(),
            TorchElasticEnvironment() if several else LightningEnvironment(),
        ],
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _arithmetic(kind: str, precision: Precision) -> FullPrecision:
    """Lightning's part for a precision; asked for by name, Lightning would take bf16 for fp16 on a CPU."""
    if precision == "fp32":
        return FullPrecision()
    return MixedPrecision("16-mixed" if precision == "fp16" else "bf16-mixed", kind)


@contextmanager
def quiet_engine() -> Iterator[None]:
    """Keep Lightning's notices about its own defaults from users who did not choose them."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            # A process whose share of an epoch held no readable clip has counted nothing.
            warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
            # DDP on the strides of 1x1x1 weights in channels-last memory, which differ in name only.
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
