"""Answers about each person of a source: found live, cut out of the frames of the last seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tests.damage import damage_packets

from kinesphere.annotations.extract import PoseSettings
from kinesphere.annotations.tracking import Detections
from kinesphere.apps.cli.main import app
from kinesphere.apps.live.state import LiveState
from kinesphere.clips.spec import ClipSpec, Sampling, Views
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.live import AnnotatedCopy, LiveResult, LiveSettings, watch
from kinesphere.predict import Opening
from kinesphere.predict.video_predictor import VideoPredictor
from kinesphere.video import Video, VideoWriter

PLACES = np.random.default_rng(0).random((33, 2)).astype(np.float32)
SIZE, FPS, FRAMES = (96, 160), 20, 70
RED, BLUE = (230, 20, 20), (20, 20, 230)
SETTINGS = LiveSettings(as_fast_as_possible=True, stride_s=0.25, window_s=0.8, people=4)


class ColourFinder:
    """Takes each coloured square for a person."""

    version = "MediaPipe 0 lite"
    people: list[int] = []  # noqa: RUF012 (what was asked for)

    def __init__(self, settings: PoseSettings) -> None:
        self.people.append(settings.people)

    def find(self, picture: np.ndarray, box: np.ndarray | None = None) -> Detections:
        boxes = []
        for channel in (0, 2):
            mask = (picture[..., channel].astype(int) - picture[..., 2 - channel] > 100).astype(np.uint8)
            if mask.sum() > 300:
                left, top, width, height = cv2.boundingRect(mask)
                boxes.append([left, top, left + width, top + height])
        around = np.array(boxes, np.float32).reshape(-1, 4)
        keypoints = around[:, None, :2] + PLACES * (around[:, None, 2:] - around[:, None, :2])
        scores = np.full((len(around), 33), 0.9, np.float32)
        return Detections(keypoints, scores, around, np.zeros((len(around), 33, 3)))

    def __enter__(self) -> ColourFinder:
        return self

    def __exit__(self, *raised: object) -> None:
        pass


class Colours(VideoPredictor):
    """Says how red and how blue the middle of a clip is, and counts its passes."""

    def __init__(self, opening: Opening) -> None:
        super().__init__("colours", Compute.choose("cpu"), opening)
        self.batches: list[int] = []

    @property
    def labels(self) -> LabelSet:
        return LabelSet(("red", "blue"))

    @property
    def specs(self) -> tuple[ClipSpec, ...]:
        return (ClipSpec(Sampling("uniform", 4), size=(32, 32), resize="stretch"),)

    def probabilities(self, inputs: Sequence[torch.Tensor], views: Views = Views()) -> torch.Tensor:  # noqa: B008
        self.batches.append(len(inputs[0]))
        both = inputs[0].float()[..., 10:22, 10:22].mean((1, 2, 4, 5))[:, [0, 2]] + 1
        return both / both.sum(1, keepdim=True)

    def digest(self) -> str:
        return "colours"


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Opening:
    monkeypatch.setattr("kinesphere.annotations.extract.pose.PoseFinder", ColourFinder)
    monkeypatch.setattr("kinesphere.annotations.extract.pose.require_mediapipe", lambda: None)
    (tmp_path / "lite.task").touch()
    ColourFinder.people.clear()
    return Opening(pose_model=str(tmp_path / "lite.task"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A red square goes to the right; a blue one below it to the left, and is hidden from 1.5 to 2.25 s."""
    path = tmp_path_factory.mktemp("people") / "film.mp4"
    with VideoWriter(path, SIZE, FPS, threads=1) as writer:
        for number in range(FRAMES):
            frame = np.full((*SIZE, 3), 110, np.uint8)
            frame[4:44, 5 + number : 35 + number] = RED
            if not 30 <= number < 45:
                frame[50:90, 120 - number : 150 - number] = BLUE
            writer.write(frame)
    return path


def answers(film: Path, model: VideoPredictor, settings: LiveSettings = SETTINGS) -> list[LiveResult]:
    with watch(film, model, settings) as watching:
        return [each for each in watching if isinstance(each, LiveResult)]


def test_each_person_has_answers_of_its_own(film: Path, opening: Opening) -> None:
    model = Colours(opening)
    found = answers(film, model)
    assert ColourFinder.people == [4]
    assert {each.person for each in found} == {1, 2}
    for each in found:
        colour = "red" if each.person == 1 else "blue"
        assert each.prediction[colour] > 0.7
        assert each.box is not None
        start_s, end_s = each.prediction.span
        assert end_s - start_s == pytest.approx(0.8, abs=0.06)
        # The box is that in the newest frame, in fractions of it.
        place = 5 + each.frame.number if colour == "red" else 120 - each.frame.number
        middle = (each.box[0] + each.box[2]) / 2 * SIZE[1]
        assert middle == pytest.approx(place + 15, abs=3)
    # Everybody in a frame goes through the network together.
    assert max(model.batches) == 2
    assert sum(model.batches) == len(found)
    plain = json.loads(json.dumps(found[0].to_json()))
    assert plain["person"] in (1, 2)
    assert len(plain["box"]) == 4


def test_who_was_away_begins_anew_and_no_window_reaches_over_it(film: Path, opening: Opening) -> None:
    found = answers(film, Colours(opening))
    blue = [each for each in found if each.person == 2]
    assert [each.begins for each in found if each.person == 1].count(True) == 0
    assert [each.begins for each in blue].count(True) == 1
    spans = [each.prediction.span for each in blue]
    assert all(end <= 1.55 or start >= 2.2 for start, end in spans)
    assert min(start for start, _ in spans if start > 1.5) < 2.5
    (first,) = (each for each in blue if each.begins)
    assert first.prediction.span[0] >= 2.2
    assert first.to_json()["begins"] is True


def test_so_many_people_are_answered_about_as_were_asked_for(film: Path, opening: Opening) -> None:
    model = Colours(opening)
    assert {each.person for each in answers(film, model, LiveSettings(
        as_fast_as_possible=True, stride_s=0.5, window_s=0.8, people=1,
    ))} == {1}  # fmt: skip
    assert ColourFinder.people == [1]
    assert set(model.batches) == {1}
    with pytest.raises(InvalidSetting, match="people counts people, 0 for the whole picture; got -1"):
        LiveSettings(people=-1)


def test_everybody_is_drawn_in_the_frame_that_was_inferred(
    film: Path, opening: Opening, tmp_path: Path
) -> None:
    state = LiveState("film")
    left = tmp_path / ".kinesphere-left"  # of a process that was killed
    left.mkdir()
    copy = AnnotatedCopy(tmp_path / "copy.mp4", top=1)
    assert not left.exists()
    with watch(film, Colours(opening), SETTINGS, [state, copy]) as watching:
        found = [each for each in watching if isinstance(each, LiveResult)]
    snapshot = state.snapshot()
    assert {each.person for each in snapshot.results} == {1, 2}
    assert snapshot.picture is not None
    with Video.open(tmp_path / "copy.mp4") as video:
        assert video.size == snapshot.picture.shape[:2]
        numbers = {each.frame.number for each in found}
        assert video.duration_s == pytest.approx(max(numbers) / FPS - min(numbers) / FPS, abs=0.3)
    pixels = found[-1].frame.pixels
    scaled = cv2.resize(pixels, snapshot.picture.shape[1::-1])
    assert (np.abs(snapshot.picture.astype(int) - scaled).max(-1) > 60).mean() > 0.01


def test_the_command_answers_about_each_person(
    film: Path, opening: Opening, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kinesphere.predict.load", lambda *_, **__: Colours(opening))
    words = ["live", str(film), "--people", "--window", "0.8", "--as-fast-as-possible", "--json"]
    with pytest.raises(SystemExit) as left:
        app(words)
    assert left.value.code == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["person"] for line in lines if "top" in line} == {1, 2}
    assert ColourFinder.people == [4]
    with pytest.raises(
        InvalidSetting, match="--max-people bounds how many people are followed; add --people"
    ):
        app(["live", str(film), "--max-people", "2"], standalone_mode=False)
    with pytest.raises(InvalidSetting, match="frozen_s is a positive number of seconds; got 0"):
        app(["live", str(film), "--frozen", "0"], standalone_mode=False)


@pytest.mark.parametrize(
    ("whole", "lost"),
    [(False, range(31, 37)), (False, range(31, 47)), (True, range(37, 39)), (True, range(31, 47))],
)
def test_frames_that_cannot_be_decoded_are_a_known_gap(
    tmp_path: Path, opening: Opening, monkeypatch: pytest.MonkeyPatch, whole: bool, lost: range
) -> None:
    clean = tmp_path / "clean.mp4"
    with VideoWriter(clean, SIZE, FPS, threads=1, keyframe_interval=10) as writer:
        noise = np.random.default_rng(0).integers(0, 20, (FRAMES, *SIZE, 3), np.uint8)
        for number in range(FRAMES):
            frame = 100 + noise[number]
            frame[4:44, 5 + number : 35 + number] = RED
            writer.write(frame)
    broken = damage_packets(clean, tmp_path / "broken.mp4", lost, whole=whole)
    searched: list[np.ndarray] = []
    find = ColourFinder.find

    def told(self: ColourFinder, picture: np.ndarray, box: np.ndarray | None = None) -> Detections:
        if box is None:
            searched.append(picture)
        return find(self, picture, box)

    monkeypatch.setattr(ColourFinder, "find", told)
    with watch(broken, Colours(opening), SETTINGS) as watching:
        found = [each for each in watching if isinstance(each, LiveResult)]
        summary = watching.summary
    assert (summary.undecodable if whole else summary.damaged) >= len(lost) - 3
    assert summary.to_json()["summary"]["undecodable"] == summary.undecodable
    assert any("damage: " in line for line in summary.lines())
    assert len(searched) <= summary.decoded - summary.damaged
    # Nobody jumps: each box is where the square is, whatever is lost around it.
    for each in found:
        assert each.box is not None
        middle = (each.box[0] + each.box[2]) / 2 * SIZE[1]
        assert middle == pytest.approx(each.frame.time_s * FPS + 20, abs=4)
    if len(lost) / FPS < 0.5:
        assert {each.person for each in found} == {1}
        assert not any(each.begins for each in found)
        assert not summary.incidents
    else:  # no window reaches over a gap of more than half a second
        begins_s, ends_s = lost[0] / FPS, (lost[-1] + 1) / FPS
        assert not any(
            each.prediction.span[0] < begins_s and ends_s < each.prediction.span[1] for each in found
        )
        assert any(each.begins or each.person != 1 for each in found)
