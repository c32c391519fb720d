"""A video with its timeline, of which a click plays the moment: a part of pages, which may have several."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import numpy as np

from kinesphere.annotations.timed import Detection, TimedLabel
from kinesphere.core.markup import Html, tag
from kinesphere.core.text import spelled
from kinesphere.predict.files.lanes import Shown, clock, lanes, ticks
from kinesphere.predict.files.registry import TimelineRow
from kinesphere.predict.segmentation import Segment

MEDIA = "media-src 'self' file:"
"""What a page with players has to allow: a video of its own place."""
_CURVE_HEIGHT = 100


def asset(name: str) -> Html:
    """`player.css` or `player.js`, which a page with players holds once."""
    return Html((files("kinesphere.predict.files") / name).read_text(encoding="utf-8"))


def stage(source: str, page: Path, *, lazy: bool = False) -> Html:
    """The video, with what is said of the moment below it.

    Args:
        source: The video, or the address of a stream.
        page: Where the page will lie, from which it finds the video.
        lazy: Whether nothing of the video is loaded before it is played.
    """
    if "://" in source:
        return without_video(f"The video is a stream, {spelled(source)}, and cannot be played here.")
    film = tag(
        "video", src=address(source, page), controls=True, preload="none" if lazy else "metadata",
        playsinline=True,
    )  # fmt: skip
    missing = tag(
        "p",
        "The browser cannot play the video: it is not where it was when this page was written, or of a kind "
        "that browsers do not play. MP4 with H.264 plays everywhere: make one (ffmpeg -i VIDEO VIDEO.mp4) "
        "and have the page written of that. The timeline stays usable.",
        class_="none missing",
        hidden=True,
    )
    return tag("div", film, missing, _moment(), class_="stage")


def without_video(reason: str) -> Html:
    """The place of the video where there is none to play."""
    return tag("div", tag("p", reason, class_="none"), _moment(), class_="stage")


def _moment() -> Html:
    return tag(
        "p", tag("b", "0:00.0", class_="clock"), " ", tag("span", "", class_="said"), class_="now",
        role="status",
    )  # fmt: skip


def address(source: str, page: Path) -> str:
    """Where a page finds the video: relative to itself, or absolute from another drive."""
    video = Path(source).absolute()
    try:
        relative = os.path.relpath(video, page.absolute().parent)
    except ValueError:
        return video.as_uri()
    return quote(os.fsencode(Path(relative).as_posix()))


def tools(seen: Shown) -> Html:
    """The labels' colours, and how much of the time is shown."""
    legend = [
        tag("span", tag("i", style=f"background:{hue}"), spelled(label)) for label, hue in seen.hues.items()
    ]
    return tag(
        "div",
        tag("span", legend, class_="legend"),
        tag(
            "span",
            tag("label", tag("input", type="checkbox", class_="stop", checked=True), " stop at its end"),
            tag("button", "−", type="button", class_="out", aria_label="show more of the time"),
            tag("button", "+", type="button", class_="in", aria_label="show less of the time"),
            class_="zoom",
        ),
        class_="tools",
    )


def timeline(seen: Shown) -> Html:
    """The rows of segments and the curves below a time axis; the last row is the page's own."""
    axis = [
        tag("span", clock(mark).removesuffix(".0"), style=f"left:{_percent(mark, seen)}")
        for mark in ticks(seen.start_s, seen.end_s)
    ]
    parts = [_row(row, seen, own=row is seen.rows[-1]) for row in seen.rows]
    parts += [_curve(label, seen) for label in seen.curves]
    return tag(
        "div",
        tag(
            "div",
            tag("div", axis, class_="axis"),
            parts,
            tag("div", class_="head", aria_hidden="true"),
            class_="lanes",
            data_start=f"{seen.start_s:.3f}",
            data_end=f"{seen.end_s:.3f}",
        ),
        class_="window",
    )


def _row(row: TimelineRow, seen: Shown, *, own: bool) -> Html:
    chosen = lanes(row.segments)
    count = 1 + max(chosen, default=0)
    notes = row.notes or ("",) * len(row.segments)
    buttons = [
        _segment(each, lane, seen, note, first=i == 0)
        for i, (each, lane, note) in enumerate(zip(row.segments, chosen, notes, strict=True))
    ]
    return tag(
        "div",
        tag("p", spelled(row.name), class_="name"),
        tag(
            "div",
            buttons,
            class_="lane",
            style=f"--lanes:{count}",
            role="group",
            aria_label=spelled(row.name),
        ),
        class_="row own" if own else "row",
    )


def _segment(each: Segment | TimedLabel, lane: int, seen: Shown, note: str, *, first: bool) -> Html:
    label = spelled(each.label)
    said = f"{label}, {clock(each.start_s)} to {clock(each.end_s)}"
    if isinstance(each, Segment):
        said += f", {100 * each.probability:.0f} %"
    elif isinstance(each, Detection):
        said += f", score {each.score:.2f}"
    said += f", {note}" if note else ""
    width = max(each.end_s - each.start_s, 0.0)
    return tag(
        "button",
        tag("span", label),
        type="button",
        class_="segment noted" if note else "segment",
        style=(
            f"left:{_percent(each.start_s, seen)};width:{100 * width / (seen.end_s - seen.start_s):.4f}%;"
            f"--lane:{lane};background-color:{seen.hues[each.label]}"
        ),
        data_start=f"{each.start_s:.3f}",
        data_end=f"{each.end_s:.3f}",
        title=said,
        aria_label=said,
        tabindex="0" if first else "-1",
    )


def _curve(label: str, seen: Shown) -> Html:
    times, probabilities = seen.curves[label]
    # The first and last windows speak up to their ends; a single one would be a line of no width.
    times = np.concatenate([seen.cells[:1, 0], times, seen.cells[-1:, 1]])
    probabilities = np.concatenate([probabilities[:1], probabilities, probabilities[-1:]])
    x = 1000 * (times - seen.start_s) / (seen.end_s - seen.start_s)
    y = _CURVE_HEIGHT * (1 - np.clip(probabilities, 0, 1))
    points = "L".join(f"{a:.1f} {b:.0f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    path = f"M{x[0]:.1f} {_CURVE_HEIGHT}L{points}L{x[-1]:.1f} {_CURVE_HEIGHT}Z"
    drawing = tag(
        "svg",
        tag("path", d=path, fill=seen.hues[label]),
        view_box=f"0 0 1000 {_CURVE_HEIGHT}",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
    peak = f"{spelled(label)} (up to {100 * float(probabilities.max()):.0f} %)"
    return tag("div", tag("p", peak, class_="name"), tag("div", drawing, class_="lane curve"), class_="row")


def _percent(time_s: float, seen: Shown) -> str:
    return f"{100 * (time_s - seen.start_s) / (seen.end_s - seen.start_s):.4f}%"
