"""HTML built from calls, so that every text is escaped unless it was built here."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

_VOID = frozenset({"br", "circle", "img", "input", "line", "meta", "path", "polyline", "rect"})


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Child = str | Iterable[str] | None


def tag(name: str, /, *children: Child, **attributes: object) -> Html:
    """An element.

    Args:
        name: Name of the element.
        children: `Html` goes in as it is, other text escaped, None not at all; iterables are unrolled.
        attributes: `class_` means `class`, `view_box` means `viewBox`, `_` becomes `-`; values are
            escaped, None leaves the attribute out, True gives it without a value.
    """
    opening = "".join([name, *(_attribute(key, value) for key, value in attributes.items())])
    if name in _VOID and not children:
        return Html(f"<{opening}/>")
    return Html(f"<{opening}>{join(*children)}</{name}>")


def join(*children: Child) -> Html:
    """Children side by side, escaped like those of `tag`."""
    parts: list[str] = []
    for child in children:
        if isinstance(child, Html):
            parts.append(child)
        elif isinstance(child, str):
            parts.append(html.escape(child))
        elif child is not None:
            parts.append(join(*child))
    return Html("".join(parts))


def jpeg(file: bytes) -> Html:
    """A picture within the page."""
    return tag("img", src=f"data:image/jpeg;base64,{base64.b64encode(file).decode()}", alt="")


def lead(*children: Child) -> Html:
    """The first words of a section."""
    return tag("p", *children, class_="lead")


def table(heads: Child, rows: Child, **attributes: object) -> Html:
    """A table of `th` and `tr`."""
    return tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows), **attributes)


def left_out(lines: Sequence[str], *, where: str, most: int, unit: str = "") -> Html:
    """A section that lists what was left out and why; empty where nothing was.

    Args:
        lines: What was left out, each with the reason.
        where: File that lists all of them.
        most: How many are shown.
        unit: What they are.
    """
    if not lines:
        return Html("")
    more = len(lines) - most
    rest = tag("p", f"and {more} more, in {where}") if more > 0 else None
    heading = " ".join(filter(None, (f"Left out: {len(lines)}", unit)))
    return join(tag("h2", heading), tag("ul", [tag("li", line) for line in lines[:most]]), rest)


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    key = {"view_box": "viewBox"}.get(key, key.strip("_").replace("_", "-"))
    if value is True:
        return f" {key}"
    text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return f' {key}="{html.escape(text)}"'
