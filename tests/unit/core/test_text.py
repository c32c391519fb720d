from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.text import enumerated, is_utf8, named, spelled, told_apart, unspelled


@given(st.binary(min_size=1).map(os.fsdecode))
def test_every_name_is_spelled_in_utf_8_and_found_again(name: str) -> None:
    spelling = spelled(name)
    assert is_utf8(spelling)
    assert unspelled(spelling.encode().decode()) == name


def test_names_are_listed_as_sentences_list_them() -> None:
    assert [enumerated("abc"[:count]) for count in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


def test_a_name_that_could_be_taken_for_two_is_in_quotes() -> None:
    assert named(["pull", "push, hard", "a,b"]) == "pull, 'push, hard', a,b"
    assert named("abcdefg", 5) == "a, b, c, d, e and 2 more"


def test_json_reads_the_spelling_by_itself() -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    assert json.loads(spelled(json.dumps(name, ensure_ascii=False))) == name


def test_labels_are_utf_8() -> None:
    with pytest.raises(InvalidSetting, match=r"'caf\\\\udce9' is not .*Rename the folders"):
        LabelSet(("wave", os.fsdecode(b"caf\xe9")))


def test_names_that_occur_again_are_numbered() -> None:
    assert told_apart(["a", "b", "a", "a-2", "a"]) == ["a", "b", "a-3", "a-2", "a-4"]
    assert told_apart([]) == []
