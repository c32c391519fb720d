"""Manifests on disk: CSV, Parquet and folders of classes."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from kinesphere.core.errors import InvalidManifest, UnsafeFile
from kinesphere.core.files import replacing
from kinesphere.core.registry import nearest
from kinesphere.data.sample import Sample

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3gp", "avi", "flv", "gif", "m2ts", "m4v", "mkv", "mov", "mp4"),
        *("mpeg", "mpg", "mts", "ogv", "ts", "vob", "webm", "wmv"),
    )
)
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_TABLES = ("manifest.csv", "manifest.parquet", "labels.csv")
_KNOWN = ("id", "path", "start", "end", "group", "split", "pose_file")

Row = tuple[int, dict[str, str]]


def read_samples(
    path: Path, label_column: str, group_column: str = "group", split_column: str = "split"
) -> tuple[list[Sample], Path, list[Path]]:
    """Samples, the root of their paths, and files left out."""
    if path.is_dir():
        for name in _TABLES:
            if (path / name).is_file():
                return read_samples(path / name, label_column, group_column, split_column)
        return _read_folder(path)
    if not path.is_file():
        raise InvalidManifest(f"{path} is neither a manifest file nor a folder; check the path.")
    rows = _parquet_rows(path) if path.suffix.lower() == ".parquet" else _csv_rows(path)
    return _samples(path, rows, label_column, group_column, split_column), path.parent, []


def _csv_rows(path: Path) -> Iterator[Row]:
    """Rows as text by column, each with its number in the file; blank lines are passed over."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header: list[str] | None = None
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if header is None:
                    header = [cell.strip() for cell in cells]
                    _check_header(path, header)
                    continue
                if len(cells) != len(header):
                    raise InvalidManifest(
                        f"{path}, row {reader.line_num}: {len(cells)} fields under {len(header)} columns; "
                        "put a field that holds a comma in double quotes."
                    )
                yield reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidManifest(f"{path} is not a CSV table in UTF-8: {error}.") from error


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise InvalidManifest(f"{path} is not a readable Parquet table: {error}.") from error
    _check_header(path, table.column_names)
    for number, row in enumerate(table.to_pylist(), start=2):
        yield number, {column: _text(value) for column, value in row.items()}


def _text(value: object) -> str:
    """A Parquet cell as CSV would hold it: nothing for null, lists of labels joined."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (list, tuple)):
        return "|".join(map(str, value))
    return str(value).strip()


def _check_header(path: Path, header: Sequence[str]) -> None:
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise InvalidManifest(f"{path}, row 1: columns {repeated} appear twice; rename one.")
    if "path" not in header:
        raise InvalidManifest(
            f"{path}, row 1: there is no column 'path'; the header reads {list(header)}. "
            "Write path,label[,start,end,group,split,id], separated by commas."
        )


def _samples(
    path: Path, rows: Iterable[Row], label_column: str, group_column: str, split_column: str
) -> list[Sample]:
    samples: list[Sample] = []
    first_row: dict[str, int] = {}
    for number, row in rows:
        where = f"{path}, row {number}"
        others = [name for name in row if name not in _KNOWN]
        _check_column(path, "label", label_column, row, others)
        if group_column != "group":
            _check_column(path, "group", group_column, row, list(row))
        if split_column != "split":
            _check_column(path, "split", split_column, row, others)
        sample = _sample(where, row, label_column, group_column, split_column, path.parent)
        if sample.id in first_row:
            raise InvalidManifest(
                f"{where}: {sample.id!r} is already in row {first_row[sample.id]}; "
                + (
                    "ids must be unique."
                    if row.get("id")
                    else "join several labels of one span with '|', or give the rows an id column."
                )
            )
        first_row[sample.id] = number
        samples.append(sample)
    if not samples:
        raise InvalidManifest(f"{path} lists no samples; add a row per clip under path,label.")
    return samples


def _check_column(
    path: Path, kind: str, column: str, row: Mapping[str, str], candidates: Sequence[str]
) -> None:
    if column in row:
        return
    close = nearest(column, candidates)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise InvalidManifest(
        f"{path}: there is no {kind} column {column!r}; {hint}columns that could be: {list(candidates)}."
    )


def _sample(
    where: str, row: dict[str, str], label_column: str, group_column: str, split_column: str, root: Path
) -> Sample:
    span = _span(where, row.get("start", ""), row.get("end", ""))
    cell = row[label_column]
    labels = tuple(name.strip() for name in cell.split("|")) if cell else ()
    if not all(labels) or len(set(labels)) != len(labels):
        raise InvalidManifest(f"{where}: labels {cell!r} are blank or repeated between the '|' signs.")
    return Sample(
        id=row.get("id") or (row["path"] if span is None else f"{row['path']}@{span[0]}-{span[1]}"),
        path=resolve_path(where, row["path"], root),
        labels=labels,
        span=span,
        group=row.get(group_column) or None,
        split=row.get(split_column) or None,
        poses=resolve_path(where, row["pose_file"], root) if row.get("pose_file") else None,
        extra=tuple((k, v) for k, v in row.items() if k not in _KNOWN and k != label_column),
    )


def _span(where: str, start: str, end: str) -> tuple[float, float] | None:
    if not start and not end:
        return None
    if not start or not end:
        raise InvalidManifest(f"{where}: start and end come together; got start {start!r}, end {end!r}.")
    try:
        span = (float(start), float(end))
    except ValueError:
        raise InvalidManifest(
            f"{where}: start and end are seconds such as 12.5; got {start!r} and {end!r}."
        ) from None
    if not 0 <= span[0] < span[1] < math.inf:
        raise InvalidManifest(
            f"{where}: a span runs from start to a later end, in seconds from 0; got {start} to {end}."
        )
    return span


def resolve_path(where: str, text: str, root: Path) -> Path:
    """The file a cell names. Links are followed: who wrote the folder put them there."""
    if not text or "\0" in text:
        raise InvalidManifest(f"{where}: the path is {'not a file name' if text else 'empty'}.")
    if "://" in text:
        raise InvalidManifest(f"{where}: a manifest lists files, not URLs; download {text!r} first.")
    path = Path(text)
    if path.is_absolute():
        return path
    depth = 0
    for part in path.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            raise UnsafeFile(
                f"{where}: path {text!r} leaves the manifest's folder; move the manifest above its "
                "videos or write absolute paths."
            )
    return root / path


def _read_folder(root: Path) -> tuple[list[Sample], Path, list[Path]]:
    """`root/<class>/…` or `root/<split>/<class>/…`; videos may lie in deeper folders of a class."""
    folders = _subfolders(root)
    names = {folder.name.lower() for folder in folders}
    by_split = bool(folders) and names <= SPLIT_FOLDERS.keys() and all(map(_subfolders, folders))
    classes: list[tuple[Path, str | None]] = [(folder, None) for folder in folders]
    if by_split:
        classes = [(sub, SPLIT_FOLDERS[f.name.lower()]) for f in folders for sub in _subfolders(f)]
    samples: list[Sample] = []
    ignored: list[Path] = []
    for folder, split in classes:
        for file in _files(folder):
            if file.suffix.lower() not in VIDEO_SUFFIXES:
                ignored.append(file)
                continue
            shown = PurePosixPath(file.relative_to(root)).as_posix()
            samples.append(Sample(shown, file, (folder.name,), split=split))
    if not samples:
        raise InvalidManifest(
            f"{root} holds no videos in class folders; write DATA/<class>/clip.mp4, "
            f"DATA/train/<class>/clip.mp4, or put a {_TABLES[0]} with path,label there."
        )
    return samples, root, ignored


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(folder: Path) -> Iterator[Path]:
    """Files below `folder` in a fixed order, hidden ones left out; linked folders are not entered."""
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here) / name for name in sorted(files) if not name.startswith("."))


def write_samples(samples: Sequence[Sample], path: Path, label_column: str) -> None:
    """Write the table that `read_samples` reads back to equal samples."""
    root = path.parent
    extra = list(dict.fromkeys(name for sample in samples for name, _ in sample.extra))
    files = ["pose_file"] if any(sample.poses for sample in samples) else []
    columns = ["id", "path", label_column, "start", "end", "group", "split", *files, *extra]
    rows = []
    for sample in samples:
        if any("|" in name for name in sample.labels):
            raise InvalidManifest(f"Sample {sample.id!r}: a label may not hold '|', which joins labels.")
        start, end = sample.span or ("", "")
        fixed = [sample.id, _written_path(sample.path, root), "|".join(sample.labels), start, end]
        fixed += [sample.group or "", sample.split or ""]
        if files:
            fixed.append(_written_path(sample.poses, root) if sample.poses else "")
        others = dict(sample.extra)
        rows.append([*map(str, fixed), *(others.get(k, "") for k in extra)])
    with replacing(path) as temporary:
        if path.suffix.lower() == ".parquet":
            _write_parquet(temporary, columns, rows)
        else:
            with temporary.open("w", encoding="utf-8", newline="") as out:
                csv.writer(out).writerows([columns, *rows])


def _written_path(path: Path, root: Path) -> str:
    """A file as a table in `root` names it: as seen from there where it lies below, else from anywhere."""
    here, base = path.absolute(), root.absolute()
    return (here.relative_to(base) if here.is_relative_to(base) else here).as_posix()


def _write_parquet(path: Path, columns: list[str], rows: list[list[str]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    cells = list(zip(*rows, strict=True))
    pq.write_table(pa.table({name: pa.array(cells[i], pa.string()) for i, name in enumerate(columns)}), path)
