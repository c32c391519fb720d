"""`LiveServer`: a browser page and a WebSocket for programs, on a port of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import json
import os
import re
import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING

from kinesphere.apps.live.guard import Bounds, Guard, guarded
from kinesphere.apps.live.state import LiveState, News
from kinesphere.apps.live.view import view_json, view_message
from kinesphere.core.errors import InvalidSetting, MissingExtra
from kinesphere.live.result import LiveResult

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket

TOKEN = "KINESPHERE_LIVE_TOKEN"
"""Environment variable of a token without which nothing is served, if it is set."""

_START_S = 10.0
_SEND_S = 10.0
_LARGEST_MESSAGE = 1024
# Connections that the system accepts before we have looked at them; each is an open file of this process.
_BACKLOG = 32
_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?")
_POLICY = (
    "default-src 'none'; img-src blob:; connect-src 'self' {sockets}; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_REFUSED, _TOO_MANY = 1008, 1013


@dataclass(frozen=True)
class ServerSettings:
    """Where and to whom it is served.

    Attributes:
        host: Address to listen at; others than this machine's own let other machines look.
        port: Port to listen at; 0 for any that is free.
        token: What a visitor has to know; None for nothing.
        fps: Most frames per second that a visitor is sent.
        longest_px: Frames are made smaller for the page where a side is longer.
        most_clients: Most WebSockets at once.
        waiting: Most answers that wait for a program; older ones give way and are counted.

    Raises:
        InvalidSetting: If a value cannot work.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    fps: float = 15.0
    longest_px: int = 960
    most_clients: int = 8
    waiting: int = 256

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65_536:
            raise InvalidSetting(f"A port is a number from 0 to 65535; got {self.port}.")
        if not 0 < self.fps <= 1000 or min(self.longest_px, self.most_clients, self.waiting) < 1:
            raise InvalidSetting(
                "A page needs a rate in (0, 1000], and a size, clients and waiting answers of 1 or more; got "
                f"{self.fps}, {self.longest_px}, {self.most_clients} and {self.waiting}."
            )

    @classmethod
    def parse(cls, text: str) -> ServerSettings:
        """Settings of `[HOST:]PORT`, with the token of the environment.

        Raises:
            InvalidSetting: If it is none.
        """
        host, _, port = text.rpartition(":")
        if not port.isdecimal():
            raise InvalidSetting(
                f"A page is served at [HOST:]PORT, as in 8000 or 0.0.0.0:8000; got {text!r}."
            )
        return cls(host.strip("[]") or "127.0.0.1", int(port[:6]), os.environ.get(TOKEN) or None)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can look."""
        return self.host == "localhost" or (
            _is_address(self.host) and ipaddress.ip_address(self.host).is_loopback
        )


class LiveServer:
    """Serves `/`, the page; `/view`, its frames; `/results`, JSON for programs; `/state`, the counts.

    A visitor gets the newest frame when the one before has been shown, so slow ones get fewer frames and
    nobody waits for them. Requests must name this machine (`Host`) and come from its own page or from no page
    (`Origin`), and must know the token if there is one.

    Args:
        state: What is shown.
        settings: Where and to whom.
        bounds: What visitors may take; None for the usual.

    Raises:
        MissingExtra: If starlette, uvicorn or websockets is not installed.
        InvalidSetting: If the port cannot be had.
    """

    def __init__(self, state: LiveState, settings: ServerSettings, bounds: Bounds | None = None) -> None:
        self.guard = Guard(bounds or Bounds())
        try:
            import uvicorn

            requests, sockets = guarded(self.guard)
        except ImportError as error:
            raise MissingExtra(
                "The page needs uvicorn, starlette and websockets; pip install 'kinesphere[live]'."
            ) from error
        self.state, self.settings = state, settings
        self._socket = _listen(settings.host, settings.port)
        self.port: int = self._socket.getsockname()[1]
        """The port that is listened at."""
        self._clients: set[_Client] = set()
        self._newest: tuple[int, bytes] = (-1, b"")
        self._loop: asyncio.AbstractEventLoop | None = None
        config = uvicorn.Config(
            self.app(),
            http=requests,
            ws=sockets,
            log_config=None,
            log_level="error",
            access_log=False,
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            ws_max_size=_LARGEST_MESSAGE,
            ws_per_message_deflate=False,
            h11_max_incomplete_event_size=16 << 10,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="page", daemon=True)
        self._thread.start()
        self._started.wait(_START_S)
        state.front_ends.append(self)

    @property
    def url(self) -> str:
        """Where the page is; without the token."""
        host = "localhost" if self.settings.host in ("0.0.0.0", "::", "") else self.settings.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    def tell(self, news: News) -> None:
        """See `FrontEnd.tell`."""
        loop = self._loop
        if loop is None or not self._clients:
            return
        # As text, so that no frame stays in memory for those who wait.
        text = json.dumps(news.to_json(), ensure_ascii=False)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(self._spread, text, isinstance(news, LiveResult))

    def close(self) -> None:
        """Stop serving; may be called again."""
        self._server.should_exit = True
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._release)
        self._thread.join(_START_S)
        self._socket.close()

    def app(self) -> Starlette:
        """The application, for a server of one's own."""
        from starlette.applications import Starlette
        from starlette.routing import Route, WebSocketRoute

        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/state", self._state),
                WebSocketRoute("/view", self._view),
                WebSocketRoute("/results", self._results),
            ]
        )

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._started.set()
        await self._server.serve(sockets=[self._socket])

    def _spread(self, text: str, is_answer: bool) -> None:
        for client in self._clients:
            client.take(text, is_answer)

    def _release(self) -> None:
        for client in self._clients:
            client.over = True
            client.news.set()
            client.ready.set()

    async def _page(self, request: Request) -> Response:
        from starlette.responses import HTMLResponse

        if (refused := self._refused(request)) is not None:
            return refused
        own = request.headers.get("host", "")
        sockets = f"ws://{own} wss://{own}"
        page = files("kinesphere.apps.live").joinpath("page.html").read_text(encoding="utf-8")
        return HTMLResponse(page, headers=_headers(_POLICY.format(sockets=sockets)))

    async def _state(self, request: Request) -> Response:
        from starlette.responses import JSONResponse

        if (refused := self._refused(request)) is not None:
            return refused
        plain = view_json(self.state, self.state.snapshot())
        return JSONResponse(plain, headers=_headers("default-src 'none'"))

    async def _view(self, socket: WebSocket) -> None:
        await self._attend(socket, self._show, waiting=0)

    async def _results(self, socket: WebSocket) -> None:
        await self._attend(socket, self._report, self.settings.waiting)

    async def _attend(
        self, socket: WebSocket, serve: Callable[[WebSocket, _Client], Awaitable[None]], waiting: int
    ) -> None:
        """Look after one WebSocket until it closes."""
        if self._objection(socket) is not None:
            await socket.close(_REFUSED)
            return
        await socket.accept()
        if len(self._clients) >= self.settings.most_clients:
            await socket.close(_TOO_MANY, "too many visitors")
            return
        client = _Client(waiting)
        self._clients.add(client)
        tasks = [
            asyncio.create_task(_until_closed(socket, client)),
            asyncio.ensure_future(serve(socket, client)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._clients.discard(client)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _show(self, socket: WebSocket, client: _Client) -> None:
        """Send the newest frame whenever there is one and the page has shown the one before."""
        client.news.set()
        while True:
            await client.ready.wait()
            await client.news.wait()
            if client.over:
                return
            client.ready.clear()
            client.news.clear()
            await asyncio.wait_for(socket.send_bytes(await self._message()), _SEND_S)
            await asyncio.sleep(1 / self.settings.fps)

    async def _message(self) -> bytes:
        """The newest message, made once for all visitors."""
        snapshot = self.state.snapshot()
        if self._newest[0] < snapshot.sequence or not self._newest[1]:
            message = await asyncio.to_thread(view_message, self.state, snapshot, self.settings.longest_px)
            self._newest = snapshot.sequence, message
        return self._newest[1]

    async def _report(self, socket: WebSocket, client: _Client) -> None:
        """Send every answer, incident and alarm as JSON; what did not fit is counted in `skipped`."""
        while not client.over:
            await client.news.wait()
            client.news.clear()
            while client.queue:
                if client.skipped:
                    skipped, client.skipped = client.skipped, 0
                    await asyncio.wait_for(socket.send_text(json.dumps({"skipped": skipped})), _SEND_S)
                await asyncio.wait_for(socket.send_text(client.queue.popleft()[0]), _SEND_S)

    def _refused(self, request: Request) -> Response | None:
        from starlette.responses import PlainTextResponse

        objection = self._objection(request)
        if objection is None:
            return None
        return PlainTextResponse(f"{objection}\n", 403, headers=_headers("default-src 'none'"))

    def _objection(self, connection: HTTPConnection) -> str | None:
        """Why a request is not served; None where it is."""
        hosts = connection.headers.getlist("host")
        named = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if named is None or not self._is_own(named["name"].strip("[]").lower()):
            return "This page is served under another name; use the address that was printed."
        pages = {f"{scheme}://{hosts[0].lower()}" for scheme in ("http", "https")}
        if not {each.lower() for each in connection.headers.getlist("origin")} <= pages:
            return "Pages of others may not look here."
        if self.settings.token is not None:
            given = connection.headers.get("authorization", "").removeprefix("Bearer ").strip()
            given = given or connection.query_params.get("token", "")
            if not hmac.compare_digest(given.encode(), self.settings.token.encode()):
                return f"A token is needed: open /?token=… with the value of {TOKEN}."
        return None

    def _is_own(self, host: str) -> bool:
        """Whether a name is this machine's: other names may be made to point here by others."""
        if _is_address(host):
            return not self.settings.is_local or ipaddress.ip_address(host).is_loopback
        names = {"localhost", self.settings.host.lower()}
        if not self.settings.is_local:
            name = socket.gethostname().lower()
            names |= {name, f"{name}.local", socket.getfqdn().lower()}
        return host in names


class _Client:
    """One WebSocket, on the server's loop alone; `waiting` messages may wait for it."""

    def __init__(self, waiting: int) -> None:
        self.news, self.ready = asyncio.Event(), asyncio.Event()
        self.ready.set()
        self.queue: deque[tuple[str, bool]] = deque()
        self.skipped = 0
        self.over = False
        self._waiting = waiting

    def take(self, text: str, is_answer: bool) -> None:
        """Queue a message; the oldest answer gives way, and only without one the oldest of all."""
        if self._waiting:
            if len(self.queue) >= self._waiting:
                self.queue.remove(next((each for each in self.queue if each[1]), self.queue[0]))
                self.skipped += 1
            self.queue.append((text, is_answer))
        self.news.set()


async def _until_closed(socket: WebSocket, client: _Client) -> None:
    """Hear what a visitor sends, which can only be that it is ready for more."""
    from starlette.websockets import WebSocketDisconnect

    try:
        while True:
            await socket.receive_text()
            client.ready.set()
    except (WebSocketDisconnect, KeyError):
        return


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise InvalidSetting(
            f"Nothing can be served at {host}:{port}: {error.strerror or error}; choose another port."
        ) from error
    return listener


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _headers(policy: str) -> dict[str, str]:
    return {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
