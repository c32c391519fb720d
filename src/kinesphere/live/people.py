"""`PeopleRecognition`: what each person does, in windows along its track, while a source goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from kinesphere.annotations.timed import Track
from kinesphere.clips.clip import stack
from kinesphere.clips.geometry import Size
from kinesphere.clips.person_path import PersonPath
from kinesphere.clips.source import WrappedSource
from kinesphere.live.result import Answer
from kinesphere.live.ring import Ring, Window
from kinesphere.live.settings import LiveSettings
from kinesphere.live.shown import Inbox, Shown
from kinesphere.live.windows import ONE_VIEW, Lookback, Seen
from kinesphere.predict.people.crops import CropRules, PeopleClips, PersonWindow
from kinesphere.predict.people.paths import BreakRules, paths_of, tracks_of_poses
from kinesphere.predict.prediction import Prediction
from kinesphere.predict.together import nobody_note
from kinesphere.predict.video_predictor import VideoPredictor

_POSES = "pose"
# Whole frames are kept of this short side at most, and no more than about thirty a second.
_SHORT_SIDE_PX = 480
_LEAST_S = 1 / 32
# People are looked for so much before a window, so that its first frame lies within their paths.
_BEFORE_S = 0.5
# Who was not answered about for so long is forgotten.
_FORGOTTEN_S = 60.0


@dataclass(frozen=True, eq=False)
class _Followed:
    """A person in the window that ends now."""

    path: PersonPath
    span: tuple[float, float]
    begins: bool

    @property
    def height(self) -> float:
        """Of the newest box, in pixels."""
        return float(self.path.boxes[-1, 3] - self.path.boxes[-1, 1])


class PeopleRecognition:
    """Answers about each person in the window that ends with a frame in which people were looked for.

    The frames of the last seconds are kept once for everybody, and beside them the way of each person, as the
    joints tell that are found live. A person has an answer once it was followed for a whole window. Where
    its identity may have changed (see `BreakRules`), its window begins anew, and the first answer after it
    says so (`Answer.begins`). People are cut out of the frames as those of a file are, and answered about
    together, the largest first where there are more than `LiveSettings.people`.

    Args:
        predictor: What answers.
        name: Name of the source.
        settings: Length of windows, their distance, and the number of people.
        inbox: Where the frames wait with which windows end.

    Raises:
        See `recognition`.
    """

    def __init__(self, predictor: VideoPredictor, name: str, settings: LiveSettings, inbox: Inbox) -> None:
        # People are found by their joints, which are therefore known.
        predictor = predictor.with_joints()
        self._predictor, self._name, self._settings = predictor, name, settings
        ring = Ring(name, _kept_at, least_s=_LEAST_S)
        self._back = Lookback(predictor, settings, inbox, ring, also=[_POSES])
        self._rules = BreakRules()
        self._answered_s: dict[int, float] = {}
        self.take, self.end, self.close = self._back.take, self._back.end, self._back.close

    def answer(self, shown: Shown) -> Sequence[Answer]:
        """See `Recognition.answer`; in the order of time of the windows."""
        seen = self._back.seen(shown, _BEFORE_S)
        if seen is None:
            return ()
        window = replace(seen.window, size=_kept_at(seen.window.size)[0])
        # Meanwhile people may have been looked for in frames that came later.
        poses = seen.known[_POSES].during((0.0, float(np.nextafter(shown.time_s, np.inf))))
        tracks = tracks_of_poses(poses, window)
        everybody = [each for track in tracks if (each := self._followed(track, window, seen, shown))]
        everybody.sort(key=lambda each: -each.height)
        followed = sorted(everybody[: self._settings.people], key=lambda each: each.span)
        self._answered_s = {
            person: end_s for person, end_s in self._answered_s.items() if shown.time_s - end_s < _FORGOTTEN_S
        }
        if not followed:
            return ()
        known = {**seen.known, _POSES: poses}
        preparation = self._predictor.opening.preparation
        return self._answers(followed, WrappedSource(window, known=known, preparation=preparation))

    def _followed(self, track: Track, window: Window, seen: Seen, shown: Shown) -> _Followed | None:
        """A person who is in the newest frame and was followed for a whole window; None of others."""
        broken = paths_of(track, window.frame_times(), self._rules)
        if not broken.paths:
            return None
        path = broken.paths[-1]
        end_s = shown.time_s + shown.frame_s
        start_s = end_s - seen.length_s
        is_there = path.times[-1] > shown.time_s - self._least_s(shown)
        is_whole = path.times[0] <= start_s + self._least_s(shown)
        if not (is_there and is_whole):
            return None
        before_s = self._answered_s.get(track.identity)
        begins = before_s is not None and float(path.times[0]) > before_s - shown.frame_s / 2
        return _Followed(path, (max(start_s, float(path.times[0])), end_s), begins)

    def _least_s(self, shown: Shown) -> float:
        """Frames that are kept lie no further apart, usually."""
        return max(shown.frame_s, _LEAST_S) + shown.frame_s / 2

    def _answers(self, followed: Sequence[_Followed], source: WrappedSource) -> list[Answer]:
        predictor = self._predictor
        windows = [PersonWindow(number, each.span) for number, each in enumerate(followed)]
        paths = [each.path for each in followed]
        clips = [
            each for _, each in PeopleClips(source, predictor.specs, paths, windows, ONE_VIEW, CropRules())
        ]
        inputs = [torch.stack([stack(each[i]) for each in clips]) for i in range(len(predictor.specs))]
        named = [f"person {each.path.identity} of {self._name} at {each.span[1]:.2f} s" for each in followed]
        rows = predictor.answers(inputs, ONE_VIEW, named)
        found = []
        for number, (each, row) in enumerate(zip(followed, rows, strict=True)):
            notes = nobody_note(predictor, [x[number] for x in inputs])
            said = Prediction(row, predictor.labels, self._name, each.span, 1, notes, predictor.rejection)
            height, width = source.size
            left, top, right, bottom = each.path.boxes[-1].tolist()
            box = (left / width, top / height, right / width, bottom / height)
            found.append(Answer(said, each.path.identity, box, each.begins))
            self._answered_s[each.path.identity] = each.span[1]
        return found


def _kept_at(size: Size) -> tuple[Size, ...]:
    """The one size at which frames of `(H, W)` pixels are kept."""
    scale = min(1.0, _SHORT_SIDE_PX / min(size))
    return ((max(1, round(size[0] * scale)), max(1, round(size[1] * scale))),)
