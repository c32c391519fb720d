"""What became of every proposal of a detector that proposes first, and why: of the dropped ones, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from kinesphere.annotations.timed import TimedLabels
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import make_folder, replacing
from kinesphere.core.rows import write_csv, write_json
from kinesphere.localise.structured import PoolRule, pools_of
from kinesphere.predict.features import VideoFeatures

Fate = Literal["detected", "overlapped", "surpassed", "suppressed", "too_low"]
REASONS: dict[Fate, str] = {
    "detected": "it became a detection",
    "overlapped": "it overlaps a better proposal too much",
    "surpassed": "surer ones fill what is kept of a video",
    "suppressed": "a surer detection of its label overlaps it",
    "too_low": "the score of its best label is too low",
}
Role = Literal["foreground", "incomplete", "background", "aside", ""]
SUFFIXES = (".csv", ".json")


@dataclass(frozen=True)
class ProposalFate:
    """One proposal.

    Attributes:
        video: Name of the video.
        start_s, end_s: Its ends.
        actionness: Sum of how much its rows look like action.
        fate: What became of it.
        reason: The same in words.
        label: Its best label; empty where it was dropped before it was judged.
        score: Of that label.
        better_start_s, better_end_s: Ends of what it was dropped for, if that was something.
        role: What it is of ground truth, as training divides proposals; empty without ground truth.
        truth: Label of the ground truth that it overlaps most.
        tiou: With that.
    """

    video: str
    start_s: float
    end_s: float
    actionness: float
    fate: Fate
    reason: str
    label: str = ""
    score: float | None = None
    better_start_s: float | None = None
    better_end_s: float | None = None
    role: Role = ""
    truth: str = ""
    tiou: float | None = None


@runtime_checkable
class Proposing(Protocol):
    """A detector that proposes before it judges."""

    def fates(self, features: VideoFeatures, video: str) -> list[ProposalFate]:
        """What becomes of each proposal in a video, the best proposals first, then the dropped ones."""


Hear = Callable[[VideoFeatures, str], None]
"""Told of the features of every video that was seen, with its name."""


def with_roles(
    fates: Sequence[ProposalFate], truth: TimedLabels, rule: PoolRule | None = None
) -> list[ProposalFate]:
    """The proposals with what they are of ground truth.

    Args:
        fates: Of any videos.
        truth: What happens in them; in videos without an action everything is background.
        rule: Limits of what is foreground, incomplete and background.
    """
    rule = rule or PoolRule(coverage=0.0)
    found: list[ProposalFate] = []
    for video in dict.fromkeys(each.video for each in fates):
        own = [each for each in fates if each.video == video]
        labels = [each for each in truth.labels if each.video == video and each.end_s > each.start_s]
        if not labels:
            found += [replace(each, role="background", tiou=0.0) for each in own]
            continue
        pools = pools_of(
            np.array([(each.start_s, each.end_s) for each in own]),
            np.array([(each.start_s, each.end_s) for each in labels]),
            np.arange(len(labels)),
            1,
            rule,
        )
        roles: list[Role] = ["aside"] * len(pools.segments)
        named: tuple[Role, ...] = ("foreground", "incomplete", "background")
        for role, indices in zip(named, pools.all, strict=True):
            for i in indices.tolist():
                roles[i] = role
        for i, each in enumerate(own):
            label = "" if pools.labels[i] < 0 else labels[int(pools.labels[i])].label
            found.append(replace(each, role=roles[i], truth=label, tiou=float(pools.overlaps[i])))
    return found


def write_fates(fates: Sequence[ProposalFate], path: Path) -> None:
    """Write proposals as CSV or JSON.

    Raises:
        InvalidSetting: If the suffix is another.
        UnwritableFile: If nothing can be written there.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidSetting(f"Proposals are written as {' or '.join(SUFFIXES)}; got {path.name}.")
    make_folder(path.parent)
    names = [each.name for each in fields(ProposalFate)]
    with replacing(path) as scratch:
        if suffix == ".json":
            write_json(scratch, {"proposals": [asdict(each) for each in fates]}, indent=1)
        else:
            write_csv(scratch, names, ([getattr(each, name) for name in names] for each in fates))
