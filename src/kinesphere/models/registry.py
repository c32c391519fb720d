"""The registry of architectures, and how a network is built from its name and arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, get_type_hints

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting
from kinesphere.core.limits import brief
from kinesphere.core.registry import Registry
from kinesphere.models.card import ModelCard, Part
from kinesphere.models.weights.keymap import Arguments, KeyMap, Plain
from kinesphere.models.words import Words

LARGEST_ARGUMENT = 1 << 16
MOST_PARTS = 256
"""Numbers of one argument, such as the widths of all blocks."""
_LEAST_PARTS, _PARTS_PER_TENSOR = 2000, 8

Fit = Callable[[ClipSpec, Arguments], ClipSpec]


@dataclass(frozen=True)
class Architecture:
    """A registered model: its card, its builder, the public layouts it reads, and what it takes.

    `fit` gives the input contract of a network for all of its builder's arguments: another skeleton, longer
    or larger clips. `parts` are the models that it can be joined from; `words` is how its classes are
    named in words, if they are.
    """

    card: ModelCard
    builder: Callable[..., nn.Module]
    key_maps: tuple[KeyMap, ...] = ()
    fit: Fit | None = None
    parts: tuple[Part, ...] = ()
    words: Words | None = None

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
            InvalidSetting: If an argument is unknown to the builder, or of another type than it takes.
        """
        return self.builder(num_classes, **self.typed(arguments))

    def typed(self, arguments: Arguments) -> Arguments:
        """The arguments as the builder takes them.

        Raises:
            InvalidSetting: If one is unknown to the builder, or of another type than it takes.
        """
        known = [name for name in inspect.signature(self.builder).parameters if name != "num_classes"]
        unknown = sorted(set(arguments) - set(known))
        if unknown:
            raise InvalidSetting(
                f"{self.card.name} has no argument {unknown[0]!r}; it takes {', '.join(known) or 'none'}."
            )
        return {name: self._typed(name, value) for name, value in arguments.items()}

    def _typed(self, name: str, value: Plain) -> Plain:
        parts = value if isinstance(value, tuple) else (value,)
        if len(parts) > MOST_PARTS:
            raise InvalidSetting(
                f"{self.card.name}: {name} has {len(parts)} numbers; at most {MOST_PARTS} are read."
            )
        if any(isinstance(part, int | float) and not abs(part) <= LARGEST_ARGUMENT for part in parts):
            raise InvalidSetting(
                f"{self.card.name}: {name}={brief(value)} is beyond {LARGEST_ARGUMENT}, as none needs."
            )
        annotation = _annotations(_function(self.builder)).get(name)
        if annotation is None:
            return value
        try:
            typed: Plain = TypeAdapter(annotation).validate_python(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise InvalidSetting(
                f"{self.card.name}: {name}={brief(value)} does not fit: {reason}."
            ) from error
        return typed

    def build_with(
        self,
        state: Mapping[str, Tensor],
        num_classes: int,
        arguments: Arguments,
        then: Callable[[nn.Module], nn.Module] = lambda net: net,
    ) -> nn.Module:
        """The network that holds `state`, all of it; nothing is drawn at random for weights to replace.

        `then` changes it before it takes the state.
        """
        with _Undrawn():
            net = then(self.build(num_classes, arguments))
        net.load_state_dict(state)
        return net


@contextmanager
def building_at_most(tensors: int, name: str) -> Iterator[None]:
    """Refuse to build a network with many times the tensors of the file that it is for.

    Arguments in a file, or read off its names, say how many blocks there are; before anything can be
    compared, a builder would make them all.

    Args:
        tensors: How many the file has.
        name: Name of the file, for messages.

    Raises:
        InvalidCheckpoint: As soon as there are too many.
    """
    left = _LEAST_PARTS + _PARTS_PER_TENSOR * tensors

    def count(_module: nn.Module, _name: str, _part: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise InvalidCheckpoint(
                f"{name} states arguments of a network many times larger than its {tensors} tensors; refused."
            )

    kinds = torch.nn.modules.module
    handles = [
        kinds.register_module_parameter_registration_hook(count),
        kinds.register_module_buffer_registration_hook(count),
        kinds.register_module_module_registration_hook(count),
    ]
    try:
        with _Undrawn():  # nobody looks at the values
            yield
    finally:
        for handle in handles:
            handle.remove()


def _function(builder: Callable[..., Any]) -> Callable[..., Any]:
    """What a builder calls in the end, for the types of its arguments."""
    while isinstance(builder, partial):
        builder = builder.func
    return getattr(builder, "__init__", builder) if isinstance(builder, type) else builder


@cache
def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    """Types of a function's parameters; none where they cannot be told."""
    try:
        return get_type_hints(function)
    except (NameError, TypeError):  # a builder of another distribution
        return {}


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
    Architecture,
    "kinesphere.models.zoo",
    group="kinesphere.models",
    listed=lambda architecture: not architecture.card.tiny,
)


def list_models(*, tiny: bool = False) -> list[str]:
    """Names of the models for users; with `tiny`, of the reduced variants for tests instead."""
    return [name for name in MODELS if MODELS.get(name).card.tiny == tiny]


def card(name: str) -> ModelCard:
    """The card of a model.

    Raises:
        UnknownName: If there is no such model; the nearest names are listed.
    """
    return MODELS.get(name).card
