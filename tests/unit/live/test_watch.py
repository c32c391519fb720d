"""Answers about a source: of which frame, that nothing waits, and that they are those to the same clips."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.stamped import read_stamp, stamp

from kinesphere.clips.modalities import rgb
from kinesphere.clips.spec import Sampling
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidSetting, UnreadableVideo
from kinesphere.live import AnnotatedCopy, Incident, LiveFrame, LiveResult, LiveSettings, watch
from kinesphere.live.feed import Picture
from kinesphere.live.shown import Inbox, Shown
from kinesphere.live.windows import WindowRecognition
from kinesphere.models import create_model
from kinesphere.predict import Predictor
from kinesphere.video import Video, VideoWriter

from .worlds import Connected, VirtualClock, World

EVERY = LiveSettings(rate="source", as_fast_as_possible=True, warm_up=0)


@dataclass
class Told:
    """An observer that remembers."""

    frames: list[int] = field(default_factory=list)
    results: list[LiveResult] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    closed: int = 0

    def frame(self, frame: LiveFrame) -> None:
        self.frames.append(frame.number)

    def result(self, result: LiveResult) -> None:
        self.results.append(result)

    def incident(self, incident: Incident) -> None:
        self.incidents.append(incident)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(scope="module")
def stamped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of 25 frames, 256 pixels wide, that tell their numbers."""
    path = tmp_path_factory.mktemp("stamped") / "stamped.mp4"
    rng = np.random.default_rng(0)
    with VideoWriter(path, (128, 256), 25, threads=1) as writer:
        for number in range(50):
            image = np.repeat(np.repeat(rng.integers(0, 255, (16, 32, 3), np.uint8), 8, 0), 8, 1)
            writer.write(stamp(image, number))
    return path


@pytest.fixture(scope="module")
def windowed(streaming: Predictor) -> Predictor:
    """A network of clips of 8 frames at 10 a second."""
    torch.manual_seed(1)
    model = create_model("r3d_tiny", streaming.labels)
    model.specs = (model.specs[0].with_(sampling=Sampling("dense", 8), fps=10.0),)
    return Predictor(model, Compute.choose("cpu", "fp32"), name="windowed")


def results(found: list[LiveResult | Incident]) -> list[LiveResult]:
    return [each for each in found if isinstance(each, LiveResult)]


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("live")}


def test_answers_name_their_frames_and_an_overlay_is_drawn_on_them(
    streaming: Predictor, stamped: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.mp4"
    settings = LiveSettings(as_fast_as_possible=True, warm_up=0)
    with watch(stamped, streaming, settings, [AnnotatedCopy(copy)]) as watching:
        found = results(list(watching))
    assert [result.frame.number for result in found] == list(range(0, 50, 5))
    assert all(read_stamp(result.frame.pixels)[0] == result.frame.number for result in found)
    with Video.open(copy) as video:
        shown = [read_stamp(frame.data.transpose(1, 2, 0))[0] for frame in video.stream()]
    # The panel lies over the squares' left half, and numbers below 2^16 stand in the right one.
    assert [number & 0xFFFF for number in shown] == list(range(0, 50, 5))
    assert watching.summary.sent == watching.summary.seen == 10
    assert watching.summary.decoded == 50
    assert not threads()


def test_frame_by_frame_equals_the_whole_clip(streaming: Predictor, stamped: Path) -> None:
    # Frames at 5 a second; the network's own clip is four.
    settings = LiveSettings(as_fast_as_possible=True, renew_clips=0)
    with watch(stamped, streaming, settings) as watching:
        answers = [result.prediction.probabilities for result in results(list(watching))]
    spec = streaming.spec.with_(sampling=Sampling("dense", 1))
    with Video.open(stamped) as video:
        shown = [rgb.read(video, spec, (n / 5, n / 5 + 0.04))[0].data for n in range(4)]
    for length in (1, 3, 4):
        whole = streaming.probabilities([torch.cat(shown[:length])[None, None]])[0].double().numpy()
        assert np.abs(answers[length - 1] - whole).max() < 1e-5


def test_a_long_stream_is_answered_about_its_latest_frames(streaming: Predictor) -> None:
    clock = VirtualClock()
    with watch(World(clock, ends_s=1), streaming, EVERY, clock=clock) as watching:
        found = results(list(watching))
    length = streaming.spec.length
    seen = [round((r.prediction.span[1] - r.prediction.span[0]) / 0.04) for r in found]
    assert seen == [min(n + 1, length) for n in range(len(seen))]


def test_windows_are_answered_as_those_of_a_file(windowed: Predictor, stamped: Path) -> None:
    settings = LiveSettings(as_fast_as_possible=True, stride_s=0.2)
    with watch(stamped, windowed, settings) as watching:
        found = results(list(watching))
    assert [result.frame.number for result in found] == list(range(20, 50, 5))
    for result in found:
        assert result.prediction.span[1] == pytest.approx(result.frame.time_s + 0.04)
        same = windowed.predict(stamped, span=result.prediction.span)
        assert np.abs(same.probabilities - result.prediction.probabilities).max() < 1e-5


def test_a_slow_consumer_sees_the_newest_frame_and_drops_are_counted(streaming: Predictor) -> None:
    clock, shown = VirtualClock(), threading.Semaphore(1)
    world = World(clock, ends_s=4, gate=lambda: shown.acquire(timeout=10) and None)
    with watch(world, streaming, LiveSettings(rate="source", warm_up=0), clock=clock) as watching:
        found = [next(watching)]
        for _ in range(15):  # five frames come while one is looked at
            before = watching.summary.decoded
            for _ in range(5):
                shown.release()
            while watching.summary.decoded < before + 5:
                threading.Event().wait(0.001)
            found.append(next(watching))
        summary = watching.summary
        shown.release(1000)
    assert [result.frame.number for result in found] == list(range(0, 76, 5))
    assert all(result.latency_s < 0.05 for result in found)
    assert (summary.sent, summary.seen, summary.dropped) == (76, 16, 60)
    assert not threads()


def test_after_a_gap_the_model_begins_anew_and_everybody_is_told(streaming: Predictor) -> None:
    clock, told = VirtualClock(), Told()
    world = World(clock, [(1.0, 2.0, "cut")], ends_s=3)
    with watch(world, streaming, EVERY, [told], clock=clock) as watching:
        found = list(watching)
    kinds = [each.kind if isinstance(each, Incident) else "" for each in found]
    back = kinds.index("back")
    assert kinds[back - 1] == "lost"
    assert [kind for kind in kinds if kind] == ["lost", "back"]
    first = results(found[back:])[0]
    assert first.prediction.span == pytest.approx((first.frame.time_s, first.frame.time_s + 0.04), abs=1e-3)
    assert told.results == results(found)
    assert [each.kind for each in told.incidents] == ["lost", "back"]
    assert told.closed == 1


def test_windows_do_not_reach_over_a_gap(windowed: Predictor) -> None:
    clock = VirtualClock()
    settings = LiveSettings(as_fast_as_possible=True, stride_s=0.2)
    world = World(clock, [(1.5, 2.0, "cut")], ends_s=4)
    with watch(world, windowed, settings, clock=clock) as watching:
        spans = [result.prediction.span for result in results(list(watching))]
    assert any(end < 1.5 for _, end in spans)
    assert all(end < 1.6 or start > 1.9 for start, end in spans)


@pytest.mark.parametrize("kind", ["dense", "uniform"])
def test_a_frame_that_comes_meanwhile_is_not_in_the_window(windowed: Predictor, kind: str) -> None:
    model = create_model("r3d_tiny", windowed.labels)
    model.specs = (model.specs[0].with_(sampling=Sampling(kind, 8), fps=None),)  # type: ignore[arg-type]
    predictor = Predictor(model, Compute.choose("cpu", "fp32"), name="windowed")
    looking = WindowRecognition(predictor, "camera", LiveSettings(window_s=0.4), Inbox())
    rng = np.random.default_rng(0)
    times = [*(0.04 * n for n in range(20)), 0.77]  # frames of a network come in bursts
    shown = [
        Shown(n, s, s, Picture.of(rng.integers(0, 255, (48, 64, 3), np.uint8)), 0, 0.04)
        for n, s in enumerate(times)
    ]
    answers = []
    for each in shown:
        looking.take(each)
        if each.number >= 19:
            answers.append(looking.answer(shown[19]))
    [one], [other] = answers
    np.testing.assert_array_equal(one.prediction.probabilities, other.prediction.probabilities)


def test_what_fails_ends_it_and_leaves_nothing_behind(streaming: Predictor) -> None:
    class Broken(Told):
        def frame(self, frame: LiveFrame) -> None:
            raise RuntimeError("disk full")

    broken, clock = Broken(), VirtualClock()
    with pytest.raises(RuntimeError, match="disk full"):
        list(watch(World(clock), streaming, EVERY, [broken], clock=clock))
    assert broken.closed == 1
    assert not threads()


def test_what_fails_at_the_end_leaves_nobody_open(streaming: Predictor) -> None:
    class Full(Told):
        def close(self) -> None:
            raise OSError("disk full")

    clock, told = VirtualClock(), Told()
    with pytest.raises(OSError, match="disk full"):
        list(watch(World(clock), streaming, EVERY, [Full(), told], clock=clock))
    assert told.closed == 1


def test_an_iterator_that_is_left_early_stops_reading(streaming: Predictor) -> None:
    clock, told = VirtualClock(), Told()
    with watch(World(clock, ends_s=1e6), streaming, EVERY, [told], clock=clock) as watching:
        next(watching)
    assert told.closed == 1
    assert not threads()
    assert list(watching) == []


def test_a_missing_file_and_a_strange_address_are_refused(streaming: Predictor, tmp_path: Path) -> None:
    with pytest.raises(UnreadableVideo, match=r"nowhere\.mp4"):
        watch(tmp_path / "nowhere.mp4", streaming)
    with pytest.raises(InvalidSetting, match=r"gopher://.*\*\*\*@x"):
        watch("gopher://me:secret@x/y", streaming)
    with pytest.raises(UnreadableVideo, match="cannot be reached"):
        list(watch("rtsp://127.0.0.1:9/none", streaming))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("rate", "fast"), ("seconds", -1.0), ("gap_s", 0.0), ("warm_up", -1), ("renew_clips", -1)],
)
def test_settings_that_cannot_work_are_refused(setting: str, value: object) -> None:
    with pytest.raises(InvalidSetting, match=setting.replace("rate", "live rate")):
        LiveSettings(**{setting: value})  # type: ignore[arg-type]


def test_observers_of_the_clock_hear_of_it_after_answers_and_while_the_source_is_away(
    streaming: Predictor,
) -> None:
    clock, heard_away = VirtualClock(), threading.Event()

    class Gone(World):
        def connect(self) -> Connected:
            if self.attempts:
                heard_away.wait(10)
            return super().connect()

    class Clocked(Told):
        def __init__(self) -> None:
            super().__init__()
            self.heard: list[tuple[float, int]] = []

        def clock(self, time_s: float) -> None:
            self.heard.append((time_s, len(self.results)))
            if self.incidents:
                heard_away.set()

    told = Clocked()
    with watch(Gone(clock, [(1.0, 2.0, "cut")], ends_s=3), streaming, EVERY, [told], clock=clock) as watching:
        list(watching)
    times = [time_s for time_s, _ in told.heard]
    assert times == sorted(times)
    assert {each.frame.time_s for each in told.results} <= set(times)
    assert heard_away.is_set()


def test_what_goes_on_by_itself_does_not_wait_for_a_model(streaming: Predictor) -> None:
    settings = LiveSettings(as_fast_as_possible=True)
    with pytest.raises(InvalidSetting, match=r"camera 7 goes on by itself: as fast as possible is for files"):
        watch(7, streaming, settings)


def test_a_window_that_begins_in_a_pause_begins_with_the_frame_that_was_displayed(
    windowed: Predictor,
) -> None:
    looking = WindowRecognition(windowed, "camera", LiveSettings(), Inbox())
    # 0.3 s without a frame, less than a gap, in which the window of 0.8 s that ends at 1.32 s begins.
    times = [*(0.04 * n for n in range(11)), *(0.7 + 0.04 * n for n in range(16))]
    rng = np.random.default_rng(0)
    for n, s in enumerate(times):
        shown = Shown(n, s, s, Picture.of(rng.integers(0, 255, (48, 64, 3), np.uint8)), 0, 0.04)
        looking.take(shown)
    [answer] = looking.answer(shown)
    assert answer.prediction.span == pytest.approx((1.34 - 0.8, 1.34))
