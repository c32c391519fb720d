"""What `check` finds wrong with files, spans, crops, poses and other sidecar files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.sampling import clip_times
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import SpanOutsideVideo
from kinesphere.core.paths import is_file
from kinesphere.core.skipped import Skipped
from kinesphere.data.cropping import crop_problems as cropped
from kinesphere.data.cropping import seen_window
from kinesphere.data.faults import Problem, Severity, problem
from kinesphere.data.frame_lists import FRAMES_COLUMN
from kinesphere.data.manifest import Manifest, shown_path
from kinesphere.data.preflight_files import FileFacts, is_pose_file
from kinesphere.data.preflight_poses import PoseSummary

Facts = Mapping[Path, FileFacts]
"""What is known of every file that can be read."""


def file_problems(
    manifest: Manifest, unreadable: Sequence[Skipped], damaged: Sequence[Skipped]
) -> list[Problem]:
    """Files that cannot be read, wholly or in part."""
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
        problems.append(
            Problem("error", "unreadable", f"No sample can be read; {_where_paths_lead(manifest)}.")
        )
    return problems


def _where_paths_lead(manifest: Manifest) -> str:
    """What to do about paths of which none can be read."""
    first = manifest[0].path
    inside = not manifest.root.is_absolute() or first.is_relative_to(manifest.root)
    if not is_file(first) and inside and is_file(Path(shown_path(first, manifest.root))):
        return (
            f"the paths are written as seen from the working folder, but count from the table's own, "
            f"{manifest.root}: write them as seen from there, or absolute ones, or move the table"
        )
    return f"check the paths, which count from the table's folder, {manifest.root}"


def frame_count_problems(manifest: Manifest, facts: Facts) -> list[Problem]:
    """Folders that hold fewer images than a list says: what was cut off is not known to be damaged."""
    fewer = []
    for sample in manifest:
        stated, found = dict(sample.extra).get(FRAMES_COLUMN, ""), facts.get(sample.path)
        if found is not None and stated.isdecimal() and 0 < found.frames < int(stated):
            fewer.append(f"{sample.id}: {found.frames} of {int(stated)}")
    if not fewer:
        return []
    message = (
        f"{len(fewer)} folders hold fewer images than the list says, so that their videos end too early; "
        "extract them anew, or correct the list."
    )
    return [problem("warning", "frames", message, fewer)]


def span_problems(manifest: Manifest, spec: ClipSpec | None, facts: Facts) -> list[Problem]:
    """Spans outside their video, and samples shorter than a clip."""
    outside, beyond, short = [], [], []
    for sample in manifest:
        found = facts.get(sample.path)
        if found is None or not found.duration_s:
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
            f"{len(outside)} spans start after the last frame of their video, or end before its first, and "
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


def pose_problems(manifest: Manifest, poses: PoseSummary | None) -> list[Problem]:
    """Missing and unusable poses, those that show nobody, and those that cannot be of their frames."""
    if poses is None:
        return []
    broken = "have a pose file that is broken or of another video; extract them again"
    nobody = "show nobody at any time, so that a network sees only zeros; look at them"
    misplaced = (
        "have joints far outside their frames, or all in one corner; look whether the size of the frames is "
        "given as height and width, and coordinates in its pixels"
    )
    return [
        *_of_samples(
            manifest, "no poses", poses.missing, "have no pose file; run `kinesphere extract pose` on them"
        ),
        *_of_samples(manifest, "unusable poses", poses.unusable, broken),
        *_of_samples(manifest, "nobody", poses.nobody, nobody),
        *_of_samples(manifest, "misplaced poses", poses.misplaced, misplaced),
    ]


def _of_samples(manifest: Manifest, kind: str, where: Sequence[str], advice: str) -> list[Problem]:
    """The problem of some samples, an error where all have it; none where none has."""
    severity: Severity = "error" if len(where) == len(manifest) else "warning"
    message = f"{len(where)} of {len(manifest)} samples {advice}."
    return [problem(severity, kind, message, where)] if where else []


def sidecar_problems(manifest: Manifest, facts: Facts) -> list[Problem]:
    """What is wrong with the files that inputs of other modalities than poses are read from."""
    problems = []
    for name in sorted({name for found in facts.values() for name in found.sidecars}):
        what = MODALITIES.get(name).what
        known = [
            (sample.id, facts[sample.path].sidecars.get(name)) for sample in manifest if sample.path in facts
        ]
        absent = [one for one, reason in known if reason == ""]
        broken = [f"{one}: {reason}" for one, reason in known if reason]
        advice = f"have a file of {what} that is broken or of another video, and would be left out"
        problems += _of_samples(
            manifest, f"no {what}", absent, f"have no file of {what}, and would be left out"
        )
        problems += _of_samples(manifest, f"unusable {what}", broken, advice)
    return problems


def preparation_problems(manifest: Manifest, facts: Facts) -> list[Problem]:
    """Sidecar files that were made otherwise than those that a model learnt from."""
    samples = [sample for sample in manifest if sample.path in facts and facts[sample.path].differing]
    if not samples:
        return []
    message = (
        f"{len(samples)} of {len(manifest)} samples have files made otherwise than those that the model "
        "learnt from; extract them with its settings, or expect other answers."
    )
    where = (f"{sample.id}: {'; '.join(facts[sample.path].differing)}" for sample in samples)
    return [problem("warning", "other preparation", message, where)]


def still_problems(manifest: Manifest, facts: Facts) -> list[Problem]:
    """Files of one frame, in which nothing moves."""
    still = [sample.id for sample in manifest if sample.path in facts and facts[sample.path].frames == 1]
    if not still:
        return []
    message = (
        f"{len(still)} of {len(manifest)} samples are of files with one frame, in which nothing moves; "
        "replace still images by videos."
    )
    return [problem("warning", "still", message, still)]


def _repeats(spec: ClipSpec, span: tuple[float, float] | None, found: FileFacts) -> bool:
    try:
        clips = clip_times(spec, span, found.fps, found.duration_s, start_s=found.start_s)
    except SpanOutsideVideo:
        return False
    return any(clip.repeated for clip in clips)


def crop_problems(manifest: Manifest, spec: ClipSpec | None, facts: Facts) -> list[Problem]:
    """Crops that leave people out."""
    if spec is None or not MODALITIES.get(spec.modality).is_picture:
        return []
    return cropped(
        [
            (shown_path(path, manifest.root), seen_window(spec, found.frame_size), found.cut)
            for path, found in facts.items()
            if found.frame_size is not None and not is_pose_file(path)
        ]
    )
