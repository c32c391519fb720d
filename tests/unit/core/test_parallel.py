from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest

from kinesphere.core import parallel as pool
from kinesphere.core.parallel import bounded_map, progressed
from kinesphere.core.skipped import Skipped


def act(order: tuple[str, int]) -> int:
    name, number = order
    if name == "hang":
        time.sleep(600)
    if name == "go on":
        for _ in range(number):
            time.sleep(0.1)
            progressed()
    if name == "stall":
        progressed()
        time.sleep(600)
    if name == "die":
        os._exit(7)
    if name == "die speaking":
        os.write(pool._LINE[0].fileno(), (1000).to_bytes(4, "big") + b"the first of 1000 bytes")
        os._exit(9)
    if name == "who":
        return os.getpid()
    if name == "raise":
        raise ValueError(f"from call {number}")
    return number * number


def test_every_argument_gets_its_result() -> None:
    orders = [("work", number) for number in range(20)]
    assert dict(bounded_map(act, orders, workers=2, timeout_s=60)) == {o: o[1] ** 2 for o in orders}


def test_hanging_and_dying_calls_are_lost_and_the_others_go_on() -> None:
    orders = [("work", 1), ("hang", 2), ("die", 3), ("work", 4), ("hang", 5), ("work", 6)]
    began = time.monotonic()
    results = dict(bounded_map(act, orders, workers=2, timeout_s=2))
    assert time.monotonic() - began < 30
    assert [results[o] for o in orders if o[0] == "work"] == [1, 16, 36]
    for order in (("hang", 2), ("hang", 5)):
        assert results[order] == Skipped(str(order), "it took longer than 2 s and was stopped")
    assert results[("die", 3)] == Skipped("('die', 3)", "the process that read it died (exit code 7)")


def test_a_process_that_dies_in_the_middle_of_its_answer_is_lost() -> None:
    orders = [("die speaking", 1), ("work", 2)]
    results = dict(bounded_map(act, orders, workers=1, timeout_s=60))
    assert results == {
        orders[0]: Skipped(str(orders[0]), "the process that read it died (exit code 9)"),
        orders[1]: 4,
    }


def test_another_process_takes_the_place_of_one_that_was_killed_between_two_calls() -> None:
    results = bounded_map(act, [("who", 1), ("work", 2), ("work", 3)], workers=1, timeout_s=60)
    _, process = next(results)
    assert isinstance(process, int)
    os.kill(process, signal.SIGKILL)
    for child in multiprocessing.active_children():
        child.join(10)
    assert list(results) == [(("work", 2), 4), (("work", 3), 9)]
    assert not multiprocessing.active_children()


def test_errors_are_raised_here_and_no_process_is_left() -> None:
    with pytest.raises(ValueError, match="from call 3"):
        list(bounded_map(act, [("work", 1), ("hang", 2), ("raise", 3)], workers=2, timeout_s=60))
    assert not multiprocessing.active_children()


def test_stopping_early_leaves_no_process() -> None:
    results = bounded_map(act, [("work", 1), ("hang", 2)], workers=2, timeout_s=60)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


def test_a_call_may_take_long_as_long_as_it_goes_on() -> None:
    orders = [("go on", 25), ("stall", 1)]
    results = dict(bounded_map(act, orders, workers=2, timeout_s=1))
    assert results[("go on", 25)] == 625
    assert results[("stall", 1)] == Skipped("('stall', 1)", "it took longer than 1 s and was stopped")


def test_progress_elsewhere_is_nothing() -> None:
    progressed()
