"""What is wrong with detections, as a section of a report (DETAD)."""

from __future__ import annotations

from kinesphere.apps.html.charts import percent
from kinesphere.core.markup import Html, join, lead, table, tag
from kinesphere.evaluate.metrics.detection_errors import (
    KIND_TITLES,
    KINDS,
    MULTIPLES,
    Buckets,
    BucketScore,
    DetectionErrors,
)

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 560.0, 220.0, 52.0, 26.0
_NAMES = {"coverage": "Coverage", "length": "Length", "instances": "Instances of the label"}


def errors_section(errors: DetectionErrors) -> Html:
    """Kinds of errors by rank, what each costs, and ground truths by bucket."""
    at = ", ".join(f"{each:g}" for each in errors.thresholds)
    words = lead(
        f"Detections by what they are at tIoU {at}, in the manner of DETAD (Alwassel et al. 2018). Of a "
        "class with G ground truths the first column has its G surest detections, the next one the "
        "following G."
    )
    beyond = int((~errors.looked_at).sum())
    more = f" {beyond} detections beyond {MULTIPLES}G are not looked at." if beyond else ""
    gains = lead(
        "Points of mAP that would be gained without the detections of one kind of error; in mAP_N all "
        f"classes count as if they had equally many ground truths.{more}"
    )
    buckets = [_buckets(by, errors.by_bucket(by)) for by in errors.buckets]
    missed = lead(
        "How well ground truths are found that are alike. Missed are those that no detection finds before "
        f"precision falls to 5 %: {percent(float(errors.missed.mean()))} of {len(errors.missed)}. mAP_N of "
        f"all is {percent(errors.map_n)}."
    )
    return join(
        tag("h2", "Errors"), words, _legend(), _profile(errors), tag("h3", "What each costs"), gains,
        _gains(errors), tag("h3", "By kind of ground truth"), missed,
        tag("div", buckets, class_="charts"),
    )  # fmt: skip


def _legend() -> Html:
    marks = [tag("span", tag("i", class_=f"k{i}"), KIND_TITLES[kind]) for i, kind in enumerate(KINDS)]
    return tag("p", marks, class_="legend kinds")


def _profile(errors: DetectionErrors) -> Html:
    wide, high = (_WIDTH - _LEFT) / MULTIPLES, _HEIGHT - _BOTTOM
    parts = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = high * (1 - value)
        parts.append(tag("line", x1=_LEFT, x2=_WIDTH, y1=y, y2=y, class_="grid"))
        parts.append(tag("text", f"{100 * value:.0f} %", x=_LEFT - 6, y=y + 4, class_="tick end"))
    for column, row in enumerate(errors.profile):
        x, below, total = _LEFT + column * wide, 0.0, sum(row.kinds.values())
        parts.append(
            tag("text", f"{row.multiple}G", x=x + wide / 2, y=_HEIGHT - 6, class_="tick mid")
        )  # fmt: skip
        for i, kind in enumerate(KINDS):
            part = row.kinds[kind] / total if total else 0.0
            if part > 0:
                says = (
                    f"{row.multiple}G: {percent(part)} {KIND_TITLES[kind]} ({row.kinds[kind]:g} of {total:g})"
                )
                parts.append(
                    tag(
                        "rect", tag("title", says), x=x + 2, y=high * (1 - below - part), width=wide - 4,
                        height=high * part, class_=f"k{i}",
                    )
                )  # fmt: skip
            below += part
    drawing = tag(
        "svg", parts, view_box=f"0 -8 {_WIDTH:.0f} {_HEIGHT + 8:.0f}", role="img", class_="profile",
        aria_label="Kinds of errors by rank",
    )  # fmt: skip
    return tag("div", drawing, class_="scroll")


def _gains(errors: DetectionErrors) -> Html:
    rows = []
    total = sum(errors.kinds.values()) or 1.0
    for i, kind in enumerate(KINDS):
        cells = [
            100 * (errors.map_without(kind, normalised=n) - errors.map_without(None, normalised=n))
            for n in (False, True)
        ]
        rows.append(
            tag(
                "tr",
                tag("td", tag("i", class_=f"kind k{i}"), KIND_TITLES[kind]),
                tag("td", f"{errors.kinds[kind]:.0f}", class_="wide"),
                tag("td", percent(errors.kinds[kind] / total)),
                [tag("td", f"+{each:.1f}" if i else "") for each in cells],
            )
        )
    names = ("kind", "detections", "of all", "mAP", "mAP_N")
    heads = [tag("th", name, class_="wide" if name == "detections" else None) for name in names]
    return tag("div", table(heads, rows, class_="kinds"), class_="scroll")


def _buckets(by: Buckets, rows: tuple[BucketScore, ...]) -> Html:
    if not rows:
        return tag(
            "figure",
            tag("figcaption", _NAMES[by.name]),
            tag("p", "The annotations do not tell how long the videos are.", class_="note"),
        )
    cells = [
        tag(
            "tr",
            tag("td", f"{row.name}: {row.range}"),
            tag("td", str(row.instances)),
            tag("td", percent(row.map_n)),
            tag("td", percent(row.missed)),
        )
        for row in rows
    ]
    heads = [
        tag("th", name)
        for name in (f"in {by.unit}" if by.name == "length" else by.unit, "number", "mAP_N", "missed")
    ]
    return tag("figure", tag("figcaption", _NAMES[by.name]), tag("div", table(heads, cells), class_="scroll"))
