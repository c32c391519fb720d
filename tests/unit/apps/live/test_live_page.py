"""The page, its frames, and the WebSocket for programs, asked as browsers and programs ask."""

from __future__ import annotations

import json
import struct
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest
from alarm_makers import an_alarm, live_result, number_in, until

from kinesphere.apps.live.server import LiveServer, ServerSettings
from kinesphere.apps.live.state import LiveState
from kinesphere.core.errors import InvalidSetting
from kinesphere.live.result import Incident

pytest.importorskip("uvicorn", reason="needs the extra live")
client = pytest.importorskip("websockets.sync.client", reason="needs the extra live")
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402


@pytest.fixture
def serve():
    servers = []

    def made(**settings):
        state = LiveState("camera", dropped=lambda: 4)
        servers.append(LiveServer(state, ServerSettings(port=0, **{"fps": 500, **settings})))
        return state, servers[-1]

    yield made
    for server in servers:
        server.close()
        server.close()


def get(url, **headers):
    request = urllib.request.Request(
        url, headers={name.replace("_", "-"): text for name, text in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def opened(server, path, **headers):
    url = server.url.replace("http", "ws") + path
    return client.connect(url, additional_headers=dict(headers), open_timeout=5)


def shown(message):
    """The state and the frame of a message of the page."""
    (length,) = struct.unpack(">I", message[:4])
    image = message[4 + length :]
    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR) if image else None
    return json.loads(message[4 : 4 + length]), pixels


def test_the_page_loads_nothing_from_elsewhere(serve):
    _, server = serve()
    status, headers, text = get(server.url)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "http://" not in text
    assert "https://" not in text
    assert get(server.url + "nowhere")[0] == 404


def test_a_visitor_sees_the_frame_that_was_inferred_with_its_answer(serve):
    state, server = serve()
    with opened(server, "view") as socket:
        first, pixels = shown(socket.recv(timeout=5))
        assert (first["frame"], first["answers"], pixels) == (None, [], None)
        for number in range(10):  # the warm-up of the latency, which is over before the page asks
            state.result(live_result(6, 0.24, person=number))
        socket.send("next")
        shown(socket.recv(timeout=5))
        socket.send("next")
        for number in (7, 8):
            state.frame(live_result(number, number / 25).frame)
            state.result(live_result(number, number / 25, 0.7))
            plain, pixels = shown(socket.recv(timeout=5))
            socket.send("next")
            assert plain["frame"] == number_in(pixels) == number
            assert plain["answers"][0]["top"][0] == {"label": "fall", "probability": 0.7}
        assert plain["latency_ms"] == {
            "now": 50.0,
            "p50": pytest.approx(50, rel=0.02),
            "p95": pytest.approx(50, rel=0.02),
        }
        assert (plain["source"], plain["frames"], plain["dropped"], plain["away"]) == ("camera", 9, 4, False)
        state.alarm(an_alarm(8, 0.32))
        state.incident(Incident("lost", 9, 0.36, "the connection ended"))
        until(lambda: state.snapshot().is_away)
        plain, _ = shown(socket.recv(timeout=5))
        if not plain["away"]:
            socket.send("next")
            plain, _ = shown(socket.recv(timeout=5))
        assert [each["alarm"] for each in plain["alarms"]] == ["fall"]
        assert [each["detail"] for each in plain["incidents"]] == ["the connection ended"]


def test_people_of_one_frame_are_shown_together(serve):
    state, server = serve()
    state.result(live_result(3, 0.1, 0.2, person=1))
    state.result(live_result(4, 0.2, 0.9, person=1))
    state.result(live_result(4, 0.2, 0.1, person=2))
    _, _, text = get(server.url + "state")
    assert [(each["person"], each["answer"]) for each in json.loads(text)["answers"]] == [
        (1, "fall"),
        (2, "walk"),
    ]


def test_a_slow_visitor_gets_the_newest_frame_and_holds_nobody_up(serve):
    state, server = serve()
    with opened(server, "view") as slow, opened(server, "view") as quick:
        slow.recv(timeout=5)  # and says nothing more until the end
        quick.recv(timeout=5)
        seen = []
        for number in range(30):
            state.result(live_result(number, number / 25))
            quick.send("next")
            seen.append(shown(quick.recv(timeout=5))[0]["frame"])
        assert seen == list(range(30))
        slow.send("next")
        assert shown(slow.recv(timeout=5))[0]["frame"] == 29


def test_programs_get_every_answer_incident_and_alarm(serve):
    state, server = serve()
    with opened(server, "results") as socket:
        until(lambda: server._clients)
        state.result(live_result(1, 0.04, person=6))
        state.incident(Incident("frozen", 2, 0.08, "no new picture"))
        state.alarm(an_alarm(1, 0.04))
        answer, incident, alarm = (json.loads(socket.recv(timeout=5)) for _ in range(3))
    assert (answer["frame"], answer["person"], answer["top"][0]["label"]) == (1, 6, "fall")
    assert (incident["incident"], incident["frame"]) == ("frozen", 2)
    assert (alarm["alarm"], alarm["frame"]) == ("fall", 1)


def test_a_slow_program_loses_the_oldest_answers_counted_but_no_alarm(serve, monkeypatch):
    state, server = serve(waiting=3)
    with opened(server, "results") as socket:
        until(lambda: server._clients)
        (visitor,) = server._clients
        monkeypatch.setattr(
            visitor.news, "set", lambda: None
        )  # as if what was sent before were on its way still
        state.alarm(an_alarm(0, 0))
        for number in range(1, 10):
            state.result(live_result(number, number / 25))
        until(lambda: visitor.skipped == 7)
        monkeypatch.undo()
        state.incident(Incident("back", 10, 0.4, "after 1 s"))
        messages = [json.loads(socket.recv(timeout=5)) for _ in range(4)]
    assert messages[0] == {"skipped": 8}
    assert [next(iter(each)) for each in messages[1:]] == ["alarm", "frame", "incident"]
    assert messages[2]["frame"] == 9


def test_no_more_visitors_than_allowed(serve):
    _, server = serve(most_clients=1)
    with opened(server, "view") as socket:
        socket.recv(timeout=5)
        with opened(server, "view") as second, pytest.raises(ConnectionClosed) as told:
            second.recv(timeout=5)
        assert told.value.rcvd.code == 1013
    until(lambda: not server._clients)
    with opened(server, "view") as third:
        assert third.recv(timeout=5)


def test_pages_and_names_of_others_are_refused(serve):
    _, server = serve()
    own = f"127.0.0.1:{server.port}"
    assert get(server.url, Host=own, Origin=f"http://{own}")[0] == 200
    assert get(server.url, Host=f"localhost:{server.port}")[0] == 200
    status, _, text = get(server.url, Host="rebound.example")
    assert (status, text) == (
        403,
        "This page is served under another name; use the address that was printed.\n",
    )
    status, _, text = get(server.url + "state", Origin="http://elsewhere.example")
    assert (status, text) == (403, "Pages of others may not look here.\n")
    for headers in ({"Origin": "http://elsewhere.example"}, {"Origin": "null"}):
        with pytest.raises(InvalidStatus, match="403"):
            opened(server, "view", **headers)
    with opened(server, "view", Origin=f"http://{own}") as socket:
        assert socket.recv(timeout=5)


def test_a_token_is_asked_for_where_there_is_one(serve):
    _, server = serve(token="s3cret")
    status, _, text = get(server.url)
    assert status == 403
    assert "KINESPHERE_LIVE_TOKEN" in text
    assert "s3cret" not in text + repr(server.settings) + server.url
    assert get(server.url + "?token=s3cret")[0] == 200
    assert get(server.url, Authorization="Bearer s3cret")[0] == 200
    assert get(server.url + "?token=other")[0] == 403
    for path in ("view", "results?token=other"):
        with pytest.raises(InvalidStatus, match="403"):
            opened(server, path)
    with opened(server, "view?token=s3cret") as socket:
        assert socket.recv(timeout=5)


def test_large_frames_are_made_smaller(serve):
    state, server = serve(longest_px=80)
    state.result(live_result(5, 0.2))
    with opened(server, "view") as socket:
        _, pixels = shown(socket.recv(timeout=5))
    assert pixels.shape == (16, 80, 3)


def test_settings_that_cannot_be(serve, monkeypatch):
    monkeypatch.setenv("KINESPHERE_LIVE_TOKEN", "s3cret")
    assert ServerSettings.parse("8000") == ServerSettings("127.0.0.1", 8000, "s3cret")
    assert ServerSettings.parse("[::]:81").host == "::"
    assert [ServerSettings(host).is_local for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0")] == [
        True, True, True, False,
    ]  # fmt: skip
    for text, message in (("here", r"\[HOST:\]PORT, as in 8000"), ("0.0.0.0:99999", "0 to 65535; got 99999")):
        with pytest.raises(InvalidSetting, match=message):
            ServerSettings.parse(text)
    with pytest.raises(InvalidSetting, match="A page needs a rate"):
        ServerSettings(fps=0)
    _, server = serve()
    with pytest.raises(InvalidSetting, match=f"served at 127.0.0.1:{server.port}: .*choose another port"):
        LiveServer(LiveState("camera"), ServerSettings(port=server.port))
