"""Alarms to a real broker, Mosquitto, which is killed and started again."""

from __future__ import annotations

import socket
import subprocess
import time

import pytest
from alarm_makers import an_alarm, until
from benchmarks.broker import MISSING, MOSQUITTO, Broker

from kinesphere.core.errors import InvalidSetting
from kinesphere.live.delivery import Delivery
from kinesphere.live.mqtt import PASSWORD, MqttChannel, MqttSettings

with_broker = pytest.mark.skipif(MOSQUITTO is None, reason=MISSING)
pytest.importorskip("paho.mqtt", reason="needs the extra live")


@pytest.fixture
def broker(tmp_path):
    brokers = []

    def make(*lines):
        brokers.append(Broker(tmp_path, *lines))
        return brokers[-1]

    yield make
    for each in brokers:
        each.end()


@with_broker
def test_nothing_is_lost_within_the_bound_while_the_broker_is_away(broker):
    """The first alarms arrive, the next wait while it is down, and one more than fit is counted as lost."""
    at = broker("allow_anonymous true")
    at.start()
    at.listen("house/alarms")
    channel = MqttChannel(MqttSettings.from_url(f"mqtt://127.0.0.1:{at.port}/house/alarms"))
    delivery = Delivery(channel, bound=10, first_pause_s=0.05, longest_pause_s=0.1)
    for number in range(3):
        delivery.alarm(an_alarm(number, number / 25))
    until(lambda: set(at.frames) == {0, 1, 2} and delivery.counts.delivered == 3)
    at.kill()
    until(lambda: not channel._client.is_connected())
    delivery.alarm(an_alarm(3, 3 / 25))
    until(lambda: delivery.counts.problem != "")
    for number in range(4, 14):
        delivery.alarm(an_alarm(number, number / 25))
    counts = delivery.counts
    assert (counts.delivered, counts.waiting, counts.lost) == (3, 10, 1)
    at.start()
    until(lambda: delivery.counts.delivered == 13, 20)
    until(lambda: len(set(at.frames)) >= 13)
    delivery.close()
    # A killed broker may send its subscriber again what it had sent: QoS 1 is at least once.
    assert list(dict.fromkeys(at.frames)) == [0, 1, 2, 3, *range(5, 14)]
    assert (delivery.counts.lost, delivery.counts.waiting, delivery.counts.problem) == (1, 0, "")


@with_broker
def test_a_password_is_taken_from_the_environment_and_a_refusal_is_told(broker, tmp_path, monkeypatch):
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "cam", "s3cret"], check=True)
    passwords.chmod(0o644)
    at = broker("allow_anonymous false", f"password_file {passwords}")
    at.start()
    monkeypatch.setenv(PASSWORD, "wrong")
    url = f"mqtt://cam@127.0.0.1:{at.port}"
    delivery = Delivery(MqttChannel(MqttSettings.from_url(url)), first_pause_s=0.05, linger_s=0)
    delivery.alarm(an_alarm(1, 0))
    until(lambda: "not authorized" in delivery.counts.problem)
    delivery.close()
    assert (delivery.counts.delivered, delivery.counts.waiting) == (0, 1)
    monkeypatch.setenv(PASSWORD, "s3cret")
    settings = MqttSettings.from_url(url)
    assert "s3cret" not in repr(settings)
    delivery = Delivery(MqttChannel(settings), first_pause_s=0.05)
    delivery.alarm(an_alarm(1, 0))
    until(lambda: delivery.counts.delivered == 1)
    delivery.close()


def test_a_broker_that_was_never_there_delays_nobody():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began_s = time.monotonic()
    delivery = Delivery(MqttChannel(MqttSettings("127.0.0.1", port)), first_pause_s=0.05, linger_s=0.1)
    delivery.alarm(an_alarm(1, 0))
    assert time.monotonic() - began_s < 5
    until(lambda: delivery.counts.problem == "it cannot be reached")
    delivery.close()
    assert delivery.counts.waiting == 1


def test_urls_that_cannot_be_are_refused_without_their_passwords(monkeypatch, tmp_path):
    monkeypatch.delenv(PASSWORD, raising=False)
    full = MqttSettings.from_url(
        "mqtts://cam%40home@broker/a/b", client_id="cam1", ca_file=tmp_path / "no.pem"
    )
    assert (full.host, full.port, full.topic, full.user) == ("broker", 8883, "a/b", "cam@home")
    assert (full.tls, full.client_id) == (True, "cam1")
    assert MqttSettings.from_url("mqtt://broker").topic == "kinesphere/alarms"
    for url, message in (
        ("mqtt://user:s3cret@broker", f"put it into {PASSWORD}"),
        ("http://s3cret", r"mqtt://\[USER@\]HOST"),
        ("mqtt://broker:s3cret", r"mqtt://\[USER@\]HOST"),
        ("mqtt://broker/alarms/#", r"mqtt://\[USER@\]HOST"),
        ("mqtt://broker/a/+/b", r"without \+ and #; got 'a/\+/b'"),
        ("mqtt://broker:0/a", "a port from 1 to 65535"),
        ("mqtt://bro..ker/a", "A broker has a host"),
    ):
        with pytest.raises(InvalidSetting, match=message) as told:
            MqttSettings.from_url(url)
        assert "s3cret" not in str(told.value)
    with pytest.raises(InvalidSetting, match="Certificates are checked on encrypted connections only"):
        MqttSettings("broker", ca_file=tmp_path / "no.pem")
    with pytest.raises(InvalidSetting, match=r"certificates of .*no\.pem cannot be read"):
        MqttChannel(full)
    monkeypatch.setenv(PASSWORD, "s3cret")
    with pytest.raises(InvalidSetting, match="is set, but no user") as told:
        MqttSettings.from_url("mqtt://broker")
    assert "s3cret" not in str(told.value)
