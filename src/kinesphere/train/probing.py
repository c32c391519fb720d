"""Probes: heads on the features of frozen layers, many trained at once, chosen without the test.

B samples of a batch, V views, K classes.
"""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from kinesphere.clips.spec import Views
from kinesphere.core.errors import InvalidSetting, TrainingDiverged
from kinesphere.core.files import replacing
from kinesphere.core.labels import LabelSet
from kinesphere.core.signals import raise_if_stopped
from kinesphere.core.threads import computing_with
from kinesphere.data.dataset import ClipDataset
from kinesphere.data.manifest import Manifest
from kinesphere.data.sampler import EpochSampler
from kinesphere.data.sources import Opening
from kinesphere.data.split import kfold
from kinesphere.models.runtime.frozen import FrozenSplit, Head
from kinesphere.train.checkpoints import keep
from kinesphere.train.features import FeatureReader, Features
from kinesphere.train.losses import LossFunction, loss_at
from kinesphere.train.module import mean_over_views, seed_step
from kinesphere.train.optim import ParameterGroup, optimizer_of
from kinesphere.train.problem_files import ProblemFiles
from kinesphere.train.recipe import Recipe
from kinesphere.train.resolve import extracts, frame_cache
from kinesphere.train.run_folder import RunFiles
from kinesphere.train.running_metrics import RunningMetrics, Scores, monitor_mode
from kinesphere.train.schedule import make_schedule
from kinesphere.train.set_heads import heads_of, shares_of
from kinesphere.train.splits import Parts
from kinesphere.train.trainer import loss_of, run_length, starting

log = logging.getLogger("kinesphere.train")

_TOLD_EVERY = 50


@dataclass(frozen=True)
class Probe:
    """Settings that one probe is trained with.

    Attributes:
        lr: Peak learning rate.
        weight_decay: Of weights; biases and norms have none.
    """

    lr: float
    weight_decay: float


def probes_of(recipe: Recipe) -> list[Probe]:
    """All pairs of a recipe's learning rates and weight decays."""
    decays = recipe.probe.weight_decay or (recipe.optimizer.weight_decay,)
    return [Probe(lr, decay) for lr, decay in product(recipe.probe.lr, decays)]


def fit_probes(recipe: Recipe, parts: Parts, console: Console | None = None) -> str:
    """Train all probes of a recipe at once and keep the best, as an ordinary model file.

    It is chosen by its score on the validation samples or, where there are none, on inner folds of the
    training samples, and is then trained on all of these. Leaves `model.safetensors` and `probes.csv` in the
    run folder.

    Args:
        recipe: Resolved; `out` is the run folder.
        parts: The samples.
        console: For progress; None is standard error.

    Returns:
        How the probe was chosen, for the report.

    Raises:
        InvalidSetting: If the layers that learn are no plain sequence on the frozen ones.
        TooManyFailures: If too many samples are unreadable.
        TrainingDiverged: If every probe's loss stops being a number.
    """
    files, compute = RunFiles(Path(str(recipe.out))), recipe.compute.choose()
    show = console or Console(stderr=True, markup=False, emoji=False)
    recogniser = starting(recipe, parts, compute)
    split, probes = FrozenSplit(recogniser), probes_of(recipe)
    with computing_with(compute.threads):
        wanted = {"train": (parts.train, recipe.probe.views)}
        if parts.val is not None:
            wanted["val"] = (parts.val, "1x1")
        features = read_features(recipe, split, wanted, show)
        training, validation = features["train"], features.get("val")
        trainer = ProbeTrainer(recipe, split.head(), loss_of(recipe, parts.train), parts.train.labels)
        chosen = _chosen(trainer, probes, training, validation, show)
        _write_table(files.probes, probes, chosen)
        head = chosen.head
        if head is None:
            (head,) = trainer.train([probes[chosen.best]], training)
    split.take(head)
    best = chosen.scores[chosen.best]
    keep(
        recogniser,
        files.weights(joint=bool(recipe.joint.sets)),
        parts.train.fingerprint(),
        {} if best is None else {f"val_{name}": value for name, value in best.items()},
    )
    return chosen.said(probes, recipe.train.monitor)


def read_features(
    recipe: Recipe,
    split: FrozenSplit,
    wanted: Mapping[str, tuple[Manifest, str]],
    console: Console | None = None,
) -> dict[str, Features]:
    """The features of some parts of a run's samples.

    Args:
        recipe: Resolved; `out` is the run folder.
        split: The frozen layers.
        wanted: Samples and their views, by name of the part.
        console: For progress; None is standard error.

    Raises:
        InvalidSetting: If the layers that learn are no plain sequence on the frozen ones.
        TooManyFailures: If too many samples are unreadable.
    """
    files = RunFiles(Path(str(recipe.out)))
    show = console or Console(stderr=True, markup=False, emoji=False)
    count = sum(len(samples) for samples, _ in wanted.values())
    problems = ProblemFiles(files, count, recipe.data.max_unreadable)
    folder = files.features if recipe.probe.cache is None else Path(recipe.probe.cache)
    reader = FeatureReader(
        split, folder, recipe.compute.choose(), recipe.compute.workers, recipe.train.batch_size
    )

    def read(part: str, samples: Manifest, views: str) -> Features:
        def progress(done: int, total: int) -> None:
            if done == total or done // _TOLD_EVERY > (done - recipe.train.batch_size) // _TOLD_EVERY:
                show.print(f"features of {done} of {total} {part} clips", highlight=False, soft_wrap=True)

        return reader.read(
            _dataset(recipe, samples, split, views), lambda batch: problems.collect(part, batch), progress
        )

    found = {part: read(part, *what) for part, what in wanted.items()}
    problems.write()
    problems.check()
    return found


def _dataset(recipe: Recipe, samples: Manifest, split: FrozenSplit, views: str) -> ClipDataset:
    recogniser = split.recogniser
    opening = Opening(
        extracts(recipe.data),
        preparation=recogniser.provenance.preparation,
        cache=frame_cache(recipe.data),
        extracting=False,
    )
    return ClipDataset(samples, recogniser.specs, train=False, views=Views.parse(views), opening=opening)


@dataclass(frozen=True)
class Choice:
    """Which probe is kept, and why.

    Attributes:
        best: Its number.
        scores: Of each probe on what chose; None where it diverged or nothing had to choose.
        clips: How many clips chose.
        folds: Inner folds that they were tested in; None where they were the validation samples.
        head: Its weights, where it has learnt from all training samples already.
    """

    best: int
    scores: tuple[Scores | None, ...]
    clips: int
    folds: int | None
    head: Head | None

    def said(self, probes: Sequence[Probe], monitor: str) -> str:
        """A sentence for the report."""
        probe = probes[self.best]
        how = f"learning rate {probe.lr:g}, weight decay {probe.weight_decay:g}"
        if not self.clips:
            return f"A probe on frozen features ({how})."
        clips = f"{self.clips} validation clips"
        if self.folds is not None:
            clips = f"{self.clips} training clips in {self.folds} inner folds"
        return f"A probe on frozen features, the best of {len(probes)} ({how}) by {monitor} on {clips}."


def _chosen(
    trainer: ProbeTrainer,
    probes: list[Probe],
    training: Features,
    validation: Features | None,
    show: Console,
) -> Choice:
    """The probe to keep, by validation samples or inner folds.

    Raises:
        InvalidSetting: If the training samples cannot be folded.
        TrainingDiverged: If every probe diverged.
    """
    monitor = trainer.recipe.train.monitor
    if validation is not None and len(validation):
        heads = trainer.train(probes, training)
        scores = [trainer.scores(head, validation) for head in heads]
        best = _best(scores, monitor)
        _show(show, probes, scores, best, monitor)
        return Choice(best, tuple(scores), len(validation), None, heads[best])
    if len(probes) == 1:
        return Choice(0, (None,), 0, None, None)
    folds = _folds(trainer.recipe, training.manifest)
    counted = [trainer.metrics() for _ in probes]
    for number, (train, test) in enumerate(folds, start=1):
        show.print(f"{len(probes)} probes, inner fold {number} of {len(folds)}", highlight=False)
        heads = trainer.train(probes, training, train)
        for head, metrics in zip(heads, counted, strict=True):
            trainer.count(metrics, head, training, test)
    scores = [finite(metrics.compute()) for metrics in counted]
    best = _best(scores, monitor)
    _show(show, probes, scores, best, monitor)
    return Choice(best, tuple(scores), len(training), len(folds), None)


def _folds(recipe: Recipe, samples: Manifest) -> list[tuple[list[int], list[int]]]:
    """Rows to train on and to test on, of each inner fold."""
    groups = len({sample.group or sample.id for sample in samples})
    position = {sample.id: row for row, sample in enumerate(samples)}
    try:
        folds = kfold(samples, min(recipe.probe.folds, groups), recipe.train.seed)
    except InvalidSetting as error:
        raise InvalidSetting(
            f"No inner folds can choose among the probes: {error} Give data.val, or one probe.lr and one "
            "probe.weight_decay, so that nothing has to be chosen."
        ) from error
    return [
        ([position[each.id] for each in fold.train], [position[each.id] for each in fold.test])
        for fold in folds
    ]


def finite(scores: Scores | None) -> Scores | None:
    """The scores, if their loss is a number."""
    return scores if scores is not None and math.isfinite(scores["loss"]) else None


def _best(scores: Sequence[Scores | None], monitor: str) -> int:
    """The number of the best probe; of equal ones, that of the least loss, then the first.

    Raises:
        TrainingDiverged: If none has a score.
    """
    sign = -1 if monitor_mode(monitor) == "min" else 1
    known = {number: each for number, each in enumerate(scores) if each is not None}
    if not known:
        raise TrainingDiverged(
            f"The loss of all {len(scores)} probes stopped being a number; give lower probe.lr, or set "
            "train.clip_norm."
        )
    return max(known, key=lambda number: (sign * known[number][monitor], -known[number]["loss"], -number))


def _show(
    show: Console, probes: Sequence[Probe], scores: Sequence[Scores | None], best: int, monitor: str
) -> None:
    for number, (probe, found) in enumerate(zip(probes, scores, strict=True)):
        value = "diverged" if found is None else f"{monitor} {found[monitor]:.3f}, loss {found['loss']:.3f}"
        mark = "  <- kept" if number == best else ""
        line = f"lr {probe.lr:g}, weight decay {probe.weight_decay:g}: {value}{mark}"
        show.print(line, highlight=False, soft_wrap=True)


def _write_table(path: Path, probes: Sequence[Probe], choice: Choice) -> None:
    names = list(dict.fromkeys(name for each in choice.scores if each for name in each))
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("lr", "weight_decay", *names, "kept"))
        for number, (probe, found) in enumerate(zip(probes, choice.scores, strict=True)):
            cells = [(found or {}).get(name) for name in names]
            table.writerow((probe.lr, probe.weight_decay, *cells, number == choice.best))


class ProbeTrainer:
    """Trains heads on features; each as if it were alone, with the batches and random numbers of all.

    Args:
        recipe: Resolved; its batches, length, schedule, optimiser and seed hold for every probe.
        start: The head that all start from.
        loss: Logits (B, K) and targets (B, K) to a scalar.
        labels: Of the data.
    """

    def __init__(self, recipe: Recipe, start: Head, loss: LossFunction, labels: LabelSet) -> None:
        # Features are small: a step's samples pass at once, however many passes a recipe divides them into.
        batch_size = recipe.train.batch_size * recipe.train.accumulate
        whole = recipe.train.model_copy(update={"batch_size": batch_size, "accumulate": 1})
        self.recipe = recipe.model_copy(update={"train": whole})
        self._start = start
        self._loss = loss
        self._labels = labels
        self._heads = heads_of(recipe, labels)
        self._device = next(start.parameters()).device

    def train(
        self, probes: Sequence[Probe], features: Features, rows: Sequence[int] | None = None
    ) -> list[Head]:
        """A trained head for each probe.

        Args:
            probes: Settings.
            features: What they learn from.
            rows: The samples of it; None takes all.
        """
        epoch_of = self._batches(features, range(len(features)) if rows is None else rows)
        length = run_length(self.recipe, len(epoch_of(0)))
        heads = [self._start.copy().train() for _ in probes]
        optimizers = [self._optimizer(head, probe) for head, probe in zip(heads, probes, strict=True)]
        schedules = [
            make_schedule(each, self.recipe.schedule, length.steps, length.steps_per_epoch)
            for each in optimizers
        ]
        steps = 0
        for epoch in range(length.epochs):
            for number, chosen in enumerate(epoch_of(epoch)[: length.steps - steps]):
                raise_if_stopped()
                x, targets = self._batch(features, chosen)
                loss = loss_at(self._loss, steps / length.steps)
                for head, optimizer, schedule in zip(heads, optimizers, schedules, strict=True):
                    seed_step(self.recipe.train.seed, epoch, number)  # each draws as it would alone
                    self._step(head, optimizer, x, targets, loss)
                    schedule.step()
                steps += 1
        return [head.eval() for head in heads]

    def metrics(self) -> RunningMetrics:
        """Counts of no sample yet."""
        return RunningMetrics(len(self._labels), self._labels.multi, self._heads)

    def scores(self, head: Head, features: Features) -> Scores | None:
        """The scores of a head on all samples; None where its loss is no number."""
        metrics = self.metrics()
        self.count(metrics, head, features, range(len(features)))
        return finite(metrics.compute())

    @torch.no_grad()
    def count(self, metrics: RunningMetrics, head: Head, features: Features, rows: Sequence[int]) -> None:
        """Count the answers of a head to some samples, each the mean over its views."""
        size = self.recipe.train.batch_size
        for begin in range(0, len(rows), size):
            x, targets = features.of(rows[begin : begin + size])
            views = x.shape[1]
            logits = head(x.flatten(0, 1).to(self._device)).unflatten(0, (-1, views))
            answers = mean_over_views(logits, self._labels.multi, self._heads).cpu()
            metrics.update(answers, targets, self._loss(answers, targets))

    def _batches(self, features: Features, rows: Sequence[int]) -> Callable[[int], list[list[int]]]:
        """The rows of each batch, by epoch; a last one less than half full is left out, as in training."""
        size, targets = self.recipe.train.batch_size, features.manifest.targets
        sampler = EpochSampler(
            [targets[row] for row in rows],
            size,
            shuffle=True,
            balance=self.recipe.data.balance,
            drop_last=len(rows) > size and 0 < len(rows) % size < size / 2,
            seed=self.recipe.train.seed,
            shares=shares_of(self.recipe, [features.manifest.samples[row] for row in rows]),
        )

        def of(epoch: int) -> list[list[int]]:
            sampler.epoch = epoch
            drawn = [rows[draw.index] for draw in sampler]
            return [drawn[begin : begin + size] for begin in range(0, len(drawn), size)]

        return of

    def _batch(self, features: Features, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Every view of the rows as a clip of its own."""
        x, targets = features.of(rows)
        views = x.shape[1]
        return x.flatten(0, 1).to(self._device), targets.repeat_interleave(views, 0).to(self._device)

    def _optimizer(self, head: Head, probe: Probe) -> torch.optim.Optimizer:
        """As in training: biases and norms do not decay, and the last layer has its own factor."""
        settings = self.recipe.optimizer
        last = set(head.layers[-1].parameters())
        groups = []
        for decays in (True, False):
            for is_last in (True, False):
                chosen = tuple(
                    p for p in head.parameters() if (p.dim() > 1) == decays and (p in last) == is_last
                )
                if chosen:
                    lr = probe.lr * (settings.head_lr if is_last else 1.0)
                    groups.append(ParameterGroup("probe", chosen, lr, probe.weight_decay if decays else 0.0))
        return optimizer_of(groups, settings)

    def _step(
        self, head: Head, optimizer: torch.optim.Optimizer, x: Tensor, targets: Tensor, loss: LossFunction
    ) -> None:
        value = loss(head(x), targets)
        optimizer.zero_grad()
        value.backward()
        if self.recipe.train.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(head.parameters(), self.recipe.train.clip_norm)
        optimizer.step()
