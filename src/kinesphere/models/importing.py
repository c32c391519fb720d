"""Public checkpoints in: strict, key by key."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidCheckpoint, UnknownName
from kinesphere.core.labels import LabelSet
from kinesphere.models.build import MODELS, Architecture
from kinesphere.models.inflate import Inflation, fit_image_state
from kinesphere.models.keymap import Arguments, KeyMap, State
from kinesphere.models.provenance import Provenance
from kinesphere.models.recogniser import Recogniser

log = logging.getLogger("kinesphere.models")

_SHOWN = 8


class _Refusal(InvalidCheckpoint):
    """Weights that do not fit a layout, with the number of tensors in the way."""

    def __init__(self, message: str, problems: int) -> None:
        super().__init__(message)
        self.problems = problems


def import_checkpoint(
    path: str | Path,
    model: str,
    *,
    layout: str | None = None,
    labels: LabelSet | Sequence[str] | None = None,
    arguments: Arguments | None = None,
) -> Recogniser:
    """Read a public checkpoint file into one of our models; nothing in the file is executed.

    Args:
        path: `.pth`, `.pt`, `.tar`, `.pkl`, `.safetensors`, `.tflite`.
        model: Registered name.
        layout: Name of the key map; None tries all of the model's.
        labels: Class names in the order of the file's head. None takes those stored in the file, or
            numbers the classes, which the provenance notes.
        arguments: Builder arguments in addition to those that the layout implies.

    Returns:
        The recogniser in evaluation mode.

    Raises:
        InvalidCheckpoint: If any key is left over or missing, or any shape differs; all are counted
            and the first ones named.
    """
    from kinesphere.core.download import digest
    from kinesphere.models.convert import read_foreign

    foreign = read_foreign(path)
    notes = (f"objects in the file not followed: {', '.join(foreign.inert)}",) if foreign.inert else ()
    provenance = Provenance(f"imported {Path(path).name}", sha256=digest(path), notes=notes)
    return import_state(
        foreign.state,
        model,
        layout=layout,
        labels=labels if labels is not None else foreign.labels,
        arguments=arguments,
        provenance=provenance,
    )


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
    architecture = MODELS.get(model)
    key_maps = _candidates(architecture, layout)
    refusals: list[_Refusal] = []
    for key_map in key_maps:
        try:
            return _import(architecture, key_map, theirs, labels, arguments or {}, provenance)
        except _Refusal as refusal:
            refusals.append(refusal)
    raise min(refusals, key=lambda refusal: refusal.problems)


def import_backbone(
    path: str | Path,
    model: str,
    labels: LabelSet,
    *,
    layout: str,
    inflation: Inflation = "mean",
    arguments: Arguments | None = None,
) -> Recogniser:
    """Read weights that cover everything but the head (and layers that the source does not have).

    Image kernels are inflated or adapted to other input channels where the network asks for it
    (`fit_image_state`, with `inflation`), which the provenance notes. The tensors that stay fresh are in
    `recogniser.reset` and in the log.

    Raises:
        InvalidCheckpoint: If a key is left over, a shape differs, or nothing was covered.
    """
    from kinesphere.core.download import digest
    from kinesphere.models.convert import read_foreign

    architecture = MODELS.get(model)
    (key_map,) = _candidates(architecture, layout)
    theirs = read_foreign(path).state
    given = {**key_map.builder_arguments(theirs), **(arguments or {})}
    net = architecture.build(len(labels), given)
    mapped = key_map.to_ours(theirs)
    own = net.state_dict()
    heads = tuple(f"{head}." for head in architecture.card.head)
    usable = {key: tensor for key, tensor in mapped.state.items() if not key.startswith(heads)}
    extra = [key for key in usable if key not in own]
    _check(model, key_map.layout, mapped.unmapped + tuple(extra), (), ())
    fresh = sorted(key for key in own if key not in usable)
    if not usable:
        raise InvalidCheckpoint(f"{Path(path).name} holds nothing for the backbone of {model}.")
    fitted = fit_image_state(usable, own, inflation)
    changed = [key for key in fitted if fitted[key].shape != usable[key].shape]
    notes = (f"inflated or adapted to other channels: {', '.join(changed)}",) if changed else ()
    net.load_state_dict({**own, **fitted})
    provenance = Provenance(f"backbone imported from {Path(path).name}", sha256=digest(path), notes=notes)
    recogniser = Recogniser(
        net, architecture.card, _specs(architecture, key_map, given), labels, given, provenance
    )
    recogniser.reset = tuple(fresh)
    log.warning("%s: backbone from %s; fresh: %s", model, Path(path).name, ", ".join(fresh))
    return recogniser.eval()


def _candidates(architecture: Architecture, layout: str | None) -> tuple[KeyMap, ...]:
    known = ", ".join(key_map.layout for key_map in architecture.key_maps) or "none"
    chosen = tuple(m for m in architecture.key_maps if layout is None or m.layout == layout)
    if not chosen:
        raise UnknownName(f"{architecture.card.name} reads no layout {layout!r}; it reads: {known}.")
    return chosen


def _import(
    architecture: Architecture,
    key_map: KeyMap,
    theirs: Mapping[str, Tensor],
    labels: LabelSet | Sequence[str] | None,
    arguments: Arguments,
    provenance: Provenance | None,
) -> Recogniser:
    card = architecture.card
    mapped = key_map.to_ours(theirs)
    state = mapped.state
    head = f"{card.head[0]}."
    classes = next((state[k].shape[0] for k in state if k.startswith(head) and k.endswith(".weight")), None)
    if classes is None:
        raise _refusal(card.name, key_map.layout, mapped.unmapped, (f"{head}weight",), ())
    given = {**key_map.builder_arguments(theirs), **arguments}
    with torch.device("meta"):  # shapes first: building a large network only to refuse it costs seconds
        own = architecture.build(classes, given).state_dict()
    counters = [key for key in own if key.endswith("num_batches_tracked") and key not in state]
    state |= {key: torch.zeros((), dtype=torch.int64) for key in counters}  # only counts training steps
    extra = tuple(key for key in state if key not in own)
    missing = tuple(key for key in own if key not in state)
    _check(card.name, key_map.layout, mapped.unmapped + extra, missing, _misshapen(state, own))
    net = architecture.build_with(state, classes, given)
    names, notes = _named(labels, classes)
    origin = provenance or Provenance(f"imported ({key_map.layout} layout)")
    notes += _left_out(mapped.ignored)
    origin = replace(origin, notes=(*origin.notes, *notes))
    return Recogniser(net, card, _specs(architecture, key_map, given), names, given, origin).eval()


def _specs(architecture: Architecture, key_map: KeyMap, arguments: Arguments) -> tuple[ClipSpec, ...]:
    return architecture.specs(arguments, None if key_map.spec is None else (key_map.spec,))


def _named(labels: LabelSet | Sequence[str] | None, classes: int) -> tuple[LabelSet, list[str]]:
    if labels is None:
        width = max(3, len(str(classes - 1)))
        numbered = LabelSet(tuple(f"class_{i:0{width}d}" for i in range(classes)))
        return numbered, ["label names are numbers: the file held none and none were given"]
    names = labels if isinstance(labels, LabelSet) else LabelSet(tuple(labels))
    if len(names) != classes:
        raise InvalidCheckpoint(f"The weights have {classes} classes, but {len(names)} labels were given.")
    return names, []


def _left_out(ignored: Mapping[str, str]) -> list[str]:
    """One note per reason; of several keys the first stands for all."""
    keys: dict[str, list[str]] = {}
    for key, reason in ignored.items():
        keys.setdefault(reason, []).append(key)
    return [
        f"left out {names[0]}" + (f" and {len(names) - 1} like it" if len(names) > 1 else "") + f": {reason}"
        for reason, names in keys.items()
    ]


def _misshapen(state: State, own: State) -> tuple[str, ...]:
    return tuple(
        f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}"
        for key in state
        if key in own and state[key].shape != own[key].shape
    )


def _check(
    model: str, layout: str, extra: tuple[str, ...], missing: tuple[str, ...], shapes: tuple[str, ...]
) -> None:
    if extra or missing or shapes:
        raise _refusal(model, layout, extra, missing, shapes)


def _refusal(
    model: str, layout: str, extra: tuple[str, ...], missing: tuple[str, ...], shapes: tuple[str, ...]
) -> _Refusal:
    parts = [
        f"{len(keys)} {what} ({', '.join(keys[:_SHOWN])}{', …' if len(keys) > _SHOWN else ''})"
        for what, keys in (("left over", extra), ("missing", missing), ("of another shape", shapes))
        if keys
    ]
    return _Refusal(
        f"These weights are no {model} in the {layout} layout: {'; '.join(parts)}. "
        "Choose another model or layout.",
        len(extra) + len(missing) + len(shapes),
    )
