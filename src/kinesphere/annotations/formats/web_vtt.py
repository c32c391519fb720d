"""WebVTT subtitles (`.vtt`) whose cues are labels.

Kinesphere's own have the probability behind the label, `wave 65 % (fall 20 %)`; it becomes the score. Tags
within a cue are left out, comments, styles and positions are not read.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.parsing.text_lines import read_text
from kinesphere.annotations.timed import LONGEST_NAME, Detection, TimedLabel, TimedLabels
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import brief

_TIMES = re.compile(
    r"((?:\d{1,4}:)?\d\d:\d\d\.\d{3})[ \t]+-->[ \t]+((?:\d{1,4}:)?\d\d:\d\d\.\d{3})(?:[ \t].*)?"
)
_SCORED = re.compile(r"(.+?) (\d{1,3}) %(?: \(.* \d{1,3} %\))?")
_TAG = re.compile(r"<[^<>\n]{0,200}>")


def read_web_vtt(path: Path) -> TimedLabels:
    """The cues as labels of one video without a name.

    Raises:
        InvalidAnnotation: If it is no WebVTT, or a cue ends before it starts; its number is named.
    """
    blocks = re.split(r"\n{2,}", read_text(path).replace("\r\n", "\n").replace("\r", "\n").strip("\n"))
    if not re.match(r"WEBVTT(?:[ \t\n]|$)", blocks[0]):
        raise InvalidAnnotation(f"{path} is no WebVTT: it begins with {brief(blocks[0][:40])}.")
    labels: list[TimedLabel] = []
    blank = 0
    for number, block in enumerate(blocks[1:], 1):
        lines = block.split("\n")
        at = next((i for i, line in enumerate(lines[:2]) if "-->" in line), None)
        if at is None:  # a comment, a style or a region
            continue
        times = _TIMES.fullmatch(lines[at].strip())
        if times is None:
            raise InvalidAnnotation(f"{path}, block {number}: {brief(lines[at])} are no times of WebVTT.")
        text = html.unescape(_TAG.sub("", " ".join(lines[at + 1 :]))).strip()
        if not text:
            blank += 1
            continue
        start_s, end_s = map(_seconds, times.groups())
        scored = _SCORED.fullmatch(text) if len(text) <= LONGEST_NAME else None
        try:
            labels.append(
                TimedLabel("", text, start_s, end_s)
                if scored is None
                else Detection("", scored[1], start_s, end_s, score=int(scored[2]) / 100)
            )
        except InvalidAnnotation as error:
            raise InvalidAnnotation(f"{path}, block {number}: {error}") from None
    notes = (f"{path}: {blank} cues without a text are left out",) if blank else ()
    return TimedLabels(tuple(labels), ("",), notes=notes)


def _seconds(clock: str) -> float:
    *hours, minutes, seconds = clock.split(":")
    return 3600 * int(hours[0] if hours else 0) + 60 * int(minutes) + float(seconds)


def write_example(path: Path) -> None:
    """A comment and two cues."""
    cues = (
        "WEBVTT",
        "NOTE by hand",
        "00:00.000 --> 00:01.500\nrun",
        "2\n01:00:02.000 --> 01:00:03.000\nwalk",
    )
    path.write_text("\n\n".join(cues) + "\n", encoding="utf-8")


FORMATS.add("web_vtt", Format("WebVTT subtitles", (".vtt",), "timed labels", read_web_vtt, write_example))
