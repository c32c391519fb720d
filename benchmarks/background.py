"""Whether the study of backgrounds finds how far models lean on them: sets whose backgrounds tell the label.

    python -m benchmarks.background [--folder runs/background]

Six movements are generated three times; in training each is shown in its own kind of scene with probability
0, 0.5 or 0.95, else in any. On each set a compact RGB network and a network of true poses learn; on the last
also cured twins of the RGB network. The study asks all of them about one further set of other performers in
other scenes, in which each movement has its own kind of scene: only so has a swapped background a class.
Settings of training were chosen before anything was measured. What is finished in the folder is kept: the
same command goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.record import Row, command_line, finish, goal
from kinesphere.clips.sidecar import Extracts
from kinesphere.core.device import Compute
from kinesphere.data import Manifest
from kinesphere.explain.explaining import Question
from kinesphere.predict import load
from kinesphere.studies.background import BackgroundStudy, ModelStudy, study_background
from kinesphere.synthetic import MannequinSettings, generate
from kinesphere.train import Recipe, train
from kinesphere.train.run_folder import RunFiles

CORRELATIONS = (0.0, 0.5, 0.95)
MOVEMENTS = ("fall", "jump", "kick", "sit down", "walk", "wave")
CLIPS, TRAINED, TESTED = 36, 2 / 3, 30
"""Clips of a movement in each set, the part of them that is learnt from, and clips of it in the test."""
EPOCHS = {"kine_small": 30, "dd_net": 40}


@dataclass(frozen=True)
class Learner:
    """A network and how it learns.

    Attributes:
        name: In tables.
        model: Registered name.
        settings: Of the recipe, beside those that all share.
        is_cure: Whether it is a twin of the RGB network, for the set whose backgrounds tell most.
    """

    name: str
    model: str
    settings: tuple[str, ...]
    is_cure: bool = False


_PIXELS = ("clip.sampling=uniform8", "clip.size=56", "augment.crop_scale=[0.7, 1.0]", "optimizer.lr=0.003")
_POSES = (
    "clip.sampling=uniform16", "augment.preset=none", "augment.flip=0.5", "augment.joint_scale=0.15",
    "optimizer.lr=0.004",
)  # fmt: skip
_REPLACED = ("augment.background=[replace]", "augment.background_share=1.0")
LEARNERS = (
    Learner("RGB", "kine_small", _PIXELS),
    Learner("poses", "dd_net", _POSES),
    Learner("RGB, backgrounds replaced", "kine_small", (*_PIXELS, *_REPLACED), is_cure=True),
    Learner("RGB, still frames", "kine_small", (*_PIXELS, "augment.still_mix=0.5"), is_cure=True),
    Learner(
        "RGB, replaced, labels by area", "kine_small",
        (*_PIXELS, *_REPLACED, "augment.background_label=area"), is_cure=True,
    ),
)  # fmt: skip
CURED = 2
"""Place of the cure that the goals are about, chosen before anything was measured."""


def learners_of(correlation: float) -> tuple[Learner, ...]:
    """The networks that learn from a set."""
    return tuple(each for each in LEARNERS if correlation == max(CORRELATIONS) or not each.is_cure)


def settings_of(correlation: float) -> MannequinSettings:
    """The set whose training backgrounds tell the label so often; its own test is for the runs' reports."""
    shown = MannequinSettings(
        classes=MOVEMENTS, clips_per_class=CLIPS, splits=(TRAINED, 0.0, 1 - TRAINED), size=(64, 84), fps=8,
        performers=60, scenes=120,
    )  # fmt: skip
    return replace(shown, background_correlation=correlation)


def held_out() -> MannequinSettings:
    """What the study is made of: other performers in other scenes, each movement in its own kind of scene.

    Only so has a background that people are put before a class.
    """
    return replace(
        settings_of(0.0),
        clips_per_class=TESTED,
        splits=(0.0, 0.0, 1.0),
        seed=1,
        test_background_correlation=1.0,
    )


def recipe_of(learner: Learner, data: Path, out: Path) -> Recipe:
    """How a network learns from a set."""
    settings: dict[str, Any] = {
        "data": {
            "source": str(data),
            "val": 0,
            "extracts": str(data.parent / "truth"),
            "cache": str(data.parent / "cache"),
        },
        "model": {"name": learner.model},
        "train": {"epochs": EPOCHS[learner.model], "batch_size": 8, "seed": 0},
        "schedule": {"warmup_epochs": 1},
        "compute": {"workers": 0, "device": "cpu", "precision": "fp32"},
        "log": {"tensorboard": False},
        "out": str(out),
    }
    return Recipe.build(settings).override(*learner.settings)


def study_of(correlation: float, folder: Path) -> BackgroundStudy:
    """Generate, train and ask, as far as that is not done."""
    root = folder / f"{round(100 * correlation):02d}"
    data = generate(settings_of(correlation), root / "videos")
    models = []
    for learner in learners_of(correlation):
        out = root / learner.name.replace(", ", "_").replace(" ", "_").lower()
        train(recipe_of(learner, data, out), resume=RunFiles(out).holds_a_run)
        models.append(load(str(out), compute=Compute("cpu", "fp32", True)))
    test = generate(held_out(), folder / "held_out")
    place = Extracts(test.parent / "truth", test.parent)
    answers = root / "study"
    return study_background(models, Manifest.read(test), answers, extracts=place, attribution=Question())


def rows_of(studies: Mapping[float, BackgroundStudy]) -> list[Row]:
    """One row for each model of each study."""
    return [
        {
            "background tells the label": f"{correlation:g}",
            "model": learner.name,
            "unchanged": str(model.of("as_it_is").accuracy),
            "before another background": str(model.of("swapped").accuracy),
            "taken for the background's class": str(model.of("swapped").as_background),
            "background alone": str(model.of("no_people").accuracy),
            "right moving, wrong still": str(model.contrasted),
            "heat on people / their area": _heat(model),
            "verdict": model.verdict.partition(":")[0],
        }
        for correlation, study in studies.items()
        for learner, model in zip(learners_of(correlation), study.models, strict=True)
    ]


def _heat(model: ModelStudy) -> str:
    found = model.on_people
    return "" if found is None else f"{found.energy} / {100 * found.area.value:.1f} %"


def goals_of(studies: Mapping[float, BackgroundStudy]) -> list[str]:
    """What was to be shown, and whether it is."""
    pixels = [_taken(study.models[0]) for study in studies.values()]
    rising = all(low < high for low, high in pairwise(pixels))
    last = studies[max(studies)].models
    rgb, poses, cured = map(_taken, (last[0], last[1], last[CURED]))
    order = ", ".join(f"{100 * value:.0f} %" for value in pixels)
    return [
        f"The RGB network leans the more on backgrounds the more they tell ({order}): {_met(rising)}",
        goal("RGB at 0.95, taken for the background's class", 100 * rgb, 50, " %"),
        goal("Poses at 0.95, taken for the background's class", 100 * poses, 10, " %", at_most=True),
        f"The cured network is between RGB and poses ({100 * cured:.0f} %): {_met(poses <= cured <= rgb)}",
    ]


def _met(holds: bool) -> str:
    return "met" if holds else "missed"


def _taken(model: ModelStudy) -> float:
    score = model.of("swapped").as_background
    assert score is not None
    return score.value


def notes_of(studies: Mapping[float, BackgroundStudy]) -> list[str]:
    """By how much cures help, and what the figures rest on."""
    last = max(studies)
    study = studies[last]
    notes = []
    for learner, found in zip(learners_of(last)[1:], study.comparisons, strict=True):
        swapped, whole = found.of("swapped"), found.of("as_it_is")
        notes.append(
            f"{learner.name} against RGB at {last:g}: {swapped.as_background} taken for the background's, "
            f"{swapped.accuracy} for their own, {whole.accuracy} on unchanged clips (paired)"
        )
    made = "the same for all sets; poses and masks are the generator's own"
    chosen = (
        "settings of training stood before anything was measured; the test was made larger once, and chosen "
        "again after one whose"
    )
    return [
        *notes,
        f"{study.clips} test clips of {study.classes} movements, {made}",
        f"{chosen} backgrounds told nothing had given swapped backgrounds no class",
    ]


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/background"), help="data, runs and answers")
    args = parser.parse_args()
    studies = {correlation: study_of(correlation, args.folder) for correlation in CORRELATIONS}
    title = "Does the study of backgrounds find how far models lean on them?"
    finish("background", title, parser, args, rows_of(studies), goals_of(studies), notes_of(studies))


if __name__ == "__main__":
    main()
