"""What is left out is told in text."""

from __future__ import annotations

from kinesphere.core.errors import EmptySkeleton, InvalidAnnotation
from kinesphere.core.skipped import Skipped, by_reason


def test_names_of_files_become_text() -> None:
    left_out = Skipped("clip\udce9.mp4", "hidden")
    assert left_out.name == "clip\\udce9.mp4"
    assert by_reason([left_out, Skipped("b", "hidden")]) == "2 × hidden"


def test_what_shows_nobody_is_no_failure() -> None:
    assert Skipped.because("a", InvalidAnnotation("damaged")).is_failure
    assert not Skipped.because("a", EmptySkeleton("nobody")).is_failure
