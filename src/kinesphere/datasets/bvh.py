"""Motion capture in BVH files, in folders that are the labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from kinesphere.annotations.formats.bvh import read_bvh, write_example
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.files import paths_ending
from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Captured, Dataset, DatasetCard, Labelled

CARD = DatasetCard(
    title="BVH motion capture (labels are folders)",
    content="motion capture",
    size="any",
    licence="that of the files",
    source="any motion capture in BVH with bones called as in CMU's files or the Bandai Namco sets",
    layout="<label>/<name>.bvh",
    groups="file",
)


def captured(
    folder: Path, describe: Callable[[Path], tuple[Labelled, str] | None]
) -> Iterator[Captured | Skipped]:
    """The `.bvh` files below a folder, with the label and the group that `describe` gives them."""
    for path in paths_ending(folder, ".bvh"):
        inside = path.relative_to(folder)
        try:
            described = describe(inside)
            if described is None:
                yield Skipped(inside.as_posix(), "its name tells no label", is_failure=False)
                continue
            motion = read_bvh(path)
            motion.joints()
        except InvalidAnnotation as error:
            yield Skipped.because(inside.as_posix(), error)
            continue
        yield Captured(path, inside.with_suffix("").as_posix(), motion, *described)


def read(folder: Path) -> Iterator[Captured | Skipped]:
    """The motions of a folder; one that lies in no folder of its own is called `motion`."""
    return captured(folder, lambda path: (Labelled(path.parent.name or "motion"), path.stem))


def write_examples(folder: Path, *names: str) -> Path:
    """A small motion under each name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_example(folder / name)
    return folder


DATASETS.add(
    "bvh", Dataset(CARD, read, lambda folder: write_examples(folder, "walk/first.bvh", "turn/second.bvh"))
)
