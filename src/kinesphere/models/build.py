"""The registry of architectures, and the one way to build a recogniser."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.registry import Registry
from kinesphere.models.card import ModelCard, WeightEntry
from kinesphere.models.keymap import Arguments, KeyMap
from kinesphere.models.provenance import Provenance
from kinesphere.models.recogniser import Recogniser

DEFAULT_MODEL = "kine_small"
"""What is trained when nobody names a model: the compact one, made for a laptop CPU."""
DEFAULT_POSE_MODEL = "dd_net"
"""The same where the data are pose files and no videos."""

log = logging.getLogger("kinesphere.models")


Fit = Callable[[ClipSpec, Arguments], ClipSpec]


class Builder(Protocol):
    """Builds a network; further parameters have defaults and take plain values."""

    def __call__(self, num_classes: int, **arguments: object) -> nn.Module: ...


@dataclass(frozen=True)
class Architecture:
    """A registered model: its card, its builder, the public layouts it reads, and what it takes.

    `fit` gives the input contract of a network for all of its builder's arguments: another skeleton, longer
    or larger clips.
    """

    card: ModelCard
    builder: Callable[..., nn.Module]
    key_maps: tuple[KeyMap, ...] = ()
    fit: Fit | None = None

    def specs(self, arguments: Arguments, inputs: tuple[ClipSpec, ...] | None = None) -> tuple[ClipSpec, ...]:
        """The input contracts of a network with these builder arguments, from `inputs` or the card's."""
        inputs = self.card.inputs if inputs is None else inputs
        if self.fit is None:
            return inputs
        parameters = inspect.signature(self.builder).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        return tuple(self.fit(spec, {**defaults, **arguments}) for spec in inputs)

    def build(self, num_classes: int, arguments: Arguments) -> nn.Module:
        """The network with `num_classes` outputs.

        Raises:
            InvalidSetting: If an argument is unknown to the builder.
        """
        known = [name for name in inspect.signature(self.builder).parameters if name != "num_classes"]
        unknown = sorted(set(arguments) - set(known))
        if unknown:
            raise InvalidSetting(
                f"{self.card.name} has no argument {unknown[0]!r}; it takes {', '.join(known) or 'none'}."
            )
        return self.builder(num_classes, **arguments)

    def build_with(self, state: Mapping[str, Tensor], num_classes: int, arguments: Arguments) -> nn.Module:
        """The network that holds `state`, all of it; nothing is drawn at random for weights to replace."""
        with _Undrawn():
            net = self.build(num_classes, arguments)
        net.load_state_dict(state)
        return net


class _Undrawn(TorchFunctionMode):
    """Zeros in place of random numbers: for a large network, drawing its weights takes most of the building.

    Constants and what is computed from them (tables that no file holds) come out as always.
    """

    # Some functions of `nn.init` come here themselves; the others draw through a tensor's own methods. A
    # truncated normal draws until all numbers are within its bounds, as zeros are.
    DRAWS = (
        nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_, Tensor.uniform_, Tensor.normal_,
    )  # fmt: skip

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in self.DRAWS:
            drawn: Tensor = args[0] if args else (kwargs or {})["tensor"]
            drawn.detach().zero_()
            return drawn
        return func(*args, **(kwargs or {}))


MODELS: Registry[Architecture] = Registry(
    "model",
    "kinesphere.models.zoo",
    group="kinesphere.models",
    listed=lambda architecture: not architecture.card.tiny,
)


def register(
    card: ModelCard, key_maps: tuple[KeyMap, ...] = (), fit: Fit | None = None
) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Decorator that enters a builder `(num_classes, ...) -> nn.Module` under `card.name`."""

    def enter(builder: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        MODELS.add(card.name, Architecture(card, builder, key_maps, fit))
        return builder

    return enter


def list_models(*, tiny: bool = False) -> list[str]:
    """Names of the models for users; with `tiny`, of the reduced variants for tests instead."""
    return [name for name in MODELS if MODELS.get(name).card.tiny == tiny]


def card(name: str) -> ModelCard:
    """The card of a model.

    Raises:
        UnknownName: If there is no such model; the nearest names are listed.
    """
    return MODELS.get(name).card


def create_model(
    name: str,
    labels: LabelSet | Sequence[str] | None = None,
    *,
    pretrained: str | bool | None = None,
    spec: ClipSpec | Sequence[ClipSpec] | None = None,
    arguments: Arguments | None = None,
) -> Recogniser:
    """Build a recogniser, fresh or from public weights.

    Args:
        name: A registered model, or `model.tag` for one with its public weights (`r3d_18.k400`).
        labels: The classes. None keeps those of the weights.
        pretrained: A weight tag of the card, True for its first one, None or False for a fresh network.
        spec: Input contract in place of the card's; one for each input of the model.
        arguments: Builder arguments in place of the defaults.

    Returns:
        The recogniser in evaluation mode. If `labels` are not those of the weights, the head is fresh:
        `recogniser.reset` names its tensors and the log says so. The same classes in another order keep it.

    Raises:
        UnknownName: If the model or the weight tag is unknown.
        InvalidSetting: If labels are missing, or the spec does not fit the architecture, or the weights have
            as many classes as are wanted and do not name them.
        MissingWeights: If the weights are neither cached nor reachable.
    """
    stem, _, tag = name.partition(".")
    if tag and pretrained not in (None, True, tag):
        raise InvalidSetting(f"{name!r} already names its weights; leave out pretrained={pretrained!r}.")
    architecture = MODELS.get(stem)
    wanted = labels if labels is None or isinstance(labels, LabelSet) else LabelSet(tuple(labels))
    weights = tag or pretrained
    if weights:
        entry = architecture.card.published(weights)
        recogniser = _from_weights(architecture, entry, wanted, arguments or {})
    elif wanted is None:
        raise InvalidSetting(f"A fresh {stem} needs labels; give them, or start from weights.")
    else:
        net = architecture.build(len(wanted), arguments or {})
        recogniser = Recogniser(
            net,
            architecture.card,
            architecture.specs(arguments or {}),
            wanted,
            arguments or {},
            Provenance("initialised"),
        )
    if spec is not None:
        given = (spec,) if isinstance(spec, ClipSpec) else tuple(spec)
        recogniser.specs = _replaced(recogniser.card, recogniser.specs, given)
    return recogniser.eval()


def _from_weights(
    architecture: Architecture, entry: WeightEntry, labels: LabelSet | None, arguments: Arguments
) -> Recogniser:
    from kinesphere.models.importing import import_backbone, import_checkpoint
    from kinesphere.models.weights import fetch

    path = fetch(entry)
    name = f"{architecture.card.name}.{entry.tag}"
    if entry.backbone_only:
        if labels is None:
            raise InvalidSetting(f"{name} holds a backbone without classes; give labels.")
        return import_backbone(path, name, labels, arguments=arguments)
    recogniser = import_checkpoint(path, name, arguments=arguments)
    if labels is not None:
        _relabel(recogniser, labels, name, path)
    return recogniser


def _relabel(recogniser: Recogniser, labels: LabelSet, name: str, path: Path) -> None:
    """Give public weights the classes that are wanted: the head stays if they are its own, in any order."""
    from kinesphere.models.class_names import numbered

    own = recogniser.labels
    if set(labels.names) == set(own.names):
        order = [own.index(label) for label in labels]
        with torch.no_grad():
            for head in recogniser.card.head:
                for parameter in recogniser.net.get_submodule(head).parameters():
                    parameter.copy_(parameter[order])
        recogniser.labels = labels
        return
    unnamed = own.names == numbered(len(own)).names
    if unnamed and len(labels) == len(own):
        raise InvalidSetting(
            f"{name} does not name its {len(own)} classes, and {len(labels)} are wanted: whether they are "
            f"the same cannot be told. Import {path} with `kinesphere import FILE --model {name} --out "
            "MODEL.safetensors` and start from that file: with `--labels NAMES.txt`, the names in the file's "
            "order, the trained head is kept; without, it is replaced."
        )
    unknown = [] if unnamed else [label for label in labels if label not in own]
    log.warning(
        "%s: labels differ (%d in the weights, %d wanted); fresh head: %s%s",
        name, len(own), len(labels), ", ".join(recogniser.reset_head(labels)),
        f"; not in the weights: {', '.join(unknown[:8])}" if unknown else "",
    )  # fmt: skip


def _replaced(
    card: ModelCard, specs: tuple[ClipSpec, ...], given: tuple[ClipSpec, ...]
) -> tuple[ClipSpec, ...]:
    if len(specs) != len(given):
        raise InvalidSetting(f"{card.name} has {len(specs)} inputs; got {len(given)} specs in their place.")
    for own, spec in zip(specs, given, strict=True):
        if card.fixed_length and spec.length != own.length:
            raise InvalidSetting(
                f"{card.name} takes exactly {own.length} frames; got a spec of {spec.length}."
                + _way_out(card, "length", "length")
            )
        if card.fixes_size(own.modality) and spec.size != own.size:
            raise InvalidSetting(
                f"{card.name} takes exactly {own.size} pixels; got a spec of {spec.size}."
                + _way_out(card, "size", "size_px")
            )
        if spec.modality != own.modality:
            raise InvalidSetting(f"{card.name} takes {own.modality} clips; got a spec of {spec.modality}.")
    return given


def _way_out(card: ModelCard, what: str, argument: str) -> str:
    known = inspect.signature(MODELS.get(card.name).builder).parameters
    return f" Build it for another {what} with its argument {argument}." if argument in known else ""
