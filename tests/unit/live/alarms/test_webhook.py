"""Alarms by HTTP POST, to a server that runs in the test."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from alarm_makers import an_alarm, until

from kinesphere.core.errors import InvalidSetting
from kinesphere.live.delivery import Delivery
from kinesphere.live.webhook import TOKEN, WebhookChannel


class Hook:
    """A web server that answers with the statuses it is given, the last of them for ever."""

    def __init__(self, *statuses, port=0):
        self.requests, self.statuses = [], list(statuses)
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.requests.append((self.path, dict(self.headers), json.loads(body)))
                status = hook.statuses.pop(0) if len(hook.statuses) > 1 else hook.statuses[0]
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", f"http://localhost:{hook.port}/elsewhere")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hook/secret?key=word"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def opened():
    hooks = []
    yield hooks
    for hook in hooks:
        hook.stop()


def test_an_alarm_is_posted_as_json_with_the_token(monkeypatch, opened):
    monkeypatch.setenv(TOKEN, "s3cret")
    hook = Hook(204)
    opened.append(hook)
    channel = WebhookChannel(hook.url)
    delivery = Delivery(channel)
    delivery.alarm(an_alarm(12, 0.48))
    delivery.close()
    ((path, headers, body),) = hook.requests
    assert (path, headers["Content-Type"]) == ("/hook/secret?key=word", "application/json")
    assert headers["Authorization"] == "Bearer s3cret"
    assert (body["alarm"], body["frame"], body["time"]) == ("fall", 12, 0.48)
    assert delivery.counts.delivered == 1
    assert channel.name == f"the webhook at http://127.0.0.1:{hook.port}"


def test_what_fails_is_sent_again_and_what_is_refused_is_not(opened):
    hook = Hook(503, 429, 200, 302, 400, 200)
    opened.append(hook)
    delivery = Delivery(WebhookChannel(hook.url), first_pause_s=0.01, longest_pause_s=0.02)
    for number in range(4):
        delivery.alarm(an_alarm(number, 0))
    delivery.close()
    assert [body["frame"] for _, _, body in hook.requests] == [0, 0, 0, 1, 2, 3]
    assert {path for path, _, _ in hook.requests} == {"/hook/secret?key=word"}  # nowhere else
    counts = delivery.counts
    assert (counts.delivered, counts.refused, counts.waiting) == (2, 2, 0)


def test_a_server_that_is_away_gets_all_of_them_when_it_is_back(opened):
    first = Hook(200)
    first.stop()
    delivery = Delivery(WebhookChannel(first.url, timeout_s=2), first_pause_s=0.01, longest_pause_s=0.05)
    for number in range(5):
        delivery.alarm(an_alarm(number, 0))
    until(lambda: "refused" in delivery.counts.problem)
    assert delivery.counts.waiting == 5
    again = Hook(200, port=first.port)
    opened.append(again)
    until(lambda: delivery.counts.delivered == 5)
    delivery.close()
    assert [body["frame"] for _, _, body in again.requests] == list(range(5))


def test_an_answer_that_comes_byte_by_byte_is_not_waited_for_longer_than_one():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            taken, _ = server.accept()
            with taken, suppress(OSError):
                for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Slow: 1\r\n" * 1000:
                    taken.sendall(bytes([byte]))
                    if stop.wait(0.02):
                        return

        stop = threading.Event()
        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        channel = WebhookChannel(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout_s=0.2)
        attempt = channel.send(b"{}")
        stop.set()
        thread.join()
    assert (attempt.outcome, attempt.reason) == ("later", "no answer in time")


def test_urls_that_cannot_be_are_refused_without_their_secrets(monkeypatch):
    for url, message in (
        ("ftp://somewhere/s3cret", "an http:// or https:// URL with a host"),
        ("https:///s3cret", "with a host"),
        ("https://some..where/s3cret", "with a host"),
        ("https://user:s3cret@somewhere/", TOKEN),
        ("https://somewhere/s3cret word", "spelled? as|spaces"),
        ("https://somewhere:x/s3cret", "with a host"),
    ):
        with pytest.raises(InvalidSetting, match=message) as told:
            WebhookChannel(url)
        assert "s3cret" not in str(told.value)
    monkeypatch.setenv(TOKEN, "s3cret\r\nX: y")
    with pytest.raises(InvalidSetting, match=f"{TOKEN} holds spaces") as told:
        WebhookChannel("https://somewhere/")
    assert "s3cret" not in str(told.value)
