"""JHMDB: 21 kinds of action in short clips of films and the web, with joints placed by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kinesphere.annotations.formats.jhmdb import CLASSES, JhmdbClip, read_jhmdb, write_example
from kinesphere.annotations.parsing.split_protocols import Protocols, protocol_part
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard, Labelled, Recording
from kinesphere.data.official import Count

CARD = DatasetCard(
    title="JHMDB (ground-truth joints, its splits)",
    content="skeletons",
    size="928 clips; 609 of 14 classes in DD-Net's split 1",
    licence="the authors' terms",
    source="http://jhmdb.is.tue.mpg.de; the joints of its splits as the data of https://github.com/fandulu/DD-Net",
    layout="<protocol>_train.npz and <protocol>_test.npz: joints, lengths and labels of DD-Net's pickles",
    classes=tuple(sorted(CLASSES)),
    splits=("train", "test"),
    protocols=("split1", "split2", "split3"),
    paper="Jhuang, Gall, Zuffi, Schmid, Black (2013): Towards understanding action recognition",
    counts=(Count("", 928),),
    class_count=len(CLASSES),
)


def read(folder: Path) -> Iterator[Recording | Skipped]:
    """The clips of all files, each once: a clip is known again by its joints and its class."""
    files = [folder] if folder.is_file() else list(folder.glob("*.npz"))
    lists: dict[str, list[str]] = {}
    clips: dict[str, tuple[str, JhmdbClip]] = {}
    for path in sorted(files, key=lambda path: ("train" not in path.stem, path.name)):
        if protocol_part(path.stem) is None:
            yield Skipped(path.name, "its name tells neither train nor test", is_failure=False)
            continue
        try:
            content = read_jhmdb(path)
        except InvalidAnnotation as error:
            yield Skipped.because(path.name, error)
            continue
        lists[path.stem] = []
        for number, clip in enumerate(content):
            name = f"{path.stem}/{number:04d}"
            if isinstance(clip, InvalidAnnotation):
                yield Skipped.because(name, clip)
                continue
            if clip.label not in CLASSES:
                yield Skipped(name, f"{clip.label[:80]!r} is none of the set's {len(CLASSES)} classes")
                continue
            lists[path.stem].append(clip.digest)
            clips.setdefault(clip.digest, (name, clip))
    protocols = Protocols(lists)
    for digest, (name, clip) in clips.items():
        try:
            yield Recording(name, clip.poses, (Labelled(clip.label),), protocols=protocols.of(digest))
        except InvalidAnnotation as error:
            yield Skipped.because(name, error)


def _write_example(folder: Path) -> Path:
    for number, protocol in enumerate(CARD.protocols):
        for tests, part in enumerate(CARD.splits):
            write_example(folder / f"{protocol}_{part}.npz", CARD.classes[:3], seed=(number + tests) % 3)
    return folder


DATASETS.add("jhmdb", Dataset(CARD, read, _write_example))
