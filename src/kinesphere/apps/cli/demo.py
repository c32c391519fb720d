"""`kinesphere demo`: the main job, end to end, on generated videos."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinesphere.apps.cli.console import GOES_ON, check_folder, console, print_json, progress, tinted
from kinesphere.apps.cli.options import Json
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.signals import advise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console

    from kinesphere.data import Manifest
    from kinesphere.evaluate import Score
    from kinesphere.train import Recipe, Run

MOVEMENTS = (
    "contract", "expand", "fall", "get up", "kick", "punch", "sit down", "stand up", "walk", "wave",
)  # fmt: skip


def demo(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Settings of its training to change."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for videos, run and report.")] = Path("runs/demo"),
    clips_per_class: Annotated[
        int, typer.Option(min=10, help="Number of generated videos of each movement.")
    ] = 100,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training videos.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Base seed of videos and training.")] = 0,
    as_json: Json = False,
) -> None:
    """Do the whole job on generated videos.

    Generate, check, train, evaluate on unseen performers and scenes, predict, report.
    Run again after an interruption, it goes on where it stopped.
    """
    check_folder("--out", out)
    advise(GOES_ON)
    screen = console(to_stderr=as_json)
    training = recipe(out / "videos" / "manifest.csv", out / "run", epochs, seed, overrides or ())
    with step(screen, f"1  Generating {len(MOVEMENTS)} movements × {clips_per_class} videos"):
        manifest = generated(out / "videos", clips_per_class, seed, hidden=as_json)
    with step(screen, "2  Checking them"):
        check(manifest, screen, out / "preview.png", hidden=as_json)
    with step(screen, "3  Training the compact model, then scoring it on unseen performers and scenes"):
        from kinesphere.train import train
        from kinesphere.train.run_folder import RunFiles

        begun = RunFiles(out / "run").holds_a_run
        run = train(training, resume=begun, console=screen, advice=lambda: GOES_ON)
    with step(screen, "4  Asking what the answers rest on"):
        ordered, shuffled = direction_of_time(run, manifest)
    with step(screen, "5  Predicting one video"):
        top = predict_one(run, manifest, out / "predicted.mp4", screen)
    from kinesphere.apps.html import write_report_html

    page = write_report_html(run.folder, title="Demo: ten movements, unseen performers, unseen scenes")
    assert run.report is not None
    if as_json:
        pairs = {"in_order": ordered.value, "shuffled": shuffled.value}
        print_json(
            {"report": run.report.to_json(), "reversed_pairs": pairs, "predicted": top, "html": str(page)}
        )
        return
    screen.print()
    screen.print(run.report.line(), style="bold")
    screen.print(f"movements that differ only in the direction of time, told apart: {ordered}")
    screen.print(f"the same with the frames of each clip shuffled (chance is 50 %): {shuffled}")
    screen.print(f"{'report':<18} {page}", soft_wrap=True)
    screen.print(f"{'model':<18} {run.folder}", soft_wrap=True)
    screen.print(f"{'annotated video':<18} {out / 'predicted.mp4'}", soft_wrap=True)
    screen.print(f"{'what training saw':<18} {out / 'preview.png'}", soft_wrap=True)


def generated(folder: Path, clips_per_class: int, seed: int, hidden: bool) -> Manifest:
    """The demo's videos, of which those that are there already are kept."""
    from kinesphere.data import Manifest
    from kinesphere.synthetic import MannequinSettings, generate

    settings = MannequinSettings(
        classes=MOVEMENTS,
        clips_per_class=clips_per_class,
        size=(108, 144),
        fps=8,
        performers=10 * clips_per_class,
        scenes=10 * clips_per_class,
        truth=False,
        seed=seed,
    )
    with progress("   ", "videos", hidden=hidden) as advance:
        generate(settings, folder, progress=advance)
    return Manifest.read(folder / "manifest.csv")


def recipe(manifest: Path, out: Path, epochs: int, seed: int, overrides: Iterable[str] = ()) -> Recipe:
    """The demo's training run; `recipe.yaml` in its folder shows every setting.

    Raises:
        InvalidSetting: If an override is wrong, or of the data or the folder, on which the demo decides.
    """
    from kinesphere.train import Recipe

    settings: dict[str, Any] = {
        "data": {"source": str(manifest), "cache": str(out.parent / "cache")},
        "augment": {"preset": "standard", "crop_scale": [0.7, 1.0]},
        "optimizer": {"lr": 0.003},
        "schedule": {"warmup_epochs": min(1.0, epochs / 10)},
        "train": {"epochs": epochs, "batch_size": 8, "ema": 0.99, "seed": seed},
        "out": str(out),
    }
    own = Recipe.build(settings, origin="the demo")
    changed = own.override(*overrides)
    if (changed.data, changed.out) != (own.data, own.out):
        raise InvalidSetting(
            "The demo makes its own data and lays its run into the folder of --out; change settings of the "
            f"model, training and compute only. Got {' '.join(overrides)}."
        )
    return changed


def check(manifest: Manifest, screen: Console, path: Path, hidden: bool) -> None:
    """Preflight in one line, and an image of what training sees."""
    from kinesphere.clips.augment.settings import preset
    from kinesphere.data import ClipDataset
    from kinesphere.data import check as examine
    from kinesphere.data.preview import preview
    from kinesphere.models import DEFAULT_MODEL, card

    spec = card(DEFAULT_MODEL).inputs[0]
    with progress("   ", "files", hidden=hidden) as advance:
        found = examine(manifest, spec, progress=advance)
    screen.print(
        f"   {found.clips} clips, {len(found.classes)} classes, {found.groups} performers, "
        f"{len(found.unreadable)} unreadable, {len(found.problems)} problems"
    )
    training = manifest.where(split="train")
    preview(ClipDataset(training, (spec,), train=True, augment=preset("standard")), path)


def direction_of_time(run: Run, manifest: Manifest) -> tuple[Score, Score]:
    """Accuracy on pairs that differ only in the direction of time: frames in order, and shuffled."""
    from kinesphere.evaluate import Predictions
    from kinesphere.evaluate.evaluator import collect
    from kinesphere.evaluate.probes import pair_accuracy, shuffle_frames
    from kinesphere.predict import load
    from kinesphere.synthetic import TIME_REVERSED

    pairs = [pair for pair in TIME_REVERSED if set(pair) <= set(manifest.labels)]
    paired = {name for pair in pairs for name in pair}
    test = manifest.where(split="test")
    test = test.select([i for i, sample in enumerate(test) if sample.labels[0] in paired])
    shuffled = collect(load(run.folder, compute=run.recipe.compute.choose()), test, perturb=shuffle_frames())
    in_order = Predictions.read(run.files.predictions)
    return pair_accuracy(in_order, pairs), pair_accuracy(shuffled, pairs)


def predict_one(run: Run, manifest: Manifest, target: Path, screen: Console) -> list[tuple[str, float]]:
    """Top labels of one test video, and a copy of it with them drawn in."""
    from kinesphere.predict import annotate, load

    sample = manifest.where(split="test")[0]
    prediction = load(run.folder, compute=run.recipe.compute.choose()).predict(sample.path)
    annotate(sample.path, target, prediction)
    screen.print(f"   {sample.path.name} shows {sample.labels[0]!r}; the model says:")
    for name, probability in prediction.top(3):
        screen.print(f"   {probability:6.1%}  {name}")
    return prediction.top(3)


@contextmanager
def step(screen: Console, title: str) -> Iterator[None]:
    """Name a step, and say how long it took."""
    screen.print(tinted((title, "bold")))
    begun = time.perf_counter()
    yield
    screen.print(tinted((f"   {time.perf_counter() - begun:.0f} s", "dim")))
