"""Actions in long recordings from raw video: detectors on pixels beside a linear classifier of windows.

    python -m benchmarks.localise_video [--epochs N] [--models NAMES...] [--folder FOLDER]

Generated people, twelve movements or more one after the other in each recording, with short pauses and exact
truth; those of the test are other people in other scenes. Rows are what the half of the box that sees pixels
makes of windows of 2 s every 0.25 s before its last layer; it learnt generated clips of other performers,
none of whom is in these recordings. Detectors and the linear classifier see the same rows. Their settings are
those of `benchmarks.localise` at half the width, set before any of these scores was seen; how the
classifier's answers become segments is chosen among the recordings to train on. Intervals are over
recordings. Some minutes on one core, most of them for the recordings; these, their features and what was
found stay in the folder, and a run goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.box_pixels import MODEL
from benchmarks.localise import (
    BASELINE,
    answers_of,
    boundaries,
    goals_of,
    kept,
    kept_since,
    learnt,
    recipe_of,
    row_of,
)
from benchmarks.record import Row, command_line, finish
from benchmarks.segments import mean_of_groups
from kinesphere.annotations.extract import Extracts
from kinesphere.annotations.extract import extract as extract_all
from kinesphere.annotations.timed import Detection
from kinesphere.annotations.timed_files import read_timed
from kinesphere.core.device import Compute
from kinesphere.localise.recordings import Recording, truth_of
from kinesphere.localise.run import scored
from kinesphere.localise.settings import LocaliseRecipe
from kinesphere.predict.features import SUFFIX, FeatureExtractor, FeatureGrid, read_features
from kinesphere.synthetic.recordings import generate_recordings
from kinesphere.synthetic.settings import MannequinSettings

STRIDE_S, WIDTH, COUNT, MOVEMENTS = 0.25, 64, 36, 12
MODELS = ("temporalmaxer", "actionformer", "ssn", "bmn", "bsn")
FILMED = MannequinSettings(
    classes=("clap", "jump", "kick", "pick up", "sit down", "turn", "walk", "wave"),
    performers=36, scenes=36, splits=(2 / 3, 0.0, 1 / 3), size=(96, 128), fps=10, view_deg=60,
    elevation_deg=(0, 20), truth=False, seed=31,
)  # fmt: skip


def recordings_of(folder: Path, filmed: MannequinSettings = FILMED, count: int = COUNT) -> list[Recording]:
    """The recordings with their features, as far as they are not there made now."""
    manifest = generate_recordings(filmed, folder / "recordings", count=count, movements=MOVEMENTS, workers=1)
    labels = read_timed(manifest)
    videos = sorted((manifest.parent / "videos").glob("*.mp4"))
    extractor = FeatureExtractor(str(MODEL), FeatureGrid(STRIDE_S), Compute("cpu", "fp32", True))
    place = Extracts(folder / "features")
    extract_all(videos, extractor, extracts=place, workers=1)
    found = []
    for path in videos:
        own = tuple(each for each in labels.labels if Path(each.video).stem == path.stem)
        features = read_features(place.find(path, SUFFIX) or path)
        found.append(Recording(own[0].video, path, features, own))
    return found


def divided(recordings: Sequence[Recording]) -> tuple[list[Recording], list[Recording]]:
    """Those to train on, and those to test on."""
    train = [each for each in recordings if each.path.name.startswith("train")]
    return train, [each for each in recordings if each not in train]


def told(
    recipe: LocaliseRecipe | None, train: Sequence[Recording], test: Sequence[Recording], folder: Path
) -> list[Detection]:
    """What is found in the recordings to test on."""
    finds = learnt(recipe, train, [each.video for each in train], folder)
    return [each for own in test for each in finds(own)]


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--epochs", type=int, default=40, help="of each detector")
    parser.add_argument("--models", nargs="+", default=list(MODELS), metavar="NAMES")
    parser.add_argument("--folder", type=Path, default=Path("runs/localise_video"), help="of the recordings")
    args = parser.parse_args()
    train, test = divided(recordings_of(args.folder))
    rows: list[Row] = []
    maps: dict[str, float] = {}
    biases_s: dict[str, tuple[float, float]] = {}
    answers = {name: answers_of(args.folder, name, args.epochs) for name in (BASELINE, *args.models)}
    for name, path in answers.items():
        recipe = None if name == BASELINE else recipe_of(name, args.epochs, WIDTH)
        found, spent = kept(
            path,
            lambda recipe=recipe: told(recipe, train, test, args.folder),
        )
        scores = scored(found, test, truth_of(test))
        errors, videos = boundaries(found, test)
        rows.append(row_of(name, scores, errors, videos, spent))
        print(rows[-1], flush=True)
        maps[name] = scores.scores["map"].value
        biases_s[name] = tuple(mean_of_groups(errors[:, i], videos)[0] for i in (0, 1))
    actions = sum(len(own.labels) for own in test)
    minutes = sum(own.features.duration_s for own in (*train, *test)) / 60
    notes = [
        f"{len(train)} recordings to train on, {len(test)} to test on with {actions} actions",
        f"{minutes:.0f} minutes in all; seconds are of processor time, training and test without features",
        kept_since(answers),
        "mAP is the mean over tIoU 0.3 to 0.7; intervals are over recordings",
        "Boundaries are of detections of 0.3 or more that overlap a true action of their class by half",
    ]
    title = "Actions in long recordings, from raw video"
    finish("localise_video", title, parser, args, rows, goals_of(maps, biases_s, STRIDE_S), notes)


if __name__ == "__main__":
    main()
