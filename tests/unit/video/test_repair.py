"""The rules by which timestamps are weighed, on tables of packets."""

from __future__ import annotations

import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kinesphere.video import repair


def packets(count: int, depth: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`pts`, `dts` in ticks of 40 and key frames, as decoded; each group of `depth` shows its first last."""
    shown: list[int] = [0]
    for group in range(1, count, depth):
        members = list(range(group, min(group + depth, count)))
        shown += members[-1:] + members[:-1]
    pts, dts = 40 * np.array(shown[:count]), 40 * (np.arange(count) - (depth > 1))
    # Key frames show after all before them.
    key = np.array([i == 0 or (n % 24 == 0 and n >= max(shown[:i])) for i, n in enumerate(shown[:count])])
    return pts, dts, key


def mended(pts, dts, key, known=None, *, reorders, broadcast=False) -> repair.Repaired:
    known = np.ones(len(pts), bool) if known is None else known
    stated = repair.Stated(pts, dts, key, known, 1e-3, reorders, broadcast)
    assert not repair.is_sound(stated)
    return repair.repaired(stated)


@given(st.integers(2, 200), st.integers(1, 4))
def test_tables_without_flaws_are_sound(count, depth):
    pts, dts, key = packets(count, depth)
    known = np.ones(count, bool)
    assert repair.is_sound(repair.Stated(pts, dts, key, known, 1e-3, depth > 1, True))


@given(st.integers(40, 200), st.integers(1, 4), st.data())
def test_one_wrong_timestamp_does_not_move_the_others(count, depth, data):
    pts, dts, key = packets(count, depth)
    place = data.draw(st.integers(3, count - 4))
    wrong = pts.copy()
    wrong[place] += data.draw(st.sampled_from([-10_000_000, -300_000, 300_000, 10_000_000]))
    found = mended(wrong, dts, key, reorders=depth > 1)
    assert np.flatnonzero(found.replaced).tolist() == [place]
    assert np.array_equal(np.argsort(found.stamps), np.argsort(pts))


@given(st.integers(40, 120), st.lists(st.integers(1, 38), min_size=1, max_size=5, unique=True))
def test_repeated_missing_and_backward_timestamps_keep_the_order_of_the_file(count, places):
    pts, dts, key = packets(count, 1)
    for kind in ("repeated", "missing", "backward"):
        wrong, known = pts.copy(), np.ones(count, bool)
        if kind == "missing":
            wrong[places], known[places] = np.iinfo(np.int64).min, False
        else:
            wrong[places] = pts[np.array(places) - 1] - (0 if kind == "repeated" else 7)
        found = mended(wrong, dts, key, known, reorders=False)
        assert (np.diff(found.stamps) > 0).all()
        assert np.abs(found.stamps / repair.SCALE - pts).max() <= 40 * (len(places) + 1)
        assert not found.restarts


@given(st.lists(st.integers(20, 60), min_size=2, max_size=5), st.integers(1, 4), st.integers(0, 500))
def test_restarts_are_found_where_they_are(lengths, depth, by):
    parts = [packets(count, depth) for count in lengths]
    pts = np.concatenate([p + by * n % 300 for n, (p, _, _) in enumerate(parts)])
    dts, key = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    found = mended(pts, dts, key, reorders=depth > 1, broadcast=True)
    assert list(found.restarts) == np.cumsum(lengths)[:-1].tolist()
    starts = np.cumsum([0, *lengths[:-1]])
    expected = np.concatenate(
        [np.argsort(p, kind="stable") + s for s, (p, _, _) in zip(starts, parts, strict=True)]
    )
    assert np.array_equal(np.argsort(found.stamps), expected)


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=60), st.booleans(), st.booleans())
def test_whatever_is_told_stamps_differ(values, reorders, broadcast):
    pts = np.array(values)
    count = len(pts)
    key = np.arange(count) % 7 == 0
    found = repair.repaired(repair.Stated(pts, pts, key, pts % 3 != 0, 1e-3, reorders, broadcast))
    assert len(set(found.stamps.tolist())) == count


@given(st.integers(20, 60), st.integers(20, 60), st.integers(2, 4), st.integers(0, 5), st.integers(0, 39))
def test_recordings_whose_clocks_overlap_by_a_few_frames_follow_each_other(one, two, depth, frames, by):
    (first, dts, key), (second, *others) = packets(one, depth), packets(two, depth)
    begins = first.max() - 40 * frames - by
    pts, dts = np.concatenate([first, second + begins]), np.concatenate([dts, others[0] + begins])
    key = np.concatenate([key, others[1]])
    found = mended(pts, dts, key, reorders=True, broadcast=True)
    expected = np.concatenate([np.argsort(first, kind="stable"), one + np.argsort(second, kind="stable")])
    assert np.array_equal(np.argsort(found.stamps), expected)


def test_work_grows_with_the_packets_and_not_with_their_square():
    def seconds(count: int) -> float:
        known = np.random.default_rng(0).random(count) > 0.4
        pts = np.where(known, np.arange(count) // 2 * 80, np.iinfo(np.int64).min)
        begun_s = time.process_time()
        key = np.arange(count) % 50 == 0
        repair.repaired(repair.Stated(pts, pts, key, known, 1e-3, True, False))
        return time.process_time() - begun_s

    seconds(100)
    assert seconds(24_000) < 16 * seconds(3_000)
