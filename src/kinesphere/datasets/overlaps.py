"""What is known of clips that a data set shares with others that public weights learnt from."""

from __future__ import annotations

from kinesphere.models.weights.training_sets import OVERLAPS, TITLES


def known_overlaps(name: str) -> tuple[str, ...]:
    """Sentences for people; empty where nobody states an overlap, which is no proof that there is none.

    Args:
        name: The set's name in the catalogue, which is the one that cards of weights use.
    """
    own = ("ntu60", "ntu120") if name == "ntu" else (name,)
    return tuple(
        f"Weights that learnt from {TITLES[each.trained_on]} may know its test: {each.what} ({each.source})."
        for each in OVERLAPS
        if each.tested_on in own
    )
