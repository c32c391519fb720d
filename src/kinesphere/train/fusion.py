"""`fuse_runs`: score fusion of finished runs, with given or learned weights."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.train.run_folder import RunFiles

if TYPE_CHECKING:
    from kinesphere.evaluate import Predictions, Report

log = logging.getLogger("kinesphere.train")


@dataclass(frozen=True)
class FusedRuns:
    """Several runs as one recogniser.

    Attributes:
        folders: Folders of the runs.
        weights: One per run, summing to 1; of cross-validations with learned weights their mean over clips.
        learned_on: Clips that the weights were learned on, at least: validation clips, or those of the other
            folds. None for given weights.
        by_fold: Weights of each fold, of cross-validations with learned ones.
        predictions: The fused probabilities of the clips that all runs were tested on; None where a run was
            tested on none.
        report: Their scores, or None as well.
    """

    folders: tuple[Path, ...]
    weights: tuple[float, ...]
    learned_on: int | None
    predictions: Predictions | None
    report: Report | None
    by_fold: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def write(self, folder: Path) -> tuple[Path, ...]:
        """Write predictions, report, and a `fusion.json` that `predict.load` takes for a model.

        Returns:
            The fused folders that hold no model, such as cross-validations; if there are any, no
            `fusion.json` is written.

        Raises:
            InvalidSetting: If the folder is one of those that were fused.
        """
        from kinesphere.predict.fusion import FusionFile

        if folder.resolve() in [each.resolve() for each in self.folders]:
            raise InvalidSetting(f"{folder} is one of the runs; write their fusion to another folder.")
        if self.predictions is not None and self.report is not None:
            self.predictions.write(RunFiles(folder).predictions)
            self.report.write(folder / "report.json")
        without = tuple(each for each in self.folders if not RunFiles(each).model.is_file())
        if not without:
            FusionFile(self.folders, self.weights).write(folder)
        return without


def fuse_runs(
    folders: Sequence[str | Path], weights: Sequence[float] | Literal["learned"] | None = None
) -> FusedRuns:
    """Fuse the answers of runs to their test clips.

    Runs that held out no test clips are fused with given weights all the same, and nothing is scored.

    Args:
        folders: Run folders, cross-validations, or what `kinesphere evaluate --out` wrote; tested on the
            same clips.
        weights: One per run; None gives equal weights; `"learned"` finds them on the validation clips of the
            runs, which are scored now unless an earlier call did so. Those of cross-validations are found for
            each fold on the predictions of the other folds. No clip steers the weights that it is scored
            with.

    Raises:
        InvalidSetting: If a folder holds no predictions, weights do not fit, runs were tested on
            different data, or weights are to be learned and a run has no validation clips, or
            cross-validations have other folds.
        LabelMismatch: If the runs know different labels.
    """
    from kinesphere.evaluate import Predictions, fuse, learn_weights
    from kinesphere.predict.fusion import normalised_weights

    files = [RunFiles(Path(folder)) for folder in folders]
    if weights != "learned" and any(_untested(each) for each in files):
        return _unscored(files, weights)
    parts = [Predictions.read(each.predictions) for each in files]
    reports = _reports(files)
    if weights == "learned" and parts[0].folds[0] is not None:
        return _fold_by_fold(files, parts, reports)
    learned_on = None
    if weights == "learned":
        if reports[0].protocol.split == "val":
            raise InvalidSetting(
                "These runs were scored on their validation clips, on which weights cannot be learned as "
                "well; give the weights, or hold out clips with data.test."
            )
        validation = [validation_predictions(each) for each in files]
        weights = learn_weights(validation)
        learned_on = min(len(part) for part in validation)
        log.info("Weights learned on %d validation clips: %s", learned_on, _shown(weights))
    assert not isinstance(weights, str)
    normalised = tuple(normalised_weights(weights, len(parts)).tolist())
    fused = fuse(parts, weights)
    return FusedRuns(_folders(files), normalised, learned_on, fused, _scored(fused, reports, normalised))


def _fold_by_fold(
    files: Sequence[RunFiles], parts: Sequence[Predictions], reports: Sequence[Report]
) -> FusedRuns:
    """Cross-validations, each fold under weights that the others taught; their mean over clips is shown."""
    from kinesphere.evaluate import fuse_folds

    folded = fuse_folds(parts)
    sizes = Counter(folded.predictions.folds)
    mean = np.average(list(folded.weights.values()), axis=0, weights=[sizes[name] for name in folded.weights])
    weights = tuple(mean.tolist())
    report = _scored(folded.predictions, reports, weights, "weights learned fold by fold")
    scores = (replace(fold, weights=folded.weights[fold.name]) for fold in report.folds)
    report = replace(report, folds=tuple(scores))
    least = min(folded.learned_on.values())
    return FusedRuns(_folders(files), weights, least, folded.predictions, report, folded.weights)


def _folders(files: Sequence[RunFiles]) -> tuple[Path, ...]:
    return tuple(each.folder for each in files)


def _reports(files: Sequence[RunFiles]) -> list[Report]:
    """The reports of runs that were tested on the same data."""
    from kinesphere.evaluate import Report

    for each in files:
        if not each.report.is_file():
            raise InvalidSetting(f"{each.folder} holds no {each.report.name}; name a finished run.")
    reports = [Report.read(each.report) for each in files]
    first = reports[0].protocol
    for each, report in zip(files, reports, strict=True):
        if report.protocol.fingerprint != first.fingerprint:
            names = f"{first.dataset}, {report.protocol.dataset}"
            likely = (
                " If the data have not changed, the runs held out other clips: a split is drawn from "
                "train.seed. Train them with one seed, or give the data a column of splits."
            )
            raise InvalidSetting(
                f"{files[0].folder} and {each.folder} were tested on different data ({names}); "
                f"fuse runs with one test set.{likely if report.protocol.dataset == first.dataset else ''}"
            )
    return reports


def _untested(files: RunFiles) -> bool:
    """Whether a run has a model, and held out nothing to test it on."""
    return files.model.is_file() and files.recipe.is_file() and not files.predictions.is_file()


def _unscored(files: Sequence[RunFiles], weights: Sequence[float] | None) -> FusedRuns:
    """Runs of which one was tested on no clips, with given weights."""
    from kinesphere.models import load_model
    from kinesphere.predict.fusion import check_labels, normalised_weights

    given = normalised_weights(weights, len(files))
    without = [each.folder for each in files if not each.model.is_file()]
    if without:
        raise InvalidSetting(
            f"{without[0]} holds no model, and another of the runs held out no test clips, so there is "
            "nothing to predict with and nothing to score; fuse finished runs."
        )
    labels = [load_model(each.model).labels for each in files]
    for other in labels[1:]:
        check_labels(other, labels[0])
    return FusedRuns(_folders(files), tuple(given.tolist()), None, None, None)


def _scored(
    fused: Predictions, reports: Sequence[Report], weights: Sequence[float], remark: str = ""
) -> Report:
    """The report of fused runs, which tells what they saw and how they were weighed."""
    from kinesphere.evaluate import report_from_predictions

    first = reports[0]
    sampling = tuple(text for report in reports for text in report.protocol.sampling)
    views = " + ".join(dict.fromkeys(report.protocol.views for report in reports))
    names = [report.environment.model for report in reports]
    model = " + ".join(f"{weight:.3g} × {name}" for weight, name in zip(weights, names, strict=True))
    return report_from_predictions(
        fused,
        replace(first.protocol, sampling=sampling, views=views),
        replace(first.environment, model=f"{model}, {remark}" if remark else model),
    )


def validation_predictions(files: RunFiles) -> Predictions:
    """What a run says of its validation clips; scored once and kept beside its test predictions.

    Raises:
        InvalidSetting: If the folder is no run, or its recipe holds out no validation clips.
    """
    from kinesphere.clips.spec import Views
    from kinesphere.evaluate import Predictions, collect
    from kinesphere.predict import load
    from kinesphere.train.recipe import Recipe
    from kinesphere.train.resolve import extracts, frame_cache, read_data, resolve
    from kinesphere.train.resume import check_data

    if files.validation_predictions.is_file():
        return Predictions.read(files.validation_predictions)
    if not (files.recipe.is_file() and files.model.is_file()):
        raise InvalidSetting(
            f"{files.folder} is no run with a model, so weights cannot be learned on its validation clips; "
            "give the weights."
        )
    recipe = Recipe.load(files.recipe)
    _, parts = resolve(recipe, read_data(recipe.data))
    check_data(files, parts)  # else clips that taught or test the run could steer the weights
    if parts.val is None:
        raise InvalidSetting(
            f"The run {files.folder} held out no validation clips to learn weights on; give the weights, or "
            "train with data.val."
        )
    predictions = collect(
        load(files.model, compute=replace(recipe.compute.choose(), threads=None)),
        parts.val,
        views=Views.parse(recipe.test.views),
        batch_size=recipe.train.batch_size,
        workers=recipe.compute.workers,
        cache=frame_cache(recipe.data),
        extracts=extracts(recipe.data),
    )
    predictions.write(files.validation_predictions)
    return predictions


def _shown(weights: Sequence[float]) -> str:
    return ", ".join(f"{weight:.3f}" for weight in weights)
