"""`kinesphere search`: the moments of videos that fit a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinesphere.apps.cli.console import (
    GOES_ON,
    check_results,
    console,
    end,
    print_json,
    progress,
    say,
    tinted,
)
from kinesphere.apps.cli.options import Device, Json, PrecisionChoice
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.signals import advise

if TYPE_CHECKING:
    from kinesphere.predict.search import Found

Query = Annotated[
    str, typer.Argument(help="A sentence, such as 'a person clapping', or one of the model's classes.")
]
Model = Annotated[str, typer.Option(help="Model file of clip, siglip or xclip, made by `kinesphere import`.")]
Texts = Annotated[
    Path | None,
    typer.Option(
        "--words",
        help="Folder of the files that the model was imported from; needed for words that are none of its "
        "classes.",
    ),
]
Kept = Annotated[
    Path | None,
    typer.Option("--in", help="Search what an earlier search kept in its --out; no video is decoded."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Folder that keeps what was seen, one file a video: other words need no decoding, and an "
        "interrupted search goes on."
    ),
]


def search(
    query: Query,
    model: Model,
    sources: Annotated[list[str] | None, typer.Argument(help="Videos, folders, globs or URLs.")] = None,
    texts: Texts = None,
    kept: Kept = None,
    out: Out = None,
    top: Annotated[int, typer.Option(min=1, help="Number of moments to show.")] = 10,
    window: Annotated[float | None, typer.Option(help="Length of a moment in seconds; 4 by default.")] = None,
    stride: Annotated[
        float | None, typer.Option(help="Seconds between their starts; half a window by default.")
    ] = None,
    device: Device = "auto",
    precision: PrecisionChoice = "auto",
    as_json: Json = False,
) -> None:
    """Find the moments of videos that fit a sentence best, without training.

    Weak on motion: what still frames show is found, not how it moves. The list is a ranking; look whether
    its first entries are what was meant.
    """
    from kinesphere.core.device import Compute
    from kinesphere.models import embed_query, load_model
    from kinesphere.predict import Predictor, find_sources
    from kinesphere.predict.search import WINDOW_S, Searcher, search_kept

    if bool(sources) == (kept is not None):
        raise InvalidSetting("Name the videos to search, or with --in what an earlier search kept of them.")
    if kept is not None and any(each is not None for each in (window, stride, out)):
        raise InvalidSetting("--window, --stride and --out belong to videos; --in has windows of its own.")
    check_results("--out", out)
    wanted = find_sources(sources or [])
    recogniser = load_model(model)
    words_E = embed_query(recogniser, query, texts)
    predictor = Predictor(recogniser, Compute.choose(device, precision), name=model, optimise=False)
    if out is not None:
        advise(GOES_ON)
    with progress("Searching", "videos", hidden=as_json) as advance:
        if kept is not None:
            found = search_kept(predictor, words_E, kept, top=top, advance=advance)
        else:
            searcher = Searcher(
                predictor, window_s=WINDOW_S if window is None else window, stride_s=stride, keep=out
            )
            found = searcher.search(words_E, wanted, top=top, advance=advance)
    if as_json:
        print_json(_document(query, found))
    else:
        _show(found)
    end(len(found.skipped))


def _document(query: str, found: Found) -> dict[str, object]:
    from kinesphere.models.words import WEAK_ON_MOTION

    return {
        "query": query,
        "moments": [moment.to_json() for moment in found.moments],
        "videos": found.videos,
        "windows": found.windows,
        "decoded": found.decoded,
        "skipped": [each.to_json() for each in found.skipped],
        "note": WEAK_ON_MOTION,
    }


def _is_gone(source: str) -> bool:
    from kinesphere.core.paths import is_there
    from kinesphere.data.sources import local_path

    path = local_path(source)
    return path is not None and not is_there(path)


def _show(found: Found) -> None:
    from kinesphere.models.words import WEAK_ON_MOTION

    screen = console()
    for moment in found.moments:
        start_s, end_s = moment.span
        times = f"{start_s:9.2f} – {end_s:9.2f} s"
        screen.print(
            tinted((f"{moment.similarity:7.4f}", "cyan"), f"  {times}  ", (moment.source, "bold")),
            soft_wrap=True,
        )
    gone = {moment.source for moment in found.moments if _is_gone(moment.source)}
    if gone:
        say("note", "yellow", f"{len(gone)} of the videos listed are not there any more")
    screen.print(f"{found.windows} windows of {found.videos} videos, of which {found.decoded} were decoded")
    say("note", "yellow", WEAK_ON_MOTION)
    for each in found.skipped:
        say("refused", "red", f"{each.path}: {each.reason}")
