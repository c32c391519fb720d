"""`kinesphere check`: look at data before training on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinesphere.apps.cli.console import Json, console, end, print_json, progress

if TYPE_CHECKING:
    from kinesphere.clips import ClipSpec
    from kinesphere.data import Manifest, Preflight

SHOWN = 10


def check(
    data: Annotated[Path, typer.Argument(help="Manifest (CSV, Parquet) or folder of class folders.")],
    model: Annotated[str, typer.Option(help="Model whose input the clips are held against.")] = "auto",
    sampling: Annotated[str | None, typer.Option(help="Sampling in place of the model's: 16x4x1.")] = None,
    label_column: Annotated[str, typer.Option(help="Column that holds the labels.")] = "label",
    preview: Annotated[
        Path | None, typer.Option(help="Draw what training sees of some clips: a PNG.")
    ] = None,
    decode_all: Annotated[bool, typer.Option(help="Decode every frame instead of three per file.")] = False,
    as_json: Json = False,
) -> None:
    """Look at data before training on it.

    Unreadable files, labels, duplicates, groups across splits, clips longer than videos.
    """
    from kinesphere.clips import Sampling
    from kinesphere.data import Manifest
    from kinesphere.data import check as examine
    from kinesphere.models import DEFAULT_MODEL, card

    manifest = Manifest.read(data, label_column=label_column)
    spec = card(DEFAULT_MODEL if model == "auto" else model).inputs[0]
    if sampling is not None:
        spec = spec.with_(sampling=Sampling.parse(sampling))
    with progress("Reading videos", "files", hidden=as_json) as advance:
        found = examine(manifest, spec, decode_all=decode_all, progress=advance)
    passed_over = _draw(manifest, spec, preview) if preview is not None else 0
    if as_json:
        print_json(found.to_json())
    else:
        _print(found)
        if preview is not None:
            over = f" ({passed_over} unreadable ones passed over)" if passed_over else ""
            console().print(f"What training sees of some clips: {preview}{over}", soft_wrap=True)
    end(len(found.unreadable) + found.has_errors)


def _draw(manifest: Manifest, spec: ClipSpec, path: Path) -> int:
    """Draw some clips without flips, which labels may forbid; how many samples could not be read."""
    from kinesphere.clips.augment import Augment
    from kinesphere.data import ClipDataset
    from kinesphere.data.preview import preview

    return len(preview(ClipDataset(manifest, (spec,), train=True, augment=Augment(flip=0.0)), path))


def _print(found: Preflight) -> None:
    from rich.table import Table

    screen = console()
    table = Table("class", "clips", *found.splits, title=f"{found.clips} clips in {found.files} files")
    for name, count in sorted(found.classes.items(), key=lambda item: -item[1]):
        table.add_row(name, str(count), *(str(part.get(name, 0)) for part in found.splits.values()))
    screen.print(table)
    if found.durations_s:
        spread = found.durations_s
        middle = f"{spread.least:.2f} – {spread.most:.2f} s, median {spread.median:.2f} s"
        screen.print(f"durations   {middle}, {spread.total / 60:.1f} min in all")
    for title, tally in (
        ("frame rates", found.frame_rates),
        ("sizes", found.sizes),
        ("codecs", found.codecs),
    ):
        most = list(tally.items())[:5]
        more = f", and {len(tally) - 5} more" if len(tally) > 5 else ""
        screen.print(f"{title:<12}{', '.join(f'{name} ({count})' for name, count in most)}{more}")
    screen.print(f"groups      {found.groups}")
    for problem in found.problems:
        colour = "red" if problem.severity == "error" else "yellow"
        screen.print(f"[{colour}]{problem.severity}[/]  {problem.message}", soft_wrap=True)
        for place in problem.where[:SHOWN]:
            screen.print(f"    {place}", soft_wrap=True, markup=False)
        if len(problem.where) > SHOWN:
            screen.print(f"    … and {len(problem.where) - SHOWN} more (see --json)")
    if not found.problems:
        screen.print("[green]No problems found.[/]")
