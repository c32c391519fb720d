"""What `evaluate` scores is what `predict` answers: for every kind of input, however its files are there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Self

import numpy as np
import pytest
import torch
from makers import make
from torch import Tensor

from kinesphere.annotations.extract import FlowExtractor, PoseExtractor, PoseSettings
from kinesphere.annotations.tracking import Detections
from kinesphere.clips import ClipSpec, Sampling, Views
from kinesphere.clips.modalities.mask.file import write_masks
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.labels import LabelSet
from kinesphere.data import Manifest, Sample
from kinesphere.evaluate.evaluator import collect
from kinesphere.models.provenance import Preparation
from kinesphere.predict import Extracts, FusedPredictor, Opening, VideoPredictor
from kinesphere.video import Video

pytestmark = pytest.mark.filterwarnings("ignore::kinesphere.core.errors.DamagedVideo")

LABELS = LabelSet(("hop", "skip", "jump"))
SIZE, FRAMES = (96, 128), 24
DENSE = Sampling.parse("4x2x1")
SPECS = {
    "rgb": ClipSpec(DENSE, (32, 32)),
    "flow": ClipSpec(DENSE, (32, 32), modality="flow", mean=(0, 0), std=(20, 20)),
    "pose": ClipSpec(
        Sampling.parse("uniform6"),
        (32, 32),
        modality="pose",
        skeleton="coco17",
        mean=(0.5, 0.5),
        std=(0.5, 0.5),
    ),
    "mask": ClipSpec(DENSE, (32, 32), modality="mask", mean=(0.5,), std=(0.5,)),
}
LEARNT = Preparation(
    poses="pose_landmarker_lite", max_people=2, poses_fps=12.5, flow_short_side_px=24, flow_bound_px=20.0
)
LANDMARKS = np.random.default_rng(0).random((33, 2)).astype(np.float32)


class Reading(VideoPredictor):
    """Stands in for a network: its answer depends on every number that it is given."""

    def __init__(self, spec: ClipSpec, opening: Opening) -> None:
        super().__init__(f"reading {spec.modality}", Compute("cpu", "fp32", True), opening, LEARNT)
        self._specs = (spec,)

    @property
    def labels(self) -> LabelSet:
        return LABELS

    @property
    def specs(self) -> tuple[ClipSpec, ...]:
        return self._specs

    def probabilities(self, inputs: Sequence[Tensor], views: Views = Views()) -> Tensor:  # noqa: B008
        values_BN = inputs[0].double().flatten(1)
        weights_NK = torch.randn(len(values_BN[0]), 3, generator=torch.Generator().manual_seed(0)).double()
        logits_BK = values_BN @ weights_NK / values_BN.norm(dim=1, keepdim=True).clamp(min=1e-6)
        return logits_BK.softmax(-1)

    def digest(self) -> str:
        return self.name


class SquareFinder:
    """Takes the bright square of the videos for a person."""

    version = "MediaPipe 0 pose_landmarker_lite"

    def __init__(self, settings: PoseSettings) -> None:
        assert settings.people == LEARNT.max_people

    def find(self, picture: np.ndarray, box: np.ndarray | None = None) -> Detections:
        rows, columns = np.nonzero(picture.min(-1) > 200)
        count = int(len(rows) > 50)
        ends = [columns.min(), rows.min(), columns.max(), rows.max()] if count else [0, 0, 1, 1]
        around = np.array(ends, np.float32)
        joints = (around[:2] + LANDMARKS * (around[2:] - around[:2]))[None]
        scores = np.full((1, 33), 0.9, np.float32)
        return Detections(joints[:count], scores[:count], around[None][:count], np.zeros((count, 33, 3)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture(autouse=True)
def finder(monkeypatch: pytest.MonkeyPatch) -> None:
    """What finds people is there, and quick."""
    monkeypatch.setitem(sys.modules, "mediapipe", ModuleType("mediapipe"))
    monkeypatch.setattr("kinesphere.annotations.extract.pose.PoseFinder", SquareFinder)


def drawn(size: tuple[int, int]) -> list[np.ndarray]:
    """A bright square that crosses a textured ground."""
    ground = np.random.default_rng(1).integers(0, 120, (*size, 3), np.uint8)
    pictures = []
    for i in range(FRAMES):
        picture = ground.copy()
        picture[20:60, 2 * i : 2 * i + 20] = 255
        pictures.append(picture)
    return pictures


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    """Videos of every kind."""
    options = {"x264-params": "keyint=6:bframes=2"}
    steady = make("libx264", "matroska", drawn=drawn(SIZE), options=options)
    damaged = bytearray(steady)
    damaged[len(damaged) // 2 : len(damaged) // 2 + 200] = bytes(200)
    uneven = [i * 40 + 13 * (i % 3) + 300 * (i > 9) for i in range(FRAMES)]
    return {
        "steady": steady,
        "variable": make(
            "libx264", "matroska", drawn=drawn(SIZE), options=options, times=uneven,
            time_base=Fraction(1, 1000),
        ),
        "rotated": make("libx264", "mp4", drawn=drawn(SIZE), options=options, rotation_deg=90),
        "damaged": bytes(damaged),
    }  # fmt: skip


@pytest.fixture
def videos(contents: dict[str, bytes], tmp_path: Path) -> list[Path]:
    paths = []
    for name, content in contents.items():
        paths.append(tmp_path / f"{name}.{'mp4' if name == 'rotated' else 'mkv'}")
        paths[-1].write_bytes(content)
    return paths


@pytest.fixture
def lite(tmp_path: Path) -> str:
    path = tmp_path / "pose_landmarker_lite.task"
    path.touch()
    return str(path)


def write_files(videos: Sequence[Path], lite: str) -> None:
    """Poses, flow and masks beside the videos, as the model's training files were made."""
    for path in videos:
        FlowExtractor("dis", 24).extract(path, path.with_name(path.name + ".flow.npz"))
        finder = PoseExtractor(PoseSettings(Path(lite), people=2), LEARNT.poses_fps)
        finder.extract(path, path.with_name(path.name + ".pose.npz"))
        with Video.open(path) as video:
            masks = (video.frames_at(video.frame_times()).data.min(1) > 200).astype(np.uint8) * 255
            write_masks(path.with_name(path.name + ".mask.npz"), masks, size=video.size, origin="the square")


def manifest_of(videos: Sequence[Path], span: tuple[float, float] | None = None) -> Manifest:
    samples = [Sample(path.name, path, (LABELS.names[0],), span=span) for path in videos]
    return Manifest(tuple(samples), LABELS, videos[0].parent)


def evaluated(predictor: VideoPredictor, videos: Sequence[Path], span: tuple[float, float] | None = None):
    said = collect(predictor, manifest_of(videos, span), workers=0)
    assert said.skipped == ()
    return said.probabilities


def predicted(predictor: VideoPredictor, videos: Sequence[Path], span: tuple[float, float] | None = None):
    return np.stack([predictor.predict(path, span=span).probabilities for path in videos])


def windowed(predictor: VideoPredictor, videos: Sequence[Path]) -> np.ndarray:
    """The only window of each video's timeline."""
    lines = [predictor.timeline(path, window_s=60.0, stride_s=60.0) for path in videos]
    return np.concatenate([line.probabilities for line in lines])


@pytest.mark.parametrize("modality", ["rgb", "flow", "pose"])
def test_bare_videos(modality: str, videos: list[Path], lite: str) -> None:
    predictor = Reading(SPECS[modality], Opening(pose_model=lite))
    said = predicted(predictor, videos)
    np.testing.assert_allclose(evaluated(predictor, videos), said, atol=1e-6)
    np.testing.assert_allclose(windowed(predictor, videos), said, atol=1e-6)
    assert not list(videos[0].parent.glob("*.npz"))


@pytest.mark.parametrize("modality", ["flow", "pose"])
def test_spans_of_bare_videos(modality: str, videos: list[Path], lite: str) -> None:
    predictor = Reading(SPECS[modality], Opening(pose_model=lite))
    again = Reading(SPECS[modality], Opening(pose_model=lite))
    span = (0.2, 0.7)
    np.testing.assert_allclose(evaluated(predictor, videos, span), predicted(again, videos, span), atol=1e-6)


@pytest.mark.parametrize("modality", list(SPECS))
def test_videos_with_files(modality: str, videos: list[Path], lite: str) -> None:
    write_files(videos, lite)
    predictor = Reading(SPECS[modality], Opening())
    said = predicted(predictor, videos)
    np.testing.assert_allclose(evaluated(predictor, videos), said, atol=1e-6)
    np.testing.assert_allclose(windowed(predictor, videos), said, atol=1e-6)


def test_what_cannot_be_estimated_is_refused_in_the_same_words(videos: list[Path]) -> None:
    predictor = Reading(SPECS["mask"], Opening())
    with pytest.raises(InvalidAnnotation, match="There is no mask file") as refused:
        predictor.predict(videos[0])
    write_files(videos[1:], str(videos[0]))
    said = collect(predictor, manifest_of(videos), workers=0)
    assert [each.reason for each in said.skipped] == [str(refused.value)]


@pytest.mark.parametrize("filed", [False, True])
def test_fused_models(filed: bool, videos: list[Path], lite: str) -> None:
    if filed:
        write_files(videos, lite)
    opening = Opening(pose_model=lite)
    names = [name for name in SPECS if filed or name != "mask"]
    members = [Reading(SPECS[name], opening) for name in names]
    fused = FusedPredictor(members, [1 + i for i in range(len(members))], opening=opening)  # type: ignore[arg-type]
    said = predicted(fused, videos)
    np.testing.assert_allclose(evaluated(fused, videos), said, atol=1e-6)
    np.testing.assert_allclose(windowed(fused, videos), said, atol=1e-6)
    apart = [weight * predicted(each, videos) for weight, each in zip(fused.weights, members, strict=True)]
    np.testing.assert_allclose(np.sum(apart, 0), said, atol=1e-6)


def test_all_say_that_files_were_made_otherwise(videos: list[Path], lite: str, tmp_path: Path) -> None:
    video = videos[0]
    FlowExtractor("dis", 32).extract(video, video.with_name(video.name + ".flow.npz"))
    predictor = Reading(SPECS["flow"], Opening())
    note = "its flow was estimated at 32 px, what was learnt from at 24 px"
    assert predictor.predict(video).notes == (note,)
    noted = collect(predictor, manifest_of([video]), workers=0).damaged
    assert [each.reason for each in noted] == [note]
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    there = Extracts(folder)
    said = Reading(SPECS["flow"], Opening(there)).predict(videos[1]).notes
    noted = collect(predictor, manifest_of([videos[1]]), workers=0, extracts=there).damaged
    assert tuple(each.reason for each in noted) == said
    assert "there is no flow file of it" in said[0]
