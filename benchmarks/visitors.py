"""Visitors of the live page who do what they should not; a process of its own without anything of ours.

python benchmarks/visitors.py KIND PORT
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable

UPGRADE = (
    b"GET /view HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PAGE = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
NEXT, PING = b"\x81\x84\x00\x00\x00\x00next", b"\x89\x81\x00\x00\x00\x00x"


def connected(port: int) -> socket.socket:
    """A connection to the page's server."""
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def browse(port: int) -> None:
    """One page that shows what it is sent."""
    with connected(port) as page:
        page.sendall(UPGRADE)
        while page.recv(1 << 20):
            page.sendall(NEXT)
            time.sleep(0.06)


def stay_silent(port: int) -> None:
    """Connections that say little or nothing, hundreds of them."""
    held = []
    while True:
        held.append(connected(port))
        held[-1].sendall(b"GET / HTTP/1.1\r\nHo")
        if len(held) > 400:
            held.pop(0).close()
        time.sleep(0.005)


def never_read(port: int) -> None:
    """WebSockets that ask for frames and read none."""
    held = []
    while True:
        held.append(connected(port))
        held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        held[-1].sendall(UPGRADE + NEXT)
        if len(held) > 100:
            held.pop(0).close()
        time.sleep(0.05)


def storm(port: int) -> None:
    """Connections one after another, as fast as they go."""
    while True:
        connected(port).close()


def ask_without_end(port: int) -> None:
    """Requests one after another, of which the answers are not waited for."""
    while True:
        with connected(port) as visitor:
            visitor.sendall(PAGE.replace(b"close", b"keep-alive") * 200)


def ping_without_end(port: int) -> None:
    """WebSockets that send frames as fast as they go."""
    while True:
        with connected(port) as visitor:
            visitor.sendall(UPGRADE + PING * 1000)
            visitor.sendall(PING * 10_000)


def spin(port: int) -> None:
    """No visitor at all, but a process that takes as much time."""
    while True:
        pass


VISITORS: dict[str, Callable[[int], None]] = {
    "a busy process": spin,
    "a page": browse,
    "silent connections": stay_silent,
    "never reading": never_read,
    "storm of connections": storm,
    "storm of requests": ask_without_end,
    "storm of frames": ping_without_end,
}


if __name__ == "__main__":
    while True:
        try:
            VISITORS[sys.argv[1]](int(sys.argv[2]))
        except OSError:
            time.sleep(0.001)
