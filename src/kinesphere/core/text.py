"""Lists in sentences, names told apart, URLs without passwords, and names with characters for no screen.

Python holds each byte of a name that is not UTF-8 as a lone surrogate (PEP 383), which no UTF-8 file can
hold. Where such a name is written it is spelled with `\\udcXX`, which in JSON is the very same text; reading
turns the spelling back, so that the file is found again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SPELLED = "backslashreplace"
"""The `errors` of files and streams that people and JSON parsers read."""

_BYTE = re.compile(r"\\u(dc[89a-f][0-9a-f])")
# What stands between a scheme and the last @ before the path; and secrets of a query.
_USER = re.compile(r"(?<=://)[^/?#\s]*@")
# Passwords that hold a / ? or #, which a URL should spell with a %: what stands before it reads as a host and
# a port that is none, or is a name without a dot.
_UNSPELLED = re.compile(
    r"(?<=://)(?:[^/?#\s@:\[]*:(?!\d*[/?#])|[^/?#\s@:\[.]*:\d+(?=[/?#]))[^/?#\s@]*[/?#]\S*@"
)
_SECRET = re.compile(
    r"(?i)([?&](?:[^=&\s]*(?:pass|pwd|token|secret|auth|key|credential|signature)[^=&\s]*|pw|sig)=)[^&#\s]*"
)
# Controls (ESC begins the commands of a terminal, U+009B is the same in one character), and what turns the
# direction of writing, so that a name reads as another one.
_OBEYED = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
_IN_LINES, _IN_A_LINE = re.compile(f"[{_OBEYED}]"), re.compile(f"[\t\n{_OBEYED}]")


def enumerated(names: Iterable[str]) -> str:
    """Names as a sentence lists them: `a`, `a and b`, `a, b and c`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def without_password(text: str) -> str:
    """A text in which URLs may stand, with `***` for the users, passwords and tokens in them."""
    return _SECRET.sub(r"\1***", _USER.sub("***@", _UNSPELLED.sub("***@", text)))


def told_apart(names: Iterable[str]) -> list[str]:
    """Names, of which those that occur again are numbered: `a`, `b`, `a-2`."""
    names = list(names)
    taken = set(names)
    found: list[str] = []
    for name in names:
        own, number = name, 2
        while own in found or (own != name and own in taken):
            own, number = f"{name}-{number}", number + 1
        found.append(own)
    return found


def named(names: Sequence[str], most: int = 5) -> str:
    """The first of some names that people have given: one that could be taken for two is in quotes."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) if ", " in name else name for name in names[:most]) + more


def spelled(text: str) -> str:
    """The text in characters that UTF-8 has; most texts are that already."""
    return text if text.isascii() else text.encode("utf-8", SPELLED).decode("utf-8")


def unspelled(text: str) -> str:
    """Inverse of `spelled`."""
    return _BYTE.sub(lambda found: chr(int(found[1], 16)), text) if "\\udc" in text else text


def visible(text: str, *, line: bool = False, json: bool = False) -> str:
    """The text as a terminal shows it, without what a terminal would obey: that is spelled, as in `\\x1b`.

    Args:
        text: Any text; may hold names and labels of others.
        line: Whether it is one line, so that breaks of lines and tabs in it are spelled as well.
        json: Whether it is a JSON document, in which `\\u001b` is the very same character.
    """
    found = _IN_A_LINE if line else _IN_LINES
    if json:
        return found.sub(lambda each: f"\\u{ord(each[0]):04x}", text)
    return found.sub(lambda each: each[0].encode("unicode_escape").decode("ascii"), text)


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can hold the text."""
    return spelled(text) == text
