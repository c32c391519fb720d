"""Skeleton data sets turned into pose files and a manifest that training reads like any other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from kinesphere.annotations.formats.bvh import Motion, read_bvh
from kinesphere.annotations.formats.jhmdb import CLASSES, JhmdbClip, read_jhmdb
from kinesphere.annotations.formats.kinect import (
    UTKINECT_FPS,
    Passage,
    read_msr,
    read_utkinect,
    read_utkinect_labels,
)
from kinesphere.annotations.formats.ntu import NtuName, read_missing, read_ntu
from kinesphere.annotations.formats.protocols import Protocols, protocol_part
from kinesphere.annotations.formats.pyskl import read_pyskl
from kinesphere.clips.modalities.pose.file import write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.core.archives import opened
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.registry import Registry
from kinesphere.core.skipped import Skipped
from kinesphere.data.manifest import Manifest
from kinesphere.data.sample import Sample
from kinesphere.datasets.file_names import file_name

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
_NO_RECORDINGS = frozenset({"actionLabel.txt"})
_LABAN_NAME = re.compile(r"([A-Za-z]+)_(-?\d)_(-?\d)_(-?\d)_(-?\d)\.bvh")
_FACTORS, _GRADES = ("space", "weight", "time", "flow"), frozenset({"-1", "0", "1"})
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
        protocols: For each of the set's protocols its name, and `train`, `val`, `test` or nothing; the same
            protocols for all of its recordings. The first is the set's usual one; an empty name is that of
            a set's only protocol.
    """

    name: str
    poses: Poses
    parts: tuple[Labelled, ...]
    group: str | None = None
    protocols: tuple[tuple[str, str], ...] = ()


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
        source: Its folder, its file, or a `.tar`, `.tar.xz`, `.tar.gz` or `.zip` archive of the folder.
        out: Folder to write; made if missing.
        azimuths_deg: Bearings of the cameras that look at motion capture, 0 in front of the person's
            start and 90 to its left; by default one in front.
        progress: Called with the number of recordings done.

    Raises:
        UnknownName: If there is no such data set.
        InvalidSetting: If cameras are given for anything but motion capture.
        InvalidAnnotation: If there is nothing to import. What is wrong with single recordings is listed.
        UnsafeFile: If an archive would write outside its folder, or unpacks to far more than skeletons do.
    """
    dataset = DATASETS.get(name)
    if azimuths_deg and not dataset.is_captured:
        raise InvalidSetting(f"Cameras are for motion capture; {dataset.title} has its own. Leave them out.")
    samples: list[Sample] = []
    skipped: list[Skipped] = []
    written: set[str] = set()
    protocols: tuple[str, ...] = ()
    with opened(source) as folder:
        for item in dataset.read(folder):
            if isinstance(item, Skipped):
                skipped.append(item)
                continue
            try:
                for recording in _recordings(item, azimuths_deg or (0.0,)):
                    name = _free_name(recording, written)
                    write_poses(recording.poses, out / "poses" / name)
                    written.add(name)
                    samples += _samples(recording, out / "poses" / name)
                    protocols = tuple(protocol for protocol, _ in recording.protocols if protocol)
                    if progress:
                        progress(len(written))
            except InvalidAnnotation as error:
                skipped.append(Skipped.because(item.name, error))
    if not samples:
        raise InvalidAnnotation(f"{source} holds no recording of {dataset.title}; {why_nothing(skipped)}.")
    labels = LabelSet(tuple(sorted({label for sample in samples for label in sample.labels})))
    manifest = Manifest(tuple(samples), labels, out)
    manifest.write(out / "manifest.csv")
    return Imported(out / "manifest.csv", len(written), len(samples), tuple(skipped), protocols)


def _recordings(item: Recording | Captured, azimuths_deg: tuple[float, ...]) -> Iterable[Recording]:
    return item.recordings(azimuths_deg) if isinstance(item, Captured) else (item,)


def _free_name(recording: Recording, written: Set[str]) -> str:
    """The name of a recording's file.

    Raises:
        InvalidAnnotation: If no file can have it, another recording has it, or a label cannot be written.
    """
    name = file_name(recording.name)
    if name in written:
        raise InvalidAnnotation(f"Another recording has become {name!r:.200} already; rename one.")
    for part in recording.parts:
        if "|" in part.label or not part.label.strip():
            raise InvalidAnnotation(f"{part.label[:80]!r} is no label: it is blank, or holds |.")
    return name


def why_nothing(skipped: Sequence[Skipped]) -> str:
    """Why a set gave nothing, as the end of a sentence."""
    if not skipped:
        return "check the folder"
    return f"{len(skipped)} were left out, the first, {skipped[0].name}: {skipped[0].reason.rstrip('.')}"


def _samples(item: Recording, path: Path) -> Iterator[Sample]:
    """The labelled parts; the first protocol is the split, and each with a name is a column."""
    split = item.protocols[0][1] or None if item.protocols else None
    columns = tuple((protocol, part) for protocol, part in item.protocols if protocol)
    for number, part in enumerate(item.parts):
        name = item.name if len(item.parts) == 1 else f"{item.name}#{number}"
        yield Sample(name, path, (part.label,), part.span, item.group, split, (*part.extra, *columns))


# --------------------------------------------------------------------------------------------- data sets


def _jhmdb(folder: Path) -> Iterator[Recording | Skipped]:
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


def _msr(folder: Path) -> Iterator[Recording | Skipped]:
    yield from _unnamed(folder, _MSR_NAME, "_skeleton3D.txt", "a01_s01_e01_skeleton3D.txt")
    for path in _named(folder, _MSR_NAME):
        action, subject, take = (int(part) for part in re.findall(r"\d{2}", path.name)[:3])
        try:
            _check_numbers(
                ("action", action, len(MSR_ACTIONS)), ("subject", subject, 10), ("repetition", take, 3)
            )
            poses = read_msr(path)
        except InvalidAnnotation as error:
            yield Skipped.because(path.name, error)
            continue
        label = MSR_ACTIONS[action - 1]
        subsets = tuple((name, label if action in set_ else "") for name, set_ in _MSR_SUBSETS.items())
        yield Recording(
            path.name.removesuffix("_skeleton3D.txt"),
            poses,
            (Labelled(label, extra=subsets),),
            f"subject{subject:02d}",
            (("", "train" if subject % 2 else "test"),),
        )


def _utkinect(folder: Path) -> Iterator[Recording | Skipped]:
    labels = read_utkinect_labels(folder / "actionLabel.txt")
    for wrong in labels.wrong:
        yield Skipped("actionLabel.txt", wrong)
    for passage in labels.missing:
        yield Skipped(f"{passage.sequence} {passage.label}", "its frames are not given", is_failure=False)
    passages: dict[str, list[Passage]] = {}
    for passage in labels.found:
        passages.setdefault(passage.sequence, []).append(passage)
    yield from _unnamed(folder, _UTKINECT_NAME, ".txt", "joints_s01_e01.txt", is_failure=False)
    known = set()
    for path in _named(folder, _UTKINECT_NAME):
        sequence = path.stem.removeprefix("joints_")
        known.add(sequence)
        try:
            _check_numbers(("subject", int(sequence[1:3]), 10), ("repetition", int(sequence[5:7]), 2))
            poses, first = read_utkinect(path)
        except InvalidAnnotation as error:
            yield Skipped.because(path.name, error)
            continue
        last = first + round(float(poses.times[-1]) * UTKINECT_FPS)
        parts = []
        for passage in passages.get(sequence, ()):
            if passage.last < first or passage.first > last:
                yield Skipped(
                    f"{sequence} {passage.label}",
                    f"it runs from frame {passage.first} to {passage.last}, the file from {first} to {last}",
                )
                continue
            span = max(passage.first - first, 0) / UTKINECT_FPS, (passage.last + 1 - first) / UTKINECT_FPS
            parts.append(Labelled(passage.label, span))
        if parts:
            yield Recording(sequence, poses, tuple(parts), f"subject{sequence[1:3]}")
        elif sequence not in passages:
            yield Skipped(path.name, "actionLabel.txt gives it no label", is_failure=False)
    for sequence in passages:
        if sequence not in known:
            yield Skipped(sequence, "it is labelled, but its file is not there", is_failure=False)


def _ntu(folder: Path) -> Iterator[Recording | Skipped]:
    missing: set[str] = set()
    for path in sorted(folder.glob("*missing_skeletons.txt")):
        try:
            missing |= read_missing(path)
        except InvalidAnnotation as error:
            yield Skipped.because(path.name, error)
    for path in sorted(folder.rglob("*.skeleton")):
        if path.stem in missing:
            yield Skipped(path.name, "it is on the list of missing skeletons", is_failure=False)
            continue
        try:
            name, poses = NtuName.parse(path.name), read_ntu(path)
        except InvalidAnnotation as error:
            yield Skipped.because(path.name, error)
            continue
        extra = (("camera", str(name.camera)), ("setup", str(name.setup)))
        yield Recording(
            path.stem,
            poses,
            (Labelled(f"A{name.action:03d}", extra=extra),),
            f"P{name.performer:03d}",
            (
                ("cross_subject", "train" if name.performer in NTU_SUBJECTS else "test"),
                ("cross_view", "test" if name.camera == 1 else "train"),
                ("cross_setup", "test" if name.setup % 2 else "train"),
            ),
        )


def _pyskl(path: Path) -> Iterator[Recording | Skipped]:
    if path.is_dir():
        raise InvalidSetting(f"PySKL keeps a data set in one .pkl file; name it instead of {path}.")
    content = read_pyskl(path)
    yield from content.skipped
    for protocol in content.protocols.unknown:
        yield Skipped(f"split {protocol[:80]!r}", "its name tells neither train nor val nor test")
    for name in content.protocols.clips:
        if name not in content:
            yield Skipped(name, "it is on a list of the splits, but has no annotation", is_failure=False)
    for name, clip in content.items():
        try:
            if clip.label is None:
                yield Skipped(name, "it has no label", is_failure=False)
                continue
            label = Labelled(f"class{clip.label:03d}")
            yield Recording(name.strip("/"), clip.poses(), (label,), protocols=content.protocols.of(name))
        except InvalidAnnotation as error:
            yield Skipped.because(name, error)


def _check_numbers(*numbered: tuple[str, int, int]) -> None:
    """Refuse what a set's own numbering does not know: kind of number, its value, and the highest."""
    for kind, number, most in numbered:
        if not 1 <= number <= most:
            raise InvalidAnnotation(f"The set has {kind}s 1 to {most}, not {number}. Rename or remove it.")


def _captured(
    folder: Path, describe: Callable[[Path], tuple[Labelled, str] | None]
) -> Iterator[Captured | Skipped]:
    """The `.bvh` files below a folder, with the label and the group that `describe` gives them."""
    for path in sorted(folder.rglob("*.bvh")):
        inside = path.relative_to(folder)
        try:
            described = describe(inside)
            if described is None:
                yield Skipped(inside.as_posix(), "its name tells no label", is_failure=False)
                continue
            motion = read_bvh(path)
            motion.joints()
        except InvalidAnnotation as error:
            yield Skipped.because(inside.as_posix(), error)
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
    if not {*grades} <= _GRADES:
        raise InvalidAnnotation(f"The set grades by -1, 0 and 1; this says {', '.join(grades)}. Rename it.")
    # The same grades of another action, or played again, are the same motion's neighbours.
    return Labelled(action.lower(), extra=tuple(zip(_FACTORS, grades, strict=True))), "_".join(grades)


def _bandai(path: Path) -> tuple[Labelled, str] | None:
    """`dataset-1_bow_active_001.bvh`: a movement and the style that it is done in."""
    match = _BANDAI_NAME.fullmatch(path.name)
    return (Labelled(match[1], extra=(("style", match[2]),)), path.stem) if match else None


def _named(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    return sorted(path for path in folder.rglob("*.txt") if pattern.fullmatch(path.name))


def _unnamed(
    folder: Path, pattern: re.Pattern[str], ending: str, example: str, *, is_failure: bool = True
) -> Iterator[Skipped]:
    """Files that end like recordings, but whose names tell no number."""
    for path in sorted(folder.rglob(f"*{ending}")):
        if not pattern.fullmatch(path.name) and path.name not in _NO_RECORDINGS:
            yield Skipped(path.name, f"its name is not such as {example}", is_failure=is_failure)


DATASETS.add("jhmdb", SkeletonSet("JHMDB (ground-truth joints, its splits)", _jhmdb))
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
