from __future__ import annotations

import multiprocessing
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from kinesphere.clips import MODALITIES, Augment, ClipSpec, Sampling, Views
from kinesphere.core.errors import InvalidSetting, LabelMismatch, UnknownName, WorkerFailed
from kinesphere.core.labels import LabelSet
from kinesphere.core.skipped import Skipped
from kinesphere.core.workers import start_method
from kinesphere.data.cache.frames import FrameCache
from kinesphere.data.dataset import Batch, ClipDataset, Item, collate
from kinesphere.data.loader import LoaderSettings, make_loader
from kinesphere.data.manifest import Manifest
from kinesphere.data.sampler import Draw
from kinesphere.data.sources import Opening
from kinesphere.video import Video

SPEC = ClipSpec(Sampling.parse("4x2x1"), (24, 32))
MIRRORED = (("turn left", "turn right"),)


@pytest.fixture
def sided(manifest: Manifest) -> Manifest:
    return replace(manifest, labels=replace(manifest.labels, mirror=MIRRORED))


@pytest.fixture
def broken(data_folder: Path, tmp_path: Path) -> Manifest:
    """The data with one file missing, one empty and one cut in half."""
    root = tmp_path / "broken"
    shutil.copytree(data_folder, root)
    manifest = Manifest.read(root)
    manifest[0].path.unlink()
    manifest[3].path.write_bytes(b"")
    return manifest


def same(a: Item | Skipped, b: Item | Skipped) -> bool:
    assert isinstance(a, Item)
    assert isinstance(b, Item)
    return a.index == b.index and all(x.equal(y) for x, y in zip(a.inputs, b.inputs, strict=True))


def test_testing_reads_what_the_modality_reads(manifest: Manifest) -> None:
    dataset = ClipDataset(manifest, SPEC, train=False, views=Views(2, 3))
    item = dataset[4]
    assert isinstance(item, Item)
    with Video.open(manifest[4].path) as video:
        clips = MODALITIES.get("rgb").read(video, SPEC, views=Views(2, 3))
    assert item.inputs[0].shape == (6, 4, 3, 24, 32)
    assert all(view.equal(clip.data) for view, clip in zip(item.inputs[0], clips, strict=True))
    assert (item.target.item(), item.target.dtype, item.index) == (1, torch.int64, 4)
    assert len(dataset) == 6


def test_an_item_depends_on_seed_epoch_index_and_repeat_only(sided: Manifest) -> None:
    def dataset(seed: int) -> ClipDataset:
        return ClipDataset(sided, SPEC, train=True, augment=Augment(), seed=seed)

    ours, other = dataset(1), dataset(1)
    for index in (5, 2, 0):
        ours[index]  # what was read before changes nothing
    first = other[Draw(3, 7)]
    assert same(first, ours[Draw(3, 7)])
    assert not same(first, ours[Draw(3, 8)])
    assert not same(first, ours[Draw(3, 7, repeat=1)])
    assert not same(first, dataset(2)[Draw(3, 7)])


def test_training_defaults_to_random_sampling_alone(manifest: Manifest) -> None:
    dataset = ClipDataset(manifest, replace(SPEC, sampling=Sampling.parse("1x1x1")), train=True)
    seen = [dataset[Draw(2, epoch)].inputs[0] for epoch in range(8)]
    with Video.open(manifest[2].path) as video:
        frames = torch.from_numpy(video.frames_at(video.frame_times(), (24, 32)).data)
    shown = {next(i for i, frame in enumerate(frames) if frame.equal(clip[0, 0])) for clip in seen}
    assert len(shown) > 3


def test_flips_turn_the_label_too(sided: Manifest) -> None:
    settings = Augment(crop="centre", enlarge=1, flip=1, brightness=0, contrast=0, saturation=0, hue=0)
    flipped = ClipDataset(sided, SPEC, train=True, augment=settings)
    plain = ClipDataset(sided, SPEC, train=True)
    for index in (0, 3):
        mirrored, straight = flipped[index], plain[index]
        assert mirrored.inputs[0].equal(straight.inputs[0].flip(-1))
        assert mirrored.target.item() == 1 - straight.target.item()


def test_flips_of_sides_without_mirror_pairs_are_refused(manifest: Manifest) -> None:
    with pytest.raises(InvalidSetting, match="A flip would turn 'turn left', 'turn right' into"):
        ClipDataset(manifest, SPEC, train=True, augment=Augment())


def test_several_inputs_show_the_same_moments_and_place(sided: Manifest) -> None:
    large = replace(SPEC, size=(48, 64), short_side_px=None)
    item = ClipDataset(sided, (large, SPEC), train=True, augment=Augment(crop="random", flip=0.5))[3]
    small = torch.nn.functional.avg_pool2d(item.inputs[0][0].float(), 2)
    assert item.inputs[1].shape == (1, 4, 3, 24, 32)
    assert (small - item.inputs[1][0].float()).abs().mean() < 12


def test_several_labels_make_a_row_of_zeros_and_ones(manifest: Manifest) -> None:
    labels = LabelSet(("a", "b", "c"), multi=True)
    samples = tuple(replace(s, labels=names) for s, names in zip(manifest, (("a", "c"), ()), strict=False))
    dataset = ClipDataset(Manifest(samples, labels, manifest.root), SPEC, train=False)
    assert collate([dataset[0], dataset[1]]).targets.tolist() == [[1, 0, 1], [0, 0, 0]]


def test_what_cannot_be_read_is_named_not_replaced(broken: Manifest) -> None:
    batch = collate([ClipDataset(broken, SPEC, train=False)[i] for i in range(5)])
    assert batch.indices == (1, 2, 4)
    assert batch.targets.tolist() == [0, 0, 1]
    assert [(f.path, f.index) for f in batch.failures] == [
        (str(broken[0].path), 0),
        (str(broken[3].path), 3),
    ]
    assert "is empty (0 bytes)" in batch.failures[1].reason


def test_a_span_outside_its_video_is_a_failure(manifest: Manifest) -> None:
    late = manifest.select([0])
    late = replace(late, samples=(replace(late[0], span=(50.0, 51.0)),))
    found = ClipDataset(late, SPEC, train=False)[0]
    assert isinstance(found, Skipped)
    assert "starts after the end of the video" in found.reason


def test_damage_comes_as_a_note(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    path = make_video(tmp_path / "x/v.mp4", frames=60)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start + 1500 : start + 2500] = bytes(1000)
    path.write_bytes(bytes(data))
    spec = replace(SPEC, sampling=Sampling.parse("16x3x1"))
    batch = collate([ClipDataset(Manifest.read(tmp_path), spec, train=False)[0]])
    assert len(batch) == 1
    assert batch.notes[0].path == str(path)
    assert "is damaged" in batch.notes[0].reason


def test_other_warnings_are_passed_on(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> None:
        warnings.warn("from elsewhere", UserWarning, stacklevel=1)
        return original(*_, **__)

    original = MODALITIES.get("rgb").read
    monkeypatch.setitem(MODALITIES._members, "rgb", replace(MODALITIES.get("rgb"), read=read))
    with pytest.warns(UserWarning, match="from elsewhere"):
        item = ClipDataset(manifest, SPEC, train=False)[0]
    assert item.notes == ()


def test_bugs_are_not_failures(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setitem(MODALITIES._members, "rgb", replace(MODALITIES.get("rgb"), read=read))
    with pytest.raises(RuntimeError, match="a bug"):
        ClipDataset(manifest, SPEC, train=False)[0]


def test_a_batch_without_readable_samples_is_empty() -> None:
    batch = collate([Skipped("a.mp4", "gone", index=3)])
    assert (len(batch), batch.inputs, batch.indices) == (0, (), ())
    assert batch.failures[0].index == 3


def test_batches_keep_channels_last_and_move(manifest: Manifest) -> None:
    dataset = ClipDataset(manifest, SPEC, train=False)
    batch = collate([dataset[0], dataset[1]])
    assert batch.inputs[0].shape == (2, 1, 4, 3, 24, 32)
    assert batch.inputs[0].permute(0, 1, 2, 4, 5, 3).is_contiguous()
    moved = batch.to("meta")
    assert (moved.inputs[0].device.type, moved.targets.device.type) == ("meta", "meta")
    assert moved.indices == batch.indices


def test_a_cache_changes_nothing_but_time(sided: Manifest, tmp_path: Path) -> None:
    cache = FrameCache(tmp_path, 2**26)
    spans = replace(sided, samples=tuple(replace(s, span=(0.1, 0.5)) for s in sided))
    for manifest in (sided, spans):
        plain = ClipDataset(manifest, SPEC, train=True, augment=Augment(speed_jitter=0.3))
        cached = ClipDataset(
            manifest, SPEC, train=True, augment=Augment(speed_jitter=0.3), opening=Opening(cache=cache)
        )
        for epoch in range(3):
            assert all(same(plain[Draw(i, epoch)], cached[Draw(i, epoch)]) for i in range(6))
    assert cache.usage().entries == 12


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"specs": ()}, "needs at least one clip spec"),
        ({"train": True, "views": Views(2)}, "Views 2x1 are for testing"),
        ({"augment": Augment()}, "Augmentation is for training"),
    ],
)
def test_contradictions_are_refused(manifest: Manifest, settings: dict, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        ClipDataset(manifest, **({"specs": SPEC, "train": False} | settings))


def test_unknown_labels_and_modalities_are_refused(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LabelMismatch, match="'turn left' is not among the 1 labels"):
        ClipDataset(replace(manifest, labels=LabelSet(("walk",))), SPEC, train=False)
    monkeypatch.delitem(MODALITIES._members, "rgb")
    with pytest.raises(UnknownName, match="no modality called 'rgb'"):
        ClipDataset(manifest, SPEC, train=False)


def batches(manifest: Manifest, workers: int, epoch: int, start: int = 0) -> list[Batch]:
    dataset = ClipDataset(manifest, SPEC, train=True, augment=Augment(), seed=4)
    loader = make_loader(dataset, 4, workers=workers, balance="equal")
    loader.sampler.resume_at(epoch, start)  # type: ignore[attr-defined]
    return list(loader)


def test_workers_and_resuming_change_nothing(sided: Manifest) -> None:
    reference = batches(sided, 0, epoch=3)
    assert [len(batch) for batch in reference] == [4, 2]
    for others in (batches(sided, 2, epoch=3), [None, *batches(sided, 1, epoch=3, start=1)]):
        for ours, theirs in zip(reference, others, strict=True):
            if theirs is not None:
                assert ours.indices == theirs.indices
                assert ours.inputs[0].equal(theirs.inputs[0])
                assert ours.targets.equal(theirs.targets)


def test_workers_survive_what_the_parent_did_before(sided: Manifest) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.randn(400, 400) @ torch.randn(400, 400)
        cv2.resize(np.zeros((2000, 2000, 3), np.uint8), (100, 100))
        batches(sided, 0, epoch=0)
        assert len(batches(sided, 2, epoch=1)) == 2
    finally:
        torch.set_num_threads(threads)


def test_persistent_workers_see_each_epoch(sided: Manifest) -> None:
    loader = make_loader(ClipDataset(sided, SPEC, train=True, augment=Augment(), seed=4), 4, workers=1)
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        expected = {}
        for batch in loader:
            for i, index in enumerate(batch.indices):
                expected[index] = batch.inputs[0][i]
        dataset = loader.dataset
        assert all(dataset[Draw(i, epoch)].inputs[0].equal(x) for i, x in expected.items())


def test_failures_come_through_workers(broken: Manifest) -> None:
    loader = make_loader(ClipDataset(broken, SPEC, train=False), 3, workers=1)
    failures = [failure.index for batch in loader for failure in batch.failures]
    assert failures == [0, 3]


@pytest.mark.skipif(start_method() != "fork", reason="the patch reaches forked workers alone")
def test_full_shared_memory_is_told_and_nothing_waits(
    sided: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: torch.Tensor) -> None:
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    dataset = ClipDataset(sided, SPEC, train=False)
    told = (
        r"batch of \d.* MiB does not fit into shared memory.*No space left.*--shm-size=1g.*compute.workers=0"
    )
    with make_loader(dataset, 4, workers=1) as loader, pytest.raises(WorkerFailed, match=told):
        list(loader)
    with make_loader(dataset, 4, workers=0) as loader:
        assert sum(len(batch) for batch in loader) == len(sided)


def test_a_closed_loader_has_no_workers_and_opens_again(broken: Manifest) -> None:
    with make_loader(ClipDataset(broken, SPEC, train=False), 1, workers=1) as loader:
        next(iter(loader))
        (first,) = multiprocessing.active_children()
    assert not multiprocessing.active_children()
    assert first.exitcode == 0
    with loader:
        assert [failure.index for batch in loader for failure in batch.failures] == [0, 3]
    assert not multiprocessing.active_children()
    loader.close()


def test_loader_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinesphere.data.loader.cpu_count", lambda: 64)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (LoaderSettings.choose().workers, LoaderSettings.choose().pin_memory) == (16, True)
    monkeypatch.setattr("kinesphere.data.loader.cpu_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (LoaderSettings.choose().workers, LoaderSettings.choose().pin_memory) == (1, False)
    monkeypatch.setattr("kinesphere.data.loader.cpu_count", lambda: 8)
    assert [LoaderSettings.choose(threads=n).workers for n in (None, 8, 5, 1)] == [4, 4, 4, 7]
    assert LoaderSettings.choose(0) == LoaderSettings(0, False, None)
    for wrong in (-1, "many"):
        with pytest.raises(InvalidSetting, match="'auto' or a number from 0"):
            LoaderSettings.choose(wrong)  # type: ignore[arg-type]
