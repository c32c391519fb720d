"""Probes: heads on the features of frozen layers, many at once, chosen without the test."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from torch import nn

from kinesphere.clips.spec import Views
from kinesphere.core.errors import InvalidSetting, TrainingDiverged
from kinesphere.core.files import replacing
from kinesphere.core.threads import computing_with
from kinesphere.data.dataset import ClipDataset
from kinesphere.data.manifest import Manifest
from kinesphere.data.sources import Opening
from kinesphere.data.split import kfold
from kinesphere.models.runtime.frozen import FrozenSplit
from kinesphere.train.checkpoints import keep
from kinesphere.train.features import FeatureReader, Features
from kinesphere.train.probe_families import Family, families_of
from kinesphere.train.probe_trainer import Candidate, finite
from kinesphere.train.problem_files import ProblemFiles
from kinesphere.train.recipe import Recipe
from kinesphere.train.resolve import extracts, frame_cache
from kinesphere.train.run_folder import RunFiles
from kinesphere.train.running_metrics import Scores, monitor_mode
from kinesphere.train.splits import Parts
from kinesphere.train.trainer import loss_of, starting

_TOLD_EVERY = 50


def fit_probes(recipe: Recipe, parts: Parts, console: Console | None = None) -> str:
    """Fit all probes of a recipe at once and keep the best, as an ordinary model file.

    It is chosen by its score on the validation samples or, where there are none, on inner folds of the
    training samples, and is then fitted to all of these. Leaves `model.safetensors` and `probes.csv` in the
    run folder.

    Args:
        recipe: Resolved; `out` is the run folder.
        parts: The samples.
        console: For progress; None is standard error.

    Returns:
        How the probe was chosen, for the report.

    Raises:
        InvalidSetting: If the layers that learn are no plain sequence on the frozen ones, or the network has
            not one last grid for attentive and k-NN probes.
        TooManyFailures: If too many samples are unreadable.
        TrainingDiverged: If every probe's loss stops being a number.
    """
    files, compute = RunFiles(Path(str(recipe.out))), recipe.compute.choose()
    show = console or Console(stderr=True, markup=False, emoji=False)
    recogniser = starting(recipe, parts, compute)
    with computing_with(compute.threads):
        wanted = {"train": (parts.train, recipe.probe.views)}
        if parts.val is not None:
            wanted["val"] = (parts.val, "1x1")

        def read(split: FrozenSplit) -> dict[str, Features]:
            return read_features(recipe, split, wanted, show)

        families = families_of(recipe, recogniser, loss_of(recipe, parts.train), parts.train.labels, read)
        chosen = _chosen(recipe, families, show)
        _write_table(files.probes, chosen)
        head = chosen.head
        if head is None:
            (head,) = chosen.family.fit([chosen.candidate])
        finished = chosen.family.finished(head)
    best = chosen.scores[chosen.best]
    keep(
        finished,
        files.weights(joint=bool(recipe.joint.sets)),
        parts.train.fingerprint(),
        {} if best is None else {f"val_{name}": value for name, value in best.items()},
    )
    return chosen.said(recipe.train.monitor)


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
        tried: The settings of each probe, with its family.
        best: The number of the one that is kept.
        scores: Of each probe on what chose; None where it diverged or nothing had to choose.
        clips: How many clips chose.
        folds: Inner folds that they were tested in; None where they were the validation samples.
        head: Its weights, where it has learnt from all training samples already.
    """

    tried: tuple[tuple[Family, Candidate], ...]
    best: int
    scores: tuple[Scores | None, ...]
    clips: int
    folds: int | None
    head: nn.Module | None

    @property
    def family(self) -> Family:
        """Of the probe that is kept."""
        return self.tried[self.best][0]

    @property
    def candidate(self) -> Candidate:
        """The settings of the probe that is kept."""
        return self.tried[self.best][1]

    def said(self, monitor: str) -> str:
        """A sentence for the report."""
        how = self.candidate.said
        if not self.clips:
            return f"A probe on frozen features ({how})."
        clips = f"{self.clips} validation clips"
        if self.folds is not None:
            clips = f"{self.clips} training clips in {self.folds} inner folds"
        return f"A probe on frozen features, the best of {len(self.tried)} ({how}) by {monitor} on {clips}."


def _chosen(recipe: Recipe, families: Sequence[Family], show: Console) -> Choice:
    """The probe to keep, by validation samples or inner folds.

    Raises:
        InvalidSetting: If the training samples cannot be folded.
        TrainingDiverged: If every probe diverged.
    """
    monitor = recipe.train.monitor
    tried = tuple((family, candidate) for family in families for candidate in family.candidates)
    training, validation = families[0].features["train"], families[0].features.get("val")
    if validation is not None and len(validation):
        heads: list[nn.Module] = []
        scores: list[Scores | None] = []
        for family in families:
            fitted = family.fit(family.candidates)
            heads += fitted
            scores += family.trainer.scores(fitted, family.features["val"])
        best = _best(scores, monitor)
        _show(show, tried, scores, best, monitor)
        return Choice(tried, best, tuple(scores), len(validation), None, heads[best])
    if len(tried) == 1:
        return Choice(tried, 0, (None,), 0, None, None)
    folds = _folds(recipe, training.manifest)
    counted = [[family.trainer.metrics() for _ in family.candidates] for family in families]
    for number, (train, test) in enumerate(folds, start=1):
        show.print(f"{len(tried)} probes, inner fold {number} of {len(folds)}", highlight=False)
        for family, metrics in zip(families, counted, strict=True):
            family.trainer.count(
                metrics, family.fit(family.candidates, train), family.features["train"], test
            )
    scores = [finite(each.compute()) for metrics in counted for each in metrics]
    best = _best(scores, monitor)
    _show(show, tried, scores, best, monitor)
    return Choice(tried, best, tuple(scores), len(training), len(folds), None)


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
    show: Console,
    tried: Sequence[tuple[Family, Candidate]],
    scores: Sequence[Scores | None],
    best: int,
    monitor: str,
) -> None:
    for number, ((_, candidate), found) in enumerate(zip(tried, scores, strict=True)):
        value = "diverged" if found is None else f"{monitor} {found[monitor]:.3f}, loss {found['loss']:.3f}"
        mark = "  <- kept" if number == best else ""
        show.print(f"{candidate.said}: {value}{mark}", highlight=False, soft_wrap=True)


_SETTINGS = ("lr", "weight_decay", "grid", "k", "temperature")


def _write_table(path: Path, choice: Choice) -> None:
    names = list(dict.fromkeys(name for each in choice.scores if each for name in each))
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("kind", *_SETTINGS, *names, "kept"))
        for number, ((_, candidate), found) in enumerate(zip(choice.tried, choice.scores, strict=True)):
            settings = [_cell(getattr(candidate, name, None)) for name in _SETTINGS]
            cells = [(found or {}).get(name) for name in names]
            table.writerow((candidate.kind, *settings, *cells, number == choice.best))


def _cell(value: object) -> object:
    return "" if value is None else value
