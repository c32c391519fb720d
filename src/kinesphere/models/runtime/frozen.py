"""A recogniser cut behind its frozen layers: their features, and what is trained on them alone.

B clips, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from itertools import product
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from kinesphere.core.errors import InvalidSetting
from kinesphere.models.recogniser import Recogniser

# Of the largest logit: what sums in another order may differ by.
_TOLERANCE = 1e-4


class Head(nn.Module):
    """Layers behind the frozen ones, in the order in which a clip's features pass through them.

    Args:
        modules: The layers.
        parts: Whether a clip's features are several rows (segments, frames) whose logits are averaged.
    """

    def __init__(self, modules: Sequence[nn.Module], *, parts: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(*modules)
        self.parts = parts

    def forward(self, features: Tensor) -> Tensor:
        """Logits `(B, K)` of features `(B, …)`, or `(B, parts, …)`."""
        out: Tensor = self.layers(features.flatten(0, 1) if self.parts else features)
        if self.parts:
            out = out.unflatten(0, features.shape[:2]).mean(1)
        return out.flatten(1, -2).mean(1) if out.dim() > 2 else out

    def copy(self) -> Self:
        """Another one with the same weights."""
        return deepcopy(self)

    @property
    def shares_work(self) -> bool:
        """Whether several of this form answer together at less than the cost of each."""
        return len(self.layers) == 1 and not self.parts and isinstance(self.layers[0], AnswersTogether)


@runtime_checkable
class AnswersTogether(Protocol):
    """A module without random numbers, of which several share work on the same input."""

    @classmethod
    def together(cls, modules: Sequence[Any], x: Tensor, /) -> list[Tensor]:
        """What each of several modules of one shape gives of the same input, as it would alone."""
        ...


def logits_of(heads: Sequence[nn.Module], features: Tensor) -> list[Tensor]:
    """Logits `(B, K)` of each of several heads of one form, as it would give them alone.

    Args:
        heads: They compute together what they share, if their form does (`Head.shares_work`).
        features: As `Head` takes them.
    """
    layers = [head.layers[0] for head in heads if isinstance(head, Head) and head.shares_work]
    if 1 < len(heads) == len(layers) and isinstance(layers[0], AnswersTogether):
        return layers[0].together(layers, features)
    return [head(features) for head in heads]


class FrozenSplit:
    """A recogniser whose frozen part gives features and whose other layers are a head on them.

    Args:
        recogniser: With some stages frozen; in evaluation mode here.

    Raises:
        InvalidSetting: If nothing is frozen or nothing learns, or if layers that learn lie among frozen ones.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        self.recogniser = recogniser.eval()
        self.paths = _learning(recogniser)
        """The layers that learn."""
        self._sequence = self.paths
        self._parts: bool | None = None

    @property
    def is_checked(self) -> bool:
        """Whether features were asked for, so that `head` is known."""
        return self._parts is not None

    @torch.no_grad()
    def features(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """What reaches the first layer that learns, for normalised clips `(B, T, …)`: `(B, …)`.

        Where it comes in several rows a clip, `(B, parts, …)`.

        Raises:
            InvalidSetting: If the layers that learn are no plain sequence on it.
        """
        if self._parts is None:
            self._parts = self._checked(inputs)
        found = self._reaching(inputs).float()
        return found.unflatten(0, (len(inputs[0]), -1)) if self._parts else found

    def head(self) -> Head:
        """A copy of the layers that learn, with what stands between them; ask for features first."""
        net = self.recogniser.net
        return Head([deepcopy(net.get_submodule(path)) for path in self._sequence], parts=bool(self._parts))

    def take(self, head: Head) -> None:
        """Give the recogniser the weights of a head."""
        for path, trained in zip(self._sequence, head.layers, strict=True):
            self.recogniser.net.get_submodule(path).load_state_dict(trained.state_dict())

    def _reaching(self, inputs: tuple[Tensor, ...]) -> Tensor:
        reached: list[Tensor] = []

        def stop(_module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            reached.extend(arguments)
            raise _Reached

        first = self.recogniser.net.get_submodule(self.paths[0])
        handle = first.register_forward_pre_hook(stop)
        try:
            self.recogniser(*inputs)
        except _Reached:
            pass
        finally:
            handle.remove()
        if len(reached) != 1:
            raise self._no_sequence()
        return reached[0]

    def _checked(self, inputs: tuple[Tensor, ...]) -> bool:
        """Whether features come in parts, with the head on them held equal to the whole network."""
        two = tuple(torch.cat((x[:1].float(), x[:1].float() / 2)) for x in inputs)
        device = two[0].device.type
        with torch.autocast(device, enabled=False):
            wanted, found = self.recogniser(*two), self._reaching(two)
            sequences = _sequences(self.recogniser.net, self.paths)
            for sequence, parts in product(sequences, (False, True)):
                self._sequence = sequence
                if (len(found) == 2) == parts or len(found) % 2:
                    continue
                head = self.head()
                head.parts = parts
                try:
                    logits = head.eval()(found.unflatten(0, (2, -1)) if parts else found)
                except (RuntimeError, ValueError, IndexError, TypeError):  # shapes that do not meet
                    continue
                if logits.shape == wanted.shape and _same(logits, wanted):
                    return parts
        raise self._no_sequence()

    def _no_sequence(self) -> InvalidSetting:
        card = self.recogniser.card
        groups = [name for name, group in self.recogniser.stage_parameters() if group]
        return InvalidSetting(
            f"What learns in this {card.name} ({', '.join(self.paths)}) is no plain sequence of layers on "
            "the features before it, so that these cannot be kept; freeze up to its last group, "
            f"model.freeze={groups[-2]}, or leave probe.lr out and train it as a whole."
        )


def _same(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= _TOLERANCE * (1 + b.abs().max()))


class _Reached(Exception):
    """Leaves a forward pass where the first layer that learns begins."""


def _sequences(net: nn.Module, paths: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The layers that learn, and these with what has no weights and is defined between them (activations)."""
    parent = paths[0].rpartition(".")[0]
    names = [f"{parent}.{name}" if parent else name for name, _ in net.get_submodule(parent).named_children()]
    if any(path not in names for path in paths):
        return (paths,)
    between = names[names.index(paths[0]) : names.index(paths[-1]) + 1]
    free = tuple(n for n in between if n in paths or not net.get_submodule(n).state_dict())
    return (paths,) if free == paths else (paths, free)


def _learning(recogniser: Recogniser) -> tuple[str, ...]:
    """Paths of the largest modules that learn altogether, in the order of their definition.

    Raises:
        InvalidSetting: If there are none, or all learn, or parameters that learn lie beside frozen ones.
    """
    net = recogniser.net
    found: list[str] = []
    pending = [("", net)]
    while pending:
        path, module = pending.pop()
        learns = [parameter.requires_grad for parameter in module.parameters()]
        if not any(learns):
            continue
        if all(learns) and path:
            found.append(path)
        elif all(learns) or any(p.requires_grad for p in module.parameters(recurse=False)):
            raise InvalidSetting(
                f"Probes are trained on what frozen layers of {recogniser.card.name} give; freeze some with "
                f"model.freeze, one of {', '.join(recogniser.stages)}."
            )
        else:
            inner = [(f"{path}.{name}" if path else name, each) for name, each in module.named_children()]
            pending += reversed(inner)
    if not found:
        raise InvalidSetting("Every parameter is frozen, so nothing can learn; freeze fewer stages.")
    return tuple(found)
