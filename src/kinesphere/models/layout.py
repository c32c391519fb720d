"""`Layout`: from a layer's activations to cells of the clip, in whatever order a network keeps its axes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.core.errors import InvalidSetting
from kinesphere.models.card import CamLayer, resolved
from kinesphere.models.tokens import Grid, Tokens

WORD = re.compile(r"(?:1\+)?[BCTHWMJ]+")
LAID_OUT = "BTMJHW"
"""Axes of a map in their order."""


@dataclass(frozen=True)
class Layout:
    """Axes of a layer's output, as `CamLayer.layout` writes them.

    Attributes:
        text: Such as `"B C T H W"`, `"BT C H W"`, `"B 1+THW C"`.
        sizes: Known sizes of letters: those of the clip (B, M, J) and of a network of tokens (T, H, W).
    """

    text: str
    sizes: Mapping[str, int]

    def __post_init__(self) -> None:
        letters = "".join(word.removeprefix("1+") for word in self.words)
        once = all(letters.count(letter) == 1 for letter in set(letters) - {"T"})
        whole = all(WORD.fullmatch(word) for word in self.words) and {"B", "C"} <= set(letters)
        if not (whole and once and "C" in self.words and ("H" in letters) == ("W" in letters)):
            raise InvalidSetting(
                f"{self.text!r} is no layout: words of the letters B C T H W M J, each letter once (time "
                'twice), C a word of its own; for example "B C T H W" or "B 1+THW C".'
            )

    @cached_property
    def words(self) -> tuple[str, ...]:
        return tuple(self.text.split())

    def features(self, x: Tensor) -> Tensor:
        """Activations with channels second, `(N, C, *cells)`, without class tokens.

        N is the batch with what is folded into it; each of them is an image, clip or person of its own.

        Raises:
            InvalidSetting: If the tensor does not have this layout.
        """
        if x.ndim != len(self.words):
            self._refuse(x)
        for axis, word in enumerate(self.words):
            if word.startswith("1+"):
                x = x.narrow(axis, 1, x.shape[axis] - 1)
        order = [self._batch, self.words.index("C")]
        order += [axis for axis in range(x.ndim) if axis not in order]
        ordered = x.permute(order)
        self._lengths(ordered)
        return ordered

    def cells(self, map_N: Tensor) -> Tensor:
        """A map `(N, *cells)` over the features as cells of the clip.

        Returns:
            `(B, t, h, w)`, or `(B, t, M, J)` where the layout has people; what it lacks has size 1.

        Raises:
            InvalidSetting: If the tensor does not have this layout.
        """
        lengths = self._lengths(map_N.unsqueeze(1))
        letters = [letter for word in lengths for letter in word]
        out = map_N.reshape([length for word in lengths.values() for length in word])
        wanted = "BTMJ" if "M" in letters else "BTHW"
        order = sorted(range(out.ndim), key=lambda axis: LAID_OUT.index(letters[axis]))
        out = out.permute(order)
        sizes = [
            prod(size for axis, size in zip(order, out.shape, strict=True) if letters[axis] == letter)
            for letter in wanted
        ]
        return out.reshape(sizes)

    @property
    def _batch(self) -> int:
        return next(axis for axis, word in enumerate(self.words) if "B" in word)

    def _lengths(self, x: Tensor) -> dict[str, tuple[int, ...]]:
        """Sizes of the letters of each word but C, for features `(N, C, *cells)`."""
        first = self.words[self._batch]
        words = [first, *(word for word in self.words if word not in (first, "C"))]
        found = {}
        for word, size in zip(words, (x.shape[0], *x.shape[2:]), strict=True):
            letters = word.removeprefix("1+")
            told = self.sizes if len(letters) > 1 or letters == "B" else {}
            known = [told.get(letter) for letter in letters]
            if "T" in letters and "H" not in letters:  # snippets, or frames that were strided
                known[letters.index("T")] = None
            rest = prod(length for length in known if length is not None)
            if known.count(None) > 1 or size % rest or (None not in known and rest != size):
                self._refuse(x)
            found[letters] = tuple(size // rest if length is None else length for length in known)
        return found

    def _refuse(self, x: Tensor) -> None:
        sizes = ", ".join(f"{letter}={size}" for letter, size in self.sizes.items())
        raise InvalidSetting(
            f"Activations of shape {tuple(x.shape)} are not laid out as {self.text!r} ({sizes}). "
            "Choose a layer that is, such as the model's own (leave the layer out)."
        )


def layout_of(net: nn.Module, layer: CamLayer, x: Tensor) -> Layout:
    """How the layer's output is laid out for an input `(B, T, C, H, W)` or `(B, T, M, J, C)`."""
    sizes = {"B": x.shape[0]}
    if "M" in layer.layout:
        sizes |= {"M": x.shape[2], "J": x.shape[3]}
    elif isinstance(net, Tokens):
        sizes |= dict(zip("THW", net.token_grid(x, resolved(net, layer.path)), strict=True))
    return Layout(layer.layout, sizes)


def coarse(x: Tensor, layout: Layout, grid: Grid) -> Tensor:
    """A layer's output as means over a coarse grid of the clip, time slowest: `(B, t h w, C)`.

    An axis of fewer cells than are asked for repeats some; people and joints are averaged.

    Args:
        x: The output, laid out as `layout` says.
        layout: With the sizes of the clip.
        grid: Cells along time, rows and columns.

    Raises:
        InvalidSetting: If the tensor does not have this layout.
    """
    maps = torch.vmap(layout.cells, 1, 1)(layout.features(x))
    if "M" in layout.text:
        maps = maps.mean((3, 4), keepdim=True)
    return F.adaptive_avg_pool3d(maps, grid).flatten(2).transpose(1, 2)
