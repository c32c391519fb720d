from __future__ import annotations

import json

import pytest

from kinesphere.clips import ClipSpec, Sampling, Views
from kinesphere.core.errors import InvalidSetting

SPEC = ClipSpec(Sampling.parse("16x2x1"), (112, 112))


@pytest.mark.parametrize("text", ["64x1x1", "48x3x1", "8x8x1", "16x8x10", "uniform5", "uniform48x4"])
def test_sampling_text_round_trip(text):
    assert str(Sampling.parse(text)) == text


@pytest.mark.parametrize("text", ["", "16", "16x8", "uniform", "ax1x1", "16x8x1x1"])
def test_sampling_text_refused(text):
    with pytest.raises(InvalidSetting, match="Cannot read sampling"):
        Sampling.parse(text)


@pytest.mark.parametrize("text", ["0x1x1", "1x0x1", "uniform0"])
def test_sampling_of_nothing_refused(text):
    with pytest.raises(InvalidSetting, match="at least 1"):
        Sampling.parse(text)


def test_uniform_sampling_has_no_interval():
    with pytest.raises(InvalidSetting, match="leave the interval at 1"):
        Sampling("uniform", 8, interval=2)


def test_views():
    assert str(Views.parse("10x3")) == "10x3"
    assert Views(2, 3).flipped == (False,) * 3
    assert Views(1, 2).flipped == (False, True)
    assert Views(1, 10).flipped == (False,) * 5 + (True,) * 5
    with pytest.raises(InvalidSetting, match="Cannot read views"):
        Views.parse("ten")
    with pytest.raises(InvalidSetting, match="1, 2, 3, 5 or 10 crops"):
        Views(1, 4)


def test_json_round_trip():
    spec = SPEC.with_(fps=15.0, short_side_px=128, channels="BGR", mean=(0.1, 0.2, 0.3))
    assert ClipSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"size": [1, 2]},
        {"sampling": 3, "size": [1, 2]},
        {"sampling": "1x1x1", "size": [1, 2], "colour": 1},
    ],
)
def test_json_refused(plain):
    with pytest.raises(InvalidSetting, match="not a clip spec"):
        ClipSpec.from_json(plain)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"size": (0, 112)}, "positive"),
        ({"size": (1, 2, 3)}, "positive"),
        ({"size": (112.5, 112)}, "positive"),
        ({"mean": ("a", "b", "c")}, "finite numbers"),
        ({"std": (float("nan"), 1.0, 1.0)}, "finite numbers"),
        ({"fps": 0.0}, "frame rate must be positive"),
        ({"fps": float("inf")}, "frame rate must be positive"),
        ({"short_side_px": 100}, "smaller than the crop"),
        ({"short_side_px": 128, "resize": "letterbox"}, "crops nothing"),
        ({"resize": "squash"}, "resize is one of short_side, stretch, letterbox"),
        ({"modality": "sound"}, "modality is one of"),
        ({"channels": "RBG"}, "channels is one of RGB, BGR"),
        ({"short_video": "drop"}, "short_video is one of loop, pad"),
        ({"mean": (0.5,)}, "must pair up"),
        ({"std": (0.0, 1.0, 1.0)}, "positive std"),
        ({"mean": (0.5,), "std": (0.5,)}, "three channels"),
        ({"skeleton": "coco17"}, "Only a pose clip has skeleton='coco17'; this is rgb"),
        ({"people": 0}, "at least one person"),
    ],
)
def test_spec_refused(changes, match):
    with pytest.raises(InvalidSetting, match=match):
        SPEC.with_(**changes)
