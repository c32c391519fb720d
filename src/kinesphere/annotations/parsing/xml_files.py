"""XML from outside: bounded in size, without entities, with typed errors."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from kinesphere.annotations.parsing.text_lines import read_text
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import brief
from kinesphere.core.text import spelled

LARGEST_XML = 64 << 20
# Characters that XML 1.0 cannot hold at all, escaped or not.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LAST_NUMBER = 1e9


def read_xml(path: Path, kind: str, root: str, *, program: str, largest: int = LARGEST_XML) -> ET.Element:
    """The root of a document.

    Args:
        path: The file.
        kind: What it should be, as a noun without its article: "ELAN document".
        root: Name of its outermost element.
        program: What writes such files, for messages.
        largest: Characters at most.

    Raises:
        InvalidAnnotation: If it is larger, no XML, another document, or defines entities.
    """
    text = read_text(path)
    if len(text) > largest:
        raise InvalidAnnotation(
            f"{path} has {len(text)} characters; {program} files are read up to {largest}."
        )
    if re.search(r"<!(DOCTYPE|ENTITY)", text):
        raise InvalidAnnotation(f"{path} defines entities, which {program} never does; refused.")
    try:
        found = ET.fromstring(text)
    except (ET.ParseError, ValueError) as error:
        raise InvalidAnnotation(f"{path} is no {kind}: {error}.") from error
    if found.tag != root:
        raise InvalidAnnotation(f"{path} is no {kind}: it begins with {brief(found.tag)}.")
    return found


def xml_text(text: str) -> str:
    """A text as XML can hold it: other characters become U+FFFD."""
    return _NOT_XML.sub("\ufffd", spelled(text))


def whole_number(element: ET.Element, name: str, where: str, *, least: int = 0) -> int:
    """An attribute that is a whole number.

    Raises:
        InvalidAnnotation: If it is missing, or no number from `least` up to 10⁹.
    """
    text = element.get(name)
    if text is None or not re.fullmatch(r"-?[0-9]{1,10}", text) or not least <= int(text) <= _LAST_NUMBER:
        raise InvalidAnnotation(
            f"{where}: {name!r} should be a whole number from {least} on; got {brief(text)}."
        )
    return int(text)
