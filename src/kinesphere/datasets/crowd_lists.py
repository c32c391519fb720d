"""Lists of TwentyBN's sets: a number and a class a line, `78687;Holding something`, one list a part."""

from __future__ import annotations

from collections.abc import Iterator

from kinesphere.core.skipped import Skipped
from kinesphere.data.media import SetFolder
from kinesphere.data.official import Entry, lines_of, lists_of

PARTS = {"train": "train", "validation": "val", "test": "test"}


def numbered_entries(folder: SetFolder, prefix: str, fps: int) -> Iterator[Entry | Skipped]:
    """The clips of the parts' lists, each a folder of frames under its number.

    Args:
        folder: Where the lists lie.
        prefix: What their names begin with: `jester-v1`.
        fps: Rate at which the frames were taken, a column of the manifest.
    """
    lists = lists_of(folder, rf"{prefix}-({'|'.join(PARTS)})\.csv", f"{prefix}-train.csv")
    for path, match in lists:
        for place, line in lines_of(path):
            number, _, label = line.partition(";")
            if not number.strip().isdecimal():
                yield Skipped(place, f"{line[:80]!r} is not the number of a clip and its class")
                continue
            labels = (label.strip(),) if label.strip() else ()  # lists of the test keep them back
            part = PARTS[match[1].lower()]
            yield Entry(number.strip(), labels, (("", part),), extra=(("fps", str(fps)),))
