"""`kinesphere import`: a public checkpoint in, one of our model files out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kinesphere.apps.cli.console import check_file, console, print_json, say
from kinesphere.apps.cli.options import Json
from kinesphere.core.errors import InvalidSetting, KinesphereError

if TYPE_CHECKING:
    from kinesphere.models.weights.keymap import Arguments

Files = Annotated[
    list[Path],
    typer.Argument(
        help="Foreign checkpoint: .pth, .pt, .tar, .pkl, .safetensors, .tflite; of clip, siglip and xclip "
        "also the folder of a hub's files. Two for a model made of two: first that of the pixels.",
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
Classes = Annotated[
    str | None,
    typer.Option(
        help="Class names with commas between them, in place of --labels; any words for clip, siglip, xclip."
    ),
]
Prompts = Annotated[
    list[str] | None,
    typer.Option(
        "--prompt",
        help="Sentence that names a class in words at {}, such as 'a video of a person {}'; may be repeated.",
    ),
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
    classes: Classes = None,
    prompt: Prompts = None,
    settings: Settings = None,
    backbone: Backbone = False,
    inflation: HowInflated = None,
    norms_from: NormsFrom = None,
    as_json: Json = False,
) -> None:
    """Turn a public checkpoint into a model file.

    Nothing in the file is executed, and every key is checked. A file that the model's card lists is read with
    the settings and class names stated there. Models that compare what they see with words (clip, siglip,
    xclip) recognise the --classes that they are told, without training: other classes are another import.
    A detector of people's actions (MMAction2's AVA models) takes its label map by --labels.
    """
    from kinesphere.models import save_model
    from kinesphere.models.weights.from_files import import_files

    check_file("--out", out, (".safetensors",))
    try:
        recogniser = import_files(
            files,
            model,
            layout=layout,
            labels=_names(labels, classes),
            prompts=prompt or None,
            arguments=_read_settings(settings or []),
            backbone=backbone,
            inflation=inflation,
        )
    except KinesphereError:
        if len(files) == 1 and _import_people_detector(files[0], model, labels, out, as_json=as_json):
            return
        raise
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
    read = " + ".join(file.resolve().name for file in files)
    console().print(f"{read}: {tensors} tensors, {len(recogniser.labels)} classes → {out}", soft_wrap=True)
    for note in notes:
        say("note", "yellow", note)


def _import_people_detector(file: Path, model: str, labels: Path | None, out: Path, *, as_json: bool) -> bool:
    """Import a detector of people's actions, where the file holds one."""
    from kinesphere.annotations.formats.ava import read_label_map
    from kinesphere.localise.people.importing import import_people_detector, is_people_detector

    if not file.is_file() or not is_people_detector(file):
        return False
    names = None if labels is None else read_label_map(labels)
    detector = import_people_detector(file, model, names)
    detector.save(out)
    count = len(detector.labels)
    if as_json:
        print_json({"model": detector.architecture, "classes": count, "out": str(out)})
    else:
        console().print(f"{file.name}: a detector of {count} actions of people → {out}", soft_wrap=True)
    return True


def _names(labels: Path | None, classes: str | None) -> list[str] | None:
    """Names of the classes, from a file or from the command line."""
    from kinesphere.models.weights.from_files import read_names

    if labels is not None and classes is not None:
        raise InvalidSetting("Classes are named by --labels FILE or by --classes NAMES; give one of them.")
    if labels is not None:
        return read_names(labels)
    names = None if classes is None else [name.strip() for name in classes.split(",")]
    if names is not None and not all(names):
        raise InvalidSetting(f'Cannot read --classes {classes!r}; write names as in "wave,clap".')
    return names


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
