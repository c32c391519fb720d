"""`kinesphere score detections --errors`: what is wrong with detections, as tables and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from kinesphere.apps.cli.console import check_file, console

if TYPE_CHECKING:
    from kinesphere.evaluate.metrics.detection_errors import DetectionErrors

OPTION = "--errors"
_IMAGES = frozenset({".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp", ".gif"})

Errors = Annotated[
    str | None,
    typer.Option(
        OPTION,
        metavar="[PICTURE]",
        help="Say what is wrong with the detections as well (DETAD), and draw it as .png or .svg.",
    ),
]


class ErrorsCommand(TyperCommand):
    """A verb whose `--errors` stands alone or before the name of a picture."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words as typer understands them: the option alone has no picture's name."""
        words = list(args)
        for i, word in enumerate(words):
            following = words[i + 1] if i + 1 < len(words) else ""
            if word == OPTION and Path(following).suffix.lower() not in _IMAGES:
                words[i] = f"{OPTION}="
        return super().parse_args(ctx, words)


def picture_of(option: str | None) -> Path | None:
    """Where errors are drawn, if anywhere, before anything is scored.

    Raises:
        InvalidSetting: If its suffix is none of a picture's.
        UnwritableFile: If its folder takes no files.
    """
    if not option:
        return None
    check_file(OPTION, Path(option), (".png", ".svg"))
    return Path(option)


def print_errors(errors: DetectionErrors, picture: Path | None) -> None:
    """Kinds of errors with what they cost, and ground truths by bucket."""
    from rich.table import Table

    from kinesphere.evaluate.metrics.detection_errors import KIND_TITLES, KINDS, MULTIPLES

    screen = console()
    at = ", ".join(f"{each:g}" for each in errors.thresholds)
    first, whole = errors.profile[0], sum(errors.kinds.values()) or 1.0
    table = Table(
        "error", "of the first 1G", f"of {MULTIPLES}G", "mAP without", "mAP_N without",
        title=f"errors at tIoU {at}",
        caption=f"%; G: as many detections of a class as it has ground truths; "
        f"{int((~errors.looked_at).sum())} beyond {MULTIPLES}G",
    )  # fmt: skip
    for kind in KINDS:
        gains = [
            f"{100 * (errors.map_without(kind, normalised=n) - errors.map_without(None, normalised=n)):+.1f}"
            for n in (False, True)
        ]
        shares = (first.kinds[kind] / max(1, first.detections), errors.kinds[kind] / whole)
        table.add_row(
            KIND_TITLES[kind], *(f"{100 * each:.1f}" for each in shares),
            *(gains if kind != "true_positive" else ("", "")),
        )  # fmt: skip
    screen.print(table)
    table = Table("ground truths", "", "number", "mAP_N", "missed", caption="%")
    table.add_row(
        "all", "", str(len(errors.missed)), f"{100 * errors.map_n:.1f}", f"{100 * errors.missed.mean():.1f}"
    )
    for by in errors.buckets:
        for row in errors.by_bucket(by):
            table.add_row(
                f"{by.name} {row.name}", f"{row.range} {by.unit}", str(row.instances),
                f"{100 * row.map_n:.1f}", f"{100 * row.missed:.1f}",
            )  # fmt: skip
        if number := errors.unknown(by):
            table.add_row(f"{by.name} not known", "of videos of unknown length", str(number), "", "")
    screen.print(table)
    if picture is not None:
        screen.print(f"picture  {picture}", soft_wrap=True)
