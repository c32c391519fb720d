from __future__ import annotations

import pytest

from kinesphere.core.errors import InvalidSetting, LabelMismatch
from kinesphere.core.labels import LabelSet


def test_from_labels_sorts_and_deduplicates() -> None:
    assert LabelSet.from_labels(["wave", "clap", "wave"]).names == ("clap", "wave")


def test_index_is_the_position_and_membership_follows_it() -> None:
    labels = LabelSet(("clap", "wave"))
    assert [labels.index(name) for name in labels] == [0, 1]
    assert "clap" in labels
    assert "kick" not in labels
    assert len(labels) == 2


def test_unknown_label_names_the_nearest() -> None:
    labels = LabelSet(("turn left", "turn right", "wave"))
    with pytest.raises(
        LabelMismatch, match=r"'turn-left' is not among the 3 labels.*Did you mean 'turn left'"
    ):
        labels.index("turn-left")


def test_flip_exchanges_mirror_pairs_only() -> None:
    labels = LabelSet(("left", "right", "wave"), mirror=(("left", "right"),))
    assert labels.flipped() == (1, 0, 2)


def test_mirror_pairs_must_be_labels() -> None:
    with pytest.raises(LabelMismatch, match="'down' is not among"):
        LabelSet(("up", "wave"), mirror=(("up", "down"),))


@pytest.mark.parametrize(
    ("names", "message"),
    [((), "at least one name"), (("a", "a"), r"repeated: \['a'\]"), (("a", " "), "blank: 1")],
)
def test_bad_names_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        LabelSet(names)
