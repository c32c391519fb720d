"""`train_localiser`: a recipe of recordings in, a run folder with a detector and its scores out."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import torch
from rich.console import Console

from kinesphere.annotations.extract import Extracts
from kinesphere.annotations.extract import extract as extract_all
from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.timed import Detection, TimedLabels
from kinesphere.annotations.timed_files import read_timed_files
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.files import make_folder, write_text
from kinesphere.core.labels import LabelSet
from kinesphere.core.limits import brief
from kinesphere.core.signals import advising, stoppable
from kinesphere.core.skipped import Skipped
from kinesphere.core.structured import dump_yaml, read_json
from kinesphere.evaluate.files.detections import score_detections
from kinesphere.evaluate.files.result import FileScores
from kinesphere.localise.baseline import fit_baseline
from kinesphere.localise.evaluation import Evaluated, proposal_scores
from kinesphere.localise.methods.registry import METHODS, Detector, LearnsThrough, Method, load_detector
from kinesphere.localise.prediction import SEEN_BY, proposals_of
from kinesphere.localise.recordings import Divided, Recording, divide, truth_of
from kinesphere.localise.settings import BackboneSection, DetectorRecipe, LocaliseRecipe
from kinesphere.localise.sight import Sight
from kinesphere.localise.sources import find_recordings
from kinesphere.localise.training import NetworkTask, check_length
from kinesphere.models import load_model, save_model
from kinesphere.models.create import with_specs
from kinesphere.predict.features import SUFFIX, FeatureExtractor, FeatureGrid, read_features
from kinesphere.predict.sources import find_videos
from kinesphere.train.clip_sections import ClipSection
from kinesphere.train.inputs import clip_specs
from kinesphere.train.run import how_to_go_on
from kinesphere.train.run_folder import RunFiles

log = logging.getLogger("kinesphere.localise")
_TRAINED_ON = "trained_on.json"
_AT_FIRST = "at_first"
"""In the folder of a run whose recogniser learns: that recogniser as it was, and its features."""
TIOU = (0.3, 0.4, 0.5, 0.6, 0.7)


@dataclass(frozen=True)
class LocaliserRun:
    """A finished run.

    Attributes:
        folder: Where everything lies.
        recipe: What was followed.
        scores: Of the test videos.
        baseline: Of a linear classifier of the same features (`localise.baseline`), the same videos.
        skipped: Videos that took no part, and why.
    """

    folder: Path
    recipe: LocaliseRecipe
    scores: FileScores
    baseline: FileScores
    skipped: tuple[Skipped, ...]

    def line(self) -> str:
        """The score in one line."""
        own, other = self.scores.scores["map"], self.baseline.scores["map"]
        videos = self.scores.counts["videos"]
        return f"mAP at tIoU 0.3 to 0.7: {own} on {videos:g} videos (smoothed classifier of rows: {other})"


@dataclass(frozen=True)
class Seen:
    """Features of a run.

    Attributes:
        extractor: Makes them; None where they came from another program.
        folder: Where they lie; None is beside the videos.
    """

    extractor: FeatureExtractor | None
    folder: Path | None


def train_localiser(
    recipe: LocaliseRecipe, *, resume: bool = False, console: Console | None = None
) -> LocaliserRun:
    """Train and score a detector of actions.

    Args:
        recipe: What to do.
        resume: Go on with the run in the folder `out`, from the last epoch that was finished.
        console: Where progress goes; None is standard error.

    Raises:
        InvalidSetting: If settings contradict each other or the data, or the folder holds a run and `resume`
            is not set.
        InvalidAnnotation: If labels or features cannot be read, or do not go together.
        InUse: If another training is at work in the folder.
        TrainingDiverged: If the loss stops being a number.
    """
    console = console or Console(stderr=True)
    recipe = recipe.model_copy(update={"out": recipe.out or f"runs/localise-{recipe.model.name}"})
    check_length(recipe)
    files = RunFiles(Path(str(recipe.out)))
    with stoppable(), advising(lambda: how_to_go_on(files)), files.claimed():
        files.sweep()
        method = METHODS.get(recipe.model.name)
        _check_backbone(recipe, method)
        # A detector that is trained keeps how it decodes.
        free = {"out", "compute"} | (set() if files.model.is_file() else {"decode"})
        check_begun(files, recipe, free, resume=resume)
        write_text(files.recipe, dump_yaml(recipe.to_dict()))
        divided = divide(*_sources(recipe), recipe.data, recipe.train.seed)
        at_first, learnt = _seen(recipe, files)
        train, test, skipped = _recordings(recipe, divided, at_first, console)
        labels = _classes(recipe, train, test)
        _check_same(files, train)
        detector: Detector | None = None
        if not files.model.is_file():
            torch.manual_seed(recipe.train.seed)
            detector = method.fresh(recipe, train, labels)
            make_folder(files.state.parent)
            console.print(
                f"{recipe.model.name} on {len(detector.labels)} classes: {len(train)} videos to train on, "
                f"{len(test)} to test on; {files.folder}"
            )
            _fit(detector, train, recipe, at_first, files, ShowEpochs(console, files.metrics))
        if learnt is not None:
            train, test, skipped = _recordings(recipe, divided, learnt, console)
        if detector is not None:
            if isinstance(detector, LearnsThrough) and learnt is not None:
                detector.see_anew(train)
            detector.save(files.model)
        console.print(
            f"scoring {len(test)} videos, and the baseline beside it, whose rule {len(train)} videos choose"
        )
        return _score(recipe, load_detector(files.model), train, test, skipped, files)


def _fit(
    detector: Detector,
    train: Sequence[Recording],
    recipe: LocaliseRecipe,
    seen: Seen,
    files: RunFiles,
    progress: pl.Callback,
) -> None:
    """Train the detector; or it and the recogniser, which is then kept."""
    if not (recipe.backbone.train and isinstance(detector, LearnsThrough) and seen.extractor is not None):
        detector.fit(train, recipe, files.state, progress)
        return
    recogniser = detector.fit_through(train, seen.extractor, recipe, files.state, progress)
    save_model(recogniser, files.folder / SEEN_BY)


def check_begun(files: RunFiles, recipe: DetectorRecipe, free: Collection[str], *, resume: bool) -> None:
    """Refuse a folder whose run is not to be gone on with, or was begun with other settings.

    Args:
        files: Of the run.
        recipe: What is asked for.
        free: Sections that may differ.
        resume: Whether the run is to be gone on with.

    Raises:
        InvalidSetting: If so.
    """
    if files.report.is_file() and resume:
        log.info("%s is finished; its scores are computed again.", files.folder)
    if files.holds_a_run and not resume:
        raise InvalidSetting(
            f"{files.folder} already holds a run; go on with it by --resume, or choose another `out`."
        )
    if resume and files.recipe.is_file():
        then, now = type(recipe).load(files.recipe).to_dict(), recipe.to_dict()
        other = [key for key in then if key not in free and then[key] != now[key]]
        if other:
            raise InvalidSetting(
                f"The run in {files.folder} was begun with other settings of {', '.join(other)}; "
                "resume it with those, or choose another `out`."
            )


def _check_same(files: RunFiles, train: Sequence[Recording]) -> None:
    """Note what is trained on; where something is trained already, see that it is the same.

    Raises:
        InvalidSetting: If recordings, their labels or their features were others then.
    """
    path = files.folder / _TRAINED_ON
    now = {own.video: own.digest() for own in train}
    if not (files.holds_a_run and path.is_file()):
        write_text(path, json.dumps(now, indent=1, ensure_ascii=False))
        return
    then = read_json(path, InvalidSetting)
    then = then if isinstance(then, dict) else {}
    if changed := sorted(name for name in {*then, *now} if then.get(name) != now.get(name)):
        raise InvalidSetting(
            f"The run in {files.folder} was begun on other recordings, labels or features: {changed[0]} "
            f"({len(changed)} in all) was added, removed or changed. Resume it with those, or choose another "
            "`out`."
        )


def _sources(recipe: LocaliseRecipe) -> tuple[Sequence[Path], TimedLabels]:
    named, section = list(recipe.data.videos), recipe.features
    if section.model is not None and named:
        paths, _ = find_videos(named)
    elif section.model is None and (named or section.folder is not None):
        paths = find_recordings(named, [] if named else [Path(str(section.folder))])
    else:
        raise InvalidSetting(
            "data.videos names no video. Name them; or train on feature files alone, by features.folder "
            "without features.model."
        )
    labels = read_timed_files([Path(each) for each in recipe.data.labels], Recordings(common_folder(paths)))
    return paths, labels


def common_folder(paths: Sequence[Path]) -> Path | None:
    """The folder that all files lie in or below; None for none."""
    folders = {path.absolute().parent for path in paths}
    return Path(os.path.commonpath(folders)) if folders else None


def _seen(recipe: LocaliseRecipe, files: RunFiles) -> tuple[Seen, Seen | None]:
    """What makes the features at first, and what makes them once the recogniser has learnt; None where it
    does not learn."""
    section = recipe.features
    if section.model is None:
        return Seen(None, None if section.folder is None else Path(section.folder)), None
    own = _extractor(recipe, files.folder / SEEN_BY)
    if not recipe.backbone.train:
        _keep(recipe, files.folder / SEEN_BY)
        return Seen(own, Path(section.folder or files.features)), None
    first = files.folder / _AT_FIRST / SEEN_BY
    _keep(recipe, first)
    folder = Path(section.folder or first.parent / files.features.name)
    return Seen(_extractor(recipe, first), folder), Seen(own, files.features)


def _keep(recipe: LocaliseRecipe, path: Path) -> None:
    """Keep the recogniser that the recipe names, with the recipe's clips."""
    if not path.is_file():
        recogniser = load_model(str(recipe.features.model))
        specs = clip_specs(recogniser.card.name, recogniser.specs, recipe.clip)
        save_model(with_specs(recogniser, specs or recogniser.specs), path)


def _extractor(recipe: LocaliseRecipe, model: Path) -> FeatureExtractor:
    section = recipe.features
    grid = FeatureGrid(section.stride_s, section.window_s, section.mode)
    return FeatureExtractor(str(model), grid, recipe.compute.choose())


def _check_backbone(recipe: LocaliseRecipe, method: Method) -> None:
    """Refuse settings of a recogniser where none is named, and one that is to learn where it cannot.

    Raises:
        InvalidSetting: If so.
    """
    if recipe.features.model is None and recipe.clip != ClipSection():
        raise InvalidSetting("clip changes what the recogniser of features.model sees; name one.")
    if not recipe.backbone.train:
        if recipe.backbone != BackboneSection():
            raise InvalidSetting("backbone.freeze and backbone.lr mean something with backbone.train=true.")
        return
    if not method.learns_through:
        others = ", ".join(name for name in METHODS if METHODS.get(name).learns_through)
        raise InvalidSetting(
            f"{recipe.model.name} learns from features alone; detectors that learn through the recogniser "
            f"(backbone.train): {others}."
        )
    if recipe.features.model is None:
        raise InvalidSetting(
            "backbone.train needs the recogniser that is to learn; name it by features.model."
        )
    if recipe.features.mode != "windows":
        raise InvalidSetting(
            "backbone.train reads snippets as single windows; set features.mode=windows, or leave it out."
        )


def _recordings(
    recipe: LocaliseRecipe, divided: Divided, seen: Seen, console: Console
) -> tuple[list[Recording], list[Recording], tuple[Skipped, ...]]:
    """Features beside labels of both subsets; videos whose features cannot be had are told."""
    place = Extracts(seen.folder)
    names = (*divided.train, *divided.test)
    skipped = list(divided.skipped)
    failed: set[str] = set()
    if seen.extractor is not None:
        found = extract_all(
            [divided.paths[name] for name in names],
            seen.extractor,
            extracts=place,
            workers=1,
            progress=NowAndThen(console, "features of {} of {} videos"),
        )
        skipped += found.failures
        for note in found.notes:
            log.warning("%s: %s", note.path, note.reason)
        failed = {each.path for each in found.failures}  # a file that is there is of another model or grid
    parts: list[list[Recording]] = []
    for part in (divided.train, divided.test):
        parts.append([])
        for name in part:
            path = divided.paths[name]
            if str(path) in failed:
                continue
            own = place.find(path, SUFFIX)
            if own is None:
                if recipe.features.model is None:
                    where = "beside it" if place.folder is None else f"in {place.folder}"
                    skipped.append(Skipped(str(path), f"there is no file {path.name}{SUFFIX} {where}"))
                continue
            asked = recipe.data.classes
            labels = tuple(each for each in divided.of(name) if not asked or each.label in asked)
            parts[-1].append(Recording(name, path, read_features(own), labels, divided.group(name)))
    if not all(parts):
        raise InvalidAnnotation(
            f"Features of {len(parts[0])} videos to train on and {len(parts[1])} to test on are there; both "
            f"are needed. {skipped[0].reason if skipped else ''}"
        )
    return parts[0], parts[1], tuple(skipped)


class NowAndThen:
    """A line on how far it is, at the end, and every few seconds before.

    Args:
        console: Where it goes.
        text: With places for what is done and for all.
        every_s: Seconds between lines.
    """

    def __init__(self, console: Console, text: str, every_s: float = 10.0) -> None:
        self._console, self._text, self._every_s = console, text, every_s
        self._said_s = time.monotonic()

    def __call__(self, done: float, total: int) -> None:
        now_s = time.monotonic()
        if done == total or now_s - self._said_s >= self._every_s:
            self._said_s = now_s
            self._console.print(self._text.format(done, total))


def _classes(recipe: LocaliseRecipe, train: Sequence[Recording], test: Sequence[Recording]) -> LabelSet:
    """The classes of the training videos; all videos have features of one kind.

    Raises:
        InvalidAnnotation: If nothing is annotated on one side.
        InvalidSetting: If features differ.
    """
    learnt, tested = ({each.label for own in part for each in own.labels} for part in (train, test))
    named = recipe.data.classes or tuple(sorted(learnt))
    if not named:
        raise InvalidAnnotation("The videos to train on have no labels; check data.labels and data.tier.")
    if not tested:
        raise InvalidAnnotation("The videos to test on have no labels; check data.test and data.labels.")
    if alone := sorted(tested - {*named}):
        log.warning(
            "%d classes occur in test videos alone, where they count as missed: %s.", len(alone), brief(alone)
        )
    if absent := sorted({*named} - learnt):
        log.warning("No video to train on shows %s.", brief(absent))
    _check_times((*train, *test))
    sight = Sight.of(train[0].features)
    for each in (*train[1:], *test):
        sight.check(each.features, each.video)
    if others := [own.video for own in (*train, *test) if not sight.has_stride(own.features)]:
        log.warning(
            "%d videos have rows at another distance than %g s, as of one grid in frames at other frame "
            "rates; their rows are taken as they are: %s.", len(others), sight.stride_s, brief(others),
        )  # fmt: skip
    return LabelSet(named)


def _check_times(recordings: Sequence[Recording]) -> None:
    """Tell of labels that begin behind the end of their video.

    Raises:
        InvalidAnnotation: If most do, as where labels are in frames.
    """
    every = [(each, own) for own in recordings for each in own.labels]
    beyond = [(each, own) for each, own in every if each.start_s >= own.features.duration_s]
    if not beyond:
        return
    label, own = beyond[0]
    told = (
        f"{len(beyond)} of {len(every)} labels begin behind the end of their video, the first at "
        f"{label.start_s:g} s of {own.video}, which ends at {own.features.duration_s:g} s"
    )
    if 2 * len(beyond) > len(every):
        raise InvalidAnnotation(f"{told}. Labels are in seconds; are these in frames, or of other videos?")
    log.warning("%s; nothing is learnt from them, and tests count them as missed.", told)


def _score(
    recipe: LocaliseRecipe,
    detector: Detector,
    train: Sequence[Recording],
    test: Sequence[Recording],
    skipped: tuple[Skipped, ...],
    files: RunFiles,
) -> LocaliserRun:
    found = [each for own in test for each in detector.detect(own.features, own.video)]
    baseline = fit_baseline(train, detector.labels.names, [own.group or own.video for own in train])
    plain = [each for own in test for each in baseline.detect(own)]
    truth = truth_of(test)
    scores, others = (scored(each, test, truth) for each in (found, plain))
    paths = {own.video: own.path for own in test}
    proposed = [each for own in test for each in proposals_of(detector, own.features, own.video) or ()]
    evaluated = Evaluated(
        scores, TimedLabels(tuple(found), tuple(paths)), truth, paths, skipped,
        proposals=proposal_scores(proposed, truth),
    )  # fmt: skip
    document = evaluated.to_json(detector) | {
        "baseline": {**others.to_json(), "rule": vars(baseline.rule)},
        "trained_on": [own.video for own in train],
    }
    evaluated.write(files.folder, document)
    return LocaliserRun(files.folder, recipe, scores, others, skipped)


def scored(found: Sequence[Detection], recordings: Sequence[Recording], truth: TimedLabels) -> FileScores:
    """mAP of detections by THUMOS14's rules at tIoU 0.3 to 0.7."""
    videos = tuple(own.video for own in recordings)
    return score_detections(TimedLabels(tuple(found), videos), truth, "thumos14", thresholds=TIOU)


class ShowEpochs(pl.Callback):
    """A line after every so many epochs, and the table of all of them."""

    def __init__(self, console: Console, table: Path, every: int = 10) -> None:
        self._console, self._table, self._every = console, table, every

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if isinstance(pl_module, NetworkTask) and pl_module.curve:
            lines = [",".join(pl_module.curve[0])]
            lines += [",".join(f"{value:.9g}" for value in row.values()) for row in pl_module.curve]
            write_text(self._table, "\n".join(lines) + "\n")
        epoch, total = trainer.current_epoch + 1, trainer.max_epochs
        if epoch % self._every == 0 or epoch == total:
            loss = float(trainer.callback_metrics["loss"])
            self._console.print(f"epoch {epoch}/{total}  loss {loss:.3f}")
