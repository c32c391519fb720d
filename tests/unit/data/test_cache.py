from __future__ import annotations

import errno
import json
import multiprocessing
import os
import pickle
import sqlite3
import struct
import time
import warnings
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinesphere.clips import MODALITIES, ClipSpec, Sampling
from kinesphere.core.errors import CacheFull, DamagedVideo, InvalidSetting, UnreadableVideo, UnwritableFile
from kinesphere.core.files import replacing
from kinesphere.data.cache.frame_file import DamagedFrameFile, FrameFile, frame_file_bytes, write_frame_file
from kinesphere.data.cache.frames import FrameCache
from kinesphere.data.cache.index import Ledger
from kinesphere.video import Frames, Video

SIZE = (24, 32)
MIB = 2**20


MakeVideo = Callable[..., Path]


@pytest.fixture(scope="module")
def clip(make_video: MakeVideo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("clip") / "clip.mp4")


def entries(cache: FrameCache) -> list[Path]:
    return sorted(cache.folder.glob("??/*.frames"))


def read(
    cache: FrameCache, path: Path, times: object = (0.0,), span: tuple[float, float] | None = None
) -> np.ndarray:
    with cache.open(path, span) as video:
        return video.frames_at(np.asarray(times), SIZE).data


def test_frames_equal_direct_decoding(tmp_path: Path, clip: Path) -> None:
    cache = FrameCache(tmp_path, 10 * MIB)
    times = np.array([0.5, 0.0, 1.19, 0.5, 0.041, 0.0399999, 0.04])
    with Video.open(clip) as video:
        direct = video.frames_at(times, SIZE)
        native = video.frames_at(times)
        for _ in range(2):  # filled, then found
            with cache.open(clip) as cached:
                assert (cached.size, cached.fps) == (video.size, video.fps)
                assert cached.duration_s == video.duration_s
                np.testing.assert_array_equal(cached.frame_times(), video.frame_times())
                found = cached.frames_at(times, SIZE)
                np.testing.assert_array_equal(found.data, direct.data)
                np.testing.assert_array_equal(found.times, direct.times)
                assert found.data.transpose(0, 2, 3, 1).flags.c_contiguous
                np.testing.assert_array_equal(cached.frames_at(times).data, native.data)
    assert len(entries(cache)) == 1


def test_a_hit_opens_no_video(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = FrameCache(tmp_path, 10 * MIB)
    first = read(cache, clip, [0.2, 0.9])
    monkeypatch.setattr(Video, "open", lambda *_: pytest.fail("decoded although cached"))
    np.testing.assert_array_equal(read(cache, clip, [0.2, 0.9]), first)


def test_every_reader_of_clips_can_use_it(tmp_path: Path, clip: Path) -> None:
    spec = ClipSpec(Sampling.parse("8x2x2"), (16, 16))
    cache = FrameCache(tmp_path, 10 * MIB)
    with Video.open(clip) as video, cache.open(clip) as cached:
        direct, found = (MODALITIES.get("rgb").read(source, spec) for source in (video, cached))
    for ours, theirs in zip(found, direct, strict=True):
        assert ours.data.equal(theirs.data)
        np.testing.assert_array_equal(ours.times, theirs.times)


def test_spans_keep_only_their_frames(tmp_path: Path, clip: Path) -> None:
    cache = FrameCache(tmp_path, 10 * MIB)
    times = np.array([0.4, 0.6, 0.79])
    with Video.open(clip) as video:
        direct = video.frames_at(times, SIZE).data
        outside = video.frames_at(np.array([0.0, 1.1]), SIZE).data
    np.testing.assert_array_equal(read(cache, clip, times, (0.4, 0.8)), direct)
    assert len(FrameFile.open(entries(cache)[0]).times) == 11
    np.testing.assert_array_equal(read(cache, clip, [0.0, 1.1], (0.4, 0.8)), outside)
    assert len(entries(cache)) == 1


def test_a_changed_file_is_decoded_again(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "v.mp4")
    cache = FrameCache(tmp_path / "cache", 10 * MIB)
    old = read(cache, path)
    make_video(path, tint=7)
    assert not np.array_equal(read(cache, path), old)
    assert len(entries(cache)) == 2


@pytest.mark.parametrize("damage", ["cut", "empty", "footer", "longer", "foreign"])
def test_damaged_entries_are_made_again(tmp_path: Path, clip: Path, damage: str) -> None:
    cache = FrameCache(tmp_path, 10 * MIB)
    direct = read(cache, clip, [0.3, 0.8])
    (entry,) = entries(cache)
    data = entry.read_bytes()
    broken = {
        "cut": data[:-100],
        "empty": b"",
        "footer": data[:-20] + bytes([data[-20] ^ 1]) + data[-19:],
        "longer": b"x" + data,
        "foreign": b"something else entirely",
    }
    entry.write_bytes(broken[damage])
    with pytest.raises(DamagedFrameFile):
        FrameFile.open(entry)
    np.testing.assert_array_equal(read(cache, clip, [0.3, 0.8]), direct)
    assert entry.read_bytes() == data


def test_damaged_facts_and_index_are_made_again(tmp_path: Path, clip: Path) -> None:
    direct = read(FrameCache(tmp_path, 10 * MIB), clip)
    next(tmp_path.glob("??/*.json")).write_text('{"size": [1]}')
    (tmp_path / "index.sqlite").write_bytes(b"not a database, but long enough to be looked at" * 50)
    cache = FrameCache(tmp_path, 10 * MIB)
    assert cache.usage().entries == 1
    np.testing.assert_array_equal(read(cache, clip), direct)


def test_the_longest_unused_make_room(tmp_path: Path, make_video: MakeVideo) -> None:
    paths = [make_video(tmp_path / f"{i}.mp4", tint=i) for i in range(4)]
    need = frame_file_bytes(30, SIZE)
    cache = FrameCache(tmp_path / "cache", 3 * need + 1000, keep_s=0)
    names = []
    for path in paths[:3]:
        read(cache, path)
        names += [e.name for e in entries(cache) if e.name not in names]
    for age_s, name in zip((30, 20, 10), names, strict=True):
        entry = next(cache.folder.glob(f"??/{name}"))
        os.utime(entry, (time.time() - age_s,) * 2)
    read(cache, paths[0])  # used again, so the second is the oldest
    read(cache, paths[3])
    left = {entry.name for entry in entries(cache)}
    assert names[1] not in left
    assert {names[0], names[2]} < left
    usage = cache.usage()
    assert usage.entries == 3
    assert usage.used_bytes == sum(entry.stat().st_size for entry in entries(cache)) <= usage.limit_bytes


def test_entries_in_use_are_kept_and_the_rest_decoded(tmp_path: Path, make_video: MakeVideo) -> None:
    paths = [make_video(tmp_path / f"{i}.mp4", tint=i) for i in range(3)]
    cache = FrameCache(tmp_path / "cache", 2 * frame_file_bytes(30, SIZE) + 500)
    for path in paths[:2]:
        read(cache, path)
    kept = entries(cache)
    with pytest.warns(CacheFull, match=r"MiB of frames do not fit; .* every time\. Raise its limit"):
        found = read(cache, paths[2], [0.3])
    with Video.open(paths[2]) as video:
        np.testing.assert_array_equal(found, video.frames_at([0.3], SIZE).data)
    read(cache, paths[2], [0.3])  # said once
    assert entries(cache) == kept


def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FrameCache(tmp_path, 10 * MIB)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kinesphere.data.cache.frames.write_frame_file", fail)
    with pytest.warns(CacheFull, match="writing failed .*No space left on device"):
        assert read(cache, clip).shape == (1, 3, *SIZE)
    assert cache.usage().used_bytes == 0


def test_unreadable_videos_stay_unreadable(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path / "cache", MIB)
    with pytest.raises(UnreadableVideo):
        cache.open(tmp_path / "absent.mp4")
    assert cache.usage().entries == 0


def test_damage_is_remembered(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "v.mp4", frames=60)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start + 2500 : start + 3500] = bytes(1000)
    path.write_bytes(bytes(data))
    cache = FrameCache(tmp_path / "cache", 10 * MIB)
    times = np.arange(60) / 25 + 0.01
    with pytest.warns(DamagedVideo), Video.open(path) as video:
        direct, complaints = video.frames_at(times, SIZE), video.damage
    assert complaints
    for _ in range(2):
        with pytest.warns(DamagedVideo):
            found, remembered = read_with_damage(cache, path, times)
        assert remembered == complaints
        np.testing.assert_array_equal(found.data, direct.data)
        np.testing.assert_array_equal(found.times, direct.times)


def read_with_damage(cache: FrameCache, path: Path, times: np.ndarray) -> tuple[Frames, list[str]]:
    with cache.open(path) as video:
        return video.frames_at(times, SIZE), video.damage


def test_clearing_and_travelling(tmp_path: Path, clip: Path) -> None:
    cache = FrameCache(tmp_path, 10 * MIB)
    read(cache, clip)
    other = pickle.loads(pickle.dumps(cache))
    assert other.usage() == cache.usage()
    other.clear()
    assert cache.usage().entries == 0
    assert not list(tmp_path.glob("??/*"))


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    left = tmp_path / "ab" / ".kinesphere-left"
    left.mkdir(parents=True)
    (left / "x.frames").write_bytes(b"half")
    with replacing(tmp_path / "ab" / "y.frames") as living:
        living.write_bytes(b"half")
        FrameCache(tmp_path, MIB)
        assert not left.exists()
        assert living.exists()


def test_settings_are_checked(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="needs a positive limit in bytes; got 0"):
        FrameCache(tmp_path, 0)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidSetting, match="Cannot write the frame cache"):
        FrameCache(tmp_path / "file", MIB)


@pytest.mark.parametrize(
    "footer",
    [
        {"count": -1, "size": [-1, 1], "damage": []},
        {"count": 1, "size": [1, 1, 5], "damage": []},
        {"count": 1, "size": [1.0, 1.0], "damage": []},
        {"count": 1, "size": [1, 1], "damage": 5},
    ],
)
def test_a_footer_that_nobody_wrote_is_damage(tmp_path: Path, footer: dict[str, object]) -> None:
    text = json.dumps(footer).encode()
    trailer = struct.pack("<II8s", len(text), zlib.crc32(text), b"KNSPHFR1")
    (tmp_path / "x.frames").write_bytes(bytes(3 + 8) + text + trailer)
    with pytest.raises(DamagedFrameFile):
        FrameFile.open(tmp_path / "x.frames")


@pytest.mark.parametrize("fps", ["1e999999999", "1/0", "9" * 5000, [1], None])
def test_facts_with_an_absurd_rate_are_found_anew(tmp_path: Path, clip: Path, fps: object) -> None:
    cache = FrameCache(tmp_path, MIB)
    with cache.open(clip) as video:
        right = video.fps
    (known,) = tmp_path.glob("??/*.json")
    known.write_text(json.dumps(json.loads(known.read_text()) | {"fps": fps}))
    with cache.open(clip) as video:
        assert video.fps == right


@pytest.mark.parametrize(
    ("error", "words"), [(errno.ENOSPC, "No space left on device"), (errno.EROFS, "Read-only file system")]
)
def test_a_disk_that_takes_no_index_is_named_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, words: str
) -> None:
    def refuse(ledger: object, folder: Path) -> None:
        if error == errno.EROFS:
            raise OSError(error, "refused")
        with sqlite3.connect(":memory:") as connection:
            connection.execute("PRAGMA max_page_count = 1")
            connection.execute("CREATE TABLE a (b)")

    monkeypatch.setattr("kinesphere.data.cache.frames.Ledger.__init__", refuse)
    with pytest.raises(UnwritableFile, match=words):
        FrameCache(tmp_path, MIB)


def test_an_entry_that_another_process_drops_at_once_is_decoded(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_and_lose(path: Path, *others: Any) -> None:
        write_frame_file(path, *others)
        path.unlink()

    monkeypatch.setattr("kinesphere.data.cache.frames.write_frame_file", write_and_lose)
    path = make_video(tmp_path / "a.mp4")
    with Video.open(path) as video:  # a warning would be an error here
        np.testing.assert_array_equal(
            read(FrameCache(tmp_path / "cache", MIB), path, [0.3]), video.frames_at([0.3], SIZE).data
        )


def _race(folder: Path, limit: int, paths: list[Path], seed: int, failures: multiprocessing.Queue) -> None:
    try:
        cache = FrameCache(folder, limit, keep_s=0)
        generator = np.random.default_rng(seed)
        for _ in range(3):
            for number in generator.permutation(len(paths)):
                found = read(cache, paths[number], [0.3, 0.9])
                with Video.open(paths[number]) as video:
                    np.testing.assert_array_equal(found, video.frames_at([0.3, 0.9], SIZE).data)
    except BaseException as error:
        failures.put(repr(error))


def test_processes_share_a_cache_that_overflows(tmp_path: Path, make_video: MakeVideo) -> None:
    paths = [make_video(tmp_path / f"{i}.mp4", tint=i) for i in range(5)]
    limit = 3 * frame_file_bytes(30, SIZE) + 1000
    context = multiprocessing.get_context("fork")
    failures = context.Queue()
    folder = tmp_path / "cache"
    racers = [context.Process(target=_race, args=(folder, limit, paths, seed, failures)) for seed in range(3)]
    with warnings.catch_warnings():
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
    assert failures.empty(), failures.get()
    assert not list(folder.glob("??/.*.tmp"))
    assert sum(path.stat().st_size for path in folder.glob("??/*.frames")) <= limit + 1000


def summed(folder: Path) -> tuple[int, int]:
    """The sum that the index keeps, and that of its entries."""
    with closing(sqlite3.connect(folder / "index.sqlite")) as connection:
        kept = connection.execute("SELECT bytes FROM total").fetchone()[0]
        return kept, connection.execute("SELECT COALESCE(SUM(bytes), 0) FROM entries").fetchone()[0]


def test_the_index_keeps_its_sum(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for number in range(6):
        assert ledger.reserve(f"aa{number}", 10 + number, 1000, 0.0)
    assert ledger.reserve("aa3", 50, 1000, 0.0)  # once more, with another size
    path = ledger.path("aa1")
    path.parent.mkdir()
    path.write_bytes(b"1234")
    ledger.confirm("aa1")
    ledger.drop("aa5")
    assert summed(tmp_path) == (4 + 10 + 12 + 50 + 14,) * 2
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as connection:  # of before there were sums
        for statement in ("DROP TABLE total", "DROP TRIGGER adding", "DROP TRIGGER dropping"):
            connection.execute(statement)
        connection.commit()
    assert summed_after(tmp_path) == (90, 90)
    Ledger(tmp_path).clear()
    assert summed(tmp_path) == (0, 0)


def summed_after(folder: Path) -> tuple[int, int]:
    Ledger(folder)
    return summed(folder)


def test_making_room_does_not_look_at_every_entry_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path)
    for number in range(40):
        ledger.reserve(f"aa{number}", 1, 40, 0.0)
        path = ledger.path(f"aa{number}")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"1")
        os.utime(path, (1000.0 + number,) * 2)
    looked: list[str] = []
    used = Ledger._used
    monkeypatch.setattr(
        Ledger, "_used", lambda self, name, entered: looked.append(name) or used(self, name, entered)
    )
    for number in range(20):
        assert ledger.reserve(f"bb{number}", 1, 40, 0.0)
    assert len(looked) <= 40 + 20
    assert [number for number in range(40) if ledger.path(f"aa{number}").exists()] == list(range(20, 40))
    os.utime(ledger.path("aa20"), (time.time(),) * 2)  # used since they were looked at
    assert ledger.reserve("cc", 1, 40, 0.0)
    assert ledger.path("aa20").exists()
    assert not ledger.path("aa21").exists()


def test_facts_of_a_video_are_read_once_by_each_process(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FrameCache(tmp_path, 10 * MIB)
    first = cache.open(clip).frame_times()
    monkeypatch.setattr("kinesphere.data.cache.frames.read_json", None)
    again = cache.open(clip).frame_times()
    assert again is first
    with pytest.raises(ValueError, match="read-only"):
        again[0] = 1
    monkeypatch.undo()
    other = pickle.loads(pickle.dumps(cache))
    np.testing.assert_array_equal(other.open(clip).frame_times(), first)
