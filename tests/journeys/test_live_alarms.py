"""`kinesphere live` with alarms: recorded, posted, shown; and what it refuses."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from kinesphere.apps.cli.main import app
from kinesphere.core.labels import LabelSet
from kinesphere.models import create_model
from kinesphere.models.checkpoint import save_model
from kinesphere.video import Video, VideoWriter

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "live" / "alarms"))
from alarm_makers import SIZE, live_frame, number_in

FRAMES, RATE = 100, 25


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command on a short film with its frames numbered, and a small network."""
    folder = tmp_path_factory.mktemp("live")
    torch.manual_seed(0)
    save_model(
        create_model("movinet_stream_tiny", LabelSet(("clap", "jump", "wave"))), folder / "model.safetensors"
    )
    with VideoWriter(folder / "film.mp4", SIZE, RATE, threads=1) as writer:
        for number in range(FRAMES):
            writer.write(live_frame(number, 0).pixels)
    return [
        "live",
        str(folder / "film.mp4"),
        "--model",
        str(folder / "model.safetensors"),
        "--as-fast-as-possible",
    ]


def test_alarms_are_recorded_to_a_frame_and_posted(words: list[str], tmp_path: Path) -> None:
    posted = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    hook = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, args=(0.02,), daemon=True).start()
    options = [
        "--alarm",
        "jump=0.01",
        "--alarm-seconds",
        "1.0",
        "--cool-down",
        "100",
        "--json",
        "--serve",
        "0",
    ]
    clip = ["--record", str(tmp_path), "--before", "0.6", "--after", "0.4"]
    try:
        url = f"http://127.0.0.1:{hook.server_address[1]}/hook"
        ended = CliRunner().invoke(app, [*words, *options, *clip, "--webhook", url])
    finally:
        hook.shutdown()
        hook.server_close()
    assert ended.exit_code == 0, ended.output
    assert "The page is at http://127.0.0.1:" in ended.stderr
    *lines, last = map(json.loads, ended.stdout.splitlines())
    (alarm,) = [line for line in lines if "alarm" in line]
    assert (alarm["alarm"], alarm["frame"], alarm["time"]) == ("jump", 25, 1.0)
    assert posted == [alarm]
    outputs = last["outputs"]
    assert outputs["alarms"] == {"raised": 1, "held_back": 0}
    assert (outputs["deliveries"][0]["delivered"], outputs["recorder"]["clips"]) == (1, 1)
    (path,) = tmp_path.glob("*.mp4")
    with Video.open(path) as video:
        frames = video.frames_at(video.frame_times()).data.transpose(0, 2, 3, 1)
    assert [number_in(frame) for frame in frames] == list(range(10, 36))


@pytest.mark.slow
def test_what_was_not_delivered_is_told_and_ends_with_1(words: list[str]) -> None:
    options = ["--alarm", "jump=0.01", "--alarm-seconds", "0", "--webhook", "http://127.0.0.1:9/s3cret"]
    ended = CliRunner().invoke(app, [*words, *options])
    assert ended.exit_code == 1, ended.output
    assert "alarm: jump" in ended.stdout
    assert "alarms: 1, and 0 held back by the cool-down" in ended.stdout
    assert "the webhook at http://127.0.0.1:9: 0 delivered, 1 not, 0 lost, 0 refused (" in ended.stdout
    assert "s3cret" not in ended.output
