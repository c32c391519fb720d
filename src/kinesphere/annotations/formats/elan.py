"""ELAN annotation documents (`.eaf`): labels over time on tiers, as people write them.

Wittenburg et al.: "ELAN: a professional framework for multimodality research", LREC 2006. Annotations of
tiers that depend on others (probabilities, translations) have no times of their own and are not read. A time
that somebody left open lies between its neighbours, evenly, as in ELAN.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.parsing.text_lines import read_text
from kinesphere.annotations.timed import TimedLabel, TimedLabels, video_name
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import brief

_LARGEST = 64 << 20
_SHOWN = 10


def read_elan(path: Path) -> TimedLabels:
    """The labels of all tiers with times of their own, in the order of the tiers.

    Raises:
        InvalidAnnotation: If it is no ELAN document, or an annotation refers to a time that is not there.
    """
    text = read_text(path)
    if len(text) > _LARGEST:
        raise InvalidAnnotation(f"{path} has {len(text)} characters; ELAN files are read up to {_LARGEST}.")
    if re.search(r"<!(DOCTYPE|ENTITY)", text):
        raise InvalidAnnotation(f"{path} defines entities, which ELAN never does; refused.")
    try:
        root = ET.fromstring(text)
    except (ET.ParseError, ValueError) as error:
        raise InvalidAnnotation(f"{path} is no ELAN document: {error}.") from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise InvalidAnnotation(f"{path} is no ELAN document: it begins with {brief(root.tag)}.")
    times_s = _times(root, path)
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    video = "" if media is None else video_name(unquote(media.get("MEDIA_URL", "")))
    labels: list[TimedLabel] = []
    blank, dependent = 0, []
    for tier in root.iter("TIER"):
        name = tier.get("TIER_ID", "")
        if tier.find("ANNOTATION/REF_ANNOTATION") is not None:
            dependent.append(name)
        for each in tier.iterfind("ANNOTATION/ALIGNABLE_ANNOTATION"):
            label = (each.findtext("ANNOTATION_VALUE") or "").strip()
            where = f"{path}, tier {brief(name)}, annotation {brief(each.get('ANNOTATION_ID', ''))}"
            start_s, end_s = (_time(each.get(f"TIME_SLOT_REF{i}"), times_s, where) for i in (1, 2))
            if not label:
                blank += 1
                continue
            try:
                labels.append(TimedLabel(video, label, start_s, end_s, name))
            except InvalidAnnotation as error:
                raise InvalidAnnotation(f"{where}: {error}") from None
    notes = []
    if dependent:
        notes.append(f"{path}: tiers that depend on others are not read: {', '.join(dependent[:_SHOWN])}")
    if blank:
        notes.append(f"{path}: {blank} annotations without a text are left out")
    return TimedLabels(tuple(labels), (video,), notes=tuple(notes))


def _times(root: ET.Element, path: Path) -> Mapping[str, float]:
    """Seconds of the slots; those without a time lie between their neighbours."""
    names: list[str] = []
    known: list[float | None] = []
    for slot in root.iterfind("TIME_ORDER/TIME_SLOT"):
        names.append(slot.get("TIME_SLOT_ID", ""))
        value = slot.get("TIME_VALUE")
        if value is not None and not re.fullmatch(r"[0-9]{1,12}", value):
            raise InvalidAnnotation(f"{path}: times are whole milliseconds; got {brief(value)}.")
        known.append(None if value is None else int(value) / 1000)
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


def _time(slot: str | None, times_s: Mapping[str, float], where: str) -> float:
    if slot is None or slot not in times_s:
        raise InvalidAnnotation(f"{where}: its time {brief(slot)} is not in the document; export it again.")
    return times_s[slot]


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
