"""A file is read through once: later openings know its frames, until it changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from kinesphere.core.errors import DamagedVideo
from kinesphere.video import Video, decode, remembered
from kinesphere.video.frame_index import FrameIndex, Packets

MakeVideo = Callable[..., Path]


@pytest.fixture(autouse=True)
def forgotten() -> None:
    remembered.forget()


def aged(path: Path, seconds: float = 60.0) -> Path:
    """The file as if it had lain there for some time."""
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))
    return path


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The videos whose packets were read through."""
    found: list[str] = []
    scan = decode._scan

    def noting(cursor: decode.Cursor) -> FrameIndex:
        found.append(cursor.source.name)
        return scan(cursor)

    monkeypatch.setattr(decode, "_scan", noting)
    return found


def test_a_second_opening_reads_no_packets_and_gives_the_same(
    make_video: MakeVideo, tmp_path: Path, scans: list[str]
) -> None:
    path = aged(make_video(tmp_path / "a.mp4", frames=40))
    with Video.open(path) as first:
        info, times = first.info, first.frame_times()
        frames = first.frames_at(times[[3, 30, 17]])
    with Video.open(str(path)) as second:
        assert second.info == info
        np.testing.assert_array_equal(second.frame_times(), times)
        np.testing.assert_array_equal(second.frames_at(times[[3, 30, 17]]).data, frames.data)
        streamed = [frame.time_s for frame in second.stream(1.0)]
    assert scans == [str(path)]
    assert streamed == times[times >= 1.0].tolist()


def test_facts_are_told_without_opening_the_file_again(
    make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = aged(make_video(tmp_path / "a.mp4"))
    Video.open(path).close()

    def refuse(self: decode.Cursor) -> None:
        raise AssertionError("nothing is to be opened")

    monkeypatch.setattr(decode.Cursor, "_open", refuse)
    with Video.open(path) as video:
        assert len(video.frame_times()) == 30
        assert video.size == (48, 64)


def test_a_changed_file_is_read_anew(make_video: MakeVideo, tmp_path: Path, scans: list[str]) -> None:
    path = aged(make_video(tmp_path / "a.mp4", frames=30))
    Video.open(path).close()
    aged(make_video(path, frames=12), 30.0)
    with Video.open(path) as video:
        assert video.frame_count == 12
    assert len(scans) == 2


def test_what_changed_a_moment_ago_is_not_remembered(
    make_video: MakeVideo, tmp_path: Path, scans: list[str]
) -> None:
    path = make_video(tmp_path / "a.mp4")
    for _ in range(2):
        Video.open(path).close()
    assert len(scans) == 2
    assert not remembered._FINDINGS


def test_damage_is_told_at_every_opening(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", frames=60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    aged(path)
    damage = []
    for _ in range(2):
        with pytest.warns(DamagedVideo), Video.open(path) as video:
            damage.append(video.damage)
    assert damage[0] == damage[1] != []


def test_memory_is_bounded(make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = aged(make_video(tmp_path / "a.mp4"))
    monkeypatch.setattr(remembered, "_KEPT_BYTES", 100)
    Video.open(path).close()
    assert not remembered._FINDINGS


def test_a_distrusted_key_frame_is_so_for_one_reader_alone(make_video: MakeVideo, tmp_path: Path) -> None:
    path = aged(make_video(tmp_path / "a.mp4", frames=40))
    Video.open(path).close()
    with Video.open(path) as one, Video.open(path) as other:
        assert one._frame_index is not None
        assert other._frame_index is not None
        keys = list(other._frame_index.keys)
        one._frame_index.distrust(keys[-1])
        assert one._frame_index.keys == keys[:-1]
        assert other._frame_index.keys == keys


def test_the_key_frame_before_is_looked_up_not_searched_for() -> None:
    asked: list[int] = []

    class Counted(list[int]):
        def __getitem__(self, place: int) -> int:  # type: ignore[override]
            asked.append(place)
            return super().__getitem__(place)

    numbers = np.arange(4096)
    table = Packets(numbers, numbers, numbers, numbers >= 0, numbers < 0)
    index = FrameIndex("pts", numbers, numbers, Fraction(1, 25), Counted(numbers.tolist()), table, True)
    assert [index.key_before(frame) for frame in (0, 1, 2000, 4095)] == [0, 1, 2000, 4095]
    assert len(asked) < 100
