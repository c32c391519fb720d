"""The windows of a video, which is decoded once for several models, and what each of these says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from kinesphere.annotations.extract.unfinished import Unfinished, made_of, unfinished
from kinesphere.clips.augment.settings import check_views
from kinesphere.clips.spec import Views
from kinesphere.core.device import SpareMemory
from kinesphere.core.errors import InvalidSetting, NotFinite
from kinesphere.data.sources import Source, local_path, shown
from kinesphere.predict.long_video import Refusal, SharedVideo, Span, Window
from kinesphere.predict.scorers import Mode, nobody_in
from kinesphere.predict.stream import StreamLook
from kinesphere.predict.timeline import Timeline
from kinesphere.predict.together import look_of

if TYPE_CHECKING:
    from kinesphere.predict.video_predictor import VideoPredictor

Advance = Callable[[int, int], None]
"""Called with what is done and how much there is."""


def quietly(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Windows:
    """How a video is cut into windows, and how many are computed at a time.

    Attributes:
        window_s: Length of a window in seconds; a shorter video is one window.
        stride_s: Seconds between the starts of windows; the last window ends with the video. None for half a
            window.
        batch_size: Windows at a time; None for what suits the device.
        mode: `"windows"` answers each window by itself. `"streaming"` carries the state of a streaming
            network from frame to frame through the whole video: its answer to a window is not what it says
            of that window alone.

    Raises:
        InvalidSetting: If `batch_size` is not positive, or there is no such mode.
    """

    window_s: float
    stride_s: float | None = None
    batch_size: int | None = None
    mode: Mode = "windows"

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise InvalidSetting(f"A batch holds at least one window; got batch_size={self.batch_size}.")
        if self.mode not in get_args(Mode):
            raise InvalidSetting(f"Unknown mode {self.mode!r}; use {' or '.join(map(repr, get_args(Mode)))}.")


def timelines(
    predictors: Sequence[VideoPredictor],
    source: Source,
    windows: Windows,
    views: Sequence[Views | None],
    advance: Advance = quietly,
    keep: Path | None = None,
) -> list[Timeline | Refusal | NotFinite]:
    """What each of several models says of every window of a video, which is decoded once for all of them.

    Args:
        predictors: The models.
        source: A path, or the file's bytes.
        windows: How the video is cut.
        views: Clips and crops of each model; None for those of its own test.
        advance: Called with the number of windows done, and of all.
        keep: The file that the answers go into: what is done is kept beside it until all is, so that a run
            that is stopped goes on from there.

    Returns:
        For each model its timeline, or why it has none.

    Raises:
        InvalidSetting: If window or stride make no sense, or the source is live.
        UnwritableFile: If what is done cannot be kept.
    """
    answering = [_Answering(each, source, windows, own) for each, own in zip(predictors, views, strict=True)]
    size = windows.batch_size or min(
        each.member.windows_at_once(each.views, windows.mode) for each in answering
    )
    with ExitStack() as stack:
        about = _about(source, windows, size, answering)
        parts = None if keep is None else stack.enter_context(unfinished(keep, about))
        done = _restored(answering, parts)
        video = stack.enter_context(SharedVideo(source, [each.look for each in answering]))
        stride_s = windows.window_s / 2 if windows.stride_s is None else windows.stride_s
        spans = video.spans(windows.window_s, stride_s)
        reading, spare = video.read(spans, done), SpareMemory()
        if spans:  # none of a file that nobody can read
            advance(done, len(spans))
        while len(video.refused) < len(answering) and (batch := list(islice(reading, size))):
            for number, each in enumerate(answering):
                if number not in video.refused:
                    each.take([row[number] for row in batch])
            done += len(batch)
            if parts is not None and not video.refused and all(each.is_sound for each in answering):
                parts.add(_part(answering), done / len(spans), partial(_state, answering))
            advance(done, len(spans))
            spare.give_back()
    return [video.refused.get(number) or each.answer() for number, each in enumerate(answering)]


def _about(source: Source, windows: Windows, size: int, answering: Sequence[_Answering]) -> str:
    """What decides on the answers to the windows of a video."""
    models = [f"{each.member.digest()} {each.views} {each.computed}" for each in answering]
    path = local_path(source)
    beside = [file for each in answering for file in each.look.opening.files(source, each.look.specs)]
    content = sha256(source).hexdigest() if isinstance(source, bytes) else str(source)
    return made_of(content, windows, size, *models, files=[] if path is None else [path, *beside])


def _restored(answering: Sequence[_Answering], parts: Unfinished | None) -> int:
    """How many windows an earlier run answered, whose answers are taken over."""
    if parts is None or not len(parts):
        return 0
    state = parts.state or {}
    for number, each in enumerate(answering):
        for part in parts:
            each.take_over(_of(part, number))
        each.go_on(_of(state, number))
    return answering[0].windows


def _part(answering: Sequence[_Answering]) -> dict[str, np.ndarray]:
    """The answers of all models to the windows that were taken last."""
    return {f"{i}.{name}": a for i, each in enumerate(answering) for name, a in each.last_part().items()}


def _state(answering: Sequence[_Answering]) -> dict[str, np.ndarray]:
    """What all models need to go on after the windows so far."""
    return {f"{i}.{name}": a for i, each in enumerate(answering) for name, a in each.state().items()}


def _of(arrays: Mapping[str, np.ndarray], number: int) -> dict[str, np.ndarray]:
    """Those of the arrays that are of one model."""
    prefix = f"{number}."
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}


class _Answering:
    """What one model says of the windows of a video, as they come."""

    def __init__(
        self, predictor: VideoPredictor, source: Source, windows: Windows, views: Views | None
    ) -> None:
        self.predictor, self.source = predictor, source
        self.member = predictor.for_source(source)
        tested = self.member.test_views
        self.views = views or (tested if windows.mode == "windows" else replace(tested, clips=1))
        check_views(self.views, self.member.labels)
        self._scorer = self.member.scorer(self.views, windows.mode, windows.window_s)
        self.look = look_of(self.member, self.views)
        if windows.mode == "streaming":
            self.look = StreamLook(self.look.specs, self.views, self.look.opening, windows.window_s)
        self._spans: list[Span] = []
        self._rows: list[np.ndarray] = []
        self._unseen: list[np.ndarray] = []
        self._notes: tuple[str, ...] = ()
        self._noted: tuple[str, ...] = ()
        self._broken: NotFinite | None = None

    def take(self, windows: Sequence[Window | None]) -> None:
        """Answer the next windows."""
        seen = [window for window in windows if window is not None]
        if self._broken is not None or not seen:
            return
        spans = [window.span for window in seen]
        named = [f"{shown(self.source)} from {start:.2f} to {end:.2f} s" for start, end in spans]
        try:
            self._rows.append(self.member.checked(self._scorer.rows(seen), named))
        except NotFinite as error:
            self._broken = error
            return
        self._spans += spans
        self._unseen.append(nobody_in(self.member, seen))
        self._notes = tuple(dict.fromkeys((*self._noted, *seen[-1].notes)))

    @property
    def computed(self) -> str:
        """What decides on the answers beside the model: where it runs, and how missing files are made."""
        compute, opening = self.member.compute, self.look.opening
        return f"{compute.device} {compute.precision} {opening.pose_model} {opening.preparation}"

    @property
    def is_sound(self) -> bool:
        """Whether all windows so far have answers."""
        return self._broken is None

    @property
    def windows(self) -> int:
        """How many windows have answers."""
        return len(self._spans)

    def last_part(self) -> dict[str, np.ndarray]:
        """The answers to the windows that were taken last, as plain arrays."""
        rows = self._rows[-1]
        return {
            "rows": rows,
            "spans": np.array(self._spans[-len(rows) :]),
            "unseen": self._unseen[-1],
            "notes": np.array(self._notes, dtype=np.str_),
        }

    def take_over(self, part: Mapping[str, np.ndarray]) -> None:
        """The next windows as an earlier run answered them."""
        self._rows.append(part["rows"])
        self._spans += [(start, end) for start, end in part["spans"].tolist()]
        self._unseen.append(part["unseen"])
        # What was met of damage then is not met again.
        self._notes = self._noted = tuple(part["notes"].tolist())

    def state(self) -> dict[str, np.ndarray]:
        """What is needed to go on after the windows so far."""
        return self._scorer.arrays()

    def go_on(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on after the windows that were taken over."""
        self._scorer.restore(state)

    def answer(self) -> Timeline | NotFinite:
        """The timeline of all windows, or why there is none."""
        if self._broken is not None:
            return self._broken
        found = Timeline(
            np.concatenate(self._rows),
            np.array(self._spans),
            self.member.labels,
            shown(self.source),
            nobody=np.concatenate(self._unseen),
            notes=self._notes,
            rejection=self.member.rejection,
        )
        return self.predictor.signed(found, self.member, self.views)
