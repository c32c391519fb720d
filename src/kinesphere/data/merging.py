"""Several manifests as one: labels renamed, files listed twice found, contradictions told."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kinesphere.core.errors import InvalidManifest, InvalidSetting
from kinesphere.core.labels import LabelSet, nearly_same, normal
from kinesphere.core.paths import real_path
from kinesphere.core.registry import nearest
from kinesphere.core.skipped import Skipped
from kinesphere.data.content import contents_of
from kinesphere.data.faults import same_content
from kinesphere.data.manifest import Manifest, shown_path
from kinesphere.data.sample import Sample

ORIGIN = "source"
"""Column that says which manifest a sample came from."""
Conflict = Literal["refuse", "first"]
"""What becomes of a clip whose labels differ between manifests: an error, or those of the first count."""
_LISTED = 20
_Clip = tuple[Path, tuple[float, float] | None]


@dataclass(frozen=True)
class Merged:
    """Several manifests as one.

    Attributes:
        manifest: All samples, each clip once.
        before: Samples per class in each manifest, by its name, labels as they were.
        repeated: Clips that several manifests list alike, kept once.
        conflicts: Clips whose labels differ between manifests, and files, groups or copies of a file that lie
            in several splits.
        notes: What else a user should know.
    """

    manifest: Manifest
    before: Mapping[str, Mapping[str, int]]
    repeated: tuple[Skipped, ...]
    conflicts: tuple[Skipped, ...]
    notes: tuple[str, ...]


def merge(
    manifests: Mapping[str, Manifest],
    renames: Mapping[str, str] | None = None,
    *,
    conflict: Conflict = "refuse",
) -> Merged:
    """Merge manifests.

    Args:
        manifests: Two or more, by name.
        renames: New name of labels; `NAME:label` is that of one manifest alone.
        conflict: What becomes of clips whose labels differ.

    Raises:
        InvalidSetting: If there are fewer than two, or a label that does not occur is to be renamed.
        InvalidManifest: If labels of a clip differ and that is refused; all such clips are listed.
    """
    if len(manifests) < 2:
        raise InvalidSetting("Merging takes two manifests or more; name another one.")
    _check_renames(manifests, renames or {})
    root = Path(os.path.commonpath([real_path(each.root) for each in manifests.values()]))
    ids = Counter(own for manifest in manifests.values() for own in manifest.table.ids)
    plain = {normal(old): normal(new) for old, new in (renames or {}).items()}
    gathered = _Gathered(root)
    for name, manifest in manifests.items():
        renamed = {own: _renamed(name, own, plain) for own in {*manifest.table.labels}}
        for sample in manifest:
            own = sample.id if ids[sample.id] == 1 else f"{name}/{sample.id}"
            while own != sample.id and own in ids:  # of another sample
                own = f"{name}/{own}"
            ids[own] += own != sample.id
            gathered.add(name, replace(sample, id=own, labels=renamed[sample.labels]))
    if gathered.differing and conflict == "refuse":
        raise gathered.refusal()
    samples = tuple(gathered.samples)
    merged = Manifest(
        samples, _labels(samples, manifests), root,
        tuple(each for manifest in manifests.values() for each in manifest.unused),
        tuple(each for manifest in manifests.values() for each in manifest.wrong),
        tuple(each for manifest in manifests.values() for each in manifest.groupings),
    )  # fmt: skip
    copies = same_content(contents_of(sample.path for sample in merged))
    return Merged(
        merged,
        {name: manifest.counts() for name, manifest in manifests.items()},
        tuple(gathered.repeated),
        (*gathered.differing, *_torn(merged, copies)),
        tuple(_notes(merged, manifests, copies)),
    )


class _Gathered:
    """The samples of several manifests while they come together, each clip once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.samples: list[Sample] = []
        self.repeated: list[Skipped] = []
        self.differing: list[Skipped] = []
        self._origin: dict[_Clip, str] = {}
        self._real: dict[Path, Path] = {}
        self._first: dict[_Clip, int] = {}

    def add(self, name: str, sample: Sample) -> None:
        """Add a sample of a manifest; a clip that this one lists several times is listed so here."""
        file = self._real.get(sample.path)
        if file is None:
            file = self._real.setdefault(sample.path, real_path(sample.path))
        clip = file, sample.span
        origin = self._origin.setdefault(clip, name)
        if origin == name:
            self._first.setdefault(clip, len(self.samples))
            extra = sample.extra if ORIGIN in dict(sample.extra) else (*sample.extra, (ORIGIN, name))
            self.samples.append(replace(sample, extra=extra))
            return
        at = self._first[clip]
        first, shown = self.samples[at], shown_path(sample.path, self.root)
        if set(sample.labels) == set(first.labels):
            self.repeated.append(Skipped(shown, f"in {origin} and {name}", is_failure=False))
        else:
            mine, other = "|".join(first.labels), "|".join(sample.labels)
            self.differing.append(Skipped(shown, f"{mine!r} in {origin}, {other!r} in {name}"))
        self.samples[at] = _completed(first, sample)

    def refusal(self) -> InvalidManifest:
        """What to say of clips whose labels differ."""
        listed = "; ".join(f"{each.path}: {each.reason}" for each in self.differing[:_LISTED])
        rest = len(self.differing) - _LISTED
        return InvalidManifest(
            f"{len(self.differing)} clips have other labels in another manifest. {listed}"
            f"{f'; and {rest} more' if rest > 0 else ''}. Correct or rename them, or let the first manifest "
            "count (conflict: first)."
        )


def _check_renames(manifests: Mapping[str, Manifest], renames: Mapping[str, str]) -> None:
    occurring = {label for manifest in manifests.values() for label in manifest.counts()}
    known = occurring | {f"{name}:{label}" for name, each in manifests.items() for label in each.counts()}
    for old in renames:
        if normal(old) not in known:
            close = nearest(old, occurring)
            hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
            raise InvalidSetting(f"No manifest has the label {old!r}, which was to be renamed.{hint}")


def _renamed(manifest: str, labels: Sequence[str], renames: Mapping[str, str]) -> tuple[str, ...]:
    """Labels as they are in the merged manifest, by names in their normal form."""
    found = (renames.get(f"{manifest}:{label}", renames.get(label, label)) for label in labels)
    return tuple(dict.fromkeys(found))


def _completed(first: Sample, other: Sample) -> Sample:
    """A sample with the group, split and columns that another manifest has of it and the first lacks."""
    known = {name for name, value in first.extra if value}
    extra = {**dict(first.extra), **{name: value for name, value in other.extra if name not in known}}
    modalities = {modality for modality, _ in first.sidecars}
    return replace(
        first,
        group=first.group or other.group,
        split=first.split or other.split,
        extra=tuple(extra.items()),
        sidecars=(*first.sidecars, *(each for each in other.sidecars if each[0] not in modalities)),
    )


def _labels(samples: Sequence[Sample], manifests: Mapping[str, Manifest]) -> LabelSet:
    """The labels that occur: in the order that every manifest has them in, else alphabetical."""
    occurring = {name for sample in samples for name in sample.labels}
    multi = any(each.labels.multi for each in manifests.values())
    orders = {each.labels.names for each in manifests.values() if each.labels.ordered}
    if len(orders) == 1 and occurring <= set(order := orders.pop()):
        graded = all(each.labels.graded for each in manifests.values() if each.labels.ordered)
        return LabelSet(order, multi=multi, ordered=True, graded=graded)
    return LabelSet(tuple(sorted(occurring)), multi=multi)


def _torn(merged: Manifest, copies: Sequence[Sequence[Path]]) -> list[Skipped]:
    """Files, copies of files, and groups whose samples lie in several splits."""
    copy_of = {path: paths[0] for paths in copies for path in paths}
    splits: dict[tuple[str, str], set[str]] = defaultdict(set)
    for sample in merged:
        if sample.split is not None:
            file = copy_of.get(sample.path, sample.path)
            splits["file", shown_path(file, merged.root)].add(sample.split)
            if sample.group is not None:
                splits["group", sample.group].add(sample.split)
    return [
        Skipped(name, f"its clips lie in the splits {' and '.join(sorted(found))} ({kind})")
        for (kind, name), found in splits.items()
        if len(found) > 1
    ]


def _notes(
    merged: Manifest, manifests: Mapping[str, Manifest], copies: Sequence[Sequence[Path]]
) -> list[str]:
    notes = [
        f"labels {' and '.join(map(repr, names))} stay different classes; rename them if one"
        for names in nearly_same(merged.labels)
    ]
    of_group: dict[str, set[str]] = defaultdict(set)
    for name, manifest in manifests.items():
        for group in manifest.groups:
            of_group[group].add(name)
    shared = [group for group, names in of_group.items() if len(names) > 1]
    if shared:
        listed = ", ".join(map(repr, shared[:5])) + (", …" if len(shared) > 5 else "")
        notes.append(f"{len(shared)} groups of one name in several manifests count as one each: {listed}")
    if copies:
        notes.append(
            f"{len(copies)} files are there under several names, the first is "
            f"{' = '.join(shown_path(path, merged.root) for path in copies[0][:3])}"
        )
    if any(each.labels.ordered for each in manifests.values()) and not merged.labels.ordered:
        graded = (
            " and are no grades any more" if any(each.labels.graded for each in manifests.values()) else ""
        )
        notes.append(
            f"the manifests have their classes in different orders; those of all are alphabetical{graded}"
        )
    without = sum(sample.split is None for sample in merged)
    if 0 < without < len(merged):
        notes.append(f"{without} of {len(merged)} samples have no split")
    return notes
