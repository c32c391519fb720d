"""`check`: what is wrong with a data set, found before the first epoch."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities.mask.file import SUFFIX as MASK_SUFFIX
from kinesphere.clips.modalities.pose.file import SUFFIX as POSE_SUFFIX
from kinesphere.clips.modalities.pose.reader import known_poses
from kinesphere.clips.modalities.pose.track import PoseTrack
from kinesphere.clips.modality import MODALITIES, see
from kinesphere.clips.sampling import clip_times
from kinesphere.clips.sidecar import Extracts
from kinesphere.clips.source import duration_of, start_of
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.device import cpu_count
from kinesphere.core.errors import (
    DamagedVideo,
    InvalidAnnotation,
    InvalidSetting,
    SpanOutsideVideo,
    VideoError,
)
from kinesphere.core.parallel import bounded_map, progressed
from kinesphere.core.skipped import Skipped
from kinesphere.data.content import Content, contents_of
from kinesphere.data.cropping import crop_problems, joints_outside, masks_outside, seen_window
from kinesphere.data.faults import (
    Problem,
    Severity,
    label_problems,
    leaks,
    other_splits,
    problem,
    same_content,
    unused_problems,
)
from kinesphere.data.manifest import Manifest, shown_path
from kinesphere.data.preflight_poses import PoseFacts, PoseTally, facts_of, inspect_poses, pose_file_of, tally
from kinesphere.video import Video


@dataclass(frozen=True)
class Spread:
    """How a quantity is distributed over the videos.

    Attributes:
        least: Smallest value.
        median: Middle value.
        most: Largest value.
        total: Sum.
    """

    least: float
    median: float
    most: float
    total: float


@dataclass(frozen=True)
class Preflight:
    """What `check` found.

    Attributes:
        classes: Samples per class, by label; labels outside the set included.
        splits: The same per split, if the data come split.
        clips: Number of samples.
        files: Number of different files.
        groups: Number of groups.
        groupings: How groups were found that were not given, a sentence for each way.
        durations_s: Lengths of the readable videos, in seconds.
        clip_durations_s: Lengths of the samples: of their spans, or of the whole videos.
        labelled_share: Share of the readable videos' time that some span covers; None without spans.
        frame_rates: Videos per frame rate, rounded to 0.01, most frequent first.
        sizes: Videos per `WIDTHxHEIGHT`, most frequent first; pose files per size of their pictures, or
            `in space`.
        codecs: Videos per codec, most frequent first.
        unreadable: Samples whose file cannot be read.
        damaged: Samples whose file can be read in part.
        poses: What is known of their poses; None where there are none and none are needed.
        problems: All that is wrong, errors first.
        lacking: Files that inputs are read from and that are missing or cannot be used, counted by sample.
    """

    classes: dict[str, int]
    splits: dict[str, dict[str, int]]
    clips: int
    files: int
    groups: int
    groupings: tuple[str, ...]
    durations_s: Spread | None
    clip_durations_s: Spread | None
    labelled_share: float | None
    frame_rates: dict[str, int]
    sizes: dict[str, int]
    codecs: dict[str, int]
    unreadable: tuple[Skipped, ...]
    damaged: tuple[Skipped, ...]
    poses: PoseTally | None
    problems: tuple[Problem, ...]
    lacking: int = 0

    @property
    def readable_share(self) -> float:
        """Share of the samples whose file can be read, in [0, 1]."""
        return 1 - len(self.unreadable) / self.clips

    @property
    def has_errors(self) -> bool:
        """Whether training on these data would fail or mislead."""
        return any(problem.severity == "error" for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """Plain values; the shape of `kinesphere check --json`."""
        return {
            "classes": self.classes,
            "splits": self.splits,
            "clips": self.clips,
            "files": self.files,
            "groups": self.groups,
            "groupings": list(self.groupings),
            "durations_s": None if self.durations_s is None else vars(self.durations_s),
            "clip_durations_s": None if self.clip_durations_s is None else vars(self.clip_durations_s),
            "labelled_share": self.labelled_share,
            "frame_rates": self.frame_rates,
            "sizes": self.sizes,
            "codecs": self.codecs,
            "unreadable": [each.to_json() for each in self.unreadable],
            "damaged": [each.to_json() for each in self.damaged],
            "poses": None if self.poses is None else self.poses.to_json(),
            "problems": [vars(problem) | {"where": list(problem.where)} for problem in self.problems],
        }


@dataclass(frozen=True)
class _FileFacts:
    """What one file holds, or why it cannot be read."""

    size_bytes: int = 0
    frame_size: tuple[int, int] | None = None
    fps: float | None = None
    duration_s: float | None = None
    start_s: float = 0.0
    codec: str = ""
    damage: str | None = None
    poses: PoseFacts | None = None
    cut: float | None = None
    sidecars: Mapping[str, str | None] = field(default_factory=dict)
    error: str | None = None


def check(
    manifest: Manifest,
    specs: ClipSpec | Sequence[ClipSpec] = (),
    *,
    extracts: Extracts = Extracts(),  # noqa: B008 (frozen)
    decode_all: bool = False,
    workers: int | Literal["auto"] = "auto",
    timeout_s: float = 30.0,
    progress: Callable[[int, int], None] | None = None,
) -> Preflight:
    """Look at every file and every label of a data set.

    Args:
        manifest: The samples.
        specs: What the network will take. The first finds spans too short for its clips; videos without a
            file that one of them is read from are a problem. Pose files are looked at anyway.
        extracts: Where sidecar files lie.
        decode_all: Decode every frame; else the first, the middle and the last one of each file, which
            finds what cannot be opened and most of what is cut off.
        workers: Processes, or `auto` for one per core.
        timeout_s: Longest time for one file, or with `decode_all` for the next frames of one; a file that
            takes longer counts as unreadable.
        progress: Called with the number of files done and of all files.

    Raises:
        InvalidSetting: If `workers` or `timeout_s` are not positive.
    """
    count = cpu_count() if workers == "auto" else workers
    if count < 1 or timeout_s <= 0:
        raise InvalidSetting(
            f"A check needs at least one worker and a positive time; got {workers}, {timeout_s} s."
        )
    paths = list(dict.fromkeys(sample.path for sample in manifest))
    facts: dict[Path, _FileFacts] = {}
    pose_files = _pose_files(manifest, extracts)
    masks = {path: file for path in paths if (file := extracts.path(path, MASK_SUFFIX)).is_file()}
    specs = (specs,) if isinstance(specs, ClipSpec) else specs
    files = _sidecar_files(manifest, specs, extracts)
    spec = specs[0] if specs else None
    inspect = partial(
        _inspect, decode_all=decode_all, pose_files=pose_files, masks=masks, spec=spec, files=files
    )
    for path, found in bounded_map(inspect, paths, workers=count, timeout_s=timeout_s):
        facts[path] = _FileFacts(error=f"{path}: {found.reason}.") if isinstance(found, Skipped) else found
        if progress is not None:
            progress(len(facts), len(paths))
    contents = contents_of(path for path in paths if facts[path].error is None)
    needs_poses = see(specs, "skeleton")
    has_poses = needs_poses or pose_files or any(is_pose_file(path) for path in paths)
    poses = _poses(manifest, facts) if has_poses else None
    report = _report(manifest, spec, facts, contents, poses)
    lacking = len(poses.missing) + len(poses.unusable) if needs_poses and poses is not None else 0
    lacking += sum(reason is not None for s in manifest for reason in facts[s.path].sidecars.values())
    return replace(report, lacking=lacking)


def is_pose_file(path: Path) -> bool:
    """Whether a sample's file holds poses instead of pictures."""
    return path.name.endswith(POSE_SUFFIX)


_Files = Mapping[str, Mapping[Path, Path | str]]


def _sidecar_files(manifest: Manifest, specs: Sequence[ClipSpec], extracts: Extracts) -> _Files:
    """By modality, the file of every video that has one, or why it cannot be used; poses are told apart."""
    found: dict[str, dict[Path, Path | str]] = {}
    for spec in specs:
        modality = MODALITIES.get(spec.modality)
        if modality.sidecar is None or not modality.sidecar.needed or see([spec], "skeleton"):
            continue
        files = found.setdefault(spec.modality, {})
        for sample in manifest:
            try:
                own = sample.sidecar(spec.modality) or extracts.find(sample.path, modality.sidecar.suffix)
                files.setdefault(sample.path, own or "")
            except InvalidAnnotation as error:
                files[sample.path] = str(error)
    return found


def _attached(files: _Files, path: Path, video: Video) -> dict[str, str | None]:
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


def _pose_files(manifest: Manifest, extracts: Extracts) -> dict[Path, Path | PoseFacts]:
    """The pose file of every video that has one, or why it cannot be used."""
    found: dict[Path, Path | PoseFacts] = {}
    for sample in manifest:
        if sample.path not in found and not is_pose_file(sample.path):
            own = pose_file_of(sample, extracts)
            if own is not None:
                found[sample.path] = own
    return found


def _inspect(
    path: Path,
    *,
    decode_all: bool,
    pose_files: Mapping[Path, Path | PoseFacts],
    masks: Mapping[Path, Path],
    spec: ClipSpec | None,
    files: _Files,
) -> _FileFacts:
    """Open a file and decode some or all of it."""
    if is_pose_file(path):
        return _inspect_pose_file(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedVideo)  # reported through `damage`
        try:
            with Video.open(path, threads=1) as video:
                times = video.frame_times()
                if not decode_all:
                    times = times[[0, len(times) // 2, -1]]
                for start in range(0, len(times), 64):
                    video.frames_at(times[start : start + 64], size=(32, 32))
                    progressed()
                info = video.info
                poses = inspect_poses(pose_files[path], video) if path in pose_files else None
                cut = _cut(spec, video.size, poses, masks.get(path))
                return _FileFacts(
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
                    sidecars=_attached(files, path, video),
                )
        except VideoError as error:
            return _FileFacts(error=str(error))


def _cut(spec: ClipSpec | None, size: Size, poses: PoseFacts | None, masks: Path | None) -> float | None:
    """Share of the people outside the centre crop, by their joints or else their masks; None if unknown."""
    if spec is None:
        return None
    window = seen_window(spec, size)
    if poses is not None and poses.joints is not None:
        return joints_outside(poses.joints, window)
    return masks_outside(masks, window) if masks is not None else None


def _inspect_pose_file(path: Path) -> _FileFacts:
    try:
        track = PoseTrack(path)
    except InvalidAnnotation as error:
        return _FileFacts(error=str(error))
    poses = known_poses(track)
    return _FileFacts(
        path.stat().st_size,
        poses.frame_size,
        poses.fps,
        duration_of(track),
        start_of(track),
        poses=facts_of(poses),
    )


def _poses(manifest: Manifest, facts: dict[Path, _FileFacts]) -> PoseTally:
    readable = [sample for sample in manifest if facts[sample.path].error is None]
    return tally((sample, facts[sample.path].poses) for sample in readable)


def _report(
    manifest: Manifest,
    spec: ClipSpec | None,
    facts: dict[Path, _FileFacts],
    contents: Mapping[Path, Content],
    poses: PoseTally | None,
) -> Preflight:
    read = [found for found in facts.values() if found.error is None]
    unreadable, damaged = [], []
    for index, sample in enumerate(manifest):
        found = facts[sample.path]
        if found.error is not None:
            unreadable.append(Skipped(str(sample.path), found.error, index=index))
        elif found.damage is not None:
            damaged.append(Skipped(str(sample.path), found.damage, is_failure=False, index=index))
    problems = [
        *_file_problems(manifest, unreadable, damaged),
        *unused_problems(manifest),
        *label_problems(manifest),
        *other_splits(manifest),
        *leaks(manifest, same_content(contents)),
        *_span_problems(manifest, spec, facts),
        *_crop_problems(manifest, spec, facts),
        *_pose_problems(manifest, poses),
        *_sidecar_problems(manifest, facts),
    ]
    durations = [found.duration_s for found in read if found.duration_s]
    return Preflight(
        classes=manifest.counts(),
        splits={split: manifest.where(split=split).counts() for split in manifest.splits},
        clips=len(manifest),
        files=len(facts),
        groups=len(manifest.groups),
        groupings=tuple(each.sentence() for each in manifest.groupings),
        durations_s=_spread(durations) if durations else None,
        clip_durations_s=_spread(lengths) if (lengths := _lengths(manifest, facts)) else None,
        labelled_share=_labelled(manifest, facts),
        frame_rates=_tally(f"{round(found.fps, 2):g}" for found in read if found.fps),
        sizes=_tally(
            "in space" if found.frame_size is None else f"{found.frame_size[1]}x{found.frame_size[0]}"
            for found in read
        ),
        codecs=_tally(found.codec for found in read if found.codec),
        unreadable=tuple(unreadable),
        damaged=tuple(damaged),
        poses=poses,
        problems=tuple(sorted(problems, key=lambda problem: problem.severity != "error")),
    )


def _lengths(manifest: Manifest, facts: Mapping[Path, _FileFacts]) -> list[float]:
    """Seconds of every sample that can be read."""
    found = []
    for sample in manifest:
        whole_s = facts[sample.path].duration_s
        if sample.span is not None:
            found.append(sample.span[1] - sample.span[0])
        elif whole_s:
            found.append(whole_s - facts[sample.path].start_s)
    return found


def _labelled(manifest: Manifest, facts: Mapping[Path, _FileFacts]) -> float | None:
    """Share of the videos' time that some span covers; None where no sample has a span."""
    spans: dict[Path, list[tuple[float, float]]] = defaultdict(list)
    for sample in manifest:
        known = facts[sample.path]
        if known.duration_s:
            first_s, last_s = known.start_s, known.duration_s
            start, end = sample.span or (first_s, last_s)
            spans[sample.path].append((max(first_s, start), min(last_s, end)))
    total_s = sum((facts[path].duration_s or 0.0) - facts[path].start_s for path in spans)
    if not total_s or all(sample.span is None for sample in manifest):
        return None
    covered_s = 0.0
    for each in spans.values():
        reached = 0.0
        for start, end in sorted(each):
            covered_s += max(0.0, end - max(start, reached))
            reached = max(reached, end)
    return min(1.0, covered_s / total_s)


def _crop_problems(
    manifest: Manifest, spec: ClipSpec | None, facts: Mapping[Path, _FileFacts]
) -> list[Problem]:
    if spec is None or not MODALITIES.get(spec.modality).is_picture:
        return []
    return crop_problems(
        [
            (shown_path(path, manifest.root), seen_window(spec, found.frame_size), found.cut)
            for path, found in facts.items()
            if found.error is None and found.frame_size is not None and not is_pose_file(path)
        ]
    )


def _spread(values: list[float]) -> Spread:
    return Spread(min(values), float(np.median(values)), max(values), sum(values))


def _tally(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _file_problems(manifest: Manifest, unreadable: list[Skipped], damaged: list[Skipped]) -> list[Problem]:
    problems = []
    for kind, found, advice in (
        ("unreadable", unreadable, "cannot be read and would be left out; replace or remove them"),
        ("damaged", damaged, "can be read only in part; replace them if the rest matters"),
    ):
        if found:
            message = f"{len(found)} of {len(manifest)} samples {advice}."
            files = dict.fromkeys(shown_path(Path(entry.path), manifest.root) for entry in found)
            problems.append(problem("warning", kind, message, files))
    if len(unreadable) == len(manifest):
        problems.append(Problem("error", "unreadable", "No sample can be read; check the paths."))
    return problems


def _span_problems(manifest: Manifest, spec: ClipSpec | None, facts: dict[Path, _FileFacts]) -> list[Problem]:
    outside, beyond, short = [], [], []
    for sample in manifest:
        found = facts[sample.path]
        if found.error is not None or not found.duration_s:
            continue
        span = sample.span or (found.start_s, found.duration_s)
        if span[0] >= found.duration_s or span[1] <= found.start_s:
            outside.append(sample.id)
            continue
        # Half a frame's tolerance: annotation tools round differently.
        if sample.span is not None and sample.span[1] > found.duration_s + 0.5 / (found.fps or 25.0):
            beyond.append(sample.id)
        if spec is not None and _repeats(spec, sample.span, found):
            short.append(sample.id)
    problems = []
    if outside:
        message = (
            f"{len(outside)} spans start after the last picture of their video, or end before its first, and "
            "cannot be read; correct them."
        )
        problems.append(problem("error", "span outside", message, outside))
    if beyond:
        message = f"{len(beyond)} spans end after their video and are cut there; check their annotation."
        problems.append(problem("warning", "span outside", message, beyond))
    if short:
        message = (
            f"{len(short)} of {len(manifest)} samples are shorter than a clip of {spec and spec.sampling}; "
            f"they would {'start over' if spec and spec.short_video == 'loop' else 'hold their last frame'}."
        )
        problems.append(problem("warning", "short", message, short))
    return problems


def _pose_problems(manifest: Manifest, poses: PoseTally | None) -> list[Problem]:
    if poses is None:
        return []
    problems = []
    for kind, where, advice in (
        ("no poses", poses.missing, "have no pose file; run `kinesphere extract pose` on them"),
        (
            "unusable poses",
            poses.unusable,
            "have a pose file that is broken or of another video; extract them again",
        ),
        ("nobody", poses.nobody, "show nobody at any time, so that a network sees only zeros; look at them"),
    ):
        if where:
            message = f"{len(where)} of {len(manifest)} samples {advice}."
            severity: Severity = "error" if len(where) == len(manifest) else "warning"
            problems.append(problem(severity, kind, message, where))
    return problems


def _sidecar_problems(manifest: Manifest, facts: Mapping[Path, _FileFacts]) -> list[Problem]:
    """What is said of the files that inputs of other modalities than poses are read from."""
    problems = []
    for name in sorted({name for found in facts.values() for name in found.sidecars}):
        what = MODALITIES.get(name).what
        said = [(sample.id, facts[sample.path].sidecars.get(name)) for sample in manifest]
        for kind, where, advice in (
            (f"no {what}", [one for one, reason in said if reason == ""], f"have no file of {what}"),
            (
                f"unusable {what}",
                [f"{one}: {reason}" for one, reason in said if reason],
                f"have a file of {what} that is broken or of another video",
            ),
        ):
            if where:
                severity: Severity = "error" if len(where) == len(manifest) else "warning"
                message = f"{len(where)} of {len(manifest)} samples {advice}, and would be left out."
                problems.append(problem(severity, kind, message, where))
    return problems


def _repeats(spec: ClipSpec, span: tuple[float, float] | None, found: _FileFacts) -> bool:
    try:
        moments = clip_times(spec, span, found.fps, found.duration_s, start_s=found.start_s)
    except SpanOutsideVideo:
        return False
    return any(clip.repeated for clip in moments)
