"""ELAN annotation documents (`.eaf`): labels over time on tiers, as people write them.

Wittenburg et al.: "ELAN: a professional framework for multimodality research", LREC 2006. Times are whole
milliseconds, or, as `TIME_UNITS` says, frames of PAL (25 a second) or NTSC (30 000 in 1001 s). A time that
somebody left open lies between its neighbours, evenly, as in ELAN. Annotations of tiers that depend on others
have the time of what they belong to, or, where several divide it, even parts of that (symbolic subdivision).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.parsing.text_lines import number_of
from kinesphere.annotations.parsing.xml_files import read_xml
from kinesphere.annotations.timed import TimedLabel, TimedLabels, video_name, with_scores
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import brief
from kinesphere.core.text import named

PROBABILITY, RUNNER_UP = "probability", "runner-up"
"""Ends of the names of the tiers that say how sure the labels of another are, as Kinesphere writes them."""

Span = tuple[float, float]
_UNITS = {"milliseconds": (1, 1000), "PAL-frames": (1, 25), "NTSC-frames": (1001, 30_000)}
"""Seconds of a unit of time as a fraction, by the names that the schema of EAF knows."""


def read_elan(path: Path, *, dependents: bool = False) -> TimedLabels:
    """The labels of the tiers, in the order of the file, on the clock of its first video.

    Where each of them has a probability, as in what Kinesphere writes, they are `Detection`s.

    Args:
        path: The document.
        dependents: Whether tiers that depend on others (translations, ratings) are read too.

    Raises:
        InvalidAnnotation: If it is no ELAN document, or an annotation refers to a time or to another
            annotation that is not there; tier and annotation are named.
    """
    document = _Document(path, dependents=dependents)
    labels: list[TimedLabel] = []
    scores: list[float | None] = []
    blank, unread = 0, []
    for tier in document.tiers:
        if tier.says_how_sure or (tier.depends and not dependents):
            unread += [tier.name] if tier.depends and not tier.says_how_sure else []
            continue
        sure = document.probabilities(tier)
        for identifier, (start_s, end_s), text in document.annotations(tier):
            if not text:
                blank += 1
                continue
            try:
                labels.append(TimedLabel(document.video, text, start_s, end_s, tier.name))
            except InvalidAnnotation as error:
                raise InvalidAnnotation(f"{document.where(tier, identifier)}: {error}") from None
            scores.append(sure.get(identifier))
    notes = list(document.notes)
    if unread:
        notes.append(f"{path}: tiers that depend on others are not read: {named(unread, 10)}")
    if blank:
        notes.append(f"{path}: {blank} annotations without a text are left out")
    notes += _unlisted(labels, document)
    return TimedLabels(with_scores(labels, scores), (document.video,), notes=tuple(notes))


class _Tier:
    """One tier: its element, and how it depends on another."""

    def __init__(self, element: ET.Element, kinds: Mapping[str, ET.Element]) -> None:
        self.element = element
        self.name = element.get("TIER_ID", "")
        self.parent = element.get("PARENT_REF")
        self.depends = element.find("ANNOTATION/REF_ANNOTATION") is not None
        kind = kinds.get(element.get("LINGUISTIC_TYPE_REF", ""))
        self.vocabulary = None if kind is None else kind.get("CONTROLLED_VOCABULARY_REF")
        own = {f"{self.parent} {what}" for what in (PROBABILITY, RUNNER_UP)}
        self.says_how_sure = self.parent is not None and self.name in own


class _Document:
    """What the elements of a document refer to each other by."""

    def __init__(self, path: Path, *, dependents: bool) -> None:
        self.path = path
        root = read_xml(path, "ELAN document", "ANNOTATION_DOCUMENT", program="ELAN")
        unit = _unit(root, path)
        self._times_s = _times(root, path, unit)
        media = root.findall("HEADER/MEDIA_DESCRIPTOR")
        first = next((each for each in media if each.get("MIME_TYPE", "").startswith("video")), None)
        first = media[0] if first is None and media else first
        self.video = "" if first is None else video_name(unquote(first.get("MEDIA_URL", "")))
        self._offset_s = 0.0 if first is None else _offset_s(first, path)
        kinds = {each.get("LINGUISTIC_TYPE_ID", ""): each for each in root.iter("LINGUISTIC_TYPE")}
        self.tiers = [_Tier(element, kinds) for element in root.iter("TIER")]
        self._sure: dict[str, list[_Tier]] = {}
        for tier in self.tiers:
            if tier.parent is not None and tier.name == f"{tier.parent} {PROBABILITY}":
                self._sure.setdefault(tier.parent, []).append(tier)
        self.vocabularies = _vocabularies(root, path)
        self.notes = [] if len(media) < 2 else [f"{path}: of {len(media)} media the times are {self.video}'s"]
        if unit != "milliseconds":
            self.notes.append(f"{path}: its times are {unit}, as its TIME_UNITS says")
        self._spans = self._found_spans(dependents=dependents)

    def where(self, tier: _Tier, identifier: str) -> str:
        return f"{self.path}, tier {brief(tier.name)}, annotation {brief(identifier)}"

    def annotations(self, tier: _Tier) -> Iterator[tuple[str, Span, str]]:
        """Identifier, start and end in seconds, and text of the annotations of a tier."""
        for element in tier.element.iterfind("ANNOTATION/*"):
            identifier = element.get("ANNOTATION_ID", "")
            yield identifier, self._spans[element], (element.findtext("ANNOTATION_VALUE") or "").strip()

    def probabilities(self, tier: _Tier) -> dict[str, float]:
        """How sure the annotations of a tier are, by their identifiers, where a tier below it says so."""
        found: dict[str, float] = {}
        for below in self._sure.get(tier.name, ()):
            for element in below.element.iterfind("ANNOTATION/REF_ANNOTATION"):
                try:
                    value = number_of(element.findtext("ANNOTATION_VALUE") or "")
                except ValueError:
                    continue
                if 0 <= value <= 1:
                    found[element.get("ANNOTATION_REF", "")] = value
        return found

    def _found_spans(self, *, dependents: bool) -> dict[ET.Element, Span]:
        """When each annotation is, on the video's clock."""
        spans: dict[ET.Element, Span] = {}
        by_identifier: dict[str, Span] = {}
        waiting: dict[str, list[tuple[_Tier, ET.Element]]] = {}
        taken: set[str] = set()
        for tier in self.tiers:
            for element in tier.element.iterfind("ANNOTATION/*"):
                identifier = element.get("ANNOTATION_ID", "")
                if identifier and identifier in taken:
                    raise InvalidAnnotation(
                        f"{self.where(tier, identifier)}: another annotation has this identifier too; open "
                        "and save the file in ELAN."
                    )
                taken.add(identifier)
                if element.tag == "REF_ANNOTATION":
                    waiting.setdefault(element.get("ANNOTATION_REF", ""), []).append((tier, element))
                    continue
                where = self.where(tier, identifier)
                times = (self._time(element.get(f"TIME_SLOT_REF{i}"), where) for i in (1, 2))
                start_s, end_s = (each + self._offset_s for each in times)
                spans[element] = by_identifier[identifier] = (start_s, end_s)
        by_identifier.pop("", None)
        if dependents:
            self._hand_down(spans, by_identifier, waiting)
        return spans

    def _hand_down(
        self,
        spans: dict[ET.Element, Span],
        by_identifier: dict[str, Span],
        waiting: dict[str, list[tuple[_Tier, ET.Element]]],
    ) -> None:
        """Give annotations that refer to others their times."""
        ready = [identifier for identifier in waiting if identifier in by_identifier]
        while ready:
            parent = ready.pop()
            by_tier: dict[str, list[ET.Element]] = {}
            for tier, element in waiting.pop(parent):
                by_tier.setdefault(tier.name, []).append(element)
            for elements in by_tier.values():
                for element, span in _divided(by_identifier[parent], elements):
                    identifier = element.get("ANNOTATION_ID", "")
                    spans[element] = span
                    by_identifier[identifier] = span
                    ready += [identifier] if identifier and identifier in waiting else []
        lost = [each for elements in waiting.values() for each in elements]
        for tier, element in lost:
            if tier.says_how_sure:  # of a label that somebody has removed
                continue
            parent = element.get("ANNOTATION_REF", "")
            raise InvalidAnnotation(
                f"{self.where(tier, element.get('ANNOTATION_ID', ''))}: it belongs to the annotation "
                f"{brief(parent)}, which is not in the document; export it again."
            )

    def _time(self, slot: str | None, where: str) -> float:
        if slot is None or slot not in self._times_s:
            raise InvalidAnnotation(
                f"{where}: its time {brief(slot)} is not in the document; export it again."
            )
        return self._times_s[slot]


def _divided(span: Span, elements: list[ET.Element]) -> Iterator[tuple[ET.Element, Span]]:
    """The annotations that belong to one, each with its even part of the time; one alone has all of it."""
    follower = {element.get("PREVIOUS_ANNOTATION"): element for element in elements}
    ordered = []
    at = follower.pop(None, None)
    while at is not None:
        ordered.append(at)
        at = follower.pop(at.get("ANNOTATION_ID", ""), None)
    if len(ordered) < len(elements):  # not one chain: each has all of the time
        for element in elements:
            yield element, span
        return
    start_s, end_s = span
    step_s = (end_s - start_s) / len(ordered)
    for i, element in enumerate(ordered):
        last = i + 1 == len(ordered)
        yield element, (start_s + i * step_s, end_s if last else start_s + (i + 1) * step_s)


def _offset_s(media: ET.Element, path: Path) -> float:
    """At which time of the video the document begins."""
    origin = media.get("TIME_ORIGIN", "0")
    if not re.fullmatch(r"-?[0-9]{1,12}", origin):
        raise InvalidAnnotation(
            f"{path}, MEDIA_DESCRIPTOR: TIME_ORIGIN should be whole milliseconds; got {brief(origin)}."
        )
    return int(origin) / 1000


def _unit(root: ET.Element, path: Path) -> str:
    """What the document counts in."""
    header = root.find("HEADER")
    unit = "milliseconds" if header is None else header.get("TIME_UNITS", "milliseconds")
    if unit not in _UNITS:
        raise InvalidAnnotation(
            f"{path}, HEADER: TIME_UNITS should be one of {', '.join(_UNITS)}; got {brief(unit)}. Open and "
            "save the file in ELAN."
        )
    return unit


def _times(root: ET.Element, path: Path, unit: str) -> Mapping[str, float]:
    """Seconds of the slots, which count in a unit; those without a time lie between their neighbours."""
    times, by = _UNITS[unit]
    names: list[str] = []
    known: list[float | None] = []
    for slot in root.iterfind("TIME_ORDER/TIME_SLOT"):
        names.append(slot.get("TIME_SLOT_ID", ""))
        value = slot.get("TIME_VALUE")
        if value is not None and not re.fullmatch(r"[0-9]{1,12}", value):
            raise InvalidAnnotation(f"{path}: times are whole {unit}; got {brief(value)}.")
        known.append(None if value is None else int(value) * times / by)
    again, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise InvalidAnnotation(f"{path}: the time {brief(again)} stands twice; open and save it in ELAN.")
    last = 0.0
    i = 0
    while i < len(known):
        if known[i] is not None:
            last = float(known[i] or 0.0)
            i += 1
            continue
        end = next((j for j in range(i, len(known)) if known[j] is not None), len(known))
        after = float(known[end] or 0.0) if end < len(known) else last
        for j in range(i, end):
            known[j] = last + (after - last) * (j - i + 1) / (end - i + 1)
        i = end
    return {name: value for name, value in zip(names, known, strict=True) if value is not None}


def _vocabularies(root: ET.Element, path: Path) -> dict[str, frozenset[str]]:
    """The values of the controlled vocabularies, also of those that lie in a file beside the document."""
    external = {each.get("EXT_REF_ID"): each.get("VALUE", "") for each in root.iter("EXTERNAL_REF")}
    found: dict[str, frozenset[str]] = {}
    for each in root.iter("CONTROLLED_VOCABULARY"):
        name = each.get("CV_ID", "")
        found[name] = _values(each)
        beside = path.parent / PurePosixPath(unquote(external.get(each.get("EXT_REF"), ""))).name
        if not found[name] and beside.suffix.lower() == ".ecv" and beside.is_file():
            resource = read_xml(beside, "ELAN vocabulary", "CV_RESOURCE", program="ELAN")
            for listed in resource.iter("CONTROLLED_VOCABULARY"):
                if listed.get("CV_ID", "") == name:
                    found[name] = _values(listed)
    return found


def _values(vocabulary: ET.Element) -> frozenset[str]:
    entries = [*vocabulary.iter("CVE_VALUE"), *vocabulary.iter("CV_ENTRY")]
    return frozenset(text for each in entries if (text := (each.text or "").strip()))


def _unlisted(labels: Iterable[TimedLabel], document: _Document) -> Iterator[str]:
    """Notes of labels that the vocabulary of their tier does not list."""
    for tier in document.tiers:
        listed = document.vocabularies.get(tier.vocabulary or "", frozenset())
        if not listed:
            continue
        others = dict.fromkeys(each.label for each in labels if each.tier == tier.name)
        strange = [label for label in others if label not in listed]
        if strange:
            yield (
                f"{document.path}, tier {brief(tier.name)}: its vocabulary {brief(tier.vocabulary)} does not "
                f"list {named(strange, 10)}"
            )


def of_tiers(found: TimedLabels, tiers: Iterable[str]) -> TimedLabels:
    """The labels of some tiers.

    Raises:
        InvalidAnnotation: If there is no label on one of them.
    """
    wanted = [*tiers]
    present = dict.fromkeys(each.tier for each in found.labels)
    for name in wanted:
        if name not in present:
            raise InvalidAnnotation(
                f"There is no label on a tier {brief(name)}; those with labels are {named([*present], 20)}."
            )
    return replace(found, labels=tuple(each for each in found.labels if each.tier in wanted))


def write_example(path: Path) -> None:
    """Two labels of one tier, and a note to the first."""
    path.write_text(_EXAMPLE, encoding="utf-8")


_EXAMPLE = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2030-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///videos/a%20b.mp4" MIME_TYPE="video/mp4"/>
  </HEADER>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="0"/>
    <TIME_SLOT TIME_SLOT_ID="ts2"/>
    <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="3000"/>
  </TIME_ORDER>
  <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="actions">
    <ANNOTATION>
      <ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
        <ANNOTATION_VALUE>run</ANNOTATION_VALUE>
      </ALIGNABLE_ANNOTATION>
    </ANNOTATION>
    <ANNOTATION>
      <ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
        <ANNOTATION_VALUE>walk &amp; wave</ANNOTATION_VALUE>
      </ALIGNABLE_ANNOTATION>
    </ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="notes-lt" PARENT_REF="actions" TIER_ID="notes">
    <ANNOTATION>
      <REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a1">
        <ANNOTATION_VALUE>fast</ANNOTATION_VALUE>
      </REF_ANNOTATION>
    </ANNOTATION>
  </TIER>
</ANNOTATION_DOCUMENT>
"""

FORMATS.add(
    "elan", Format("ELAN annotation document", (".eaf",), "timed labels on tiers", read_elan, write_example)
)
