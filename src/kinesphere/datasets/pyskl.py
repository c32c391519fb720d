"""Skeleton pickles of PySKL and MMAction2, which hold a data set of any classes in one file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kinesphere.annotations.formats.pyskl import read_pyskl, write_example
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard, Labelled, Recording

CARD = DatasetCard(
    title="a PySKL or MMAction2 skeleton pickle",
    content="skeletons",
    size="whatever the file holds",
    licence="that of the data set whose skeletons they are",
    source="https://github.com/kennymckormick/pyskl/blob/main/tools/data/README.md",
    layout="one .pkl file",
    splits=("train", "val"),
    paper="Duan, Wang, Chen, Lin (2022): PYSKL: Towards good practices for skeleton action recognition",
)


def read(path: Path) -> Iterator[Recording | Skipped]:
    """The clips of one pickle."""
    if path.is_dir():
        raise InvalidSetting(f"PySKL keeps a data set in one .pkl file; name it instead of {path}.")
    content = read_pyskl(path)
    yield from content.skipped
    for protocol in content.protocols.unknown:
        yield Skipped(f"split {protocol[:80]!r}", "its name tells neither train nor val nor test")
    for name in content.protocols.clips:
        if name not in content:
            yield Skipped(name, "it is on a list of the splits, but has no annotation", is_failure=False)
    for name, clip in content.items():
        try:
            if clip.label is None:
                yield Skipped(name, "it has no label", is_failure=False)
                continue
            label = Labelled(clip.label if isinstance(clip.label, str) else f"class{clip.label:03d}")
            yield Recording(name.strip("/"), clip.poses(), (label,), protocols=content.protocols.of(name))
        except InvalidAnnotation as error:
            yield Skipped.because(name, error)


def _write_example(folder: Path) -> Path:
    write_example(folder / "example.pkl")
    return folder / "example.pkl"


DATASETS.add("pyskl", Dataset(CARD, read, _write_example))
