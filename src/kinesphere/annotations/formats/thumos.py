"""THUMOS14's text files: a folder of annotations, one file a class, and results in one file.

Jiang et al.: "THUMOS challenge: action recognition with a large number of classes", 2014. Annotations are
lines of `video start end` in `Diving_test.txt`; results are lines of `video start end class score`, where the
class is a name or its number among the 101 of UCF101.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.parsing.text_lines import Lines
from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels, video_name
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import brief

AMBIGUOUS = "Ambiguous"
CLASSES = {
    7: "BaseballPitch", 9: "BasketballDunk", 12: "Billiards", 21: "CleanAndJerk", 22: "CliffDiving",
    23: "CricketBowling", 24: "CricketShot", 26: "Diving", 31: "FrisbeeCatch", 33: "GolfSwing",
    36: "HammerThrow", 40: "HighJump", 45: "JavelinThrow", 51: "LongJump", 68: "PoleVault", 79: "Shotput",
    85: "SoccerPenalty", 92: "TennisSwing", 93: "ThrowDiscus", 97: "VolleyballSpiking",
}  # fmt: skip
"""The classes of the task of detection, by the number that results may name them by."""
_OF_A_CLASS = re.compile(r"(.+)_(test|val|validation)\.txt")


def read_thumos(path: Path) -> TimedLabels:
    """A folder of annotations, or a file of lines `video start end [class [score]]`.

    Lines without a class are of the one that the file is named after.

    Raises:
        InvalidAnnotation: If a line is wrong (it is named), or the folder holds no such files or those of two
            subsets.
    """
    if not path.is_dir():
        return TimedLabels.of(_lines(path))
    files = {
        file: found for file in sorted(path.glob("*.txt")) if (found := _OF_A_CLASS.fullmatch(file.name))
    }
    subsets = {found[2] for found in files.values()}
    if len(subsets) != 1:
        holds = f"those of {' and '.join(sorted(subsets))}" if subsets else "none"
        raise InvalidAnnotation(
            f"{path} should hold files such as Diving_test.txt, of one subset; it holds {holds}. Name the "
            "folder of the annotations themselves."
        )
    return TimedLabels.of(label for file in files for label in _lines(file))


def _lines(path: Path) -> Iterator[TimedLabel]:
    found = _OF_A_CLASS.fullmatch(path.name)
    lines = Lines(path)
    while lines.more():
        words = lines.words()
        if len(words) not in ((3, 4, 5) if found else (4, 5)):
            of_frames = " A label a frame is not read; write segments in seconds." if len(words) == 1 else ""
            raise lines.error(
                "lines are `video start end class score`, or `video start end class` in annotations, whose "
                f"class may also be the file's name (Diving_test.txt); got {brief(' '.join(words[:8]))}."
                f"{of_frames}"
            )
        try:
            start_s, end_s = lines.value(words[1]), lines.value(words[2])
            score = lines.value(words[4]) if len(words) == 5 else None
        except ValueError:
            raise lines.error(
                f"times and scores should be numbers; got {brief(' '.join(words[:8]))}."
            ) from None
        label = words[3] if len(words) > 3 else found[1] if found else ""
        label = (
            CLASSES.get(int(label), label)
            if label.isascii() and label.isdigit() and len(label) < 4
            else label
        )
        try:
            if score is None:
                yield TimedLabel(video_name(words[0]), label, start_s, end_s)
            else:
                yield Detection(video_name(words[0]), label, start_s, end_s, score=score)
        except InvalidAnnotation as error:
            raise lines.error(str(error)) from None


def write_example(path: Path) -> None:
    """Two results."""
    path.write_text(
        "video_test_0000004 0.2 1.1 23 0.9\nvideo_test_0000004 11.4 12.2 Diving 0.5\n", encoding="utf-8"
    )


FORMATS.add(
    "thumos",
    Format("THUMOS14 text", (".txt",), "timed labels, with scores in results", read_thumos, write_example),
)
