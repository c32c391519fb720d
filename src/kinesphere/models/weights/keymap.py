"""Key maps: how the state of a public checkpoint becomes the state of our network, and back.

A map is an ordered list of rules; the first rule that matches a key applies. Patterns are literal
except for `{i}` (a whole number; `{i+1}` and `{i-1}` shift it between the two sides) and one `*` (any
text). Every rule reads both ways, so one declaration imports and exports::

    KeyMap("mmaction2", (
        Rename("backbone.layer{s}.{b}.conv1.conv.*", "layer{s}.{b}.conv1.0.*"),
        Rename("cls_head.fc_cls.*", "fc.*"),
    ))
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidCheckpoint

StateDict = dict[str, Tensor]
Plain = int | float | str | bool | None | tuple[int, ...]
Arguments = dict[str, Plain]

_PLACE = re.compile(r"\{([a-z]+)([+-]\d+)?\}|\*")


@dataclass(frozen=True)
class Transform:
    """A change of a tensor's form in both directions; `to_theirs(to_ours(x))` equals `x`."""

    to_ours: Callable[[Tensor], Tensor]
    to_theirs: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Rename:
    """One tensor of theirs is one of ours, possibly in another form."""

    theirs: str
    ours: str
    transform: Transform | None = None


@dataclass(frozen=True)
class Split:
    """One tensor of theirs is several equal parts of ours along `dim` (their `qkv`, our q, k, v)."""

    theirs: str
    ours: tuple[str, ...]
    dim: int = 0


@dataclass(frozen=True)
class Join:
    """Several tensors of theirs, of equal size, make one of ours along `dim`."""

    theirs: tuple[str, ...]
    ours: str
    dim: int = 0


@dataclass(frozen=True)
class Ignore:
    """A tensor of theirs that the network does not need; `reason` says why it may be left out."""

    theirs: str
    reason: str


Rule = Rename | Split | Join | Ignore

SAME_KEYS = (Rename("*", "*"),)


@dataclass(frozen=True)
class Mapped:
    """Outcome of mapping one state to the other layout.

    Attributes:
        state: The mapped tensors.
        unmapped: Keys that no rule matched, or whose partners in a `Join` are absent.
        ignored: Keys left out on purpose, with the rule's reason.
    """

    state: StateDict
    unmapped: tuple[str, ...] = ()
    ignored: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class KeyMap:
    """One public layout of one family.

    Attributes:
        layout: Name of the layout, normally the toolkit: `"torchvision"`, `"mmaction2"`,
            `"pytorchvideo"`, `"pyslowfast"`.
        rules: Tried in order; the first that matches a key applies. A function makes them from the state,
            theirs or ours, where they depend on its depth (blocks numbered through there, by stage here).
        arguments: Builder arguments under which our network computes what theirs does.
        infer: Further builder arguments read off their state (depth, widths, options).
        spec: Input contract of this layout's checkpoints, where it differs from the card's.
        backbone_only: True if the layout holds weights of a part of our network, of images or of an encoder.
        fresh: Dotted paths of what a backbone lacks beside the head, the stages of a probe; they start fresh.
    """

    layout: str
    rules: tuple[Rule, ...] | Callable[[Mapping[str, Tensor]], tuple[Rule, ...]]
    arguments: Arguments = field(default_factory=dict)
    infer: Callable[[Mapping[str, Tensor]], Arguments] | None = None
    spec: ClipSpec | None = None
    backbone_only: bool = False
    fresh: tuple[str, ...] = ()

    def builder_arguments(self, theirs: Mapping[str, Tensor]) -> Arguments:
        """Arguments for the builder of a network that holds `theirs`."""
        return {**self.arguments, **(self.infer(theirs) if self.infer else {})}

    def to_ours(self, theirs: Mapping[str, Tensor]) -> Mapped:
        """Map a foreign state to our names and forms."""
        return _apply(self._rules(theirs), theirs, forward=True)

    def to_theirs(self, ours: Mapping[str, Tensor]) -> Mapped:
        """Map our state to the foreign names and forms (ignored keys are not restored)."""
        return _apply(self._rules(ours), ours, forward=False)

    def _rules(self, state: Mapping[str, Tensor]) -> tuple[Rule, ...]:
        return self.rules(state) if callable(self.rules) else self.rules


def _apply(rules: tuple[Rule, ...], state: Mapping[str, Tensor], *, forward: bool) -> Mapped:
    mapped: StateDict = {}
    unmapped: list[str] = []
    ignored: dict[str, str] = {}
    done: set[str] = set()  # keys consumed as a later part of a many-to-one rule
    for key in state:
        if key in done:
            continue
        rule, keys_in, keys_out = _first_match(rules, key, forward)
        if isinstance(rule, Ignore):
            ignored[key] = rule.reason
        elif rule is None or any(part not in state for part in keys_in):
            unmapped.append(key)
        else:
            done.update(keys_in)
            clash = [name for name in keys_out if name in mapped]
            if clash:
                raise InvalidCheckpoint(f"Two tensors map to {clash[0]!r}; the second is {key!r}.")
            tensors = _convert(rule, [state[part] for part in keys_in], forward)
            mapped.update(zip(keys_out, tensors, strict=True))
    return Mapped(mapped, tuple(unmapped), ignored)


def _first_match(
    rules: tuple[Rule, ...], key: str, forward: bool
) -> tuple[Rule | None, tuple[str, ...], tuple[str, ...]]:
    """The rule for a key, with all the keys it reads and writes."""
    for rule in rules:
        if isinstance(rule, Ignore):
            if forward and _match(rule.theirs, key) is not None:
                return rule, (key,), ()
            continue
        sources, targets = (rule.theirs, rule.ours) if forward else (rule.ours, rule.theirs)
        sources, targets = (side if isinstance(side, tuple) else (side,) for side in (sources, targets))
        for source in sources:
            values = _match(source, key)
            if values is not None:
                keys_in = tuple(_fill(pattern, values) for pattern in sources)
                keys_out = tuple(_fill(pattern, values) for pattern in targets)
                if "" not in (*keys_in, *keys_out):
                    return rule, keys_in, keys_out
    return None, (key,), ()


def _convert(rule: Rename | Split | Join, tensors: list[Tensor], forward: bool) -> list[Tensor]:
    if isinstance(rule, Rename):
        if rule.transform is None:
            return tensors
        change = rule.transform.to_ours if forward else rule.transform.to_theirs
        return [change(tensors[0])]
    if isinstance(rule, Split) == forward:
        count = len(rule.ours if isinstance(rule, Split) else rule.theirs)
        if tensors[0].shape[rule.dim] % count:
            raise InvalidCheckpoint(
                f"A tensor of shape {tuple(tensors[0].shape)} cannot be split into {count} equal parts."
            )
        return [part.contiguous() for part in tensors[0].chunk(count, rule.dim)]
    return [torch.cat(tensors, rule.dim)]


@cache
def _compiled(pattern: str) -> tuple[re.Pattern[str], dict[str, int]]:
    """The pattern as a regular expression, and the shift of each numbered place."""
    text, shifts, end = "", {}, 0
    for place in _PLACE.finditer(pattern):
        text += re.escape(pattern[end : place.start()])
        end = place.end()
        if place[0] == "*":
            text += "(?P<REST>.*)"
        else:
            text += f"(?P={place[1]})" if place[1] in shifts else rf"(?P<{place[1]}>\d+)"
            shifts[place[1]] = int(place[2] or 0)
    return re.compile(text + re.escape(pattern[end:])), shifts


def _match(pattern: str, key: str) -> dict[str, str | int] | None:
    regex, shifts = _compiled(pattern)
    found = regex.fullmatch(key)
    if found is None:
        return None
    return {
        name: text if name == "REST" else int(text) - shifts[name] for name, text in found.groupdict().items()
    }


def _fill(pattern: str, values: Mapping[str, str | int]) -> str:
    """The key that a pattern stands for; empty if a number would be negative."""
    negative = False

    def place(found: re.Match[str]) -> str:
        nonlocal negative
        if found[0] == "*":
            return str(values["REST"])
        number = int(values[found[1]]) + int(found[2] or 0)
        negative |= number < 0
        return str(number)

    key = _PLACE.sub(place, pattern)
    return "" if negative else key


def squeeze(*dims: int) -> Transform:
    """Their tensor has extra dimensions of size 1 at `dims` (a 1×1×1 convolution, our linear layer)."""

    def drop(x: Tensor) -> Tensor:
        return x.squeeze(dims)

    def restore(x: Tensor) -> Tensor:
        for dim in sorted(dims):
            x = x.unsqueeze(dim)
        return x

    return Transform(drop, restore)


def unsqueeze(*dims: int) -> Transform:
    """Our tensor has extra dimensions of size 1 at `dims`."""
    inverse = squeeze(*dims)
    return Transform(inverse.to_theirs, inverse.to_ours)
