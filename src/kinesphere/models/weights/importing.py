"""Public checkpoints in: strict, key by key."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting, UnknownName
from kinesphere.core.labels import LabelSet
from kinesphere.models.build import MODELS, Architecture, building_at_most
from kinesphere.models.card import ModelCard, WeightEntry
from kinesphere.models.provenance import Provenance
from kinesphere.models.recogniser import Recogniser
from kinesphere.models.weights.class_names import numbered, published_names
from kinesphere.models.weights.identify import Candidates, identify
from kinesphere.models.weights.inflate import Inflation, fit_image_state
from kinesphere.models.weights.keymap import Arguments, KeyMap, State
from kinesphere.models.weights.readers import Foreign, read_foreign, readings
from kinesphere.models.weights.readers.class_lists import Stated

log = logging.getLogger("kinesphere.models")

_SHOWN = 8
_REMEDY = "give the names in the file's order as labels (`--labels FILE`)."


@dataclass(frozen=True, eq=False)
class Source:
    """What is imported, and what is known of it.

    Attributes:
        state: Named tensors in the source's layout.
        labels: Class names that the caller gives.
        stated: Lists of class names that the file states, or that lie beside it.
        arguments: Builder arguments that the caller gives.
        candidates: The public weights it can be.
        beside: Names of tensors of something beside the network, which are left out.
    """

    state: Mapping[str, Tensor]
    candidates: Candidates
    provenance: Provenance
    labels: LabelSet | Sequence[str] | None = None
    stated: tuple[Stated, ...] = ()
    arguments: Arguments = field(default_factory=dict)
    beside: tuple[str, ...] = ()

    def readings(self) -> Iterator[Source]:
        """The source with its names as wrappers of a network can have changed them, the plainest first."""
        for reading in readings(self.state):
            yield replace(self, state=reading.state, beside=reading.beside)

    def notes(self) -> list[str]:
        """What the reading left out."""
        return [f"left out, as beside the network: {_listed(self.beside)}"] if self.beside else []


@dataclass(frozen=True, eq=False)
class Checked:
    """A source that is a whole network.

    Attributes:
        state: Its tensors under our names.
        classes: Outputs of its head.
        entry: The public weights that it is, if it is any.
        arguments: Builder arguments.
        ignored: Tensors that the network does not need, with the reason.
    """

    state: State
    classes: int
    entry: WeightEntry | None
    arguments: Arguments
    ignored: Mapping[str, str]


@dataclass(frozen=True)
class _Misfit:
    """Why weights do not fit a layout, with the number of tensors in the way."""

    text: str
    count: int


def import_checkpoint(
    path: str | Path,
    model: str,
    *,
    layout: str | None = None,
    labels: LabelSet | Sequence[str] | None = None,
    arguments: Arguments | None = None,
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
        return _import(architecture, replace(source, labels=labels, arguments=arguments or {}), layout)


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
    from kinesphere.models.weights.matching import advice

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
        f"{what}: {_listed(names)}"
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
    if not misfits or any(
        covers(architecture, key_map, reading) for key_map in images for reading in source.readings()
    ):
        tags = [entry.tag for entry in architecture.card.weights if entry.backbone_only]
        raise _no_classifier(architecture.card, tags[0] if tags else "")
    raise _OtherModel(min(misfits, key=lambda misfit: misfit.count).text)


class NoClassifier(InvalidCheckpoint):
    """Weights of a backbone where those of a whole network were wanted."""


def _no_classifier(card: ModelCard, tag: str) -> NoClassifier:
    public = f"create_model('{card.name}.{tag}', labels) for the public ones, " if tag else ""
    return NoClassifier(
        f"These are weights for the backbone of {card.name}, without a classifier of videos: use {public}"
        f"`kinesphere train DATA model.name={card.name} model.pretrained=FILE`, which takes the labels from "
        f"the data, or `kinesphere import FILE --model {card.name} --backbone --labels NAMES.txt --out "
        "MODEL.safetensors`."
    )


def check_whole(
    architecture: Architecture, key_map: KeyMap, source: Source, *, early: bool = False
) -> Checked | _Misfit:
    """Whether `source` is a whole network in this layout.

    Args:
        architecture: The network.
        key_map: The layout.
        source: What is imported.
        early: Give up before a network is built where names alone tell.
    """
    card, size = architecture.card, len(source.state)
    known = size
    try:
        mapped = key_map.to_ours(source.state)
        state = dict(mapped.state)
        classes = _classes(card, state)
        known = size if classes is None else len(mapped.unmapped)
        # without a head it is another layout, whose tensors tell nothing
        implied = key_map.arguments if classes is None else key_map.builder_arguments(source.state)
        if early and (mapped.unmapped or classes is None or not _has_stages(card, state)):
            return _Misfit("", size)
    except InvalidCheckpoint as error:  # a layout that knows all names knows best what is wrong
        return _Misfit(str(error), known)
    except Exception as error:  # a layout's rules take the forms of its tensors for granted
        return _Misfit(_not_of(card.name, key_map.layout, error), size)
    entry = None if classes is None else source.candidates.choose(key_map.layout, classes)
    given = {**implied, **(entry.arguments if entry else {}), **source.arguments}
    own = _own(architecture, key_map, classes or card.classes, given, source)
    if isinstance(own, _Misfit):
        return own
    counters = [key for key in own if key.endswith("num_batches_tracked") and key not in state]
    state |= {key: torch.zeros((), dtype=torch.int64) for key in counters}  # only counts training steps
    misfit = _compare(card.name, key_map.layout, state, own, mapped.unmapped, partial=False)
    if misfit is not None or classes is None:
        return misfit or _Misfit(f"These weights have no head of {card.name}.", size)
    return Checked(state, classes, entry, given, mapped.ignored)


def _whole(architecture: Architecture, key_map: KeyMap, source: Source) -> Recogniser | _Misfit:
    """The recogniser that `source` makes in this layout."""
    checked = check_whole(architecture, key_map, source)
    if isinstance(checked, _Misfit):
        return checked
    card, entry, given = architecture.card, checked.entry, checked.arguments
    names, notes = _named(source, entry, checked.classes)
    net = architecture.build_with(checked.state, checked.classes, given)
    _check_finite(card.name, net, checked.state)
    notes = [*_read_as(source, entry), *source.notes(), *notes, *_left_out(checked.ignored)]
    origin = replace(source.provenance, notes=(*source.provenance.notes, *notes))
    return Recogniser(net, card, _specs(architecture, key_map, entry, given), names, given, origin).eval()


def _backbone(
    architecture: Architecture, key_map: KeyMap, source: Source, labels: LabelSet, inflation: Inflation
) -> Recogniser | _Misfit:
    """The recogniser whose backbone `source` makes in this layout."""
    card = architecture.card
    try:
        mapped = key_map.to_ours(source.state)
        usable = _without_head(card, mapped.state)
        implied = key_map.builder_arguments(source.state)
    except InvalidCheckpoint as error:
        return _Misfit(str(error), len(source.state))
    except Exception as error:  # as in `check_whole`
        return _Misfit(_not_of(card.name, key_map.layout, error), len(source.state))
    entry = source.candidates.choose(key_map.layout, None)
    given = {**implied, **(entry.arguments if entry else {}), **source.arguments}
    own = _own(architecture, key_map, len(labels), given, source)
    if isinstance(own, _Misfit):
        return own
    known = {key: tensor for key, tensor in usable.items() if key in own}
    if not known:
        return _Misfit(f"The file holds nothing for the backbone of {card.name}.", len(source.state))
    try:
        fitted = fit_image_state(known, own, inflation)
    except InvalidCheckpoint as error:
        return _Misfit(str(error), len(source.state))
    misfit = _compare(card.name, key_map.layout, {**usable, **fitted}, own, mapped.unmapped, partial=True)
    if misfit is not None:
        return misfit
    net = architecture.build(len(labels), given)
    net.load_state_dict({**net.state_dict(), **fitted})
    _check_finite(card.name, net, fitted)
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
    )
    specs = _specs(architecture, key_map, entry, given)
    recogniser = Recogniser(net, card, specs, labels, given, origin)
    recogniser.reset = tuple(sorted(key for key in own if key not in fitted))
    return recogniser.eval()


def covers(architecture: Architecture, key_map: KeyMap, source: Source, *, least: float = 0.0) -> bool:
    """Whether image weights are what the layout knows, without a key that has no place.

    Args:
        architecture: The network.
        key_map: The layout of image weights.
        source: What is imported.
        least: Share of the network's tensors without the head's that are filled at least.
    """
    card = architecture.card
    try:
        mapped = key_map.to_ours(source.state)
        usable = _without_head(card, mapped.state)
        if mapped.unmapped or not _has_stages(card, usable):
            return False
    except Exception:  # rules take the forms of tensors for granted
        return False
    own = _own(architecture, key_map, card.classes, {**key_map.arguments, **source.arguments}, source)
    if isinstance(own, _Misfit) or not usable or any(key not in own for key in usable):
        return False
    return len(usable) >= least * len(_without_head(card, own))


def _has_stages(card: ModelCard, state: State) -> bool:
    """Whether there are tensors of the last stage: what has none is no network of the kind."""
    return any(key.startswith(f"{card.stages[-1]}.") for key in state)


def _not_of(model: str, layout: str, error: Exception) -> str:
    return (
        f"These weights are no {model} in the {layout} layout: their tensors have other forms "
        f"({type(error).__name__}: {error}). Choose another model or layout."
    )


def _own(
    architecture: Architecture, key_map: KeyMap, classes: int, arguments: Arguments, source: Source
) -> State | _Misfit:
    """The state of the network that the arguments ask for, without values."""
    try:
        return _shapes(architecture, classes, arguments, len(source.state))
    except InvalidCheckpoint as error:
        return _Misfit(str(error), len(source.state))
    except Exception as error:  # builders do not expect what a hostile file implies
        if source.arguments and isinstance(error, InvalidSetting):
            raise
        return _Misfit(_not_of(architecture.card.name, key_map.layout, error), len(source.state))


def _shapes(architecture: Architecture, classes: int, arguments: Arguments, tensors: int) -> State:
    """The network's state without values: building a large one only to refuse it costs seconds."""
    with torch.device("meta"), building_at_most(tensors, "The file"):
        return architecture.build(classes, arguments).state_dict()


def _classes(card: ModelCard, state: State) -> int | None:
    """Outputs of the head; None if the state has none."""
    head = f"{card.head[0]}."
    weights = (k for k in state if k.startswith(head) and k.endswith(".weight"))
    return next((state[key].shape[0] for key in weights if state[key].dim() and state[key].shape[0]), None)


def _without_head(card: ModelCard, state: State) -> State:
    heads = tuple(f"{head}." for head in card.head)
    return {key: tensor for key, tensor in state.items() if not key.startswith(heads)}


def _specs(
    architecture: Architecture, key_map: KeyMap, entry: WeightEntry | None, arguments: Arguments
) -> tuple[ClipSpec, ...]:
    spec = entry.spec if entry is not None and entry.spec is not None else key_map.spec
    return architecture.specs(arguments, None if spec is None else (spec,))


def _named(source: Source, entry: WeightEntry | None, classes: int) -> tuple[LabelSet, list[str]]:
    """Names of the classes, and what to note about them."""
    if source.labels is not None:
        names = source.labels if isinstance(source.labels, LabelSet) else LabelSet(tuple(source.labels))
        if len(names) != classes:
            raise InvalidCheckpoint(
                f"The weights have {classes} classes, but {len(names)} labels were given."
            )
        return names, []
    fitting = [stated for stated in source.stated if len(stated.names) == classes]
    own = [stated for stated in source.stated if not stated.is_beside]
    if fitting:
        return _stored(fitting, classes)
    if own:
        raise InvalidCheckpoint(
            f"The weights have {classes} classes, but the file names {len(own[0].names)}; its "
            f"{own[0].where!r} does not fit: {_REMEDY}"
        )
    published = None if entry is None else published_names(entry)
    if entry is not None and published is not None and len(published) == classes:
        return published, [f"label names are those of {entry.labels}, in the publisher's order"]
    notes = [
        f"{each.where} names {len(each.names)} classes, not {classes}: not used" for each in source.stated
    ]
    return numbered(classes), ["label names are numbers: the file held none and none were given", *notes]


def _stored(fitting: Sequence[Stated], classes: int) -> tuple[LabelSet, list[str]]:
    """The names that a file states; refused where several lists contradict each other."""
    first, *others = fitting
    for other in others:
        if other.is_beside == first.is_beside:
            raise InvalidCheckpoint(
                f"There are {classes} class names in {first.where} and others in {other.where}; {_REMEDY}"
            )
    try:
        labels = LabelSet(first.names)
    except InvalidSetting as error:
        raise InvalidCheckpoint(f"The file's class names are unusable ({error}); {_REMEDY}") from error
    return labels, [f"label names are those of {first.where}, beside the file"] if first.is_beside else []


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


def _compare(
    model: str, layout: str, state: State, own: State, unmapped: tuple[str, ...], *, partial: bool
) -> _Misfit | None:
    """What keeps a state from being the network's; with `partial`, it need not hold all of it."""
    both = [key for key in state if key in own]
    shapes = [key for key in both if state[key].shape != own[key].shape]
    kinds = [key for key in both if own[key].is_floating_point() and not state[key].is_floating_point()]
    problems = {
        "left over": [*unmapped, *(key for key in state if key not in own)],
        "missing": [] if partial else [key for key in own if key not in state],
        "of another shape": [
            f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}" for key in shapes
        ],
        "not of floating point": [f"{key} {str(state[key].dtype).removeprefix('torch.')}" for key in kinds],
    }
    count = sum(map(len, problems.values()))
    if not count:
        return None
    parts = [f"{len(keys)} {what} ({_listed(keys)})" for what, keys in problems.items() if keys]
    return _Misfit(
        f"These weights are no {model} in the {layout} layout: {'; '.join(parts)}. "
        "Choose another model or layout.",
        count,
    )


def _check_finite(model: str, net: nn.Module, loaded: Mapping[str, Tensor]) -> None:
    """Refuse numbers that are none, or that single precision cannot hold."""
    own = net.state_dict()
    wrong = [key for key in loaded if own[key].is_floating_point() and not own[key].isfinite().all()]
    if wrong:
        raise InvalidCheckpoint(
            f"{len(wrong)} tensors of this {model} hold values that are not finite in single precision "
            f"({_listed(wrong)}): the training diverged or the file is damaged. Take another file."
        )


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", …" if len(keys) > _SHOWN else "")
