"""`train_people`: a recipe of keyframes in, a run folder with a detector and its scores out."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from kinesphere.annotations.keyframe_files import is_ava
from kinesphere.clips.source import duration_of, start_of
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, VideoError
from kinesphere.core.files import make_folder, write_text
from kinesphere.core.labels import LabelSet
from kinesphere.core.signals import advising, stoppable
from kinesphere.core.skipped import Skipped
from kinesphere.core.structured import dump_yaml, read_json
from kinesphere.evaluate.files.result import FileScores
from kinesphere.localise.people.detector import PeopleDetector, body_of
from kinesphere.localise.people.evaluation import evaluate_people
from kinesphere.localise.people.keyframe_set import KeyframeSet, divided, of_subset, read_set
from kinesphere.localise.people.settings import KeyframeSection, PeopleRecipe
from kinesphere.localise.people.training import check_augment, fit_people
from kinesphere.localise.run import ShowEpochs, check_begun
from kinesphere.localise.training import check_length
from kinesphere.predict.sources import find_videos
from kinesphere.train.run import how_to_go_on
from kinesphere.train.run_folder import RunFiles
from kinesphere.video import Video

log = logging.getLogger("kinesphere.localise")


@dataclass(frozen=True)
class PeopleRun:
    """A finished run.

    Attributes:
        folder: Where everything lies.
        recipe: What was followed.
        scores: Of the test keyframes.
        chance: Of random scores on their boxes.
        skipped: What took no part, and why.
    """

    folder: Path
    recipe: PeopleRecipe
    scores: FileScores
    chance: FileScores
    skipped: tuple[Skipped, ...]

    def line(self) -> str:
        """The score in one line."""
        counts = self.scores.counts
        return (
            f"frame-mAP at IoU 0.5: {self.scores.scores['map@0.5']} on {counts['instances']:g} actions in "
            f"{counts['frames']:g} keyframes of {counts['videos']:g} videos, boxes as annotated (random "
            f"scores: {self.chance.scores['map@0.5']})"
        )


def train_people(recipe: PeopleRecipe, *, resume: bool = False, console: Console | None = None) -> PeopleRun:
    """Train and score a detector of people's actions.

    Args:
        recipe: What to do.
        resume: Go on with the run in the folder `out`, from the last epoch that was finished.
        console: Where progress goes; None is standard error.

    Raises:
        InvalidSetting: If settings contradict each other or the data, or the folder holds a run and `resume`
            is not set.
        InvalidAnnotation: If keyframes cannot be read, or do not go with the videos.
        InUse: If another training is at work in the folder.
        TrainingDiverged: If the loss stops being a number.
    """
    console = console or Console(stderr=True)
    recipe = recipe.model_copy(update={"out": recipe.out or f"runs/localise-people-{recipe.model.name}"})
    check_length(recipe)
    files = RunFiles(Path(str(recipe.out)))
    with stoppable(), advising(lambda: how_to_go_on(files)), files.claimed():
        files.sweep()
        check_begun(files, recipe, {"out", "compute"}, resume=resume)
        train, test, skipped = divided(
            recipe.data, find_videos(list(recipe.data.videos))[0], recipe.train.seed
        )
        train, lost = shown(train)
        skipped += lost
        labels = LabelSet(train.classes, recipe.data.mirror, multi=True)
        check_augment(recipe.augment, labels)
        if not files.model.is_file():
            detector = _fresh(recipe, labels, train)
            write_text(files.recipe, dump_yaml(recipe.to_dict()))
            make_folder(files.state.parent)
            console.print(
                f"{detector.architecture} on {len(labels)} actions: {len(train.with_people())} keyframes of "
                f"{len(train.videos)} videos to train on, {len(test)} of {len(test.videos)} to test on; "
                f"{files.folder}"
            )
            fit_people(detector, train, recipe, files.state, ShowEpochs(console, files.metrics, every=1))
            detector.save(files.model)
        detector = PeopleDetector.load(files.model)
        found = evaluate_people(detector, test, recipe.compute.choose(), skipped=skipped, seen=train.videos)
        found.write(files.folder, found.to_json(detector) | {"trained_on": list(train.videos)})
        return PeopleRun(files.folder, recipe, found.scores, found.chance, found.skipped)


def _fresh(recipe: PeopleRecipe, labels: LabelSet, train: KeyframeSet) -> PeopleDetector:
    section = recipe.model
    torch.manual_seed(recipe.train.seed)
    body = body_of(section.name, section.pretrained)
    spec = recipe.clip.of(body.specs[0])
    started = section.pretrained or (section.name if "." in section.name else "nothing")
    return PeopleDetector.around(
        body, labels, train.numbers, section.form(), section.last_stage, spec, f"started from {started}"
    )


def shown(keyframes: KeyframeSet) -> tuple[KeyframeSet, list[Skipped]]:
    """The keyframes whose times their videos show, and the others.

    Raises:
        InvalidAnnotation: If there are none.
    """
    ends: dict[str, tuple[float, float]] = {}
    skipped: list[Skipped] = []
    for name in keyframes.videos:
        try:
            with Video.open(keyframes.paths[name]) as video:
                ends[name] = start_of(video), duration_of(video)
        except VideoError as error:
            skipped.append(Skipped(str(keyframes.paths[name]), str(error)))
    kept = [
        each
        for each in keyframes.frames
        if each.video in ends and min(ends[each.video][0], 0.0) <= each.time_s < ends[each.video][1]
    ]
    beyond: dict[str, list[float]] = defaultdict(list)
    for each in keyframes.frames:
        if each.video in ends and each not in kept:
            beyond[each.video].append(each.time_s)
    skipped += [_beyond(keyframes.paths[name], times, ends[name]) for name, times in beyond.items()]
    if not any(each.people for each in kept):
        raise InvalidAnnotation(
            f"No keyframe lies within its video; {skipped[0].reason if skipped else 'nobody is annotated'}"
        )
    return KeyframeSet(tuple(kept), keyframes.numbers, keyframes.paths), skipped


def _beyond(path: Path, times_s: Sequence[float], ends: tuple[float, float]) -> Skipped:
    return Skipped(
        str(path),
        f"{len(times_s)} keyframes, the first at {times_s[0]:g} s, lie outside of the video, which is shown "
        f"from {ends[0]:.2f} to {ends[1]:.2f} s",
    )


def keyframes_for(
    detector: PeopleDetector,
    run: Path,
    labels: Path,
    videos: Path | None = None,
    label_map: Path | None = None,
    tracks: Path | None = None,
    subset: str | None = None,
) -> tuple[KeyframeSet, list[Skipped]]:
    """The keyframes that a detector is scored on, read as those that it learnt from.

    Args:
        detector: Whose classes count.
        run: Its run folder or model file.
        labels: File of keyframes.
        videos: Folder of the videos; None is that of the labels.
        label_map: Names of the classes of AVA's form; None takes the detector's numbers.
        tracks: Folder of the tracks of a table; None takes that of the run's recipe.
        subset: Of the videos; None or `"all"` for all.

    Raises:
        InvalidAnnotation: If a file is wrong, or none of its videos is there.
        InvalidSetting: If there is no such subset.
    """
    folder = videos or (labels if labels.is_dir() else labels.parent)
    stated = RunFiles(run).recipe
    before = PeopleRecipe.load(stated).data if stated.is_file() else None
    table = tracks or (Path(before.tracks) if before is not None and before.tracks else None)
    section = KeyframeSection(
        videos=(str(folder),),
        labels=(str(labels),),
        label_map=None if label_map is None else str(label_map),
        tracks=None if table is None else str(table),
        classes=() if _is_of_numbers(labels) else detector.labels.names,
        every_s=1 if before is None else before.every_s,
    )
    names = {str(number): name for name, number in detector.numbers.items()}
    found, keyframes, skipped = read_set(section, section.labels, find_videos([str(folder)])[0], names)
    if subset not in (None, "all"):
        keyframes = of_subset(found, keyframes, str(subset))
    return keyframes, skipped


def _is_of_numbers(labels: Path) -> bool:
    """Whether a file has AVA's form, whose classes its label map names."""
    return labels.suffix.lower() == ".csv" and is_ava(labels)


def trained_on(run: Path) -> tuple[str, ...]:
    """Names of the videos that a run was trained on; none of a model file alone."""
    report = RunFiles(run).report
    document = read_json(report, InvalidSetting) if report.is_file() else {}
    return tuple(document.get("trained_on", ()))
