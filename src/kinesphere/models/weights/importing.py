"""Public checkpoints in: strict, key by key."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting, UnknownName
from kinesphere.core.labels import LabelSet
from kinesphere.models.card import ModelCard, WeightEntry
from kinesphere.models.provenance import Provenance
from kinesphere.models.recogniser import Recogniser
from kinesphere.models.registry import MODELS, Architecture
from kinesphere.models.weights.checking import (
    Misfit,
    Source,
    check_finite,
    check_whole,
    compare,
    covers,
    listed,
    not_of,
    own_state,
    without_head,
)
from kinesphere.models.weights.identify import Candidates, identify
from kinesphere.models.weights.inflate import Inflation, fit_image_state
from kinesphere.models.weights.keymap import Arguments, KeyMap
from kinesphere.models.weights.matching import advice
from kinesphere.models.weights.naming import class_names
from kinesphere.models.weights.readers import Foreign, read_foreign

log = logging.getLogger("kinesphere.models")


def import_checkpoint(
    path: str | Path,
    model: str,
    *,
    layout: str | None = None,
    labels: LabelSet | Sequence[str] | None = None,
    arguments: Arguments | None = None,
    further: Mapping[str, Tensor] | None = None,
) -> Recogniser:
    """Read a public checkpoint file into one of our models; nothing in the file is executed.

    A file that the model's card lists (known by its digest, or else by its name and number of classes) is
    read with the builder arguments, the input contract and the class names stated there, which the
    provenance notes.

    Args:
        path: `.pth`, `.pt`, `.tar`, `.pkl`, `.safetensors`, `.tflite`.
        model: Registered name; `model.tag` says which of the card's weights the file holds.
        layout: Name of the key map; None tries all of the model's.
        labels: Class names in the order of the file's head. None takes those stored in the file, else those
            of the card's weights, or numbers the classes, which the provenance notes.
        arguments: Builder arguments in addition to those that the layout and the card imply.
        further: Tensors that the layout knows and the file does not hold.

    Returns:
        The recogniser in evaluation mode.

    Raises:
        UnknownName: If the model, its tag or the layout is unknown.
        InvalidCheckpoint: If any key is left over or missing, or any shape differs (all are counted and the
            first ones named), or a tensor does not hold finite numbers.
    """
    with _advising(path):
        architecture, tag = _target(model)
        source = _from_file(path, architecture.card, tag)
        state = {**source.state, **(further or {})}
        source = replace(source, state=state, labels=labels, arguments=arguments or {})
        return _import(architecture, source, layout)


def import_state(
    theirs: Mapping[str, Tensor],
    model: str,
    *,
    layout: str | None = None,
    labels: LabelSet | Sequence[str] | None = None,
    arguments: Arguments | None = None,
    provenance: Provenance | None = None,
) -> Recogniser:
    """Like `import_checkpoint`, for tensors already in memory."""
    architecture, tag = _target(model)
    card = architecture.card
    candidates = Candidates(card.name, (card.published(tag),) if tag else (), named=bool(tag))
    origin = provenance or Provenance("imported from memory")
    source = Source(theirs, candidates, origin, labels=labels, arguments=arguments or {})
    return _import(architecture, source, layout)


def import_backbone(
    path: str | Path,
    model: str,
    labels: LabelSet | Sequence[str],
    *,
    layout: str | None = None,
    inflation: Inflation = "mean",
    arguments: Arguments | None = None,
) -> Recogniser:
    """Read weights that cover everything but the head (and layers that the source does not have).

    Image kernels are inflated or adapted to other input channels where the network asks for it
    (`fit_image_state`, with `inflation`), which the provenance notes. The tensors that stay fresh are in
    `recogniser.reset` and in the log.

    Args:
        path: As of `import_checkpoint`.
        model: Likewise.
        labels: The classes of the fresh head.
        layout: Name of the key map; None tries all of the model's, those of image weights first.
        inflation: How a 2D kernel fills a 3D one.
        arguments: As of `import_checkpoint`.

    Raises:
        InvalidCheckpoint: If a key is left over, a shape differs, or nothing was covered.
    """
    with _advising(path):
        return _of_backbone(path, model, labels, layout, inflation, arguments or {})


def _of_backbone(
    path: str | Path,
    model: str,
    labels: LabelSet | Sequence[str],
    layout: str | None,
    inflation: Inflation,
    arguments: Arguments,
) -> Recogniser:
    architecture, tag = _target(model)
    names = labels if isinstance(labels, LabelSet) else LabelSet(tuple(labels))
    source = replace(_from_file(path, architecture.card, tag), labels=names, arguments=arguments, stated=())
    misfits = []
    key_maps = _candidates(architecture, source, layout)
    for reading in source.readings():
        for key_map in sorted(key_maps, key=lambda m: not m.backbone_only):
            found = _backbone(architecture, key_map, reading, names, inflation)
            if isinstance(found, Recogniser):
                fresh = ", ".join(found.reset)
                log.warning("%s: backbone from %s; fresh: %s", found.card.name, Path(path).name, fresh)
                return found
            misfits.append(found)
    raise _OtherModel(min(misfits, key=lambda misfit: misfit.count).text)


@contextmanager
def _advising(path: str | Path) -> Iterator[None]:
    """Add to a refusal of a model's name or tensors which models the file is of."""
    try:
        yield
    except UnknownName as error:
        raise UnknownName(f"{error}{advice(path)}") from error
    except _OtherModel as error:
        raise InvalidCheckpoint(f"{error}{advice(path)}") from error


class _OtherModel(InvalidCheckpoint):
    """Tensors that are none of the model that was named."""


def _target(model: str) -> tuple[Architecture, str]:
    stem, _, tag = model.partition(".")
    architecture = MODELS.get(stem)
    if not architecture.key_maps:
        raise InvalidSetting(f"{stem} reads no foreign checkpoints.")
    return architecture, tag


def _from_file(path: str | Path, card: ModelCard, tag: str) -> Source:
    from kinesphere.core.download import digest

    foreign = read_foreign(path)
    sha256 = digest(path)
    origin = Provenance(f"imported {Path(path).name}", sha256=sha256, notes=_remarks(foreign))
    return Source(foreign.state, identify(card, Path(path), sha256, tag), origin, stated=foreign.stated)


def _remarks(foreign: Foreign) -> tuple[str, ...]:
    return tuple(
        f"{what}: {listed(names)}"
        for what, names in (
            ("objects in the file not followed", foreign.inert),
            ("other weights in the file left out", foreign.others),
            ("counters of training tools left out", foreign.counters),
        )
        if names
    )


def _candidates(architecture: Architecture, source: Source, layout: str | None) -> tuple[KeyMap, ...]:
    """The key maps to try: those of the layout asked for, or of the weights named, or all."""
    if layout is None and source.candidates.named:
        layout = source.candidates.entries[0].layout
    chosen = tuple(m for m in architecture.key_maps if layout is None or m.layout == layout)
    if not chosen:
        known = ", ".join(dict.fromkeys(key_map.layout for key_map in architecture.key_maps))
        raise UnknownName(f"{architecture.card.name} reads no layout {layout!r}; it reads: {known}.")
    return chosen


def _import(architecture: Architecture, source: Source, layout: str | None) -> Recogniser:
    candidates = source.candidates
    if candidates.named and candidates.entries[0].backbone_only:
        raise _no_classifier(architecture.card, candidates.entries[0].tag)
    key_maps = _candidates(architecture, source, layout)
    misfits = []
    for reading in source.readings():
        for key_map in key_maps:
            if key_map.backbone_only:
                continue
            found = _whole(architecture, key_map, reading)
            if isinstance(found, Recogniser):
                return found
            misfits.append(found)
    images = [m for m in key_maps if m.backbone_only]
    if any(misfit.is_headless for misfit in misfits):
        raise _no_classifier(architecture.card, "")
    if not misfits or any(
        covers(architecture, key_map, reading) for key_map in images for reading in source.readings()
    ):
        tags = [entry.tag for entry in architecture.card.weights if entry.backbone_only]
        raise _no_classifier(architecture.card, tags[0] if tags else "")
    raise _OtherModel(min(misfits, key=lambda misfit: misfit.count).text)


class NoClassifier(InvalidCheckpoint):
    """Weights of a backbone where those of a whole network were wanted."""


def _no_classifier(card: ModelCard, tag: str) -> NoClassifier:
    if MODELS.get(card.name).words is not None:
        return NoClassifier(
            f"{card.name} has no classes until they are named in words: `kinesphere import FOLDER --model "
            f'{card.name} --classes "wave,clap" --out MODEL.safetensors`, or, to learn them, `--backbone '
            "--labels NAMES.txt` in place of `--classes`."
        )
    public = f"create_model('{card.name}.{tag}', labels) for the public ones, " if tag else ""
    return NoClassifier(
        f"These are weights for the backbone of {card.name}, without a classifier of videos: use {public}"
        f"`kinesphere train DATA model.name={card.name} model.pretrained=FILE`, which takes the labels from "
        f"the data, or `kinesphere import FILE --model {card.name} --backbone --labels NAMES.txt --out "
        "MODEL.safetensors`."
    )


def _whole(architecture: Architecture, key_map: KeyMap, source: Source) -> Recogniser | Misfit:
    """The recogniser that `source` makes in this layout."""
    checked = check_whole(architecture, key_map, source)
    if isinstance(checked, Misfit):
        return checked
    card, entry, given = architecture.card, checked.entry, checked.arguments
    names, notes = class_names(source, entry, checked.classes)
    net = architecture.build_with(checked.state, checked.classes, given)
    check_finite(card.name, net, checked.state)
    notes = [*_read_as(source, entry), *source.notes(), *notes, *_left_out(checked.ignored)]
    origin = replace(
        source.provenance,
        notes=(*source.provenance.notes, *notes),
        trained_on=source.candidates.trained_on(entry),
    )
    return Recogniser(net, card, _specs(architecture, key_map, entry, given), names, given, origin).eval()


def _backbone(
    architecture: Architecture, key_map: KeyMap, source: Source, labels: LabelSet, inflation: Inflation
) -> Recogniser | Misfit:
    """The recogniser whose backbone `source` makes in this layout."""
    card = architecture.card
    try:
        mapped = key_map.to_ours(source.state)
        usable = without_head(card, mapped.state)
        implied = key_map.builder_arguments(source.state)
    except InvalidCheckpoint as error:
        return Misfit(str(error), len(source.state))
    except Exception as error:  # as in `check_whole`
        return Misfit(not_of(card.name, key_map.layout, error), len(source.state))
    entry = source.candidates.choose(key_map.layout, None)
    given = {**implied, **(entry.arguments if entry else {}), **source.arguments}
    own = own_state(architecture, key_map, len(labels), given, source)
    if isinstance(own, Misfit):
        return own
    known = {key: tensor for key, tensor in usable.items() if key in own}
    if not known:
        return Misfit(f"The file holds nothing for the backbone of {card.name}.", len(source.state))
    try:
        fitted = fit_image_state(known, own, inflation)
    except InvalidCheckpoint as error:
        return Misfit(str(error), len(source.state))
    misfit = compare(card.name, key_map.layout, {**usable, **fitted}, own, mapped.unmapped, partial=True)
    if misfit is not None:
        return misfit
    net = architecture.build(len(labels), given)
    net.load_state_dict({**net.state_dict(), **fitted})
    check_finite(card.name, net, fitted)
    changed = [key for key in fitted if fitted[key].shape != usable[key].shape]
    notes = [*_read_as(source, entry), *source.notes()]
    if changed:
        notes.append(f"inflated or adapted to other channels: {', '.join(changed)}")
    if any(fitted[key].dim() != usable[key].dim() for key in changed):
        notes.append(f"kernels inflated over time: {inflation}")
    origin = replace(
        source.provenance,
        origin=f"backbone {source.provenance.origin}",
        notes=(*source.provenance.notes, *notes),
        trained_on=source.candidates.trained_on(entry),
    )
    specs = _specs(architecture, key_map, entry, given)
    recogniser = Recogniser(net, card, specs, labels, given, origin)
    recogniser.reset = tuple(sorted(key for key in own if key not in fitted))
    return recogniser.eval()


def _specs(
    architecture: Architecture, key_map: KeyMap, entry: WeightEntry | None, arguments: Arguments
) -> tuple[ClipSpec, ...]:
    spec = entry.spec if entry is not None and entry.spec is not None else key_map.spec
    return architecture.specs(arguments, None if spec is None else (spec,))


def _read_as(source: Source, entry: WeightEntry | None) -> list[str]:
    return [] if entry is None else [source.candidates.note(entry)]


def _left_out(ignored: Mapping[str, str]) -> list[str]:
    """One note per reason; of several keys the first stands for all."""
    keys: dict[str, list[str]] = {}
    for key, reason in ignored.items():
        keys.setdefault(reason, []).append(key)
    return [
        f"left out {names[0]}" + (f" and {len(names) - 1} like it" if len(names) > 1 else "") + f": {reason}"
        for reason, names in keys.items()
    ]
