"""Models that see poses, from video alone; skeletons drawn into annotated videos."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import torch

from kinesphere.annotations.extract import PoseSettings
from kinesphere.annotations.tracking import Detections
from kinesphere.clips.modalities.pose.file import read_poses, write_poses
from kinesphere.clips.modalities.pose.poses import Extent, Poses
from kinesphere.clips.preparation import Preparation
from kinesphere.core.device import Compute
from kinesphere.core.errors import (
    InvalidAnnotation,
    MissingExtra,
    MissingWeights,
    NobodySeen,
    SpanOutsideVideo,
    UnreadableVideo,
)
from kinesphere.core.labels import LabelSet
from kinesphere.core.skipped import Skipped
from kinesphere.models import create_model
from kinesphere.predict import (
    Extracts,
    Opening,
    PoseOverlay,
    Prediction,
    Predictor,
    SegmentRule,
    annotate,
    read_timeline,
    segments,
    write_timeline,
)
from kinesphere.video import Video

MakeVideo = Callable[..., Path]
LABELS = LabelSet(("hop", "skip", "jump"))
PLACES = np.random.default_rng(0).random((33, 2)).astype(np.float32)


class SquareFinder:
    """Takes the bright square of `make_video` for a person."""

    version = "MediaPipe 0 lite"
    looked = 0

    def __init__(self, settings: PoseSettings) -> None:
        assert settings.model.name == "lite.task"

    def find(self, picture: np.ndarray, box: np.ndarray | None = None) -> Detections:
        type(self).looked += box is None
        rows, columns = np.nonzero(picture.min(-1) > 200)
        if len(rows) < 50:
            empty = np.zeros((0, 33, 2), np.float32)
            return Detections(empty, empty[..., 0], np.zeros((0, 4), np.float32), np.zeros((0, 33, 3)))
        around = np.array([columns.min(), rows.min(), columns.max(), rows.max()], np.float32)
        keypoints = (around[:2] + PLACES * (around[2:] - around[:2]))[None]
        world = np.zeros((1, 33, 3), np.float32)
        return Detections(keypoints, np.full((1, 33), 0.9, np.float32), around[None], world)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def lite(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a pose model, with a stand-in for what runs it."""
    path = tmp_path_factory.mktemp("models") / "lite.task"
    path.touch()
    monkeypatch.setattr("kinesphere.annotations.extract.pose.PoseFinder", SquareFinder)
    monkeypatch.setattr("kinesphere.annotations.extract.pose.require_mediapipe", lambda: None)
    SquareFinder.looked = 0
    return str(path)


def predictor_of(
    name: str,
    opening: Opening,
    learnt: Preparation = Preparation(),  # noqa: B008 (frozen)
) -> Predictor:
    torch.manual_seed(0)
    recogniser = create_model(name, LABELS)
    recogniser.provenance = replace(recogniser.provenance, preparation=learnt)
    return Predictor(recogniser, Compute("cpu", "fp32", True), opening=opening)


@pytest.fixture
def video(make_video: MakeVideo, tmp_path: Path) -> Path:
    """20 frames of 64x48 px at 10 a second, with a person in all of them."""
    return Path(shutil.copy(make_video(frames=20), tmp_path / "clip.mp4"))


@pytest.mark.parametrize("name", ["dd_net_tiny", "rgbpose_late_tiny", "rgbpose_conv3d_tiny"])
def test_poses_are_extracted_on_the_way_and_once(video: Path, lite: str, name: str) -> None:
    predictor = predictor_of(name, Opening(pose_model=lite))
    said = predictor.predict(video)
    assert said.probabilities.sum() == pytest.approx(1)
    assert said.notes == ()
    assert SquareFinder.looked == 20
    again = predictor.predict(video, span=(0.0, 1.0))
    assert again.span == (0.0, 1.0)
    assert SquareFinder.looked == 20
    assert list(video.parent.iterdir()) == [video]
    assert np.array_equal(predictor.predict(video.read_bytes()).probabilities, said.probabilities)
    assert SquareFinder.looked == 40


def test_a_changed_video_is_looked_at_again(video: Path, lite: str, make_video: MakeVideo) -> None:
    opening = Opening(pose_model=lite)
    before = opening.beside(video, "pose")
    shutil.copy(make_video(seed=1, frames=12), video)
    assert len(opening.beside(video, "pose")) == 12
    assert len(before) == 20


def test_a_span_is_looked_at_alone(video: Path, lite: str) -> None:
    predictor = predictor_of("dd_net_tiny", Opening(pose_model=lite))
    said = predictor.predict(video, span=(0.8, 1.2))
    assert SquareFinder.looked == 14  # half a second more on either side
    whole = predictor_of("dd_net_tiny", Opening(pose_model=lite))
    whole.predict(video)
    np.testing.assert_allclose(
        said.probabilities, whole.predict(video, span=(0.8, 1.2)).probabilities, atol=1e-6
    )
    with pytest.raises(SpanOutsideVideo, match=r"lies outside .*clip.mp4, which runs from 0 to 2.000 s"):
        predictor_of("dd_net_tiny", Opening(pose_model=lite)).predict(video, span=(8.0, 9.0))


def test_poses_are_kept_on_request(video: Path, lite: str) -> None:
    folder = video.parent / "kept"
    opening = Opening(Extracts(folder, video.parent), keep=True, pose_model=lite)
    first = predictor_of("rgbpose_late_tiny", opening).predict(video)
    file = folder / "clip.mp4.pose.npz"
    assert len(read_poses(file)) == 20
    assert SquareFinder.looked == 20
    again = predictor_of("rgbpose_late_tiny", Opening(Extracts(folder, video.parent)))
    assert np.array_equal(again.predict(video).probabilities, first.probabilities)
    assert SquareFinder.looked == 20
    # The file itself stands for the joints of its video.
    keeping = predictor_of("dd_net_tiny", Opening(keep=True, pose_model=lite))
    beside = predictor_of("dd_net_tiny", opening).predict(video)
    np.testing.assert_allclose(keeping.predict(file).probabilities, beside.probabilities, atol=1e-6)


class NamedFinder(SquareFinder):
    """The same under the name of its model; it remembers what it was asked for."""

    asked: list[PoseSettings]

    def __init__(self, settings: PoseSettings) -> None:
        type(self).asked.append(settings)
        self.version = f"MediaPipe 1 {settings.model.stem}"


def test_poses_are_found_as_those_that_the_model_learnt_from(
    video: Path, lite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kinesphere.annotations.extract.pose.PoseFinder", NamedFinder)
    monkeypatch.setattr(
        "kinesphere.annotations.extract.pose.pose_model", lambda name: Path(f"pose_landmarker_{name}.task")
    )
    NamedFinder.asked = []
    learnt = Preparation("pose_landmarker_heavy", max_people=2, poses_fps=5.0)
    assert predictor_of("dd_net_tiny", Opening(), learnt).predict(video).notes == ()
    assert NamedFinder.asked == [PoseSettings(Path("pose_landmarker_heavy.task"), people=2)]
    assert NamedFinder.looked == 10
    said = predictor_of("dd_net_tiny", Opening(pose_model="lite"), learnt).predict(video)
    note = "its poses come from pose_landmarker_lite, the model learnt from those of pose_landmarker_heavy"
    assert said.notes == (note,)
    predictor_of("dd_net_tiny", Opening()).predict(video)
    assert NamedFinder.asked[-1] == PoseSettings(Path("pose_landmarker_full.task"))
    # Poses of one model are not taken for those of another.
    opening = Opening()
    for each in (learnt, Preparation("pose_landmarker_lite")):
        predictor_of("dd_net_tiny", opening, each).predict(video)
    assert len(NamedFinder.asked) == 5


def test_files_that_were_made_otherwise_get_a_note(video: Path) -> None:
    poses = replace(person(10, 5), origin="COCO results", max_people=4, video=Extent(20, 1.9, 10.0))
    write_poses(poses, video.with_name("clip.mp4.pose.npz"))
    learnt = Preparation("pose_landmarker_heavy", max_people=2, poses_fps=10.0)
    predictor = predictor_of("dd_net_tiny", Opening(), learnt)
    notes = (
        "its poses come from COCO results, the model learnt from those of pose_landmarker_heavy",
        "at most 4 people were looked for in it, 2 in what was learnt from",
        "it has 5 poses a second, what was learnt from had 10",
    )
    assert predictor.predict(video).notes == notes
    assert predictor.timeline(video, window_s=1.0, stride_s=0.5).mean().notes == notes


def test_windows_without_people_are_no_segments(video: Path, tmp_path: Path) -> None:
    nobody = person(20, 10)
    scores = nobody.scores.copy()
    scores[:10] = 0
    write_poses(replace(nobody, scores=scores), video.with_name("clip.mp4.pose.npz"))
    predictor = predictor_of("dd_net_tiny", Opening())
    with pytest.warns(NobodySeen):
        timeline = predictor.timeline(video, window_s=0.5, stride_s=0.5)
    assert timeline.nobody.tolist() == [True, True, False, False]
    found = segments(timeline, SegmentRule(threshold=0.0))
    assert min(segment.start_s for segment in found) == 1.0
    note = "nobody is seen in it, so that the joints were all zeros"
    assert [each.get("notes") for each in timeline.to_json()["timeline"]] == [[note], [note], None, None]
    np.testing.assert_allclose(timeline.mean().probabilities, timeline.probabilities[2:].mean(0))
    assert timeline.mean().notes == ()
    for suffix in (".json", ".parquet"):
        write_timeline(timeline, tmp_path / f"timeline{suffix}")
        assert read_timeline(tmp_path / f"timeline{suffix}").nobody.tolist() == timeline.nobody.tolist()
    drawn = annotate(video, tmp_path / "drawn.mp4", timeline, rule=SegmentRule(threshold=0.0))
    with Video.open(drawn) as source:
        strip = source.frames_at([1.9]).data[0][:, -4].astype(int)
    # Along the lower edge the first second has the colour of no label.
    width = strip.shape[1]
    assert np.abs(strip[:, width // 4] - strip[:, 5 * width // 8]).max() > 60
    # Beside pixels the answer rests on these.
    with pytest.warns(NobodySeen):
        both = predictor_of("rgbpose_late_tiny", Opening()).timeline(video, window_s=0.5, stride_s=0.5)
    assert not both.nobody.any()


def test_windows_and_bulk_say_what_single_predictions_say(video: Path, lite: str) -> None:
    predictor = predictor_of("rgbpose_late_tiny", Opening(pose_model=lite))
    timeline = predictor.timeline(video, window_s=1.0, stride_s=0.5, batch_size=2)
    assert SquareFinder.looked == 20
    for i, span in enumerate(timeline.spans):
        alone = predictor.predict(video, span=tuple(span))
        np.testing.assert_allclose(timeline.probabilities[i], alone.probabilities, atol=1e-6)
    broken = video.with_name("broken.mp4")
    broken.write_bytes(b"no video")
    first, second, third = predictor.predict_many([str(video), str(broken), str(video.with_name("no.mp4"))])
    assert isinstance(first, Prediction)
    assert isinstance(second, Skipped)
    assert isinstance(third, Skipped)
    np.testing.assert_allclose(first.probabilities, predictor.predict(video).probabilities, atol=1e-6)
    assert "cannot be read as a video" in second.reason
    assert "does not exist; check the path" in third.reason
    with pytest.raises(UnreadableVideo, match="does not exist; check the path"):
        predictor.predict(video.with_name("no.mp4"))


def test_without_mediapipe_or_its_model_it_is_said_what_to_do(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = predictor_of("dd_net_tiny", Opening())
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(MissingExtra, match=r"pip install 'kinesphere\[pose\]'"):
        predictor.predict(video)

    def offline(*_: object) -> Path:
        raise OSError("no network")

    monkeypatch.setattr("kinesphere.annotations.extract.pose.require_mediapipe", lambda: None)
    monkeypatch.setattr("kinesphere.core.download.download", offline)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KINESPHERE_WEIGHTS", raising=False)
    with pytest.raises(MissingWeights, match=r"pose_landmarker_full.task .*no network.* put it at"):
        list(predictor.predict_many([str(video)]))


# ------------------------------------------------------------------------------- files that do not fit


def person(count: int, fps: float, size: tuple[int, int] = (48, 64)) -> Poses:
    """Somebody who swings about as the same function of time, whatever the rate and resolution."""
    times = np.arange(count) / fps
    swing = 0.05 * np.sin(2 * times)[:, None, None, None]
    places = 0.3 + 0.4 * PLACES[:17] + swing
    keypoints = (places * [size[1], size[0]] - 0.5)[:, None][:, 0].astype(np.float32)
    scores = np.ones((count, 1, 17), np.float32)
    return Poses(times, keypoints, scores, np.array([1]), "coco17", size, fps=fps)


@pytest.mark.parametrize("name", ["dd_net_tiny", "rgbpose_late_tiny"])
def test_poses_of_another_rate_and_resolution_give_the_same_answer(video: Path, name: str) -> None:
    predictor = predictor_of(name, Opening())
    file = video.with_name("clip.mp4.pose.npz")
    write_poses(person(20, 10), file)
    said = predictor.predict(video)
    for other in (person(20, 10, (96, 128)), person(40, 20), person(10, 5)):
        write_poses(other, file)
        np.testing.assert_allclose(predictor.predict(video).probabilities, said.probabilities, atol=1e-3)


def test_files_that_do_not_belong_to_the_video_are_refused(video: Path) -> None:
    predictor = predictor_of("dd_net_tiny", Opening())
    file = video.with_name("clip.mp4.pose.npz")
    file.touch()
    with pytest.raises(InvalidAnnotation, match="is empty; delete it and extract the pose again"):
        predictor.predict(video)
    for poses, match in (
        (person(20, 10, (64, 64)), "frames of 64x64 px, but these are 64x48 px, of another shape"),
        (person(60, 10), "end at 5.90 s, but the video at 1.90 s; they belong to another video"),
    ):
        write_poses(poses, file)
        with pytest.raises(InvalidAnnotation, match=match):
            predictor.predict(video)
        (answer,) = predictor.predict_many([str(video)])
        assert isinstance(answer, Skipped)
        assert match in answer.reason


def test_a_video_without_people_is_predicted_with_a_note(video: Path) -> None:
    predictor = predictor_of("rgbpose_late_tiny", Opening())
    nobody = person(20, 10)
    write_poses(replace(nobody, scores=nobody.scores * 0), video.with_name("clip.mp4.pose.npz"))
    with pytest.warns(NobodySeen, match="the clip is all zeros"):
        said = predictor.predict(video)
    assert np.isfinite(said.probabilities).all()
    assert said.to_json()["notes"] == ["nobody is seen in it, so that the answer rests on its frames"]


# --------------------------------------------------------------------------------------------- drawing


def test_skeletons_are_drawn_where_the_people_are(video: Path, tmp_path: Path, lite: str) -> None:
    said = Prediction(np.array([0.7, 0.2, 0.1]), LABELS, str(video), (1.5, 2.0), 1)
    overlay = PoseOverlay(Opening(pose_model=lite).beside(video, "pose"))
    paths = [
        annotate(video, tmp_path / "plain.mp4", said),
        annotate(video, tmp_path / "drawn.mp4", said, overlay=overlay),
    ]
    pictures = []
    for path in paths:
        with Video.open(path) as source:
            pictures.append(source.frames_at([1.0]).data[0].astype(int))
    changed = np.abs(pictures[0] - pictures[1]).max(0) > 60
    rows, columns = np.nonzero(changed)
    # The square covers 30 to 40 of 64 columns and 10 to 30 of 48 rows; its number stands above it.
    height, width = changed.shape
    assert 18 / 64 * width < columns.min() < columns.max() < 46 / 64 * width
    assert rows.max() < 36 / 48 * height
    assert 0.005 < changed.mean() < 0.2


def test_two_people_have_two_colours_and_space_has_none() -> None:
    one, away = person(10, 10, (240, 320)), np.array([80, 0], np.float32)
    two = Poses(
        one.times,
        np.concatenate([one.keypoints - away, one.keypoints + away], 1),
        np.ones((10, 2, 17), np.float32),
        np.array([1, 2]),
        "coco17",
        (240, 320),
        fps=10,
    )
    picture = PoseOverlay(two).draw(np.zeros((240, 320, 3), np.uint8), 0.5)
    yellow, pink = ((picture == hue).all(-1) for hue in ((244, 196, 72), (214, 110, 190)))
    assert yellow[:, :160].sum() > 50
    assert pink[:, 160:].sum() > 50
    assert not pink[:, :150].any()
    space = Poses(
        one.times, np.zeros((10, 1, 17, 3), np.float32), one.scores, one.tracks, "coco17", None, fps=10
    )
    with pytest.raises(InvalidAnnotation, match="are joints in space, but pixels are asked for"):
        PoseOverlay(space)
