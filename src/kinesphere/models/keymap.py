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

State = dict[str, Tensor]
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

    state: State
    unmapped: tuple[str, ...] = ()
    ignored: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class KeyMap:
    """One public layout of one family.

    Attributes:
        layout: Name of the layout, normally the toolkit: `"torchvision"`, `"mmaction2"`,
            `"pytorchvideo"`, `"pyslowfast"`.
        rules: Tried in order; the first that matches a key applies.
        arguments: Builder arguments under which our network computes what theirs does.
        infer: Further builder arguments read off their state (depth, widths, options).
        spec: Input contract of this layout's checkpoints, where it differs from the card's.
        backbone_only: True if the layout holds image weights of a part of our network.
    """

    layout: str
    rules: tuple[Rule, ...]
    arguments: Arguments = field(default_factory=dict)
    infer: Callable[[Mapping[str, Tensor]], Arguments] | None = None
    spec: ClipSpec | None = None
    backbone_only: bool = False

    def builder_arguments(self, theirs: Mapping[str, Tensor]) -> Arguments:
        """Arguments for the builder of a network that holds `theirs`."""
        return {**self.arguments, **(self.infer(theirs) if self.infer else {})}

    def to_ours(self, theirs: Mapping[str, Tensor]) -> Mapped:
        """Map a foreign state to our names and forms."""
        return _apply(self.rules, theirs, forward=True)

    def to_theirs(self, ours: Mapping[str, Tensor]) -> Mapped:
        """Map our state to the foreign names and forms (ignored keys are not restored)."""
        return _apply(self.rules, ours, forward=False)


def _apply(rules: tuple[Rule, ...], state: Mapping[str, Tensor], *, forward: bool) -> Mapped:
    mapped: State = {}
    unmapped: list[str] = []
    ignored: dict[str, str] = {}
    parts: set[str] = set()  # keys already consumed as a later part of a many-to-one rule
    for key in state:
        if key in parts:
            continue
        for rule in rules:
            if isinstance(rule, Ignore):
                if forward and _match(rule.theirs, key) is not None:
                    ignored[key] = rule.reason
                    break
                continue
            source, target = (rule.theirs, rule.ours) if forward else (rule.ours, rule.theirs)
            many_in = (source,) if isinstance(source, str) else source
            slot = next((p for p in many_in if _match(p, key) is not None), None)
            if slot is None:
                continue
            values = _match(slot, key)
            assert values is not None
            keys_in = [_fill(p, values) for p in many_in]
            if any(k not in state for k in keys_in):
                unmapped.append(key)
                break
            parts.update(keys_in)
            keys_out = [_fill(p, values) for p in ((target,) if isinstance(target, str) else target)]
            clash = [k for k in keys_out if k in mapped]
            if clash:
                raise InvalidCheckpoint(f"Two tensors map to {clash[0]!r}; the second is {key!r}.")
            mapped.update(zip(keys_out, _convert(rule, [state[k] for k in keys_in], forward), strict=True))
            break
        else:
            unmapped.append(key)
    return Mapped(mapped, tuple(unmapped), ignored)


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
    values = {
        name: text if name == "REST" else int(text) - shifts[name] for name, text in found.groupdict().items()
    }
    return None if any(isinstance(v, int) and v < 0 for v in values.values()) else values


def _fill(pattern: str, values: Mapping[str, str | int]) -> str:
    def place(found: re.Match[str]) -> str:
        if found[0] == "*":
            return str(values["REST"])
        return str(int(values[found[1]]) + int(found[2] or 0))

    return _PLACE.sub(place, pattern)


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
