"""Extraction of flow over many videos, and clips read from its files."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kinesphere.annotations.extract import Extracts, FlowExtractor, MaskExtractor, extract
from kinesphere.annotations.extract.mask import PeopleFinder
from kinesphere.clips import ClipSpec, Sampling, clip_times
from kinesphere.clips.modalities.flow import reader as flow_modality
from kinesphere.clips.modalities.flow.file import FlowFile, write_flow
from kinesphere.clips.modalities.mask.file import MaskFile, write_masks
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.data import ClipDataset, Draw, Manifest
from kinesphere.data.sources import Opening
from kinesphere.models import card

SPEC = ClipSpec(Sampling.parse("4x1x1"), (48, 48), "flow", mean=(0.0, 0.0), std=(20.0, 20.0))


@pytest.fixture
def folder(mannequins: Path, tmp_path: Path) -> Path:
    """Three videos of moving people in class folders."""
    for label in ("fall", "wave"):
        (tmp_path / label).mkdir()
    videos = sorted((mannequins / "videos").glob("*.mp4"))
    for place, video in zip(("fall/a.mp4", "fall/b.mp4", "wave/a.mp4"), videos, strict=False):
        shutil.copy(video, tmp_path / place)
    return tmp_path


def videos_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.mp4"))


def test_every_video_gets_a_file_once(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    videos = videos_of(folder)
    first = extract([*videos, videos[0]], FlowExtractor(), workers=2, progress=lambda *n: told.append(n))
    assert (first.written, first.kept, first.failures) == (tuple(videos), (), ())
    assert told == [(1, 3), (2, 3), (3, 3)]
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/*.flow.npz")}
    assert len(before) == 3
    again = extract(videos, FlowExtractor(), workers=1)
    assert (again.written, again.kept) == ((), tuple(videos))
    assert again.line() == "0 written, 3 already there"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert Manifest.read(folder).labels.names == ("fall", "wave")
    assert len(Manifest.read(folder)) == 3


def test_failures_are_counted_and_the_others_go_on(folder: Path) -> None:
    broken = folder / "wave" / "broken.mp4"
    broken.write_bytes(b"not a video" * 100)
    done = extract([*videos_of(folder), folder / "none.mp4"], FlowExtractor(), workers=2)
    assert len(done.written) == 3
    assert [Path(note.path).name for note in done.failures] == ["broken.mp4", "none.mp4"]
    assert "cannot be read as a video" in done.failures[0].reason
    assert "does not exist" in done.failures[1].reason
    assert done.line() == "3 written, 0 already there, 2 failed"
    assert not broken.with_name("broken.mp4.flow.npz").exists()
    assert not list(folder.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("other", "match"),
    [
        (FlowExtractor("farneback"), "holds flow by dis, not farneback; overwrite it or extract elsewhere"),
        (FlowExtractor(bound_px=10), "has the bound 20 px, not 10"),
        (FlowExtractor(short_side_px=32), "has a short side of 48 px, not 32 px; overwrite it"),
    ],
)
def test_files_made_otherwise_are_not_taken(folder: Path, other: FlowExtractor, match: str) -> None:
    video = videos_of(folder)[:1]
    extract(video, FlowExtractor(), workers=1)
    refused = extract(video, other, workers=1)
    (note,) = refused.failures
    with pytest.raises(InvalidAnnotation, match=match):
        raise InvalidAnnotation(note.reason)
    anew = extract(video, other, workers=1, overwrite=True)
    assert anew.written == tuple(video)
    assert extract(video, other, workers=1).kept == tuple(video)


def test_smaller_files_are_not_taken_for_larger_ones(folder: Path) -> None:
    video = videos_of(folder)[:1]
    extract(video, FlowExtractor(short_side_px=32), workers=1)
    (note,) = extract(video, FlowExtractor(), workers=1).failures
    assert "has a short side of 32 px, not 48 px; overwrite it" in note.reason
    extract(video, FlowExtractor(short_side_px=48), workers=1, overwrite=True)
    # Frames are never enlarged: more than the video has is all of it.
    assert extract(video, FlowExtractor(), workers=1).kept
    path = video[0].with_name(video[0].name + ".flow.npz")
    assert FlowFile.open(path).video_size == FlowFile.open(path).size


def test_files_of_before_do_not_tell_the_size_of_their_video(tmp_path: Path) -> None:
    path = tmp_path / "old.flow.npz"
    write_flow(path, [np.zeros((32, 40, 2), np.float32)], size=(32, 40), method="dis", bound_px=20, frames=2)
    assert FlowFile.open(path).video_size is None
    assert FlowExtractor(short_side_px=64).differs(path) is None
    assert FlowExtractor(short_side_px=16).differs(path) == "has a short side of 32 px, not 16 px"


def test_masks_of_fewer_people_are_not_taken(tmp_path: Path) -> None:
    path, mask = tmp_path / "a.mask.npz", np.zeros((32, 40), np.uint8)
    lone = MaskExtractor(Path("full.task"), people=1)
    write_masks(path, [mask], size=(32, 40), origin="MediaPipe 0 full", max_people=2)
    assert MaskFile.open(path).max_people == 2
    assert lone.differs(path) == "holds at most 2 people at a time, not 1"
    assert replace(lone, people=2).differs(path) is None
    assert "not by lite" in str(MaskExtractor(Path("lite.task")).differs(path))
    write_masks(path, [mask], size=(32, 40), origin="MediaPipe 0 full")
    assert lone.differs(path) is None


def test_a_damaged_file_is_named(folder: Path) -> None:
    video = videos_of(folder)[0]
    video.with_name(video.name + ".flow.npz").write_bytes(b"rubbish")
    done = extract([video], FlowExtractor(), workers=1)
    assert "is not a readable flow file" in done.failures[0].reason


def test_what_is_cut_is_noted(folder: Path) -> None:
    done = extract(videos_of(folder)[:1], FlowExtractor(bound_px=0.05), workers=1)
    assert "of the vectors are longer than 0.05 px and were cut to that" in done.notes[0].reason


def test_files_may_lie_in_a_folder_of_their_own(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path_factory.mktemp("flow")
    extract(videos_of(folder), FlowExtractor(), extracts=Extracts(out, folder), workers=1)
    assert (out / "wave" / "a.mp4.flow.npz").exists()
    with pytest.raises(InvalidSetting, match="would share one file in"):
        extract(videos_of(folder), FlowExtractor(), extracts=Extracts(out), workers=1)


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="needs at least one process; got workers=0"):
        extract([], FlowExtractor(), workers=0)
    with pytest.raises(InvalidSetting, match="frames of at least 16 px; got 8"):
        FlowExtractor(short_side_px=8)
    with pytest.raises(InvalidSetting, match="a positive number of pixels; got 0"):
        FlowExtractor(bound_px=0)


# ----------------------------------------------------------------------------------------------- reading


def test_clips_from_files_equal_those_computed_on_the_way(folder: Path) -> None:
    video = videos_of(folder)[0]
    with Opening(extracting=False).open(video, [SPEC]) as source:
        assert source.beside("flow") is None
        [direct] = flow_modality.read(source, SPEC)
    extract([video], FlowExtractor(), workers=1)
    with Opening(extracting=False).open(video, [SPEC]) as source:
        [stored] = flow_modality.read(source, SPEC)
    assert np.array_equal(direct.times, stored.times)
    error = (direct.data - stored.data).norm(dim=1)
    assert direct.data.norm(dim=1).max() > 2
    assert float(error.mean()) < 0.1
    assert float(error.quantile(0.99)) < 0.6


def test_files_of_another_video_or_method_are_refused(folder: Path) -> None:
    one, other = videos_of(folder)[:2]
    extract([one], FlowExtractor("farneback"), workers=1)
    with (
        Opening(extracting=False).open(one, [SPEC]) as source,
        pytest.raises(InvalidAnnotation, match="holds farneback, but the model sees dis; extract it with"),
    ):
        flow_modality.read(source, SPEC)
    file = one.with_name(one.name + ".flow.npz")
    held = dict(np.load(file))
    del held["video_key"]  # a file that does not tell its video
    held["count"] = np.asarray(held["count"] - 1)
    frames = FlowFile.open(file).frames
    held["facts"] = np.asarray(str(held["facts"]).replace(f'"frames": {frames}', f'"frames": {frames - 1}'))
    np.savez(other.with_name(other.name + ".flow.npz"), **held)
    with pytest.raises(InvalidAnnotation, match=r"holds the flow of \d+ frames, but the video has \d+; it"):
        Opening(extracting=False).open(other, [SPEC])


def test_models_of_pixels_and_flow_read_from_video_alone(folder: Path) -> None:
    specs = card("two_stream_fused_3d_tiny").inputs
    dataset = ClipDataset(Manifest.read(folder), specs, train=False)
    pixels, flow = dataset[0].inputs  # type: ignore[union-attr]
    assert pixels.shape == (1, 2, 3, 64, 64)
    assert flow.shape == (1, 20, 2, 64, 64)
    assert (pixels.dtype, flow.dtype) == (torch.uint8, torch.float32)


def test_flow_reads_extracted_files_in_training_too(folder: Path) -> None:
    extract(videos_of(folder), FlowExtractor("farneback"), workers=1)
    spec = SPEC.with_(flow="farneback")
    [clip] = ClipDataset(Manifest.read(folder), spec, train=True).clips(Draw(0))[0]
    assert clip.frame_size == (48, 48)
    failure = ClipDataset(Manifest.read(folder), SPEC, train=True)[0]
    assert "holds farneback, but the model sees dis" in failure.reason  # type: ignore[union-attr]


@given(st.integers(0, 10_000), st.integers(60, 400))
def test_frames_lie_within_their_stack_of_flow(seed: int, frames: int) -> None:
    pixels, flow = card("two_stream_fused_3d").inputs
    for generator in (None, 0):
        times = [
            clip_times(
                spec, None, 25.0, frames / 25,
                generator=None if generator is None else torch.Generator().manual_seed(seed),
            )[0].times * 25
            for spec in (pixels, flow)
        ]  # fmt: skip
        stacks = times[1].reshape(5, 10)
        assert (times[0] >= stacks[:, 0] - 0.5).all()
        assert (times[0] <= stacks[:, -1] + 0.5).all()


class _Certain:
    """An image of certainties as MediaPipe gives them."""

    def __init__(self, certainty: float) -> None:
        self.certainty = certainty

    def numpy_view(self) -> np.ndarray:
        return np.full((2, 3, 1), self.certainty, np.float32)


@pytest.mark.parametrize("poses", [False, True])
def test_certainties_of_people_become_a_mask_of_the_image(poses: bool) -> None:
    people = [_Certain(0.2), _Certain(0.8)]
    finder = PeopleFinder.__new__(PeopleFinder)
    finder._poses, finder._format, finder._image = poses, "srgb", lambda *packed: packed
    finder._task = SimpleNamespace(
        detect=lambda packed: SimpleNamespace(segmentation_masks=people),
        segment=lambda packed: SimpleNamespace(confidence_masks=[_Certain(1.0), *people]),
    )
    np.testing.assert_array_equal(finder.find(np.zeros((2, 3, 3), np.uint8)), np.full((2, 3), 204, np.uint8))
