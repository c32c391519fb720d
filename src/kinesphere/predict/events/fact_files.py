"""Files of facts: tables and JSON of who does what, and files of timed labels, whose labels are nobody's."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinesphere.annotations.formats.timed_table import KNOWN, NAMES
from kinesphere.annotations.parsing.text_lines import number_of, read_text
from kinesphere.annotations.timed import Detection, TimedLabel, video_name
from kinesphere.annotations.timed_files import read_timed
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.files import replacing
from kinesphere.core.limits import brief
from kinesphere.core.parquet import read_table
from kinesphere.core.rows import write_csv, write_json
from kinesphere.core.structured import read_json
from kinesphere.predict.events.facts import Fact

COLUMNS = ("video", "label", "start_s", "end_s", "person", "other", "score", "left", "top", "right", "bottom")
_NAMES: Mapping[str, tuple[str, ...]] = {
    **NAMES,
    "person": ("person", "person_id", "track", "track_id"),
    "other": ("other", "object", "object_id"),
}
_BOX = ("left", "top", "right", "bottom")
EVENT_TIER = "event: "
"""What tiers of ELAN begin with that hold events beside the facts that these were found in."""
# What ELAN calls the tier of a person.
_PERSON_TIER = re.compile(r"\w+ (\d{1,9})( .*)?")
_MOST_BYTES = 1 << 29


@dataclass(frozen=True)
class FactFile:
    """What a file says.

    Attributes:
        facts: By video, in the order of the file; a file that names no video is of the one with its name.
        notes: What of the file was not read, and why.
    """

    facts: Mapping[str, tuple[Fact, ...]]
    notes: tuple[str, ...] = ()


def read_facts(path: str | Path) -> FactFile:
    """The facts of a table, of JSON, or of a file of timed labels.

    Tables (CSV, TSV, Parquet) have the columns `label`, `start_s`, `end_s` and as they are known `video`,
    `person`, `other`, `score` and `left`, `top`, `right`, `bottom` in fractions of the picture, also by the
    names that tables of timed labels have. JSON is what `write_facts` writes, or what is written of people.
    Of all other files that `kinesphere score segments` reads, each label is a fact; whose it is, is known
    where a tier of ELAN is called after a person, as in "person 3". Tiers of events are not read.

    Raises:
        InvalidAnnotation: If it is none of these, or an entry is wrong; it is named.
    """
    path = Path(path)
    own = video_name(path.stem)
    match path.suffix.lower():
        case ".csv" | ".tsv":
            return _table(path, _csv_rows(path), own)
        case ".parquet":
            table = read_table(path, InvalidAnnotation)
            rows = ((f"{path}, row {number}", row) for number, row in enumerate(table.to_pylist(), 1))
            return _table(path, (table.column_names, rows), own)
        case ".json":
            content = read_json(path, InvalidAnnotation, _MOST_BYTES)
            if isinstance(content, dict) and ("facts" in content or "people" in content):
                return FactFile(_grouped(_json_facts(content, path, own)))
    found = read_timed(path)
    labels = [each for each in found.labels if not each.tier.startswith(EVENT_TIER)]
    events = len(found.labels) - len(labels)
    notes = (f"{path}: {events} events that were found in it are not read as facts",) if events else ()
    pairs = ((each.video or own, _of_label(each)) for each in labels)
    return FactFile(_grouped(pairs), (*found.notes, *notes))


def write_facts(facts: Mapping[str, Sequence[Fact]], path: str | Path) -> None:
    """Write facts by video as `.csv` or `.json`.

    Raises:
        InvalidSetting: If the suffix is neither.
    """
    path = Path(path)
    pairs = [(video, fact) for video, each in facts.items() for fact in each]
    with replacing(path) as scratch:
        match path.suffix.lower():
            case ".csv":
                rows = ([row.get(name, "") for name in COLUMNS] for row in (_row(*pair) for pair in pairs))
                write_csv(scratch, COLUMNS, rows)
            case ".json":
                plain = {"facts": [{"video": video, **fact_json(fact)} for video, fact in pairs]}
                write_json(scratch, plain, indent=1)
            case other:
                raise InvalidSetting(f"Facts are written as .csv or .json; got {other!r}.")


def fact_json(fact: Fact) -> dict[str, Any]:
    """Plain values; the end of what is still going on is None."""
    plain = {
        "label": fact.label,
        "start_s": fact.start_s,
        "end_s": fact.end_s if fact.is_over else None,
        "person": fact.person,
        "other": fact.other,
        "score": fact.score,
        "box": fact.box,
    }
    return {key: value for key, value in plain.items() if key == "end_s" or value is not None}


def _row(video: str, fact: Fact) -> dict[str, Any]:
    plain = {"video": video, **fact_json(fact)}
    corners = dict(zip(_BOX, plain.pop("box", None) or (), strict=False))
    return {key: value for key, value in (plain | corners).items() if value is not None}


def _csv_rows(path: Path) -> tuple[Sequence[str], Iterable[tuple[str, Mapping[str, Any]]]]:
    """The header, and each row with its place in the file."""
    text = read_text(path)
    first = text.lstrip().partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    try:
        header = [name.strip() for name in next(row for row in reader if row)]
        rows = []
        for row in reader:
            if row and len(row) != len(header):
                raise InvalidAnnotation(
                    f"{path}, line {reader.line_num}: {len(row)} fields where the header has {len(header)}."
                )
            if row:
                rows.append((f"{path}, line {reader.line_num}", dict(zip(header, row, strict=True))))
    except (csv.Error, StopIteration) as error:
        raise InvalidAnnotation(f"{path} is no table of facts: {error!r}.") from error
    return header, rows


def _table(
    path: Path, content: tuple[Sequence[str], Iterable[tuple[str, Mapping[str, Any]]]], own: str
) -> FactFile:
    header, rows = content
    lower = {name.lower(): name for name in header}
    found = {
        what: lower[present[0]]
        for what, names in (*_NAMES.items(), *((corner, (corner,)) for corner in _BOX))
        if (present := [name for name in names if name in lower])
    }
    written = [name.lower() for name in header]
    if twice := [name for name in found.values() if written.count(name.lower()) > 1]:
        raise InvalidAnnotation(f"{path} has the column {brief(twice[0])} twice; keep one.")
    if missing := [_NAMES[what][0] for what in ("label", "start", "end") if what not in found]:
        raise InvalidAnnotation(
            f"{path} is no table of facts: it lacks {' and '.join(missing)}; its columns are "
            f"{', '.join(map(brief, header[:12]))}."
        )
    corners = [corner for corner in _BOX if corner in found]
    if corners and len(corners) < len(_BOX):
        raise InvalidAnnotation(f"{path} has the columns {', '.join(corners)}; boxes have {', '.join(_BOX)}.")
    unread = sorted({*header} - {*found.values(), *KNOWN})
    notes = (f"{path}: columns not read: {', '.join(map(brief, unread[:10]))}",) if unread else ()
    pairs = (
        (_video(row.get(found.get("video", ""), ""), own), _of_row(row, found, place)) for place, row in rows
    )
    return FactFile(_grouped(pairs), notes)


def _of_row(row: Mapping[str, Any], columns: Mapping[str, str], place: str) -> Fact:
    cells = {what: row[name] for what, name in columns.items()}
    try:
        times = [_number(cells[name]) for name in ("start", "end")]
        identities = [_identity(cells.get(name)) for name in ("person", "other")]
        score = 1.0 if _is_blank(cells.get("score")) else _number(cells["score"])
        box = None if _is_blank(cells.get("left")) else tuple(_number(cells[corner]) for corner in _BOX)
    except (ValueError, TypeError, OverflowError):
        raise InvalidAnnotation(
            f"{place}: times, scores and boxes are numbers, identities whole numbers; got "
            f"{brief(list(cells.values()))}."
        ) from None
    return _made(place, str(cells["label"]).strip(), *times, *identities, score, box)


def _json_facts(content: Mapping[str, Any], path: Path, own: str) -> Iterable[tuple[str, Fact]]:
    """The facts of our own JSON, and the segments of people that it holds."""
    source = content.get("source", "")
    own = video_name(source) if isinstance(source, str) and source else own
    entries = [(f"fact {i}", each) for i, each in enumerate(_list(content, "facts", path))]
    for person in _list(content, "people", path):
        if not isinstance(person, dict):
            raise InvalidAnnotation(f"{path}: people hold segments; got {brief(person)}.")
        inner = _list(person, "segments", path)
        entries += [
            (f"person {brief(person.get('person'))}, segment {i}", each) for i, each in enumerate(inner)
        ]
    for name, entry in entries:
        place = f"{path}, {name}"
        if not isinstance(entry, dict) or not {"label", "start_s", "end_s"} <= entry.keys():
            raise InvalidAnnotation(f"{place}: facts hold label, start_s and end_s; got {brief(entry)}.")
        columns = {what: key for what in _NAMES for key in _NAMES[what] if key in entry}
        cells = dict(entry)
        box = cells.pop("box", None)
        if isinstance(box, list) and len(box) == len(_BOX):
            cells |= dict(zip(_BOX, box, strict=True))
            columns |= {corner: corner for corner in _BOX}
        elif box is not None:
            raise InvalidAnnotation(f"{place}: a box has four numbers; got {brief(box)}.")
        if cells["end_s"] is None:
            cells["end_s"] = "inf"
        yield _video(cells.get(columns.get("video", ""), ""), own), _of_row(cells, columns, place)


def _list(content: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    value = content.get(key, [])
    if not isinstance(value, list):
        raise InvalidAnnotation(f"{path}: {key} should be a list; got {brief(value)}.")
    return value


def _of_label(each: TimedLabel) -> Fact:
    tier = _PERSON_TIER.fullmatch(each.tier)
    person = int(tier[1]) if tier else None
    score = each.score if isinstance(each, Detection) else 1.0
    return _made(f"{each.video}", each.label, each.start_s, each.end_s, person, None, score, None)


def _made(place: str, *values: Any) -> Fact:
    try:
        return Fact(*values)
    except InvalidAnnotation as error:
        raise InvalidAnnotation(f"{place}: {error}") from None


def _grouped(pairs: Iterable[tuple[str, Fact]]) -> dict[str, tuple[Fact, ...]]:
    found: dict[str, list[Fact]] = {}
    for video, fact in pairs:
        found.setdefault(video, []).append(fact)
    return {video: tuple(facts) for video, facts in found.items()}


def _video(value: Any, own: str) -> str:
    return video_name(value.strip()) if isinstance(value, str) and value.strip() else own


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError(value)
    return number_of(value.strip()) if isinstance(value, str) else float(value)


def _identity(value: Any) -> int | None:
    if _is_blank(value):
        return None
    number = _number(value)
    if number != int(number):
        raise ValueError(value)
    return int(number)
