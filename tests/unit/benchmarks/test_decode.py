"""Reading is held against peers as a first opening; what is remembered has a column of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks import decode, readers, small_files
from benchmarks.readers import AGAIN, BARE, OURS, Reader, Row

from kinesphere.video import remembered
from kinesphere.video.container import Source


def row(reader: str, seconds: float, wrong: int = 0) -> Row:
    return Row("a video", "all", reader, seconds, wrong_frames=wrong)


def test_a_first_opening_is_compared() -> None:
    duel = decode.duel(
        [row(OURS, 0.2), row(AGAIN, 0.1), row(BARE, 0.1), row("peer", 0.15), row("wrong peer", 0.01, wrong=3)]
    )
    assert (duel.lead, duel.over_bare, duel.peer) == (pytest.approx(0.75), pytest.approx(2), "peer")
    assert duel.row()["again, ms"] == "100"
    first, slower, bare, *_ = decode.goals([duel])
    assert first.endswith("missed")
    assert bare.endswith("missed")
    assert slower == "a video, all: slower than peer"


def test_small_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_files, "SCENES", 1)
    known: dict[str, list[bool]] = {OURS: [], AGAIN: []}

    def reading(name: str) -> Reader:
        def read(path: Path, indices: tuple[int, ...] | None) -> np.ndarray:
            known[name].append(remembered.findings_of(Source.of(path)) is not None)
            way = readers.kinesphere if name == OURS else readers.kinesphere_again
            return way(path, indices)

        return Reader(name, read)

    xvid = small_files.KINDS[-1]
    paths = small_files.make_files(tmp_path, xvid, 2, 18)
    shifted = Reader("late", lambda path, indices: np.roll(readers.kinesphere(path, indices), 2, axis=0))
    line, lead, notes = small_files.measure(xvid, paths, [reading(OURS), reading(AGAIN), shifted], 18, 1)
    assert line["videos"] == "2 of xvid avi 320x240 gop 250, 0.6 s"
    assert lead is None
    assert float(line["ours, files/s"]) > 0
    assert notes == ["xvid avi 320x240 gop 250, late: 16 wrong frames"]
    assert known[OURS][1:] == [False, False]
    assert known[AGAIN][1:] == [True, True]
