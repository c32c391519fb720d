"""Does the person decide, or the background? One model on the same clips, changed in twelve ways.

The verdict follows from three numbers, over the clips of people before the background of another class if
not said otherwise; the first rule that holds counts:

- the background decides, if more of these are taken for the background's class than for the people's;
- neither is shown to decide, if no more unchanged clips are right than one in as many as there are classes;
- the people decide, if at least four fifths of the accuracy on unchanged clips are left, and the share that
  is taken for the background's class may be chance (its interval ends below a tenth, or begins below one in
  as many classes as there are);
- both count, else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.clips.modality import MODALITIES, sees_frames
from kinesphere.clips.sidecar import Extracts
from kinesphere.core.errors import InvalidSetting, VideoError
from kinesphere.core.files import make_folder, write_text
from kinesphere.core.settings_file import claim_settings
from kinesphere.core.skipped import Skipped
from kinesphere.data import Manifest
from kinesphere.data.background import Backdrop, lacking_masks
from kinesphere.evaluate.evaluator import collect
from kinesphere.evaluate.metrics import Score, recall_interval
from kinesphere.evaluate.predictions import Predictions, align
from kinesphere.explain.explaining import Question, check_question
from kinesphere.predict import VideoPredictor
from kinesphere.studies.answers import digest_of_files, kept_table
from kinesphere.studies.comparison import Answered, Comparison, compare
from kinesphere.studies.conditions import CONDITIONS, Condition, perturbation
from kinesphere.studies.people import OnPeopleShare, share_on_people
from kinesphere.video import Video

_COLOURED = 64
"""Videos that the mean colour is taken from."""
_LEFT = 0.8
_FEW = 0.1
Progress = Callable[[str, int, int], None]
"""Called with a condition's name, and how many of its clips are done of how many."""


@dataclass(frozen=True)
class Cell:
    """What one model says under one condition.

    Attributes:
        condition: What was changed.
        accuracy: Share of clips taken for the people's class.
        as_background: Of swapped clips the share taken for the background's class.
        by_class: Accuracy of each class that occurs.
        same: Whether the condition changes nothing that the model sees, so that its answers are those to
            unchanged clips.
    """

    condition: Condition
    accuracy: Score
    as_background: Score | None
    by_class: Mapping[str, Score]
    same: bool = False


@dataclass(frozen=True)
class ModelStudy:
    """One row of the table.

    Attributes:
        model: Name of the model.
        cells: One for each condition.
        contrasted: Share of clips that are right when swapped people move, and wrong when they stand still.
        verdict: In words.
        on_people: Share of the attribution that is on people, where it was asked for and has a meaning.
    """

    model: str
    cells: tuple[Cell, ...]
    contrasted: Score
    verdict: str
    on_people: OnPeopleShare | None = None

    def of(self, name: str) -> Cell:
        """The cell of a condition."""
        return next(cell for cell in self.cells if cell.condition.name == name)


@dataclass(frozen=True)
class BackgroundStudy:
    """All models on the same clips.

    Attributes:
        models: One row each.
        comparisons: Each further model held against the first one.
        clips: Number of clips that all answered under all conditions.
        classes: Number of classes that the models know.
        pairs: For each clip that was swapped its id, its label, and the clip and label of its background.
        skipped: Clips that could not take part, with the reason.
        colour: The data set's mean colour, RGB.
        comparisons: Each further model held against the first one.
    """

    models: tuple[ModelStudy, ...]
    clips: int
    classes: int
    pairs: tuple[tuple[str, str, str, str], ...]
    skipped: tuple[Skipped, ...]
    colour: tuple[int, int, int]
    comparisons: tuple[Comparison, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""

        def plain(score: Score | None) -> dict[str, Any] | None:
            return None if score is None else score.to_json()

        cells = [
            {
                "model": model.model, "condition": cell.condition.name, "says": cell.condition.says,
                "accuracy": plain(cell.accuracy), "as_background": plain(cell.as_background),
                "same": cell.same,
                "by_class": {name: plain(score) for name, score in cell.by_class.items()},
            }
            for model in self.models
            for cell in model.cells
        ]  # fmt: skip
        verdicts = [
            {
                "model": each.model,
                "contrasted": plain(each.contrasted),
                "verdict": each.verdict,
                "on_people": None if each.on_people is None else each.on_people.to_json(),
            }
            for each in self.models
        ]
        return {
            "cells": cells, "models": verdicts, "clips": self.clips, "classes": self.classes,
            "comparisons": [each.to_json() for each in self.comparisons],
            "pairs": [list(pair) for pair in self.pairs], "colour": list(self.colour),
            "skipped": [{"path": each.path, "reason": each.reason} for each in self.skipped],
        }  # fmt: skip


def study_background(
    models: Sequence[VideoPredictor],
    manifest: Manifest,
    out: Path,
    *,
    extracts: Extracts | None = None,
    attribution: Question | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> BackgroundStudy:
    """Ask models what they see of clips of which the people, the background or the order of time are changed.

    The answers under each condition are kept in `out` as they are finished; the same call goes on where it
    stopped.

    Args:
        models: Of the same labels; the first one is what the others are compared with.
        manifest: Clips of one label each, with masks (`kinesphere extract mask`). Clips without are listed.
        out: Folder of the answers.
        extracts: Where sidecar files lie; None for where the first model's opening looks.
        attribution: How answers to unchanged clips are explained, to see how much rests on people: an
            explanation a clip. None leaves that out.
        seed: Of the pairs of people and backgrounds.
        progress: Told how far it is.

    Raises:
        InvalidSetting: If clips have several labels, models know different labels, no clip has a mask, or
            all clips are of one class, or a model cannot be explained so.
        TooManyFailures: If no clip could be read under a condition.
    """
    _check(models, manifest, attribution)
    labels = models[0].labels
    place = models[0].opening.extracts if extracts is None else extracts
    without = lacking_masks(manifest, place)
    masked = _others(manifest, without)
    asking = _Asking(masked, tuple(_lenders(masked, seed)), _mean_colour(masked), place, progress)
    _claim(out, masked, models, place, seed)
    tables = [asking.answers(model, out / f"{number:02d}") for number, model in enumerate(models)]
    together, missing = align([table for answers in tables for table in answers.values()])
    aligned, pairs = iter(together), asking.pairs(together[0].ids)
    backgrounds = np.array([labels.index(label) for _, _, _, label in pairs])
    answered = [_answered({name: next(aligned) for name in answers}, backgrounds) for answers in tables]
    shares = [
        asking.on_people(model, attribution, out / f"{number:02d}") for number, model in enumerate(models)
    ]
    rows = [
        replace(_row(model, own), on_people=share)
        for model, own, share in zip(models, answered, shares, strict=True)
    ]
    comparisons = [
        compare((models[0].name, models[i].name), answered[0], answered[i], (shares[0], shares[i]))
        for i in range(1, len(models))
    ]
    study = BackgroundStudy(
        tuple(rows), len(pairs), len(labels), pairs, (*without, *missing), asking.colour, tuple(comparisons)
    )
    write_text(out / "study.json", json.dumps(study.to_json(), indent=2, ensure_ascii=False) + "\n")
    return study


def _check(models: Sequence[VideoPredictor], manifest: Manifest, attribution: Question | None) -> None:
    labels = models[0].labels
    if labels.multi or manifest.labels.multi:
        raise InvalidSetting("Backgrounds are swapped between classes; clips of several labels have none.")
    if any(model.labels.names != labels.names for model in models):
        raise InvalidSetting("The models of a study know the same labels, in the same order.")
    if attribution is not None:
        for model in filter(_is_asked, models):
            check_question(model, attribution)


@dataclass(frozen=True)
class _Asking:
    """The clips of a study with what is done to them, the same for all models."""

    manifest: Manifest
    lenders: tuple[int, ...]
    colour: tuple[int, int, int]
    extracts: Extracts
    progress: Progress | None

    def answers(self, model: VideoPredictor, folder: Path) -> dict[str, Predictions]:
        """The answers of a model under each condition, from their files as far as these are there."""
        make_folder(folder)
        found: dict[str, Predictions] = {}
        for condition in CONDITIONS:
            if condition.name != "as_it_is" and not condition.reaches(model.specs):
                found[condition.name] = found["as_it_is"]
                continue
            file = folder / f"{condition.name}.parquet"
            found[condition.name] = kept_table(file, self.manifest, partial(self._ask, model, condition))
        return found

    def _ask(self, model: VideoPredictor, condition: Condition) -> Predictions:
        backdrop = condition.backdrop(self.colour, [self.manifest[i] for i in self.lenders])
        tell = self.progress
        return collect(
            model,
            self.manifest,
            extracts=self.extracts,
            background=backdrop if sees_frames(model.specs) else "keep",
            perturb=perturbation(condition.order, model.specs),
            progress=None if tell is None else lambda done, total: tell(condition.name, done, total),
        )

    def on_people(
        self, model: VideoPredictor, question: Question | None, folder: Path
    ) -> OnPeopleShare | None:
        """How much of a model's answers rests on people; None where it was not asked or sees no pixels."""
        if question is None or not _is_asked(model):
            return None
        tell = self.progress
        return share_on_people(
            model,
            self.manifest,
            question,
            folder / f"attribution_{question.method or 'own'}.json",
            self.extracts,
            None if tell is None else lambda done, total: tell("attribution", done, total),
        )

    def pairs(self, ids: Sequence[str]) -> tuple[tuple[str, str, str, str], ...]:
        """For each clip its id and label, and those of the clip whose background it got."""
        place = {sample.id: i for i, sample in enumerate(self.manifest)}
        found = []
        for name in ids:
            own, lender = self.manifest[place[name]], self.manifest[self.lenders[place[name]]]
            found.append((own.id, own.labels[0], lender.id, lender.labels[0]))
        return tuple(found)


def _others(manifest: Manifest, lacking: Sequence[Skipped]) -> Manifest:
    """The clips that have masks."""
    without = {each.index for each in lacking}
    if len(without) == len(manifest):
        raise InvalidSetting(
            f"None of the {len(manifest)} clips has masks; run `kinesphere extract mask` on them first."
        )
    return manifest.select([i for i in range(len(manifest)) if i not in without])


def _lenders(manifest: Manifest, seed: int) -> list[int]:
    """For each clip the number of one of another class, and of a video without its own, that lends."""
    generator = np.random.default_rng(seed)
    labels = np.array([sample.labels[0] for sample in manifest])
    paths = np.array([str(sample.path) for sample in manifest])
    found = []
    for label in labels:
        # A video that shows the clip's own class, too, has that class's background.
        others = np.flatnonzero((labels != label) & ~np.isin(paths, paths[labels == label]))
        if not len(others):
            raise InvalidSetting(
                f"All videos show the class {str(label)!r}; there is no background of another one."
            )
        found.append(int(generator.choice(others)))
    return found


def _mean_colour(manifest: Manifest) -> tuple[int, int, int]:
    """The mean RGB of the middle frames of some videos, spread over the data; grey where none can be read."""
    paths = list(dict.fromkeys(sample.path for sample in manifest))
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), _COLOURED)).round().astype(int))
    means = []
    for i in chosen.tolist():
        try:
            with Video.open(paths[i]) as video:
                times = video.frame_times()
                frame = video.frames_at(times[len(times) // 2 : len(times) // 2 + 1], size=(32, 32)).data[0]
                means.append(np.asarray(frame).reshape(3, -1).mean(1))
        except VideoError:
            continue  # whoever reads its clips says why
    if not means:
        return Backdrop().fill
    red, green, blue = np.mean(means, 0).round().astype(int).tolist()
    return red, green, blue


def _claim(
    out: Path, manifest: Manifest, models: Sequence[VideoPredictor], extracts: Extracts, seed: int
) -> None:
    """Keep what the answers of a folder depend on, or hold it against what is kept there."""
    settings = {
        "data": manifest.fingerprint(),
        "files": digest_of_files(models, manifest, extracts, ["mask"]),
        "models": [model.digest() for model in models],
        "conditions": [condition.name for condition in CONDITIONS],
        "seed": seed,
    }
    claim_settings(out / "settings.json", settings, output=out)


# ---------------------------------------------------------------------------------------------- numbers


def _answered(answers: Mapping[str, Predictions], backgrounds: np.ndarray) -> Answered:
    """What one model said; `backgrounds (N,)` are the classes of swapped backgrounds."""
    said = {name: table.probabilities.argmax(1) for name, table in answers.items()}
    return Answered(said, answers["as_it_is"].targets, backgrounds, answers["as_it_is"].groups)


def _is_asked(model: VideoPredictor) -> bool:
    """Whether heat of a model can lie on people or beside them: a model of joints has it nowhere else."""
    return any(MODALITIES.get(spec.modality).is_picture for spec in model.specs)


def _row(model: VideoPredictor, answered: Answered) -> ModelStudy:
    """The numbers of one model."""
    targets, groups = answered.targets, answered.groups
    cells = []
    for condition in CONDITIONS:
        right = answered.right(condition.name)
        taken = None
        if condition.is_swapped:
            taken = share(answered.as_background(condition.name), groups)
        by_class = {
            model.labels.names[k]: share(
                right[targets == k], [groups[i] for i in np.flatnonzero(targets == k).tolist()]
            )
            for k in np.unique(targets).tolist()
        }
        same = condition.name != "as_it_is" and not condition.reaches(model.specs)
        cells.append(Cell(condition, share(right, groups), taken, by_class, same))
    contrasted = share(answered.contrasted, groups)
    return ModelStudy(model.name, tuple(cells), contrasted, verdict(tuple(cells), len(model.labels)))


def share(flags: np.ndarray, groups: Sequence[str | None]) -> Score:
    """The share of clips for which something holds, with its interval."""
    return Score(float(flags.mean()), *recall_interval(np.ones(len(flags), bool), flags, groups))


def verdict(cells: Sequence[Cell], classes: int) -> str:
    """What decides, by the rule of this module, with the numbers that it follows from."""
    by_name = {cell.condition.name: cell for cell in cells}
    whole, swapped = by_name["as_it_is"].accuracy, by_name["swapped"].accuracy
    taken = by_name["swapped"].as_background
    assert taken is not None
    low = taken.value if taken.low is None else taken.low
    high = taken.value if taken.high is None else taken.high
    few = high < _FEW or low < 1 / classes
    if taken.value > swapped.value:
        decides = "The background decides"
    elif whole.value <= 1 / classes:
        decides = "Neither is shown to decide"
    elif swapped.value >= _LEFT * whole.value and few:
        decides = "The people decide"
    else:
        decides = "Both count"
    return (
        f"{decides}: of people before another class's background {100 * swapped.value:.0f} % are taken for "
        f"their own class and {100 * taken.value:.0f} % for the background's (unchanged clips: "
        f"{100 * whole.value:.0f} % right)."
    )
