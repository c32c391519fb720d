"""A page with the video and its timeline: a click on a segment plays the moment.

It is one file that loads nothing but the video, which it names by its path from the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from kinesphere import __version__
from kinesphere.core.files import make_folder, write_text
from kinesphere.core.markup import Html, join, tag
from kinesphere.core.text import spelled
from kinesphere.predict.files.lanes import Shown, clock, shown
from kinesphere.predict.files.player import MEDIA, asset, stage, tools
from kinesphere.predict.files.player import timeline as lines
from kinesphere.predict.files.registry import TIMELINE_FILES, TimelineFile, TimelineRow
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.predict.segmentation import Segment, below
from kinesphere.predict.timeline import Timeline

# Whatever a label or a file is called, nothing but a video of the same place is loaded.
_POLICY = f"default-src 'none'; {MEDIA}; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_KEYS = (
    ("Space", "play, pause"), ("← →", "a second back, ahead; in the timeline, from segment to segment"),
    ("P N", "previous, next segment of the prediction"), ("Enter", "play the segment"),
)  # fmt: skip


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
        stage(timeline.source, path),
        tag("section", tag("h2", "Timeline"), tools(seen), lines(seen), class_="card"),
        tag("section", tag("h2", "Segments"), _table(seen), class_="card"),
        tag("section", tag("h2", "Keys"), _keys(), class_="card keys"),
        class_="player",
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("title", f"{name}: timeline"),
        tag("style", asset("player.css"), Html(_asset("page.css"))),
    )
    body = tag(
        "body",
        tag("header", tag("h1", name), tag("p", _about(timeline, rule))),
        main,
        tag("footer", f"Written by Kinesphere {__version__}."),
        tag("script", asset("player.js")),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _about(timeline: Timeline, rule: SegmentRule) -> str:
    parts = [
        timeline.model, f"{len(timeline.labels)} labels", f"windows: {len(timeline)}", str(rule),
        *below(timeline, rule).lines, *timeline.notes,
    ]  # fmt: skip
    return " · ".join(spelled(part) for part in parts if part)


def _table(seen: Shown) -> Html:
    found = [
        (row.name, each) for row in reversed(seen.rows) for each in row.segments if isinstance(each, Segment)
    ]
    if not found:
        return tag("p", "No label reaches its threshold anywhere.", class_="none")
    found.sort(key=lambda named: (named[1].start_s, named[1].end_s))
    several = any(name != seen.rows[-1].name for name, _ in found)
    heads = ("Start", "Length", "Label", *(["Row"] if several else []), "Probability", "Runner-up")
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
            tag("td", spelled(name), class_="whose") if several else None,
            tag("td", _probability(each)),
            tag("td", _rival(each), class_="rival"),
            data_start=f"{each.start_s:.3f}",
            data_end=f"{each.end_s:.3f}",
            data_row=spelled(name),
        )
        for name, each in found
    ]
    head = tag("thead", tag("tr", [tag("th", name, scope="col") for name in heads]))
    return tag("div", tag("table", head, tag("tbody", rows)), class_="tall")


def _probability(each: Segment) -> str:
    """Nothing of what is measured rather than believed, such as who is near whom."""
    return "" if each.runner_up is None and each.probability == 1 else f"{100 * each.probability:.0f} %"


def _rival(each: Segment) -> str:
    if each.runner_up is None or each.runner_up_probability is None:
        return ""
    return f"{spelled(each.runner_up)} {100 * each.runner_up_probability:.0f} %"


def _keys() -> Html:
    return tag("dl", [join(tag("dt", keys), tag("dd", what)) for keys, what in _KEYS])


def _asset(name: str) -> str:
    return (files("kinesphere.predict.files") / name).read_text(encoding="utf-8")


TIMELINE_FILES.add(".html", TimelineFile("HTML page", _write, takes_rows=True))
