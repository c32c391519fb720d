"""What is left out, and why."""

from __future__ import annotations

from kinesphere.core.errors import EmptySkeleton, InvalidAnnotation
from kinesphere.core.skipped import Skipped, by_reason


def test_files_are_found_again_and_reasons_counted() -> None:
    left_out = Skipped("clip\udce9.mp4", "hidden")  # a name that is not UTF-8
    assert left_out.to_json() == {"path": "clip\udce9.mp4", "reason": "hidden"}
    assert by_reason([left_out, Skipped("b", "hidden")]) == "2 × hidden"


def test_what_shows_nobody_is_no_failure() -> None:
    assert Skipped.because("a", InvalidAnnotation("damaged")).is_failure
    assert not Skipped.because("a", EmptySkeleton("nobody")).is_failure
