"""Class names in their one form."""

from __future__ import annotations

import pytest

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet


def test_one_text_in_two_forms_is_one_label() -> None:
    labels = LabelSet.from_labels(["plie\u0301", "pli\u00e9", " wave "])
    assert labels.names == ("pli\u00e9", "wave")
    assert labels.index("plie\u0301") == 0
    with pytest.raises(InvalidSetting, match="repeated"):
        LabelSet(("plie\u0301", "pli\u00e9"))
    assert LabelSet(("a", "plie\u0301"), mirror=(("a", "plie\u0301"),)).flipped() == (1, 0)


def test_names_that_are_likely_one_class() -> None:
    from kinesphere.core.labels import nearly_same

    names = ["Turn Left", "turn  left", "turn_left", "wave", "\uff37ave", "jump", "-", "_"]
    assert nearly_same(names) == [("Turn Left", "turn  left", "turn_left"), ("wave", "\uff37ave")]


def test_many_names_take_no_square_of_time() -> None:
    assert len(LabelSet(tuple(map(str, range(100_000))))) == 100_000
