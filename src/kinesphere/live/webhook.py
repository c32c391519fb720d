"""`WebhookChannel`: alarms by HTTP POST to one URL."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
from contextlib import suppress
from urllib.parse import urlsplit

from kinesphere import __version__
from kinesphere.core.errors import InvalidSetting
from kinesphere.live.delivery import Attempt, is_host

TOKEN = "KINESPHERE_WEBHOOK_TOKEN"
"""Environment variable of a bearer token that is sent along, if it is set."""

# Answers after which the same message may be taken later; others of their kind are for good.
_AGAIN = (408, 425, 429)


class WebhookChannel:
    """Posts JSON to the URL that the user named, and to no other: redirections and proxies are not followed.

    A message counts as delivered once the answer's status is 2xx. Without an answer in time, and after 408,
    425, 429 and 5xx, it is sent again; after any other status it is refused.

    Args:
        url: `http://` or `https://`; certificates are checked.
        timeout_s: Longest wait for the connection, and for the whole of the answer, however it comes.

    Raises:
        InvalidSetting: If it is no such URL; the message does not repeat it, since it may hold a secret.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        try:
            parts = urlsplit(url)
            self._port = parts.port
        except ValueError:
            parts, self._port = urlsplit(""), None
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or not is_host(parts.hostname)
            or timeout_s <= 0
        ):
            raise InvalidSetting(
                "A webhook is an http:// or https:// URL with a host, and a positive timeout; got "
                f"{parts.scheme or 'nothing known'!r} and {timeout_s} s."
            )
        if parts.username is not None:
            raise InvalidSetting(
                f"A password in a URL is seen by every user of this machine; put a token into {TOKEN}."
            )
        if any(not "!" <= sign <= "~" for sign in url):
            raise InvalidSetting(
                "The URL of a webhook holds spaces or letters that URLs spell as %20 and so on."
            )
        self._host, self._scheme, self._timeout_s = parts.hostname, parts.scheme, timeout_s
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": f"kinesphere/{__version__}",
            "Connection": "close",
        }
        if token := os.environ.get(TOKEN):
            if any(not "!" <= sign <= "~" for sign in token):
                raise InvalidSetting(f"{TOKEN} holds spaces, line ends or letters beyond ASCII.")
            self._headers["Authorization"] = f"Bearer {token}"

    @property
    def name(self) -> str:
        """See `Channel.name`: paths and queries of webhooks are often their passwords."""
        port = "" if self._port is None else f":{self._port}"
        return f"the webhook at {self._scheme}://{self._host}{port}"

    def send(self, message: bytes) -> Attempt:
        """See `Channel.send`."""
        connection = self._connection()
        deadline = _Deadline(connection)
        try:
            connection.connect()
            deadline.begin(self._timeout_s)
            connection.request("POST", self._target, message, self._headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
            late = deadline.is_over or isinstance(error, TimeoutError)
            return Attempt("later", "no answer in time" if late else said)
        finally:
            deadline.end()
            connection.close()
        if 200 <= status < 300:
            return Attempt("delivered")
        if 300 <= status < 400:
            return Attempt("refused", f"it answers {status}, and redirections are not followed")
        return Attempt("later" if status >= 500 or status in _AGAIN else "refused", f"it answers {status}")

    def close(self) -> None:
        """See `Channel.close`."""

    def _connection(self) -> http.client.HTTPConnection:
        if self._scheme == "http":
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=context)


class _Deadline:
    """Ends an exchange that takes too long as a whole, though no piece of it does."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self._timer: threading.Timer | None = None
        self.is_over = False

    def begin(self, seconds: float) -> None:
        """So many seconds are left."""
        self._timer = threading.Timer(seconds, self._shut)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        """The exchange is over."""
        if self._timer is not None:
            self._timer.cancel()

    def _shut(self) -> None:
        self.is_over = True
        connected = self._connection.sock
        if connected is not None:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
