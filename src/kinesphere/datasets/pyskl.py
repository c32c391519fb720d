"""Skeleton pickles of PySKL and MMAction2, which hold a data set of any classes in one file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kinesphere.annotations.formats.pyskl import PysklClip, read_pyskl, write_example
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


def read(path: Path, names: Sequence[str] = ()) -> Iterator[Recording | Skipped]:
    """The clips of one pickle.

    Args:
        path: The pickle.
        names: Of its classes, in the order of the numbers by which it knows them.

    Raises:
        InvalidSetting: If it is a folder, or a class has none of the names.
    """
    if path.is_dir():
        raise InvalidSetting(f"PySKL keeps a data set in one .pkl file; name it instead of {path}.")
    content = read_pyskl(path)
    _check_names(map(_label, content.values()), names, path)
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
            label = clip.label
            if not isinstance(label, str):
                label = names[label] if names else f"class{label:03d}"
            parts, protocols = (Labelled(label),), content.protocols.of(name)
            yield Recording(name.strip("/"), clip.poses(), parts, protocols=protocols)
        except InvalidAnnotation as error:
            yield Skipped.because(name, error)


def _check_names(numbers: Iterable[int | str | None], names: Sequence[str], path: Path) -> None:
    """Refuse a list of names that does not reach to the last class, before anything is written."""
    last = max((number for number in numbers if isinstance(number, int)), default=-1)
    if names and last >= len(names):
        raise InvalidSetting(
            f"{path} has a class {last}, counted from 0, but there are {len(names)} names of classes; give "
            "the list of this data set."
        )


def _label(clip: PysklClip) -> int | str | None:
    try:
        return clip.label
    except InvalidAnnotation:  # said where the clip is read
        return None


def _write_example(folder: Path) -> Path:
    write_example(folder / "example.pkl")
    return folder / "example.pkl"


DATASETS.add("pyskl", Dataset(CARD, read, _write_example, read_named=read))
