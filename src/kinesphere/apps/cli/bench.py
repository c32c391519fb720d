"""`kinesphere bench`: how fast models are on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kinesphere.apps.cli.console import console, print_json, progress
from kinesphere.apps.cli.options import Device, Json, PrecisionChoice

if TYPE_CHECKING:
    from kinesphere.core.device import Compute
    from kinesphere.predict import Opening, VideoPredictor
    from kinesphere.predict.speed import Speed

SIZE, FPS, SECONDS = (480, 640), 25, 20
"""The video that is made where none is named."""


def bench(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Run folders, fusions, model files, registered names or hub ids. A name without weights "
            "(r3d_18) is measured with random ones, which cost the same."
        ),
    ],
    video: Annotated[
        Path | None,
        typer.Option(help="The video; by default 20 s of a moving mannequin, 640x480 at 25 frames a second."),
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(
            help="Length of a window in seconds; by default that of the model's clips, or 2 s where these "
            "are spread over a window."
        ),
    ] = None,
    stride: Annotated[
        float | None, typer.Option(help="Seconds between windows; by default their length.")
    ] = None,
    mode: Annotated[
        Literal["auto", "windows", "streaming"],
        typer.Option(help="How windows are computed; by default streaming where the network streams."),
    ] = "auto",
    pose_model: Annotated[
        str | None,
        typer.Option(
            help="What finds poses on the way: lite, full, heavy, or a .task file; by default full.",
            show_default=False,
        ),
    ] = None,
    device: Device = "auto",
    precision: PrecisionChoice = "auto",
    as_json: Json = False,
) -> None:
    """Measure models here: time per clip and per window, memory, and the frame rate they keep up with."""
    from kinesphere.core.device import Compute
    from kinesphere.predict import Opening
    from kinesphere.predict.speed import measure_speed

    compute = Compute.choose(device, precision)
    found = []
    with _source(video) as source, progress("Measuring", "models", hidden=as_json) as advance:
        for done, name in enumerate(models):
            advance(done, len(models))
            chosen = None if mode == "auto" else mode
            predictor = _predictor(name, compute, Opening(pose_model=pose_model))
            found.append(measure_speed(predictor, source, window_s=window, stride_s=stride, mode=chosen))
        advance(len(models), len(models))
    if as_json:
        print_json([each.to_json() for each in found])
    else:
        _show(found)


@contextmanager
def _source(video: Path | None) -> Iterator[Path]:
    """The video that is named, or one that is made for as long as the context lasts."""
    if video is not None:
        yield video
        return
    import tempfile  # it takes a hundredth of a second that other verbs need not wait

    with tempfile.TemporaryDirectory() as folder:
        yield mannequin_video(Path(folder) / "mannequin.mp4")


def mannequin_video(path: Path, seconds: float = SECONDS) -> Path:
    """Write a video of somebody who moves to and fro, at `SIZE` pixels and `FPS` frames a second."""
    from kinesphere.synthetic import MannequinSettings, plan_clip, render_clip
    from kinesphere.video import VideoWriter

    settings = MannequinSettings(size=SIZE, fps=FPS, duration_s=(2.0, 2.0))
    plan = plan_clip(settings, settings.classes[0], "train", 0)
    frames = list(render_clip(plan, settings).frames)
    frames += frames[::-1]
    with VideoWriter(path, SIZE, FPS) as writer:
        for number in range(round(seconds * FPS)):
            writer.write(frames[number % len(frames)])
    return path


def _predictor(name: str, compute: Compute, opening: Opening) -> VideoPredictor:
    """A model, fresh where a name has no weights."""
    from kinesphere.models import card, create_model, list_models
    from kinesphere.predict import Predictor, load

    if name not in [*list_models(), *list_models(tiny=True)] or Path(name).exists():
        return load(name, compute=compute, opening=opening)
    labels = [f"class {number}" for number in range(card(name).classes)]
    return Predictor(create_model(name, labels), compute, name=name, opening=opening)


def _show(found: list[Speed]) -> None:
    from rich.table import Table

    first = found[0]
    where = first.device if first.threads is None else f"{first.device}, {first.threads} threads"
    height, width = first.size
    table = Table(
        "model", "clip alone, ms", "clip of a batch, ms", "window, s", "window, ms", "keeps up with, fps",
        "memory, MB",
        title=f"{width}x{height}, on {where}, {first.precision}",
    )  # fmt: skip
    table.columns[0].overflow = "fold"
    for each in found:
        memory = f"{each.memory_mb:.0f}"
        if each.device_memory_mb is not None:
            memory += f" + {each.device_memory_mb:.0f} on {each.device}"
        table.add_row(
            each.model,
            f"{each.clip_ms:.1f}",
            f"{each.batch_clip_ms:.1f} ({each.batch})",
            f"{each.window_s:.2f}{' streaming' if each.mode == 'streaming' else ''}",
            f"{each.window_ms:.1f}",
            f"{each.keeps_up_fps:.0f}",
            memory,
        )
    console().print(table)
    console().print(
        "A clip of a batch shares the pass with as many as stand in brackets. A window is decoded, resized "
        "and computed; a model keeps up with so many frames a second that its windows, at their stride, take "
        "as long as they last.",
        soft_wrap=True,
    )
