"""Following people from frame to frame, and extracting poses with a stand-in for MediaPipe."""

from __future__ import annotations

import itertools
import sys
import zipfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.annotations.extract import PoseExtractor, PoseSettings, extract, pose_model
from kinesphere.annotations.extract import pose as pose_extraction
from kinesphere.annotations.extract.mediapipe_pose import PoseFinder
from kinesphere.annotations.extract.pose import distinct, extract_poses
from kinesphere.annotations.tracking import (
    Detections,
    Tracker,
    assemble,
    follow,
    keypoint_similarity,
    with_appearance,
)
from kinesphere.clips.boxes import assign, overlap
from kinesphere.clips.modalities.pose.file import read_poses, write_poses
from kinesphere.clips.modalities.pose.poses import Extent, boxes_around
from kinesphere.clips.skeleton import BLAZEPOSE33, COCO17
from kinesphere.core.errors import InvalidSetting, MissingExtra, MissingWeights
from kinesphere.video import VideoWriter

BODY = np.random.default_rng(0).uniform((-15, -50), (15, 50), (17, 2))


def detections(*centres: tuple[float, float]) -> Detections:
    keypoints = np.array([BODY + centre for centre in centres], np.float32).reshape(-1, 17, 2)
    scores = np.full(keypoints.shape[:2], 0.9, np.float32)
    return Detections(keypoints, scores, boxes_around(keypoints[None], scores[None])[0])


def numbers(frames: list[Detections], fps: float = 30, **options: float) -> list[list[int]]:
    tracker = Tracker(COCO17.joints, **options)  # type: ignore[arg-type]
    return [n.tolist() for n in follow(frames, (np.arange(len(frames)) / fps).tolist(), tracker)]


# -------------------------------------------------------------------------------------------- assignment


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 5), st.integers(0, 5))
def test_assignment_is_the_best_of_all(seed: int, rows: int, columns: int) -> None:
    value = np.random.default_rng(seed).normal(size=(rows, columns))
    pairs = assign(value)
    assert len(pairs) == min(rows, columns)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    small, large = sorted((rows, columns))
    wide = value if rows <= columns else value.T
    best = max(
        sum(wide[i, j] for i, j in enumerate(chosen))
        for chosen in itertools.permutations(range(large), small)
    )
    assert sum(value[i, j] for i, j in pairs) == pytest.approx(best)


def test_overlap_of_boxes() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6]], float)
    np.testing.assert_allclose(overlap(boxes[:1], boxes), [[1, 1 / 7, 0]])


def test_similarity_is_one_for_equal_and_none_for_far_people() -> None:
    found = detections((50, 60), (50, 60), (200, 60))
    assert keypoint_similarity(COCO17.joints, found, 0, 1) == pytest.approx(1)
    assert keypoint_similarity(COCO17.joints, found, 0, 2) < 1e-3


# ---------------------------------------------------------------------------------------------- tracking


def test_order_of_detections_does_not_matter() -> None:
    frames = [detections((50, 60), (150, 60)) if t % 2 else detections((150, 60), (50, 60)) for t in range(6)]
    assert numbers(frames) == [[1, 2], [2, 1]] * 3


def test_people_who_walk_past_each_other_keep_their_numbers() -> None:
    frames = [detections((50 + 4 * t, 60), (250 - 4 * t, 68)) for t in range(50)]
    assert all(n == [1, 2] for n in numbers(frames))


def test_a_gap_is_bridged_and_a_long_absence_is_not() -> None:
    away = [detections((50 + 3 * t, 60)) if t < 10 or t >= 25 else detections() for t in range(40)]
    assert numbers(away)[30] == [1]
    long = [detections((50, 60)) if t < 10 or t >= 180 else detections() for t in range(190)]
    assert numbers(long)[185] == [2]
    assert numbers(long, memory_s=10)[185] == [1]


def test_nobody_new_appears_inside_somebody_and_no_more_than_asked_for() -> None:
    frames = [
        detections((50, 60)),
        detections((50, 60), (56, 62)),
        detections((50, 60), (200, 60), (300, 60)),
    ]
    assert numbers(frames)[1] in ([1, 0], [0, 1])
    assert sorted(numbers(frames, max_people=2)[2]) == [0, 1, 2]


def test_assembled_poses_leave_out_what_was_seen_for_a_moment() -> None:
    frames = [detections((50, 60)), detections((50, 60), (200, 60)), detections((50, 60))]
    given_numbers = [np.array([4]), np.array([4, 9]), np.array([4])]
    times = np.arange(3) / 10
    options = {"skeleton": "coco17", "frame_size": (120, 320), "fps": 10.0, "origin": "test"}
    poses = assemble(frames, given_numbers, times, **options)  # type: ignore[arg-type]
    assert poses.present.tolist() == [[True, False], [True, True], [True, False]]
    assert poses.tracks.tolist() == [1, 2]
    assert assemble(frames, given_numbers, times, **options, least_frames=2).people == 1  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------- extraction

RED, BLUE = (200, 30, 30), (30, 30, 200)
# Where a body's landmarks are in its upright box, as shares of it.
SHARES = np.array([(0.2 + 0.6 * (i % 3) / 2, i / 32) for i in range(33)])
for _name, _place in {
    "left_shoulder": (0.8, 0.2), "right_shoulder": (0.2, 0.2), "left_hip": (0.8, 0.55),
    "right_hip": (0.2, 0.55), "left_knee": (0.8, 0.8), "right_knee": (0.2, 0.8),
}.items():  # fmt: skip
    SHARES[BLAZEPOSE33.index(_name)] = _place


class Blobs:
    """Finds red and blue boxes; of two that touch it finds the larger one only, as MediaPipe does."""

    version = "blobs 1"

    def __init__(self) -> None:
        self.looked_again = 0

    def find(self, picture: np.ndarray, box: np.ndarray | None = None) -> Detections:
        self.looked_again += box is not None
        colours = picture.astype(int)
        boxes = []
        for one, other in ((0, 2), (2, 0)):
            rows, columns = np.nonzero(colours[..., one] - colours[..., other] > 60)
            if len(rows) > 200:
                boxes.append((len(rows), columns.min(), rows.min(), columns.max(), rows.max()))
        if len(boxes) == 2 and boxes[0][1] <= boxes[1][3] + 3 and boxes[1][1] <= boxes[0][3] + 3:
            boxes = [max(boxes)]
        around = np.array([b[1:] for b in boxes], np.float32).reshape(-1, 4)
        size = (around[:, 2:] - around[:, :2])[:, None]
        keypoints = (around[:, None, :2] + SHARES * size).astype(np.float32)
        scores = np.full(keypoints.shape[:2], 0.9, np.float32)
        return Detections(keypoints, scores, around, np.zeros((len(around), 33, 3), np.float32))


@pytest.fixture(scope="module")
def embrace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A red and a blue body meet, hide each other for a second, and part as they came."""
    path = tmp_path_factory.mktemp("embrace") / "embrace.mp4"
    with VideoWriter(path, (120, 200), 15, threads=1) as writer:
        for t in range(60):
            near = min(t, 59 - t, 25)
            frame = np.full((120, 200, 3), 110, np.uint8)
            for x, colour in ((20 + 3 * near, RED), (160 - 3 * near, BLUE)):
                frame[20:110, x : x + 24] = colour
            writer.write(frame)
    return path


def test_clothes_tell_who_is_who_after_an_embrace(embrace: Path) -> None:
    finder = Blobs()
    seen: list[int] = []
    poses = extract_poses(embrace, finder, progress=lambda done, _: seen.append(done))
    assert seen == list(range(1, 61))
    assert finder.looked_again > 0
    assert poses.people == 2
    centres = np.where(poses.scores[..., :1] > 0, poses.keypoints[..., 0], np.nan).mean(-1)
    assert abs(centres[0] - centres[-1]).max() < 8
    # The red one is on the left, before and after.
    order = [np.sign(centres[t, 0] - centres[t, 1]) for t in (0, 10, 50, 59)]
    assert len(set(order)) == 1
    assert poses.to("coco17").keypoints.shape == (60, 2, 17, 2)
    assert (poses.fps, poses.origin, poses.frame_size) == (15.0, "blobs 1", (120, 200))


def test_poses_may_be_taken_at_a_lower_rate(embrace: Path) -> None:
    poses = extract_poses(embrace, Blobs(), fps=5)
    assert len(poses) == 20
    assert poses.fps == 5
    np.testing.assert_allclose(poses.times, np.arange(20) / 5, atol=1e-3)
    assert poses.video == Extent(60, 59 / 15, 15.0)
    assert extract_poses(embrace, Blobs(), span=(1.0, 1.2)).video is None


@pytest.mark.parametrize("fps", [15, 29.97, 60])
def test_no_frame_is_looked_at_twice(embrace: Path, fps: float) -> None:
    poses = extract_poses(embrace, Blobs(), fps=fps)
    assert len(poses) == 60
    assert poses.fps == 15


def test_a_frame_that_lasts_is_looked_at_once(tmp_path: Path) -> None:
    path = tmp_path / "halting.mp4"
    ticks = [*range(0, 40, 2), *range(80, 120, 2)]
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=50)
        stream.height, stream.width, stream.pix_fmt = 120, 200, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 50)
        for tick in ticks:
            frame = av.VideoFrame.from_ndarray(np.full((120, 200, 3), tick, np.uint8), format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 50)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    for fps in (None, 10):
        times = extract_poses(path, Blobs(), fps=fps).times
        assert set(np.round(times * 50)) <= set(ticks)
        assert len(times) == (40 if fps is None else 18)


def test_looks_differ_between_clothes_and_stay_in_motion() -> None:
    picture = np.full((120, 200, 3), 110, np.uint8)
    picture[20:110, 20:44], picture[20:110, 100:124], picture[20:110, 160:184] = RED, BLUE, RED
    found = Blobs().find(picture[:, :140])
    shifted = Blobs().find(np.roll(picture[:, :140], 10, 1))
    one = with_appearance(picture, BLAZEPOSE33.joints, found).appearance
    other = with_appearance(np.roll(picture, 10, 1), BLAZEPOSE33.joints, shifted).appearance
    assert one is not None
    assert other is not None
    alike = one @ other.T
    assert alike.diagonal().min() > 0.9
    assert alike[0, 1] < 0.7
    nobody = with_appearance(picture, BLAZEPOSE33.joints, distinct(Blobs().find(picture * 0)))
    assert nobody.appearance is not None
    assert nobody.appearance.shape == (0, 48)


def test_one_person_found_twice_counts_once() -> None:
    picture = np.full((120, 200, 3), 110, np.uint8)
    picture[20:110, 20:44] = RED
    found = Blobs().find(picture)
    twice = found + found
    assert len(twice) == 2
    assert len(distinct(twice)) == 1
    np.testing.assert_array_equal(twice[:1].keypoints, found.keypoints)
    assert repr(found).startswith("Detections(keypoints=")
    without = Detections(found.keypoints, found.scores, found.boxes)
    assert (found + without).world is None


def test_extractor_is_resumable_and_counts_what_it_cannot_read(
    embrace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fake(Blobs):
        version = "MediaPipe 0 lite"

        def __init__(self, settings: PoseSettings) -> None:
            super().__init__()

        def __enter__(self) -> Fake:
            return self

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(pose_extraction, "PoseFinder", Fake)
    (tmp_path / "a.mp4").write_bytes(embrace.read_bytes())
    (tmp_path / "b.mp4").write_bytes(b"no video")
    videos = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    settings = PoseSettings(Path("lite.task"))
    extractor = PoseExtractor(settings, fps=5)
    first = extract(videos, extractor, workers=1)
    assert (len(first.written), len(first.kept), len(first.failures)) == (1, 0, 1)
    assert read_poses(tmp_path / "a.mp4.pose.npz").people == 2
    again = extract(videos, extractor, workers=1)
    assert (len(again.written), len(again.kept)) == (0, 1)
    other = extract(videos[:1], PoseExtractor(PoseSettings(Path("heavy.task"))), workers=1)
    assert "holds poses of MediaPipe 0 lite, not of heavy; overwrite it" in other.failures[0].reason
    for fps, wanted in ((2, "2"), (None, "15"), (60, "15")):
        changed = extract(videos[:1], PoseExtractor(settings, fps), workers=1)
        assert f"holds 5 poses a second, not {wanted}; overwrite it" in changed.failures[0].reason
    fewer = extract(videos[:1], PoseExtractor(replace(settings, people=1), fps=5), workers=1)
    assert "holds at most 4 people at a time, not 1; overwrite it" in fewer.failures[0].reason
    assert extract(videos[:1], PoseExtractor(settings, fps=60), workers=1, overwrite=True).written
    for fps in (None, 15, 60):
        assert extract(videos[:1], PoseExtractor(settings, fps), workers=1).kept
    nobody = read_poses(tmp_path / "a.mp4.pose.npz").select(np.array([], int))
    write_poses(nobody, tmp_path / "nobody.pose.npz")
    monkeypatch.setattr(pose_extraction, "extract_poses", lambda *_, **__: nobody)
    assert extractor.extract(videos[0], tmp_path / "c.pose.npz") == "nobody was found in any frame"


def test_settings_and_models_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidSetting, match="At least one person is looked for; got people=0"):
        PoseSettings(Path("x"), people=0)
    with pytest.raises(InvalidSetting, match="min_presence lies between 0 and 1; got 2"):
        PoseSettings(Path("x"), min_presence=2)
    with pytest.raises(InvalidSetting, match="positive number of frames a second; got 0"):
        PoseExtractor(PoseSettings(Path("x")), fps=0)
    with pytest.raises(
        InvalidSetting, match=r"The pose model is lite, full, heavy, or a .task file; got 'huge'"
    ):
        pose_model("huge")
    zipfile.ZipFile(tmp_path / "pose_landmarker_full.task", "w").close()
    monkeypatch.setenv("KINESPHERE_WEIGHTS", str(tmp_path))
    assert pose_model("full") == tmp_path / "pose_landmarker_full.task"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def offline(*_: object) -> Path:
        raise OSError("no network")

    monkeypatch.setattr("kinesphere.core.download.download", offline)
    with pytest.raises(MissingWeights, match=r"pose_landmarker_heavy.task .*no network.* put it at"):
        pose_model("heavy")
    monkeypatch.setattr("kinesphere.annotations.extract.mediapipe_pose._is_installed", lambda _: True)
    with pytest.raises(MissingWeights, match=r", or use what is here: kinesphere predict --pose-model full"):
        pose_model("heavy")


def test_without_mediapipe_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(MissingExtra, match=r"pip install 'kinesphere\[pose\]'"):
        PoseFinder(PoseSettings(Path("x")))
