"""Skeleton data sets turned into pose files and a manifest that training reads like any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from kinesphere.clips.modalities.pose.file import SUFFIX, write_poses
from kinesphere.core.archives import opened
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.skipped import Skipped, why_nothing
from kinesphere.data.catalogue import DATASETS, Captured, Dataset, Recording
from kinesphere.data.manifest import Manifest
from kinesphere.data.sample import Sample

# Of each part, in bytes. File systems take 255, and a file that is being written has a longer name.
_LONGEST, _LONGEST_IN_ALL = 200, 1000


@dataclass(frozen=True)
class Imported:
    """What `import_skeletons` wrote.

    Attributes:
        manifest: The table.
        files: Number of pose files.
        samples: Number of labelled parts.
        skipped: What was left out.
        protocols: Columns of the table that say which clips train and which test, the one that `split` holds
            first; empty where the set has one protocol at most, without a name.
    """

    manifest: Path
    files: int
    samples: int
    skipped: tuple[Skipped, ...]
    protocols: tuple[str, ...] = ()

    @property
    def failures(self) -> int:
        """How many were left out because something is wrong with them."""
        return sum(each.is_failure for each in self.skipped)


def import_skeletons(
    name: str,
    source: Path,
    out: Path,
    *,
    azimuths_deg: tuple[float, ...] = (),
    names: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
) -> Imported:
    """Write the pose files of a data set and a `manifest.csv` over them.

    Args:
        name: One of `DATASETS` that holds skeletons or motion capture.
        source: Its folder, its file, or a `.tar`, `.tar.xz`, `.tar.gz` or `.zip` archive of the folder.
        out: Folder to write; made if missing.
        azimuths_deg: Bearings of the cameras that look at motion capture, 0 in front of the person's
            start and 90 to its left; by default one in front.
        names: Of the classes, in the order of their numbers, where the files number them.
        progress: Called with the number of recordings done.

    Raises:
        UnknownName: If there is no such data set.
        InvalidSetting: If it holds videos, cameras are given for anything but motion capture, or names for
            classes that have some.
        InvalidAnnotation: If there is nothing to import. What is wrong with single recordings is listed.
        UnsafeFile: If an archive would write outside its folder, or unpacks to far more than skeletons do.
    """
    dataset = DATASETS.get(name)
    title = dataset.card.title
    _check_request(dataset, azimuths_deg, names)
    samples: list[Sample] = []
    skipped: list[Skipped] = []
    written: set[str] = set()
    protocols: tuple[str, ...] = ()
    with opened(source) as folder:
        for item in _items(dataset, folder, names):
            if isinstance(item, Skipped):
                skipped.append(item)
                continue
            if isinstance(item, Sample):
                samples.append(item)
                continue
            try:
                for recording in _recordings(item, azimuths_deg or (0.0,)):
                    name = _free_name(recording, written)
                    write_poses(recording.poses, out / "poses" / name)
                    written.add(name)
                    samples += recording.samples(out / "poses" / name)
                    protocols = tuple(protocol for protocol, _ in recording.protocols if protocol)
                    if progress:
                        progress(len(written))
            except InvalidAnnotation as error:
                skipped.append(Skipped.because(item.name, error))
    if not samples:
        raise InvalidAnnotation(f"{source} holds no recording of {title}; {why_nothing(skipped)}.")
    labels = LabelSet(tuple(sorted({label for sample in samples for label in sample.labels})))
    manifest = Manifest(tuple(samples), labels, out)
    manifest.write(out / "manifest.csv")
    return Imported(out / "manifest.csv", len(written), len(samples), tuple(skipped), protocols)


def _check_request(dataset: Dataset, azimuths_deg: Sequence[float], names: Sequence[str]) -> None:
    """Refuse what a data set cannot be asked for."""
    title, content = dataset.card.title, dataset.card.content
    if content == "videos":
        raise InvalidSetting(f"{title} holds videos, no skeletons; train on its folder as it is.")
    if azimuths_deg and content != "motion capture":
        raise InvalidSetting(f"Cameras are for motion capture; {title} has its own. Leave them out.")
    if names and dataset.read_named is None:
        raise InvalidSetting(f"{title} names its classes itself; leave the list of names out.")


def _items(
    dataset: Dataset, folder: Path, names: Sequence[str]
) -> Iterator[Sample | Recording | Captured | Skipped]:
    if names and dataset.read_named is not None:
        return dataset.read_named(folder, names)
    return dataset.read(folder)


def _recordings(item: Recording | Captured, azimuths_deg: tuple[float, ...]) -> Iterable[Recording]:
    return item.recordings(azimuths_deg) if isinstance(item, Captured) else (item,)


def _free_name(recording: Recording, written: Set[str]) -> str:
    """The name of a recording's file.

    Raises:
        InvalidAnnotation: If no file can have it, another recording has it, or a label cannot be written.
    """
    name = _file_name(recording.name)
    if name in written:
        raise InvalidAnnotation(f"Another recording has become {name!r:.200} already; rename one.")
    for part in recording.parts:
        if "|" in part.label or not part.label.strip():
            raise InvalidAnnotation(f"{part.label[:80]!r} is no label: it is blank, or holds |.")
    return name


def _file_name(name: str) -> str:
    """The path of a recording's pose file below its folder, with forward slashes.

    Leading slashes and parts that would climb (`..`) are dropped or replaced.

    Raises:
        InvalidAnnotation: If no file can have that name.
    """
    parts = [part.replace("..", "_") for part in name.split("/") if part.strip() not in ("", ".")]
    if not parts or any(ord(sign) < 32 for part in parts for sign in part):
        raise InvalidAnnotation(f"{name[:80]!r} is no name for a file; rename it.")
    parts[-1] += SUFFIX
    try:
        lengths = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        raise InvalidAnnotation(f"{name[:80]!a} is no name in UTF-8; rename it.") from None
    if max(lengths) > _LONGEST or sum(lengths) + len(lengths) > _LONGEST_IN_ALL:
        raise InvalidAnnotation(f"{name[:80]!r} is too long for a file ({max(lengths)} bytes); shorten it.")
    return "/".join(parts)
