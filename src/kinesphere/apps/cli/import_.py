"""`kinesphere import`: a public checkpoint in, one of our model files out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinesphere.apps.cli.console import Json, console, print_json
from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from kinesphere.models import Recogniser


def import_(
    file: Annotated[
        Path, typer.Argument(help="Foreign checkpoint: .pth, .pt, .tar, .pkl, .safetensors, .tflite.")
    ],
    model: Annotated[str, typer.Option(help="Registered architecture that it belongs to.")],
    out: Annotated[Path, typer.Option(help="Model file to write, .safetensors.")],
    layout: Annotated[str | None, typer.Option(help="Origin of the file; found out if not given.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Class names in the file's order, one a line.")] = None,
    norms_from: Annotated[
        str | None,
        typer.Option(help="Videos that give a folded network the batch norms it needs to be fine-tuned."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn a public checkpoint into a model file.

    Nothing in the file is executed, and every key is checked.
    """
    from kinesphere.models import import_checkpoint, save_model

    if out.suffix != ".safetensors":
        raise InvalidSetting(f"--out names a .safetensors file; got {str(out)!r}.")
    names = _read_labels(labels) if labels is not None else None
    recogniser = import_checkpoint(file, model, layout=layout, labels=names)
    if norms_from is not None:
        recogniser = _with_norms(recogniser, norms_from)
    save_model(recogniser, out)
    notes = list(recogniser.provenance.notes)
    if as_json:
        print_json({"model": model, "classes": len(recogniser.labels), "out": str(out), "notes": notes})
        return
    screen = console()
    tensors = len(recogniser.net.state_dict())
    screen.print(f"{file.name}: {tensors} tensors, {len(recogniser.labels)} classes → {out}", soft_wrap=True)
    for note in notes:
        screen.print(f"[yellow]note[/]  {note}", soft_wrap=True)


def _with_norms(folded: Recogniser, videos: str) -> Recogniser:
    """Batch norms from the clips of both halves of each video."""
    from kinesphere.clips import rgb
    from kinesphere.models.unfold import restore_norms
    from kinesphere.predict.sources import find_sources
    from kinesphere.video import Video

    spec = folded.specs[0]

    def clips() -> Iterator[Tensor]:
        for source in find_sources([videos]):
            with Video.open(source) as video:
                part_s = (video.duration_s or 0.0) / 2
                spans = [(n * part_s, (n + 1) * part_s) for n in range(2)] if part_s else [None]
                for span in spans:
                    (clip,) = rgb.read(video, spec, span)
                    yield rgb.normalise(clip.data[None], spec)

    return restore_norms(folded, clips())


def _read_labels(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"Cannot read the labels in {path}: {error}.") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
