"""Whether the public data that weights learnt from are known to hold clips of a test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from kinesphere.core.labels import LabelSet
from kinesphere.data.catalogue import DATASETS
from kinesphere.models.provenance import Provenance
from kinesphere.models.weights.class_names import names_of
from kinesphere.models.weights.training_sets import OVERLAPS, TITLES, overlaps

_TITLES = {**TITLES, "jhmdb": "J-HMDB"}


def known_set(labels: LabelSet) -> str | None:
    """The public set whose classes these are, all of them and no other; None for any other classes."""
    return _by_classes().get(_plain(labels.names))


def pretraining_notes(provenances: Sequence[Provenance], labels: LabelSet) -> tuple[str, ...]:
    """What a reader of a score must know of the public data that models had learnt from before.

    Data are known to be a public set by their classes. Where nobody states an overlap, nothing is said.

    Args:
        provenances: Where the models' weights come from.
        labels: Classes of the data that test.
    """
    tested_on = known_set(labels)
    if tested_on is None:
        return ()
    learnt = (name for origin in provenances for name in origin.trained_on)
    return overlap_notes(learnt, tested_on)


def overlap_notes(trained_on: Iterable[str], tested_on: str) -> tuple[str, ...]:
    """What is known of test clips of a public set that are in others which weights learn from.

    Args:
        trained_on: Names of public sets.
        tested_on: Name of the set that tests.
    """
    return tuple(
        f"These are the classes of {_TITLES[tested_on]}, and the weights have learnt from "
        f"{_TITLES[each.trained_on]}: {each.what} ({each.source}). The score may flatter."
        for each in overlaps(trained_on, tested_on)
    )


@cache
def _by_classes() -> dict[frozenset[str], str]:
    """The sets that some overlap concerns, by their classes in the forms that they are written in."""
    forms: dict[frozenset[str], str] = {}
    for name in dict.fromkeys(each.tested_on for each in OVERLAPS):
        classes = DATASETS.get("jhmdb").card.classes if name == "jhmdb" else names_of(name)
        forms[_plain(classes)] = name
        if name.startswith("ntu"):  # the set's own codes of its actions
            forms[_plain(f"A{number:03d}" for number in range(1, len(classes) + 1))] = name
    return forms


def _plain(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.casefold().replace("_", " ").strip() for name in names)
