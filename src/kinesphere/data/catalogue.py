"""The catalogue of data sets: their cards, and what reading one gives.

`kinesphere.datasets` holds the public sets, one module each; `kinesphere.synthetic` and other distributions
(entry points of the group `kinesphere.datasets`) enter theirs the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from kinesphere.annotations.formats.bvh import Motion
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.core.archives import opened
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.registry import Registry
from kinesphere.core.skipped import Skipped, why_nothing
from kinesphere.data.inventory import Entries, Inventory, Progress, take_inventory
from kinesphere.data.list_counts import count_parts
from kinesphere.data.official import Count
from kinesphere.data.sample import Sample

Content = Literal["skeletons", "motion capture", "videos"]


@dataclass(frozen=True)
class DatasetCard:
    """What is known of a data set.

    Attributes:
        title: Full name, with its protocol.
        content: What it holds.
        size: How much of it there is.
        licence: Under which terms it is given away.
        source: Where to get it.
        layout: Files that reading expects below its folder.
        classes: Labels; empty where the files tell them.
        splits: Parts that the set itself, or its first protocol, is divided into.
        protocols: Columns of further divisions into such parts; empty where there is one at most, or where
            the files tell.
        groups: What a group of clips has in common, which must not straddle two splits; empty for none.
        columns: Further columns of its manifest.
        paper: Authors (year): title.
        counts: Clips, videos or annotations of each part, where they are known.
        class_count: Number of classes, where their names stand in the set's own files.
    """

    title: str
    content: Content
    size: str
    licence: str
    source: str
    layout: str
    classes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    groups: str = ""
    columns: tuple[str, ...] = ()
    paper: str = ""
    counts: tuple[Count, ...] = ()
    class_count: int = 0

    def differences(self, found: Inventory) -> tuple[str, ...]:
        """What lists have otherwise than the set is known to have, a sentence for each part."""
        sentences = []
        for count in self.counts:
            listed = found.counted(count)
            if listed != count.number:
                known = "officially" if count.is_checked else "as published"
                sentences.append(
                    f"{count.where}: the lists have {listed} {count.unit}, {known} there are {count.number}"
                )
        return tuple(sentences)


@dataclass(frozen=True)
class Labelled:
    """A labelled part of a recording.

    Attributes:
        label: Its class.
        span: `(start_s, end_s)`, or None for all of it.
        extra: Further columns of the manifest.
    """

    label: str
    span: tuple[float, float] | None = None
    extra: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Recording:
    """Skeletons that become one pose file.

    Attributes:
        name: Name of the file, without suffix.
        poses: Content of the file.
        parts: The parts that are labelled.
        group: Performer.
        protocols: For each of the set's protocols its name, and `train`, `val`, `test` or nothing; the same
            protocols for all of its recordings. The first is the set's usual one; an empty name is that of
            a set's only protocol.
    """

    name: str
    poses: Poses
    parts: tuple[Labelled, ...]
    group: str | None = None
    protocols: tuple[tuple[str, str], ...] = ()

    def samples(self, path: Path) -> Iterator[Sample]:
        """The labelled parts; the first protocol is the split, and each with a name is a column."""
        split = self.protocols[0][1] or None if self.protocols else None
        columns = tuple((protocol, part) for protocol, part in self.protocols if protocol)
        for number, part in enumerate(self.parts):
            name = self.name if len(self.parts) == 1 else f"{self.name}#{number}"
            yield Sample(name, path, (part.label,), part.span, self.group, split, (*part.extra, *columns))


@dataclass(frozen=True)
class Captured:
    """Motion capture that becomes one pose file per camera, or videos of a mannequin.

    Attributes:
        path: The file that it was read from.
        name: Name of the files, without suffix.
        motion: The motion.
        part: The label of all of it.
        group: What must not straddle two splits.
    """

    path: Path
    name: str
    motion: Motion
    part: Labelled
    group: str

    def recordings(self, azimuths_deg: tuple[float, ...]) -> Iterator[Recording]:
        """The motion as cameras on several bearings see it."""
        for azimuth_deg in azimuths_deg:
            name = self.name if len(azimuths_deg) == 1 else f"{self.name}@{azimuth_deg:g}"
            poses = self.motion.seen_by(azimuth_deg=azimuth_deg)
            extra = (*self.part.extra, ("azimuth_deg", f"{azimuth_deg:g}"))
            yield Recording(name, poses, (Labelled(self.part.label, extra=extra),), self.group)


@dataclass(frozen=True)
class Dataset:
    """A data set that can be read.

    Attributes:
        card: What is known of it.
        read: Reads its folder (or file): its parts, and what is left out. Skeletons give recordings, motion
            capture gives motions, sets of videos give samples.
        write_example: Fabricates a small folder (or file) of its layout for tests, and returns its path; the
            folder given is empty.
        read_named: Reads it with names for its classes, in the order of their numbers; None where its files
            name them.
        entries: Reads its official lists, for sets of which everybody has some part; see `Dataset.listed`.
    """

    card: DatasetCard
    read: Callable[[Path], Iterator[Sample | Recording | Captured | Skipped]]
    write_example: Callable[[Path], Path]
    read_named: Callable[[Path, Sequence[str]], Iterator[Sample | Recording | Captured | Skipped]] | None = (
        None
    )
    entries: Entries | None = None

    @classmethod
    def listed(cls, card: DatasetCard, entries: Entries, write_example: Callable[[Path], Path]) -> Self:
        """A set of videos that official lists name."""

        def read(folder: Path) -> Iterator[Sample | Recording | Captured | Skipped]:
            return take_inventory(entries, folder).items()

        return cls(card, read, write_example, entries=entries)

    def inventory(
        self,
        root: Path,
        *,
        lists: Sequence[Path] = (),
        protocol: str | None = None,
        probe: bool = False,
        progress: Progress | None = None,
    ) -> Inventory:
        """What of the set a folder holds; see `take_inventory`.

        Where a set has no lists, everything that can be read is all there is.

        Raises:
            InvalidAnnotation: If the folder holds nothing of it, or not its lists.
            InvalidSetting: If there is no such protocol, or lists are given and the set has none.
        """
        if self.entries is not None:
            return take_inventory(
                self.entries, root, lists=lists, protocol=protocol, probe=probe, progress=progress
            )
        if lists or probe or protocol is not None:
            raise InvalidSetting(
                f"{self.card.title} has no official lists; leave --lists, --protocol and --probe out."
            )
        with opened(root) as folder:
            return _without_lists(root, self.read(folder), self.card.protocols)


def _without_lists(
    root: Path, items: Iterable[Sample | Recording | Captured | Skipped], protocols: Sequence[str]
) -> Inventory:
    samples: list[Sample] = []
    skipped: list[Skipped] = []
    classes: Counter[str] = Counter()
    parts: list[tuple[tuple[str, str], ...]] = []
    videos = 0
    for item in items:
        if isinstance(item, Skipped):
            skipped.append(item)
            continue
        videos += 1
        if isinstance(item, Sample):
            samples.append(item)
            classes.update(item.labels)
            columns = dict(item.extra)
            own = tuple((protocol, columns.get(protocol, "")) for protocol in protocols)
            parts.append(own or ((("", item.split),) if item.split else ()))
            continue
        labelled = (item.part,) if isinstance(item, Captured) else item.parts
        classes.update(part.label for part in labelled)
        parts += [item.protocols if isinstance(item, Recording) else ()] * len(labelled)
    if not videos:
        raise InvalidAnnotation(f"{root} holds nothing of the set; {why_nothing(skipped)}.")
    counted = count_parts(parts)
    return Inventory(
        root,
        tuple(samples),
        listed=videos,
        present=videos,
        clips=len(parts),
        extra=tuple(each for each in skipped if not each.is_failure),
        unusable=tuple(each for each in skipped if each.is_failure),
        classes=dict(sorted(classes.items())),
        parts=counted,
        present_parts=counted,
        video_parts=counted,
        annotation_parts=counted,
    )


DATASETS: Registry[Dataset] = Registry(
    "data set",
    Dataset,
    package=("kinesphere.datasets", "kinesphere.synthetic.dataset", "kinesphere.synthetic.laboratory.card"),
    group="kinesphere.datasets",
)


def datasets_of(*content: Content) -> tuple[str, ...]:
    """Names of the data sets that hold one of these."""
    return tuple(name for name in DATASETS if DATASETS.get(name).card.content in content)
