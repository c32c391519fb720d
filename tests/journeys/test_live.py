"""`kinesphere live` from its command line, on a file and on a real RTSP server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.rtsp import RtspServer, why_not
from benchmarks.stamped import read_stamp, stamp
from typer.testing import CliRunner

from kinesphere.apps.cli.main import app
from kinesphere.core.device import Compute
from kinesphere.core.labels import LabelSet
from kinesphere.live import Incident, LiveResult, LiveSettings, watch
from kinesphere.models import create_model
from kinesphere.models.checkpoint import save_model
from kinesphere.predict import Predictor
from kinesphere.video import Video, VideoWriter

WHY_NOT = why_not()
needs_server = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
LABELS = LabelSet(("clap", "jump", "wave"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "streaming.safetensors"
    save_model(create_model("movinet_stream_tiny", LABELS), path)
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with VideoWriter(path, (128, 256), 25, threads=1) as writer:
        for number in range(40):
            writer.write(stamp(np.full((128, 256, 3), 90, np.uint8), number))
    return path


def test_a_file_is_watched_to_its_end(film: Path, model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    words = [
        "live",
        str(film),
        "--model",
        str(model),
        "--json",
        "--as-fast-as-possible",
        "--annotated",
        str(copy),
    ]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 0, ended.output
    *answers, last = map(json.loads, ended.stdout.splitlines())
    assert [answer["frame"] for answer in answers] == list(range(0, 40, 5))
    assert [answer["time"] for answer in answers] == pytest.approx([n / 25 for n in range(0, 40, 5)])
    assert answers[0].keys() == {"frame", "time", "latency_ms", "top", "person"}
    assert last["summary"]["frames"] == 40
    assert last["summary"]["dropped"] == 0
    assert f"Thecopywithitsanswersis{copy}" in "".join(ended.stderr.split())
    with Video.open(copy) as video:
        assert video.frame_count == 8


@pytest.mark.slow
def test_ctrl_c_ends_with_a_summary(film: Path, model: Path) -> None:
    words = [sys.executable, "-m", "kinesphere", "live", str(film), "--model", str(model), "--rate", "source"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "frames in" in out
    assert "dropped" in out
    assert "Interrupted" in err
    assert "Traceback" not in err


class Stamps:
    """What the pictures of answers tell, beside what was told of them."""

    def __init__(self) -> None:
        self.incidents: list[tuple[float, Incident]] = []
        self.answers: list[tuple[float, int, int, float]] = []

    def take(self, each: LiveResult | Incident) -> None:
        now_s = time.monotonic()
        if isinstance(each, Incident):
            self.incidents.append((now_s, each))
        else:
            number, captured_s = read_stamp(each.frame.pixels)
            self.answers.append((now_s, each.frame.number, number, now_s - captured_s))


@pytest.fixture(scope="module")
def streaming(model: Path) -> Predictor:
    from kinesphere.models import load_model

    return Predictor(load_model(model), Compute.choose("cpu", "fp32"))


def watched(url: str, streaming: Predictor, seconds: float) -> Stamps:
    found = Stamps()
    with watch(url, streaming, LiveSettings(rate="source", seconds=seconds)) as watching:
        for each in watching:
            found.take(each)
    return found


@needs_server
def test_every_frame_of_a_real_server_is_read_as_it_comes(streaming: Predictor) -> None:
    with RtspServer(size=(240, 320)) as server:
        found = watched(server.url, streaming, 2.5)
    numbers = {stamped - number for _, number, stamped, _ in found.answers}
    assert len(numbers) == 1  # none of the server's frames was lost, and every answer names its own
    assert not found.incidents
    assert len(found.answers) > 5


@needs_server
@pytest.mark.slow
def test_a_real_server_is_cut_frozen_and_changed(streaming: Predictor) -> None:
    returned: list[float] = []

    def happen(server: RtspServer) -> None:
        for away_s, change in ((0.5, {}), (5.0, {}), (0.5, {"size": (120, 160)}), (0.5, {"codec": "mjpeg"})):
            time.sleep(6)
            server.cut()
            time.sleep(away_s)
            server.start(**change)  # type: ignore[arg-type]
            returned.append(time.monotonic())
        time.sleep(6)
        server.freeze()
        time.sleep(8)
        server.thaw()
        returned.append(time.monotonic())

    with RtspServer(size=(240, 320)) as server:
        script = threading.Thread(target=happen, args=(server,))
        script.start()
        found = watched(server.url, streaming, 56)
        script.join()
    kinds = [incident.kind for _, incident in found.incidents]
    assert kinds == ["lost", "back"] * 2 + ["lost", "back", "changed"] * 2 + ["frozen", "back"]
    back = [at_s for at_s, incident in found.incidents if incident.kind == "back"]
    assert all(0 <= at_s - since_s < 3 for at_s, since_s in zip(back, returned, strict=True))


@needs_server
@pytest.mark.slow
def test_a_minute_of_a_real_server_is_kept_up_with(streaming: Predictor) -> None:
    with RtspServer(size=(240, 320)) as server:
        found = watched(server.url, streaming, 60)
    assert not found.incidents
    assert len({stamped - number for _, number, stamped, _ in found.answers}) == 1
    # A backlog would show as a latency that grows.
    late = [latency_s for *_, latency_s in found.answers]
    assert np.median(late[-200:]) < np.median(late[:200]) + 0.5
