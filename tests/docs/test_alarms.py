"""docs/alarms.md's Python runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from kinesphere.video import VideoWriter

PAGE = Path(__file__).parents[2] / "docs" / "alarms.md"


def test_its_example_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with VideoWriter("clip.mp4", (48, 64), 25) as writer:
        for number in range(80):
            writer.write(np.full((48, 64, 3), number, np.uint8))
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    exec(compile(block, PAGE.name, "exec"), {})
    *answers, counts = capsys.readouterr().out.splitlines()
    assert answers
    assert all("top" in line for line in answers)
    assert "RecorderCounts(clips=" in counts


def test_the_alarm_that_it_shows_has_the_keys_that_alarms_have() -> None:
    (block,) = re.findall(r"^```json\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    from kinesphere.core.labels import LabelSet
    from kinesphere.live.alarms import Alarm
    from kinesphere.predict.prediction import Prediction

    evidence = Prediction(np.array([1.0]), LabelSet(("fall",)), "camera", (0, 1))
    shown, made = json.loads(block), Alarm("fall", 4.92, 123, 0.9, evidence).to_json()
    assert (list(shown), list(shown["evidence"])) == (list(made), list(made["evidence"]))
