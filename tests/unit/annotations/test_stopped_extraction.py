"""An extraction that is stopped within a file goes on there, and the file comes out as if it had not been."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from kinesphere.annotations.extract import FlowExtractor, PoseExtractor, PoseSettings, extract, unfinished
from kinesphere.annotations.extract import flow as flow_extraction
from kinesphere.annotations.extract import mask as mask_extraction
from kinesphere.annotations.extract import pose as pose_extraction
from kinesphere.annotations.tracking import Detections
from kinesphere.clips import plane_file
from kinesphere.clips.plane_file import PlaneFile
from kinesphere.core.errors import UnreadableVideo
from kinesphere.video import Video


class Stopped(BaseException):
    """What Ctrl-C and a kill do to whoever is at work."""


@pytest.fixture
def video(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    return make_video(tmp_path / "clip.mp4", frames=30)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small parts, each stored when it is done."""
    monkeypatch.setattr(unfinished, "_EVERY_S", 0.0)
    for module in (plane_file, flow_extraction, mask_extraction):
        monkeypatch.setattr(module, "SEGMENT", 8)
    monkeypatch.setattr(pose_extraction, "_PART", 8)


@contextmanager
def stopping(module: object, name: str, after: int) -> Iterator[list[int]]:
    """The function `name` works so many times, then its process is stopped; how often it was called."""
    original, calls = getattr(module, name), [0]

    def counted(*arguments: object, **options: object) -> object:
        calls[0] += 1
        if calls[0] > after:
            raise Stopped
        return original(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, counted)
        yield calls


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.mark.usefixtures("eager")
def test_flow_goes_on_within_the_file(video: Path) -> None:
    whole, target = video.with_name("whole.flow.npz"), video.with_name("clip.mp4.flow.npz")
    with stopping(flow_extraction, "between_frames", 99) as calls:
        FlowExtractor().extract(video, whole)
    assert calls == [4]  # 29 fields, 8 at a time
    with stopping(flow_extraction, "between_frames", 2), pytest.raises(Stopped):
        FlowExtractor().extract(video, target)
    assert not target.exists()
    assert left(video.parent) == [".clip.mp4.flow.npz.part"]
    assert unfinished.fraction_done(target) == pytest.approx(16 / 29)
    with stopping(flow_extraction, "between_frames", 99) as calls:
        FlowExtractor().extract(video, target)
    assert calls == [2]
    assert target.read_bytes() == whole.read_bytes()
    assert left(video.parent) == []
    assert PlaneFile.open(target, "flow").read(np.array([20, 3, 28])).shape == (3, 2, 48, 64)


@pytest.mark.usefixtures("eager")
def test_parts_of_something_else_or_damaged_ones_are_made_anew(
    video: Path, make_video: Callable[..., Path]
) -> None:
    target = video.with_name("clip.mp4.flow.npz")

    def stop(after: int) -> None:
        with stopping(flow_extraction, "between_frames", after), pytest.raises(Stopped):
            FlowExtractor().extract(video, target)

    def calls_of(extractor: FlowExtractor) -> int:
        with stopping(flow_extraction, "between_frames", 99) as calls:
            extractor.extract(video, target)
        return calls[0]

    stop(3)
    assert calls_of(FlowExtractor("farneback")) == 4
    stop(3)
    make_video(video, frames=30, tint=2)
    assert calls_of(FlowExtractor()) == 4
    stop(3)
    second = unfinished.parts_folder(target) / "000001.npz"
    second.write_bytes(second.read_bytes()[:-100])
    assert calls_of(FlowExtractor()) == 3


def test_short_work_is_never_written_in_parts(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_extraction, "SEGMENT", 8)
    monkeypatch.setattr(plane_file, "SEGMENT", 8)
    with stopping(flow_extraction, "between_frames", 2), pytest.raises(Stopped):
        FlowExtractor().extract(video, video.with_name("clip.mp4.flow.npz"))
    assert left(video.parent) == []


@pytest.mark.usefixtures("eager")
def test_what_fails_each_time_leaves_no_parts(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [0]

    def broken(*arguments: object) -> object:
        calls[0] += 1
        if calls[0] == 3:
            raise UnreadableVideo("damaged from here on")
        return between(*arguments)  # type: ignore[arg-type]

    between = flow_extraction.between_frames
    monkeypatch.setattr(flow_extraction, "between_frames", broken)
    with pytest.raises(UnreadableVideo, match="damaged from here on"):
        FlowExtractor().extract(video, video.with_name("clip.mp4.flow.npz"))
    assert left(video.parent) == []


def test_a_file_that_another_process_makes_is_left_to_it(video: Path) -> None:
    target = video.with_name("clip.mp4.flow.npz")
    with unfinished.unfinished(target, "x"):
        (note,) = extract([video], FlowExtractor(), workers=1).failures
    assert "is in use by another process" in note.reason
    assert extract([video], FlowExtractor(), workers=1).written == (video,)


class Bars:
    """Finds a bar that moves over the picture, and nobody in every fifth call."""

    version = "bars 1"

    def __init__(self, *_: object) -> None:
        self.calls = 0

    def find(self, picture: np.ndarray, box: np.ndarray | None = None) -> Detections:
        self.calls += 1
        column = float(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).mean(0).argmax())
        people = 0 if int(column) % 5 == 0 else 1
        joints = np.random.default_rng(int(column)).uniform(0, 40, (people, 33, 2)).astype(np.float32)
        joints[..., 0] += column / 3
        scores = np.full((people, 33), 0.7, np.float32)
        boxes = np.concatenate([joints.min(1), joints.max(1)], -1) if people else np.zeros((0, 4))
        return Detections(joints, scores, boxes, np.zeros((people, 33, 3), np.float32) + column)

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("fps", [None, 10.0])
def test_poses_go_on_within_the_file(video: Path, monkeypatch: pytest.MonkeyPatch, fps: float | None) -> None:
    made: list[Bars] = []
    monkeypatch.setattr(pose_extraction, "PoseFinder", lambda *_: made.append(Bars()) or made[-1])
    extractor = PoseExtractor(PoseSettings(Path("lite.task")), fps)
    whole, target = video.with_name("whole.pose.npz"), video.with_name("clip.mp4.pose.npz")
    extractor.extract(video, whole)
    with stopping(pose_extraction, "found_people", 10), pytest.raises(Stopped):
        extractor.extract(video, target)
    assert not target.exists()
    with stopping(pose_extraction, "found_people", 99) as calls:
        extractor.extract(video, target)
    assert calls == [{None: 30, 10.0: 12}[fps] - 8]
    assert target.read_bytes() == whole.read_bytes()
    assert left(video.parent) == []


class Halves:
    """The left half of each picture is somebody."""

    version = "halves 1"

    def find(self, picture: np.ndarray) -> np.ndarray:
        mask = np.zeros(picture.shape[:2], np.uint8)
        mask[:, : picture.shape[1] // 2] = picture[..., 1][:, : picture.shape[1] // 2]
        return mask


@pytest.mark.usefixtures("eager")
def test_masks_go_on_within_the_file(video: Path) -> None:
    whole, target = video.with_name("whole.mask.npz"), video.with_name("clip.mp4.mask.npz")

    def write(path: Path, after: int = 99) -> int:
        with Video.open(video) as source, stopping(mask_extraction, "encode_masks", after) as calls:
            mask_extraction.write_found(source, video, Halves(), path, None, "halves")
        return calls[0]

    assert write(whole) == 4
    with pytest.raises(Stopped):
        write(target, 2)
    assert not target.exists()
    assert write(target) == 2
    assert target.read_bytes() == whole.read_bytes()
    assert left(video.parent) == []


PROGRAM = """
import sys, time
from pathlib import Path
from kinesphere.clips import plane_file
from kinesphere.annotations.extract import FlowExtractor, extract, unfinished
from kinesphere.annotations.extract import flow
unfinished._EVERY_S = 0.0
flow.SEGMENT = plane_file.SEGMENT = 8
between, count = flow.between_frames, 0
def slow(*arguments):
    global count
    count += 1
    if count == 3:
        print("begun", flush=True)
        time.sleep(30)
    return between(*arguments)
flow.between_frames = slow
FlowExtractor().extract(Path(sys.argv[1]), Path(sys.argv[1] + ".flow.npz"))
"""


@pytest.mark.usefixtures("eager")
@pytest.mark.slow
def test_a_kill_leaves_no_half_file_and_costs_one_part(video: Path) -> None:
    whole, target = video.with_name("whole.flow.npz"), video.with_name("clip.mp4.flow.npz")
    FlowExtractor().extract(video, whole)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(video)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.kill()
    assert not target.exists()
    assert unfinished.fraction_done(target) == pytest.approx(16 / 29)
    assert extract([video], FlowExtractor(), workers=1).written == (video,)
    assert target.read_bytes() == whole.read_bytes()
    assert left(video.parent) == []
