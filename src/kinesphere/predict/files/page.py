"""A page with the video and its timeline: a click on a segment plays the moment.

It is one file that loads nothing but the video, which it names by its path from the page.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import numpy as np

from kinesphere import __version__
from kinesphere.annotations.timed import TimedLabel
from kinesphere.core.files import make_folder, write_text
from kinesphere.core.markup import Html, join, tag
from kinesphere.core.text import spelled
from kinesphere.predict.files.lanes import Shown, clock, lanes, shown, ticks
from kinesphere.predict.files.registry import TIMELINE_FILES, TimelineFile, TimelineRow
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.predict.segmentation import Segment, below
from kinesphere.predict.timeline import Timeline

# Whatever a label or a file is called, nothing but a video of the same place is loaded.
_POLICY = "default-src 'none'; media-src 'self' file:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_KEYS = (
    ("Space", "play, pause"), ("← →", "a second back, ahead; in the timeline, from segment to segment"),
    ("P N", "previous, next segment of the prediction"), ("Enter", "play the segment"),
)  # fmt: skip
_CURVE_HEIGHT = 100


def _write(timeline: Timeline, path: Path, rule: SegmentRule, rows: Sequence[TimelineRow]) -> None:
    make_folder(path.parent)
    write_text(path, page(timeline, path, rule, rows))


def page(timeline: Timeline, path: Path, rule: SegmentRule, rows: Sequence[TimelineRow] = ()) -> str:
    """The page as text.

    Args:
        timeline: What the model says of a video.
        path: Where the page will lie, from which it finds the video.
        rule: How windows become segments.
        rows: Rows of segments above the prediction.
    """
    seen = shown(timeline, rule, rows)
    name = spelled(Path(timeline.source).name)
    main = tag(
        "main",
        _stage(timeline.source, path),
        tag("section", tag("h2", "Timeline"), _tools(seen), _timeline(seen), class_="card"),
        tag("section", tag("h2", "Segments"), _table(seen), class_="card"),
        tag("section", tag("h2", "Keys"), _keys(), class_="card keys"),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("title", f"{name}: timeline"),
        tag("style", Html(_asset("page.css"))),
    )
    body = tag(
        "body",
        tag("header", tag("h1", name), tag("p", _about(timeline, rule))),
        main,
        tag("footer", f"Written by Kinesphere {__version__}."),
        tag("script", Html(_asset("page.js"))),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _about(timeline: Timeline, rule: SegmentRule) -> str:
    parts = [
        timeline.model, f"{len(timeline.labels)} labels", f"{len(timeline)} windows", str(rule),
        str(below(timeline, rule)), *timeline.notes,
    ]  # fmt: skip
    return " · ".join(spelled(part) for part in parts if part)


def _stage(source: str, path: Path) -> Html:
    """The video with what is said of the moment below it."""
    if "://" in source:
        film = tag(
            "p", f"The video is a stream, {spelled(source)}, and cannot be played here.", class_="none"
        )
    else:
        film = tag("video", src=_address(source, path), controls=True, preload="metadata", playsinline=True)
    missing = tag(
        "p",
        "The browser cannot play the video: it is not where it was when this page was written, or of a kind "
        "that browsers do not play (MP4 with H.264 plays everywhere). The timeline stays usable.",
        class_="none",
        id="missing",
        hidden=True,
    )
    now = tag(
        "p", tag("b", "0:00.0", id="clock"), " ", tag("span", "", id="now"), class_="now", role="status"
    )
    return tag("div", film, missing, now, class_="stage")


def _address(source: str, path: Path) -> str:
    """Where the page finds the video: relative to itself, or absolute from another drive."""
    video = Path(source).absolute()
    try:
        relative = os.path.relpath(video, path.absolute().parent)
    except ValueError:
        return video.as_uri()
    return quote(os.fsencode(Path(relative).as_posix()))


def _tools(seen: Shown) -> Html:
    legend = [
        tag("span", tag("i", style=f"background:{hue}"), spelled(label)) for label, hue in seen.hues.items()
    ]
    return tag(
        "div",
        tag("span", legend, class_="legend"),
        tag(
            "span",
            tag("label", tag("input", type="checkbox", id="stop", checked=True), " stop at its end"),
            tag("button", "−", type="button", id="out", aria_label="show more of the time"),
            tag("button", "+", type="button", id="in", aria_label="show less of the time"),
            class_="zoom",
        ),
        class_="tools",
    )


def _timeline(seen: Shown) -> Html:
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
            tag("div", id="head", aria_hidden="true"),
            id="lanes",
            data_start=f"{seen.start_s:.3f}",
            data_end=f"{seen.end_s:.3f}",
        ),
        class_="scroll",
    )


def _row(row: TimelineRow, seen: Shown, *, own: bool) -> Html:
    chosen = lanes(row.segments)
    count = 1 + max(chosen, default=0)
    buttons = [
        _segment(each, lane, seen, first=i == 0)
        for i, (each, lane) in enumerate(zip(row.segments, chosen, strict=True))
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


def _segment(each: Segment | TimedLabel, lane: int, seen: Shown, *, first: bool) -> Html:
    label = spelled(each.label)
    said = f"{label}, {clock(each.start_s)} to {clock(each.end_s)}"
    if isinstance(each, Segment):
        said += f", {100 * each.probability:.0f} %"
    width = max(each.end_s - each.start_s, 0.0)
    return tag(
        "button",
        tag("span", label),
        type="button",
        class_="segment",
        style=(
            f"left:{_percent(each.start_s, seen)};width:{100 * width / (seen.end_s - seen.start_s):.4f}%;"
            f"--lane:{lane};background:{seen.hues[each.label]}"
        ),
        data_start=f"{each.start_s:.3f}",
        data_end=f"{each.end_s:.3f}",
        title=said,
        aria_label=said,
        tabindex="0" if first else "-1",
    )


def _curve(label: str, seen: Shown) -> Html:
    times, probabilities = seen.curves[label]
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


def _table(seen: Shown) -> Html:
    if not seen.own:
        return tag("p", "No label reaches its threshold anywhere.", class_="none")
    heads = ("Start", "Length", "Label", "Probability", "Runner-up")
    rows = [
        tag(
            "tr",
            tag(
                "td",
                tag(
                    "button",
                    clock(each.start_s),
                    type="button",
                    aria_label=f"play {spelled(each.label)} at {clock(each.start_s)}",
                ),
            ),
            tag("td", f"{each.end_s - each.start_s:.1f} s"),
            tag("td", tag("i", style=f"background:{seen.hues[each.label]}"), spelled(each.label)),
            tag("td", f"{100 * each.probability:.0f} %"),
            tag("td", _rival(each)),
            data_start=f"{each.start_s:.3f}",
            data_end=f"{each.end_s:.3f}",
        )
        for each in seen.own
    ]
    head = tag("thead", tag("tr", [tag("th", name, scope="col") for name in heads]))
    return tag("div", tag("table", head, tag("tbody", rows)), class_="tall")


def _rival(each: Segment) -> str:
    if each.runner_up is None or each.runner_up_probability is None:
        return ""
    return f"{spelled(each.runner_up)} {100 * each.runner_up_probability:.0f} %"


def _keys() -> Html:
    return tag("dl", [join(tag("dt", keys), tag("dd", what)) for keys, what in _KEYS])


def _percent(time_s: float, seen: Shown) -> str:
    return f"{100 * (time_s - seen.start_s) / (seen.end_s - seen.start_s):.4f}%"


def _asset(name: str) -> str:
    return (files("kinesphere.predict.files") / name).read_text(encoding="utf-8")


TIMELINE_FILES.add(".html", TimelineFile("HTML page", _write, takes_rows=True))
