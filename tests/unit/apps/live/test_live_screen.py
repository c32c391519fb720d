"""What `kinesphere live` prints of answers, and of sources that never open."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from kinesphere.apps.cli.live import Screen, _run
from kinesphere.apps.cli.live_options import OpenOutputs
from kinesphere.core.errors import UnreadableVideo
from kinesphere.core.labels import LabelSet
from kinesphere.live import LiveResult, Watching
from kinesphere.models.rejection import Rejection
from kinesphere.predict import Prediction

LABELS = LabelSet(("jump", "turn", "none of these"))


@pytest.mark.parametrize(
    ("threshold", "shown"), [(0.5, "none of these (jump 45 %, turn 30 %)"), (0.2, "jump")]
)
def test_the_answer_stands_first_where_it_is_none_of_what_is_known(
    capsys: pytest.CaptureFixture[str], threshold: float, shown: str
) -> None:
    rejection = Rejection("none of these", threshold, "by hand")
    answer = Prediction(np.array([0.45, 0.3, 0.25]), LABELS, "a.mp4", (0.0, 2.0), rejection=rejection)
    result = SimpleNamespace(
        prediction=answer, person=None, latency_s=0.05, frame=SimpleNamespace(time_s=2.0)
    )
    Screen(2, as_json=False).result(cast(LiveResult, result))
    assert f"2.00 s  {shown}" in capsys.readouterr().out


class Unseen:
    """A watching of a source that never opens."""

    def __init__(self) -> None:
        summary = SimpleNamespace(decoded=0, dropped=0)
        self.summary = SimpleNamespace(**vars(summary), lines=lambda: ["0 frames"], to_json=lambda: {"n": 0})

    def __iter__(self) -> Any:
        raise UnreadableVideo("Camera 7 does not open.")

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(("as_json", "shown"), [(False, ""), (True, '{"n": 0}\n')])
def test_nothing_is_summed_up_of_what_never_opened(
    capsys: pytest.CaptureFixture[str], as_json: bool, shown: str
) -> None:
    opened = SimpleNamespace(
        count_dropped=lambda _: None, doubts=[], notes=[], is_over=False, to_json=dict, lines=list
    )
    with pytest.raises(UnreadableVideo, match="Camera 7 does not open"):
        _run(cast(Watching, Unseen()), cast(OpenOutputs, opened), as_json)
    assert capsys.readouterr().out == shown


def test_a_camera_that_is_not_there_is_told_by_one_message(capfd: pytest.CaptureFixture[str]) -> None:
    from kinesphere.video.camera import Camera

    if Path("/dev/video63").exists():
        pytest.skip("this machine has 64 cameras")
    with pytest.raises(UnreadableVideo, match="Camera 63 does not open; check that it is connected"):
        Camera.open(63)
    assert capfd.readouterr().err == ""
