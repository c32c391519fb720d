"""`Companion`: what is extracted of a live source's frames, such as joints, on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kinesphere.annotations.extract.registry import EXTRACTORS, Following
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidSetting
from kinesphere.live.sampler import Sampler
from kinesphere.live.settings import LiveSettings
from kinesphere.live.shown import Inbox, Shown
from kinesphere.predict.video_predictor import VideoPredictor

# Frames of a source are at most so far apart where a clip counts them, for what is kept beside them.
_LONG_FRAME_S = 0.2
# What is extracted is kept for so much longer than a window.
SLACK_S = 1.0
# How often a thread that waits for frames looks whether it is to end, and how long its end is waited for.
_WAKES_S, _PATIENCE_S = 0.5, 10.0


class Companion:
    """Extracts what belongs to frames, on a thread of its own: of the newest one, again and again.

    Frames that are patched because parts of them could not be decoded are not looked at: people have a gap
    there, over which they are followed, or after which their windows begin anew, as where they are hidden.

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
        if shown.is_damaged:  # whoever is found in patches would jump; a gap is known as one
            return
        for name, each in self._following.items():
            step_s = 1 / each.fps if each.fps else 0.0
            if not step_s or self._samplers[name].picks(shown.time_s, step_s, shown.frame_s):
                each.take(shown.frame.pixels, shown.time_s)
                looked = True
        if looked:
            self._done(shown)


def followings(
    predictor: VideoPredictor, settings: LiveSettings, also: Sequence[str] = ()
) -> dict[str, Following]:
    """By modality, what extracts those inputs of a model that are not made of frames as they are.

    Args:
        predictor: The model.
        settings: Length of windows, and how many people are told apart.
        also: Further modalities that are extracted.

    Raises:
        InvalidSetting: If one of them is not extracted from a live source.
        MissingExtra: If what extracts is not installed.
        MissingWeights: If a model that extracts is not here and cannot be downloaded.
    """
    found: dict[str, Following] = {}
    keep_s = length_s(predictor.specs, _LONG_FRAME_S, settings) + SLACK_S
    contracts = {spec.modality: spec for spec in predictor.specs if _is_extracted(spec.modality)}
    preparation = predictor.opening.preparation
    if settings.people:
        preparation = replace(preparation, max_people=settings.people)
    for modality in dict.fromkeys((*contracts, *also)):
        extracting = EXTRACTORS.get(modality) if modality in EXTRACTORS else None
        if extracting is None or extracting.following is None:
            what = MODALITIES.get(modality).what
            raise InvalidSetting(
                f"{predictor.name} needs {what}, which are not extracted from a live source; write the "
                "stream to a file and use `kinesphere predict`."
            )
        contract = contracts.get(modality)
        extractor = extracting.extractor(None, contract, preparation, predictor.opening.pose_model)
        found[modality] = extracting.following(extractor, keep_s)
    return found


def _is_extracted(modality: str) -> bool:
    sidecar = MODALITIES.get(modality).sidecar
    return sidecar is not None and sidecar.needed


def length_s(specs: Sequence[ClipSpec], frame_s: float, settings: LiveSettings) -> float:
    """Seconds that the longest of the clips by some contracts covers, of a source with such frames."""
    lengths = []
    for spec in specs:
        if spec.sampling.kind == "uniform":
            lengths.append(settings.window_s)
        else:
            frames = (spec.length - 1) * spec.sampling.interval + 1
            lengths.append(frames * (frame_s if spec.fps is None else 1 / spec.fps))
    return max(lengths)
