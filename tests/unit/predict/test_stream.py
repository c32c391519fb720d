"""A streaming network's state through a whole video, and long videos that are stopped and gone on with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.annotations.extract import unfinished as room
from kinesphere.annotations.extract.flow import FlowExtractor
from kinesphere.clips.clip import stack
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import Sampling, Views
from kinesphere.core.device import Compute
from kinesphere.core.errors import DamagedVideo, InvalidSetting
from kinesphere.models import create_model
from kinesphere.predict import FusedPredictor, Predictor, Timeline
from kinesphere.predict.long_video import window_clips
from kinesphere.video import Video, VideoWriter

from .conftest import MakeVideo

STREAMING = ("movinet_stream_tiny", "tsm_online_tiny", "tsm_mobile_online_tiny")


def named(model: str, precision: str = "fp32") -> Predictor:
    torch.manual_seed(0)
    recogniser = create_model(model, ["hop", "skip"])
    with torch.no_grad():
        for key, parameter in recogniser.named_parameters():
            if key.endswith("alpha"):
                parameter.fill_(0.7)
    return Predictor(recogniser, Compute("cpu", precision, True), name=model)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def nets() -> dict[str, Predictor]:
    return {name: named(name) for name in STREAMING}


def clip_of(predictor: Predictor, path: Path, length: int, rate: float) -> torch.Tensor:
    """All frames that a stream sees, as one normalised clip."""
    spec = predictor.spec.with_(sampling=Sampling("dense", length), fps=rate)
    with Video.open(path) as video:
        (clip,) = MODALITIES.get(spec.modality).read(video, spec, (0.0, length / rate))
    return MODALITIES.get(spec.modality).normalise(stack([clip]), spec, torch.float32)


@pytest.mark.parametrize("name", STREAMING)
def test_the_stream_of_a_video_is_its_frames_as_one_clip(
    nets: dict[str, Predictor], make_video: MakeVideo, name: str
) -> None:
    predictor, path = nets[name], make_video(frames=40)
    timeline = predictor.timeline(path, window_s=4.0, stride_s=4.0, mode="streaming")
    rate = 5.0 if name.startswith("movinet") else predictor.spec.length / 4.0
    clip = clip_of(predictor, path, round(4.0 * rate), rate)
    with torch.inference_mode():
        whole = predictor.module(clip).softmax(-1)[0].numpy()
    np.testing.assert_allclose(timeline.probabilities[0], whole, atol=1e-5)


@pytest.mark.parametrize("name", STREAMING)
def test_a_window_of_a_stream_rests_on_its_own_frames_after_all_before_them(
    nets: dict[str, Predictor], make_video: MakeVideo, name: str
) -> None:
    predictor, path = nets[name], make_video(frames=97)
    timeline = predictor.timeline(path, window_s=2.0, stride_s=0.8, mode="streaming", batch_size=3)
    rate = 5.0 if name.startswith("movinet") else predictor.spec.length / 2.0
    length = int(np.ceil(9.7 * rate - 0.5))
    net = predictor.module.net
    with torch.inference_mode():
        features, _ = net.stream_features(
            clip_of(predictor, path, length, rate), net.stream_init(1, predictor.spec.size)
        )
        times = (np.arange(length) + 0.5) / rate
        for (start, end), row in zip(timeline.spans.tolist(), timeline.probabilities, strict=True):
            inside = (start - 1e-6 <= times) & (times < end - 1e-6)  # clocks are rounded
            own = features[:, torch.from_numpy(inside)]
            np.testing.assert_allclose(row, net.from_features(own).softmax(-1)[0], atol=1e-5)


def test_each_frame_of_a_stream_is_computed_once(
    nets: dict[str, Predictor], make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, computed = nets["movinet_stream_tiny"], 0
    step = Predictor.stream_features

    def counted(self: Predictor, frames: torch.Tensor, state: object) -> object:
        nonlocal computed
        computed += frames.shape[1]
        return step(self, frames, state)

    monkeypatch.setattr(Predictor, "stream_features", counted)
    predictor.timeline(make_video(frames=97), window_s=4.0, stride_s=0.2, mode="streaming")
    assert computed == 48  # 9.7 s at 5 frames a second


def test_what_cannot_stream_says_so(nets: dict[str, Predictor], make_video: MakeVideo) -> None:
    path, ask = make_video(), {"window_s": 1.0, "stride_s": 1.0, "mode": "streaming"}
    other = named("r3d_tiny")
    with pytest.raises(InvalidSetting, match=r"r3d_tiny cannot stream.*movinet_a0_stream"):
        other.timeline(path, **ask)  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="looks into the future too and cannot stream"):
        named("movinet_tiny").timeline(path, **ask)  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="several models; name one"):
        FusedPredictor([other, other]).timeline(path, **ask)  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="one clip; got views 3x1, use 1x1"):
        nets["tsm_online_tiny"].timeline(path, views=Views(3, 1), **ask)  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="Unknown mode 'stream'; use 'windows' or 'streaming'"):
        other.timeline(path, window_s=1.0, stride_s=1.0, mode="stream")  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match=r"no frame from 0\.00 to 0\.05 s; take longer windows"):
        nets["movinet_stream_tiny"].timeline(path, window_s=0.05, stride_s=0.05, mode="streaming")


class Killed(BaseException):
    """Stands in for the signal that ends a program."""


def killed_after(windows: int) -> Callable[[int, int], None]:
    def advance(done: int, total: int) -> None:
        if done >= windows:
            raise Killed

    return advance


@pytest.mark.parametrize(
    ("name", "mode", "precision"),
    [
        ("late_fusion_tiny", "windows", "fp32"),
        ("movinet_stream_tiny", "streaming", "fp32"),
        ("tsm_online_tiny", "streaming", "fp32"),
        ("tsm_online_tiny", "streaming", "bf16"),
    ],
)
def test_a_stopped_timeline_goes_on_from_its_windows_so_far(
    make_video: MakeVideo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    mode: str,
    precision: str,
) -> None:
    predictor, path = named(name, precision), make_video(frames=97)
    monkeypatch.setattr(room, "_EVERY_S", 0.0)

    def timeline(**more: object) -> Timeline:
        return predictor.timeline(path, window_s=2.0, stride_s=0.5, batch_size=2, mode=mode, **more)  # type: ignore[arg-type]

    whole, keep, told = timeline(), tmp_path / "out.jsonl", []
    with pytest.raises(Killed):
        timeline(keep=keep, advance=killed_after(10))
    rest = timeline(keep=keep, advance=lambda done, total: told.append((done, total)))
    assert told[0][0] >= 8  # what was stored before the kill is not computed again
    assert told[-1] == (len(whole), len(whole))
    np.testing.assert_array_equal(rest.spans, whole.spans)
    np.testing.assert_allclose(rest.probabilities, whole.probabilities, atol=1e-6)
    assert not any(each.suffix == ".part" for each in tmp_path.iterdir())
    told.clear()
    timeline(keep=keep, advance=lambda done, total: told.append((done, total)))
    assert told[0] == (0, len(whole))  # nothing is left of what is done


def test_a_frame_in_the_middle_of_a_boundary_is_in_the_same_window_in_any_batch(
    nets: dict[str, Predictor], make_video: MakeVideo
) -> None:
    predictor, path = nets["movinet_stream_tiny"], make_video(frames=60)
    alone, together = (
        predictor.timeline(path, window_s=2.1, stride_s=0.1, mode="streaming", batch_size=size)
        for size in (1, 64)
    )
    np.testing.assert_allclose(alone.probabilities, together.probabilities, atol=1e-7)


def test_a_stopped_timeline_still_tells_of_the_damage_before_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, path, keep = named("late_fusion_tiny"), tmp_path / "damaged.mp4", tmp_path / "out.jsonl"
    generator = np.random.default_rng(0)
    with VideoWriter(path, (48, 64), 10, keyframe_interval=10) as writer:
        for _ in range(97):
            writer.write(generator.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    content = bytearray(path.read_bytes())
    first, length = len(content) // 6, len(content) // 40
    content[first : first + length] = generator.bytes(length)
    path.write_bytes(content)
    monkeypatch.setattr(room, "_EVERY_S", 0.0)
    ask = {"window_s": 2.0, "stride_s": 0.5, "batch_size": 2, "keep": keep}
    with pytest.warns(DamagedVideo), pytest.raises(Killed):
        predictor.timeline(path, advance=killed_after(10), **ask)  # type: ignore[arg-type]
    rest = predictor.timeline(path, **ask)  # type: ignore[arg-type]
    assert rest.notes
    assert all("damaged" in note for note in rest.notes)
    with Video.open(path) as video, pytest.warns(DamagedVideo):
        decoded = set(video.frames_at(video.frame_times()).times.tolist())
    with pytest.warns(DamagedVideo):
        windows = list(window_clips(path, predictor.specs, 2.0, 0.5, Views(), predictor.opening))
    for window in windows:  # the time of a frame that stands in is its own
        assert {time_s for clip in window.clips[0] for time_s in clip.times.tolist()} <= decoded


def test_windows_of_another_precision_or_other_files_are_not_taken_over(
    make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, keep, told = tmp_path / "v.mp4", tmp_path / "out.jsonl", []
    path.write_bytes(make_video(frames=40).read_bytes())
    monkeypatch.setattr(room, "_EVERY_S", 0.0)

    def timeline(predictor: Predictor, advance: Callable[[int, int], None]) -> None:
        predictor.timeline(path, window_s=1.0, stride_s=0.5, batch_size=2, keep=keep, advance=advance)

    def note(done: int, total: int) -> None:
        told.append(done)

    with pytest.raises(Killed):
        timeline(named("late_fusion_tiny", "bf16"), killed_after(4))
    timeline(named("late_fusion_tiny"), note)
    assert told[0] == 0
    told.clear()
    flow = named("tsn_flow_tiny")
    with pytest.raises(Killed):
        timeline(flow, killed_after(4))
    FlowExtractor().extract(path, tmp_path / "v.mp4.flow.npz")
    timeline(flow, note)
    assert told[0] == 0  # what was estimated from the frames is not what the file holds


def test_windows_of_other_settings_are_not_taken_over(
    make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, path, keep = named("late_fusion_tiny"), make_video(frames=97), tmp_path / "out.jsonl"
    monkeypatch.setattr(room, "_EVERY_S", 0.0)
    with pytest.raises(Killed):
        predictor.timeline(path, window_s=2.0, stride_s=0.5, batch_size=2, keep=keep, advance=killed_after(6))
    told: list[int] = []
    predictor.timeline(
        path,
        window_s=2.0,
        stride_s=1.0,
        batch_size=2,
        keep=keep,
        advance=lambda done, total: told.append(done),
    )
    assert told[0] == 0
