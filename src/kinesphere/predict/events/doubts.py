"""Why rules may find nothing: labels that nobody gives, people who are not told apart, places unknown."""

from __future__ import annotations

from collections.abc import Sequence

from kinesphere.core.errors import LabelMismatch
from kinesphere.core.labels import LabelSet
from kinesphere.predict.events.facts import Fact
from kinesphere.predict.events.rules import Rules


def check_rules(
    rules: Rules, labels: LabelSet, of: str, *, people: bool, with_things: Sequence[str] = ()
) -> list[str]:
    """Hold rules against what a model can say, before it is asked.

    Args:
        rules: The rules.
        labels: The labels of the model.
        of: Who gives them, for the message.
        people: Whether people are told apart, each with its box.
        with_things: What people do with things, such as `near`, where that is found as well.

    Returns:
        Why rules will find nothing that ask for what is not known.

    Raises:
        LabelMismatch: If the rules speak of a label that cannot occur; the nearest are listed.
    """
    # Which things there are, only the videos tell.
    verbs = tuple(f"{verb} " for verb in with_things)
    of_things = [each for each in rules.labels if each.startswith((*verbs, "*"))] if verbs else []
    rules.check_labels((*labels.names, *of_things), of)
    notes = []
    if rules.asks_for_people and not people:
        notes.append(
            "the rules ask who it is, and nobody is told apart: somebody unknown is neither the same person "
            "as others nor a different one; --people tells people apart"
        )
    if rules.asks_for_places and not people:
        notes.append("the rules ask for places, and nothing is known of where it happens; --people tells")
    return notes


def doubts(rules: Rules, facts: Sequence[Fact]) -> list[str]:
    """What may be why rules find nothing in these facts."""
    found = []
    try:
        rules.check_labels({fact.label for fact in facts}, "these facts")
    except LabelMismatch as error:
        found.append(str(error))
    nobody = sum(fact.person is None for fact in facts)
    if nobody and rules.asks_for_people:
        found.append(
            f"{nobody} of {len(facts)} facts are of nobody in particular; they are neither of the same "
            "person as others nor of a different one"
        )
    nowhere = sum(fact.box is None for fact in facts)
    if nowhere and rules.asks_for_places:
        found.append(f"{nowhere} of {len(facts)} facts have no box; they are in no place")
    return found
