"""The videos of NTU RGB+D 60 and 120; `ntu` has their skeletons. Parts follow from the files' names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from kinesphere.annotations.formats.ntu import NtuName, read_missing
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.media import look_through
from kinesphere.data.official import Count
from kinesphere.data.sample import Sample
from kinesphere.datasets.example_videos import write_lines, write_videos
from kinesphere.datasets.ntu import PAPER, PROTOCOLS, SOURCE, columns_of, parts_of
from kinesphere.models.weights.class_names import names_of

_LAST_SETUP_OF_60 = 17


def _card(classes: int, clips: int, people: int, counts: tuple[Count, ...]) -> DatasetCard:
    return DatasetCard(
        title=f"NTU RGB+D{'' if classes == 60 else ' 120'}, colour videos",
        content="videos",
        size=f"{clips:,} clips of {people} subjects before three cameras".replace(",", " "),
        licence="the authors' terms, for research",
        source=SOURCE,
        layout="SXXXCXXXPXXXRXXXAXXX_rgb.avi anywhere, or folders of frames; the authors' "
        "*missing_skeletons.txt",
        classes=names_of("ntu120")[:classes],
        splits=("train", "test"),
        protocols=PROTOCOLS[classes],
        groups="performer",
        columns=("action", "camera", "setup", "skeleton"),
        paper=PAPER[classes],
        counts=(Count("", clips), *counts),
        class_count=classes,
    )


CARDS = {
    60: _card(
        60,
        56_880,
        40,
        (
            Count("train", 40_320, "cross_subject"),
            Count("test", 16_560, "cross_subject"),
            Count("train", 37_920, "cross_view"),
            Count("test", 18_960, "cross_view"),
        ),
    ),
    120: _card(
        120,
        114_480,
        106,
        (
            Count("train", 63_360, "cross_subject"),
            Count("test", 51_120, "cross_subject"),
            Count("train", 54_720, "cross_setup"),
            Count("test", 59_760, "cross_setup"),
        ),
    ),
}


def read(folder: Path, classes: int) -> Iterator[Sample | Skipped]:
    """The clips of one of the two sets; the column `skeleton` says `missing` where the authors list it so.

    Published scores of skeletons leave those out, scores of videos count them.
    """
    below = look_through(folder)
    missing: set[str] = set()
    for path in below.files:
        if path.name.endswith("missing_skeletons.txt"):
            try:
                missing |= read_missing(path)
            except InvalidAnnotation as error:
                yield Skipped.because(path.name, error)
    for media in below.media:
        try:
            name = NtuName.parse(media.stem)
        except InvalidAnnotation as error:
            yield Skipped(media.path.name, str(error), is_failure=False)
            continue
        if classes == 60 and (name.action > 60 or name.setup > _LAST_SETUP_OF_60):
            yield Skipped(media.path.name, "it is of NTU RGB+D 120", is_failure=False)
        elif media.is_empty:
            yield Skipped(media.path.name, "an empty file")
        else:
            yield _sample(media.path, media.stem[:20], name, classes, is_missing=media.stem[:20] in missing)


def _sample(path: Path, stem: str, name: NtuName, classes: int, *, is_missing: bool) -> Sample:
    parts = parts_of(name, classes)
    extra = (*columns_of(name), ("skeleton", "missing" if is_missing else "there"))
    label, group = CARDS[classes].classes[name.action - 1], f"P{name.performer:03d}"
    return Sample(stem, path, (label,), None, group, parts[0][1], (*extra, *parts))


def _write_example(folder: Path, classes: int) -> Path:
    names = [
        f"S{setup:03d}C{camera:03d}P{performer:03d}R001A{action:03d}"
        for setup, camera, performer, action in ((1, 1, 1, 1), (2, 2, 2, 2), (1, 1, 3, classes), (2, 3, 6, 2))
    ]
    write_videos(folder / "nturgb+d_rgb", [f"{name}_rgb.avi" for name in names])
    write_lines(folder / "missing_skeletons.txt", names[:1])
    return folder


for _classes, _known in CARDS.items():
    DATASETS.add(
        f"ntu{_classes}",
        Dataset(_known, partial(read, classes=_classes), partial(_write_example, classes=_classes)),
    )
