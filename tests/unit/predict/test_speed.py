"""What is measured of a model is of that model, and of the frames that it went through."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from kinesphere.apps.cli.main import app
from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidSetting
from kinesphere.models import create_model
from kinesphere.predict import Predictor
from kinesphere.predict import speed as room
from kinesphere.predict.speed import clip_length_s, measure_speed

from .conftest import MakeVideo


@pytest.fixture(autouse=True)
def _briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_REPEAT_S", 0.0)
    monkeypatch.setattr(room, "_LEAST", 1)


def test_each_moment_is_seen_once_and_the_rate_follows(make_video: MakeVideo) -> None:
    compute = Compute("cpu", "fp32", True)
    predictor = Predictor(create_model("r3d_tiny", ["hop", "skip"]), compute, name="r3d_tiny")
    found = measure_speed(predictor, make_video(frames=40))
    assert (found.mode, found.windows) == ("windows", 8)
    assert found.window_s == pytest.approx(8 / 15)  # clips of 8 frames at 15 fps
    took_s = found.windows * found.window_ms / 1e3
    assert found.keeps_up_fps * took_s == pytest.approx(40)
    assert found.memory_mb > 10
    assert found.clip_ms > 0
    with pytest.raises(InvalidSetting, match="cannot stream"):
        measure_speed(predictor, make_video(frames=40), mode="streaming")


def test_windows_are_as_long_as_the_longest_clip() -> None:
    dense = ClipSpec(Sampling("dense", 16, 2), size=(8, 8))
    assert clip_length_s((dense,), 32.0) == 1.0
    assert clip_length_s((dense.with_(fps=8.0), dense), 32.0) == 4.0
    assert clip_length_s((dense.with_(sampling=Sampling("uniform", 3)), dense), 32.0) == room.SPREAD_S


def test_the_verb_prints_a_table_and_a_document(make_video: MakeVideo) -> None:
    video = str(make_video(frames=40))
    asked = ["bench", "late_fusion_tiny", "movinet_stream_tiny", "--video", video, "--device", "cpu"]
    first, second = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert (first["model"], first["mode"]) == ("late_fusion_tiny", "windows")
    assert (second["model"], second["mode"]) == ("movinet_stream_tiny", "streaming")
    assert second["keeps_up_fps"] > 0
    shown = CliRunner().invoke(app, asked)
    assert "keeps up with" in shown.stdout
    assert "0.80 streaming" in shown.stdout
