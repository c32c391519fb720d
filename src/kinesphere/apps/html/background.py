"""`report.html` of a study of backgrounds."""

from __future__ import annotations

from collections.abc import Sequence

from kinesphere import __version__
from kinesphere.apps.html.charts import difference_bar, percent, score_bar
from kinesphere.apps.html.page import page
from kinesphere.core.markup import Html, join, jpeg, lead, left_out, table, tag
from kinesphere.evaluate.metrics import Score
from kinesphere.studies.background import BackgroundStudy, Cell, ModelStudy

Strip = tuple[str, tuple[bytes, ...]]
"""What is left to see, and JPEG files of frames."""

_LISTED = 100


def render_background(study: BackgroundStudy, strips: Sequence[Strip], *, data: str) -> str:
    """The page as text.

    Args:
        study: What was measured.
        strips: One clip under all conditions.
        data: Name of the data.
    """
    clips = f"{study.clips} clips"
    lines = [f"{each.path}: {each.reason}" for each in study.skipped]
    sections = [
        ("verdict", "Verdict", _verdicts(study)),
        ("comparison", "Comparison", _comparisons(study)),
        ("table", "Conditions", _table(study)),
        ("pictures", "Pictures", _pictures(strips)),
        ("classes", "Classes", join([_classes(model) for model in study.models])),
        ("skipped", "Left out", left_out(lines, where="study.json", most=_LISTED, unit="clips")),
        ("protocol", "Protocol", _protocol(study)),
    ]
    title = "Do the people decide, or the background?"
    return page(title, sections, where=f"{data} · {clips}", heading=f"{title} {data}", version=__version__)


def _verdicts(study: BackgroundStudy) -> Html:
    rows = [join(tag("h3", model.model), tag("p", model.verdict)) for model in study.models]
    return join(tag("h2", "Verdict"), rows)


def _comparisons(study: BackgroundStudy) -> Html:
    """Every further model less the first one."""
    if not study.comparisons:
        return Html("")
    parts: list[Html] = []
    for each in study.comparisons:
        named = ("what is left to see", "right", "", "taken for the background's", "")
        rows = [
            tag(
                "tr",
                tag("td", cell.condition.says),
                tag("td", str(cell.accuracy)),
                tag("td", difference_bar(cell.accuracy)),
                tag("td", "" if cell.as_background is None else str(cell.as_background)),
                tag("td", None if cell.as_background is None else difference_bar(cell.as_background)),
            )
            for cell in each.cells
        ]
        last = (
            f"Right when moving and wrong when still, before another class's background: {each.contrasted}."
        )
        heat = None if each.on_people is None else f"Share of attribution on people: {each.on_people}."
        parts += [
            tag("h3", f"{each.model} less {each.against}"),
            tag("p", each.verdict),
            table([tag("th", text) for text in named], rows, class_="conditions"),
            tag("p", last),
            tag("p", heat) if heat else Html(""),
        ]
    about = lead("Differences in percentage points on the same clips, with paired 95 % intervals.")
    return join(tag("h2", "Comparison"), about, parts)


def _table(study: BackgroundStudy) -> Html:
    parts: list[Html] = []
    for model in study.models:
        heads = [
            tag("th", text) for text in ("what is left to see", "right", "", "taken for the background's")
        ]
        rows = [
            tag(
                "tr",
                tag("td", cell.condition.says),
                tag("td", _number(cell)),
                tag("td", score_bar(cell.accuracy)),
                tag("td", "" if cell.as_background is None else str(cell.as_background)),
            )
            for cell in model.cells
        ]
        last = (
            f"Right when moving and wrong when still, before another class's background: {model.contrasted}."
        )
        parts += [tag("h3", model.model), table(heads, rows, class_="conditions"), tag("p", last)]
        if model.on_people is not None:
            parts.append(tag("p", model.on_people.line()))
    return join(tag("h2", "Conditions"), lead("Share of clips taken for the people's class."), parts)


def _number(cell: Cell) -> str:
    return f"{cell.accuracy}, as unchanged: it sees none of this" if cell.same else str(cell.accuracy)


def _pictures(strips: Sequence[Strip]) -> Html:
    if not strips:
        return Html("")
    figures = [
        tag(
            "figure",
            tag("div", [jpeg(frame) for frame in frames], class_="strip"),
            tag("p", tag("small", says)),
            class_="example right",
        )
        for says, frames in strips
    ]
    return join(tag("h2", "One clip under all conditions"), tag("div", figures, class_="examples"))


def _classes(model: ModelStudy) -> Html:
    names = list(model.cells[0].by_class)
    shown = ("as_it_is", "people_on_mean", "no_people", "frozen", "swapped")
    heads = [tag("th", "class"), *(tag("th", model.of(name).condition.says) for name in shown)]
    rows = [
        tag("tr", tag("td", label), [tag("td", _short(model.of(name).by_class[label])) for name in shown])
        for label in names
    ]
    return join(tag("h2", f"Classes, {model.model}"), table(heads, rows, class_="conditions"))


def _short(score: Score) -> str:
    return percent(score.value)


def _protocol(study: BackgroundStudy) -> Html:
    text = (
        f"All models answered the same {study.clips} clips of {study.classes} classes under all conditions. "
        "People stand before the background of a clip of another class, drawn once and for all models alike; "
        "the pairs are in study.json. The class of a background is that clip's: where backgrounds do not go "
        "with classes, the share taken for it is chance. "
        f"The data's mean colour is RGB {study.colour}. Holes beside the people "
        "have the people's shapes: what is lost with them is lost to holes as such. Frozen flow is zero, "
        "flow played backwards changes its sign. The rules of the verdicts stand in docs/explaining.md."
    )
    return join(tag("h2", "How this was measured"), tag("p", text))
