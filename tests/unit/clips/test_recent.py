from __future__ import annotations

import numpy as np

from kinesphere.clips.recent import Recent


def recent(limit_bytes: int) -> Recent[str, np.ndarray]:
    return Recent(limit_bytes, lambda array: (array,))


def test_only_so_much_is_kept_and_what_was_asked_for_last() -> None:
    kept = recent(25)
    for name in ("a", "b", "a", "c"):
        if kept.get(name) is None:
            kept.add(name, np.zeros(10, np.uint8))
    assert (len(kept), kept.bytes) == (2, 20)
    assert kept.get("b") is None
    assert kept.get("a") is not None
    assert kept.get("c") is not None


def test_what_is_larger_than_the_limit_is_not_kept_and_makes_no_room() -> None:
    kept = recent(25)
    kept.add("a", np.zeros(20, np.uint8))
    kept.add("b", np.zeros(26, np.uint8))
    assert kept.get("b") is None
    assert (len(kept), kept.bytes) == (1, 20)


def test_what_was_added_twice_counts_once_and_cannot_be_written_to() -> None:
    kept = recent(25)
    first, second = np.zeros(10, np.uint8), np.ones(10, np.uint8)
    kept.add("a", first)
    kept.add("a", second)
    assert kept.get("a") is first
    assert kept.bytes == 10
    assert not first.flags.writeable
    assert not second.flags.writeable
