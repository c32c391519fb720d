"""`WindowRecognition`: clips of the last seconds, for networks that do not stream and for several inputs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kinesphere.annotations.extract.registry import EXTRACTORS, Following
from kinesphere.clips.clip import stack
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.source import WrappedSource
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core.errors import InvalidSetting
from kinesphere.live.ring import Ring
from kinesphere.live.sampler import Sampler
from kinesphere.live.settings import LiveSettings
from kinesphere.live.shown import Inbox, Shown
from kinesphere.predict.prediction import Prediction
from kinesphere.predict.together import nobody_note
from kinesphere.predict.video_predictor import VideoPredictor

# A model that is busy may come so much late for a window before its first frames are forgotten.
_SLACK_S = 1.0
# Frames of a source are at most so far apart where a clip counts them, for what is kept beside them.
_LONG_FRAME_S = 0.2
# How often a thread that waits for frames looks whether it is to end, and how long its end is waited for.
_WAKES_S, _PATIENCE_S = 0.5, 10.0
_ONE_VIEW = Views()


class WindowRecognition:
    """Answers every few moments about the window that ends there.

    The frames of the last seconds are kept at the size that the clips' readers ask for, whatever the model is
    doing, and read as those of a file are. What is extracted of frames, such as joints, is kept beside them:
    a window then ends with the newest frame that was looked at.

    Args:
        predictor: What answers.
        name: Name of the source.
        settings: Length of windows, and their distance.
        inbox: Where the frames wait with which windows end.

    Raises:
        See `recognition`.
    """

    def __init__(self, predictor: VideoPredictor, name: str, settings: LiveSettings, inbox: Inbox) -> None:
        self._predictor, self._name, self._settings, self._inbox = predictor, name, settings, inbox
        self._ring = Ring(name, predictor.specs)
        self._sampler = Sampler()
        self._segment = -1
        following = _followings(predictor, settings)
        patient = settings.as_fast_as_possible
        self._companion = _Companion(following, patient, inbox, self._due) if following else None

    def take(self, shown: Shown) -> None:
        """See `Recognition.take`."""
        length_s = _length_s(self._predictor.specs, shown.frame_s, self._settings)
        self._begin(shown.segment)
        self._ring.add(shown.time_s, shown.picture, length_s + self._stride_s(length_s) + _SLACK_S)
        if self._companion is not None:
            self._companion.take(shown)
        else:
            self._due(shown)

    def answer(self, shown: Shown) -> Prediction | None:
        """See `Recognition.answer`."""
        specs = self._predictor.specs
        end_s = shown.time_s + shown.frame_s
        start_s = end_s - _length_s(specs, shown.frame_s, self._settings)
        if shown.segment != self._segment or start_s < -shown.frame_s / 2:
            return None
        window = self._ring.window(start_s, shown.time_s, shown.frame_s)
        known = {} if self._companion is None else self._companion.content(start_s)
        if window is None or known is None:
            return None
        source = WrappedSource(window, known=known, preparation=self._predictor.opening.preparation)
        span = (max(start_s, 0.0), end_s)
        inputs = [
            stack(MODALITIES.get(spec.modality).read(source, spec, span, views=_ONE_VIEW))[None]
            for spec in specs
        ]
        [row] = self._predictor.answers(inputs, _ONE_VIEW, [f"{self._name} at {shown.time_s:.2f} s"])
        notes = nobody_note(self._predictor, [x[0] for x in inputs])
        rejection = self._predictor.rejection
        return Prediction(row, self._predictor.labels, self._name, span, 1, notes, rejection)

    def end(self, error: BaseException | None) -> None:
        """See `Recognition.end`."""
        (self._inbox if self._companion is None else self._companion).end(error)

    def close(self) -> None:
        """See `Recognition.close`."""
        if self._companion is not None:
            self._companion.close()
        self._ring.clear()

    def _due(self, shown: Shown) -> None:
        """Put a frame into the inbox where a window ends with it."""
        length_s = _length_s(self._predictor.specs, shown.frame_s, self._settings)
        if self._sampler.picks(shown.time_s, self._stride_s(length_s), shown.frame_s):
            self._inbox.put(shown)

    def _begin(self, segment: int) -> None:
        if segment != self._segment:
            self._segment = segment
            self._ring.clear()
            self._sampler.begin()

    def _stride_s(self, length_s: float) -> float:
        return self._settings.stride_s or length_s / 4


class _Companion:
    """Extracts what belongs to frames, on a thread of its own: of the newest one, again and again.

    Args:
        following: By modality, what extracts.
        patient: Whether every frame is waited for.
        outbox: Told of the end, after the last frame.
        done: Told of every frame that was looked at.
    """

    def __init__(
        self,
        following: Mapping[str, Following],
        patient: bool,
        outbox: Inbox,
        done: Callable[[Shown], None],
    ) -> None:
        self._following, self._outbox, self._done = following, outbox, done
        self._inbox = Inbox(patient=patient)
        self._samplers = {name: Sampler() for name in following}
        self._segment = -1
        self._thread = threading.Thread(target=self._run, name="live-extraction", daemon=True)
        self._thread.start()

    def take(self, shown: Shown) -> None:
        """Look at a frame soon, unless a newer one comes before."""
        self._inbox.put(shown)

    def content(self, since_s: float) -> dict[str, Any] | None:
        """By modality what files would hold of the frames since a time; None where one knows nothing yet."""
        found = {name: each.content(since_s) for name, each in self._following.items()}
        return None if None in found.values() else found

    def end(self, error: BaseException | None) -> None:
        """Nothing more comes."""
        self._inbox.end(error)

    def close(self) -> None:
        """End the thread and free what extracts."""
        self._inbox.end()
        self._thread.join(_PATIENCE_S)
        for each in self._following.values():
            each.close()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            while not self._inbox.is_over:
                shown = self._inbox.take(_WAKES_S)
                if isinstance(shown, Shown):
                    self._look(shown)
        except BaseException as raised:  # it belongs to whoever takes the answers
            error = raised
        self._outbox.end(error)

    def _look(self, shown: Shown) -> None:
        if shown.segment != self._segment:
            self._segment = shown.segment
            for name, each in self._following.items():
                each.restart()
                self._samplers[name].begin()
        looked = False
        for name, each in self._following.items():
            step_s = 1 / each.fps if each.fps else 0.0
            if not step_s or self._samplers[name].picks(shown.time_s, step_s, shown.frame_s):
                each.take(shown.frame.pixels, shown.time_s)
                looked = True
        if looked:
            self._done(shown)


def _followings(predictor: VideoPredictor, settings: LiveSettings) -> dict[str, Following]:
    """What extracts those inputs of a model that are not made of frames as they are.

    Raises:
        InvalidSetting: If one of them is not extracted from a live source.
        MissingExtra: If what extracts is not installed.
        MissingWeights: If a model that extracts is not here and cannot be downloaded.
    """
    found: dict[str, Following] = {}
    keep_s = _length_s(predictor.specs, _LONG_FRAME_S, settings) + _SLACK_S
    for spec in predictor.specs:
        sidecar = MODALITIES.get(spec.modality).sidecar
        if sidecar is None or not sidecar.needed or spec.modality in found:
            continue
        extracting = EXTRACTORS.get(spec.modality) if spec.modality in EXTRACTORS else None
        if extracting is None or extracting.following is None:
            what = MODALITIES.get(spec.modality).what
            raise InvalidSetting(
                f"{predictor.name} needs {what}, which are not extracted from a live source; write the "
                "stream to a file and use `kinesphere predict`."
            )
        opening = predictor.opening
        extractor = extracting.extractor(None, spec, opening.preparation, opening.pose_model)
        found[spec.modality] = extracting.following(extractor, keep_s)
    return found


def _length_s(specs: Sequence[ClipSpec], frame_s: float, settings: LiveSettings) -> float:
    """Seconds that the longest of the clips by some contracts covers, of a source with such frames."""
    lengths = []
    for spec in specs:
        if spec.sampling.kind == "uniform":
            lengths.append(settings.window_s)
        else:
            frames = (spec.length - 1) * spec.sampling.interval + 1
            lengths.append(frames * (frame_s if spec.fps is None else 1 / spec.fps))
    return max(lengths)
