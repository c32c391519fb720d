"""`check`: what is wrong with a data set, found before the first epoch."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kinesphere.clips.modalities.mask.file import SUFFIX as MASK_SUFFIX
from kinesphere.clips.modality import see
from kinesphere.clips.preparation import Preparation
from kinesphere.clips.sidecar import Extracts
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.device import cpu_count
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.parallel import bounded_map
from kinesphere.core.paths import is_file
from kinesphere.core.skipped import Skipped
from kinesphere.data.content import contents_of
from kinesphere.data.faults import (
    Problem,
    label_problems,
    leaks,
    other_splits,
    same_content,
    unread_spans,
    unused_problems,
)
from kinesphere.data.manifest import Manifest
from kinesphere.data.preflight_files import (
    Comparison,
    FileFacts,
    inspect_file,
    is_pose_file,
    pose_files_of,
    sidecar_files,
)
from kinesphere.data.preflight_poses import PoseSummary, summarise
from kinesphere.data.preflight_problems import (
    Facts,
    crop_problems,
    file_problems,
    frame_count_problems,
    pose_problems,
    preparation_problems,
    sidecar_problems,
    span_problems,
    still_problems,
)


@dataclass(frozen=True)
class Spread:
    """How a quantity is distributed over the videos."""

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
        labelled_share: Fraction of the readable videos' time that some span covers; None without spans.
        frame_rates: Videos per frame rate, rounded to 0.01, most frequent first.
        sizes: Videos per `WIDTHxHEIGHT`, most frequent first; pose files per size of their frames, or
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
    poses: PoseSummary | None
    problems: tuple[Problem, ...]
    lacking: int = 0

    @property
    def readable_share(self) -> float:
        """Fraction of the samples whose file can be read, in [0, 1]."""
        return 1 - len(self.unreadable) / self.clips

    @property
    def has_errors(self) -> bool:
        """Whether training on these data would fail or mislead."""
        return any(problem.severity == "error" for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """Plain values; the shape of `kinesphere check --json`."""
        plain = {name: value for name, value in vars(self).items() if name != "lacking"}
        return plain | {
            "groupings": list(self.groupings),
            "durations_s": None if self.durations_s is None else vars(self.durations_s),
            "clip_durations_s": None if self.clip_durations_s is None else vars(self.clip_durations_s),
            "unreadable": [each.to_json() for each in self.unreadable],
            "damaged": [each.to_json() for each in self.damaged],
            "poses": None if self.poses is None else self.poses.to_json(),
            "problems": [vars(problem) | {"where": list(problem.where)} for problem in self.problems],
        }


def check(
    manifest: Manifest,
    specs: ClipSpec | Sequence[ClipSpec] = (),
    *,
    preparation: Preparation = Preparation(),  # noqa: B008 (frozen)
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
        preparation: How the files were made that the network learnt from; those of other making are a
            problem, as prediction notes it.
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
    count = _processes(workers, timeout_s)
    paths = list(dict.fromkeys(sample.path for sample in manifest))
    facts: dict[Path, FileFacts] = {}
    lost: dict[Path, Skipped] = {}
    pose_files = pose_files_of(manifest, extracts)
    masks = {path: file for path in paths if is_file(file := extracts.path(path, MASK_SUFFIX))}
    specs = (specs,) if isinstance(specs, ClipSpec) else specs
    files = sidecar_files(manifest, specs, extracts)
    comparison = Comparison.of(manifest, specs, extracts, preparation)
    spec = specs[0] if specs else None
    inspect = partial(
        inspect_file, decode_all=decode_all, pose_files=pose_files, masks=masks, spec=spec, files=files,
        comparison=comparison, rates={sample.path: sample.fps for sample in manifest if sample.fps},
    )  # fmt: skip
    for path, found in bounded_map(inspect, paths, workers=count, timeout_s=timeout_s):
        if isinstance(found, Skipped):
            lost[path] = found
        else:
            facts[path] = found
        if progress is not None:
            progress(len(facts) + len(lost), len(paths))
    facts = {path: facts[path] for path in paths if path in facts}  # they came as they were done
    needs_poses = see(specs, "skeleton")
    has_poses = needs_poses or pose_files or any(is_pose_file(path) for path in paths)
    readable = [sample for sample in manifest if sample.path in facts]
    poses = summarise((sample, facts[sample.path].poses) for sample in readable) if has_poses else None
    report = _report(manifest, spec, facts, lost, poses)
    lacking = len(poses.missing) + len(poses.unusable) if needs_poses and poses is not None else 0
    lacking += sum(reason is not None for s in readable for reason in facts[s.path].sidecars.values())
    return replace(report, lacking=lacking)


def _processes(workers: int | Literal["auto"], timeout_s: float) -> int:
    count = cpu_count() if workers == "auto" else workers
    if count < 1 or timeout_s <= 0:
        raise InvalidSetting(
            f"A check needs at least one worker and a positive time; got {workers}, {timeout_s} s."
        )
    return count


def _report(
    manifest: Manifest,
    spec: ClipSpec | None,
    facts: Facts,
    lost: Mapping[Path, Skipped],
    poses: PoseSummary | None,
) -> Preflight:
    read = list(facts.values())
    unreadable, damaged = [], []
    for index, sample in enumerate(manifest):
        if sample.path in lost:
            unreadable.append(replace(lost[sample.path], index=index))
        elif (damage := facts[sample.path].damage) is not None:
            damaged.append(Skipped(str(sample.path), damage, is_failure=False, index=index))
    problems = [
        *file_problems(manifest, unreadable, damaged),
        *unused_problems(manifest),
        *label_problems(manifest),
        *other_splits(manifest),
        *unread_spans(manifest),
        *leaks(manifest, same_content(contents_of(facts))),
        *frame_count_problems(manifest, facts),
        *span_problems(manifest, spec, facts),
        *crop_problems(manifest, spec, facts),
        *pose_problems(manifest, poses),
        *sidecar_problems(manifest, facts),
        *preparation_problems(manifest, facts),
        *still_problems(manifest, facts),
    ]
    durations = [found.duration_s for found in read if found.duration_s]
    return Preflight(
        classes=manifest.counts(),
        splits={split: manifest.where(split=split).counts() for split in manifest.splits},
        clips=len(manifest),
        files=len(facts) + len(lost),
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


def _lengths(manifest: Manifest, facts: Facts) -> list[float]:
    """Seconds of every sample that has a span or can be read."""
    found = []
    for sample in manifest:
        known = facts.get(sample.path)
        if sample.span is not None:
            found.append(sample.span[1] - sample.span[0])
        elif known is not None and known.duration_s:
            found.append(known.duration_s - known.start_s)
    return found


def _labelled(manifest: Manifest, facts: Facts) -> float | None:
    """Fraction of the videos' time that some span covers; None where no sample has a span."""
    spans: dict[Path, list[tuple[float, float]]] = defaultdict(list)
    for sample in manifest:
        known = facts.get(sample.path)
        if known is not None and known.duration_s:
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


def _spread(values: list[float]) -> Spread:
    return Spread(min(values), float(np.median(values)), max(values), sum(values))


def _tally(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())
