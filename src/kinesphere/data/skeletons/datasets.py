"""Skeleton data sets turned into pose files and a manifest that training reads like any other."""

from __future__ import annotations

import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kinesphere.clips.pose_file import SUFFIX, write_poses
from kinesphere.clips.poses import Poses
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, UnsafeFile
from kinesphere.core.labels import LabelSet
from kinesphere.core.registry import Registry
from kinesphere.data.manifest import Manifest
from kinesphere.data.sample import Sample
from kinesphere.data.skeletons.bvh import Motion, read_bvh
from kinesphere.data.skeletons.estimators import read_pyskl
from kinesphere.data.skeletons.jhmdb import read_jhmdb
from kinesphere.data.skeletons.kinect import UTKINECT_FPS, read_msr, read_utkinect, read_utkinect_labels
from kinesphere.data.skeletons.ntu import NtuName, read_missing, read_ntu

# Larger archives than this are no skeletons.
_MOST_BYTES = 64 * 2**30
# Actions of MSR-Action3D in the order of their numbers.
MSR_ACTIONS = (
    "high arm wave", "horizontal arm wave", "hammer", "hand catch", "forward punch", "high throw", "draw x",
    "draw tick", "draw circle", "hand clap", "two hand wave", "side boxing", "bend", "forward kick",
    "side kick", "jogging", "tennis swing", "tennis serve", "golf swing", "pick up and throw",
)  # fmt: skip
# Three sets of eight actions, by number, that the set's authors tell apart (Li, Zhang, Liu 2010, table 1).
_MSR_SUBSETS = {
    "as1": frozenset({2, 3, 5, 6, 10, 13, 18, 20}),
    "as2": frozenset({1, 4, 7, 8, 9, 11, 14, 12}),
    "as3": frozenset({6, 14, 15, 16, 17, 18, 19, 20}),
}
# Subjects that train by the cross-subject protocol of NTU RGB+D 120 (Liu et al. 2020, section 3.2). Those up
# to 40 are the ones of NTU RGB+D (Shahroudy et al. 2016, section 4.2), which has no others.
NTU_SUBJECTS = frozenset({
    1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38, 45, 46, 47, 49, 50, 52, 53, 54,
    55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89, 91, 92, 93, 94, 95, 97, 98, 100, 103,
})  # fmt: skip
_MSR_NAME = re.compile(r"a(\d{2})_s(\d{2})_e(\d{2})_skeleton3D\.txt")
_LABAN_NAME = re.compile(r"([A-Za-z]+)_(-?\d)_(-?\d)_(-?\d)_(-?\d)\.bvh")
_FACTORS = ("space", "weight", "time", "flow")
_BANDAI_NAME = re.compile(r"dataset-\d_([a-z-]+)_([a-z-]+)_\d+\.bvh")
_UTKINECT_NAME = re.compile(r"joints_(s(\d{2})_e\d{2})\.txt")


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
    """One pose file to be.

    Attributes:
        name: Of the file, without suffix.
        poses: What it will hold.
        parts: What of it is labelled.
        group: Performer.
        split: `train` or `test`, if the set's protocol says so.
    """

    name: str
    poses: Poses
    parts: tuple[Labelled, ...]
    group: str | None = None
    split: str | None = None


@dataclass(frozen=True)
class Captured:
    """Motion capture that becomes one pose file per camera.

    Attributes:
        path: The file that it was read from.
        name: Of the files, without suffix.
        motion: What moves.
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
class Skipped:
    """Something that was left out.

    Attributes:
        name: File or part.
        reason: Why.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class SkeletonSet:
    """How one data set is read.

    Attributes:
        title: What it is called, with its protocol.
        read: From its folder (or file): recordings, and what is left out.
        is_captured: Whether it is motion capture, which cameras look at.
    """

    title: str
    read: Callable[[Path], Iterator[Recording | Captured | Skipped]]
    is_captured: bool = False


@dataclass(frozen=True)
class Imported:
    """What `import_skeletons` wrote.

    Attributes:
        manifest: The table.
        files: Number of pose files.
        samples: Number of labelled parts.
        skipped: What was left out.
    """

    manifest: Path
    files: int
    samples: int
    skipped: tuple[Skipped, ...]


DATASETS: Registry[SkeletonSet] = Registry("skeleton data set")


def import_skeletons(
    name: str,
    source: Path,
    out: Path,
    *,
    azimuths_deg: tuple[float, ...] = (),
    progress: Callable[[int], None] | None = None,
) -> Imported:
    """Write the pose files of a data set and a `manifest.csv` over them.

    Args:
        name: One of `DATASETS`.
        source: Its folder, its file, or a `.tar`, `.tar.xz` or `.tar.gz` archive of the folder.
        out: Folder to write; made if missing.
        azimuths_deg: Bearings of the cameras that look at motion capture, 0 in front of the person's
            start and 90 to its left; by default one in front.
        progress: Called with the number of recordings done.

    Raises:
        UnknownName: If there is no such data set.
        InvalidSetting: If cameras are given for anything but motion capture.
        InvalidAnnotation: If a file is wrong, or there is nothing to import.
        UnsafeFile: If an archive would write outside its folder.
    """
    dataset = DATASETS.get(name)
    if azimuths_deg and not dataset.is_captured:
        raise InvalidSetting(f"Cameras are for motion capture; {dataset.title} has its own. Leave them out.")
    samples: list[Sample] = []
    skipped: list[Skipped] = []
    files = 0
    with opened(source) as folder:
        for item in dataset.read(folder):
            if isinstance(item, Skipped):
                skipped.append(item)
                continue
            several = item.recordings(azimuths_deg or (0.0,)) if isinstance(item, Captured) else (item,)
            for recording in several:
                path = out / "poses" / f"{recording.name}{SUFFIX}"
                write_poses(recording.poses, path)
                files += 1
                samples += _samples(recording, path)
                if progress:
                    progress(files)
    if not samples:
        raise InvalidAnnotation(f"{source} holds no recording of {dataset.title}; check the folder.")
    labels = LabelSet(tuple(sorted({label for sample in samples for label in sample.labels})))
    manifest = Manifest(tuple(samples), labels, out)
    manifest.write(out / "manifest.csv")
    return Imported(out / "manifest.csv", files, len(samples), tuple(skipped))


def _samples(item: Recording, path: Path) -> Iterator[Sample]:
    for number, part in enumerate(item.parts):
        name = item.name if len(item.parts) == 1 else f"{item.name}#{number}"
        yield Sample(name, path, (part.label,), part.span, item.group, item.split, part.extra)


@contextmanager
def opened(source: Path) -> Iterator[Path]:
    """A folder or file as it is; an archive unpacked to a temporary folder.

    Raises:
        InvalidAnnotation: If it is missing or damaged.
        UnsafeFile: If a member would leave the folder, or all are larger than any skeletons.
    """
    if not source.exists():
        raise InvalidAnnotation(f"There is nothing at {source}; check the path.")
    if source.is_dir() or ".tar" not in source.suffixes:
        yield source
        return
    with tempfile.TemporaryDirectory() as temporary:
        try:
            with tarfile.open(source) as archive:
                if sum(member.size for member in archive) > _MOST_BYTES:
                    raise UnsafeFile(f"{source} unpacks to more than {_MOST_BYTES >> 30} GiB; refused.")
                archive.extractall(temporary, filter="data")
        except tarfile.FilterError as error:
            raise UnsafeFile(f"{source} would write outside its folder: {error}.") from error
        except (tarfile.TarError, EOFError, OSError) as error:
            raise InvalidAnnotation(f"{source} is not a readable archive ({error}); get it again.") from error
        inside = list(Path(temporary).iterdir())
        yield inside[0] if len(inside) == 1 and inside[0].is_dir() else Path(temporary)


# --------------------------------------------------------------------------------------------- data sets


def _jhmdb(folder: Path) -> Iterator[Recording | Skipped]:
    for split in ("train", "test"):
        for path in sorted(folder.glob(f"*{split}.npz")):
            for number, clip in enumerate(read_jhmdb(path)):
                yield Recording(f"{path.stem}/{number:04d}", clip.poses, (Labelled(clip.label),), split=split)


def _msr(folder: Path) -> Iterator[Recording | Skipped]:
    for path in _named(folder, _MSR_NAME):
        action, subject, _ = (int(part) for part in re.findall(r"\d{2}", path.name)[:3])
        try:
            poses = read_msr(path)
        except InvalidAnnotation as error:
            yield Skipped(path.name, str(error))
            continue
        label = MSR_ACTIONS[action - 1]
        subsets = tuple((name, label if action in set_ else "") for name, set_ in _MSR_SUBSETS.items())
        yield Recording(
            path.name.removesuffix("_skeleton3D.txt"),
            poses,
            (Labelled(label, extra=subsets),),
            f"subject{subject:02d}",
            "train" if subject % 2 else "test",
        )


def _utkinect(folder: Path) -> Iterator[Recording | Skipped]:
    passages, missing = read_utkinect_labels(folder / "actionLabel.txt")
    known = set()
    for passage in missing:
        yield Skipped(f"{passage.sequence} {passage.label}", "its frames are not given")
    for path in _named(folder, _UTKINECT_NAME):
        sequence = path.stem.removeprefix("joints_")
        known.add(sequence)
        try:
            poses, first = read_utkinect(path)
        except InvalidAnnotation as error:
            yield Skipped(path.name, str(error))
            continue
        parts = [
            Labelled(p.label, (max(p.first - first, 0) / UTKINECT_FPS, (p.last + 1 - first) / UTKINECT_FPS))
            for p in passages
            if p.sequence == sequence and p.last >= first
        ]
        if parts:
            yield Recording(sequence, poses, tuple(parts), f"subject{sequence[1:3]}")
    for sequence in dict.fromkeys(passage.sequence for passage in passages):
        if sequence not in known:
            yield Skipped(sequence, "it is labelled, but its file is not there")


def _ntu(folder: Path) -> Iterator[Recording | Skipped]:
    missing = frozenset[str]().union(*(map(read_missing, folder.glob("*missing_skeletons.txt"))))
    for path in sorted(folder.rglob("*.skeleton")):
        if path.stem in missing:
            yield Skipped(path.name, "it is on the list of missing skeletons")
            continue
        try:
            name, poses = NtuName.parse(path.name), read_ntu(path)
        except InvalidAnnotation as error:
            yield Skipped(path.name, str(error))
            continue
        extra = (
            ("camera", str(name.camera)),
            ("setup", str(name.setup)),
            ("cross_view", "test" if name.camera == 1 else "train"),
            ("cross_setup", "test" if name.setup % 2 else "train"),
        )
        yield Recording(
            path.stem,
            poses,
            (Labelled(f"A{name.action:03d}", extra=extra),),
            f"P{name.performer:03d}",
            "train" if name.performer in NTU_SUBJECTS else "test",
        )


def _pyskl(path: Path) -> Iterator[Recording | Skipped]:
    if path.is_dir():
        raise InvalidSetting(f"PySKL keeps a data set in one .pkl file; name it instead of {path}.")
    content = read_pyskl(path)
    members = {name: {*clips} for name, clips in content.splits.items()}
    for name, poses in content.poses.items():
        label = content.labels[name]
        if label is None:
            yield Skipped(name, "it has no label")
            continue
        splits = [split for split, clips in members.items() if name in clips]
        extra = tuple((split, "yes" if split in splits else "") for split in members)
        yield Recording(
            name.strip("/").replace("..", "_"),
            poses,
            (Labelled(f"class{label:03d}", extra=extra),),
            split=_plain_split(splits),
        )


def _plain_split(splits: list[str]) -> str | None:
    """`train`, `val` or `test` where the names of a clip's splits agree on it (`xsub_train`, `train1`)."""
    found = {part for split in splits for part in ("train", "val", "test") if part in split}
    return found.pop() if len(found) == 1 else None


def _captured(
    folder: Path, describe: Callable[[Path], tuple[Labelled, str] | None]
) -> Iterator[Captured | Skipped]:
    """The `.bvh` files below a folder, with the label and the group that `describe` gives them."""
    for path in sorted(folder.rglob("*.bvh")):
        inside = path.relative_to(folder)
        described = describe(inside)
        if described is None:
            yield Skipped(inside.as_posix(), "its name tells no label")
            continue
        try:
            motion = read_bvh(path)
            motion.joints()
        except InvalidAnnotation as error:
            yield Skipped(inside.as_posix(), str(error))
            continue
        yield Captured(path, inside.with_suffix("").as_posix(), motion, *described)


def _by_folder(path: Path) -> tuple[Labelled, str]:
    return Labelled(path.parent.name or "motion"), path.stem


def _laban(path: Path) -> tuple[Labelled, str] | None:
    """`walking_-1_0_1_0.bvh`: an action, then Space, Weight, Time and Flow, each -1, 0 or 1."""
    match = _LABAN_NAME.fullmatch(path.name)
    if not match:
        return None
    action, *grades = match.groups()
    # The same grades of another action, or played again, are the same motion's neighbours.
    return Labelled(action.lower(), extra=tuple(zip(_FACTORS, grades, strict=True))), "_".join(grades)


def _bandai(path: Path) -> tuple[Labelled, str] | None:
    """`dataset-1_bow_active_001.bvh`: a movement and the style that it is done in."""
    match = _BANDAI_NAME.fullmatch(path.name)
    return (Labelled(match[1], extra=(("style", match[2]),)), path.stem) if match else None


def _named(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    return sorted(path for path in folder.rglob("*.txt") if pattern.fullmatch(path.name))


DATASETS.add("jhmdb", SkeletonSet("JHMDB (ground-truth joints, one split)", _jhmdb))
DATASETS.add("msr_action3d", SkeletonSet("MSR-Action3D (odd subjects train, even test)", _msr))
DATASETS.add("utkinect", SkeletonSet("UTKinect-Action3D (groups are subjects)", _utkinect))
DATASETS.add(
    "ntu", SkeletonSet("NTU RGB+D and its 120 classes (cross-subject; cross-view, cross-setup beside)", _ntu)
)
DATASETS.add("pyskl", SkeletonSet("a PySKL or MMAction2 skeleton pickle", _pyskl))
DATASETS.add(
    "bvh", SkeletonSet("BVH motion capture (labels are folders)", lambda f: _captured(f, _by_folder), True)
)
DATASETS.add(
    "laban_effort",
    SkeletonSet("motions with Laban Effort factors in their names", lambda f: _captured(f, _laban), True),
)
DATASETS.add(
    "bandai_namco",
    SkeletonSet("the Bandai Namco motion sets (movements and styles)", lambda f: _captured(f, _bandai), True),
)
