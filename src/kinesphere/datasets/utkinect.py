"""UTKinect-Action3D: ten actions one after the other in each sequence of a depth camera."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kinesphere.annotations.formats.utkinect import (
    ACTIONS,
    FPS,
    Passage,
    read_utkinect,
    read_utkinect_labels,
    write_example,
    write_example_labels,
)
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard, Labelled, Recording
from kinesphere.data.official import Count
from kinesphere.datasets.numbered_files import check_numbers, named, unnamed

_NAME = re.compile(r"joints_(s(\d{2})_e\d{2})\.txt")
CARD = DatasetCard(
    title="UTKinect-Action3D (groups are subjects)",
    content="skeletons",
    size="199 passages in 20 sequences of 10 subjects",
    licence="the authors' terms",
    source="http://cvrc.ece.utexas.edu/KinectDatasets/HOJ3D.html",
    layout="joints_sXX_eYY.txt and actionLabel.txt",
    classes=ACTIONS,
    groups="subject",
    paper="Xia, Chen, Aggarwal (2012): View invariant human action recognition using histograms of 3D joints",
    counts=(Count("", 199),),
    class_count=len(ACTIONS),
)


def read(folder: Path) -> Iterator[Recording | Skipped]:
    """The sequences of a folder, with the passages that its list labels."""
    labels = read_utkinect_labels(folder / "actionLabel.txt")
    for wrong in labels.wrong:
        yield Skipped("actionLabel.txt", wrong)
    for passage in labels.missing:
        yield Skipped(f"{passage.sequence} {passage.label}", "its frames are not given", is_failure=False)
    passages: dict[str, list[Passage]] = {}
    for passage in labels.found:
        passages.setdefault(passage.sequence, []).append(passage)
    yield from unnamed(folder, _NAME, ".txt", "joints_s01_e01.txt", ("actionLabel.txt",), is_failure=False)
    known = set()
    for path in named(folder, _NAME):
        sequence = path.stem.removeprefix("joints_")
        known.add(sequence)
        try:
            check_numbers(("subject", int(sequence[1:3]), 10), ("repetition", int(sequence[5:7]), 2))
            poses, first = read_utkinect(path)
        except InvalidAnnotation as error:
            yield Skipped.because(path.name, error)
            continue
        last = first + round(float(poses.times[-1]) * FPS)
        parts = []
        for passage in passages.get(sequence, ()):
            if passage.last < first or passage.first > last:
                yield Skipped(
                    f"{sequence} {passage.label}",
                    f"it runs from frame {passage.first} to {passage.last}, the file from {first} to {last}",
                )
                continue
            span = max(passage.first - first, 0) / FPS, (passage.last + 1 - first) / FPS
            parts.append(Labelled(passage.label, span))
        if parts:
            yield Recording(sequence, poses, tuple(parts), f"subject{sequence[1:3]}")
        elif sequence not in passages:
            yield Skipped(path.name, "actionLabel.txt gives it no label", is_failure=False)
    for sequence in passages:
        if sequence not in known:
            yield Skipped(sequence, "it is labelled, but its file is not there", is_failure=False)


def _write_example(folder: Path) -> Path:
    sequences = ("s01_e01", "s02_e01", "s03_e02")
    for name in sequences:
        write_example(folder / f"joints_{name}.txt")
    write_example_labels(folder / "actionLabel.txt", sequences)
    return folder


DATASETS.add("utkinect", Dataset(CARD, read, _write_example))
