"""The keyframes of a run beside the files of their videos, divided into what trains and what tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from kinesphere.annotations.formats.ava import read_frames, read_label_map
from kinesphere.annotations.keyframe_files import read_keyframes
from kinesphere.annotations.keyframes import FramesOfClasses, Keyframe, Keyframes
from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.timed import video_name
from kinesphere.clips.augment.settings import Augment
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.sides import mirror_order
from kinesphere.core.skipped import Skipped
from kinesphere.localise.people.clips import boxes_after, read_about, still_seen
from kinesphere.localise.people.settings import KeyframeSection
from kinesphere.video import Video


@dataclass(frozen=True, eq=False)
class KeyframeSet(FramesOfClasses):
    """Keyframes of videos that are there, with their files.

    Attributes:
        paths: The file of each video.
    """

    paths: dict[str, Path]

    def with_people(self) -> tuple[Keyframe, ...]:
        """Frames that somebody is in."""
        return tuple(each for each in self.frames if each.people)


def files_by_name(paths: Sequence[Path]) -> dict[str, Path]:
    """Videos by the names that annotations have for them.

    Raises:
        InvalidSetting: If two have one name.
    """
    files: dict[str, Path] = {}
    for path in paths:
        name = video_name(path.name)
        if files.setdefault(name, path) != path:
            raise InvalidSetting(f"{files[name]} and {path} have one name in the labels, {name}; rename one.")
    return files


def read_set(
    section: KeyframeSection,
    labels: Sequence[str],
    paths: Sequence[Path],
    names: Mapping[str, str] | None = None,
) -> tuple[Keyframes, KeyframeSet, list[Skipped]]:
    """The keyframes of some files, those of videos that are there, and what is not there.

    Args:
        section: How they are read.
        labels: The files.
        paths: The videos.
        names: Of the classes by number, where the section states no label map.

    Raises:
        InvalidAnnotation: If a file is wrong, or none of its videos is there.
        InvalidSetting: If two videos have one name.
    """
    files = files_by_name(paths)
    found = read_keyframes(
        [Path(each) for each in labels],
        Recordings(files=files),
        names=read_label_map(Path(section.label_map)) if section.label_map is not None else names,
        tracks=None if section.tracks is None else Path(section.tracks),
        classes=section.classes,
        every_s=section.every_s,
    )
    if section.excluded is not None:
        found = found.without(read_frames(Path(section.excluded)))
    missing = [name for name in found.videos if name not in files]
    there = tuple(each for each in found.frames if each.video in files)
    if not there:
        raise InvalidAnnotation(
            f"None of the {len(files)} videos is named in {', '.join(labels)}, which are of "
            f"{', '.join(found.videos[:3])} …; names are compared without folder and suffix."
        )
    skipped = [Skipped(name, "there is no video of this name") for name in missing]
    skipped += [Skipped(", ".join(labels), note, is_failure=False) for note in found.notes]
    return found, KeyframeSet(there, dict(found.numbers), files), skipped


def divided(
    section: KeyframeSection, paths: Sequence[Path], seed: int
) -> tuple[KeyframeSet, KeyframeSet, list[Skipped]]:
    """What trains, what tests, and what takes no part.

    Raises:
        InvalidAnnotation: If a file is wrong, or a side has no people.
        InvalidSetting: If subsets are asked for that the files do not have.
    """
    found, every, skipped = read_set(section, section.labels, paths)
    if section.test_labels:
        _, test, others = read_set(section, section.test_labels, paths)
        numbers = together(every.numbers, test.numbers)
        train = KeyframeSet(every.frames, numbers, every.paths)
        test = KeyframeSet(test.frames, numbers, test.paths)
        skipped += [each for each in others if each not in skipped]
    else:
        train, test = (_of(every, names) for names in _subsets(found, every.videos, section, seed))
    for part, what in ((train, "train"), (test, "test")):
        if not any(each.actions for frame in part.frames for each in frame.people):
            raise InvalidAnnotation(f"Nobody does anything in the {len(part)} keyframes to {what} on.")
    return train, test, skipped


def together(numbers: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    """The numbers of classes of two kinds of files; what both call alike has that of the first, and a number
    that is taken becomes the next free one."""
    found = dict(numbers)
    for name in sorted(others, key=lambda name: others[name]):
        if name not in found:
            taken = others[name] in found.values()
            found[name] = max(found.values()) + 1 if taken else others[name]
    return found


def of_subset(found: Keyframes, keyframes: KeyframeSet, subset: str) -> KeyframeSet:
    """The keyframes of one subset.

    Raises:
        InvalidSetting: If the files have no such subset.
    """
    chosen = [name for name in keyframes.videos if found.subsets.get(name) == subset]
    if not chosen:
        known = ", ".join(sorted({*found.subsets.values()} - {""})) or "none"
        raise InvalidSetting(f"No video is in the subset {subset!r}; subsets of the labels: {known}.")
    return _of(keyframes, chosen)


def _of(keyframes: KeyframeSet, videos: Sequence[str]) -> KeyframeSet:
    kept = tuple(each for each in keyframes.frames if each.video in set(videos))
    return KeyframeSet(kept, keyframes.numbers, keyframes.paths)


def _subsets(
    found: Keyframes, videos: Sequence[str], section: KeyframeSection, seed: int
) -> tuple[list[str], list[str]]:
    if isinstance(section.test, float):
        order = torch.randperm(len(videos), generator=torch.Generator().manual_seed(seed)).tolist()
        count = round(section.test * len(videos))
        if not 0 < count < len(videos):
            raise InvalidSetting(f"data.test={section.test} of {len(videos)} videos leaves none on one side.")
        test = {videos[i] for i in order[:count]}
        return [name for name in videos if name not in test], [name for name in videos if name in test]
    parts = [
        [name for name in videos if found.subsets.get(name, "") == wanted]
        for wanted in (section.train, section.test)
    ]
    for part, wanted in zip(parts, (section.train, section.test), strict=True):
        if not part:
            known = ", ".join(sorted({*found.subsets.values()} - {""})) or "none"
            raise InvalidSetting(
                f"No video is in the subset {wanted!r}; subsets of the labels: {known}. Name others with "
                "data.train and data.test, files with data.test_labels, or give data.test as a fraction."
            )
    return parts[0], parts[1]


@dataclass(frozen=True, eq=False)
class BoxClip:
    """What a network sees of a keyframe, and what it should answer.

    Attributes:
        data: uint8 `(T, 3, H, W)`.
        boxes: float32 `(R, 4)`: left, top, right, bottom px.
        targets: float32 `(R, K)`, 0 or 1.
    """

    data: Tensor
    boxes: Tensor
    targets: Tensor


class KeyframeClips(Dataset[BoxClip]):
    """Training clips about keyframes, changed at random; each is a function of seed and number alone.

    Args:
        keyframes: Those to train on.
        spec: Contract of the network's input.
        labels: The K classes.
        augment: What is changed.
        seed: Of this epoch.
    """

    def __init__(
        self, keyframes: KeyframeSet, spec: ClipSpec, labels: LabelSet, augment: Augment, seed: int
    ) -> None:
        self._frames, self._paths = keyframes.with_people(), keyframes.paths
        self._spec, self._labels, self._augment, self._seed = spec, labels, augment, seed
        self._mirrored = list(mirror_order(labels))

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> BoxClip:
        frame, spec = self._frames[index], self._spec
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + index)
        with Video.open(self._paths[frame.video]) as video:
            clip, placement = read_about(video, spec, frame.time_s, self._augment.enlarge)
        boxes = placement.boxes(np.array([each.box for each in frame.people], np.float64))
        drawn = self._augment.draw(clip.frame_size, spec, generator)
        changed = MODALITIES.get(spec.modality).augment(clip, drawn, spec)
        moved = boxes_after(boxes, drawn, spec.size)
        targets = targets_of(frame, self._labels)
        if drawn.geometry.flip:
            targets = targets[:, self._mirrored]
        box = drawn.geometry.box
        scale = spec.size[0] * spec.size[1] / (box.height * box.width)
        seen = torch.from_numpy(still_seen(boxes, moved, scale))
        return BoxClip(changed.data, torch.from_numpy(moved).float()[seen], targets[seen])


def targets_of(frame: Keyframe, labels: LabelSet) -> Tensor:
    """What the people of a frame do: float32 `(R, K)`."""
    found = torch.zeros(len(frame.people), len(labels))
    for row, each in enumerate(frame.people):
        for name in each.actions:
            if name in labels:
                found[row, labels.index(name)] = 1.0
    return found


def collated(clips: Sequence[BoxClip]) -> tuple[Tensor, Tensor, Tensor]:
    """A batch: clips uint8 `(B, T, 3, H, W)`, boxes `(R, 5)` with the number of their clip first, targets."""
    rois = [
        torch.cat((torch.full((len(each.boxes), 1), float(i)), each.boxes), 1) for i, each in enumerate(clips)
    ]
    return torch.stack([each.data for each in clips]), torch.cat(rois), torch.cat([c.targets for c in clips])
