from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.clips.clip import stack
from kinesphere.clips.modalities import rgb
from kinesphere.clips.spec import Sampling, Views
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidSetting, MissingWeights, SpanOutsideVideo, UnreadableVideo
from kinesphere.core.labels import LabelSet
from kinesphere.core.skipped import Skipped
from kinesphere.core.threads import UsableThreads
from kinesphere.models import create_model
from kinesphere.models.checkpoint import save_model
from kinesphere.models.runtime.measure import input_shape
from kinesphere.predict import Prediction, Predictor, load
from kinesphere.predict.bulk import source_of
from kinesphere.predict.prediction import ONE_FRAME
from kinesphere.video import Video
from kinesphere.video.cursor import Cursor

from .conftest import MakeVideo


def test_prediction_equals_the_network_on_the_contract_s_pixels(
    predictor: Predictor, make_video: MakeVideo
) -> None:
    path = make_video()
    prediction = predictor.predict(path)
    with Video.open(path) as video:
        clip = rgb.read(video, predictor.spec)[0]
    with torch.inference_mode():
        logits = predictor.module(rgb.normalise(clip.data[None], predictor.spec))
    np.testing.assert_allclose(prediction.probabilities, logits.softmax(-1)[0].numpy(), atol=1e-5)
    assert prediction.source == str(path)
    assert prediction.span == (0.0, 4.0)
    assert prediction.labels == predictor.labels


def test_views_are_averaged_as_probabilities(predictor: Predictor, make_video: MakeVideo) -> None:
    path = make_video()
    prediction = predictor.predict(path, views=Views(2, 3))
    with Video.open(path) as video:
        clips = rgb.read(video, predictor.spec, views=Views(2, 3))
    each = [predictor.probabilities([stack([clip])[None]])[0] for clip in clips]
    assert prediction.views == 6
    np.testing.assert_allclose(prediction.probabilities, torch.stack(each).mean(0).numpy(), atol=1e-5)


def test_many_clips_go_through_in_several_passes(
    predictor: Predictor, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = predictor.predict(make_video(), views=Views(5, 3)).probabilities
    monkeypatch.setattr("kinesphere.predict.predictor._CLIPS_PER_PASS", {"cpu": 4})
    np.testing.assert_allclose(
        predictor.predict(make_video(), views=Views(5, 3)).probabilities, whole, atol=1e-6
    )


def test_span_is_kept_and_cut_to_the_video(predictor: Predictor, make_video: MakeVideo) -> None:
    assert predictor.predict(make_video(), span=(1.0, 2.0)).span == (1.0, 2.0)
    assert predictor.predict(make_video(), span=(1.0, 99.0)).span == (1.0, 4.0)
    with pytest.raises(SpanOutsideVideo):
        predictor.predict(make_video(), span=(50.0, 60.0))


def test_a_video_of_one_frame_is_noted(predictor: Predictor, make_video: MakeVideo) -> None:
    path = make_video(frames=1)
    assert predictor.predict(path).to_json()["notes"] == [ONE_FRAME]
    assert predictor.timeline(path, window_s=1, stride_s=1).notes == (ONE_FRAME,)
    assert predictor.predict(make_video()).notes == ()


def test_bytes_are_a_source(predictor: Predictor, make_video: MakeVideo) -> None:
    data = make_video().read_bytes()
    prediction = predictor.predict(data)
    assert prediction.source == f"{len(data)} bytes"
    np.testing.assert_allclose(
        prediction.probabilities, predictor.predict(make_video()).probabilities, atol=1e-6
    )


def test_many_videos_in_order_with_the_bad_ones_named(
    predictor: Predictor, make_video: MakeVideo, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"not a video")
    videos = [make_video(seed=seed, frames=20 + seed) for seed in range(5)]
    sources = [videos[0], bad, *videos[1:], tmp_path / "gone.mp4"]
    found = list(predictor.predict_many(sources, batch_size=3))
    assert [source_of(each) for each in found] == [str(source) for source in sources]
    assert [isinstance(each, Skipped) for each in found] == [False, True, False, False, False, False, True]
    gone = found[-1]
    assert isinstance(gone, Skipped)
    assert "does not exist" in gone.reason
    for each in found:
        if isinstance(each, Prediction):
            np.testing.assert_allclose(
                each.probabilities, predictor.predict(each.source).probabilities, atol=1e-5
            )


def test_many_videos_are_read_only_a_little_ahead(predictor: Predictor, make_video: MakeVideo) -> None:
    taken = 0

    def endless() -> Iterable[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield make_video()

    answers = predictor.predict_many(endless(), batch_size=2)
    next(iter(answers))
    assert taken <= 6
    answers.close()  # type: ignore[attr-defined]


def test_timeline_says_of_each_window_what_predict_says(predictor: Predictor, make_video: MakeVideo) -> None:
    path = make_video(frames=97)
    timeline = predictor.timeline(path, window_s=2, stride_s=0.7, views=Views(2, 1), batch_size=3)
    assert timeline.spans[-1, 1] == pytest.approx(9.7)
    for i in range(len(timeline)):
        start, end = timeline.spans[i].tolist()
        alone = predictor.predict(path, span=(start, end), views=Views(2, 1))
        np.testing.assert_allclose(timeline.probabilities[i], alone.probabilities, atol=1e-5)


def test_short_video_is_one_window(predictor: Predictor, make_video: MakeVideo) -> None:
    assert len(predictor.timeline(make_video(), window_s=60, stride_s=30)) == 1


def test_overlapping_windows_decode_each_packet_once(
    predictor: Predictor, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(frames=400)
    fed = 0
    feed = Cursor._feed

    def count(self: Cursor, packet: object) -> None:
        nonlocal fed
        fed += packet is not None
        feed(self, packet)  # type: ignore[arg-type]

    monkeypatch.setattr(Cursor, "_feed", count)
    timeline = predictor.timeline(path, window_s=4, stride_s=0.5)
    assert len(timeline) == 73
    assert fed <= 400


def test_more_windows_do_not_work_out_the_times_of_all_frames_more_often(
    predictor: Predictor, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, work_out = make_video(frames=120), Video.frame_times
    asked: list[str] = []

    def count(self: Video) -> np.ndarray:
        asked.append("times")
        return work_out(self)

    monkeypatch.setattr(Video, "frame_times", count)
    often = []
    for stride_s in (4.0, 0.5):
        asked.clear()
        predictor.timeline(path, window_s=4, stride_s=stride_s)
        often.append(len(asked))
    assert often[0] == often[1]


def test_several_labels_have_independent_probabilities(make_video: MakeVideo) -> None:
    recogniser = create_model("r3d_tiny", LabelSet(("hop", "skip", "jump"), multi=True))
    predictor = Predictor(recogniser, Compute("cpu", "fp32", True))
    with Video.open(make_video()) as video:
        clip = rgb.read(video, predictor.spec)[0]
    with torch.inference_mode():
        logits = predictor.module(rgb.normalise(clip.data[None], predictor.spec))
    np.testing.assert_allclose(
        predictor.predict(make_video()).probabilities, logits.sigmoid()[0].numpy(), atol=1e-5
    )


def test_optimised_network_says_the_same(predictor: Predictor, make_video: MakeVideo) -> None:
    plain = Predictor(predictor.module, predictor.compute, optimise=False)
    np.testing.assert_allclose(
        plain.predict(make_video()).probabilities, predictor.predict(make_video()).probabilities, atol=1e-5
    )


def test_threads_follow_the_model_the_pass_and_what_is_asked_for(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UsableThreads, "here", lambda: UsableThreads(8, stated=False))
    free = Predictor(predictor.module, predictor.compute)
    assert (free.threads(1), free.threads(16), free.threads(10**6)) == (1, 3, 3)  # of 16 clips a pass
    asked = Predictor(predictor.module, Compute("cpu", "fp32", True, threads=3))
    before = torch.get_num_threads()
    seen: list[int] = []

    def net(clips: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return clips.new_zeros(len(clips), 3)

    monkeypatch.setattr(asked, "_net", net)
    asked.probabilities([torch.zeros((1, *input_shape(predictor.spec)), dtype=torch.uint8)])
    assert seen == [3]
    assert torch.get_num_threads() == before


def test_batches_suit_the_network_and_the_memory(
    predictor: Predictor, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert predictor.windows_at_once(Views()) == 16
    assert predictor.windows_at_once(Views(3, 5)) == 1
    large = predictor.spec.with_(sampling=Sampling("dense", 50), size=(172, 172), short_side_px=196)
    recogniser = create_model("r3d_tiny", predictor.labels, spec=large)
    assert Predictor(recogniser, predictor.compute).windows_at_once(Views()) == 3
    assert Predictor(recogniser, predictor.compute).windows_at_once(Views(), "streaming") == 16
    small = Predictor(predictor.module, predictor.compute)
    forward, tried = Predictor._forward, []

    def full(self: Predictor, clips: list[torch.Tensor]) -> torch.Tensor:
        tried.append(len(clips[0]))
        if len(clips[0]) > 4:
            raise torch.OutOfMemoryError
        return forward(self, clips)

    monkeypatch.setattr(Predictor, "_forward", full)
    video = make_video(frames=97)
    found = small.timeline(video, window_s=2, stride_s=0.5)
    assert tried == [16, 8, 4, 4, 4, 4, 1]
    assert small.windows_at_once(Views()) == 4
    monkeypatch.undo()
    alone = predictor.timeline(video, window_s=2, stride_s=0.5)
    np.testing.assert_allclose(found.probabilities, alone.probabilities, atol=1e-5)


def test_half_precision_agrees_with_single(predictor: Predictor, make_video: MakeVideo) -> None:
    half = Predictor(predictor.module, Compute("cpu", "bf16", True))
    np.testing.assert_allclose(
        half.predict(make_video()).probabilities, predictor.predict(make_video()).probabilities, atol=0.02
    )


def test_loaded_model_predicts_the_same(predictor: Predictor, make_video: MakeVideo, tmp_path: Path) -> None:
    save_model(predictor.module, tmp_path / "model.safetensors")
    for source in (tmp_path, tmp_path / "model.safetensors"):
        again = load(source, compute=predictor.compute)
        assert again.name == str(source)
        np.testing.assert_array_equal(
            again.predict(make_video()).probabilities, predictor.predict(make_video()).probabilities
        )


def test_wrong_input_is_refused(predictor: Predictor, make_video: MakeVideo, tmp_path: Path) -> None:
    with pytest.raises(UnreadableVideo, match="does not exist"):
        predictor.predict(tmp_path / "gone.mp4")
    with pytest.raises(InvalidSetting, match="at least one video; got batch_size=0"):
        predictor.predict_many([], batch_size=0)
    with pytest.raises(InvalidSetting, match="at least one window; got batch_size=0"):
        predictor.timeline(make_video(), window_s=1, stride_s=1, batch_size=0)
    with pytest.raises(InvalidSetting, match="would leave gaps"):
        predictor.timeline(make_video(), window_s=1, stride_s=2)
    with pytest.raises(MissingWeights, match=r"holds no model\.safetensors"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["all/runs/" + "x" * 300, "x" * 300 + ".safetensors"])
def test_a_name_that_no_file_can_have_is_not_there(name: str) -> None:
    with pytest.raises(MissingWeights, match="There is no model file or run folder"):
        load(name)
