"""Damaged files give what is decodable and a warning, or a typed refusal; soon, in any case."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
from makers import KINDS, make, packed_avi

from damage import KINDS as DAMAGES
from damage import damaged_videos
from kinesphere.core.errors import DamagedVideo, UnreadableVideo, VideoError
from kinesphere.video import Video, probe

SIZE = (24, 32)
FRONT = {"muxer": {"movflags": "faststart"}, "options": {"x264-params": "keyint=12"}, "count": 80}


def sources() -> list[tuple[str, bytes]]:
    names = {
        "mp4, open gop": "a.mp4",
        "mkv, variable rate": "b.mkv",
        "xvid avi, b-frames": "c.avi",
        "ts": "d.ts",
    }
    made = [(file, make(**KINDS[name])) for name, file in names.items()]
    return [*made, ("e.mp4", make(**FRONT)), ("f.avi", packed_avi())]


DAMAGED = list(damaged_videos(sources(), 5 * len(DAMAGES)))


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_files_end_as_promised(kind, tmp_path):
    for i, item in enumerate(item for item in DAMAGED if item.kind == kind):
        path = tmp_path / f"{i}{item.suffix}"
        path.write_bytes(item.data)
        used = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamagedVideo)
            try:
                with Video.open(path, timeout_s=5, threads=1) as video:
                    times = video.frame_times()
                    assert (np.diff(times) > 0).all()
                    got = video.frames_at(times[:: max(1, len(times) // 6)], SIZE)
                    assert got.data.shape[1:] == (3, *SIZE)
                    streamed = [frame.time_s for frame in video.stream(size=SIZE)]
                    assert streamed
                    assert streamed == sorted(streamed)
            except VideoError as error:
                assert str(path) in str(error), item  # noqa: PT017 - most files do not raise
        assert time.process_time() - used < 5, item


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (FRONT, r"is damaged: .*\d+ of 80 promised frames are there"),
        ({"container": "matroska", "count": 80}, r"it ends after \d\.\d\d of 3\.20 promised seconds"),
        (
            {"codec": "mpeg4", "container": "avi", "count": 80},
            r"it ends after \d\.\d\d of 3\.20 promised seconds",
        ),
    ],
)
def test_a_truncated_file_gives_its_beginning_and_warns_once(settings, message):
    whole = make(**settings)
    with Video.open(whole) as video:
        beginning = video.frames_at([0.0, 0.4], SIZE).data
    with pytest.warns(DamagedVideo, match=message):
        video = Video.open(whole[: len(whole) * 6 // 10])
    with video:
        assert 10 < video.frame_count < 78
        assert video.duration_s < 2.8
        assert video.damage
        assert np.array_equal(video.frames_at([0.0, 0.4], SIZE).data, beginning)


def test_a_file_without_its_index_is_refused():
    whole = make(count=20)
    with pytest.raises(UnreadableVideo, match=r"cannot be read as a video .*check that it is a video file"):
        probe(whole[: len(whole) // 2])


def test_frames_before_and_after_a_hole_are_read():
    whole = make(**FRONT)
    with Video.open(whole) as video:
        times = video.frame_times()
        sound = video.frames_at(times, SIZE).data
    broken = bytearray(whole)
    start = whole.index(b"mdat") + (len(whole) - whole.index(b"mdat")) // 2
    broken[start : start + 200] = bytes(200)
    with Video.open(bytes(broken)) as video, pytest.warns(DamagedVideo, match="decoding errors|undecodable"):
        got = video.frames_at(times, SIZE).data
    same = (got == sound).all(axis=(1, 2, 3))
    assert same[:20].all()
    assert same[-12:].all()
    assert not same.all()


def test_damage_is_counted_in_words():
    from kinesphere.video.damage import Damage

    damage = Damage("clip.mp4")
    damage.note("undecodable packet")
    damage.note("undecodable packet")
    assert damage.messages() == ["undecodable packet (2 times)"]
    with pytest.warns(DamagedVideo, match=r"clip\.mp4 is damaged: undecodable packet \(2 times\)"):
        damage.warn()
    damage.warn()
