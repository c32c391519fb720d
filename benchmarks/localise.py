"""Actions in continuous sequences: detectors beside a linear classifier of rows, smoothed, with thresholds.

    python -m benchmarks.localise [--epochs N] [--models NAMES...] [--folder FOLDER]

UTKinect's sequences of subjects 1 to 8, ten actions one after the other with pauses. Rows are what the half
of the box that sees joints makes of windows of 1 s every 0.2 s before its last layer; it learnt generated
people alone, and nothing of UTKinect. Four folds leave two subjects out each; detectors and the linear
classifier see the same rows of the six others, and all detections of the folds are scored together by
THUMOS14's rules. Intervals are over sequences. Width, levels, rate and epochs are one setting for all
detectors, which was set before any of these scores was seen; how the classifier's answers are smoothed and
become segments is chosen in each fold among the six subjects that it learns from. Needs
KINESPHERE_TEST_DATA; some minutes a detector on one core. Features and what was found stay in the folder, and
a run goes on from there.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from benchmarks.box import POSE_MODEL
from benchmarks.box_poses import DATA
from benchmarks.record import Row, command_line, finish, goal
from benchmarks.segments import boundary_errors, later, mean_of_groups, utkinect
from kinesphere.annotations.timed import Detection, TimedLabels
from kinesphere.core.archives import opened
from kinesphere.core.device import Compute
from kinesphere.core.errors import NobodySeen
from kinesphere.core.files import make_folder, write_text
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate.files.result import FileScores
from kinesphere.localise.baseline import fit_baseline
from kinesphere.localise.methods.registry import METHODS
from kinesphere.localise.recordings import Recording, truth_of
from kinesphere.localise.run import scored
from kinesphere.localise.settings import LocaliseRecipe
from kinesphere.predict.features import SUFFIX, FeatureExtractor, FeatureGrid, read_features

STRIDE_S, WINDOW_S = 0.2, 1.0
SUBJECTS, FOLDS = 8, 4
BASELINE = "window classifier"
Finds = Callable[[Recording], Sequence[Detection]]
Learn = Callable[[list[Recording], list[str]], Finds]


def seen(folder: Path, source: Path) -> tuple[list[Recording], list[str]]:
    """The sequences with their features, and the subject of each."""
    extractor = FeatureExtractor(
        str(POSE_MODEL), FeatureGrid(STRIDE_S, WINDOW_S), Compute("cpu", "fp32", True)
    )
    recordings, subjects = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NobodySeen)  # the sensor loses people
        for each in utkinect(folder, source):
            if int(each.group.removeprefix("subject")) <= SUBJECTS:
                target = folder / f"{each.name}{SUFFIX}"
                if not target.is_file():
                    extractor.extract(each.path, target)
                recordings.append(Recording(each.name, each.path, read_features(target), each.truth))
                subjects.append(each.group)
    return recordings, subjects


def recipe_of(name: str, epochs: int, width: int = 128) -> LocaliseRecipe:
    """The one setting of all detectors; those of proposals see 64 rows at a time."""
    arguments = {"length": 64} if name in ("bmn", "bsn") else {}
    return LocaliseRecipe.model_validate(
        {
            "data": {"videos": "sequences", "labels": "labels"},
            "model": {"name": name, "width": width, "levels": 5, "arguments": arguments},
            "train": {"epochs": epochs, "batch_size": 2},
        }
    )


def learnt(
    recipe: LocaliseRecipe | None, train: Sequence[Recording], groups: Sequence[str], folder: Path
) -> Finds:
    """A detector, or the baseline for no recipe, that learnt from recordings of some groups."""
    classes = tuple(sorted({each.label for own in train for each in own.labels}))
    if recipe is None:
        return fit_baseline(train, classes, groups).detect
    torch.manual_seed(recipe.train.seed)
    detector = METHODS.get(recipe.model.name).fresh(recipe, train, LabelSet(classes))
    with tempfile.TemporaryDirectory(dir=folder) as place:
        detector.fit(train, recipe, Path(place) / "state.ckpt")
    return lambda each: detector.detect(each.features, each.video)


def folds(recordings: Sequence[Recording], subjects: Sequence[str], learn: Learn) -> list[Detection]:
    """What is found in each recording by what learnt from other subjects."""
    names = sorted(set(subjects))
    found: list[Detection] = []
    for i in range(FOLDS):
        left_out = names[i::FOLDS]
        pairs = list(zip(recordings, subjects, strict=True))
        known = [(each, subject) for each, subject in pairs if subject not in left_out]
        finds = learn([each for each, _ in known], [subject for _, subject in known])
        found += [one for each, subject in pairs if subject in left_out for one in finds(each)]
    return found


def answers_of(folder: Path, name: str, epochs: int) -> Path:
    """Where it is kept what a detector found."""
    return folder / f"{name.replace(' ', '_')}_{epochs}.json"


def kept(path: Path, find: Callable[[], Sequence[Detection]]) -> tuple[list[Detection], float]:
    """What was found and its seconds of processor time, from a file where there is one."""
    if not path.is_file():
        started = time.process_time()
        found = [asdict(each) for each in find()]
        write_text(path, json.dumps({"seconds": time.process_time() - started, "found": found}))
    answers = json.loads(path.read_text())
    return [Detection(**each) for each in answers["found"]], float(answers["seconds"])


def kept_since(paths: Mapping[str, Path]) -> str:
    """On which days the answers of each detector were found."""
    days: dict[str, list[str]] = {}
    for name, path in paths.items():
        day = datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
        days.setdefault(day, []).append(name)
    told = ", ".join(f"{day} ({', '.join(days[day])})" for day in sorted(days))
    return f"Answers are kept from run to run; they were found on {told}"


def boundaries(found: Sequence[Detection], recordings: Sequence[Recording]) -> tuple[np.ndarray, list[str]]:
    """Errors of starts and ends `(N, 2)` s of detections of 0.3 or more, and their sequences."""
    sure = TimedLabels.of([each for each in found if each.score >= 0.3])
    return boundary_errors(sure, truth_of(recordings))


def shift(errors: np.ndarray, videos: Sequence[str]) -> tuple[float, float]:
    """How much later both ends are together, and half the interval of that, in seconds: what a wrong clock
    would be, where ends that are too early or too late by themselves are what is taken for the action."""
    return mean_of_groups(errors.mean(1), videos)


def row_of(name: str, scores: FileScores, errors: np.ndarray, videos: Sequence[str], seconds: float) -> Row:
    """For the table."""
    return {
        "by": name,
        **{f"mAP{at}": str(scores.scores[f"map{at}"]) for at in ("", "@0.3", "@0.5", "@0.7")},
        "start later by": later(*mean_of_groups(errors[:, 0], videos)),
        "end later by": later(*mean_of_groups(errors[:, 1], videos)),
        "both later by": later(*shift(errors, videos)),
        "seconds": f"{seconds:.0f}",
    }


def goals_of(
    maps: dict[str, float], biases_s: dict[str, tuple[float, float]], stride_s: float = STRIDE_S
) -> list[str]:
    """Ten points above the baseline, and boundaries within a quarter of the stride, each and together."""
    best = max((name for name in maps if name != BASELINE), key=lambda name: maps[name])
    more = 100 * (maps[best] - maps[BASELINE])
    lines = [goal(f"mAP of {best} less that of {BASELINE}", more, 10, " points")]
    both = sum(biases_s[best]) / 2
    for side, error_s in zip(("starts", "ends", "both together"), (*biases_s[best], both), strict=True):
        what = f"mean error of {side} by {best}, either way"
        lines.append(goal(what, 1000 * abs(error_s), 1000 * stride_s / 4, " ms", at_most=True))
    return lines


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--epochs", type=int, default=40, help="of each detector in each fold")
    parser.add_argument("--models", nargs="+", default=["temporalmaxer", "actionformer"], metavar="NAMES")
    parser.add_argument("--folder", type=Path, default=Path("runs/localise"), help="of features and answers")
    args = parser.parse_args()
    if DATA not in os.environ:
        parser.error(f"the footage is read from {DATA}; set it to the folder with skeletons/")
    rows: list[Row] = []
    maps: dict[str, float] = {}
    biases_s: dict[str, tuple[float, float]] = {}
    folder: Path = args.folder
    make_folder(folder)
    with opened(Path(os.environ[DATA]) / "skeletons" / "utkinect.tar.xz") as source:
        recordings, subjects = seen(folder, source)
    answers = {name: answers_of(folder, name, args.epochs) for name in (BASELINE, *args.models)}
    for name, path in answers.items():
        recipe = None if name == BASELINE else recipe_of(name, args.epochs)
        found, spent = kept(
            path,
            lambda recipe=recipe: folds(
                recordings, subjects, lambda train, groups: learnt(recipe, train, groups, folder)
            ),
        )
        scores = scored(found, recordings, truth_of(recordings))
        errors, videos = boundaries(found, recordings)
        rows.append(row_of(name, scores, errors, videos, spent))
        maps[name] = scores.scores["map"].value
        biases_s[name] = tuple(mean_of_groups(errors[:, i], videos)[0] for i in (0, 1))
    notes = [
        f"{len(recordings)} sequences; seconds are of processor time, all folds and their tests together",
        kept_since(answers),
        "mAP is the mean over tIoU 0.3 to 0.7; intervals are over sequences",
        "Boundaries are of detections of 0.3 or more that overlap a true action of their class by half",
    ]
    title = "Actions in UTKinect's continuous sequences, from joints"
    finish("localise", title, parser, args, rows, goals_of(maps, biases_s), notes)


if __name__ == "__main__":
    main()
