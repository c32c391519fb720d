"""How the models of the box are fused, and from which probability on an answer counts: on generated people.

    python -m benchmarks.box_fusion [--clips N] [--again] [--work FOLDER]

Videos of performers and scenes that neither model has met, with the joints that they show, displaced as an
estimator displaces them. On them the weights of the fusion are those that make the truth likeliest, of those
that leave each model a say: generated joints are easier than found ones. Each threshold is the largest that
keeps 95 % of the right answers. A model file that states a threshold keeps it,
unless `--again` is given; the fusion's is written to `fusion.json` beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.box import CLASSES, MOVEMENTS, NOTHING_ELSE
from benchmarks.record import Row, command_line, finish
from kinesphere.clips.modalities.pose.file import SUFFIX, read_poses, write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.sidecar import Extracts
from kinesphere.core.labels import LabelSet
from kinesphere.core.skipped import Skipped
from kinesphere.data import Manifest
from kinesphere.data.sources import Opening
from kinesphere.evaluate.paired import mean_share
from kinesphere.evaluate.rejection import measured
from kinesphere.models import load_model, save_model
from kinesphere.models.box import FOLDER
from kinesphere.models.rejection import Rejection
from kinesphere.predict import Predictor
from kinesphere.predict.fusion import FusionFile, likeliest_weights
from kinesphere.synthetic import MannequinSettings, generate

WORK = Path("runs/box_fusion")
CLIPS = 8
_SEED = 4711
_ERROR = 0.02
"""Standard deviation of a joint's place, as a fraction of the person's size."""
_FLOOR = 1e-6
LEAST = 0.25
"""Smallest weight of a model in the fusion."""
LABELS = LabelSet(CLASSES)
_FILMED = MannequinSettings(
    size=(96, 128), fps=10, duration_s=(2.1, 2.5), performers=60, scenes=60, splits=(0.0, 1.0, 0.0),
    view_deg=180, elevation_deg=(0, 35), shutter=0.25, shake=0.2, noise=4.0, crf=28, seed=_SEED,
)  # fmt: skip


@dataclass(frozen=True)
class Filmed:
    """A generated clip: its video, where its joints lie, which class it shows, and who performs."""

    video: Path
    extracts: Path
    label: str
    group: str


def film(folder: Path, clips: int) -> list[Filmed]:
    """Generate what is not there yet.

    Args:
        folder: Where.
        clips: Clips of each class; the rest class has at least one of each of its movements.
    """
    found = []
    for label in CLASSES:
        movements = MOVEMENTS[label]
        settings = replace(_FILMED, classes=movements, clips_per_class=max(1, round(clips / len(movements))))
        root = folder / label.replace(" ", "_")
        for sample in Manifest.read(generate(settings, root, workers=1)):
            video, joints = root / sample.path, root / "joints"
            place = Extracts(joints, root).place(video, SUFFIX)
            if not place.is_file():
                place.parent.mkdir(parents=True, exist_ok=True)
                exact = Extracts(root / "truth", root).need(video, SUFFIX)
                write_poses(displaced(read_poses(exact), np.random.default_rng(_SEED)), place, of=video)
            found.append(Filmed(video, joints, label, str(sample.group)))
    return found


def displaced(poses: Poses, generator: np.random.Generator) -> Poses:
    """Joints displaced as an estimator displaces them, without those in space."""
    size = np.linalg.norm(np.ptp(poses.keypoints, axis=2), axis=-1)[..., None, None]
    noise = generator.normal(0, _ERROR, poses.keypoints.shape) * size
    return Poses(
        poses.times, (poses.keypoints + noise).astype(np.float32), poses.scores, poses.tracks, poses.skeleton,
        poses.frame_size, fps=poses.fps, origin=poses.origin,
    )  # fmt: skip


def answers(path: Path, clips: Sequence[Filmed]) -> np.ndarray:
    """What a model of the box says of every clip, `(N, K)` over `CLASSES`."""
    recogniser = load_model(path)
    order = [recogniser.labels.index(name) for name in CLASSES]
    rows = []
    for folder in dict.fromkeys(clip.extracts for clip in clips):
        predictor = Predictor(recogniser, opening=Opening(Extracts(folder, folder.parent)))
        for each in predictor.predict_many([clip.video for clip in clips if clip.extracts == folder]):
            if isinstance(each, Skipped):
                raise SystemExit(f"{each.path} cannot be answered: {each.reason}")
            rows.append(each.probabilities[order])
    return np.stack(rows)


def with_a_say(weights: Sequence[float]) -> tuple[float, ...]:
    """Weights that sum to 1, none below the least, the others scaled; to two digits."""
    raised = np.maximum(np.asarray(weights), LEAST)
    free = raised > LEAST
    raised[free] *= (1 - LEAST * (~free).sum()) / raised[free].sum()
    return tuple(np.round(raised, 2).tolist())


def row(
    name: str, table: np.ndarray, truth: np.ndarray, groups: Sequence[str], rejection: Rejection
) -> dict[str, str | int | float]:
    """A line of the record: how often a model is right, and what its threshold does."""
    right = table.argmax(1) == truth
    known = truth != CLASSES.index(NOTHING_ELSE)
    rejected = rejection.rejects(table, LABELS)
    return {
        "model": name,
        "clips": len(truth),
        "top-1": str(mean_share(right.astype(float), groups)),
        "threshold": f"{rejection.threshold:.3f}",
        "right answers that stay": f"{1 - rejected[right & known].mean():.1%}",
        "wrong ones that are rejected": f"{rejected[~right & known].mean():.1%}"
        if (~right & known).any()
        else "–",
        "none of these rejected": f"{rejected[~known].mean():.1%}",
    }


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--clips", type=int, default=CLIPS, help=f"of each class (default: {CLIPS})")
    parser.add_argument("--again", action="store_true", help="measure thresholds that files state, too")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the generated videos")
    args = parser.parse_args()
    clips = film(args.work, args.clips)
    truth = np.array([CLASSES.index(clip.label) for clip in clips])
    groups = [f"{clip.label}/{clip.group}" for clip in clips]
    on = f"{len(clips)} generated clips of validation"
    files = sorted(FOLDER.glob("*.safetensors"), reverse=True)
    tables, rows = [], list[Row]()
    for path in files:
        table = answers(path, clips)
        recogniser = load_model(path)
        rejection = None if args.again else recogniser.rejection
        if rejection is None:
            rejection = measured(table, truth, LABELS, label=NOTHING_ELSE, on=on)
            save_model(recogniser, path, provenance=replace(recogniser.provenance, rejection=rejection))
        tables.append(table)
        rows.append(row(path.stem, table, truth, groups, rejection))
    if len(files) > 1:
        each = np.stack([table[np.arange(len(truth)), truth] for table in tables]).clip(_FLOOR)
        weights = with_a_say(likeliest_weights(each))
        fused = sum(weight * table for weight, table in zip(weights, tables, strict=True))
        rejection = measured(fused, truth, LABELS, label=NOTHING_ELSE, on=on)
        FusionFile(tuple(files), weights, rejection).write(FOLDER)
        named = " + ".join(f"{weight:g} × {path.stem}" for weight, path in zip(weights, files, strict=True))
        rows.append(row(named, fused, truth, groups, rejection))
    notes = [
        "Generated people alone, whom the models have not met; for real ones see docs/first_answer.md.",
        f"Weights are the likeliest of those that are {LEAST} or more.",
        f"Joints are the true ones, displaced by {_ERROR:.0%} of the person's size (standard deviation).",
    ]
    finish("box_fusion", "The box fused, and its thresholds", parser, args, rows, (), notes)


if __name__ == "__main__":
    main()
