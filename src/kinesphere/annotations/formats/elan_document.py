"""Writing ELAN annotation documents (EAF 3.0): labels on tiers, and tiers below that say more of each."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from heapq import heappop, heappush
from pathlib import Path
from typing import Protocol, TypeVar

from kinesphere.annotations.formats.elan import PROBABILITY
from kinesphere.annotations.parsing.xml_files import xml_text
from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels
from kinesphere.core.files import replacing
from kinesphere.core.text import spelled

_NOTES, _ASSOCIATION = "notes-lt", "Symbolic_Association"
_TIER = "labels"
# Readers such as pympi want it.
_SCHEMA = "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"


class Labelled(Protocol):
    """Anything with a label over a span."""

    @property
    def label(self) -> str: ...
    @property
    def start_s(self) -> float: ...
    @property
    def end_s(self) -> float: ...


T = TypeVar("T", bound=Labelled)


def elan_document(
    tiers: Mapping[str, Sequence[T]],
    media: str,
    date: datetime,
    *,
    notes: Mapping[str, Callable[[T], str]],
    properties: Mapping[str, str],
) -> bytes:
    """A document of one video, times in milliseconds. Characters that XML cannot hold become U+FFFD.

    Args:
        tiers: Labels by the name of their tier; those of one do not overlap.
        media: The video: a path, a URL, or a name alone.
        date: Stamp of the file.
        notes: What is said of each label, by the end of the name of the tier that says it; such a tier lies
            below each of `tiers`, with an annotation for each of its.
        properties: Further facts of the file.
    """
    facts = {"AUTHOR": "kinesphere", "DATE": date.isoformat(), "FORMAT": "3.0", "VERSION": "3.0"}
    root = ET.Element("ANNOTATION_DOCUMENT", facts | {_SCHEMA: "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"})
    header = ET.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    url = (
        media if "://" in media else Path(media if _is_a_name(media) else spelled(media)).absolute().as_uri()
    )
    ET.SubElement(header, "MEDIA_DESCRIPTOR", MEDIA_URL=xml_text(url), MIME_TYPE="video/*")
    for name, text in properties.items():
        ET.SubElement(header, "PROPERTY", NAME=name).text = xml_text(text)
    order = ET.SubElement(root, "TIME_ORDER")
    # Annotations are numbered in the order of time, whatever their tier.
    placed = sorted(
        ((each, name, i) for name, rows in tiers.items() for i, each in enumerate(rows)),
        key=lambda each: (each[0].start_s, each[0].end_s),
    )
    numbers = {(name, i): number for number, (_, name, i) in enumerate(placed, start=1)}
    for number, (each, _, _) in enumerate(placed, start=1):
        for slot, time_s in ((2 * number - 1, each.start_s), (2 * number, each.end_s)):
            stamp = str(max(round(1000 * time_s), 0))
            ET.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=f"ts{slot}", TIME_VALUE=stamp)
    for name, rows in tiers.items():
        _tier(root, name, [(numbers[name, i], each) for i, each in enumerate(rows)], notes)
    for kind, alignable in (("default-lt", "true"), (_NOTES, "false")):
        facts = {"LINGUISTIC_TYPE_ID": kind, "TIME_ALIGNABLE": alignable, "GRAPHIC_REFERENCES": "false"}
        if kind == _NOTES:
            facts["CONSTRAINTS"] = _ASSOCIATION
        ET.SubElement(root, "LINGUISTIC_TYPE", facts)
    what = "1-1 association with a parent annotation"
    ET.SubElement(root, "CONSTRAINT", STEREOTYPE=_ASSOCIATION, DESCRIPTION=what)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="UTF-8", xml_declaration=True))


def _is_a_name(text: str) -> bool:
    """Whether a file can have the name."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _tier(
    root: ET.Element,
    name: str,
    rows: Sequence[tuple[int, T]],
    notes: Mapping[str, Callable[[T], str]],
) -> None:
    """A tier of numbered labels, and those below it."""
    tier = ET.SubElement(root, "TIER", LINGUISTIC_TYPE_REF="default-lt", TIER_ID=xml_text(name))
    for number, each in rows:
        annotation = ET.SubElement(
            ET.SubElement(tier, "ANNOTATION"),
            "ALIGNABLE_ANNOTATION",
            ANNOTATION_ID=f"a{number}",
            TIME_SLOT_REF1=f"ts{2 * number - 1}",
            TIME_SLOT_REF2=f"ts{2 * number}",
        )
        ET.SubElement(annotation, "ANNOTATION_VALUE").text = xml_text(each.label)
    for what, say in notes.items():
        place = ET.SubElement(
            root,
            "TIER",
            LINGUISTIC_TYPE_REF=_NOTES,
            PARENT_REF=xml_text(name),
            TIER_ID=xml_text(f"{name} {what}"),
        )
        for number, each in rows:
            annotation = ET.SubElement(
                ET.SubElement(place, "ANNOTATION"),
                "REF_ANNOTATION",
                ANNOTATION_ID=f"a{number}-{what}",
                ANNOTATION_REF=f"a{number}",
            )
            ET.SubElement(annotation, "ANNOTATION_VALUE").text = xml_text(say(each))


def write_elan(found: TimedLabels, path: Path, recordings: Recordings) -> tuple[str, ...]:
    """Write the labels of one video; their scores lie in tiers below.

    ELAN counts in whole milliseconds from the start of the video, and annotations of one tier do not overlap:
    labels that do lie on further tiers, `NAME 2` and so on.

    Returns:
        What is not in the file as it was.
    """
    video = found.videos[0] if found.videos else path.stem
    notes: list[str] = []
    rows: dict[str, list[TimedLabel]] = {}
    early = sum(each.start_s < 0 for each in found.labels)
    if early:
        notes.append(f"{path}: {early} labels begin before the video and are cut to its start")
    for each in sorted(found.labels, key=lambda each: (each.start_s, each.end_s)):
        rows.setdefault(each.tier or _TIER, []).append(each)
    for name, own in rows.items():
        if (lanes := len(_lanes(own))) > 1:
            notes.append(f"{path}: labels of the tier {name!r} overlap and lie on {lanes} tiers")
    tiers = without_overlaps(rows)
    scored = bool(found.labels) and all(isinstance(each, Detection) for each in found.labels)
    document = elan_document(
        tiers or {_TIER: []},
        recordings.media_of(video, path),
        datetime.now(UTC),
        notes={PROBABILITY: _score} if scored else {},
        properties={},
    )
    with replacing(path) as scratch:
        scratch.write_bytes(document)
    return tuple(notes)


def without_overlaps(tiers: Mapping[str, Sequence[T]]) -> dict[str, list[T]]:
    """Tiers of which none has labels that overlap: those that do lie on further tiers, `NAME 2` and so on.

    Args:
        tiers: Labels in the order of their starts by the name of their tier.
    """
    found: dict[str, list[T]] = {}
    for name, own in tiers.items():
        for i, lane in enumerate(_lanes(own) or [[]]):
            place = name if i == 0 else f"{name} {i + 1}"
            while place in found:
                place += "'"
            found[place] = lane
    return found


def _lanes(labels: Sequence[T]) -> list[list[T]]:
    """Labels in the order of their starts, in as few rows as hold them without overlaps in milliseconds."""
    lanes: list[list[T]] = []
    busy: list[tuple[int, int]] = []  # a heap of when lanes end, with their numbers
    free: list[int] = []  # a heap of the numbers of lanes that have ended
    for each in labels:
        start = max(round(1000 * each.start_s), 0)
        while busy and busy[0][0] <= start:
            heappush(free, heappop(busy)[1])
        if not free:
            heappush(free, len(lanes))
            lanes.append([])
        lane = heappop(free)
        lanes[lane].append(each)
        heappush(busy, (max(round(1000 * each.end_s), start), lane))
    return lanes


def _score(label: TimedLabel) -> str:
    return f"{label.score:.6g}" if isinstance(label, Detection) else ""
