"""The costs that `benchmarks.growth` measures: inputs of any size, and what is done with them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import torch
from torch import Tensor

from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.annotations.tracking import Detections, assemble
from kinesphere.clips import ClipSpec, Sampling, Views
from kinesphere.clips.modalities.mask.file import write_masks
from kinesphere.clips.modalities.pose.file import write_poses
from kinesphere.clips.modalities.pose.poses import Extent, Poses
from kinesphere.core.device import Compute
from kinesphere.core.labels import LabelSet
from kinesphere.data import ClipDataset, FrameCache, Manifest, Opening
from kinesphere.data.balancing import balance
from kinesphere.data.cache.index import Ledger
from kinesphere.data.content import Content
from kinesphere.data.dataset import Item
from kinesphere.data.faults import leaks, same_content
from kinesphere.data.merging import merge
from kinesphere.data.sample import Sample
from kinesphere.data.split import by_groups, holdout
from kinesphere.data.windows import WindowRule, windows_of
from kinesphere.evaluate.predictions import Predictions
from kinesphere.evaluate.seen import Seen, digests_of
from kinesphere.predict.overlay import PoseOverlay
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.predict.segmentation import segments
from kinesphere.predict.timeline import Timeline
from kinesphere.predict.video_predictor import VideoPredictor
from kinesphere.train import Recipe
from kinesphere.train.splits import divide
from kinesphere.train.splits_csv import SplitTable
from kinesphere.video import Video
from kinesphere.video.frame_index import FrameIndex, Packets

LABELS = LabelSet(("stand", "walk", "wave"))
RATE = 10
POSE = ClipSpec(
    Sampling.parse("16x1x1"), (56, 56), "pose", mean=(0.5, 0.5), std=(0.5, 0.5), skeleton="coco17"
)
FRAME = ClipSpec(Sampling.parse("8x2x1"), (32, 32), short_side_px=32)

Call = Callable[[], Any]


@dataclass(frozen=True)
class Cost:
    """One cost that could grow too fast.

    Attributes:
        name: What is done.
        unit: What there is 1, 10 and 100 times as much of.
        size: Of the smallest input, in that unit.
        prepare: Makes the input of a size in an empty folder, and gives what is timed.
        of: Whether a part of the input is asked for, or all of it.
        is_memory: Whether memory is measured, too.
    """

    name: str
    unit: str
    size: int
    prepare: Callable[[int, Path], Call]
    of: Literal["part", "whole"]
    is_memory: bool = False


# ---- inputs


def walkers(frames: int, people: int = 2, fps: float = 25.0) -> Poses:
    """People who walk about a frame of 240x360 pixels all the time."""
    rng = np.random.default_rng(0)
    times = np.arange(frames) / fps
    start, speed = rng.uniform(40, 200, (2, 1, people, 17, 2))
    points = start + 20 * np.sin(speed / 50 * times[:, None, None, None])
    return Poses(
        times=times,
        keypoints=points.astype(np.float32),
        scores=np.full((frames, people, 17), 0.75, np.float32),
        tracks=np.arange(1, people + 1),
        skeleton="coco17",
        frame_size=(240, 360),
        fps=fps,
        origin="generated 1",
    )


def film(path: Path, frames: int) -> Path:
    """A video of tiny frames, all of them different."""
    image = np.add.outer(np.arange(32), np.arange(48)).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE, options={"g": "50", "threads": "1"})
        stream.height, stream.width = image.shape
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            planes = np.pad(image + np.uint8(number % 256), ((0, 16), (0, 0)))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode(None))
    return aged(path)


def aged(path: Path) -> Path:
    """A file as old as those of a data set are: what was changed a moment ago may be changing still."""
    os.utime(path, (1e9, 1e9))
    return path


def samples(count: int, root: Path) -> Manifest:
    """Spans of ten files each, of three classes, in two splits."""
    spans = [
        Sample(f"{i}", root / f"{i // 10}.mp4", (name,), (i % 10, i % 10 + 1.0), f"g{i // 10}")
        for i, name in zip(range(count), cycle(LABELS.names), strict=False)
    ]
    return Manifest(tuple(spans), LABELS, root)


def contents(manifest: Manifest) -> dict[Path, Content]:
    """What the files of a manifest that are nowhere would hold."""
    return {s.path: Content(9, hashlib.sha256(s.path.name.encode()).hexdigest()[:16]) for s in manifest}


class Guess(VideoPredictor):
    """Answers by the mean of its input: what is timed is everything else."""

    def __init__(self, spec: ClipSpec, opening: Opening | None = None) -> None:
        super().__init__("guess", Compute.choose("cpu"), opening)
        self._spec = spec

    @property
    def labels(self) -> LabelSet:
        return LABELS

    @property
    def specs(self) -> tuple[ClipSpec, ...]:
        return (self._spec,)

    def probabilities(self, inputs: Sequence[Tensor], views: Views = Views()) -> Tensor:  # noqa: B008
        means = inputs[0].float().flatten(1).mean(1)
        return torch.stack([means.sin(), means.cos(), means / 100], 1).softmax(1)

    def digest(self) -> str:
        return "guess"


# ---- parts


def clips(manifest: Manifest, spec: ClipSpec, opening: Opening = Opening(extracting=False)) -> Call:  # noqa: B008
    """Reads one clip of a data set, as training does."""
    dataset = ClipDataset(manifest, spec, train=True, opening=opening)

    def read() -> Item:
        item = dataset[0]
        if not isinstance(item, Item):
            raise SystemExit(f"A clip could not be read: {item.reason}")
        return item

    return read


def span_of(path: Path, length_s: float) -> Manifest:
    """One sample: two seconds in the middle of a file."""
    middle = length_s / 2
    return Manifest((Sample("a", path, (LABELS.names[0],), (middle, middle + 2.0)),), LABELS, path.parent)


def pose_file(seconds: int, folder: Path) -> Call:
    path = folder / "a.pose.npz"
    write_poses(walkers(25 * seconds), path)
    return clips(span_of(path, seconds), POSE)


def poses_of_film(seconds: int, folder: Path) -> Call:
    path = film(folder / "a.mp4", RATE * seconds)
    poses = walkers(RATE * seconds, fps=RATE)
    extent = Extent(RATE * seconds, float(poses.times[-1]), RATE)
    write_poses(replace(poses, video=extent), folder / "a.mp4.pose.npz", of=path)
    return clips(span_of(path, seconds), POSE)


def frames_of_film(seconds: int, folder: Path) -> Call:
    return clips(span_of(film(folder / "a.mp4", RATE * seconds), seconds), FRAME)


def cached_frames(seconds: int, folder: Path) -> Call:
    path = film(folder / "a.mp4", RATE * seconds)
    return clips(span_of(path, seconds), FRAME, Opening(cache=FrameCache(folder / "cache", 2**30)))


def masks_of_film(seconds: int, folder: Path) -> Call:
    path = film(folder / "a.mp4", RATE * seconds)
    shown = np.zeros((16, 24), np.uint8)
    shown[4:12, 8:16] = 255
    masks = (np.roll(shown, i, 1) for i in range(RATE * seconds))
    write_masks(folder / "a.mp4.mask.npz", masks, size=(16, 24), origin="generated", of=path)
    aged(folder / "a.mp4.mask.npz")
    spec = FRAME.with_(modality="mask", mean=(0.5,), std=(0.5,))
    return clips(span_of(path, seconds), spec)


def frame_at(seconds: int, folder: Path) -> Call:
    path = film(folder / "a.mp4", RATE * seconds)
    times = np.array([seconds / 2, seconds / 2 + 1])

    def read() -> np.ndarray:
        with Video.open(path, threads=1) as video:
            return video.frames_at(times).data

    return read


def background(count: int, folder: Path) -> Call:
    """The background of one sample of many, lent by another video of the data."""
    lender = film(folder / "lent.mp4", 30)
    masks = (np.zeros((16, 24), np.uint8) for _ in range(30))
    write_masks(folder / "lent.mp4.mask.npz", masks, size=(16, 24), origin="generated", of=lender)
    aged(folder / "lent.mp4.mask.npz")
    names = [folder / f"{i}.mp4" for i in range(2)]
    for name in names:
        shutil.copy2(lender, name)
        shutil.copy2(folder / "lent.mp4.mask.npz", f"{name}.mask.npz")
    listed = [Sample(f"{i}", names[i % 2], (LABELS.names[0],), (0.0, 1.0)) for i in range(count)]
    dataset = ClipDataset(
        Manifest(tuple(listed), LABELS, folder),
        FRAME,
        train=False,
        opening=Opening(extracting=False),
        background="replace",
    )
    return lambda: dataset[0]


def overlay(seconds: int, folder: Path) -> Call:
    drawn = PoseOverlay(walkers(25 * seconds))
    return lambda: drawn.draw(np.zeros((240, 360, 3), np.uint8), seconds / 2)


def cache_entry(entries: int, folder: Path) -> Call:
    """Room for one more entry in a full cache of so many."""
    ledger = Ledger(folder)
    for i in range(entries):
        path = ledger.path(f"{i % 100:02d}{i}")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"1")
        os.utime(path, (1e9 + i, 1e9 + i))
    (folder / "index.sqlite").unlink()
    ledger, numbers = Ledger(folder), iter(range(10**6))
    return lambda: ledger.reserve(f"xx{next(numbers)}", 1, entries, 0.0)


# ---- wholes


def timeline(windows: int) -> Timeline:
    """Answers to windows of two seconds, one a second."""
    rng = np.random.default_rng(0)
    starts = np.arange(windows, dtype=np.float64)
    rows = rng.dirichlet(np.full(len(LABELS), 0.3), windows)
    return Timeline(rows, np.stack([starts, starts + 2], 1), LABELS, "a.mp4")


def pose_timeline(seconds: int, folder: Path) -> Call:
    path = folder / "a.pose.npz"
    write_poses(walkers(25 * seconds), path)
    guess = Guess(POSE, Opening(extracting=False))
    return lambda: guess.timeline(path, window_s=2.0, stride_s=2.0).probabilities


def frame_timeline(seconds: int, folder: Path) -> Call:
    path = film(folder / "a.mp4", RATE * seconds)
    guess = Guess(FRAME, Opening(extracting=False))
    return lambda: guess.timeline(path, window_s=2.0, stride_s=2.0).probabilities


def street(seconds: int) -> tuple[list[Detections], list[np.ndarray], np.ndarray]:
    """Four people at a time pass, each for four seconds, at five frames a second: one new each second."""
    rng = np.random.default_rng(0)
    points = rng.uniform(20, 200, (4, 17, 2)).astype(np.float32)
    boxes = np.concatenate([points.min(1), points.max(1)], -1)
    frames, numbers = [], []
    for t in range(5 * seconds):
        frames.append(Detections(points + t % 20, np.full((4, 17), 0.5, np.float32), boxes + t % 20))
        numbers.append(t // 5 + np.arange(1, 5))
    return frames, numbers, np.arange(5 * seconds) / 5


def street_poses(seconds: int, folder: Path) -> Call:
    """Tracks of a street become a file, and a clip of them is read."""
    frames, numbers, times = street(seconds)
    path = folder / "a.pose.npz"

    def follow() -> Item:
        poses = assemble(
            frames, numbers, times, skeleton="coco17", frame_size=(240, 360), fps=5.0, origin="generated"
        )
        write_poses(poses, path)
        del poses
        item = clips(span_of(path, seconds), POSE)()
        assert isinstance(item, Item)
        return item

    return follow


def split(count: int, folder: Path) -> Call:
    manifest = samples(count, folder)
    return lambda: [s.split for s in holdout(manifest, {"train": 0.7, "val": 0.1, "test": 0.2})]


def split_by_name(count: int, folder: Path) -> Call:
    manifest = samples(count, folder)
    tested = manifest.groups[::3]
    return lambda: [s.split for s in by_groups(manifest, {"test": tested})]


def balanced(count: int, folder: Path) -> Call:
    manifest = holdout(samples(count, folder), {"train": 0.7, "test": 0.3})
    return lambda: len(balance(manifest, cap=count // 6, oversample=count // 8).manifest)


def merged(count: int, folder: Path) -> Call:
    halves = {name: samples(count // 2, folder / name) for name in ("a", "b")}
    return lambda: len(merge(halves).manifest)


def windows_of_recordings(count: int, folder: Path) -> Call:
    """Recordings of 20 seconds with ten annotations each, cut into windows of two."""
    labels = tuple(
        TimedLabel(f"{i // 10}", name, i % 10 * 2.0, i % 10 * 2.0 + 1.5)
        for i, name in zip(range(count), cycle(LABELS.names), strict=False)
    )
    timed = TimedLabels.of(labels)
    lengths = dict.fromkeys(timed.videos, 20.0)
    return lambda: len(windows_of(timed, lengths, WindowRule(2.0, 1.0)).samples)


def divided(count: int, folder: Path) -> Call:
    """What a training does with its list before anything is learnt, without the videos themselves."""
    manifest = samples(count, folder)
    recipe = Recipe.build({"data": {"source": str(folder)}})
    return lambda: [len(part) for part in (lambda p: (p.train, p.val, p.test))(divide(recipe, manifest)[0])]


def every_target(count: int, folder: Path) -> Call:
    manifest = samples(count, folder)
    return lambda: [ClipDataset(manifest, FRAME, train=False)._target(i, False, None) for i in (0, count - 1)]


def leaking(count: int, folder: Path) -> Call:
    manifest = holdout(samples(count, folder), {"train": 0.7, "test": 0.3})
    copies = same_content(contents(manifest))
    return lambda: [each.sentence() for each in leaks(manifest, copies)]


def known_clips(count: int, folder: Path) -> Call:
    manifest = samples(count, folder)
    held = contents(manifest)

    def know() -> list[str]:
        digests = digests_of(((sample, "train") for sample in manifest), held)
        assert digests is not None
        return sorted(Seen((digests,)).of(manifest, held).values())

    return know


def split_table(count: int, folder: Path) -> Call:
    manifest = samples(count, folder)
    held = contents(manifest)

    def write_and_compare() -> list[str]:
        table = SplitTable.of(manifest, {}, held)
        table.write(folder / "splits.csv")
        return SplitTable.read(folder / "splits.csv").differences(table)

    return write_and_compare


def read_table(count: int, folder: Path) -> Call:
    samples(count, folder).write(folder / "manifest.csv")
    return lambda: [sample.group for sample in Manifest.read(folder / "manifest.csv")]


def prediction_table(count: int, folder: Path) -> Call:
    manifest = samples(count, folder)
    rows = np.random.default_rng(0).dirichlet(np.ones(len(LABELS)), count)
    targets = np.array([target[0] for target in manifest.targets])

    def write_and_read() -> np.ndarray:
        Predictions.of(manifest.samples, LABELS, targets, rows).write(folder / "predictions.parquet")
        return Predictions.read(folder / "predictions.parquet").probabilities

    return write_and_read


def found_segments(windows: int, folder: Path) -> Call:
    answer = timeline(windows)
    rule = SegmentRule(threshold=0.4, smooth=5)
    return lambda: [(s.label, s.start_s, s.probability) for s in segments(answer, rule)]


def key_frames(count: int, folder: Path) -> Call:
    """Where to start decoding from for each frame of a video of key frames alone."""
    numbers = np.arange(count)
    table = Packets(numbers, numbers, numbers, numbers >= 0, numbers < 0)
    index = FrameIndex("pts", numbers, numbers, Fraction(1, RATE), numbers.tolist(), table, True)
    return lambda: [index.key_before(frame) for frame in range(count)]


def filled_cache(entries: int, folder: Path) -> Call:
    """A cache that takes so many entries, one after the other."""
    folders = (folder / str(number) for number in range(10**6))

    def fill() -> int:
        place = next(folders)
        place.mkdir()
        ledger = Ledger(place)
        return sum(ledger.reserve(f"aa{i}", 1, 10**9, 0.0) for i in range(entries))

    return fill


COSTS = (
    Cost("a clip of poses, of a pose file", "s of recording", 36, pose_file, "part"),
    Cost("a clip of poses, of a video", "s of video", 36, poses_of_film, "part"),
    Cost("a clip of frames", "s of video", 36, frames_of_film, "part"),
    Cost("a clip of frames, from the cache", "s of video", 36, cached_frames, "part"),
    Cost("a clip of masks", "s of video", 36, masks_of_film, "part"),
    Cost("opening a video, and two frames of it", "s of video", 36, frame_at, "part"),
    Cost("a sample before another background", "samples", 500, background, "part"),
    Cost("skeletons on a frame", "s of recording", 36, overlay, "part"),
    Cost("room for one more in a full frame cache", "entries", 200, cache_entry, "part"),
    Cost("a timeline of poses", "s of recording", 36, pose_timeline, "whole"),
    Cost("a timeline of frames", "s of video", 36, frame_timeline, "whole"),
    Cost("tracks of passers-by, written and read", "s of video", 36, street_poses, "whole", is_memory=True),
    Cost("segments of a timeline", "windows", 360, found_segments, "whole"),
    Cost("where to decode from, all key frames", "frames", 360, key_frames, "whole"),
    Cost("entering into a frame cache", "entries", 50, filled_cache, "whole"),
    Cost("reading a manifest", "samples", 500, read_table, "whole"),
    Cost("a split in groups", "samples", 500, split, "whole"),
    Cost("a split by names of groups", "samples", 500, split_by_name, "whole"),
    Cost("balancing classes", "samples", 500, balanced, "whole"),
    Cost("merging two manifests", "samples", 500, merged, "whole"),
    Cost("recordings cut into windows", "annotations", 500, windows_of_recordings, "whole"),
    Cost("parts of a run", "samples", 500, divided, "whole"),
    Cost("targets of a data set", "samples", 500, every_target, "whole"),
    Cost("groups and files in several splits", "samples", 500, leaking, "whole"),
    Cost("clips that a model has met", "samples", 500, known_clips, "whole"),
    Cost("a table of splits, written, read, compared", "samples", 500, split_table, "whole"),
    Cost("a table of predictions, written and read", "samples", 500, prediction_table, "whole"),
)
