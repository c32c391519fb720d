"""The recordings of a run: features of each video beside what happens in it, divided into subsets."""

from __future__ import annotations

import logging
import re
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kinesphere.annotations.formats.activitynet import short_name
from kinesphere.annotations.timed import TimedLabel, TimedLabels, video_name
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.limits import brief
from kinesphere.core.skipped import Skipped
from kinesphere.localise.assembly import Truth
from kinesphere.localise.settings import RecordingsSection
from kinesphere.predict.features import VideoFeatures

log = logging.getLogger("kinesphere.localise")
Group = tuple[bool, str]
"""Whether the labels name the group of a video, and its name, or that of the video."""
_BESIDE = re.compile(r"\.\w+\.npz$")


@dataclass(frozen=True, eq=False)
class Recording:
    """One video.

    Attributes:
        video: Its name, as in the labels.
        path: Its file.
        features: Rows and their times.
        labels: What happens in it.
        group: Who is seen in it; those of one group are on one side of every division.
    """

    video: str
    path: Path
    features: VideoFeatures
    labels: tuple[TimedLabel, ...]
    group: str = ""

    def truth(self, classes: Sequence[str]) -> Truth:
        """Its actions of these classes in rows of the features, those without length left out."""
        number = {name: i for i, name in enumerate(classes)}
        kept = [each for each in self.labels if each.label in number and each.end_s > each.start_s]
        seconds = np.array([(each.start_s, each.end_s) for each in kept]).reshape(-1, 2)
        rows = torch.from_numpy(self.features.to_grid(seconds)).float()
        return Truth(rows, torch.tensor([number[each.label] for each in kept], dtype=torch.long))

    def digest(self) -> str:
        """A short digest of its labels and features."""
        own = self.features
        about = (own.origin, own.values.shape, own.window_s, own.stride_s, own.duration_s, own.times_s[0])
        labels = [(each.label, each.start_s, each.end_s) for each in self.labels]
        checked = zlib.crc32(np.ascontiguousarray(own.values).data)
        return f"{zlib.crc32(repr((about, labels)).encode()):08x}{checked:08x}"

    def rows(self) -> Tensor:
        """`(C, T)` float32."""
        return torch.from_numpy(self.features.values.T.copy())


def truth_of(recordings: Sequence[Recording]) -> TimedLabels:
    """The labels of recordings, also of those without any."""
    return TimedLabels(
        tuple(each for own in recordings for each in own.labels),
        tuple(own.video for own in recordings),
        {own.video: own.features.duration_s for own in recordings},
    )


@dataclass(frozen=True, eq=False)
class Divided:
    """Names of videos by what they are for.

    Attributes:
        train, test: Videos, sorted by name.
        paths: The file of each.
        labels: All labels.
        skipped: Videos without labels or files, and labels of videos without a file.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    paths: dict[str, Path]
    labels: TimedLabels
    skipped: tuple[Skipped, ...]

    def group(self, video: str) -> str:
        """Who is seen in a video: its group, or itself where it has none."""
        return self.labels.groups.get(video, video)

    def of(self, video: str) -> tuple[TimedLabel, ...]:
        """The labels of one video."""
        return self._by_video[video]

    @cached_property
    def _by_video(self) -> dict[str, tuple[TimedLabel, ...]]:
        found: dict[str, list[TimedLabel]] = defaultdict(list)
        for each in self.labels.labels:
            found[each.video].append(each)
        return defaultdict(tuple, {video: tuple(own) for video, own in found.items()})


def divide(paths: Sequence[Path], labels: TimedLabels, section: RecordingsSection, seed: int) -> Divided:
    """Which videos train and which test.

    Raises:
        InvalidSetting: If two files are one video, a subset has no video, or subsets are asked for that the
            labels do not have.
        InvalidAnnotation: If no video has labels.
    """
    both, files, named, skipped = _together(paths, labels, section.tier)
    groups = {name: (name in named.groups, named.groups.get(name, name)) for name in both}
    train, test = _subsets(both, subsets_of(named), groups, section, seed)
    return Divided(train, test, files, named, skipped)


def all_tested(
    paths: Sequence[Path], labels: TimedLabels, tier: str | None = None, subset: str | None = None
) -> Divided:
    """Videos that all test: of one subset of the labels, or all.

    Raises:
        InvalidSetting: If two files are one video, or there is no such tier or subset.
        InvalidAnnotation: If no video has labels.
    """
    both, files, named, skipped = _together(paths, labels, tier)
    subsets = subsets_of(named)
    chosen = tuple(name for name in both if subset in (None, subsets.get(name, "")))
    if not chosen:
        known = ", ".join(sorted(set(subsets.values()) - {""})) or "none"
        raise InvalidSetting(f"No video is in the subset {subset!r}; subsets of the labels: {known}.")
    return Divided((), chosen, files, named, skipped)


def _together(
    paths: Sequence[Path], labels: TimedLabels, tier: str | None
) -> tuple[list[str], dict[str, Path], TimedLabels, tuple[Skipped, ...]]:
    """Videos that have files and labels, all files, the labels of a tier, and what has no counterpart."""
    kept = tuple(each for each in labels.labels if tier in (None, each.tier))
    if tier is not None and not kept:
        known = ", ".join(sorted({each.tier for each in labels.labels})) or "none"
        raise InvalidSetting(f"No label is on the tier {tier!r}; tiers: {known}.")
    files: dict[str, Path] = {}
    for path in paths:
        name = recording_name(path)
        if files.setdefault(name, path) != path:
            raise InvalidSetting(f"{files[name]} and {path} have one name in the labels, {name}; rename one.")
    named = {_plain(video): video for video in labels.videos}
    both = sorted(set(files) & set(named))
    if not both:
        raise InvalidAnnotation(
            f"None of the {len(files)} videos is named in the labels ({', '.join(list(named)[:3])} …); names "
            "are compared without folder and suffix."
        )
    skipped = [Skipped(str(files[name]), "no label file names it") for name in files if name not in named]
    skipped += [Skipped(named[name], "there is no video of this name") for name in named if name not in files]
    return both, files, _renamed(labels, kept), tuple(skipped)


def recording_name(path: Path) -> str:
    """A file's video as labels name it: without folder, suffix, and what pose files add."""
    return _plain(_BESIDE.sub("", path.name))


def _plain(video: str) -> str:
    """A name without folder, suffix, and the `v_` that ActivityNet's files have and its labels do not."""
    return short_name(video_name(video))


def _renamed(labels: TimedLabels, kept: Sequence[TimedLabel]) -> TimedLabels:
    moved = tuple(replace(each, video=_plain(each.video)) for each in kept)
    durations = {_plain(video): end for video, end in labels.durations_s.items()}
    subsets, groups, splits = (
        {_plain(video): said for video, said in of.items()}
        for of in (labels.subsets, labels.groups, labels.splits)
    )
    videos = tuple(map(_plain, labels.videos))
    return TimedLabels(moved, videos, durations, subsets, labels.notes, groups=groups, splits=splits)


def subsets_of(labels: TimedLabels) -> dict[str, str]:
    """The subset of each video by ActivityNet's JSON, or its split by a manifest."""
    return {**labels.splits, **labels.subsets}


def _subsets(
    names: list[str],
    subsets: Mapping[str, str],
    groups: Mapping[str, Group],
    section: RecordingsSection,
    seed: int,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    known = sorted(set(subsets.values()) - {""})
    if isinstance(section.test, float):
        test = _drawn(names, groups, section.test, seed)
        if known:
            log.warning(
                "data.test=%g draws the test videos; the subsets of the labels (%s) are passed over. Name "
                "them with data.train and data.test to use them.", section.test, ", ".join(known)[:100],
            )  # fmt: skip
        return tuple(n for n in names if n not in test), tuple(n for n in names if n in test)
    if section.train == section.test:
        raise InvalidSetting(
            f"data.train and data.test are both {section.test!r}; scores of what was trained on say nothing."
        )
    parts = tuple(
        tuple(name for name in names if subsets.get(name, "") == wanted)
        for wanted in (section.train, section.test)
    )
    for part, wanted in zip(parts, (section.train, section.test), strict=True):
        if not part:
            raise InvalidSetting(
                f"No video is in the subset {wanted!r}; subsets of the labels: {', '.join(known) or 'none'}. "
                "Name others with data.train and data.test, or give data.test as a fraction of the videos."
            )
    if shared := {groups[name] for name in parts[0]} & {groups[name] for name in parts[1]}:
        log.warning(
            "%d groups of videos are both trained and tested on, which flatters the scores; the first is %s.",
            len(shared),
            brief(min(shared)[1]),
        )
    return parts[0], parts[1]


def _drawn(names: list[str], groups: Mapping[str, Group], fraction: float, seed: int) -> set[str]:
    """The test videos: whole groups at random, until their number is nearest to the fraction.

    Raises:
        InvalidSetting: If none would be left on one side.
    """
    if not 0 < fraction < 1:
        raise InvalidSetting(
            f"data.test={fraction:g} is no fraction of the videos, which lies between 0 and 1; write a "
            "subset whose name is a number in quotes."
        )
    units: dict[Group, list[str]] = defaultdict(list)
    for name in names:
        units[groups[name]].append(name)
    order = torch.randperm(len(units), generator=torch.Generator().manual_seed(seed)).tolist()
    drawn = [list(units.values())[i] for i in order]
    count = round(fraction * len(names))
    far = np.abs(np.cumsum([0, *map(len, drawn)]) - count)
    taken = len(drawn) - int(far[::-1].argmin())
    if len(units) < len(names):  # of few groups one is drawn, however large it is
        taken = min(max(taken, 1), len(drawn) - 1)
    if not 0 < taken < len(drawn):
        raise InvalidSetting(
            f"data.test={fraction:g} of {len(names)} videos leaves none on one side; they are of "
            f"{len(units)} groups, which are not parted."
        )
    return {name for each in drawn[:taken] for name in each}
