"""The page on the first answer names what the box knows, and its scores are those of the records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from docs import generate
from kinesphere.models.box import FOLDER, SCORES
from kinesphere.predict import BoxPredictor

PAGE = Path(generate.__file__).with_name("first_answer.md")


def test_the_page_names_every_class_and_model() -> None:
    box = BoxPredictor()
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert box.rejection is not None
    assert f"{', '.join(box.rejection.known(box.labels))}." in text
    assert f"`{box.rejection.label}`" in text
    assert f"model.pretrained={box.of_frames.name} " in text


def test_scores_on_the_cards_come_from_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if (FOLDER / SCORES).is_file():
        assert json.loads((FOLDER / SCORES).read_text(encoding="utf-8")) == generate.box_scores()
    row = {
        "footage": "a set",
        "truth": "all",
        "clips": 7,
        "among all": "50.0 % [20.0, 80.0]",
        "most": "bend 3",
    }
    (tmp_path / "box_pixels.json").write_text(json.dumps({"rows": [row, row | {"truth": "bend"}]}))
    monkeypatch.setattr(generate, "RESULTS", tmp_path)
    (score,) = generate.box_scores()["basic_rgb.safetensors"]
    assert (score["metric"], score["value"], score["dataset"]) == ("among all", 0.5, "a set")
    assert score["protocol"] == "all, 7 clips, 95 % interval [20.0, 80.0]"
