"""Manifests, splits, checks and batches of real videos."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from kinesphere.clips import ClipSpec, Sampling
from kinesphere.clips.augment.settings import preset
from kinesphere.data import (
    ClipDataset,
    Draw,
    FrameCache,
    Item,
    Manifest,
    Opening,
    check,
    kfold,
    leave_one_group_out,
    make_loader,
)
from kinesphere.video import Video

pytestmark = pytest.mark.real
ROOT = os.environ.get("KINESPHERE_TEST_DATA")
SPEC = ClipSpec(Sampling.parse("8x2x1"), (56, 56), short_side_px=64)

if not ROOT:
    pytest.skip("KINESPHERE_TEST_DATA names no folder of real videos", allow_module_level=True)

VIDEOS = Path(ROOT or "", "videos")
# The smallest ones, to be quick: AVI, Matroska and MP4 are among them.
SAMPLES = sorted((VIDEOS / "samples").iterdir(), key=lambda path: path.stat().st_size)[:6]


def test_ut_interaction_leaves_one_sequence_out() -> None:
    manifest = Manifest.read(VIDEOS / "ut_interaction_set1")
    assert (len(manifest), len(manifest.labels), len(manifest.groups)) == (60, 6, 10)
    folds = leave_one_group_out(manifest)
    assert len(folds) == 10
    assert sum(len(fold.test) for fold in folds) == 60
    assert all(len(fold.train.counts()) == 6 and min(fold.train.counts().values()) >= 8 for fold in folds)


def test_surveillance_folds_keep_sources_whole() -> None:
    manifest = Manifest.read(VIDEOS / "surveillance_fight")
    assert len(manifest) == 204
    for fold in kfold(manifest, 5):
        assert not set(fold.train.groups) & set(fold.test.groups)
        counts = np.array(list(fold.test.counts().values()))
        assert counts.min() >= 0.6 * len(manifest) / 10


def test_check_of_ut_interaction() -> None:
    manifest = Manifest.read(VIDEOS / "ut_interaction_set1")
    result = check(manifest, SPEC)
    assert result.clips == result.files == 60
    assert result.unreadable == ()
    assert not result.has_errors
    assert result.durations_s is not None
    assert 1 < result.durations_s.least < result.durations_s.most < 10


def test_check_finds_what_was_broken(tmp_path: Path) -> None:
    for number, path in enumerate(SAMPLES):
        folder = tmp_path / "ab"[number % 2]
        folder.mkdir(exist_ok=True)
        shutil.copy(path, folder)
    manifest = Manifest.read(tmp_path)
    broken, copied = manifest[0].path, manifest[1].path
    broken.write_bytes(broken.read_bytes()[:500])
    shutil.copy(copied, copied.with_name(f"copy{copied.suffix}"))
    result = check(Manifest.read(tmp_path))
    assert [failure.path for failure in result.unreadable] == [str(broken)]
    assert {problem.kind for problem in result.problems} == {"unreadable", "duplicate"}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_cached_frames_equal_decoded_ones(path: Path, tmp_path: Path) -> None:
    cache = FrameCache(tmp_path, 2**30)
    size = (32, 43)
    with Video.open(path) as video:
        known = video.frame_times()
        span = (float(known[len(known) // 3]), float(known[min(len(known) // 3 + 20, len(known) - 1)]) + 0.01)
        times = np.random.default_rng(0).uniform(*span, 25)
        direct = video.frames_at(times, size)
    for _ in range(2):
        with cache.open(path, span) as cached:
            found = cached.frames_at(times, size)
            np.testing.assert_array_equal(found.data, direct.data)
            np.testing.assert_array_equal(found.times, direct.times)
    assert cache.usage().entries == 1


def test_epochs_from_the_cache_equal_decoded_ones(tmp_path: Path) -> None:
    manifest = Manifest.read(VIDEOS / "ut_interaction_set1").select(range(4))
    cache = FrameCache(tmp_path, 2**30)
    cached = ClipDataset(manifest, SPEC, train=True, augment=preset("light"), opening=Opening(cache=cache))
    plain = ClipDataset(manifest, SPEC, train=True, augment=preset("light"))
    loader = make_loader(cached, 2, workers=2)
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for batch in loader:
            assert batch.failures == ()
            for i, index in enumerate(batch.indices):
                item = plain[Draw(index, epoch)]
                assert isinstance(item, Item)
                assert item.inputs[0].equal(batch.inputs[0][i])
    assert cache.usage().entries == 4
