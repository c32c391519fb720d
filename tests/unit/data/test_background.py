"""Clips of a data set with changed surroundings."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinesphere.annotations.extract import FlowExtractor
from kinesphere.clips import Augment, ClipSpec, Sampling, Views
from kinesphere.clips.augment.background import GREY
from kinesphere.clips.modalities.mask.file import write_masks
from kinesphere.clips.source import beside
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.skipped import Skipped
from kinesphere.data import ClipDataset, Draw, FrameCache, Item, Manifest, Opening
from kinesphere.data.background import DifferentVideos
from kinesphere.synthetic import MannequinSettings, generate, load_ground_truth
from kinesphere.video import Video

SPEC = ClipSpec(Sampling.parse("4x2x1"), (48, 48))


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos of people, with their true masks."""
    folder = tmp_path_factory.mktemp("masked")
    settings = MannequinSettings(
        classes=("clap", "wave"),
        clips_per_class=2,
        splits=(1, 0, 0),
        size=(64, 80),
        fps=10,
        performers=2,
        scenes=4,
        shake=0,
    )
    root = generate(settings, folder, workers=1).parent
    for video in root.glob("videos/*.mp4"):
        masks = load_ground_truth(root / "truth" / f"{video.stem}.npz").mask.any(1)
        write_masks(
            video.with_name(video.name + ".mask.npz"),
            (255 * masks).astype(np.uint8),
            size=(64, 80),
            origin="the truth",
        )
    return root


def clip_of(root: Path, change: str, spec: ClipSpec = SPEC, cache: FrameCache | None = None) -> np.ndarray:
    dataset = ClipDataset(
        Manifest.read(root / "manifest.csv"),
        spec,
        train=False,
        background=change,
        opening=Opening(cache=cache),
    )  # type: ignore[arg-type]
    return dataset.clips(Draw(0))[0][0].frames()


def test_test_clips_with_changed_surroundings(masked: Path) -> None:
    kept = clip_of(masked, "keep")
    with Opening(extracting=False).open(
        next(iter(Manifest.read(masked / "manifest.csv"))).path, [SPEC], also=["mask"]
    ) as source:
        assert beside(source, "mask") is not None
    grey = clip_of(masked, "grey")
    people = (np.abs(grey.astype(int) - GREY) > 3).any(-1)
    assert 0.02 < people.mean() < 0.4
    assert np.abs(kept.astype(int) - grey)[people].mean() < 25
    still = clip_of(masked, "median")
    around = ~people
    assert np.abs(still[0].astype(int) - still[3])[around[0] & around[3]].max() <= 25
    gone, other = clip_of(masked, "no_people"), clip_of(masked, "replace")
    assert np.abs(gone.astype(int) - kept)[people].mean() > 15
    assert np.abs(other.astype(int) - kept)[around].mean() > 10
    assert np.array_equal(other, clip_of(masked, "replace"))


def test_cached_frames_give_the_same(masked: Path, tmp_path: Path) -> None:
    cache = FrameCache(tmp_path, 10**8)
    for change in ("grey", "replace"):
        direct = clip_of(masked, change)
        assert np.array_equal(clip_of(masked, change, cache=cache), direct)
        assert np.array_equal(clip_of(masked, change, cache=cache), direct)


def test_flow_sees_the_changed_frames(masked: Path) -> None:
    spec = SPEC.with_(modality="flow", mean=(0.0, 0.0), std=(20.0, 20.0))
    path = next(iter(Manifest.read(masked / "manifest.csv"))).path
    FlowExtractor("farneback").extract(path, path.with_name(path.name + ".flow.npz"))
    try:
        assert np.linalg.norm(clip_of(masked, "grey", spec), axis=-1).max() > 0.1
        with pytest.raises(InvalidAnnotation, match="holds farneback, but the model sees dis"):
            clip_of(masked, "keep", spec)
    finally:
        path.with_name(path.name + ".flow.npz").unlink()


def test_training_draws_changes_that_depend_on_the_draw_alone(masked: Path) -> None:
    manifest = Manifest.read(masked / "manifest.csv")
    augment = Augment(crop="centre", flip=0, background=("grey",), background_share=0.5)
    dataset = ClipDataset(manifest, SPEC, train=True, augment=augment)

    def greyness(epoch: int) -> float:
        frames = dataset.clips(Draw(0, epoch))[0][0].frames().astype(int)
        return float(((frames.max(-1) - frames.min(-1)) < 12).mean())

    shares = [greyness(epoch) for epoch in range(12)]
    assert shares == [greyness(epoch) for epoch in range(12)]
    changed = sum(share > 0.6 for share in shares)
    assert 2 <= changed <= 10
    plain = ClipDataset(manifest, SPEC, train=True, augment=Augment(background_share=0.5))
    before = ClipDataset(manifest, SPEC, train=True, augment=Augment())
    assert torch.equal(plain.clips(Draw(1))[0][0].data, before.clips(Draw(1))[0][0].data)


def test_labels_are_mixed_with_those_of_the_background(masked: Path) -> None:
    manifest = Manifest.read(masked / "manifest.csv")
    by_id = {sample.path: sample.labels[0] for sample in manifest}
    pasting: dict[str, Any] = {"background": ("replace",), "background_share": 1.0}

    def items(seed: int = 0, **settings: Any) -> list[Item]:
        augment = Augment(preset="none", **pasting, **settings)
        dataset = ClipDataset(manifest, SPEC, train=True, augment=augment, seed=seed)
        read = [dataset[Draw(i, epoch)] for i in range(4) for epoch in range(3)]
        assert all(isinstance(each, Item) for each in read)
        return read  # type: ignore[return-value]

    plain, fixed, area = items(), items(background_label=0.25), items(background_label="area")
    assert len({by_id[sample.path] for sample in manifest}) == 2
    own = torch.eye(2)[[int(each.target) for each in plain]]
    for one, two, three in zip(plain, fixed, area, strict=True):
        assert torch.equal(one.inputs[0], two.inputs[0])
        assert torch.equal(one.inputs[0], three.inputs[0])
    weights = torch.stack([each.target for each in fixed])
    assert weights.dtype == torch.float32
    kept = (weights * own).sum(1)
    # Some backgrounds are of the same class, some of the other one.
    assert set(kept.tolist()) == {0.75, 1.0}
    covered = torch.stack([each.target for each in area])[kept < 1]
    theirs = 1 - (covered * own[kept < 1]).sum(1)
    # People cover from a fiftieth to a third of the frame.
    assert (theirs > (1 - 0.35) ** 4).all()
    assert (theirs < (1 - 0.02) ** 4).all()
    again = items(background_label="area")
    assert all(torch.equal(a.target, b.target) for a, b in zip(area, again, strict=True))


def test_a_flip_turns_both_labels_of_a_mix(masked: Path) -> None:
    manifest = Manifest.read(masked / "manifest.csv")
    mirrored = replace(manifest, labels=replace(manifest.labels, mirror=(manifest.labels.names[:2],)))  # type: ignore[arg-type]
    targets = []
    for flip in (0.0, 1.0):
        augment = Augment(
            preset="none", flip=flip, background=("replace",), background_share=1.0, background_label=0.25
        )
        dataset = ClipDataset(mirrored, SPEC, train=True, augment=augment)
        targets.append(torch.stack([dataset[Draw(i)].target for i in range(4)]))  # type: ignore[union-attr]
    assert torch.equal(targets[0].flip(1), targets[1])


def test_views_share_their_surroundings(masked: Path) -> None:
    dataset = ClipDataset(
        Manifest.read(masked / "manifest.csv"),
        SPEC.with_(short_side_px=56),
        train=False,
        views=Views(2, 3),
        background="grey",
    )
    assert len(dataset.clips(Draw(0))[0]) == 6


def test_what_cannot_be_changed_is_refused(masked: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(masked / "manifest.csv")
    with pytest.raises(InvalidSetting, match=r"is for testing; in training set augment.background"):
        ClipDataset(manifest, SPEC, train=True, background="grey")
    with pytest.raises(InvalidSetting, match="The background is one of"):
        ClipDataset(manifest, SPEC, train=False, background="beach")  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="the data hold only one video"):
        DifferentVideos([Path("a.mp4"), Path("a.mp4")]).others(Path("a.mp4"), 3)
    (tmp_path / "wave").mkdir()
    shutil.copy(sorted(masked.glob("videos/*.mp4"))[0], tmp_path / "wave" / "a.mp4")
    alone = ClipDataset(Manifest.read(tmp_path), SPEC, train=False, background="grey")[0]
    assert "There is no mask file" in alone.reason  # type: ignore[union-attr]
    assert "make it with `kinesphere extract mask`" in alone.reason  # type: ignore[union-attr]
    video = tmp_path / "wave" / "a.mp4"
    write_masks(
        video.with_name("a.mp4.mask.npz"), np.zeros((3, 64, 80), np.uint8), size=(64, 80), origin="nobody"
    )
    with pytest.raises(InvalidAnnotation, match="holds the mask of 3 frames, but the video has"):
        Opening(extracting=False).open(video, [SPEC], also=["mask"])
    with Video.open(video) as plain:
        assert not hasattr(plain, "masks")


def test_a_broken_video_leaves_the_others_readable(masked: Path, tmp_path: Path) -> None:
    """One broken video, one without masks, one whose masks are damaged: none makes sound clips unreadable."""
    shutil.copytree(masked, tmp_path / "set")
    manifest = Manifest.read(tmp_path / "set" / "manifest.csv")
    paths = [sample.path for sample in manifest]
    paths[1].write_bytes(b"not a video" * 99)
    masks = paths[2].with_name(paths[2].name + ".mask.npz")
    masks.write_bytes(masks.read_bytes()[:-400])
    augment = Augment(crop="centre", flip=0, background=("replace",), background_share=1.0)
    training = ClipDataset(manifest, SPEC, train=True, augment=augment)
    testing = ClipDataset(manifest, SPEC, train=False, background="replace")
    for dataset in (training, testing):
        items = [[dataset[Draw(index, epoch)] for epoch in range(6)] for index in range(4)]
        assert all(isinstance(item, Item) for index in (0, 3) for item in items[index])
        assert all(isinstance(item, Skipped) for index in (1, 2) for item in items[index])
    # What stepped in is told, clip by clip.
    drawn = [training[Draw(0, epoch)] for epoch in range(12)]
    told = [note.reason for item in drawn if isinstance(item, Item) for note in item.notes]
    assert told
    assert all("could not lend their background, so" in message for message in told)
    masks.unlink()
    paths[3].write_bytes(b"")
    (failure,) = {testing[0].reason for _ in range(2)}  # type: ignore[union-attr]
    assert "No other video of the data can lend its background; 3 were asked" in failure


@pytest.mark.parametrize("own", ["a", "c", "d", "elsewhere"])
@pytest.mark.parametrize("number", [0, 2, 7])
def test_each_other_video_lends_once_from_anywhere_on(own: str, number: int) -> None:
    paths = [Path(name) for name in "abacdd"]
    others = [path for path in dict.fromkeys(paths) if path != Path(own)]
    first = number % len(others)
    assert list(DifferentVideos(paths).others(Path(own), number)) == others[first:] + others[:first]


def test_the_videos_are_listed_once_for_all_samples(masked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = Manifest.read(masked)
    dataset = ClipDataset(manifest, SPEC, train=False, background="replace")
    listed: list[int] = []

    class Counting(DifferentVideos):
        def __init__(self, paths: Iterable[Path]) -> None:
            listed.append(1)
            super().__init__(paths)

    monkeypatch.setattr("kinesphere.data.dataset.DifferentVideos", Counting)
    for index in range(3):
        assert isinstance(dataset[index], Item)
    assert listed == [1]
