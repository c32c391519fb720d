"""Whether named tensors are a network, or the backbone of one: key by key, before it is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.models.card import ModelCard, WeightEntry
from kinesphere.models.provenance import Provenance
from kinesphere.models.registry import Architecture, building_at_most
from kinesphere.models.weights.identify import Candidates
from kinesphere.models.weights.keymap import Arguments, KeyMap, StateDict
from kinesphere.models.weights.readers import readings
from kinesphere.models.weights.readers.class_lists import Stated

_SHOWN = 8


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
        return [f"left out, as beside the network: {listed(self.beside)}"] if self.beside else []


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

    state: StateDict
    classes: int
    entry: WeightEntry | None
    arguments: Arguments
    ignored: Mapping[str, str]


@dataclass(frozen=True)
class Misfit:
    """Why weights do not fit a layout, with the number of tensors in the way.

    Attributes:
        text: The reason.
        count: Tensors that do not fit.
        is_headless: Whether all is there but the head.
    """

    text: str
    count: int
    is_headless: bool = False


def check_whole(
    architecture: Architecture, key_map: KeyMap, source: Source, *, early: bool = False
) -> Checked | Misfit:
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
            return Misfit("", size)
    except InvalidCheckpoint as error:  # a layout that knows all names knows best what is wrong
        return Misfit(str(error), known)
    except Exception as error:  # a layout's rules take the forms of its tensors for granted
        return Misfit(not_of(card.name, key_map.layout, error), size)
    entry = None if classes is None else source.candidates.choose(key_map.layout, classes)
    given = {**implied, **(entry.arguments if entry else {}), **source.arguments}
    own = own_state(architecture, key_map, classes or card.classes, given, source)
    if isinstance(own, Misfit):
        return own
    counters = [key for key in own if key.endswith("num_batches_tracked") and key not in state]
    state |= {key: torch.zeros((), dtype=torch.int64) for key in counters}  # only counts training steps
    misfit = compare(card.name, key_map.layout, state, own, mapped.unmapped, partial=False)
    if classes is None:
        rest = without_head(card, own)
        whole = compare(card.name, key_map.layout, state, rest, mapped.unmapped, partial=False) is None
        text = misfit.text if misfit else f"These weights have no head of {card.name}."
        return Misfit(text, misfit.count if misfit else size, is_headless=whole)
    if misfit is not None:
        return misfit
    return Checked(state, classes, entry, given, mapped.ignored)


def covers(architecture: Architecture, key_map: KeyMap, source: Source, *, least: float = 0.0) -> bool:
    """Whether a backbone's weights are what the layout knows, without a key that has no place.

    Args:
        architecture: The network.
        key_map: The layout of the backbone.
        source: What is imported.
        least: Fraction that is filled at least of the network's tensors without the head's and fresh ones.
    """
    card = architecture.card
    try:
        mapped = key_map.to_ours(source.state)
        usable = without_head(card, mapped.state)
        if mapped.unmapped or not _has_stages(card, usable, key_map.fresh):
            return False
        implied = key_map.builder_arguments(source.state)
    except Exception:  # rules take the forms of tensors for granted
        return False
    own = own_state(architecture, key_map, card.classes, {**implied, **source.arguments}, source)
    if isinstance(own, Misfit) or not usable or any(key not in own for key in usable):
        return False
    fresh = tuple(f"{path}." for path in key_map.fresh)
    wanted = [key for key in without_head(card, own) if not key.startswith(fresh)]
    return len(usable) >= least * len(wanted)


def _has_stages(card: ModelCard, state: StateDict, fresh: tuple[str, ...] = ()) -> bool:
    """Whether the last stage that is not fresh has tensors: what has none is no network of the kind."""
    last = [stage for stage in card.stages if stage not in fresh][-1]
    return any(key.startswith(f"{last}.") for key in state)


def not_of(model: str, layout: str, error: Exception) -> str:
    return (
        f"These weights are no {model} in the {layout} layout: their tensors have other forms "
        f"({type(error).__name__}: {error}). Choose another model or layout."
    )


def own_state(
    architecture: Architecture, key_map: KeyMap, classes: int, arguments: Arguments, source: Source
) -> StateDict | Misfit:
    """The state of the network that the arguments ask for, without values."""
    try:
        return _shapes(architecture, classes, arguments, len(source.state))
    except InvalidCheckpoint as error:
        return Misfit(str(error), len(source.state))
    except Exception as error:  # builders do not expect what a hostile file implies
        if source.arguments and isinstance(error, InvalidSetting):
            raise
        return Misfit(not_of(architecture.card.name, key_map.layout, error), len(source.state))


def _shapes(architecture: Architecture, classes: int, arguments: Arguments, tensors: int) -> StateDict:
    """The network's state without values: building a large one only to refuse it costs seconds."""
    with torch.device("meta"), building_at_most(tensors, "The file"):
        return architecture.build(classes, arguments).state_dict()


def _classes(card: ModelCard, state: StateDict) -> int | None:
    """Outputs of the head; None if the state has none."""
    head = f"{card.head[0]}."
    weights = (k for k in state if k.startswith(head) and k.endswith(".weight"))
    return next((state[key].shape[0] for key in weights if state[key].dim() and state[key].shape[0]), None)


def without_head(card: ModelCard, state: StateDict) -> StateDict:
    heads = tuple(f"{head}." for head in card.head)
    return {key: tensor for key, tensor in state.items() if not key.startswith(heads)}


def compare(
    model: str, layout: str, state: StateDict, own: StateDict, unmapped: tuple[str, ...], *, partial: bool
) -> Misfit | None:
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
    parts = [f"{len(keys)} {what} ({listed(keys)})" for what, keys in problems.items() if keys]
    return Misfit(
        f"These weights are no {model} in the {layout} layout: {'; '.join(parts)}. "
        "Choose another model or layout.",
        count,
    )


def check_finite(model: str, net: nn.Module, loaded: Mapping[str, Tensor]) -> None:
    """Refuse numbers that are none, or that single precision cannot hold."""
    own = net.state_dict()
    wrong = [key for key in loaded if own[key].is_floating_point() and not own[key].isfinite().all()]
    if wrong:
        raise InvalidCheckpoint(
            f"{len(wrong)} tensors of this {model} hold values that are not finite in single precision "
            f"({listed(wrong)}): the training diverged or the file is damaged. Take another file."
        )


def listed(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", …" if len(keys) > _SHOWN else "")
