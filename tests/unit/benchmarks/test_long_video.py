"""The benchmark of long videos counts what it says, on a short one."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import long_video, record
from benchmarks.long_video import Subject, compared, repeated
from benchmarks.videos import Source, encode, pictures

from kinesphere.video import Video

TINY = (
    Subject("r3d_tiny", shares=False),
    Subject("late_fusion_tiny", frames=4),
    Subject("movinet_stream_tiny", "streaming"),
)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    source = Source("short", (48, 64), "libx264", 12, 3)
    encode(folder / "short.mp4", source, pictures(source.size, 60))
    assert repeated(folder / "short.mp4", folder / "long.mp4", 6.0) == 180
    return folder / "long.mp4"


def test_a_joined_video_has_all_frames_in_their_order(video: Path) -> None:
    with Video.open(video) as opened:
        times = opened.frame_times()
    assert len(times) == 180
    assert times[-1] == pytest.approx(179 / 30, abs=1e-3)


@pytest.mark.parametrize("subject", TINY, ids=lambda subject: subject.name)
def test_frames_are_decoded_once_and_goals_are_stated(
    video: Path, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_video, "WINDOW_S", 2.0)
    row, goals = compared(subject, video, 180, 0.5, loop_minutes=0.05)
    assert float(str(row["decoded per frame"])) <= 1.01
    assert row["windows"] == 9
    assert len(goals) == 3


def test_rows_may_lack_columns_of_others() -> None:
    lines = record.table([{"a": 1}, {"a": 2, "b": 3}]).splitlines()
    assert lines == ["| a | b |", "| --- | --- |", "| 1 |  |", "| 2 | 3 |"]
