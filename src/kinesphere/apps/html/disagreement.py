"""`report.html` of two models on the same clips."""

from __future__ import annotations

from pathlib import Path

from kinesphere import __version__
from kinesphere.apps.html.charts import percent
from kinesphere.apps.html.page import page
from kinesphere.core.markup import Html, join, jpeg, lead, left_out, table, tag
from kinesphere.studies.disagreement import FILE_NAME, TABLE_NAME, Clip, Confusion, Disagreement, Outcomes
from kinesphere.studies.disagreement_maps import MappedClip, Maps

_LISTED = 200


def render_disagreement(comparison: Disagreement, maps: Maps | None, *, data: str) -> str:
    """The page as text.

    Args:
        comparison: What was measured.
        maps: What the models looked at; None leaves that out.
        data: Name of the data.
    """
    first, second = comparison.short_names
    sections = [
        ("verdict", "Verdict", join(tag("h2", "Verdict"), tag("p", comparison.verdict()))),
        ("classes", "Classes", _table(comparison)),
        ("maps", "What they looked at", _disagreements(maps)),
        ("confusions", "Confusions", _confusions(comparison, maps)),
        ("clips", "Clips", _clips(comparison)),
        ("skipped", "Left out", _skipped(comparison, maps)),
        ("protocol", "Protocol", _protocol(comparison)),
    ]
    title = f"{first} and {second}"
    where = f"{data} · {comparison.clips} clips"
    return page(title, sections, where=where, heading=f"{title} {data}", version=__version__)


def _table(comparison: Disagreement) -> Html:
    first, second = comparison.short_names
    heads = [
        tag("th", text)
        for text in ("class", "clips", "both right", f"only {first}", f"only {second}", "neither",
                     f"{second} is ahead by")
    ]  # fmt: skip
    rows = [_outcomes(row) for row in comparison.outcomes]
    text = (
        "How many clips each model is right about. The difference of accuracies has a paired interval of "
        "95 %: where it holds 0, these clips do not tell which model is better."
    )
    shown = tag("div", table(heads, rows, class_="conditions"), class_="scroll")
    return join(tag("h2", "Classes"), lead(text), shown)


def _outcomes(row: Outcomes) -> Html:
    name = tag("b", "all") if row.label is None else row.label
    counts = (row.clips, row.both, row.first, row.second, row.neither)
    return tag("tr", tag("td", name), [tag("td", str(count)) for count in counts], tag("td", str(row.gain)))


def _disagreements(maps: Maps | None) -> Html:
    if maps is None or not maps.apart:
        return Html("")
    text = "The clips that the models are farthest apart about, with what the answer of each rests on."
    cards = tag("div", [_card(each) for each in maps.apart], class_="examples")
    return join(tag("h2", "What they looked at"), lead(text), cards)


def _card(mapped: MappedClip) -> Html:
    clip, rows = mapped.clip, []
    for each in mapped.maps:
        title = tag("span", f"{each.label} {percent(each.probability)}", class_="verdict")
        name = tag("p", tag("b", each.model), ": ", title)
        if each.strips is None:
            shown = tag("div", tag("p", f"No map: {each.problem}"), class_="strip")
        else:
            frames = tag("div", [jpeg(file) for file in each.strips.frames], class_="strip")
            shown = join(frames, tag("p", tag("small", each.strips.caption)))
        rows.append(
            tag("div", name, shown, class_="example right" if each.label == clip.truth else "example wrong")
        )
    head = tag(
        "p", "It is ", tag("b", clip.truth), tag("small", f"{_named(clip)}, distance {clip.distance:.2f}")
    )
    return tag("figure", head, rows, class_="example")


def _confusions(comparison: Disagreement, maps: Maps | None) -> Html:
    if not comparison.confusions:
        return Html("")
    heads = [tag("th", text) for text in ("class", "taken for", *comparison.short_names, "of")]
    rows = [_confusion(each) for each in comparison.confusions[:_LISTED]]
    shown = tag("div", table(heads, rows, class_="conditions"), class_="scroll")
    parts: list[Html] = []
    for pair, clips in maps.confusions if maps is not None else ():
        parts.append(tag("h3", f"{pair.truth}, taken for {pair.answer}"))
        parts.append(tag("div", [_card(each) for each in clips], class_="examples"))
    text = "How many clips of a class each model takes for another; below, what speaks for either class."
    return join(tag("h2", "Confusions"), lead(text if parts else text.partition(";")[0] + "."), shown, parts)


def _confusion(each: Confusion) -> Html:
    counts = [tag("td", str(count)) for count in each.counts]
    return tag("tr", tag("td", each.truth), tag("td", each.answer), counts, tag("td", str(each.of)))


def _clips(comparison: Disagreement) -> Html:
    found = comparison.apart
    if not found:
        return join(tag("h2", "Clips"), lead("The models give the same answer to every clip."))
    heads = [
        tag("th", tag("button", name, type="button"), class_=style)
        for name, style in (
            ("clip", None), ("is", "left"), *((model, "left") for model in comparison.short_names),
            ("distance", None),
        )
    ]  # fmt: skip
    rows = [_row(clip) for clip in found[:_LISTED]]
    more = f" The first {_LISTED} are shown." if len(found) > _LISTED else ""
    text = (
        f"The models answer {len(found)} clips differently; all are in {TABLE_NAME} beside this page.{more}"
    )
    listed = table(heads, rows, data_sortable=True, class_="mistakes")
    return join(tag("h2", "Clips"), lead(text), tag("div", listed, class_="scroll tall"))


def _row(clip: Clip) -> Html:
    answers = [
        tag("td", f"{answer} {percent(own)}", class_="left", data_value=answer)
        for answer, own in zip(clip.answers, clip.probabilities, strict=True)
    ]
    return tag(
        "tr",
        tag("td", _named(clip), title=clip.path, data_value=clip.path),
        tag("td", clip.truth, class_="left", data_value=clip.truth),
        answers,
        tag("td", f"{clip.distance:.2f}", data_value=clip.distance),
    )


def _skipped(comparison: Disagreement, maps: Maps | None) -> Html:
    lines = [f"{each.path}: {each.reason}" for each in comparison.skipped]
    lines += [f"no map of {problem}" for problem in (maps.problems if maps is not None else ())]
    return left_out(lines, where=FILE_NAME, most=_LISTED)


def _protocol(comparison: Disagreement) -> Html:
    first, second = comparison.models
    text = (
        f"The models are {first} and {second}. Both answered the same {comparison.clips} clips. Distance is "
        "the total variation distance of their probabilities: 0 where they are the same, 1 where no class "
        "has some of both. Intervals are those of Newcombe for paired shares, over groups where "
        "clips have them."
    )
    return join(tag("h2", "How this was measured"), tag("p", text))


def _named(clip: Clip) -> str:
    span = f" {clip.span[0]:.1f}–{clip.span[1]:.1f} s" if clip.span else ""
    return f"{Path(clip.path).name}{span}"
