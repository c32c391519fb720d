"""Who does what where: a detector of people's actions in whole frames, beside a classifier of single people.

    python -m benchmarks.spatiotemporal [--recordings N] [--epochs N] [--folder FOLDER]

Generated recordings of two or three people about a place, whose boxes and movements are true. The detector
sees whole frames and looks at each person by RoIAlign; it starts from the half of the recogniser in the box
that sees pixels, and learns from the training recordings. Beside it stands that same recogniser as it comes,
asked about the clip that is cut out around each person (`kinesphere predict --people`), and random scores.
All answer for the same true boxes at every whole second of the test recordings; performers and places of
these are in no training recording. Scores are AVA's frame-mAP at IoU 0.5, intervals over recordings. With
--folder the recordings are kept there, and the run goes on with what is there already.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.record import Row, command_line, finish, goal
from kinesphere.annotations.formats.ava import AvaBoxes
from kinesphere.annotations.keyframe_files import tracks_of
from kinesphere.annotations.timed import Detection
from kinesphere.core.device import Compute
from kinesphere.evaluate.files.result import FileScores
from kinesphere.localise.people.evaluation import scored
from kinesphere.localise.people.keyframe_set import KeyframeSet, divided
from kinesphere.localise.people.run import PeopleRun, train_people
from kinesphere.localise.people.settings import PeopleRecipe
from kinesphere.models import load_model
from kinesphere.models.box import FOLDER as BOX
from kinesphere.predict.people import PeopleSettings, people_timelines
from kinesphere.predict.predictor import Predictor
from kinesphere.predict.sources import find_videos
from kinesphere.synthetic import Crowd, MannequinSettings, generate_people

CLASSES = ("bend", "clap", "jump", "kick", "punch", "run", "walk", "wave")
SIZE, FPS, SECONDS = (144, 192), 15, 20.0
INPUT = (96, 128)
START = BOX / "basic_rgb.safetensors"
OURS, SINGLE, CHANCE = "detector on whole frames", "the box, on each person's clip", "random scores"
MARGIN = 3.0
"""How many times the mAP of random scores the detector should have."""


def recordings(folder: Path, count: int) -> Path:
    """The set; what is there already stays."""
    settings = MannequinSettings(classes=CLASSES, size=SIZE, fps=FPS, performers=60, splits=(0.7, 0.0, 0.3))
    crowd = Crowd(people=(2, 3), things=0.0, together=0.0, duration_s=SECONDS)
    return generate_people(settings, folder, count=count, crowd=crowd, workers=1)


def recipe_of(folder: Path, epochs: int, out: Path) -> PeopleRecipe:
    """The one setting, chosen before any of these scores was seen."""
    return PeopleRecipe.model_validate(
        {
            "data": {
                "videos": str(folder / "videos"),
                "labels": str(folder / "manifest.csv"),
                "tracks": str(folder / "tracks"),
                "classes": CLASSES,
            },
            "model": {"pretrained": str(START), "last_stage": "dense"},
            "clip": {"size": INPUT},
            "optimizer": {"lr": 1e-3},
            "train": {"epochs": epochs, "batch_size": 8},
            "compute": {"device": "cpu", "precision": "fp32"},
            "out": str(out),
        }
    )


def of_single_people(test: KeyframeSet, tracks: Path) -> AvaBoxes:
    """What the recogniser says of the clip of each person, in windows of 2 s about the whole seconds."""
    predictor = Predictor(load_model(START), Compute("cpu", "fp32", True))
    boxes: list[Detection] = []
    for name in test.videos:
        asked = PeopleSettings(window_s=2.0, stride_s=1.0)
        people = people_timelines(predictor, test.paths[name], tracks_of(name, tracks, FPS), settings=asked)
        timelines = {each.person: each.timeline for each in people}
        for frame in (each for each in test.frames if each.video == name):
            for person in frame.people:
                timeline = timelines.get(person.person or 0)
                if timeline is None:
                    continue
                nearest = int(np.abs(timeline.spans.mean(1) - frame.time_s).argmin())
                row = timeline.probabilities[nearest]
                for label in CLASSES:
                    score = float(row[timeline.labels.index(label)])
                    number = str(test.numbers[label])
                    at = frame.time_s
                    boxes.append(Detection(name, number, at, at, score=score, box=person.box))
    return AvaBoxes(tuple(boxes), ())


def row_of(name: str, scores: FileScores, seconds: float) -> Row:
    """For the table."""
    classes = {label: f"{100 * (row['ap'] or 0):.0f}" for label, row in scores.per_class.items()}
    return {
        "by": name,
        "frame-mAP": str(scores.scores["map@0.5"]),
        **classes,
        "seconds": f"{seconds:.0f}" if seconds else "",
    }


def goals_of(ours: float, single: float, chance: float) -> list[str]:
    """Three times chance, and above the classifier of single people."""
    return [
        goal("mAP of the detector, times that of random scores", ours / max(chance, 1e-9), MARGIN),
        goal("mAP of the detector less that of the box on each person's clip", 100 * (ours - single), 0,
             " points"),
    ]  # fmt: skip


def notes_of(run: PeopleRun, train: KeyframeSet, test: KeyframeSet) -> list[str]:
    """What was seen."""
    counts = run.scores.counts
    people = [each for frame in test.frames for each in frame.people]
    idle = sum(not each.actions for each in people)
    seen = (
        f"{len(train.videos)} recordings to train on ({len(train)} keyframes), {len(test.videos)} to test on "
        f"({counts['frames']:g} keyframes, {len(people)} boxes, {counts['instances']:g} actions; in {idle} "
        "boxes somebody does none of them)"
    )
    return [
        seen,
        "Seconds are of processor time: of the detector its training and test, of the other its test alone",
        "The box knows these movements from other generated people, one at a time; it learnt nothing here",
        "Below the classes stands their average precision in per cent",
    ]


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--recordings", type=int, default=30, help="over training and test")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--folder", type=Path, help="where recordings and run are kept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        recordings(folder / "people", args.recordings)
        measured(folder, args.epochs, parser, args)


def measured(folder: Path, epochs: int, parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Train, score and record."""
    recipe = recipe_of(folder / "people", epochs, folder / "run")
    train, test, _ = divided(recipe.data, find_videos([str(folder / "people" / "videos")])[0], 0)
    started = time.process_time()
    resume = (folder / "run" / "recipe.yaml").is_file()
    run = train_people(recipe, resume=resume, console=Console())
    ours_s = time.process_time() - started
    started = time.process_time()
    single = scored(of_single_people(test, folder / "people" / "tracks"), test)
    single_s = time.process_time() - started
    rows: Sequence[Row] = [
        row_of(OURS, run.scores, ours_s), row_of(SINGLE, single, single_s), row_of(CHANCE, run.chance, 0.0)
    ]  # fmt: skip
    maps = [each.scores["map@0.5"].value for each in (run.scores, single, run.chance)]
    title = "Who does what where: people's actions in generated recordings of several people"
    finish("spatiotemporal", title, parser, args, rows, goals_of(*maps), notes_of(run, train, test))


if __name__ == "__main__":
    main()
