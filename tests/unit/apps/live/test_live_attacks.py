"""The page's server among visitors who mean ill, or nothing: bounded, and open to the others."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import time
from pathlib import Path

import pytest
from alarm_makers import live_result, until

from kinesphere.apps.live.server import LiveServer, ServerSettings
from kinesphere.apps.live.state import LiveState
from kinesphere.core.errors import InvalidSetting

pytest.importorskip("uvicorn", reason="needs the extra live")
pytest.importorskip("websockets", reason="needs the extra live")
from kinesphere.apps.live.guard import Allowance, Bounds

QUICK = Bounds(connections=12, per_s=500.0, patience_s=0.5)
UPGRADE = (
    "GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
)


@pytest.fixture
def serve():
    servers = []

    def made(bounds=QUICK, **settings):
        state = LiveState("camera")
        servers.append(LiveServer(state, ServerSettings(port=0, **{"fps": 500, **settings}), bounds))
        return state, servers[-1]

    yield made
    for server in servers:
        server.close()


def connected(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=5)


def ask(server, request):
    """All that is answered to some bytes, until the server ends the connection or says no more."""
    with connected(server) as visitor:
        visitor.settimeout(1.5)
        heard = b""
        try:
            visitor.sendall(request.encode("latin-1") if isinstance(request, str) else request)
            while part := visitor.recv(65536):
                heard += part
        except OSError:
            pass
        return heard.decode("latin-1")


def page(server):
    """The status of the page."""
    return ask(server, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")[:15]


def watching(server, path="view", more=""):
    """An open WebSocket, as raw as it gets."""
    visitor = connected(server)
    visitor.sendall(UPGRADE.format(path=path, more=more).encode())
    assert visitor.recv(4096).startswith(b"HTTP/1.1 101")
    return visitor


def frame(opcode, content=b"", fin=True):
    """A WebSocket frame as a visitor sends it, masked with zeros."""
    return struct.pack(">BBI", opcode | (128 if fin else 0), 128 | len(content), 0) + content


def gone(visitor):
    """Whether the server has ended a connection, whatever it sent before."""
    visitor.settimeout(5)
    try:
        while visitor.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def refused(visitor, sent, every_s=0.0, within_s=6.0):
    """Whether the server ends a connection that sends the same again and again."""
    end_s = time.monotonic() + within_s
    try:
        while time.monotonic() < end_s:
            visitor.sendall(sent)
            time.sleep(every_s)
    except OSError:
        return True
    return False


def open_files():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")


@needs_proc
def test_those_who_say_nothing_keep_nobody_out_and_take_few_files(serve):
    _, server = serve()
    assert page(server) == "HTTP/1.1 200 OK"
    before = open_files()
    silent = [connected(server) for _ in range(60)]
    for visitor in silent[::2]:
        visitor.sendall(b"GET / HTTP/1.1\r\nHost: local")  # and a byte now and then
    assert page(server) == "HTTP/1.1 200 OK"
    until(lambda: open_files() - before - len(silent) <= QUICK.connections)
    for visitor in silent:
        assert gone(visitor)
        visitor.close()
    until(lambda: open_files() <= before)


def test_a_request_that_never_ends_does_not_last(serve):
    _, server = serve()
    with connected(server) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        begun = time.monotonic()
        assert refused(slow, b"X-Slow: 1\r\n", every_s=0.05)
        assert time.monotonic() < begun + 3
    with connected(server) as body:
        body.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
        assert gone(body)
    assert page(server) == "HTTP/1.1 200 OK"


@needs_proc
def test_who_never_reads_is_left_behind(serve):
    state, server = serve(most_clients=3)
    before = open_files()
    deaf = []
    for _ in range(3):
        visitor = connected(server)
        visitor.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        visitor.sendall(UPGRADE.format(path="view", more="").encode())
        deaf.append(visitor)
    until(lambda: len(server._clients) == 3)
    for number in range(60):
        state.result(live_result(number, number / 25))
        for visitor in deaf:
            visitor.sendall(frame(1, b"next"))
        time.sleep(0.01)
    for visitor in deaf:
        visitor.shutdown(socket.SHUT_WR)  # vanishes without a word of the protocol
    until(lambda: not server._clients)
    until(lambda: open_files() - before <= len(deaf))
    for visitor in deaf:
        visitor.close()


def test_a_reader_of_nothing_ends_with_its_answer(serve):
    _, server = serve()
    with connected(server) as visitor:
        visitor.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        assert refused(visitor, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
    assert page(server) == "HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    "sent",
    [frame(9, b"x") * 20_000, frame(1, b"", fin=False) + frame(0, b"", fin=False) * 40_000],
    ids=["pings", "a message without an end"],
)
def test_a_flood_over_a_websocket_ends_it(serve, sent):
    _, server = serve()
    with watching(server) as visitor:
        with contextlib.suppress(OSError):
            visitor.sendall(sent)
        assert gone(visitor)
    until(lambda: not server._clients)
    assert server.guard.turned_away == 1


@pytest.mark.parametrize(
    "sent",
    [
        frame(2, b"\x00\xff"),
        frame(1, b"\xff\xfe"),
        frame(3, b"reserved"),
        frame(8, b"\x03"),
        frame(0, b"continues nothing"),
        struct.pack(">BBQI", 130, 255, 1 << 62, 0),
        struct.pack(">BB", 129, 4) + b"next",
        os.urandom(2000),
    ],
    ids=["binary", "not UTF-8", "opcode", "close", "continuation", "huge", "unmasked", "garbage"],
)
def test_frames_that_are_none_end_the_websocket_alone(serve, capfd, sent):
    state, server = serve()
    with watching(server) as visitor, watching(server, "results") as other:
        until(lambda: len(server._clients) == 2)
        visitor.sendall(sent)
        assert gone(visitor)
        state.result(live_result(1, 0.04))
        assert b'"frame": 1' in other.recv(4096)
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GET / HTTP/1.0\r\n\r\n", "403"),
        ("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n", "200"),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "403"),
        ("GET / HTTP/1.1\r\nHost: localhost@evil.example\r\n\r\n", "403"),
        ("GET / HTTP/1.1\r\nHost: evil.example#localhost\r\n\r\n", "403"),
        ("GET / HTTP/1.1\r\nHost: localhost:80; script-src *\r\n\r\n", "403"),
        ("GET / HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", "403"),
        ("GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n", "403"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://[\r\n\r\n", "403"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: file://localhost\r\n\r\n", "403"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:1\r\n\r\n", "403"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n", "403"),
        ("GET /../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
        ("GET /%2e%2e%2fetc%2fpasswd%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
        ("GET //localhost/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
        ("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
        ("POST /state HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", "405"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", "400"),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"),
        (UPGRADE.format(path="view", more="Origin: http://evil.example\r\n"), "403"),
        (UPGRADE.format(path="view", more="").replace("localhost", "evil.example"), "403"),
        (UPGRADE.format(path="nowhere", more=""), "403"),
        (UPGRADE.format(path="view", more="").replace("dGhl", "!!"), "400"),
    ],
)
def test_requests_of_every_kind_are_answered_and_no_traceback_is_printed(serve, capfd, request_, status):
    _, server = serve()
    answer = ask(server, request_)
    assert answer.split()[1] == status, answer[:300]
    assert "root:" not in answer
    assert page(server) == "HTTP/1.1 200 OK"
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "start", ["GET / HTTP/1.1\r\nHost: localhost\r\nX: ", "GET /"], ids=["header", "path"]
)
def test_what_is_far_too_long_is_not_read_to_its_end(serve, start):
    _, server = serve()
    with connected(server) as visitor:
        visitor.sendall(start.encode())
        assert refused(visitor, b"x" * 10_000)
    assert page(server) == "HTTP/1.1 200 OK"


def test_pipelined_requests_are_answered_in_turn(serve):
    _, server = serve()
    one = "GET /state HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert ask(server, one * 5).count("HTTP/1.1 200 OK") == 5


def test_random_bytes_are_no_end_of_the_page(serve, capfd):
    _, server = serve()
    rng = random.Random(0)
    good = (UPGRADE.format(path="view", more="") + "\x81\x84\x00\x00\x00\x00next").encode("latin-1")
    for _ in range(60):
        sent = bytearray(good)
        for _ in range(rng.randint(1, 8)):
            sent[rng.randrange(len(sent))] = rng.randrange(256)
        with connected(server) as visitor:
            visitor.sendall(sent[: rng.randint(1, len(sent))])
    assert page(server) == "HTTP/1.1 200 OK"
    until(lambda: not server._clients)
    assert "Traceback" not in "".join(capfd.readouterr())


@needs_proc
def test_a_storm_of_connections_is_turned_away_and_passes(serve):
    _, server = serve(Bounds(connections=12, per_s=20.0, patience_s=0.5))
    before = open_files()
    for _ in range(300):
        with connected(server) as visitor:
            visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert server.guard.turned_away > 100
    until(lambda: open_files() <= before)
    until(lambda: page(server) == "HTTP/1.1 200 OK")


def test_an_allowance_fills_up_again():
    allowance = Allowance(2.0, 3.0, 0.0)
    assert [allowance.take(1, 0.0) for _ in range(4)] == [True, True, True, False]
    assert [allowance.take(1, 1.0) for _ in range(3)] == [True, True, False]
    assert allowance.take(3, 100.0)
    assert not allowance.take(1, 100.0)
    with pytest.raises(InvalidSetting, match="Bounds of visitors are positive"):
        Bounds(connections=0)
