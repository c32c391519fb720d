"""`Manifest`: the table of labelled samples that a data set is."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self, cast

from kinesphere.core.errors import InvalidManifest, LabelMismatch
from kinesphere.core.labels import LabelSet
from kinesphere.core.paths import is_file, is_folder
from kinesphere.core.skipped import Skipped
from kinesphere.core.structured import uncollected
from kinesphere.core.text import spelled
from kinesphere.data.groups import GROUP_BY_FILE, Grouping, with_groups
from kinesphere.data.sample import Sample, split_name
from kinesphere.data.sample_table import SampleTable

log = logging.getLogger(__name__)
Unlabelled = Literal["refuse", "skip"]
"""What becomes of samples without a label, where every sample needs one."""
WrongRows = Literal["refuse", "skip"]
"""What becomes of rows of a table that make no sample."""


@dataclass(frozen=True)
class Manifest:
    """Samples with the label set that they are drawn from.

    On disk a manifest is a CSV or Parquet table with the columns `path,label` and, if wanted,
    `start,end,group,split,id`; any other column is kept in `Sample.extra`, and any column can be
    the label. Several labels of one sample are joined with `|`. Columns are separated by commas,
    semicolons or tabs; times are seconds or clock times, `12.5` or `1:02.5`. Relative paths count from
    the table's folder and may not climb out of it; absolute paths are taken as written.

    A text file is a list of folders of images, `path num_frames label` (see `data.frame_lists`); a path may
    name such a folder in a table, too, whose frame rate the column `fps` or a file in it states.

    A folder works too: one that holds a `manifest.csv`, `manifest.parquet` or `labels.csv` is that
    table; else its folders are the classes, `DATA/<class>/…video`, or splits of classes,
    `DATA/{train,val,test}/<class>/…video` (see `data.folder`).

    Where no group is given, names of files may tell one, and a file that is listed several times is one
    (see `data.groups`).

    Attributes:
        samples: At least one, with unique ids; kept as a `SampleTable`, by column.
        labels: The classes in the order of a model's outputs. A sample may carry labels outside the
            set (the preflight lists them); `targets` refuses those.
        root: Folder that relative paths count from.
        unused: What the folder holds beside the samples.
        wrong: Rows of the table that make no sample.
        groupings: How groups were found that were not given.
        unused_are: What `unused` holds, in a word for people.
        wrong_are: What `wrong` holds.
    """

    samples: Sequence[Sample]
    labels: LabelSet
    root: Path
    unused: tuple[Skipped, ...] = ()
    wrong: tuple[Skipped, ...] = ()
    groupings: tuple[Grouping, ...] = ()
    unused_are: str = "files and folders"
    wrong_are: str = "rows of the table"

    def __post_init__(self) -> None:
        object.__setattr__(self, "samples", SampleTable.of(self.samples))
        if not self.samples:
            raise InvalidManifest(f"A manifest needs at least one sample; {self.root} gives none.")
        ids = self.table.ids
        if len({*ids}) < len(ids):
            counts = Counter(ids)
            repeated = [name for name, count in counts.items() if count > 1]
            raise InvalidManifest(
                f"Sample ids must be unique; {len(repeated)} are not, among them {repeated[:3]}."
            )

    @classmethod
    @uncollected()
    def read(
        cls,
        path: str | Path,
        *,
        label_column: str = "label",
        group_column: str = "group",
        split_column: str = "split",
        labels: LabelSet | None = None,
        unlabelled: Unlabelled = "refuse",
        wrong_rows: WrongRows = "refuse",
    ) -> Self:
        """Read a CSV or Parquet table, or a folder.

        Args:
            path: The table or folder.
            label_column: Column that holds the label (a table may have several).
            group_column: Column that holds the group; `path` makes every file a group of its own, whatever
                names say.
            split_column: Column that holds the split; a set with several protocols has one for each.
            labels: The set to draw from; by default the sorted labels that occur, multi-label when
                a sample has several.
            unlabelled: Whether rows whose label is empty are an error, where every sample needs one
                label, or left out with a line in the log.
            wrong_rows: Whether rows that make no sample are an error, which lists them all, or left out and
                listed in `wrong`.

        Raises:
            InvalidManifest: If the table cannot be read or contradicts itself; the message names the
                file and the rows (the header is row 1).
            UnsafeFile: If a relative path leaves the manifest's folder.
        """
        from kinesphere.data.table import read_listing
        from kinesphere.data.table_samples import Columns

        path = Path(path)
        listing = read_listing(path, Columns(label_column, group_column, split_column))
        if wrong_rows == "refuse" or not listing.samples:
            listing.refuse_wrong_rows(path)
        samples, groupings = with_groups(
            listing.samples,
            lambda file: spelled(shown_path(file, listing.root)),
            by_name=group_column != GROUP_BY_FILE,
        )
        if unlabelled == "skip" and () in samples.labels:
            rows = len(samples)
            samples = samples.take(row for row, own in enumerate(samples.labels) if own)
            log.info(
                "%s: %d of %d samples have no label in column %r and are left out.",
                path, rows - len(samples), rows, label_column,
            )  # fmt: skip
        if labels is None and listing.classes and not any(len(own) > 1 for own in {*samples.labels}):
            labels = LabelSet(listing.classes)
        labels = _labels_of(samples, labels, path, label_column)
        return cls(samples, labels, listing.root, tuple(listing.unused), tuple(listing.wrong), groupings)

    def write(self, path: str | Path, *, label_column: str = "label") -> None:
        """Write the table, as Parquet if the suffix says so, else as CSV; atomic.

        Files under the table's folder are written relative to it, so that the folder can move.
        """
        from kinesphere.data.table import write_samples

        write_samples(self.table, Path(path), label_column)

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    @property
    def table(self) -> SampleTable:
        """The samples by column, for what asks many of them for one thing."""
        return cast("SampleTable", self.samples)

    @property
    def targets(self) -> tuple[tuple[int, ...], ...]:
        """Class indices of every sample.

        Raises:
            LabelMismatch: If a sample has a label outside the set.
        """
        known: dict[tuple[str, ...], tuple[int, ...]] = {}
        for row, own in enumerate(self.table.labels):
            if own not in known:
                known[own] = self._indices(row, own)
        return tuple(map(known.__getitem__, self.table.labels))

    def _indices(self, row: int, labels: tuple[str, ...]) -> tuple[int, ...]:
        try:
            return tuple(map(self.labels.index, labels))
        except LabelMismatch as error:
            raise LabelMismatch(f"Sample {self.table.ids[row]!r} of {self.root}: {error}") from None

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, in order of appearance."""
        return tuple(split for split in dict.fromkeys(self.table.splits) if split is not None)

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups, in order of appearance."""
        return tuple(group for group in dict.fromkeys(self.table.groups) if group is not None)

    def counts(self) -> dict[str, int]:
        """Samples per class of the label set, zeros included; then labels outside the set."""
        counted: Counter[str] = Counter()
        for own, count in Counter(self.table.labels).items():
            counted.update(dict.fromkeys(own, count))
        return {name: counted[name] for name in self.labels} | {
            name: count for name, count in sorted(counted.items()) if name not in self.labels
        }

    def select(self, indices: Iterable[int]) -> Self:
        """The samples at `indices`, in that order, with the same label set."""
        return replace(self, samples=self.table.take(indices))

    def where(self, *, split: str | None = None, group: str | None = None, label: str | None = None) -> Self:
        """The samples that match every condition given.

        Raises:
            InvalidManifest: If none does; the message names what there is.
        """
        split = None if split is None else split_name(split)
        chosen: Iterable[int] = range(len(self))
        if split is not None:
            splits = self.table.splits
            chosen = [i for i in chosen if splits[i] == split]
        if group is not None:
            groups = self.table.groups
            chosen = [i for i in chosen if groups[i] == group]
        if label is not None:
            labels = self.table.labels
            chosen = [i for i in chosen if label in labels[i]]
        if not chosen:
            asked = {"split": split, "group": group, "label": label}
            wanted = ", ".join(f"{key} {value!r}" for key, value in asked.items() if value is not None)
            raise InvalidManifest(
                f"No sample has {wanted}. Splits: {list(self.splits) or 'none'}; "
                f"{len(self.groups)} groups; labels: {list(self.labels)[:20]}."
            )
        return self.select(chosen)

    def with_splits(self, splits: Mapping[str, str]) -> Self:
        """A copy whose samples carry the split that `splits` gives for their id (others keep theirs)."""
        names = {name: split_name(name) for name in {*splits.values()}}
        table = self.table
        new = [
            names[splits[own]] if own in splits else split
            for own, split in zip(table.ids, table.splits, strict=True)
        ]
        return replace(self, samples=table.split_into(new))

    def with_fps(self, fps: float) -> Self:
        """A copy in which folders of images have a frame rate, as far as the table states none.

        Args:
            fps: Frames per second.
        """
        samples = (
            replace(sample, extra=(*(each for each in sample.extra if each[0] != "fps"), ("fps", f"{fps:g}")))
            if sample.fps is None and is_folder(sample.path)
            else sample
            for sample in self.samples
        )
        return replace(self, samples=tuple(samples))

    def fingerprint(self) -> str:
        """SHA-256 over label names and, in order of id, paths, labels, spans and file sizes.

        It goes into a run's provenance: the same fingerprint means the same data.
        """
        digest = hashlib.sha256("\0".join(self.labels.names).encode())
        sizes: dict[Path, int] = {}
        for sample in sorted(self.samples, key=lambda s: s.id):
            if sample.path not in sizes:
                sizes[sample.path] = sample.path.stat().st_size if is_file(sample.path) else -1
            fields = (
                shown_path(sample.path, self.root),
                "|".join(sample.labels),
                repr(sample.span),
                str(sizes[sample.path]),
            )
            digest.update("\0".join(("", *fields)).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def _labels_of(samples: SampleTable, labels: LabelSet | None, path: Path, column: str) -> LabelSet:
    """The given set, else the sorted labels that occur.

    Raises:
        InvalidManifest: If there is no label, or a sample has not the one that the set takes.
    """
    occurring = {*samples.labels}
    if labels is None:
        names = sorted({name for own in occurring for name in own})
        if not names:
            raise InvalidManifest(f"{path}: column {column!r} is empty; give every sample a label.")
        labels = LabelSet(tuple(names), multi=any(len(own) > 1 for own in occurring))
    if not labels.multi and any(len(own) != 1 for own in occurring):
        wrong = next(row for row, own in enumerate(samples.labels) if len(own) != 1)
        raise InvalidManifest(
            f"{path}: sample {samples.ids[wrong]!r} has {len(samples.labels[wrong])} labels, but the label "
            "set takes exactly one per sample; give it one, leave out unlabelled samples (unlabelled=skip), "
            "or use a multi-label set."
        )
    return labels


def shown_path(path: Path, root: Path) -> str:
    """`path` relative to `root` where it lies inside, with forward slashes; else as it is."""
    shown, begins = path.as_posix(), f"{root.as_posix()}/"
    if shown.startswith(begins) and len(shown) > len(begins):
        return shown[len(begins) :]
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else shown
