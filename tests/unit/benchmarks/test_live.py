"""Figures of live recognition are those of the answers that came, misses included."""

from __future__ import annotations

from benchmarks.live import Watched, goals_of, notes_of

from kinesphere.live import Summary


def watched(name: str, fps: float, late_s: float, grows: int) -> Watched:
    """A hundred seconds in which every frame of 25 a second that an answer has time for has one."""
    found = Watched(name, 100 / 60)
    step = round(25 / fps)
    for number in range(0, 2500, step):
        found.answers.append((number / 25, number, number + 7, late_s))
        found.memory.append((number / 25, 1_000_000 + grows * number))
    found.summary = Summary(2500, 2500, len(found.answers), 100.0, {}, late_s, late_s, late_s)
    return found


def test_what_is_kept_up_with_meets_the_goals_and_is_counted() -> None:
    every, slow = watched("every frame", 25, 0.06, 0), watched("5 a second", 5, 0.2, 0)
    assert all(line.endswith("met") for line in goals_of(every, slow))
    row = slow.row()
    assert (row["answers/s"], row["p95 ms"], row["dropped"], row["lost on the way"]) == (5.0, 200.0, 2000, 0)
    assert notes_of(every, slow)[1] == "Measured for 1.66667 minutes, not 15."
    assert notes_of(every, slow)[-1].endswith(
        "1996 frames between the first answer and the last were not answered at, 2000 are counted as dropped."
    )


def test_what_is_not_kept_up_with_is_said() -> None:
    every, slow = watched("every frame", 12.5, 0.5, 100_000), watched("5 a second", 5, 9.0, 0)
    assert all(line.endswith("missed") for line in goals_of(every, slow))
    every.answers[-1] = (100.0, 2499, 2520, 0.5)
    assert every.lost == 14
