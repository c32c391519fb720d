"""The options and arguments that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Device = Annotated[str, typer.Option(help="Device: auto, cpu, cuda, cuda:N or mps.")]
PrecisionChoice = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"], typer.Option(help="Arithmetic of the network.")
]
Data = Annotated[Path, typer.Argument(help="Manifest (CSV, Parquet) or folder of class folders.")]
LabelColumn = Annotated[str, typer.Option(help="Column that holds the labels.")]
GroupColumn = Annotated[str, typer.Option(help="Column that holds the groups.")]
SplitColumn = Annotated[str, typer.Option(help="Column that holds the splits.")]
Unlabelled = Annotated[
    Literal["refuse", "skip"],
    typer.Option(help="Whether samples without a label are an error or left out."),
]
WrongRows = Annotated[
    Literal["refuse", "skip"],
    typer.Option(help="Whether rows of a table that make no sample are an error or left out and listed."),
]
ExtractsFolder = Annotated[
    Path | None, typer.Option(help="Folder of extracted flow or poses; default: beside the videos.")
]
TestViews = Annotated[
    str | None, typer.Option(help="Test views, clips x crops. Default: those of the run's own test.")
]
VideosFolder = Annotated[
    Path | None,
    typer.Option("--videos", help="Folder of the annotated videos; default: beside the annotations."),
]
AnnotatedFps = Annotated[
    float | None,
    typer.Option(
        "--fps",
        help="Frames per second of annotations that count in frames; default: as they or the videos say.",
    ),
]
ImagesFps = Annotated[
    float | None,
    typer.Option(
        "--fps",
        min=0.001,
        help="Frames per second of folders of images for which the table states none; goes before fps.txt.",
    ),
]
