"""Keyframes of a report: pictures with people's boxes, what they do, what was answered, and the moment."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from kinesphere.annotations.formats.ava import AvaBoxes
from kinesphere.annotations.keyframe_files import corners
from kinesphere.annotations.keyframes import BoxOfFrame, Keyframes
from kinesphere.annotations.timed import Detection, TimedLabel
from kinesphere.apps.html.charts import percent
from kinesphere.apps.html.detected import film
from kinesphere.core.errors import DamagedVideo, VideoError
from kinesphere.core.markup import Html, join, jpeg, lead, table, tag
from kinesphere.predict.files.hues import hues
from kinesphere.predict.files.lanes import Shown, clock
from kinesphere.predict.files.player import timeline, tools
from kinesphere.predict.files.registry import TimelineRow
from kinesphere.video import Video

_VIDEOS, _FRAMES = 8, 6
"""So many videos are drawn, and so many keyframes of each; half of them the worst."""
_HEIGHT = 200
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 78)
_HALF_S = 0.5  # what is shown around a keyframe, which stands for a second
_SAID = 0.5  # answers of less are not shown on timelines


@dataclass(frozen=True)
class SeenPerson:
    """Somebody at a keyframe.

    Attributes:
        box: Left, top, right, bottom as fractions of the frame.
        done: Actions by the annotations; none where nobody said what is done.
        answers: Actions with their probabilities, the likeliest first.
    """

    box: BoxOfFrame
    done: tuple[str, ...]
    answers: tuple[tuple[str, float], ...]

    @property
    def is_right(self) -> bool | None:
        """Whether the likeliest answer is done; None where nobody said what is, or nothing was answered."""
        return self.answers[0][0] in self.done if self.done and self.answers else None


@dataclass(frozen=True)
class Seen:
    """A keyframe with everybody in it.

    Attributes:
        video: Name of its video.
        time_s: Seconds.
        people: Everybody.
    """

    video: str
    time_s: float
    people: tuple[SeenPerson, ...]

    @property
    def judged(self) -> list[bool]:
        """Of everybody of whom it is known: whether the likeliest answer is right."""
        return [each.is_right for each in self.people if each.is_right is not None]


def seen_frames(found: AvaBoxes, truth: Keyframes, names: Mapping[str, str]) -> tuple[Seen, ...]:
    """All keyframes with what is done in them and what was answered, box by box.

    Args:
        found: Answers, whose boxes are those of the truth.
        truth: Keyframes.
        names: Of the classes by number.
    """
    said: dict[tuple[str, int, str], list[tuple[str, float]]] = defaultdict(list)
    for each in found.boxes:
        key = each.video, int(each.start_s), corners(each.box or ())
        said[key].append((names.get(each.label, each.label), each.score))
    done: dict[tuple[str, int, str], tuple[str, ...]] = {}
    boxes: dict[tuple[str, int, str], BoxOfFrame] = {}
    times: dict[tuple[str, int], float] = {}
    for frame in truth.frames:
        times[frame.video, int(frame.time_s)] = frame.time_s
        for person in frame.people:
            key = frame.video, int(frame.time_s), corners(person.box)
            done[key], boxes[key] = (*done.get(key, ()), *person.actions), person.box
    for answer in found.boxes:
        key = answer.video, int(answer.start_s), corners(answer.box or ())
        if answer.box is not None and key[:2] in times:
            boxes.setdefault(key, answer.box)
    people: dict[tuple[str, int], list[SeenPerson]] = defaultdict(list)
    for key, box in boxes.items():
        ranked = tuple(sorted(said.get(key, ()), key=lambda each: -each[1]))
        people[key[:2]].append(SeenPerson(box, done.get(key, ()), ranked))
    return tuple(Seen(video, time, tuple(people[video, second])) for (video, second), time in times.items())


def keyframes_section(seen: Sequence[Seen], paths: Mapping[str, Path], page: Path) -> Html:
    """Videos with their keyframes, the worst and the best ones.

    Args:
        seen: All keyframes.
        paths: Files of the videos by name.
        page: Where the page will lie.
    """
    by_video: dict[str, list[Seen]] = defaultdict(list)
    for each in seen:
        by_video[each.video].append(each)
    ranked = sorted((name for name in by_video if _judged(by_video[name])), key=lambda n: _right(by_video[n]))
    if not ranked:
        return Html("")
    drawn = _ends(ranked, _VIDEOS)
    left = len(by_video) - len(drawn)
    text = (
        "Videos whose people are answered worst come first, of each its worst and best keyframes. On a box "
        "stands the likeliest answer: green where it is done, orange where something else is, grey where "
        "nobody said what is done. A click plays the moment."
    )
    more = f" Videos that are not drawn: {left}; detections.csv and truth.csv have all." if left else ""
    return join(
        tag("h2", "Keyframes"),
        lead(text, more),
        [_video(name, by_video[name], paths.get(name), page, opened=i < 2) for i, name in enumerate(drawn)],
    )


def _judged(frames: Sequence[Seen]) -> list[bool]:
    return [each for frame in frames for each in frame.judged]


def _right(frames: Sequence[Seen]) -> float:
    judged = _judged(frames)
    return sum(judged) / len(judged) if judged else 0.0


def _ends(ranked: Sequence[str], most: int) -> list[str]:
    """The first and the last of a list, each half of what is drawn."""
    half = most // 2
    return list(ranked) if len(ranked) <= most else [*ranked[:half], *ranked[-half:]]


def _video(name: str, frames: Sequence[Seen], path: Path | None, page: Path, *, opened: bool) -> Html:
    judged = _judged(frames)
    summary = tag(
        "summary", tag("b", name),
        f" {percent(_right(frames))} of {len(judged)} boxes answered by what is done; "
        f"{len(frames)} keyframes",
    )  # fmt: skip
    ranked = sorted((each for each in frames if each.judged), key=lambda each: _right([each]))
    half = _FRAMES // 2
    kept = ranked if len(ranked) <= _FRAMES else [*ranked[:half], *ranked[-half:]]
    kept.sort(key=lambda each: each.time_s)
    pictures = _pictures(path, [each.time_s for each in kept])
    rows = [_keyframe(each, picture) for each, picture in zip(kept, pictures, strict=True)]
    shown = _shown(name, frames)
    heads = (tag("th", "keyframe"), tag("th", "people", class_="left"))
    body = join(film(path, page, lazy=not opened), tools(shown), timeline(shown))
    keyframes = tag("div", table(heads, rows, class_="keyframes"), class_="scroll")
    return tag("details", summary, tag("div", body, keyframes, class_="player"), open=opened, class_="film")


def _keyframe(seen: Seen, picture: bytes | None) -> Html:
    """A row that plays its moment: the picture with numbered boxes, and who does what."""
    drawn = jpeg(picture) if picture is not None else tag("span", "no picture", class_="note")
    boxes = [_box(number, each) for number, each in enumerate(seen.people, 1)]
    people = [
        tag(
            "p", tag("b", f"{number} "),
            f"{', '.join(each.done) or 'not annotated'} ", tag("small", f"answered {_answers(each)}"),
            class_=_hue(each),
        )
        for number, each in enumerate(seen.people, 1)
    ]  # fmt: skip
    return tag(
        "tr",
        tag("td", tag("div", drawn, boxes, class_="boxes"), tag("small", clock(seen.time_s))),
        tag("td", people, class_="left"),
        data_start=f"{max(0.0, seen.time_s - _HALF_S):.3f}",
        data_end=f"{seen.time_s + _HALF_S:.3f}",
        title="Play the moment",
    )


def _box(number: int, each: SeenPerson) -> Html:
    left, top, right, bottom = (100 * value for value in each.box)
    place = f"left:{left:.2f}%;top:{top:.2f}%;width:{right - left:.2f}%;height:{bottom - top:.2f}%"
    label = f"{number} {each.answers[0][0]}" if each.answers else str(number)
    return tag("i", tag("span", label), class_=_hue(each), style=place)


def _hue(each: SeenPerson) -> str:
    return {True: "right", False: "wrong", None: "soft"}[each.is_right]


def _answers(each: SeenPerson) -> str:
    return ", ".join(f"{name} {percent(value)}" for name, value in each.answers[:2]) or "nothing"


def _pictures(path: Path | None, times_s: Sequence[float]) -> list[bytes | None]:
    """Frames at keyframes as JPEG files; None of a video that is not there or cannot be read."""
    if path is None or not times_s:
        return [None] * len(times_s)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamagedVideo)  # the evaluation has already reported the damage
            with Video.open(path) as video:
                height, width = video.size
                size = (_HEIGHT, max(2, round(_HEIGHT * width / height)))
                images = np.asarray(video.frames_at(np.array(times_s), size=size).data).transpose(0, 2, 3, 1)
    except VideoError:
        return [None] * len(times_s)
    return [
        cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), _JPEG)[1].tobytes() for image in images
    ]


def _shown(name: str, frames: Sequence[Seen]) -> Shown:
    """What is done and what was answered around the keyframes, as rows of a timeline."""
    given: list[TimedLabel] = []
    said: list[TimedLabel] = []
    for frame in frames:
        span = max(0.0, frame.time_s - _HALF_S), frame.time_s + _HALF_S
        done = dict.fromkeys(action for each in frame.people for action in each.done)
        given += [TimedLabel(name, action, *span) for action in done]
        best: dict[str, float] = {}
        for each in frame.people:
            for action, value in each.answers:
                best[action] = max(value, best.get(action, 0.0))
        said += [Detection(name, action, *span, score=v) for action, v in best.items() if v >= _SAID]
    rows = (
        TimelineRow("annotation", tuple(given), ("",) * len(given)),
        TimelineRow("prediction", tuple(said), ("",) * len(said)),
    )
    end = max(frame.time_s for frame in frames) + _HALF_S
    colours = hues(sorted({each.label for row in rows for each in row.segments}))
    return Shown(rows, 0.0, end, np.zeros((0, 2)), {}, colours)
