"""MSR-Action3D: 20 actions of playing a game, before a first depth camera."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kinesphere.annotations.formats.msr_action3d import read_msr, write_example
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.files import paths_ending
from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard, Labelled, Recording
from kinesphere.data.official import Count
from kinesphere.datasets.numbered_files import check_numbers, named, unnamed

# Actions in the order of their numbers.
ACTIONS = (
    "high arm wave", "horizontal arm wave", "hammer", "hand catch", "forward punch", "high throw", "draw x",
    "draw tick", "draw circle", "hand clap", "two hand wave", "side boxing", "bend", "forward kick",
    "side kick", "jogging", "tennis swing", "tennis serve", "golf swing", "pick up and throw",
)  # fmt: skip
# Three sets of eight actions, by number, that the set's authors tell apart (Li, Zhang, Liu 2010, table 1).
_SUBSETS = {
    "as1": frozenset({2, 3, 5, 6, 10, 13, 18, 20}),
    "as2": frozenset({1, 4, 7, 8, 9, 11, 14, 12}),
    "as3": frozenset({6, 14, 15, 16, 17, 18, 19, 20}),
}
_NAME = re.compile(r"a(\d{2})_s(\d{2})_e(\d{2})_skeleton3D\.txt")
CARD = DatasetCard(
    title="MSR-Action3D (odd subjects train, even test)",
    content="skeletons",
    size="567 clips of 10 subjects; one shows nobody",
    licence="the authors' terms",
    source="https://sites.google.com/view/wanqingli/data-sets/msr-action3d",
    layout="aXX_sYY_eZZ_skeleton3D.txt",
    classes=ACTIONS,
    splits=("train", "test"),
    groups="subject",
    columns=tuple(_SUBSETS),
    paper="Li, Zhang, Liu (2010): Action recognition based on a bag of 3D points",
    counts=(Count("train", 291, is_checked=True), Count("test", 275, is_checked=True)),
    class_count=len(ACTIONS),
)


def read(folder: Path) -> Iterator[Recording | Skipped]:
    """The clips of a folder."""
    yield from unnamed(folder, _NAME, "_skeleton3D.txt", "a01_s01_e01_skeleton3D.txt")
    if in_pixels := len(paths_ending(folder, "_skeleton.txt")):
        reason = f"{in_pixels} files in pixels of the depth image; those in metres are read, *_skeleton3D.txt"
        yield Skipped("*_skeleton.txt", reason, is_failure=False)
    for path in named(folder, _NAME):
        action, subject, take = (int(part) for part in re.findall(r"\d{2}", path.name)[:3])
        try:
            check_numbers(("action", action, len(ACTIONS)), ("subject", subject, 10), ("repetition", take, 3))
            poses = read_msr(path)
        except InvalidAnnotation as error:
            yield Skipped.because(path.name, error)
            continue
        label = ACTIONS[action - 1]
        subsets = tuple((name, label if action in set_ else "") for name, set_ in _SUBSETS.items())
        yield Recording(
            path.name.removesuffix("_skeleton3D.txt"),
            poses,
            (Labelled(label, extra=subsets),),
            f"subject{subject:02d}",
            (("", "train" if subject % 2 else "test"),),
        )


def _write_example(folder: Path) -> Path:
    for action, subject in ((action, subject) for action in (1, 2, 20) for subject in (1, 2)):
        write_example(folder / f"a{action:02d}_s{subject:02d}_e01_skeleton3D.txt")
    return folder


DATASETS.add("msr_action3d", Dataset(CARD, read, _write_example))
