"""`kinesphere extract`: files of flow, poses, masks and features from videos, in parallel and resumable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kinesphere.apps.cli.console import GOES_ON, check_folder, console, end, print_json, progress, say
from kinesphere.apps.cli.extract_frames import frames
from kinesphere.apps.cli.options import Json
from kinesphere.core.signals import advise

if TYPE_CHECKING:
    from kinesphere.annotations.extract import Extraction, Extractor

extract = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Extract flow, poses, masks or features of videos into small files, or frames into images.",
)
extract.command()(frames)

Data = Annotated[
    list[str], typer.Argument(help="Manifest (CSV, Parquet), folder of class folders, videos or globs.")
]
Out = Annotated[
    Path | None, typer.Option(help="Folder for the files, laid out as the data; default: beside the videos.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; one per core by default.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Make files anew that are there already.")]


@extract.command()
def flow(
    data: Data,
    out: Out = None,
    method: Annotated[
        Literal["dis", "tvl1", "farneback"], typer.Option(help="Estimator of the motion.")
    ] = "dis",
    short_side: Annotated[
        int, typer.Option(min=16, help="Short side in pixels; larger frames are shrunk first.")
    ] = 256,
    bound: Annotated[float, typer.Option(help="Longest motion per frame that is kept, in pixels.")] = 20.0,
    workers: Workers = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Optical flow between neighbouring frames."""
    from kinesphere.annotations.extract import FlowExtractor

    run(FlowExtractor(method, short_side, bound), data, out, workers, overwrite, as_json)


@extract.command()
def pose(
    data: Data,
    out: Out = None,
    model: Annotated[
        str, typer.Option(help="MediaPipe's lite, full or heavy, downloaded at first use, or a .task file.")
    ] = "full",
    people: Annotated[int, typer.Option(min=1, help="Maximum number of people at a time.")] = 4,
    fps: Annotated[
        float | None, typer.Option(help="Frames per second that poses are found in; all by default.")
    ] = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Joints of the people, each under one number for the whole video (needs the extra `pose`)."""
    from kinesphere.annotations.extract import PoseExtractor, PoseSettings, pose_model

    extractor = PoseExtractor(PoseSettings(pose_model(model), people), fps)
    run(extractor, data, out, workers, overwrite, as_json)


@extract.command()
def mask(
    data: Data,
    out: Out = None,
    model: Annotated[
        str,
        typer.Option(
            help="MediaPipe's selfie (fast) or pose (sharper), downloaded at first use; or a .tflite or "
            ".task file."
        ),
    ] = "selfie",
    people: Annotated[int, typer.Option(min=1, help="Maximum number of people at a time, for pose.")] = 4,
    workers: Workers = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Pixels of the people (needs the extra `pose`)."""
    from kinesphere.annotations.extract import MaskExtractor, mask_model

    run(MaskExtractor(mask_model(model), people), data, out, workers, overwrite, as_json)


@extract.command()
def features(
    data: Data,
    model: Annotated[str, typer.Option(help="Run folder, model file, or registered model.tag.")],
    out: Out = None,
    stride: Annotated[float, typer.Option(help="Seconds between the starts of windows.")] = 0.5,
    window: Annotated[
        float | None, typer.Option(help="Seconds of a window; default: the model's own clip.")
    ] = None,
    streaming: Annotated[
        bool, typer.Option("--streaming", help="Carry a streaming network's state through the whole video.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """What a model makes of window after window before its last layer, with times in seconds."""
    from kinesphere.predict.features import FeatureExtractor, FeatureGrid

    grid = FeatureGrid(stride, window, "streaming" if streaming else "windows")
    extractor = FeatureExtractor(model, grid)
    extractor.predictor()  # refused before the videos are
    run(extractor, data, out, 1, overwrite, as_json)


def run(
    extractor: Extractor,
    data: list[str],
    out: Path | None,
    workers: int | None,
    overwrite: bool,
    as_json: bool,
    unused: Sequence[Path] = (),
) -> None:
    """Extract, tell, and leave with exit code 1 if some videos failed."""
    from kinesphere.annotations.extract import Extracts, Watch
    from kinesphere.annotations.extract import extract as extract_all
    from kinesphere.predict.sources import find_videos

    check_folder("--out", out)
    advise(GOES_ON)
    videos, root = find_videos(data)
    watch = Watch()
    with progress("Extracting", "videos", hidden=as_json, detail=watch.line) as advance:
        advance(0, len(videos))
        extraction = extract_all(
            videos,
            extractor,
            extracts=Extracts(out, root),
            workers=workers or "auto",
            overwrite=overwrite,
            progress=advance,
            watch=watch,
        )
    if as_json:
        document = extraction.to_json(Extracts(out, root), extractor.suffix)
        print_json({**document, "unused": [str(path) for path in unused]} if unused else document)
    else:
        _show(extraction)
    end(extraction.wrong)


def _show(extraction: Extraction) -> None:
    console().print(extraction.line())
    for note in extraction.notes:
        say("note", "yellow", f"  {note.path}: {note.reason}")
    for note in extraction.failures:
        say("failed", "red", f"{note.path}: {note.reason}")
