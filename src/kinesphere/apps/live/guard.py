"""What visitors of the page may take: connections, time and bytes, whatever they do or leave undone.

The server's thread shares this process with what reads and answers. So that no visitor holds up others,
fills the memory, or takes the files that a camera or a recorder needs, each connection ends by itself:
uvicorn alone waits for ever for a request that never gets complete, and for somebody to read what was sent.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:  # an extra brings it
    from uvicorn.protocols.http.h11_impl import H11Protocol
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


@dataclass(frozen=True)
class Bounds:
    """Bounds of all visitors together, and of each.

    Attributes:
        connections: Most connections at once. One more takes the place of the one that waits longest without
            a WebSocket, so that those who say nothing keep nobody out.
        per_s: Most new connections and requests per second on the average; twice as many at once.
        patience_s: How long a request, its answer, and the end of a WebSocket may take.
        ws_bytes_per_s: Most bytes per second that a WebSocket may send on the average, and eight times as
            many at once; a page sends some ten a frame.

    Raises:
        InvalidSetting: If one is not positive.
    """

    connections: int = 64
    per_s: float = 50.0
    patience_s: float = 10.0
    ws_bytes_per_s: float = 4096.0

    def __post_init__(self) -> None:
        if min(self.connections, self.per_s, self.patience_s, self.ws_bytes_per_s) <= 0:
            raise InvalidSetting(f"Bounds of visitors are positive; got {self}.")


class Allowance:
    """What may be taken so often per second on the average, with some at once."""

    def __init__(self, per_s: float, at_once: float, now_s: float) -> None:
        self._per_s, self._at_once = per_s, at_once
        self._left, self._now_s = at_once, now_s

    def take(self, amount: float, now_s: float) -> bool:
        """Whether so much is left, which is then taken."""
        self._left = min(self._at_once, self._left + self._per_s * (now_s - self._now_s))
        self._now_s = now_s
        if self._left < amount:
            return False
        self._left -= amount
        return True


class Guard:
    """Counts the connections of one server, on its loop alone.

    Args:
        bounds: What is allowed.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.turned_away = 0
        """Connections that were ended for what they took."""
        self._requests: dict[H11Protocol, None] = {}
        self._sockets: set[WebSocketsSansIOProtocol] = set()
        self._allowance: Allowance | None = None

    def admits(self, request: H11Protocol) -> bool:
        """Whether a new connection may stay; perhaps in the place of another one."""
        if not self.grants(request.loop.time()):
            return False
        if len(self._requests) + len(self._sockets) >= self.bounds.connections:
            if not self._requests:
                return False
            self.ends(next(iter(self._requests)))
        self._requests[request] = None
        return True

    def grants(self, now_s: float) -> bool:
        """Whether there may be one more connection or request now."""
        if self._allowance is None:
            self._allowance = Allowance(self.bounds.per_s, 2 * self.bounds.per_s, now_s)
        return self._allowance.take(1, now_s)

    def becomes(self, request: H11Protocol, socket: WebSocketsSansIOProtocol) -> None:
        """A connection is a WebSocket from now on."""
        self._requests.pop(request, None)
        self._sockets.add(socket)

    def ends(self, one: H11Protocol | WebSocketsSansIOProtocol) -> None:
        """End a connection at once, with whatever it was still to be sent."""
        self.turned_away += 1
        self.forgets(one)
        one.transport.abort()

    def forgets(self, one: H11Protocol | WebSocketsSansIOProtocol) -> None:
        """A connection is over."""
        self._requests.pop(one, None)  # type: ignore[arg-type]
        self._sockets.discard(one)


def guarded(guard: Guard) -> tuple[type[H11Protocol], type[WebSocketsSansIOProtocol]]:
    """The protocols of HTTP and of WebSockets that a guard watches, for `uvicorn.Config`.

    Raises:
        ImportError: If uvicorn or websockets is not installed.
    """
    return _requests(guard), _sockets(guard)


def _sockets(guard: Guard) -> type[WebSocketsSansIOProtocol]:
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    class GuardedSocket(WebSocketsSansIOProtocol):
        """A WebSocket that sends little, and whose end is not waited for long."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            per_s = guard.bounds.ws_bytes_per_s
            self._allowance = Allowance(per_s, 8 * per_s, self.loop.time())
            self._last: asyncio.TimerHandle | None = None

        def data_received(self, data: bytes) -> None:
            # The request itself came through HTTP, which has bounds of its own.
            if self.handshake_initiated and not self._allowance.take(len(data), self.loop.time()):
                guard.ends(self)
                return
            super().data_received(data)

        async def run_asgi(self) -> None:
            await super().run_asgi()
            # Whoever does not read is sent nothing more, and would be waited for without an end.
            self._last = self.loop.call_later(guard.bounds.patience_s, guard.ends, self)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._last is not None:
                self._last.cancel()
            guard.forgets(self)
            super().connection_lost(exc)

    return GuardedSocket


def _requests(guard: Guard) -> type[H11Protocol]:
    from uvicorn.protocols.http.h11_impl import H11Protocol
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    class GuardedRequests(H11Protocol):
        """A connection whose requests are complete and answered in time."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._deadline: asyncio.TimerHandle | None = None
            if guard.admits(self):
                self._wait()
            else:
                guard.ends(self)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._wait()
            if not guard.grants(self.loop.time()):
                guard.ends(self)

        def handle_websocket_upgrade(self, event: Any) -> None:
            self._stop()
            super().handle_websocket_upgrade(event)
            socket = self.transport.get_protocol()
            if isinstance(socket, WebSocketsSansIOProtocol):
                guard.becomes(self, socket)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            guard.forgets(self)
            super().connection_lost(exc)

        def _wait(self) -> None:
            self._stop()
            self._deadline = self.loop.call_later(guard.bounds.patience_s, guard.ends, self)

        def _stop(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return GuardedRequests
