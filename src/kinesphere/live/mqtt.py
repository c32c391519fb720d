"""`MqttChannel`: alarms to an MQTT broker."""

from __future__ import annotations

import os
import queue
import secrets
import socket
import ssl
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from kinesphere.core.errors import InvalidSetting, MissingExtra
from kinesphere.live.delivery import Attempt, is_host

if TYPE_CHECKING:
    from paho.mqtt.client import Client

PASSWORD = "KINESPHERE_MQTT_PASSWORD"
"""Environment variable of the password."""

TOPIC = "kinesphere/alarms"
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_LONGEST_TOPIC_BYTES = 65_535


@dataclass(frozen=True)
class MqttSettings:
    """Where a broker is and how it is spoken to.

    Attributes:
        host: Its name or address.
        port: Its port.
        topic: Topic of the alarms.
        client_id: Name of this client, which the broker wants to be unique; by default of host and chance.
        user: Name to log in with.
        password: Password of the user.
        tls: Whether the connection is encrypted and the broker's certificate checked.
        ca_file: Certificates to check it with; None for those of the system.
        timeout_s: Longest wait for a connection or for the broker's answer to a message.

    Raises:
        InvalidSetting: If a value cannot work.
    """

    host: str
    port: int = 1883
    topic: str = TOPIC
    client_id: str = field(
        default_factory=lambda: f"kinesphere-{socket.gethostname()[:32]}-{secrets.token_hex(4)}"
    )
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca_file: Path | None = None
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        if not is_host(self.host) or not 0 < self.port < 65_536 or self.timeout_s <= 0:
            raise InvalidSetting(
                "A broker has a host, a port from 1 to 65535 and a positive timeout; got "
                f"{self.host!r}, {self.port} and {self.timeout_s} s."
            )
        if (
            not self.topic
            or any(sign in self.topic for sign in "+#\0")
            or len(self.topic.encode()) > _LONGEST_TOPIC_BYTES
        ):
            raise InvalidSetting(
                f"A topic to publish on has 1 to {_LONGEST_TOPIC_BYTES} bytes without + and #; got "
                f"{self.topic[:80]!r}."
            )
        if not self.client_id:
            raise InvalidSetting("A client of MQTT needs a name; leave it out to have one made.")
        if self.password is not None and self.user is None:
            raise InvalidSetting(
                f"{PASSWORD} is set, but no user; write mqtt://USER@{self.host}, or unset the password."
            )
        if self.ca_file is not None and not self.tls:
            raise InvalidSetting("Certificates are checked on encrypted connections only; write mqtts://.")

    @classmethod
    def from_url(cls, url: str, *, client_id: str | None = None, ca_file: Path | None = None) -> MqttSettings:
        """Settings of `mqtt[s]://[USER@]HOST[:PORT][/TOPIC]`; the password is in the environment.

        Raises:
            InvalidSetting: If it is no such URL; the message does not repeat it: it may hold a password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in _PORTS or not parts.hostname or any(sign in url for sign in "?#"):
            raise InvalidSetting(
                "A broker is named as mqtt://[USER@]HOST[:PORT][/TOPIC], or mqtts:// for an encrypted "
                f"connection; got a URL that begins with {parts.scheme or 'nothing known'!r}."
            )
        if parts.password is not None:
            raise InvalidSetting(
                f"A password in a URL is seen by every user of this machine; put it into {PASSWORD}."
            )
        settings = cls(
            host=parts.hostname,
            port=_PORTS[parts.scheme] if port is None else port,
            topic=unquote(parts.path.removeprefix("/")) or TOPIC,
            user=unquote(parts.username) if parts.username else None,
            password=os.environ.get(PASSWORD) or None,
            tls=parts.scheme == "mqtts",
            ca_file=ca_file,
        )
        return settings if client_id is None else replace(settings, client_id=client_id)


class MqttChannel:
    """Publishes with QoS 1: a message counts as delivered when the broker has acknowledged it.

    The connection is made and made again in the background, so nothing fails while the broker is away. Only
    what has not been acknowledged is sent again, by the client itself, when the broker is back.

    Args:
        settings: Where the broker is.

    Raises:
        MissingExtra: If paho-mqtt is not installed.
        InvalidSetting: If the certificates cannot be read.
    """

    def __init__(self, settings: MqttSettings) -> None:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
        except ImportError as error:
            raise MissingExtra(
                "MQTT needs paho-mqtt, which is not installed; pip install 'kinesphere[live]'."
            ) from error
        self.settings = settings
        self._problem = "no connection yet"
        self._sent: int | None = None
        self._acknowledged: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=settings.client_id, protocol=MQTTProtocolVersion.MQTTv311
        )
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_connect_fail = self._unreachable
        self._client.on_publish = self._published
        self._client.connect_timeout = settings.timeout_s
        self._client.reconnect_delay_set(1, 10)
        if settings.user is not None:
            self._client.username_pw_set(settings.user, settings.password)
        if settings.tls:
            self._check_certificates()
        self._client.connect_async(settings.host, settings.port, keepalive=30)
        self._client.loop_start()

    @property
    def name(self) -> str:
        """See `Channel.name`."""
        return f"the broker {self.settings.host}:{self.settings.port}"

    def send(self, message: bytes) -> Attempt:
        """See `Channel.send`."""
        if self._sent is None:
            if not self._client.is_connected():
                return Attempt("later", self._problem)
            self._sent = self._client.publish(self.settings.topic, message, qos=1).mid
        if not self._is_acknowledged():
            # Waited for again: the client keeps it, and sends it anew when the broker is back.
            return Attempt("later", self._problem or "the broker does not acknowledge")
        self._sent = None
        return Attempt("delivered")

    def close(self) -> None:
        """See `Channel.close`."""
        self._client.disconnect()
        self._client.loop_stop()

    def _is_acknowledged(self) -> bool:
        until_s = time.monotonic() + self.settings.timeout_s
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                if self._acknowledged.get(timeout=left_s) == self._sent:
                    return True
            except queue.Empty:
                break
        return False

    def _check_certificates(self) -> None:
        try:
            self._client.tls_set(None if self.settings.ca_file is None else str(self.settings.ca_file))
        except (OSError, ssl.SSLError) as error:
            raise InvalidSetting(
                f"The certificates of {self.settings.ca_file} cannot be read ({error}); name a PEM file."
            ) from error

    def _connected(self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._problem = f"the broker says {str(reason).lower()}" if reason.is_failure else ""

    def _disconnected(self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._problem = self._problem or "the connection ended"

    def _unreachable(self, client: Client, userdata: Any) -> None:
        self._problem = "it cannot be reached"

    def _published(self, client: Client, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        self._acknowledged.put(mid)
