"""Which architectures the tensors of a foreign file are those of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from kinesphere.core.errors import KinesphereError
from kinesphere.models.checkpoint import architecture_in
from kinesphere.models.provenance import Provenance
from kinesphere.models.registry import MODELS, list_models
from kinesphere.models.weights.checking import Checked, Source, check_whole, covers
from kinesphere.models.weights.encoders import unread
from kinesphere.models.weights.identify import Candidates
from kinesphere.models.weights.readers import read_foreign, readings

_SHOWN = 6
# Weights that are a network, or a backbone that grows when it is inflated, are of its size by these factors.
_WHOLE_RATIO, _BACKBONE_RATIO = (0.7, 1.4), (0.1, 2.0)
_COVERED = 0.7
"""Fraction of a network without its head that a backbone fills."""


@dataclass(frozen=True)
class Match:
    """An architecture that takes the tensors of a file.

    Attributes:
        model: Its name.
        layout: The layout in which they fit.
        classes: Outputs of the head; None if they are a backbone alone.
    """

    model: str
    layout: str
    classes: int | None


def matches(state: Mapping[str, Tensor]) -> tuple[Match, ...]:
    """The architectures that `state` is all of, and behind them those that it is the backbone of.

    Only names and shapes are compared. Layouts that names or sizes do not fit are passed over before a
    network is built, which takes some tenths of a second each.
    """
    for reading in readings(state):
        source = Source(reading.state, Candidates(""), Provenance("compared"), beside=reading.beside)
        found = (*_whole(source), *_backbones(source))
        if found:
            return found
    return ()


def advice(path: str | Path) -> str:
    """What can be done with a file that was not what its user took it for; empty if nothing is known."""
    try:
        own = architecture_in(Path(path))
        if own is not None:
            return f" The file holds a {own}."
        state = read_foreign(path).state
    except KinesphereError:
        return ""
    return advice_for(matches(state), str(path), state)


def advice_for(found: Sequence[Match], path: str, state: Mapping[str, Tensor]) -> str:
    """The same from what was found in a file with the tensors `state`."""
    if not found:
        return unread(state) or " Its tensors fit none of the known architectures."
    whole = [match for match in found if match.classes is not None]
    others = [match.model for match in found if match.classes is None]
    text = (
        f" Its tensors fit {_names([m.model for m in whole])} ({whole[0].classes} classes)." if whole else ""
    )
    text += f" They fit the backbone of {_names(others)}." if others else ""
    name = found[0].model
    text += (
        f" Start from it with `kinesphere train DATA model.name={name} model.pretrained={path}`, which takes "
        "the labels from the data"
    )
    flags = "" if whole else " --backbone --labels NAMES.txt"
    return f"{text}; or `kinesphere import {path} --model {name}{flags} --out MODEL.safetensors`."


def _names(models: Sequence[str]) -> str:
    more = f" and {len(models) - _SHOWN} more" if len(models) > _SHOWN else ""
    return ", ".join(models[:_SHOWN]) + more


def _whole(source: Source) -> tuple[Match, ...]:
    found = []
    for name in _of_size(source, _WHOLE_RATIO):
        architecture = MODELS.get(name)
        for key_map in architecture.key_maps:
            if key_map.backbone_only:
                continue
            checked = check_whole(architecture, key_map, source, early=True)
            if isinstance(checked, Checked):
                found.append(Match(name, key_map.layout, checked.classes))
                break
    return tuple(found)


def _backbones(source: Source) -> tuple[Match, ...]:
    found = []
    for name in _of_size(source, _BACKBONE_RATIO):
        architecture = MODELS.get(name)
        for key_map in architecture.key_maps:
            if key_map.backbone_only and covers(architecture, key_map, source, least=_COVERED):
                found.append(Match(name, key_map.layout, None))
                break
    return tuple(found)


def _of_size(source: Source, ratios: tuple[float, float]) -> list[str]:
    """Models that have about as many parameters."""
    count = sum(tensor.numel() for tensor in source.state.values())
    least, most = ratios
    return [
        name for name in list_models() if least <= count / max(1, MODELS.get(name).card.parameters) <= most
    ]
