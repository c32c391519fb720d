"""`kinesphere data windows`: long recordings with timed labels become a manifest of windows."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kinesphere.apps.cli.class_counts import TABLES, listed, pairs, print_counts
from kinesphere.apps.cli.console import check_file, console, end, print_json, print_left_out, say
from kinesphere.apps.cli.options import Json
from kinesphere.apps.cli.window_options import (
    Background,
    Last,
    LeastOverlap,
    OverlapOf,
    Several,
    Stride,
    Videos,
    Window,
)
from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from kinesphere.data.timed_recordings import Cut

TIERS_HELP = (
    "Tier that holds the classes; COLUMN=TIER, several times, for several label sets of one recording, the "
    "first that of the class."
)
Source = Annotated[
    list[str],
    typer.Argument(help="Files of timed labels (ELAN, CSV, ActivityNet, …), folders of them, or globs."),
]


def windows(
    source: Source,
    out: Annotated[Path, typer.Option(help="Manifest to write: .csv or .parquet.")],
    tier: Annotated[list[str] | None, typer.Option(help=TIERS_HELP)] = None,
    window: Window = 10.0,
    stride: Stride = 5.0,
    least_overlap: LeastOverlap = 0.5,
    overlap_of: OverlapOf = "window",
    several: Several = "largest",
    last: Last = "end",
    background: Background = None,
    videos: Videos = None,
    groups: Annotated[
        Path | None, typer.Option(help="Table with the columns path,group: the performer of each recording.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="All labels that may occur: NAME,NAME,… or @FILE with one a line.")
    ] = None,
    rename: Annotated[list[str] | None, typer.Option(help="OLD=NEW; several times.")] = None,
    unknown: Annotated[
        Literal["refuse", "skip"],
        typer.Option(help="Whether labels that are not among --labels are an error, or left out and listed."),
    ] = "refuse",
    as_json: Json = False,
) -> None:
    """Cut long recordings into windows, whose labels follow from a stated rule.

    Nothing is left out silently: windows without a label, annotations that label no window, and recordings
    without a video are counted and listed.
    """
    from kinesphere.data.spelling import Spelling
    from kinesphere.data.timed_recordings import Cutting, cut_recordings
    from kinesphere.data.windows import LABEL_COLUMN, WindowRule

    check_file("--out", out, TABLES)
    rule = WindowRule(window, stride, least_overlap, background, overlap_of, several, last)
    cut = cut_recordings(
        source,
        Cutting(
            rule,
            _tiers(tier or [], LABEL_COLUMN),
            Spelling(pairs("--rename", rename or []), listed(labels), unknown),
            videos,
            {} if groups is None else read_groups(groups),
        ),
    )
    cut.manifest.write(out, label_column=cut.windows.columns[0])
    if as_json:
        print_json(_json(cut, out))
    else:
        _show(cut, out)
    end(len(cut.manifest.wrong))


def _tiers(texts: list[str], only: str) -> dict[str, str | None]:
    """Tier by column."""
    if not texts:
        return {only: None}
    if len(texts) == 1 and "=" not in texts[0]:
        return {only: texts[0]}
    return {**pairs("--tier", texts, "COLUMN=TIER where there are several")}


def read_groups(path: Path) -> dict[str, str]:
    """The table of groups.

    Raises:
        InvalidSetting: If it has not the columns, or a cell is empty.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeError, csv.Error) as error:
        raise InvalidSetting(f"{path} is no table of groups: {error}.") from error
    found: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        name, group = (row.get("path") or "").strip(), (row.get("group") or "").strip()
        if not name or not group:
            raise InvalidSetting(
                f"{path}, row {number}: the columns path and group are both filled; got {row}."
            )
        if found.setdefault(name, group) != group:
            raise InvalidSetting(
                f"{path}, row {number}: {name!r} has two groups, {found[name]!r} and {group!r}."
            )
    return found


def _json(cut: Cut, out: Path) -> dict[str, object]:
    windows = cut.windows
    return {
        "out": str(out),
        "rule": cut.rule.sentence(),
        "windows": len(cut.manifest),
        "recordings": len({sample.path for sample in cut.manifest}),
        "groups": len(cut.manifest.groups),
        "columns": {
            name: {"before": windows.annotations[name], "after": windows.counts[name]}
            for name in windows.columns
        },
        "untouched": windows.untouched,
        "undecided": windows.undecided,
        "left_out": [each.to_json() for each in windows.left_out],
        "notes": list(cut.notes),
    }


def _show(cut: Cut, out: Path) -> None:
    windows, screen = cut.windows, console()
    for name in windows.columns:
        counts = {"annotations": windows.annotations[name], "windows": windows.counts[name]}
        print_counts(f"{name}: before and after", counts)
    first, counted = cut.counted()
    screen.print(f"{first.capitalize()}.", soft_wrap=True)
    screen.print(f"{counted}. {len(cut.manifest.groups)} groups. Written: {out}", soft_wrap=True)
    for grouping in cut.manifest.groupings:
        screen.print(f"{grouping.sentence()}.", soft_wrap=True)
    for note in cut.notes:
        say("note", "yellow", note)
    print_left_out(windows.left_out)
