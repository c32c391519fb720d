"""A recogniser from foreign files: one file for most models, one for each part of a model made of parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kinesphere.core.errors import InvalidSetting
from kinesphere.models.recogniser import Recogniser
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.importing import import_backbone, import_checkpoint
from kinesphere.models.weights.inflate import Inflation
from kinesphere.models.weights.joining import import_parts
from kinesphere.models.weights.keymap import Arguments
from kinesphere.models.weights.readers.class_lists import LARGEST_FILE, names_of_file, names_of_lines
from kinesphere.models.weights.words import import_words, words_of


def import_files(
    files: Sequence[Path],
    model: str,
    *,
    layout: str | None = None,
    labels: Sequence[str] | None = None,
    arguments: Arguments | None = None,
    backbone: bool = False,
    inflation: Inflation | None = None,
    prompts: Sequence[str] | None = None,
) -> Recogniser:
    """A registered architecture with the weights in foreign files.

    Args:
        files: One file; of a model made of parts one for each (see `import_parts`).
        model: Name of the architecture; `name.tag` for weights of its card.
        layout: Origin of the files; found out if not given.
        labels: Names of the classes, in the files' order; with `backbone` those that are to be learnt; of a
            model whose classes are named in words those to name.
        arguments: Builder arguments.
        backbone: Take all but the head, also from weights of images.
        inflation: How kernels of images fill time; of a backbone only, `"mean"` by default.
        prompts: Sentences that name a class (see `import_words`).

    Raises:
        InvalidSetting: If there are more or fewer files than the model is read from, a backbone or classes
            named in words lack labels, or `inflation` is given without `backbone`, or `prompts` for a model
            whose classes are learnt.
        InvalidCheckpoint: If a file is damaged or of another model.
    """
    if inflation is not None and not backbone:
        raise InvalidSetting("--inflation is for weights of images; add --backbone.")
    named = None if backbone else words_of(model)
    if prompts is not None and named is None:
        raise InvalidSetting(f"--prompt is for models whose classes are named in words; {model} learns them.")
    if backbone:
        if labels is None:
            raise InvalidSetting("A backbone has no classes; give those to learn with --labels FILE.")
        return import_backbone(
            _only(files, model),
            model,
            labels,
            layout=layout,
            inflation=inflation or "mean",
            arguments=arguments,
        )
    if named is not None:
        if labels is None:
            raise InvalidSetting(
                f'{model} recognises what it is told in words: name the classes with --classes "wave,clap" '
                "or --labels FILE; or take --backbone to train them."
            )
        return import_words(
            _only(files, model), model, labels, prompts=prompts, layout=layout, arguments=arguments
        )
    if model in MODELS and MODELS.get(model).parts:
        return import_parts(files, model, layout=layout, labels=labels, arguments=arguments)
    return import_checkpoint(_only(files, model), model, layout=layout, labels=labels, arguments=arguments)


def _only(files: Sequence[Path], model: str) -> Path:
    if len(files) != 1:
        raise InvalidSetting(f"{model} is read from one file; got {len(files)}.")
    return files[0]


def read_names(path: Path) -> list[str]:
    """Names of classes from a text file, one a line, in the order of their numbers where lines have some.

    `.json` and `.yaml` files are read as those that lie beside a checkpoint.

    Raises:
        InvalidSetting: If it cannot be read, or lists no names.
    """
    try:
        with path.open("rb") as file:  # a pipe of the shell's, too
            data = file.read(LARGEST_FILE + 1)
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidSetting(f"Cannot read the labels in {path}: {reason}.") from error
    if len(data) > LARGEST_FILE:
        raise InvalidSetting(f"{path} is larger than {LARGEST_FILE >> 20} MB, which no list of classes is.")
    names = names_of_file(path) if path.suffix.lower() in (".json", ".yaml", ".yml") else names_of_lines(text)
    if names is None:
        raise InvalidSetting(f"{path} lists no names of classes; write one a line, in the file's order.")
    return list(names)
