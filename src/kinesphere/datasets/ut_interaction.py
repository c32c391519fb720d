"""UT-Interaction: six ways in which two people meet, in sequences of two sets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.media import look_through
from kinesphere.data.official import Count
from kinesphere.data.sample import Sample
from kinesphere.datasets.example_videos import write_videos

# Classes in the order of their numbers.
CLASSES = ("handshake", "hug", "kick", "point", "punch", "push")
_NAME = re.compile(r"\d+_(\d+)_([0-5])")
# Sequences of each set, on a car park and on a lawn in the wind.
_SEQUENCES = {1: range(1, 11), 2: range(11, 21)}


def _card(number: int) -> DatasetCard:
    return DatasetCard(
        title=f"UT-Interaction, set {number}, segmented (leave one sequence out: --folds group)",
        content="videos",
        size="60 clips of 10 sequences",
        licence="for research, as its authors state it",
        source="https://cvrc.ece.utexas.edu/SDHA2010/Human_Interaction.html",
        layout="<number>_<sequence>_<class>.avi anywhere, cropped to the people (their shape tells point)",
        classes=CLASSES,
        groups="sequence",
        columns=("sequence",),
        paper="Ryoo, Aggarwal (2009): Spatio-temporal relationship match: video structure comparison "
        "for recognition of complex human activities",
        counts=(Count("", 60, is_checked=number == 1),),
        class_count=6,
    )


def read(folder: Path, number: int) -> Iterator[Sample | Skipped]:
    """The clips of one set; those of the other are passed over, and whole sequences are no clips."""
    for media in look_through(folder).media:
        match = _NAME.fullmatch(media.stem)
        if match is None or media.is_empty:
            reason = "an empty file" if media.is_empty else "its name is not such as 0_1_4.avi"
            yield Skipped(media.path.name, reason, is_failure=media.is_empty)
        elif int(match[1]) not in _SEQUENCES[number]:
            yield Skipped(media.path.name, f"its sequence is none of set {number}", is_failure=False)
        else:
            yield Sample(
                media.stem,
                media.path,
                (CLASSES[int(match[2])],),
                group=f"sequence{int(match[1]):02d}",
                extra=(("sequence", match[1]),),
            )


def _write_example(folder: Path, number: int) -> Path:
    first = _SEQUENCES[number][0]
    names = [f"{place}_{first + place // 2}_{place % 2}.avi" for place in range(4)]
    write_videos(folder, names)
    return folder


for _number in _SEQUENCES:
    DATASETS.add(
        f"ut_interaction_set{_number}",
        Dataset(_card(_number), partial(read, number=_number), partial(_write_example, number=_number)),
    )
