"""Recordings with timed labels as a data set: annotations, the videos that they are about, windows."""

from __future__ import annotations

import glob
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Literal

from kinesphere.annotations.recordings import Recordings, names_of
from kinesphere.annotations.timed import TimedLabel, TimedLabels, video_name
from kinesphere.annotations.timed_files import read_timed
from kinesphere.clips.modality import stands_alone
from kinesphere.clips.source import duration_of, start_of
from kinesphere.core.errors import InvalidAnnotation, InvalidManifest, VideoError
from kinesphere.core.labels import LabelSet
from kinesphere.core.paths import is_file, is_folder, real_path
from kinesphere.core.skipped import Skipped
from kinesphere.core.text import spelled
from kinesphere.data.folder import TABLES, contents
from kinesphere.data.groups import Grouping, with_groups
from kinesphere.data.manifest import Manifest, shown_path
from kinesphere.data.sample import Sample
from kinesphere.data.sample_table import SampleTable
from kinesphere.data.sources import Opening
from kinesphere.data.spelling import Spelling, corrected
from kinesphere.data.windows import LABEL_COLUMN, WindowRule, Windows, windows_of

TIMED_ONLY = (".eaf", ".vtt", ".json", ".xml")
"""Suffixes of files that hold timed labels and never a manifest."""
_TIMED = (*TIMED_ONLY, ".csv", ".parquet", ".txt")
# Verbs that generate recordings leave their settings beside them.
_SETTINGS = "settings.json"
_SHOWN = 20


@dataclass(frozen=True)
class AnnotatedVideos:
    """Recordings whose videos are there, and their annotations.

    Attributes:
        labels: Timed labels; each recording is named by its path below `root`.
        paths: The video, or file of poses, of each recording.
        durations_s: When each ends, in seconds.
        starts_s: When the first frame of each begins.
        root: Folder that all lie in.
        left_out: Files that cannot be read, and recordings without a video.
        named: Name of each recording in its file of annotations.
    """

    labels: TimedLabels
    paths: Mapping[str, Path]
    durations_s: Mapping[str, float]
    starts_s: Mapping[str, float]
    root: Path
    left_out: tuple[Skipped, ...]
    named: Mapping[str, str]


@dataclass(frozen=True)
class Cutting:
    """What becomes of recordings.

    Attributes:
        rule: How they are cut.
        tiers: Tier of each column of labels, the first that of the class; None is all tiers of a file.
        spelling: How labels of the first column are spelled.
        videos: Folder of the videos, where they lie neither beside the annotations nor below their folder.
        groups: Group of a recording, by its path below the root, its file's name, or that without suffix.
    """

    rule: WindowRule = WindowRule()  # noqa: RUF009 (frozen)
    tiers: Mapping[str, str | None] = field(default_factory=lambda: {LABEL_COLUMN: None})
    spelling: Spelling = Spelling()  # noqa: RUF009 (frozen)
    videos: Path | None = None
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """Recordings as a data set.

    Attributes:
        manifest: The windows; `unused` and `wrong` list what was left out.
        windows: The same with the counts of before and after.
        rule: How they were cut.
        notes: What of the files was not read, and what looks like a slip.
    """

    manifest: Manifest
    windows: Windows
    rule: WindowRule
    notes: tuple[str, ...]

    def counted(self) -> list[str]:
        """The rule and what it left out, in words."""
        windows = self.windows
        files = len({sample.path for sample in self.manifest})
        left_out = (
            f"{len(self.manifest)} windows of {files} recordings; left out are {windows.untouched} windows "
            f"that no label touches, and {windows.undecided} that labels touch without covering enough"
        )
        return [self.rule.sentence(), left_out]


def is_timed(source: str | Path) -> bool:
    """Whether a source of data is recordings with timed labels, whatever else is said of it.

    A glob or a file is, by its suffix; a folder is one that holds an ELAN file and no table of clips.
    """
    path = Path(source)
    if is_folder(path):
        if any(is_file(path / name) for name in TABLES):
            return False
        return any(each.suffix.lower() == ".eaf" for each in path.iterdir())
    return path.suffix.lower() in TIMED_ONLY


def cut_recordings(
    sources: Sequence[str | Path], cutting: Cutting, *, wrong_rows: Literal["refuse", "skip"] = "skip"
) -> Cut:
    """Cut recordings into windows.

    Args:
        sources: Files of timed labels, folders of them, or globs.
        cutting: Tiers, rule, spelling.
        wrong_rows: Whether recordings that are left out are an error, which lists them, or are listed in the
            manifest.

    Raises:
        InvalidAnnotation: If a file that is named cannot be read, or has several tiers and none is chosen.
        InvalidManifest: If nothing remains, or something is left out that may not be.
    """
    # Tiers that depend on others hold notes as often as grades: they count where a tier is named.
    named = any(tier is not None for tier in cutting.tiers.values())
    found = read_recordings(sources, cutting.videos, dependents=named)
    _check_one_tier(found.labels, cutting.tiers)
    first, *_ = cutting.tiers.values()
    labels, unknown, slips = corrected(found.labels, cutting.spelling, (first,))
    groups, groupings = _groups(found, cutting.groups)
    windows = windows_of(
        labels, found.durations_s, cutting.rule, cutting.tiers,
        starts_s=found.starts_s, paths=found.paths, groups=groups,
    )  # fmt: skip
    left_out = (*found.left_out, *unknown, *windows.left_out)
    wrong = tuple(each for each in left_out if each.is_failure)
    if wrong and wrong_rows == "refuse":
        listed = "; ".join(f"{each.path}: {each.reason.rstrip('.')}" for each in wrong[:_SHOWN])
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise InvalidManifest(
            f"{_said(sources)}: {len(wrong)} recordings or labels cannot be used. {listed}{more}. Correct "
            "them, or leave them out (wrong_rows=skip)."
        )
    if not windows.samples:
        why = "; ".join(f"{each.path}: {each.reason.rstrip('.')}" for each in left_out[:3])
        raise InvalidManifest(
            f"{_said(sources)}: no window has a label, with {cutting.rule.sentence()} "
            f"({windows.undecided} windows are touched by labels that cover too little). "
            f"{why or 'There are no annotations'}."
        )
    if len({sample.id for sample in windows.samples}) < len(windows.samples):
        raise InvalidManifest(f"{_said(sources)}: two files annotate one recording's name; name them apart.")
    manifest = Manifest(
        tuple(_with_subsets(windows.samples, labels)),
        _label_set(windows, cutting),
        found.root,
        tuple(each for each in left_out if not each.is_failure),
        wrong,
        groupings,
        "annotations",
        "recordings or labels",
    )
    notes = (*labels.notes, *slips, *_too_short(windows, cutting.rule))
    return Cut(manifest, replace(windows, left_out=left_out), cutting.rule, notes)


def _too_short(windows: Windows, rule: WindowRule) -> list[str]:
    """What to do where most annotations are too short for the rule."""
    count = sum(sum(counts.values()) for counts in windows.annotations.values())
    if 2 * windows.unused <= count:
        return []
    ways = ["shorter windows (data.window.length_s, --window)"]
    if rule.overlap_of == "window":
        ways += ["a smaller least overlap", "overlap_of=annotation (--overlap-of annotation)"]
    elif rule.several == "largest":
        ways.append("several=all (--several all)")
    return [
        f"{windows.unused} of {count} annotations label no window; {' or '.join(ways)} would use more of them"
    ]


def _label_set(windows: Windows, cutting: Cutting) -> LabelSet:
    occurring = sorted({name for sample in windows.samples for name in sample.labels})
    stated = [name for name in cutting.spelling.known if name in occurring]
    rest = [name for name in occurring if name not in stated]
    if not occurring:
        raise InvalidManifest("No window has a label of the first tier; put another tier first.")
    return LabelSet((*stated, *rest), multi=cutting.rule.several == "all")


def _with_subsets(samples: Iterable[Sample], labels: TimedLabels) -> Iterable[Sample]:
    """The samples, in the split that the file of annotations puts their recording into."""
    for sample in samples:
        subset = labels.subsets.get(sample.id.rpartition("@")[0])
        yield sample if subset is None else replace(sample, split=subset)


def _check_one_tier(labels: TimedLabels, tiers: Mapping[str, str | None]) -> None:
    known = Counter(each.tier for each in labels.labels)
    if None in tiers.values() and len(known) > 1:
        listed = ", ".join(f"{name!r} ({count})" for name, count in known.most_common(_SHOWN))
        raise InvalidAnnotation(
            f"There are {len(known)} tiers, and which of them holds the classes is not said; name it "
            f"(data.tier=NAME, --tier NAME). Tiers with annotations: {listed}."
        )


def _groups(found: AnnotatedVideos, given: Mapping[str, str]) -> tuple[dict[str, str], tuple[Grouping, ...]]:
    """The group of each recording: given, stated by its table, told by its file's name, or itself."""
    recordings = []
    for name, path in found.paths.items():
        keys = (name, found.named[name], path.name, video_name(path.name))
        group = next((given[key] for key in keys if key in given), None)
        stated = None if given else found.labels.groups.get(name)
        recordings.append(Sample(name, path, ("recording",), group=group or stated))
    if given and (lacking := [each.id for each in recordings if each.group is None]):
        raise InvalidManifest(
            f"{len(lacking)} of {len(recordings)} recordings have no group in the table of groups, the first "
            f"is {lacking[0]}; add a row for each."
        )
    grouped, groupings = with_groups(
        SampleTable.of(recordings), lambda path: spelled(shown_path(path, found.root))
    )
    return {each.id: each.group or each.id for each in grouped}, groupings


def read_recordings(
    sources: Sequence[str | Path], videos: Path | None = None, *, dependents: bool = False
) -> AnnotatedVideos:
    """Read files of timed labels and find the videos that they are about.

    A video is looked for beside its annotations, then below the folder that was named, then in `videos`: the
    file of the name that the annotations give, else of that of the annotations themselves.

    Args:
        sources: Files of timed labels, folders of them, or globs.
        videos: Another folder of videos.
        dependents: Whether tiers of ELAN that depend on others are read too.

    Raises:
        InvalidAnnotation: If there is no such file, or one that is named cannot be read.
    """
    files, left_out = _files(sources, Recordings(videos), dependents)
    folders = [Path(source) for source in sources if is_folder(Path(source))]
    folders += [file.parent for file, _ in files if not any(file.is_relative_to(each) for each in folders)]
    root = Path(os.path.commonpath([real_path(folder) for folder in folders]))
    places = [*dict.fromkeys(folders), *([videos] if videos is not None else [])]
    if videos is not None:
        root = Path(os.path.commonpath([root, real_path(videos)]))
    there = _videos(places)
    merged = _Merged(root)
    for file, labels in files:
        for name in labels.videos:
            path = _video_of(file, name, there, only=len(labels.videos) == 1)
            if isinstance(path, str):
                left_out.append(Skipped(f"{file}: {name}" if len(labels.videos) > 1 else str(file), path))
            else:
                merged.add(path, name, labels)
        merged.notes += labels.notes
    durations_s, starts_s = merged.measured(left_out)
    return AnnotatedVideos(
        merged.labels(durations_s), {name: merged.paths[name] for name in durations_s}, durations_s, starts_s,
        root, tuple(left_out), merged.named,
    )  # fmt: skip


class _Merged:
    """The labels of several files under the paths of their videos."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.notes: list[str] = []
        self.paths: dict[str, Path] = {}
        self.named: dict[str, str] = {}
        self._parts: dict[str, list[tuple[str, TimedLabels]]] = defaultdict(list)

    def add(self, path: Path, name: str, labels: TimedLabels) -> None:
        """The labels of one recording in one file."""
        key = spelled(shown_path(real_path(path), self.root))
        self.paths[key], self.named[key] = path, name
        self._parts[key].append((name, labels))

    def measured(self, left_out: list[Skipped]) -> tuple[dict[str, float], dict[str, float]]:
        """When each recording ends and begins; those that cannot be read are left out."""
        durations_s, starts_s = {}, {}
        for key, path in self.paths.items():
            try:
                with Opening().open(path) as video:
                    durations_s[key], starts_s[key] = duration_of(video), start_of(video)
            except (VideoError, InvalidAnnotation) as error:
                left_out.append(Skipped(key, str(error)))
        return durations_s, starts_s

    def labels(self, wanted: Iterable[str]) -> TimedLabels:
        """All labels of the recordings that can be read."""
        labels: list[TimedLabel] = []
        subsets: dict[str, str] = {}
        groups: dict[str, str] = {}
        by_name: dict[int, dict[str, list[TimedLabel]]] = {}
        for key in wanted:
            for name, part in self._parts[key]:
                own = by_name.get(id(part)) or by_name.setdefault(id(part), _by_video(part))
                labels += [replace(each, video=key) for each in own.get(name, ())]
                if (subset := part.subsets.get(name, part.splits.get(name))) is not None:
                    subsets[key] = subset
                if name in part.groups:
                    groups[key] = part.groups[name]
        return TimedLabels(
            tuple(labels), tuple(wanted), subsets=subsets, notes=tuple(self.notes), groups=groups
        )


def _by_video(found: TimedLabels) -> dict[str, list[TimedLabel]]:
    """The labels of each video of a file."""
    own: dict[str, list[TimedLabel]] = defaultdict(list)
    for each in found.labels:
        own[each.video].append(each)
    return own


def _files(
    sources: Sequence[str | Path], recordings: Recordings, dependents: bool
) -> tuple[list[tuple[Path, TimedLabels]], list[Skipped]]:
    """Every file of annotations, and those of folders and globs that cannot be read."""
    found: list[tuple[Path, TimedLabels]] = []
    left_out: list[Skipped] = []
    for source in sources:
        path = Path(source)
        if is_file(path):
            found.append((path, _read(path, recordings, dependents)))
            continue
        matches = _in_folder(path) if is_folder(path) else _matching(str(source))
        if not matches:
            raise InvalidAnnotation(
                f"{source} holds no file of timed labels; known are {', '.join(_TIMED)}. Check the path."
            )
        for file in matches:
            try:
                found.append((file, _read(file, recordings, dependents)))
            except InvalidAnnotation as error:
                left_out.append(Skipped(str(file), str(error).removeprefix(f"{file} ")))
    if not found:
        raise InvalidAnnotation(f"{_said(sources)}: {left_out[0].path}: {left_out[0].reason}")
    return found, left_out


def _matching(pattern: str) -> list[Path]:
    return sorted(map(Path, glob.glob(pattern, recursive=True)))  # noqa: PTH207 (takes absolute patterns)


def _in_folder(folder: Path) -> list[Path]:
    """Files of annotations below a folder: of ELAN where there are some, else of every kind that is."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _TIMED and is_file(path))
    files = [path for path in files if not path.name.endswith(_SETTINGS)]
    elan = [path for path in files if path.suffix.lower() == ".eaf"]
    return elan or files


def _read(file: Path, recordings: Recordings, dependents: bool) -> TimedLabels:
    """The labels of a file; a recording without a name has that of the file."""
    labels = read_timed(file, recordings, dependents=dependents)
    name = video_name(file.stem)
    named = tuple(each if each.video else replace(each, video=name) for each in labels.labels)
    return replace(labels, labels=named, videos=tuple(each or name for each in labels.videos) or (name,))


def _videos(folders: Iterable[Path]) -> dict[str, list[Path]]:
    """Videos, and files that stand for one, below some folders, by their name without suffix."""
    found: dict[str, list[Path]] = defaultdict(list)
    for folder in folders:
        inside = contents(folder)
        for path in (*inside.videos, *(path for path, _ in inside.unused if stands_alone(path))):
            alone = stands_alone(path)
            name = video_name(path.name) if alone is None else path.name.removesuffix(alone.suffix)
            if path not in found[name]:
                found[name].append(path)
    return found


def _video_of(file: Path, name: str, there: Mapping[str, list[Path]], *, only: bool) -> Path | str:
    """The video of a recording, or why there is none."""
    # ActivityNet's annotations name a video by the letters of its address, its files with `v_` before them.
    names = dict.fromkeys(
        (name, PurePath(name).stem, f"v_{name}", *names_of(name), *([file.stem] if only else []))
    )
    for each in names:
        candidates = there.get(each, [])
        beside = [path for path in candidates if path.parent == file.parent]
        chosen = beside or candidates
        if len(chosen) == 1:
            return chosen[0]
        if chosen:
            listed = ", ".join(map(str, chosen[:3]))
            return f"{len(chosen)} files could be its video {each!r} ({listed}); keep one, or rename them"
    return (
        f"its video {name!r} lies neither beside it nor below its folder; put it there, or name its folder "
        "(data.videos, --videos)"
    )


def _said(sources: Sequence[str | Path]) -> str:
    return str(sources[0]) if len(sources) == 1 else f"{sources[0]} and {len(sources) - 1} more"
