"""`kinesphere explain`: which pixels, frames and joints an answer rests on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinesphere.apps.cli.answers import introduce
from kinesphere.apps.cli.console import GOES_ON, console, end, print_json_line, progress, say, tinted
from kinesphere.apps.cli.options import Device, ExtractsFolder
from kinesphere.apps.cli.targets import targets
from kinesphere.core.errors import InvalidSetting, KinesphereError, UnusableName, UnwritableFile
from kinesphere.core.signals import advise
from kinesphere.core.skipped import Skipped

if TYPE_CHECKING:
    from kinesphere.explain.agreement import Agreement
    from kinesphere.explain.folder import Asked, Explained
    from kinesphere.predict import VideoPredictor

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="Run folder, fusion, model file or registered name; repeatable. Without it the recogniser in "
        "the box, as in kinesphere predict.",
        show_default=False,
    ),
]
Methods = Annotated[
    list[str] | None,
    typer.Option("--method", help="Name of a method, repeatable; default: one that suits the model."),
]
Label = Annotated[
    str | None, typer.Option("--class", help="The class to explain; default: the model's answer.")
]
Against = Annotated[str | None, typer.Option(help="Another class: why --class, and not this one?")]
ExplainedViews = Annotated[
    str | None,
    typer.Option("--views", help="Views to explain, clips x crops. Default: 1x1, a clip in the middle."),
]
Window = Annotated[float | None, typer.Option(help="Explain windows of this many seconds.")]
Stride = Annotated[float | None, typer.Option(help="Seconds between windows; half a window by default.")]
Out = Annotated[Path, typer.Option(help="Folder for pictures, films and heat.")]
Faithful = Annotated[
    bool, typer.Option("--faithfulness", help="Measure whether the map is true: deletion and insertion.")
]
Agreeing = Annotated[
    bool, typer.Option("--agreement", help="Measure how alike the maps of two methods or more are.")
]
Lines = Annotated[bool, typer.Option("--json", help="Print one JSON object an explanation, one a line.")]


def explain(
    sources: Annotated[list[str], typer.Argument(help="Videos, folders, globs or URLs.")],
    model: Models = None,
    method: Methods = None,
    label: Label = None,
    against: Against = None,
    views: ExplainedViews = None,
    window: Window = None,
    stride: Stride = None,
    out: Out = Path("explanations"),
    layer: Annotated[str | None, typer.Option(help="Layer whose activations are shown.")] = None,
    faithful: Faithful = False,
    agreement: Agreeing = False,
    film: Annotated[bool, typer.Option(help="Write a film with heat over the frames.")] = True,
    extracts: ExtractsFolder = None,
    device: Device = "auto",
    as_json: Lines = False,
) -> None:
    """Show what an answer rests on: heat over pixels, joints and time.

    Writes for each video a picture, a film with heat over its frames, and the heat as numbers. Several
    models or methods come side by side.
    """
    from kinesphere.clips import Views
    from kinesphere.core.device import Compute
    from kinesphere.explain.explaining import Question, check_question
    from kinesphere.explain.faithfulness import Work
    from kinesphere.explain.folder import Asked, check_agreement, check_films
    from kinesphere.explain.method import Settings
    from kinesphere.predict import Extracts, Opening, find_sources, load

    if window is None and stride is not None:
        raise InvalidSetting("--stride belongs to windows; give --window as well.")
    wanted = find_sources(sources)
    root = Path(sources[0]) if len(sources) == 1 and Path(sources[0]).is_dir() else None
    pictures = targets("--out", out, wanted, (".png",))
    compute = Compute.choose(device, "fp32")
    opening = Opening(Extracts(extracts, root))
    chosen, settings = Views() if views is None else Views.parse(views), Settings(layer=layer)
    work = Work() if faithful else None
    asked = [
        Asked(predictor, Question(name, label, against, chosen, settings, work))
        for predictor in [load(each, compute=compute, opening=opening) for each in model or (None,)]
        for name in (method or (None,))
    ]
    for one in asked:
        introduce(one.model, to_stderr=as_json)
        check_question(one.model.for_source(wanted[0]), one.question)
    if views is None and window is None:
        _tell_of_views([one.model for one in asked], as_json)
    if agreement:
        check_agreement(asked)
    if film:
        check_films(asked, pictures.items())
    steps = None if window is None else (window, window / 2 if stride is None else stride)
    skipped = _run(asked, pictures, steps, agreement, film, as_json)
    for each in skipped:
        say("refused", "red", f"{each.path}: {each.reason}", to_stderr=as_json)
    end(len(skipped))


def _tell_of_views(models: list[VideoPredictor], as_json: bool) -> None:
    """Say where one clip is explained of models whose answers average several."""
    for name, views in dict.fromkeys((each.name, str(each.test_views)) for each in models):
        if views != "1x1":
            text = (
                f"one clip of each video is explained, its middle; {name} answers from {views} of them in "
                f"kinesphere predict, which can be another answer: --views {views} explains it"
            )
            say("note", "yellow", text, to_stderr=as_json)


def _run(
    asked: list[Asked],
    pictures: dict[str, Path],
    steps: tuple[float, float] | None,
    agree: bool,
    film: bool,
    as_json: bool,
) -> list[Skipped]:
    """Explain all videos, and show each as it is finished; those that could not be explained."""
    from kinesphere.explain.folder import explain_video

    skipped: list[Skipped] = []
    advise(GOES_ON)
    with progress("Explaining", "videos", hidden=as_json) as advance:
        for done, (source, picture) in enumerate(pictures.items(), start=1):
            try:
                written = explain_video(asked, source, picture, steps=steps, film=film, agree=agree)
            except InvalidSetting:
                raise
            except KinesphereError as error:
                if isinstance(error, UnwritableFile) and not isinstance(error, UnusableName):
                    raise  # the next would fail alike
                skipped.append(Skipped(source, str(error)))
            else:
                _show(written, picture, as_json)
            advance(done, len(pictures))
    return skipped


def _show(written: list[Explained], picture: Path, as_json: bool) -> None:
    """One line for each explanation, how far they agree, then the files."""
    screen = console()
    for explained in written:
        if as_json:
            print_json_line(explained.to_json(picture))
            continue
        for attribution in explained.attributions:
            start_s, end_s = attribution.span
            screen.print(
                tinted(
                    (attribution.source, "bold"),
                    f"  {start_s:.2f} – {end_s:.2f} s  {attribution.title} "
                    f"{100 * attribution.probability:.1f} %  by {attribution.method}",
                ),
                soft_wrap=True,
            )
            for name, each in attribution.faithfulness.items():
                for curve in each.curves:
                    screen.print(f"  {curve.sentence()}  ({name})", soft_wrap=True)
            for stream in attribution.streams:
                screen.print(f"  {stream.sentence()}", soft_wrap=True)
            for note in attribution.notes:
                say("note", "yellow", note)
    if not as_json:
        _print_agreement([pair for explained in written for pair in explained.agreement])
        screen.print(f"picture  {picture}", soft_wrap=True)


def _print_agreement(pairs: list[Agreement]) -> None:
    """A table of the pairs of methods, each once."""
    from rich.table import Table

    if not pairs:
        return
    table = Table("model", "methods", "rank correlation", "hottest tenth shared")
    for pair in dict.fromkeys(pairs):
        ranks = "–" if pair.ranks is None else f"{pair.ranks:.2f}"
        shared = "–" if pair.shared is None else f"{100 * pair.shared:.0f} %"
        table.add_row(pair.model, " and ".join(pair.methods), ranks, shared)
    console().print(table)
