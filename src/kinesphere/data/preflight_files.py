"""What `check` finds in each file: its video, its poses and its other sidecar files."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities.pose.file import SUFFIX as POSE_SUFFIX
from kinesphere.clips.modalities.pose.reader import known_poses
from kinesphere.clips.modalities.pose.track import PoseTrack
from kinesphere.clips.modality import MODALITIES, Sidecar, see
from kinesphere.clips.preparation import Preparation
from kinesphere.clips.sidecar import Extracts
from kinesphere.clips.source import VideoSource, beside, duration_of, start_of
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import DamagedVideo, InvalidAnnotation, InvalidSetting, VideoError
from kinesphere.core.parallel import progressed
from kinesphere.core.paths import is_folder
from kinesphere.core.skipped import Skipped
from kinesphere.data.cropping import joints_outside, masks_outside, seen_window
from kinesphere.data.manifest import Manifest
from kinesphere.data.preflight_poses import PoseFacts, facts_of, inspect_poses, pose_file_of
from kinesphere.data.sources import lacks_file
from kinesphere.video import ImageFolder, Video


@dataclass(frozen=True)
class FileFacts:
    """What one file holds.

    Attributes:
        size_bytes: Its size.
        frame_size: `(H, W)` of its frames; None for joints in space.
        fps: Its frame rate, if known.
        duration_s: Its end in seconds, if known.
        start_s: Its start in seconds.
        codec: Its codec; empty for pose files.
        damage: What of it cannot be read.
        poses: Its poses, if there are some.
        cut: Fraction of the people outside the centre crop, if known.
        frames: Their number.
        differing: In what its sidecar files were made otherwise than those that a model learnt from.
        sidecars: By modality what is wrong with its sidecar file, None if nothing; empty if there is none.
    """

    size_bytes: int = 0
    frame_size: tuple[int, int] | None = None
    fps: float | None = None
    duration_s: float | None = None
    start_s: float = 0.0
    codec: str = ""
    damage: str | None = None
    poses: PoseFacts | None = None
    cut: float | None = None
    frames: int = 0
    differing: tuple[str, ...] = ()
    sidecars: Mapping[str, str | None] = field(default_factory=dict)


SidecarFiles = Mapping[str, Mapping[Path, Path | str]]
"""By modality, the sidecar file of every video that has one, or why it cannot be used."""


def is_pose_file(path: Path) -> bool:
    """Whether a sample's file holds poses instead of frames."""
    return path.name.endswith(POSE_SUFFIX)


def sidecar_files(manifest: Manifest, specs: Sequence[ClipSpec], extracts: Extracts) -> SidecarFiles:
    """By modality, the file of every video that has one, or why it cannot be used; poses have their own."""
    found: dict[str, Mapping[Path, Path | str]] = {}
    for spec in specs:
        sidecar = MODALITIES.get(spec.modality).sidecar
        if sidecar is not None and sidecar.needed and not see([spec], "skeleton"):
            found[spec.modality] = _files_of(manifest, spec.modality, sidecar, extracts)
    return found


def _files_of(
    manifest: Manifest, modality: str, sidecar: Sidecar, extracts: Extracts
) -> Mapping[Path, Path | str]:
    files: dict[Path, Path | str] = {}
    for sample in manifest:
        try:
            own = sample.sidecar(modality) or extracts.find(sample.path, sidecar.suffix)
            files.setdefault(sample.path, own or "")
        except InvalidAnnotation as error:
            files[sample.path] = str(error)
    return files


@dataclass(frozen=True)
class Comparison:
    """The sidecar files of a data set, to be held against those that a model learnt from.

    Attributes:
        learnt: How those were made.
        files: What there is here of each modality that the model sees.
        extracts: Where extracted files lie.
    """

    learnt: Preparation = Preparation()  # noqa: RUF009 (frozen)
    files: SidecarFiles = field(default_factory=dict)
    extracts: Extracts = Extracts()  # noqa: RUF009 (frozen)

    @classmethod
    def of(
        cls, manifest: Manifest, specs: Sequence[ClipSpec], extracts: Extracts, learnt: Preparation
    ) -> Comparison:
        """That of a data set; of a preparation that is not known, nothing is compared."""
        if learnt == Preparation():
            return cls()
        sidecars = {spec.modality: MODALITIES.get(spec.modality).sidecar for spec in specs}
        files = {
            name: _files_of(manifest, name, sidecar, extracts)
            for name, sidecar in sidecars.items()
            if sidecar is not None
        }
        return cls(learnt, files, extracts)

    def differences(self, path: Path, video: VideoSource) -> tuple[str, ...]:
        """In what the files of one video were made otherwise, as prediction says it of this video."""
        found: list[str] = []
        for name, files in self.files.items():
            sidecar, file = MODALITIES.get(name).sidecar, files[path]
            assert sidecar is not None
            known = beside(video, name)  # of a file that stands alone
            try:
                if known is None and isinstance(file, Path):
                    known = sidecar.attach(sidecar.open(file), video)
            except InvalidAnnotation:
                continue  # said elsewhere
            if known is not None:
                found += sidecar.differences(known, video, self.learnt)
            elif (lacking := lacks_file(path, name, self.extracts)) is not None:
                found.append(lacking)
        return tuple(found)


def _attached(files: SidecarFiles, path: Path, video: Video) -> dict[str, str | None]:
    """What is wrong with the sidecar files of a video, by modality (empty: there is none)."""
    wrong: dict[str, str | None] = {}
    for name, own in files.items():
        sidecar, file = MODALITIES.get(name).sidecar, own[path]
        wrong[name] = file if isinstance(file, str) else None
        if sidecar is not None and isinstance(file, Path):
            try:
                sidecar.attach(sidecar.open(file), video)
            except InvalidAnnotation as error:
                wrong[name] = str(error)
    return wrong


def pose_files_of(manifest: Manifest, extracts: Extracts) -> dict[Path, Path | PoseFacts]:
    """The pose file of every video that has one, or why it cannot be used."""
    found: dict[Path, Path | PoseFacts] = {}
    for sample in manifest:
        if sample.path not in found and not is_pose_file(sample.path):
            own = pose_file_of(sample, extracts)
            if own is not None:
                found[sample.path] = own
    return found


def inspect_file(
    path: Path,
    *,
    decode_all: bool,
    pose_files: Mapping[Path, Path | PoseFacts],
    masks: Mapping[Path, Path],
    spec: ClipSpec | None,
    files: SidecarFiles,
    comparison: Comparison,
    rates: Mapping[Path, float] | None = None,
) -> FileFacts | Skipped:
    """Open a file and decode some or all of it; why it cannot be read."""
    if is_pose_file(path):
        return _inspect_pose_file(path, comparison)
    if is_folder(path):
        return _inspect_images(path, (rates or {}).get(path), decode_all, comparison)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedVideo)  # reported through `damage`
        try:
            with Video.open(path, threads=1) as video:
                times = video.frame_times()
                count = len(times)
                if not decode_all:
                    times = times[[0, len(times) // 2, -1]]
                for start in range(0, len(times), 64):
                    video.frames_at(times[start : start + 64], size=(32, 32))
                    progressed()
                info = video.info
                poses = inspect_poses(pose_files[path], video) if path in pose_files else None
                cut = _cut(spec, video.size, poses, masks.get(path))
                return FileFacts(
                    path.stat().st_size,
                    info.size,
                    float(info.fps),
                    video.duration_s,
                    video.start_s,
                    info.codec,
                    "; ".join(video.damage) or None,
                    # Joints of a whole data set would fill the memory; what was asked of them is known.
                    None if poses is None else replace(poses, joints=None),
                    cut,
                    count,
                    comparison.differences(path, video),
                    sidecars=_attached(files, path, video),
                )
        except VideoError as error:
            return Skipped(str(path), str(error))


def _cut(spec: ClipSpec | None, size: Size, poses: PoseFacts | None, masks: Path | None) -> float | None:
    """Fraction of the people outside the centre crop, by their joints, else their masks, if known."""
    if spec is None:
        return None
    window = seen_window(spec, size)
    if poses is not None and poses.joints is not None:
        return joints_outside(poses.joints, window)
    return masks_outside(masks, window) if masks is not None else None


def _inspect_images(
    path: Path, fps: float | None, decode_all: bool, comparison: Comparison
) -> FileFacts | Skipped:
    """A folder of numbered images."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedVideo)  # reported through `damage`
        try:
            with ImageFolder.open(path, fps) as images:
                times = images.frame_times()
                for time_s in times if decode_all else times[[0, len(times) // 2, -1]]:
                    images.frames_at([time_s], size=(32, 32))
                    progressed()
                return FileFacts(
                    0, images.size, float(images.fps), images.duration_s, 0.0, "images",
                    "; ".join(images.damage) or None, frames=len(times),
                    differing=comparison.differences(path, images),
                )  # fmt: skip
        except (VideoError, InvalidSetting) as error:
            return Skipped(str(path), str(error))


def _inspect_pose_file(path: Path, comparison: Comparison) -> FileFacts | Skipped:
    try:
        track = PoseTrack(path)
    except InvalidAnnotation as error:
        return Skipped(str(path), str(error))
    poses = known_poses(track)
    return FileFacts(
        path.stat().st_size,
        poses.frame_size,
        poses.fps,
        duration_of(track),
        start_of(track),
        poses=facts_of(poses),
        frames=len(track.frame_times()),
        differing=comparison.differences(path, track),
    )
