"""NTU RGB+D, and its extension to 120 classes: daily, medical and mutual actions before three cameras."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kinesphere.annotations.formats.ntu import NtuName, read_missing, read_ntu, write_example
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.files import paths_ending
from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard, Labelled, Recording
from kinesphere.models.weights.class_names import names_of

# Subjects that train by the cross-subject protocol of NTU RGB+D 120 (Liu et al. 2020, section 3.2). Those up
# to 40 are the ones of NTU RGB+D (Shahroudy et al. 2016, section 4.2), which has no others.
SUBJECTS = frozenset({
    1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38, 45, 46, 47, 49, 50, 52, 53, 54,
    55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89, 91, 92, 93, 94, 95, 97, 98, 100, 103,
})  # fmt: skip
PROTOCOLS = {60: ("cross_subject", "cross_view"), 120: ("cross_subject", "cross_setup")}
"""Protocols of NTU RGB+D and of NTU RGB+D 120, by their number of classes."""
PAPER = {
    60: "Shahroudy, Liu, Ng, Wang (2016): NTU RGB+D: a large scale dataset for 3D human activity analysis",
    120: "Liu, Shahroudy, Perez, Wang, Duan, Kot (2020): NTU RGB+D 120: a large-scale benchmark for 3D human "
    "activity understanding",
}
SOURCE = "https://rose1.ntu.edu.sg/dataset/actionRecognition; https://github.com/shahroudy/NTURGB-D"
CARD = DatasetCard(
    title="NTU RGB+D and its 120 classes (cross-subject; cross-view, cross-setup beside)",
    content="skeletons",
    size="56 880 and 114 480 clips of 40 and 106 subjects; 302 and 535 of them have no usable skeleton",
    licence="the authors' terms",
    source=SOURCE,
    layout="SXXXCXXXPXXXRXXXAXXX.skeleton and the authors' *missing_skeletons.txt",
    classes=names_of("ntu120"),
    splits=("train", "test"),
    protocols=tuple(dict.fromkeys((*PROTOCOLS[60], *PROTOCOLS[120]))),
    groups="performer",
    columns=("action", "camera", "setup"),
    paper="; ".join(PAPER.values()),
    class_count=120,
)


def columns_of(name: NtuName) -> tuple[tuple[str, str], ...]:
    """What a clip's name says beside its class and performer: the class's code, camera and setup."""
    return (
        ("action", f"A{name.action:03d}"),
        ("camera", str(name.camera)),
        ("setup", str(name.setup)),
    )


def parts_of(name: NtuName, *classes: int) -> tuple[tuple[str, str], ...]:
    """The part that a clip belongs to by each protocol of the sets with these numbers of classes."""
    trains = {
        "cross_subject": name.performer in SUBJECTS,
        "cross_view": name.camera != 1,
        "cross_setup": name.setup % 2 == 0,
    }
    protocols = dict.fromkeys(protocol for each in classes for protocol in PROTOCOLS[each])
    return tuple((protocol, "train" if trains[protocol] else "test") for protocol in protocols)


def read(folder: Path) -> Iterator[Recording | Skipped]:
    """The recordings of a folder, without those that the authors list as missing."""
    missing: set[str] = set()
    for path in sorted(folder.glob("*missing_skeletons.txt")):
        try:
            missing |= read_missing(path)
        except InvalidAnnotation as error:
            yield Skipped.because(path.name, error)
    for path in paths_ending(folder, ".skeleton"):
        if path.stem in missing:
            yield Skipped(path.name, "it is on the list of missing skeletons", is_failure=False)
            continue
        try:
            name, poses = NtuName.parse(path.name), read_ntu(path)
        except InvalidAnnotation as error:
            yield Skipped.because(path.name, error)
            continue
        extra = columns_of(name)
        yield Recording(
            path.stem,
            poses,
            (Labelled(CARD.classes[name.action - 1], extra=extra),),
            f"P{name.performer:03d}",
            parts_of(name, 60, 120),
        )


def _write_example(folder: Path) -> Path:
    for performer, camera, action in ((1, 1, 1), (2, 2, 2), (3, 1, 2), (6, 3, 120)):
        write_example(
            folder / f"S{action % 2 + 1:03d}C{camera:03d}P{performer:03d}R001A{action:03d}.skeleton"
        )
    (folder / "missing_skeletons.txt").write_text("S001C001P009R001A001\n", encoding="utf-8")
    return folder


DATASETS.add("ntu", Dataset(CARD, read, _write_example))
