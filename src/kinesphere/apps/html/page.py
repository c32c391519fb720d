"""A page of sections in one file that loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from kinesphere.core.markup import Html, tag

# The page may load nothing from anywhere, whatever a label or file name holds.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


@dataclass(frozen=True)
class Parts:
    """What a page has beside its sections.

    Attributes:
        policy: What it may load besides nothing.
        styles: Further style sheets.
        scripts: Further scripts.
    """

    policy: str = ""
    styles: tuple[Html, ...] = ()
    scripts: tuple[Html, ...] = ()


def page(
    title: str,
    sections: Sequence[tuple[str, str, Html]],
    *,
    where: str,
    heading: str,
    version: str,
    parts: Parts = Parts(),
) -> str:
    """The page as text.

    Args:
        title: Headline.
        sections: Anchor, name and body of each; those without a body are left out.
        where: What it is about, above the headline.
        heading: Title of the browser's window.
        version: Of Kinesphere.
        parts: What it has besides.
    """
    shown = [(anchor, name, body) for anchor, name, body in sections if body]
    top = tag(
        "header",
        tag(
            "div",
            tag("p", where, class_="eyebrow"),
            tag("h1", title),
            tag("nav", [tag("a", name, href=f"#{anchor}") for anchor, name, _ in shown]),
        ),
        class_="top",
    )
    body = tag("main", [tag("section", part, id=anchor) for anchor, _, part in shown])
    foot = tag("footer", f"Written by Kinesphere {version}.")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag(
            "meta",
            http_equiv="Content-Security-Policy",
            content="; ".join(filter(None, (_POLICY, parts.policy))),
        ),
        tag("title", heading),
        tag("style", Html(_asset("report.css")), parts.styles),
    )
    scripts = [tag("script", each) for each in (Html(_asset("report.js")), *parts.scripts)]
    whole = tag("html", head, tag("body", top, body, foot, scripts), lang="en")
    return f"<!doctype html>\n{whole}\n"


def _asset(name: str) -> str:
    return (files("kinesphere.apps.html") / name).read_text(encoding="utf-8")
