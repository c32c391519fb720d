"""Conditions in a study's report: scores on changed clips and other data, answers to unlabelled ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kinesphere.apps.html.charts import difference_bar, percent, score_bar
from kinesphere.apps.html.study_charts import count_bar, probability
from kinesphere.core.markup import Html, join, lead, table, tag
from kinesphere.studies.evaluations import Evaluated
from kinesphere.studies.expectations import FactorEffect, Rule

_LABELS = 8


def evaluations_section(found: Sequence[Evaluated]) -> Html:
    """The section; nothing where nothing was evaluated besides."""
    parts: list[Html] = []
    for name in dict.fromkeys(each.condition for each in found):
        here = [each for each in found if each.condition == name]
        parts.append(tag("h3", name))
        scored = [each for each in here if each.score is not None]
        if scored:
            parts.append(_scores(scored))
        parts += [_unlabelled(each) for each in here if each.counts is not None]
        told = [f"{each.cell}: {note}" for each in here for note in each.notes]
        told += [f"{each.cell}: not evaluated. {each.problem}" for each in here if each.problem]
        if told:
            parts.append(tag("ul", [tag("li", text) for text in told]))
    if not parts:
        return Html("")
    text = (
        "What cells do beside their own test. A change is the paired difference to the same clips as they "
        "are, by the first seed, with its 95 % interval."
    )
    return join(tag("h2", "Conditions"), lead(text), parts)


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
    parts = [_histogram(each.counts)]
    if each.rules:
        parts.append(_rules(each.rules))
    if each.factor is not None:
        parts.append(tag("p", factor_sentence(each.factor)))
    return tag("details", tag("summary", f"{each.cell}: {each.clips} clips without labels"), parts, open=True)


def _histogram(counts: Mapping[str, Mapping[str, int]]) -> Html:
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
    heads = [tag("th", "group"), tag("th", "answer", class_="left"), tag("th", ""), tag("th", "of its clips")]
    return tag("div", table(heads, rows, class_="bars"), class_="scroll tall")


def _rules(found: Sequence[Rule]) -> Html:
    rows = [
        tag(
            "tr", tag("td", rule.group), tag("td", ", ".join(rule.labels), class_="left"),
            tag("td", percent(rule.fraction)),
            tag("td", "–" if rule.elsewhere is None else percent(rule.elsewhere)),
            tag("td", "–" if rule.p is None else probability(rule.p)),
            tag("td", tag("b", "met" if rule.is_met else "not shown")),
        )
        for rule in found
    ]  # fmt: skip
    heads = [
        tag("th", text, class_="left" if text == "expected" else None)
        for text in ("group", "expected", "here", "elsewhere", "p", "")
    ]
    about = tag(
        "p", "Met: these answers are more frequent than elsewhere, by permutation of recordings.",
        class_="note",
    )  # fmt: skip
    return join(tag("div", table(heads, rows, class_="bars"), class_="scroll"), about)


def factor_sentence(effect: FactorEffect) -> str:
    """What a factor does to answers, in words."""
    how = "within groups" if effect.within else "between groups"
    said = "goes with the answers" if effect.p < 0.05 else "shows no effect on the answers"
    return (
        f"{effect.factor} ({', '.join(effect.table)}) {said}: Cramér's V {effect.association:.2f}, "
        f"p {probability(effect.p)} by permutation {how}."
    )
