"""`SplitTable`: what a run did with every sample of its data, kept in its folder as `splits.csv`.

It says which clips a model has learnt from, so that none of them counts as a test of it, and what has
changed in the data since.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, cast, get_args

from kinesphere.core.errors import InvalidManifest, KinesphereError
from kinesphere.core.files import replacing
from kinesphere.core.text import named
from kinesphere.data.cell_paths import resolve_path
from kinesphere.data.content import Content, contents_of
from kinesphere.data.manifest import Manifest
from kinesphere.data.table import written_path

Part = Literal["train", "val", "test", "unlabelled", "unused"]
"""What a run did with a sample: learnt from it, was steered by it, was tested on it, learnt from it without
its label, or nothing."""
ELSEWHERE = "unlabelled/"
"""Begins the ids of clips that are of no manifest of the run, but of its sources of unlabelled ones."""
_PARTS: tuple[str, ...] = get_args(Part)
_COLUMNS = ("id", "path", "label", "start", "end", "group", "split", "bytes", "content")
# Paths are absolute: the run's folder is not where the data are.
_NOWHERE = Path("/nowhere")


@dataclass(frozen=True)
class SplitRow:
    """One sample.

    Attributes:
        id: As in the manifest.
        path: Its file, absolute.
        labels: Its class names.
        span: `(start_s, end_s)`, or None for the whole video.
        group: What no split parts (see `Sample.group`), or None.
        content: Content of the file, at the time.
        part: What it was used for.
    """

    id: str
    path: Path
    labels: tuple[str, ...]
    span: tuple[float, float] | None
    group: str | None
    content: Content
    part: Part


@dataclass(frozen=True)
class SplitTable:
    """The samples of a run, in the order of its manifest; a table that is a manifest, too."""

    rows: tuple[SplitRow, ...]

    @classmethod
    def of(
        cls, manifest: Manifest, parts: Mapping[str, Part], contents: Mapping[Path, Content] | None = None
    ) -> SplitTable:
        """The table of a manifest.

        Args:
            manifest: All samples of the run.
            parts: What each is used for, by id; what is missing is unused.
            contents: Contents of their files, where they are known already.
        """
        known = contents if contents is not None else contents_of(sample.path for sample in manifest)
        return cls(
            tuple(
                SplitRow(
                    sample.id,
                    sample.path.absolute(),
                    sample.labels,
                    sample.span,
                    sample.group,
                    known[sample.path],
                    parts.get(sample.id, "unused"),
                )
                for sample in manifest
            )
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[SplitRow]:
        return iter(self.rows)

    @cached_property
    def by_id(self) -> dict[str, SplitRow]:
        """The rows by sample id."""
        return {row.id: row for row in self.rows}

    def count(self, part: Part) -> int:
        """Samples of a part."""
        return sum(row.part == part for row in self.rows)

    def differences(self, other: SplitTable, *, divided: bool = True) -> list[str]:
        """What has changed from `other` to this table, a sentence for each kind of change; none if nothing.

        Samples are the same where their id is; so a data set may have moved, and its table too.

        Args:
            other: The table of before.
            divided: Whether groups, contents and splits are known and compared, too.
        """
        mine, theirs = self.by_id, other.by_id
        both = [(mine[name], theirs[name]) for name in mine if name in theirs]
        kinds = (
            ("new", [name for name in mine if name not in theirs]),
            ("gone", [name for name in theirs if name not in mine]),
            ("with other labels", [a.id for a, b in both if a.labels != b.labels]),
            ("with another span", [a.id for a, b in both if a.span != b.span]),
        )
        if not divided:
            both = []
        known = (
            ("with another group", [a.id for a, b in both if a.group != b.group]),
            ("in files of other content", [a.id for a, b in both if a.content != b.content]),
            ("in another split", [a.id for a, b in both if a.part != b.part]),
        )
        return [f"{len(names)} samples {kind} ({named(names)})" for kind, names in (*kinds, *known) if names]

    def write(self, path: Path) -> None:
        """Write the table, atomically."""
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(_COLUMNS)
            rows.writerows(_cells(row) for row in self.rows)

    @classmethod
    def read(cls, path: Path) -> SplitTable:
        """Inverse of `write`.

        Raises:
            InvalidManifest: If the file is missing or no such table.
        """
        try:
            with path.open(encoding="utf-8", newline="") as file:
                lines = csv.reader(file, strict=True)
                if tuple(next(lines, ())) != _COLUMNS:
                    raise ValueError(f"its columns are not {','.join(_COLUMNS)}")
                return cls(tuple(map(_row, lines)))
        except (OSError, ValueError, csv.Error, KinesphereError) as error:
            raise InvalidManifest(
                f"{path} does not hold the splits of a run: {error}. Train the run again, or remove the file "
                "to go on without knowing its splits."
            ) from error


def _cells(row: SplitRow) -> list[str]:
    start, end = row.span or ("", "")
    labels = "|".join(row.labels)
    content = (str(row.content.size_bytes), row.content.digest)
    return [
        row.id,
        written_path(row.path, _NOWHERE),
        labels,
        str(start),
        str(end),
        row.group or "",
        row.part,
        *content,
    ]


def _row(cells: list[str]) -> SplitRow:
    name, path, labels, start, end, group, part, size, digest = cells
    if part not in _PARTS:
        raise ValueError(f"sample {name!r} is in the split {part!r}, which is none of {', '.join(_PARTS)}")
    span = (float(start), float(end)) if start else None
    content = Content(int(size), digest)
    names = tuple(labels.split("|")) if labels else ()
    file = resolve_path(f"sample {name!r}", path, _NOWHERE)
    return SplitRow(name, file, names, span, group or None, content, cast("Part", part))
