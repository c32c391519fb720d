"""`kinesphere import-skeletons`: skeletons that others made, as pose files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from kinesphere.apps.cli.console import check_folder, console, end, print_json, print_left_out, progress
from kinesphere.apps.cli.options import Json
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.text import enumerated

if TYPE_CHECKING:
    from kinesphere.annotations.parsing.frame_numbers import First

SHOWN = 10

Videos = Annotated[
    list[str] | None,
    typer.Option(
        help="For {estimators}: manifest, folder or videos; may be repeated. clip.mp4 has its "
        "keypoints in clip.json, or in a folder clip."
    ),
]
FirstFrame = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=1,
        help="For {estimators}: whether frames count from 0 or 1; by default as the files tell.",
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="For data sets whose files number the classes (pyskl): their names in the order of the "
        "numbers, one a line."
    ),
]


def import_skeletons(
    name: Annotated[
        str,
        typer.Argument(
            help="A data set: {skeletons, motion capture}; or an estimator's outputs of videos: {estimators}."
        ),
    ],
    source: Annotated[Path, typer.Argument(help="Its folder, file, or tar or zip archive.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for pose files and manifest.csv; of {estimators}, folder for the pose files, "
            "laid out as the videos (default: beside them)."
        ),
    ] = None,
    videos: Videos = None,
    first_frame: FirstFrame = None,
    camera: Annotated[
        list[float] | None,
        typer.Option(help="For motion capture: bearing of a camera in degrees, 0 in front; may be repeated."),
    ] = None,
    labels: Labels = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="For {estimators}: replace pose files that are there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Turn skeletons that others made into pose files, those of data sets with a manifest to train on.

    What is left out, damaged or of no video is listed; exit code 1 says that something was wrong.
    """
    from kinesphere.annotations.formats.registry import estimators

    check_folder("--out", out)
    if name in estimators():
        if labels is not None:
            raise InvalidSetting(f"--labels names the classes of data sets; leave it out for {name}.")
        if camera:
            raise InvalidSetting(f"Cameras are for motion capture; {name} has its own. Leave them out.")
        _import_outputs(name, source, videos or [], first_frame, out, overwrite, as_json)
        return
    if out is None:
        raise InvalidSetting("A data set becomes a folder of pose files with a manifest; name it with --out.")
    if videos or overwrite or first_frame is not None:
        raise InvalidSetting(
            "--videos, --first-frame and --overwrite are for "
            f"{enumerated(estimators())}; leave them out for {name}."
        )
    _import_set(name, source, out, tuple(camera or ()), labels, as_json)


def _import_outputs(
    kind: str,
    source: Path,
    videos: list[str],
    first_frame: int | None,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write the pose files of videos, and tell of outputs that belong to none."""
    from kinesphere.annotations.extract.estimator_outputs import OutputReader, match_outputs
    from kinesphere.apps.cli.extract import run
    from kinesphere.predict.sources import find_videos

    if not videos:
        raise InvalidSetting(
            f"{kind} keypoints belong to videos, which tell sizes and times; name those with --videos."
        )
    found, root = find_videos(videos)
    outputs, unused = match_outputs(kind, source, found, root)
    if unused:
        shown = ", ".join(path.name for path in unused[:SHOWN])
        more = f" and {len(unused) - SHOWN} more" if len(unused) > SHOWN else ""
        console(to_stderr=True).print(f"of no video: {shown}{more}", soft_wrap=True)
    reader = OutputReader(kind, outputs, cast("First | None", first_frame))
    run(reader, videos, out, None, overwrite, as_json, unused)


def _import_set(
    name: str, source: Path, out: Path, azimuths_deg: tuple[float, ...], labels: Path | None, as_json: bool
) -> None:
    from kinesphere.datasets import import_skeletons as import_set
    from kinesphere.models.weights.from_files import read_names

    names = read_names(labels) if labels is not None else ()
    with progress("Importing", "recordings", hidden=as_json) as advance:
        result = import_set(
            name, source, out, azimuths_deg=azimuths_deg, names=names,
            progress=lambda done: advance(done, done),
        )  # fmt: skip
    if as_json:
        print_json(
            {
                "manifest": str(result.manifest),
                "files": result.files,
                "samples": result.samples,
                "protocols": list(result.protocols),
                "failures": result.failures,
                "skipped": [each.to_json() for each in result.skipped],
            }
        )
    else:
        console().print(
            f"{result.samples} samples in {result.files} pose files: {result.manifest}", soft_wrap=True
        )
        if len(result.protocols) > 1:
            usual, *others = result.protocols
            console().print(
                f"Its split is {usual}; of {', '.join(others)} with data.split_column={others[0]}.",
                soft_wrap=True,
            )
        print_left_out(result.skipped)
    end(result.failures)
