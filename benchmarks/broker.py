"""A real MQTT broker, Mosquitto, that is killed and started again, and a client that keeps what arrives."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
MISSING = "the program mosquitto is not here (Debian: apt-get install mosquitto)"


class Broker:
    """Mosquitto at a free port of this machine.

    Args:
        folder: For its configuration.
        lines: More of the configuration.
    """

    def __init__(self, folder: Path, *lines: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        settings = [
            f"listener {self.port} 127.0.0.1",
            "user root",  # it would otherwise become a user who cannot read the folder
            # So that it knows its subscribers after a restart, as brokers that matter are set up.
            "persistence true",
            f"persistence_location {folder}/",
            "autosave_on_changes true",
            "autosave_interval 1",
        ]
        self._config.write_text("\n".join([*settings, *lines]) + "\n")
        self._process: subprocess.Popen[bytes] | None = None
        self._client = None
        self.frames: list[int] = []
        """Numbers of the frames whose alarms arrived, in order."""

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert MOSQUITTO is not None, MISSING
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", self._config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._answers)

    def kill(self) -> None:
        """Kill it, as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def listen(self, topic: str) -> None:
        """Keep what arrives at a topic, over all restarts."""
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        subscribed: list[int] = []
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: subscribed.append(1)
        self._client.on_message = lambda _, __, message: self._keep(message.payload)
        self._client.connect_async("127.0.0.1", self.port)
        self._client.loop_start()
        until(lambda: bool(subscribed))

    def end(self) -> None:
        """Stop the broker and the listener."""
        self.kill()
        if self._client is not None:
            self._client.loop_stop()

    def _keep(self, payload: bytes) -> None:
        self.frames.append(json.loads(payload)["frame"])

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.2).close()
        except OSError:
            return False
        return True


def until(condition: Callable[[], bool], most_s: float = 10.0) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: If it does not within so many seconds.
    """
    end_s = time.monotonic() + most_s
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError(f"it did not come about within {most_s:g} s")
        time.sleep(0.01)
