"""What a run starts from: tensors that were loaded or reset, labels that are shared, what taught them."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import write_text
from kinesphere.core.structured import read_json
from kinesphere.core.text import named
from kinesphere.data.manifest import Manifest
from kinesphere.models.provenance import Lesson, Provenance
from kinesphere.models.recogniser import Recogniser
from kinesphere.models.weights.training_sets import TITLES
from kinesphere.train.recipe import Recipe
from kinesphere.train.set_heads import heads_of

log = logging.getLogger("kinesphere.train")

_MOST_NAMES = 8


@dataclass(frozen=True)
class Start:
    """The weights that a run starts from.

    Attributes:
        weights: As the recipe names them.
        loaded: Tensors that come from them.
        reset: Tensors that start afresh.
        shared: Labels of the run that the weights know; None where the weights name no labels.
        new: Labels of the run that they do not know.
        dropped: Labels that they know and the run does not.
        taught: What they had learnt from, first to last.
    """

    weights: str
    loaded: tuple[str, ...]
    reset: tuple[str, ...]
    shared: tuple[str, ...] | None
    new: tuple[str, ...]
    dropped: tuple[str, ...]
    taught: tuple[str, ...]

    @classmethod
    def of(cls, weights: str, recogniser: Recogniser, before: Provenance) -> Self:
        """What came of loading weights.

        Args:
            weights: Their name.
            recogniser: Before its first step.
            before: Provenance of the weights.
        """
        reset, former = set(recogniser.reset), recogniser.former_labels
        names = [name for name, _ in recogniser.net.named_parameters()]
        own, theirs = recogniser.labels.names, () if former is None else former.names
        return cls(
            weights,
            tuple(name for name in names if name not in reset),
            tuple(name for name in names if name in reset),
            None if former is None else tuple(name for name in own if name in theirs),
            () if former is None else tuple(name for name in own if name not in theirs),
            tuple(name for name in theirs if name not in own),
            taught(before),
        )

    def sentence(self) -> str:
        """For people: counts, and the names of what is reset and shared."""
        count = len(self.loaded) + len(self.reset)
        reset = named(self.reset, _MOST_NAMES) if self.reset else "none"
        said = f"Started from {self.weights}: {len(self.loaded)} of {count} tensors loaded, reset: {reset}."
        if self.shared is not None:
            shared = f" ({named(self.shared, _MOST_NAMES)})" if self.shared else ""
            new = f" ({named(self.new, _MOST_NAMES)})" if self.new else ""
            said += (
                f" Labels: {len(self.shared)} shared{shared}, {len(self.new)} new{new}, "
                f"{len(self.dropped)} of the weights not wanted."
            )
        return f"{said} It had learnt from: {' → '.join(self.taught) or TITLES['unknown']}."

    def write(self, path: Path) -> None:
        """Write all names as JSON."""
        write_text(
            path, json.dumps({**vars(self), "sentence": self.sentence()}, indent=1, ensure_ascii=False)
        )


def taught(origin: Provenance) -> tuple[str, ...]:
    """What weights have learnt from: public sets by name, then trainings with their numbers, in order."""
    return (*(TITLES[name] for name in origin.trained_on), *map(str, origin.lessons))


def start_notes(path: Path) -> tuple[str, ...]:
    """What the report says of a run's start; nothing where it started from no weights.

    Raises:
        InvalidSetting: If the file is damaged.
    """
    if not path.is_file():
        return ()
    plain: Any = read_json(path, InvalidSetting)
    if not isinstance(plain, dict) or not isinstance(plain.get("sentence"), str):
        raise InvalidSetting(f"{path} does not say what the run started from; delete it, and resume the run.")
    return (plain["sentence"],)


def tell_start(path: Path, start: Start) -> None:
    """Log what a run starts from and write it down."""
    log.info("%s", start.sentence())
    start.write(path)


def lesson_of(recipe: Recipe, train: Manifest) -> Lesson:
    """What a run teaches: its data sets with their training clips and classes."""
    heads = heads_of(recipe, train.labels)
    if not heads:
        name = Path(recipe.data.source[0]).stem
        return Lesson((name,), (len(train),), (len(train.labels),))
    return Lesson(
        tuple(head.name for head in heads),
        tuple(len(head.own(train)) for head in heads),
        tuple(len(head.labels) for head in heads),
    )
