"""`watch`: answers about a source while it goes on."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from kinesphere.core.closing import Closing
from kinesphere.core.device import SpareMemory
from kinesphere.core.signals import held, raise_if_stopped
from kinesphere.live.camera import CameraFeed
from kinesphere.live.clock import Clock, SystemClock
from kinesphere.live.drain import Drain, Outlets
from kinesphere.live.feed import Feed
from kinesphere.live.latency import Latencies
from kinesphere.live.network import StreamFeed, cannot_wait
from kinesphere.live.observer import ClockObserver, FrameObserver
from kinesphere.live.recognition import recognition
from kinesphere.live.result import Answer, Incident, LiveResult
from kinesphere.live.settings import LiveSettings
from kinesphere.live.shown import Inbox, Shown
from kinesphere.live.summary import Summary
from kinesphere.predict.video_predictor import VideoPredictor
from kinesphere.video.container import Source

# How often waiting looks for a signal.
_WAKES_S = 0.2


def watch(
    source: int | str | Path | Feed,
    predictor: VideoPredictor,
    settings: LiveSettings = LiveSettings(),  # noqa: B008 (frozen)
    observers: Sequence[FrameObserver] = (),
    clock: Clock | None = None,
) -> Watching:
    """Answers and incidents of a source, in order, as they come.

    A thread reads the source without pause, whatever the model does, so that an answer is about what is
    there now; frames for which the model has no time are dropped after they were decoded, and counted. Where
    the source goes away, freezes or changes, it is connected anew and the model begins anew.

    Args:
        source: The number of a camera (`0`, `"0"` or `/dev/video0`), an `rtsp://`, `rtmp://`, `http://` or
            `udp://` address, a file, which is played at its own pace, or any `Feed`.
        predictor: What answers: frame by frame where its network streams, else about windows.
        settings: At which rate and for how long.
        observers: Told of frames, answers and incidents; closed at the end, whatever ends it.
        clock: What time it is; None for this machine's.

    Returns:
        An iterator, to be closed or used in a `with` statement; it ends with the source, and its `summary`
        is there at any time.

    Raises:
        VideoError: If the source does not open the first time, or a file cannot be decoded.
        InvalidSetting: If the model needs something that is not made of a live source.
        NotFinite: If its answer is not a number.
    """
    clock = clock or SystemClock()
    return Watching(feed_of(source, settings, clock), predictor, settings, observers, clock)


def feed_of(source: int | str | Path | Feed, settings: LiveSettings, clock: Clock) -> Feed:
    """What reads a source, not yet open.

    Raises:
        UnreadableVideo: If a file is missing.
        InvalidSetting: If an address is of a kind that is not read, or a camera was to wait for the model.
    """
    if not isinstance(source, int | str | Path):
        return source
    numbered = re.fullmatch(r"(/dev/video)?([0-9]+)", str(source))
    if isinstance(source, int) or (numbered is not None and (numbered[1] or not Path(source).exists())):
        camera = CameraFeed(int(str(source).removeprefix("/dev/video")), settings)
        if settings.as_fast_as_possible:
            raise cannot_wait(camera.name)
        return camera
    return StreamFeed(Source.of(source), settings, clock, paced=not settings.as_fast_as_possible)


class Watching(Closing):
    """See `watch`."""

    def __init__(
        self,
        feed: Feed,
        predictor: VideoPredictor,
        settings: LiveSettings,
        observers: Sequence[FrameObserver],
        clock: Clock,
    ) -> None:
        self.feed = feed
        self._clock, self._observers = clock, tuple(observers)
        self._clocked = [each for each in observers if isinstance(each, ClockObserver)]
        self._inbox = Inbox(patient=settings.as_fast_as_possible)
        self._latencies = Latencies(settings.warm_up)
        self._recognition = recognition(predictor, feed.name, settings, self._inbox)
        outlets = Outlets(self._recognition.take, self._inbox.tell, self._recognition.end)
        self._drain = Drain(feed, settings, clock, outlets, self._observers)
        self._started = self._closed = False
        self._answers: deque[tuple[Shown, float, Answer]] = deque()
        self._answered_s: float | None = (
            None  # a frame whose answers are told, and not yet that these are all
        )
        self._since = 0
        self._spare = SpareMemory(now=clock.now)

    @property
    def summary(self) -> Summary:
        """What came of it so far."""
        drain, late = self._drain, self._latencies
        return Summary(
            drain.decoded,
            self._inbox.sent,
            self._inbox.seen,
            drain.time_s,
            {str(kind): count for kind, count in drain.incidents.items()},
            late.percentile(50),
            late.percentile(95),
            late.percentile(99),
            drain.damaged,
            drain.undecodable,
        )

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> LiveResult | Incident:
        """The next answer or incident; waits for it."""
        try:
            if not self._started and not self._closed:
                self._started = True
                self._drain.start()
            while not self._closed:
                raise_if_stopped()
                if self._answers:
                    return self._tell(*self._answers.popleft())
                if self._answered_s is not None:
                    self._tell_clock(self._answered_s)
                taken = self._inbox.take(_WAKES_S)
                if isinstance(taken, Incident):
                    self._since = taken.number
                    for observer in self._observers:
                        observer.incident(taken)
                    return taken
                if taken is not None:
                    self._answer(taken)
                elif self._inbox.is_over or self._drain.waits_in_vain:
                    break
                elif self._drain.is_away:
                    self._tell_clock(self._drain.time_s)
        except BaseException:
            self.close()
            raise
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Stop reading, and close the observers."""
        if self._closed:
            return
        self._closed = True
        # Whatever one of them raises, the others are closed as well, in this order.
        with held(), ExitStack() as closing:
            for close in reversed([self._recognition.close, *(each.close for each in self._observers)]):
                closing.callback(close)
            self._inbox.end()
            self._recognition.end(None)
            self._drain.stop()

    def _answer(self, shown: Shown) -> None:
        """Have a frame answered at, unless it lies before an incident that was told of."""
        if shown.number < self._since:
            return
        found = self._recognition.answer(shown)
        latency_s = self._clock.now() - shown.captured_s
        self._answers.extend((shown, latency_s, each) for each in found)
        self._answered_s = shown.time_s
        self._spare.give_back()

    def _tell(self, shown: Shown, latency_s: float, answer: Answer) -> LiveResult:
        self._latencies.add(latency_s)
        said = answer.prediction
        result = LiveResult(shown.frame, said, latency_s, answer.person, answer.box, answer.begins)
        for observer in self._observers:
            observer.result(result)
        return result

    def _tell_clock(self, time_s: float) -> None:
        self._answered_s = None
        for observer in self._clocked:
            observer.clock(time_s)
