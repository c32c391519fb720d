"""The recogniser that comes with the package: its classes, and its half on joints made again.

    python -m benchmarks.box pose

Both halves, on joints and on pixels, know the same classes and learn from generated people alone. What they
share stands here: the classes, and which of the generator's movements show each of them. The half on joints
is made in minutes: generated poses, training by `recipes/box_pose.yaml`, and the model file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from kinesphere.evaluate import Predictions
from kinesphere.evaluate.rejection import measured
from kinesphere.models.checkpoint import save_model
from kinesphere.models.create import load_model
from kinesphere.synthetic.poses import PoseClip, pose_clips, write_pose_clips
from kinesphere.synthetic.settings import MannequinSettings
from kinesphere.train import Recipe, train
from kinesphere.train.run_folder import RunFiles

ROOT = Path(__file__).resolve().parents[1]
POSE_MODEL = ROOT / "src" / "kinesphere" / "models" / "box" / "basic_pose.safetensors"
POSE_RECIPE = ROOT / "recipes" / "box_pose.yaml"

NOTHING_ELSE = "none of these"
MOVEMENTS: dict[str, tuple[str, ...]] = {
    "bend": ("bend",),
    "clap": ("clap", "clap widely"),
    "fall": ("fall", "fall forwards", "fall sideways", "fall off a chair"),
    "get up": ("get up", "get up from the front", "get up from the side"),
    "jump": ("jump",),
    "kick": ("kick", "kick a ball", "kick to the side"),
    "pick up": ("pick up", "pick up with one hand"),
    "punch": ("punch", "jab", "hit out"),
    "push": ("push", "push along"),
    "run": ("run", "run on the spot"),
    "sit down": ("sit down",),
    "stand up": ("stand up",),
    "throw": ("throw", "throw underarm", "throw with both hands", "throw from the shoulder"),
    "turn": ("turn",),
    "walk": ("walk", "walk backwards", "walk on the spot"),
    "wave": ("wave", "wave with both hands", "wave from the elbow", "wave widely"),
    NOTHING_ELSE: (
        "stand", "idle", "sit", "lie", "reach", "swing", "slow swing", "balance", "expand", "contract",
        "stamp", "put down", "put down with one hand", "press", "catch", "pull", "point", "drink",
        "scratch", "shake hands", "embrace", "draw in the air", "hammer", "swing a bat", "squat", "warm up",
    ),
}  # fmt: skip
"""The classes in their order, and the movements of the generator that show them."""
CLASSES: tuple[str, ...] = tuple(MOVEMENTS)
LABEL_OF: dict[str, str] = {each: label for label, names in MOVEMENTS.items() for each in names}
PERFORMANCES = 120
"""Of each class in the poses; those of a class are shared out among its movements."""
VIEWS = 3
"""Cameras that see a performance."""
_STRANGERS = 3  # as many performances of none of these as of so many classes


def generated_poses(performances: int, seed: int = 1) -> Iterator[PoseClip]:
    """The clips that the half on joints learns from, is chosen by and is scored on."""
    for label, names in MOVEMENTS.items():
        share = _STRANGERS if label == NOTHING_ELSE else 1
        settings = MannequinSettings(
            classes=names, clips_per_class=max(10, share * performances // len(names)),
            splits=(0.84, 0.08, 0.08), performers=100, view_deg=180, elevation_deg=(-5, 40), seed=seed,
        )  # fmt: skip
        yield from pose_clips(settings, views=VIEWS)


def make_pose(
    folder: Path, performances: int, changes: tuple[str, ...] = (), model: Path = POSE_MODEL
) -> Path:
    """Poses, training and the model file, as far as they are not there.

    Args:
        folder: Of the poses and the run.
        performances: See `PERFORMANCES`.
        changes: Settings that differ from the recipe's.
        model: The file to write.
    """
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        write_pose_clips(generated_poses(performances), folder, LABEL_OF)
    run = folder / "run"
    recipe = Recipe.load(POSE_RECIPE, (f"data.source={manifest}", f"out={run}", *changes))
    done = train(recipe, resume=RunFiles(run).holds_a_run)
    said = Predictions.read(done.files.predictions)
    on = "generated people of other performers"
    top1 = float((said.probabilities.argmax(1) == said.targets).mean())
    recogniser = load_model(run)
    provenance = replace(
        recogniser.provenance,
        origin="trained by recipes/box_pose.yaml (python -m benchmarks.box pose)",
        scores={"top1 on generated people": top1},
        clips=None,
        notes=(
            "Licence: Apache-2.0.",
            "Learnt from generated people alone (kinesphere.synthetic): no video, no motion capture.",
            "It sees the 17 joints of COCO of the person who moves most, spread over 32 instants of a clip.",
        ),
        rejection=measured(said.probabilities, said.targets, said.labels, label=NOTHING_ELSE, on=on),
    )
    return save_model(recogniser, model, provenance=provenance)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("half", choices=("pose",), help="the half to make; pixels: benchmarks.box_pixels")
    parser.add_argument("--folder", type=Path, default=Path("runs/box_pose"), help="of poses and run")
    parser.add_argument("--performances", type=int, default=PERFORMANCES, help="of each class")
    parser.add_argument("--out", type=Path, default=POSE_MODEL, help="model file to write")
    parser.add_argument("--changes", nargs="*", default=(), help="settings that differ from the recipe's")
    args = parser.parse_args()
    print(make_pose(args.folder, args.performances, tuple(args.changes), args.out))


if __name__ == "__main__":
    main()
