"""A first answer: `predict` without a model, with no network."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from kinesphere.core.labels import LabelSet
from kinesphere.models import Provenance, create_model, save_model
from kinesphere.models.rejection import Rejection
from kinesphere.predict import BoxPredictor

NONE = "none of these"
LABELS = LabelSet(("hop", "skip", NONE))


@pytest.fixture(scope="module")
def video(mannequins: Path) -> Path:
    return sorted(mannequins.rglob("*.mp4"))[0]


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Put a small network into the box that rejects below a threshold, and take the network away."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("the network is asked for something")

    def fill(threshold: float) -> None:
        torch.manual_seed(0)
        recogniser = create_model("r3d_tiny", LABELS)
        head = recogniser.net.get_submodule(recogniser.card.head[0])
        torch.nn.init.zeros_(head.weight)
        head.bias.data = torch.tensor([1.0, 0.5, 0.0])
        origin = Provenance("trained", rejection=Rejection(NONE, threshold, "no clips"))
        save_model(recogniser, tmp_path / "basic_rgb.safetensors", provenance=origin)
        monkeypatch.setattr("kinesphere.predict.loading.BoxPredictor", partial(BoxPredictor, tmp_path))

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setenv("KINESPHERE_WEIGHTS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return fill


def test_one_command_answers_and_says_what_it_knows(kinesphere, box, video) -> None:
    box(0.3)
    ended = kinesphere("predict", video)
    assert ended.code == 0, ended.err
    text = re.sub(r"\s+", " ", ended.out)
    assert "No model was named, so the recogniser in the box answers (r3d_tiny.basic on pixels)." in text
    assert "It knows 2 movements: hop, skip. Whoever does none of them is 'none of these'." in text
    assert "docs/first_answer.md" in text
    assert " s by r3d_tiny.basic" in text
    assert "answer: hop" in text


def test_somebody_who_does_none_of_it_is_none_of_these(kinesphere, box, video) -> None:
    box(0.6)
    text = re.sub(r"\s+", " ", kinesphere("predict", video).out)
    assert "answer: none of these (the likeliest movement, hop, has 50.6%; an answer needs 60.0%)" in text
    long = re.sub(r"\s+", " ", kinesphere("predict", video, "--window", 1, "--threshold", 0.2).out)
    assert "below the threshold" not in long  # each window is counted once, for what keeps it out
    assert "3 of 3 windows are 'none of these'" in long
    box(0.3)
    assert "0.00 – 2.00 s 50.6% hop" in re.sub(r"\s+", " ", kinesphere("predict", video, "--window", 1).out)


def test_json_has_the_answer_and_what_is_known_of_several_videos(kinesphere, box, video, tmp_path) -> None:
    box(0.6)
    missing = tmp_path / "missing.mp4"
    ended = kinesphere("predict", video, missing, "--json", "--out", tmp_path / "answers.jsonl")
    assert ended.code == 1
    assert "No model was named" in ended.err
    found, error = map(json.loads, ended.out.splitlines())
    assert (found["answer"], found["known"], found["model"]) == (NONE, ["hop", "skip"], "r3d_tiny.basic")
    assert error["source"] == str(missing)
    windows = json.loads(kinesphere("predict", video, "--json", "--window", 1).out)
    assert [each["answer"] for each in windows["timeline"]] == [NONE] * 3
    again = kinesphere("predict", video, "--out", tmp_path / "answers.jsonl")
    assert "1 videos were already in" in re.sub(r"\s+", " ", again.out)
