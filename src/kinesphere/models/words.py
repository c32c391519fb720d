"""`Words`: how a family's classes are named in words, and what a class's prompts make together.

Radford et al.: "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
https://arxiv.org/abs/2103.00020, section 3.1.4: prompts and ensembles of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch.nn.functional as F
from torch import Tensor

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.text import is_utf8, spelled
from kinesphere.models.layers.words import TextTower
from kinesphere.models.weights.keymap import KeyMap

GAP = "{}"
"""Stands for a class's name in a prompt."""
MOST_PROMPTS = 200
WEAK_ON_MOTION = (
    "Zero-shot: it knows what appears in frames far better than how it moves. Actions that differ by their "
    "motion alone (open and close, push and pull, left and right) come out near chance; for those a trained "
    "model is the one to use. The accuracy of the public weights was not measured here."
)


@runtime_checkable
class ComparesWithWords(Protocol):
    """A network whose classes are named in words: what it sees of a clip does not depend on them."""

    def look(self, x_BTCHW: Tensor) -> Tensor:
        """What is seen of clips, `(B, S, E)`: all that `compare` needs of them."""

    def compare(self, seen_BSE: Tensor, classes_KE: Tensor) -> Tensor:
        """Cosines `(B, K)` of what was seen and of embeddings of classes, of any length."""


@dataclass(frozen=True)
class Words:
    """What a family needs beside its network so that its classes can be named in words.

    Attributes:
        tower: Builds the encoder of texts from the sizes that `key_map` reads off a file, and `heads` and
            `gelu` where the file's configuration states them.
        key_map: Layout of the encoder of texts in public files.
        prompts: Prompts of a class, with `{}` for its name, unless the user gives others.
        plain: Whether prompts are lower-cased and lose their punctuation, as the encoder learnt them.
    """

    tower: Callable[..., TextTower]
    key_map: KeyMap
    prompts: tuple[str, ...]
    plain: bool = False

    def of(self, name: str, prompts: Sequence[str]) -> list[str]:
        """The prompts of a class; underscores in its name are spaces."""
        filled = [prompt.replace(GAP, name.replace("_", " ").strip()) for prompt in prompts]
        if not self.plain:
            return filled
        spaced = ("".join(c for c in text.lower() if c.isalnum() or c.isspace()) for text in filled)
        return [" ".join(text.split()) for text in spaced]


def checked_prompts(prompts: Sequence[str]) -> tuple[str, ...]:
    """Prompts with one gap for a class's name each.

    Raises:
        InvalidSetting: If there are none or too many, or one has no gap or several.
    """
    wrong = [prompt for prompt in prompts if prompt.count(GAP) != 1 or not is_utf8(prompt)]
    if wrong or not 1 <= len(prompts) <= MOST_PROMPTS:
        what = f"{spelled(wrong[0][:80])!r}" if wrong else f"{len(prompts)} prompts"
        raise InvalidSetting(
            f"Prompts are texts that name a class at one {GAP} each, such as 'a video of a person {GAP}', "
            f"and are 1 to {MOST_PROMPTS}; got {what}."
        )
    return tuple(prompts)


def ensemble(embeddings_KPE: Tensor) -> Tensor:
    """One embedding `(K, E)` per class from those of its prompts.

    Its direction is the mean of the prompts' directions. Its length is their mean length, which only
    networks look at that go on with an embedding before they compare it.
    """
    lengths = embeddings_KPE.norm(dim=-1).mean(1, keepdim=True)
    together_KE: Tensor = F.normalize(F.normalize(embeddings_KPE, dim=-1).mean(1), dim=-1) * lengths
    return together_KE
