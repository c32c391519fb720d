"""Data sets that public weights learnt from, and which of them hold clips that others are tested on.

`WeightEntry.trained_on` and `Provenance.trained_on` name sets by the keys of `TITLES`. What is stated there
and here follows from publishers' own words (model zoos, configuration files, papers); an overlap that nobody
states is not listed, so that no warning is no proof.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

UNKNOWN = "unknown"
"""Stands first in `trained_on` where the publisher does not say what the weights started from."""

TITLES = {
    UNKNOWN: "unknown",
    "charades": "Charades",
    "clip_pairs": "CLIP's 400 million pairs of picture and text",
    "diving48": "Diving48",
    "finegym": "FineGym",
    "generated_people": "generated people",
    "hmdb51": "HMDB51",
    "ig65m": "IG-65M",
    "imagenet1k": "ImageNet-1K",
    "imagenet21k": "ImageNet-21K",
    "kinetics400": "Kinetics-400",
    "kinetics600": "Kinetics-600",
    "kinetics700": "Kinetics-700",
    "kinetics710": "Kinetics-710",
    "ntu60": "NTU RGB+D",
    "ntu120": "NTU RGB+D 120",
    "something_something_v1": "Something-Something v1",
    "something_something_v2": "Something-Something v2",
    "sports1m": "Sports-1M",
    "ucf101": "UCF101",
    "videomix22m": "VideoMix22M",
    "webli": "WebLI",
}
"""Names of the sets that weights of the zoo learnt from."""


@dataclass(frozen=True)
class Overlap:
    """Clips of a set's training part that are in another set's validation or test part.

    Attributes:
        trained_on: The set that was learnt from.
        tested_on: The set whose test it touches.
        what: What is known of it.
        source: Who states it, or whose definition of parts it follows from.
    """

    trained_on: str
    tested_on: str
    what: str
    source: str


_NTU = "https://arxiv.org/abs/1905.04757"
OVERLAPS = (
    Overlap(
        "kinetics700",
        "kinetics400",
        "its training part holds most of the validation part of Kinetics-400",
        "https://github.com/cvdfoundation/kinetics-dataset",
    ),
    Overlap(
        "kinetics700",
        "kinetics600",
        "its training part holds many validation and test clips of Kinetics-600",
        "https://arxiv.org/abs/1907.06987",
    ),
    Overlap(
        "ntu120",
        "ntu60",
        "it contains NTU RGB+D, whose cross-view test holds performers of its training part; the "
        "cross-subject test does not",
        _NTU,
    ),
    Overlap(
        "ntu60",
        "ntu120",
        "NTU RGB+D 120 contains it, and the cross-setup test there holds performers of its training part; "
        "the cross-subject test does not",
        _NTU,
    ),
    Overlap(
        "hmdb51",
        "jhmdb",
        "J-HMDB is a part of HMDB51, so that its test clips may have been learnt from, by the split",
        "https://doi.org/10.1109/ICCV.2013.396",
    ),
)


def shown(trained_on: Iterable[str]) -> str:
    """Sets in the order of training: `ImageNet-1K → Kinetics-400`."""
    return " → ".join(TITLES[name] for name in trained_on) or TITLES[UNKNOWN]


def overlaps(trained_on: Iterable[str], tested_on: str) -> tuple[Overlap, ...]:
    """What is known of clips of `tested_on` that weights may have learnt from."""
    sets = frozenset(trained_on)
    return tuple(each for each in OVERLAPS if each.trained_on in sets and each.tested_on == tested_on)
