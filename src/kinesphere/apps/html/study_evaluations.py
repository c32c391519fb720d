"""Conditions in a study's report: scores on changed clips and other data, answers to unlabelled ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kinesphere.apps.html.charts import difference_bar, percent, score_bar
from kinesphere.apps.html.study_charts import count_bar, probability
from kinesphere.core.markup import Html, join, lead, table, tag
from kinesphere.studies.evaluations import Evaluated
from kinesphere.studies.expectations import MET, Rule, Shown
from kinesphere.studies.factor_effects import FactorEffect

_LABELS = 8


def evaluations_section(found: Sequence[Evaluated]) -> Html:
    """The section; nothing where nothing was evaluated besides."""
    parts: list[Html] = [_at_a_glance(found)] if found else []
    for name in dict.fromkeys(each.condition for each in found):
        here = [each for each in found if each.condition == name]
        parts.append(tag("h3", name))
        scored = [each for each in here if each.score is not None]
        if scored:
            parts.append(_scores(scored))
            parts += [_factor(each) for each in scored if each.factor is not None]
        parts += [_unlabelled(each) for each in here if each.counts is not None]
        told = [f"{each.cell}: {note}" for each in here for note in each.notes]
        told += [f"{each.cell}: not evaluated. {each.problem}" for each in here if each.problem]
        if told:
            parts.append(tag("ul", [tag("li", text) for text in told]))
    if not parts:
        return Html("")
    text = (
        "What cells do beside their own test. A change is the paired difference to the same clips as they "
        "are, or to those that they repeat, by the first seed, with its 95 % interval."
    )
    return join(tag("h2", "Conditions"), lead(text), parts)


def _at_a_glance(found: Sequence[Evaluated]) -> Html:
    """Scores of all conditions and cells in one table, with what changed beyond chance in colour."""
    names = list(dict.fromkeys(each.cell for each in found))
    by_place = {(each.condition, each.cell): each for each in found if each.score is not None}
    conditions = [
        name
        for name in dict.fromkeys(each.condition for each in found)
        if any((name, cell) in by_place for cell in names)
    ]
    rows = [
        tag("tr", tag("td", name), [_cell(by_place.get((name, cell))) for cell in names])
        for name in conditions
    ]
    heads = [tag("th", "condition"), *(tag("th", name) for name in names)]
    return tag("div", table(heads, rows, class_="conditions"), class_="scroll") if rows else Html("")


def _cell(each: Evaluated | None) -> Html:
    if each is None or each.score is None:
        return tag("td", "–")
    said = f"{100 * each.score.value:.1f} %"
    if each.change is None:
        return tag("td", said)
    change = each.change
    told = "wrong" if change.is_less else "right" if change.is_more else "soft"
    return tag("td", said, " ", tag("span", f"{100 * change.value:+.1f}", class_=told), title=str(change))


def _scores(found: Sequence[Evaluated]) -> Html:
    heads = [tag("th", text) for text in ("cell", "score", "", "change", "", "clips")]
    rows = [
        tag(
            "tr", tag("td", each.cell), tag("td", str(each.score)),
            tag("td", None if each.score is None else score_bar(each.score)),
            tag("td", "–" if each.change is None else str(each.change)),
            tag("td", None if each.change is None else difference_bar(each.change)),
            tag("td", str(each.clips)),
        )
        for each in found
    ]  # fmt: skip
    return tag("div", table(heads, rows, class_="conditions"), class_="scroll")


def _unlabelled(each: Evaluated) -> Html:
    assert each.counts is not None
    parts = [_histogram(each.counts, "group")]
    if each.rules:
        parts.append(_rules(each.rules))
    if each.measured:
        parts.append(_measured(each.measured))
    if each.factor is not None:
        parts.append(_factor(each))
    of = "" if each.recordings == each.clips else f", windows of {each.recordings} recordings"
    summary = tag("summary", f"{each.cell}: {each.clips} clips without labels{of}")
    return tag("details", summary, parts, open=True)


def _factor(each: Evaluated) -> Html:
    """What a factor does, in words, and the answers by its values."""
    assert each.factor is not None
    answers = tag("details", tag("summary", "Answers by value"), _histogram(each.factor.table, "value"))
    return join(tag("p", f"{each.cell}: {factor_sentence(each.factor)}"), answers)


def _measured(found: Mapping[str, Mapping[str, Shown]]) -> Html:
    """What is known to be shown in how many recordings, group by group."""
    rows = [
        tag(
            "tr", tag("td", group if place == 0 else ""), tag("td", name, class_="left"),
            tag("td", count_bar(shown.met, shown.recordings), class_="drawn"),
            tag("td", f"{shown.met} of {shown.recordings}"),
        )
        for group, names in found.items()
        for place, (name, shown) in enumerate(names.items())
    ]  # fmt: skip
    heads = [tag("th", "group"), tag("th", "shown", class_="left"), tag("th", ""), tag("th", "recordings")]
    about = tag("p", "What the data say is shown, whatever was answered.", class_="note")
    return join(tag("div", table(heads, rows, class_="bars"), class_="scroll tall"), about)


def _histogram(counts: Mapping[str, Mapping[str, int]], by: str) -> Html:
    rows = []
    for group, answers in counts.items():
        whole = sum(answers.values())
        for place, (label, count) in enumerate(list(answers.items())[:_LABELS]):
            rows.append(
                tag(
                    "tr", tag("td", group if place == 0 else ""), tag("td", label, class_="left"),
                    tag("td", count_bar(count, whole), class_="drawn"), tag("td", percent(count / whole)),
                )
            )  # fmt: skip
        if len(answers) > _LABELS:
            rows.append(
                tag("tr", tag("td", ""), tag("td", f"and {len(answers) - _LABELS} more", class_="left"))
            )
    heads = [tag("th", by), tag("th", "answer", class_="left"), tag("th", ""), tag("th", "of its clips")]
    return tag("div", table(heads, rows, class_="bars"), class_="scroll tall")


def _rules(found: Sequence[Rule]) -> Html:
    rows = [
        tag(
            "tr", tag("td", rule.group), tag("td", ", ".join(rule.labels), class_="left"),
            tag("td", percent(rule.fraction)),
            tag("td", "–" if rule.elsewhere is None else percent(rule.elsewhere)),
            tag("td", "–" if rule.p is None else probability(rule.p)),
            tag("td", f"{rule.answered} of {rule.recordings}"),
            tag("td", tag("b", "met" if rule.is_met else "not shown")),
        )
        for rule in found
    ]  # fmt: skip
    heads = [
        tag("th", text, class_="left" if text == "expected" else None)
        for text in ("group", "expected", "here", "elsewhere", "p", "recordings with one", "")
    ]
    about = tag(
        "p", "Met: these answers are more frequent than elsewhere, by permutation of recordings.",
        class_="note",
    )  # fmt: skip
    return join(tag("div", table(heads, rows, class_="bars"), class_="scroll"), about)


def factor_sentence(effect: FactorEffect) -> str:
    """What a factor does to answers, in words, and of how many groups it can be told."""
    how = "within groups" if effect.within else "between groups"
    how = "between recordings that show the same" if effect.alike else how
    said = "goes with the answers" if effect.p < MET else "shows no effect on the answers"
    text = (
        f"{effect.factor} ({', '.join(effect.table)}) {said}: Cramér's V {effect.association:.2f}, "
        f"p {probability(effect.p)} by permutation {how}"
    )
    if effect.groups:
        text += f"; {effect.mixed} of {effect.groups} groups hold several values"
    if effect.right is not None:
        right = ", ".join(f"{name} {percent(value)}" for name, value in effect.right.items())
        text += f". Right of {right}"
    return f"{text}."
