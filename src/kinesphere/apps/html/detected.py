"""Videos of a detector's report: how right each is, and timelines of what happens and of what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels
from kinesphere.apps.html.charts import percent
from kinesphere.apps.html.parts import boxed, meter, sorting_heads
from kinesphere.core.markup import Html, join, lead, table, tag
from kinesphere.core.paths import is_file
from kinesphere.evaluate.metrics.detected_videos import OperatingPoint, VideoF1
from kinesphere.evaluate.metrics.detection_errors import KIND_TITLES, KINDS, DetectionErrors
from kinesphere.predict.files.hues import hues
from kinesphere.predict.files.lanes import Shown
from kinesphere.predict.files.player import stage, timeline, tools, without_video
from kinesphere.predict.files.registry import TimelineRow

_OPENED = 3
"""So many of the worst and of the best videos stand first."""
_MOST_TIMELINES = 60
_FILMS = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".ogv", ".ts"})


@dataclass(frozen=True, eq=False)
class Videos:
    """What timelines are drawn of.

    Attributes:
        names: Of the videos, as `errors` numbers them.
        paths: Their files by name, where they are known.
        found: All detections.
        truth: What happens.
        errors: What is wrong with the detections.
        point: From which score on detections are shown.
        scores: How right each video is.
    """

    names: tuple[str, ...]
    paths: Mapping[str, Path]
    found: Sequence[Detection]
    truth: TimedLabels
    errors: DetectionErrors
    point: OperatingPoint
    scores: tuple[VideoF1, ...]

    def ordered(self) -> list[VideoF1]:
        """The worst first; of equal ones those of more ground truths."""
        return sorted(self.scores, key=lambda each: (each.f1, -each.instances, self.names[each.place]))


def videos_section(videos: Videos) -> Html:
    """A table of all videos, the worst first."""
    point = videos.point
    text = (
        f"Detections of a score of {point.score:.3g} or more; there F1 at tIoU {point.tiou:g} over all "
        f"videos is largest, {percent(point.f1)}. The threshold was found on these same videos."
    )
    drawn = {each.place for each in _drawn(videos)}
    rows = [
        tag(
            "tr",
            tag("td", _name(videos, each, linked=each.place in drawn), data_value=videos.names[each.place]),
            tag("td", str(each.instances), data_value=each.instances),
            tag("td", str(each.detections), data_value=each.detections, class_="wide"),
            tag("td", str(each.right), data_value=each.right),
            meter(each.f1, each.f1 < 0.5),
        )
        for each in reversed(videos.ordered())
    ]
    heads = sorting_heads(("video", "instances", "detections", "right", "F1"), "F1", wide=("detections",))
    return join(
        tag("h2", "Videos"),
        lead(text, " Best first; a column's name sorts by it."),
        boxed(table(heads, rows, data_sortable=True), len(rows)),
    )


def _name(videos: Videos, each: VideoF1, *, linked: bool) -> Html | str:
    name = videos.names[each.place]
    return tag("a", name, href=f"#video-{each.place}") if linked else name


def _drawn(videos: Videos) -> list[VideoF1]:
    """The videos that have a timeline: the worst and the best where there are too many."""
    ordered = videos.ordered()
    if len(ordered) <= _MOST_TIMELINES:
        return ordered
    half = _MOST_TIMELINES // 2
    return ordered[:half] + ordered[-half:]


def timelines_section(videos: Videos, page: Path) -> Html:
    """Timelines of ground truth and detections with the videos, the worst and the best ones first.

    Args:
        videos: What is drawn.
        page: Where the page will lie.
    """
    drawn = _drawn(videos)
    opened = min(_OPENED, len(drawn) // 2)
    groups = (
        ("Worst", drawn[:opened]), ("Best", drawn[len(drawn) - opened :][::-1]),
        ("Others" if opened else "", drawn[opened : len(drawn) - opened]),
    )  # fmt: skip
    parts: list[Html] = []
    for title, own in groups:
        if own and title:
            parts.append(tag("h3", title))
        parts += [_timeline(videos, each, page, opened=title != "Others") for each in own]
    left = len(videos.scores) - len(drawn)
    more = (
        f" {left} more videos have no timeline here; detections.json and truth.json have them all."
        if left
        else ""
    )
    text = (
        "A click on a segment plays the moment. Detections that are striped are wrong, annotations that are "
        f"striped were not found; point at them to read how.{more}"
    )
    return join(tag("h2", "Timelines"), lead(text), parts)


def _timeline(videos: Videos, each: VideoF1, page: Path, *, opened: bool) -> Html:
    name = videos.names[each.place]
    path = videos.paths.get(name)
    seen = _shown(videos, each.place)
    summary = tag(
        "summary",
        tag("b", name),
        f" F1 {percent(each.f1)}: {each.right} of {each.instances} found, {each.detections} detections",
    )
    player = tag("div", film(path, page, lazy=not opened), tools(seen), timeline(seen), class_="player")
    return tag("details", summary, player, open=opened, id=f"video-{each.place}", class_="film")


def film(path: Path | None, page: Path, *, lazy: bool) -> Html:
    """A video to play, or why there is none."""
    if path is None or not is_file(path):
        where = "" if path is None else f" where it was, {path}"
        return without_video(f"The video is not there{where}, so nothing plays; the timeline stays usable.")
    if path.suffix.lower() not in _FILMS:
        return without_video(f"{path.name} is no video that a browser plays.")
    return stage(str(path), page, lazy=lazy)


def _shown(videos: Videos, place: int) -> Shown:
    errors, point = videos.errors, videos.point
    column = int(np.argmin([abs(each - point.tiou) for each in errors.thresholds]))
    mine = np.flatnonzero((errors.found.place == place) & (errors.found.score >= point.score))
    mine = mine[np.argsort(errors.found.extent[mine, 0], kind="stable")]
    notes = tuple(_note(int(errors.kind[i, column])) for i in mine)
    given = TimelineRow("prediction", tuple(videos.found[i] for i in mine.tolist()), notes)
    true, missing = _annotated(videos, place, set(errors.taken[mine, column].tolist()))
    rows = (TimelineRow("annotation", true, missing), given)
    ends = [each.end_s for row in rows for each in row.segments]
    known = errors.durations_s[place]
    end = max([*ends, 1e-3, 0.0 if np.isnan(known) else float(known)])
    colours = hues(errors.classes)
    used = {each.label for row in rows for each in row.segments}
    own = {label: hue for label, hue in colours.items() if label in used}
    return Shown(rows, 0.0, end, np.zeros((0, 2)), {}, own)


def _note(kind: int) -> str:
    """What is wrong with a detection; nothing of right and ignored ones."""
    return KIND_TITLES[KINDS[kind]] if kind > 0 else ""


def _annotated(videos: Videos, place: int, found: set[int]) -> tuple[tuple[TimedLabel, ...], tuple[str, ...]]:
    """The ground truths of a video by their start, and which were not found."""
    table = videos.errors.annotated
    rows = np.flatnonzero(table.place == place)
    rows = rows[np.argsort(table.extent[rows, 0], kind="stable")]
    name, classes = videos.names[place], videos.errors.classes
    labels = tuple(
        TimedLabel(name, classes[table.label[i]], float(table.extent[i, 0]), float(table.extent[i, 1]))
        for i in rows
    )
    return labels, tuple("" if int(i) in found else "not found" for i in rows)
