"""`kinesphere import`: a public checkpoint in, one of our model files out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kinesphere.apps.cli.console import check_file, console, print_json, say
from kinesphere.apps.cli.options import Json
from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from kinesphere.models.weights.keymap import Arguments

Files = Annotated[
    list[Path],
    typer.Argument(
        help="Foreign checkpoint: .pth, .pt, .tar, .pkl, .safetensors, .tflite. Two for a model made "
        "of two: first that of the pixels.",
        metavar="FILE...",
    ),
]
Model = Annotated[
    str, typer.Option(help="Registered architecture that it belongs to; NAME.TAG for weights of its card.")
]
Labels = Annotated[
    Path | None,
    typer.Option(help="Class names in the file's order, one a line; with --backbone those to learn."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Argument of the network, such as draw=limbs; may be repeated."),
]
Backbone = Annotated[
    bool, typer.Option("--backbone", help="Take all but the head, also from weights of images.")
]
HowInflated = Annotated[
    Literal["mean", "centre"] | None,
    typer.Option(help="With --backbone: how kernels of images fill time. [default: mean]"),
]
NormsFrom = Annotated[
    str | None,
    typer.Option(help="Videos from which a network with fused batch norms gets them back, to be fine-tuned."),
]


def import_(
    files: Files,
    model: Model,
    out: Annotated[Path, typer.Option(help="Model file to write, .safetensors.")],
    layout: Annotated[str | None, typer.Option(help="Origin of the file; found out if not given.")] = None,
    labels: Labels = None,
    settings: Settings = None,
    backbone: Backbone = False,
    inflation: HowInflated = None,
    norms_from: NormsFrom = None,
    as_json: Json = False,
) -> None:
    """Turn a public checkpoint into a model file.

    Nothing in the file is executed, and every key is checked. A file that the model's card lists is read with
    the settings and class names stated there.
    """
    from kinesphere.models import save_model
    from kinesphere.models.weights.from_files import import_files, read_names

    check_file("--out", out, (".safetensors",))
    recogniser = import_files(
        files,
        model,
        layout=layout,
        labels=read_names(labels) if labels is not None else None,
        arguments=_read_settings(settings or []),
        backbone=backbone,
        inflation=inflation,
    )
    if norms_from is not None:
        from kinesphere.predict.sources import find_sources
        from kinesphere.predict.unfusing import unfuse

        recogniser = unfuse(recogniser, find_sources([norms_from]))
    save_model(recogniser, out)
    notes = list(recogniser.provenance.notes)
    if as_json:
        print_json({
            "model": recogniser.card.name, "classes": len(recogniser.labels), "out": str(out), "notes": notes,
            "fresh": list(recogniser.reset),
        })  # fmt: skip
        return
    tensors = len(recogniser.net.state_dict()) - len(recogniser.reset)
    read = " + ".join(file.name for file in files)
    console().print(f"{read}: {tensors} tensors, {len(recogniser.labels)} classes → {out}", soft_wrap=True)
    for note in notes:
        say("note", "yellow", note)


def _read_settings(settings: list[str]) -> Arguments:
    """Builder arguments from `name=value`; values are written as in YAML."""
    from kinesphere.core.structured import parse_value, settled

    arguments: Arguments = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        value = settled(parse_value(text))
        value = tuple(value) if isinstance(value, list) else value
        if not equals or not name.isidentifier() or not _is_plain(value):
            raise InvalidSetting(f"Cannot read --set {setting!r}; write name=value such as draw=limbs.")
        arguments[name] = value
    return arguments


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(part, int) for part in value)
    return value is None or isinstance(value, int | float | str)
