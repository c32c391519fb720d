"""`kinesphere import`: a public checkpoint in, one of our model files out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kinesphere.apps.cli.console import Json, check_file, console, print_json, say
from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from kinesphere.models import Recogniser
    from kinesphere.models.weights.keymap import Arguments


def import_(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Foreign checkpoint: .pth, .pt, .tar, .pkl, .safetensors, .tflite. Two for a model made "
            "of two: first that of the pixels.",
            metavar="FILE...",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(help="Registered architecture that it belongs to; NAME.TAG for weights of its card."),
    ],
    out: Annotated[Path, typer.Option(help="Model file to write, .safetensors.")],
    layout: Annotated[str | None, typer.Option(help="Origin of the file; found out if not given.")] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Class names in the file's order, one a line; with --backbone those to learn."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Argument of the network, such as draw=limbs; may be repeated."),
    ] = None,
    backbone: Annotated[
        bool, typer.Option("--backbone", help="Take all but the head, also from weights of images.")
    ] = False,
    inflation: Annotated[
        Literal["mean", "centre"] | None,
        typer.Option(help="With --backbone: how kernels of images fill time. [default: mean]"),
    ] = None,
    norms_from: Annotated[
        str | None,
        typer.Option(help="Videos that give a folded network the batch norms it needs to be fine-tuned."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn a public checkpoint into a model file.

    Nothing in the file is executed, and every key is checked. A file that the model's card lists is read with
    the settings and class names stated there.
    """
    from kinesphere.models import import_backbone, import_checkpoint, save_model
    from kinesphere.models.registry import MODELS
    from kinesphere.models.weights.joining import import_parts

    check_file("--out", out, (".safetensors",))
    if inflation is not None and not backbone:
        raise InvalidSetting("--inflation is for weights of images; add --backbone.")
    names = _read_labels(labels) if labels is not None else None
    arguments = _read_settings(settings or [])
    if backbone:
        if names is None:
            raise InvalidSetting("A backbone has no classes; give those to learn with --labels FILE.")
        recogniser = import_backbone(
            _only(files, model),
            model,
            names,
            layout=layout,
            inflation=inflation or "mean",
            arguments=arguments,
        )
    elif model in MODELS and MODELS.get(model).parts:
        recogniser = import_parts(files, model, layout=layout, labels=names, arguments=arguments)
    else:
        recogniser = import_checkpoint(
            _only(files, model), model, layout=layout, labels=names, arguments=arguments
        )
    if norms_from is not None:
        recogniser = _with_norms(recogniser, norms_from)
    save_model(recogniser, out)
    notes = list(recogniser.provenance.notes)
    if as_json:
        print_json({
            "model": recogniser.card.name, "classes": len(recogniser.labels), "out": str(out), "notes": notes,
            "fresh": list(recogniser.reset),
        })  # fmt: skip
        return
    screen = console()
    tensors = len(recogniser.net.state_dict()) - len(recogniser.reset)
    read = " + ".join(file.name for file in files)
    screen.print(f"{read}: {tensors} tensors, {len(recogniser.labels)} classes → {out}", soft_wrap=True)
    for note in notes:
        say("note", "yellow", note)


def _only(files: list[Path], model: str) -> Path:
    if len(files) != 1:
        raise InvalidSetting(f"{model} is read from one file; got {len(files)}.")
    return files[0]


def _with_norms(folded: Recogniser, videos: str) -> Recogniser:
    """Batch norms from the clips of both halves of each video."""
    from kinesphere.clips.modalities import rgb
    from kinesphere.models.weights.unfuse import restore_norms
    from kinesphere.predict.sources import find_sources
    from kinesphere.video import Video

    spec = folded.specs[0]

    def clips() -> Iterator[Tensor]:
        for source in find_sources([videos]):
            with Video.open(source) as video:
                first_s = video.start_s
                part_s = ((video.duration_s or 0.0) - first_s) / 2
                parts = [(first_s + n * part_s, first_s + (n + 1) * part_s) for n in range(2)]
                spans = parts if part_s > 0 else [None]
                for span in spans:
                    (clip,) = rgb.read(video, spec, span)
                    yield rgb.normalise(clip.data[None], spec)

    return restore_norms(folded, clips())


def _read_labels(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidSetting(f"Cannot read the labels in {path}: {reason}.") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


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
