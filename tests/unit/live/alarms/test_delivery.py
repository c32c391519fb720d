"""Alarms on their way: in order, bounded, and never in the way of those who raise them."""

from __future__ import annotations

import json
import threading

import pytest
from alarm_makers import an_alarm, until

from kinesphere.core.errors import InvalidSetting
from kinesphere.live.delivery import Attempt, Delivery


class FakeChannel:
    """Takes messages while it is open; `gate` holds up whoever sends."""

    name = "a fake"

    def __init__(self, is_open=True):
        self.is_open, self.closed = is_open, 0
        self.gate = threading.Event()
        self.gate.set()
        self.attempts, self.taken = 0, []
        self.answer = Attempt("delivered")

    def send(self, message):
        self.attempts += 1
        self.gate.wait(10)
        if not self.is_open:
            return Attempt("later", "nobody is there")
        self.taken.append(json.loads(message)["frame"])
        return self.answer

    def close(self):
        self.closed += 1


def delivery_to(channel, **settings):
    return Delivery(channel, first_pause_s=0.01, longest_pause_s=0.02, **settings)


def test_what_waited_is_delivered_in_order_when_the_channel_is_back():
    channel = FakeChannel(is_open=False)
    delivery = delivery_to(channel, bound=20)
    for number in range(20):
        delivery.alarm(an_alarm(number, number / 25))
    until(lambda: channel.attempts > 3)
    counts = delivery.counts
    assert (counts.waiting, counts.lost, counts.problem) == (20, 0, "nobody is there")
    channel.is_open = True
    until(lambda: delivery.counts.delivered == 20)
    delivery.close()
    delivery.close()
    assert (channel.taken, channel.closed) == (list(range(20)), 1)
    assert delivery.counts.problem == ""


def test_beyond_the_bound_the_oldest_is_given_up_and_counted():
    channel = FakeChannel(is_open=False)
    delivery = delivery_to(channel, bound=3)
    delivery.alarm(an_alarm(0, 0))
    until(lambda: channel.attempts > 0)  # the first is under way, and stays
    for number in range(1, 8):
        delivery.alarm(an_alarm(number, number / 25))
    assert (delivery.counts.waiting, delivery.counts.lost) == (3, 5)
    channel.is_open = True
    until(lambda: delivery.counts.waiting == 0)
    delivery.close()
    assert channel.taken == [0, 6, 7]
    assert delivery.counts.delivered + delivery.counts.lost == 8


def test_whoever_raises_an_alarm_does_not_wait_for_a_channel_that_hangs():
    channel = FakeChannel()
    channel.gate.clear()
    delivery = delivery_to(channel, bound=2)
    for number in range(10):  # returns, though the first attempt never does
        delivery.alarm(an_alarm(number, 0))
    assert delivery.counts.delivered == 0
    channel.gate.set()
    delivery.close()
    assert len(channel.taken) == 2
    assert channel.taken[1] == 9


def test_what_is_refused_is_counted_and_the_next_goes_on():
    channel = FakeChannel()
    channel.answer = Attempt("refused", "it answers 400")
    delivery = delivery_to(channel)
    delivery.alarm(an_alarm(1, 0))
    until(lambda: delivery.counts.refused == 1)
    assert delivery.counts.problem == "it answers 400"
    channel.answer = Attempt("delivered")
    delivery.alarm(an_alarm(2, 0))
    delivery.close()
    assert (delivery.counts.refused, delivery.counts.delivered) == (1, 1)


def test_the_end_waits_a_while_and_then_tells_what_was_not_delivered():
    channel = FakeChannel(is_open=False)
    delivery = delivery_to(channel, linger_s=0.05)
    for number in range(3):
        delivery.alarm(an_alarm(number, 0))
    delivery.close()
    assert (delivery.counts.waiting, delivery.counts.delivered, channel.closed) == (3, 0, 1)
    with pytest.raises(InvalidSetting, match="a bound of 1 or more"):
        Delivery(channel, bound=0)
