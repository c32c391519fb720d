"""`report.html` of a study: all cells in one table, pairs of them, classes, mistakes, curves and costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kinesphere import __version__
from kinesphere.apps.html import charts
from kinesphere.apps.html.charts import difference_bar, percent, score_bar
from kinesphere.apps.html.curves import chosen, read_curves
from kinesphere.apps.html.examples import Example, FindPoses, choose_examples, with_frames
from kinesphere.apps.html.page import page
from kinesphere.apps.html.study_charts import probability
from kinesphere.apps.html.study_classes import always_and_never, class_bars, scarce_classes
from kinesphere.apps.html.study_evaluations import evaluations_section
from kinesphere.core.markup import Html, join, jpeg, lead, left_out, table, tag
from kinesphere.evaluate.metrics import score_name
from kinesphere.studies.evaluations import Evaluated
from kinesphere.studies.results import FILE_NAME, CellResult, StudyReport
from kinesphere.studies.tested import CORRECTION, Pair
from kinesphere.train.run_folder import RunFiles

_LISTED = 100
_CONFUSED = 12
_CURVES = 12
_EXAMPLES = 4
# Beside the primary score, those that people of the field report.
_TABLED = (
    "top1", "top2", "top3", "map", "mean_class_accuracy", "parent_top1", "macro_f1", "quadratic_kappa",
    "grade_mae",
)  # fmt: skip


def render_study(
    report: StudyReport, evaluated: Sequence[Evaluated] = (), poses: FindPoses | None = None
) -> str:
    """The page as text.

    Args:
        report: What was found.
        evaluated: Cells under conditions beside their own test.
        poses: Finds the skeletons that the best cell saw of a video, for its examples.
    """
    cells = report.cells
    sections = [
        ("cells", "Cells", _cells(report)),
        ("pairs", "Pairs", _pairs(report)),
        ("classes", "Classes", class_bars(report)),
        ("extremes", "Always, never", always_and_never(cells)),
        ("scarce", "Scarce classes", scarce_classes(report)),
        ("validation", "Validation and test", _validation(cells)),
        ("confusions", "Confusions", _confusions(cells)),
        ("evaluations", "Conditions", evaluations_section(evaluated)),
        ("drawn", "Drawn settings", _drawn(report)),
        ("curves", "Curves", _curves(cells)),
        ("cost", "Cost", _cost(cells)),
        ("examples", "Examples", _examples(cells, poses)),
        ("failed", "Failed", _failed(report)),
        ("protocol", "Protocol", _protocol(report)),
    ]
    runs = sum(len(cell.seeds) for cell in cells)
    where = f"study · {len(cells)} cells · {runs} runs"
    return page(report.name, sections, where=where, heading=f"Study {report.name}", version=__version__)


def _scrolled(body: Html) -> Html:
    return tag("div", body, class_="scroll")


def _cells(report: StudyReport) -> Html:
    if not report.cells:
        return join(tag("h2", "Cells"), lead("No cell is finished."))
    names = [name for name in _TABLED if any(name in cell.scores for cell in report.cells)]
    heads = [
        tag("th", text, class_="left" if i == 0 else None)
        for i, text in enumerate(("cell", *(score_name(name) for name in names), "over seeds", "clips"))
    ]
    primary = report.cells[0].primary
    rows = [_cell(cell, names) for cell in sorted(report.cells, key=lambda cell: -cell.score.value)]
    text = (
        f"The best by {score_name(primary)} first, each the mean over {len(report.seeds)} seeds, with 95 % "
        "intervals over groups of test clips; beside them the standard deviation over seeds, which the "
        "intervals do not hold."
    )
    return join(tag("h2", "Cells"), lead(text), _scrolled(table(heads, rows, class_="conditions")))


def _cell(cell: CellResult, names: Sequence[str]) -> Html:
    spread = cell.spread.get(cell.primary)
    told = "" if cell.is_tested else " (on validation; its test stays closed)"
    drawn = tag("small", f" {cell.draw}") if cell.draw else None
    return tag(
        "tr",
        tag("td", cell.name + told, drawn, title=cell.name),
        [
            tag("td", str(cell.scores[name]), score_bar(cell.scores[name]) if name == cell.primary else None)
            if name in cell.scores
            else tag("td", "–")
            for name in names
        ],
        tag("td", "–" if spread is None else f"± {100 * spread:.1f}"),
        tag("td", str(cell.first.report.clips)),
    )


def _pairs(report: StudyReport) -> Html:
    if not report.pairs and not report.apart:
        return Html("")
    heads = [
        tag("th", text)
        for text in ("pair", "second less first", "", "p", "corrected", "only first", "only second", "clips")
    ]
    rows = [_pair(pair) for pair in sorted(report.pairs, key=lambda pair: pair.corrected)]
    shown = _scrolled(table(heads, rows, class_="conditions")) if rows else Html("")
    apart = [tag("li", text) for text in report.apart[:_LISTED]]
    rest = join(tag("h3", "Not compared"), tag("ul", apart)) if apart else None
    text = (
        "Cells on the same clips: how much oftener the second is right, with its paired 95 % interval over "
        f"groups. {CORRECTION}"
    )
    return join(tag("h2", "Pairs"), lead(text), shown, rest)


def _pair(pair: Pair) -> Html:
    return tag(
        "tr",
        tag("td", f"{pair.first} → {pair.second} ", tag("small", pair.verdict(), class_="below")),
        tag("td", str(pair.difference)),
        tag("td", difference_bar(pair.difference)),
        tag("td", probability(pair.p)),
        tag("td", tag("b", probability(pair.corrected))),
        tag("td", f"{pair.only_first:.4g}"),
        tag("td", f"{pair.only_second:.4g}"),
        tag("td", f"{pair.clips} in {pair.groups} groups"),
    )


def _validation(cells: Sequence[CellResult]) -> Html:
    known = [cell for cell in cells if cell.validation is not None and cell.is_tested]
    if not known:
        return Html("")
    heads = [tag("th", text) for text in ("cell", "validation", "test", "gap", "", "validation clips")]
    rows = []
    for cell in known:
        assert cell.validation is not None
        gap = cell.validation - cell.score.value
        rows.append(
            tag(
                "tr",
                tag("td", cell.name),
                tag("td", percent(cell.validation)),
                tag("td", str(cell.score)),
                tag("td", f"{100 * gap:+.1f} points"),
                tag("td", f"test is {'worse' if gap > 0 else 'better'}" if abs(gap) >= 0.0005 else "alike"),
                tag("td", str(cell.seeds[0].validation_clips)),
            )
        )
    text = (
        "The gap is validation less test. Validation chose the epoch, so it flatters; a large gap also comes "
        "of few validation clips, or of performers in training who look like those of validation."
    )
    body = _scrolled(table(heads, rows, class_="conditions"))
    return join(tag("h2", "Validation and test"), lead(text), body)


def _confusions(cells: Sequence[CellResult]) -> Html:
    parts: list[Html] = []
    for cell in cells:
        found = cell.confusions
        if not found.clips:
            continue
        rows = [
            tag(
                "tr", tag("td", each.true), tag("td", each.predicted, class_="left"),
                tag("td", str(each.count)), tag("td", percent(each.count / each.of)),
            )
            for each in found.ranked[:_CONFUSED]
        ]  # fmt: skip
        heads = [
            tag("th", text, class_=style)
            for text, style in (
                ("is", None),
                ("taken for", "left"),
                ("answers", None),
                ("of the class", None),
            )
        ]
        told = []
        if found.never_predicted:
            told.append(f"Never the answer though expected: {', '.join(found.never_predicted)}.")
        if found.outside is not None:
            fraction = percent(found.outside / found.clips)
            told.append(f"{found.outside} of {found.clips} answers ({fraction}) are outside of the family.")
        shown = (
            _scrolled(table(heads, rows, class_="pairs"))
            if rows
            else tag("p", "No class is taken for another.")
        )
        parts.append(
            tag("details", tag("summary", cell.name), [tag("p", each) for each in told], shown,
                open=len(cells) <= 2)
        )  # fmt: skip
    text = "Which classes are taken for which, the most frequent mistake first, over all seeds."
    return join(tag("h2", "Confusions"), lead(text), parts) if parts else Html("")


def _drawn(report: StudyReport) -> Html:
    if not report.choices:
        return Html("")
    parts: list[Html] = []
    for choice in report.choices:
        ranked = sorted(choice.scores.items(), key=lambda item: -item[1])
        rows = [
            tag(
                "tr",
                tag("td", name),
                tag("td", percent(score)),
                tag("td", "chosen" if name == choice.draw else ""),
            )
            for name, score in ranked[:_LISTED]
        ]
        heads = [tag("th", text) for text in ("draw", f"validation {score_name(choice.score)}", "")]
        parts += [tag("h3", choice.cell), table(heads, rows)]
        if choice.before:
            names = ", ".join(choice.before)
            parts.append(tag("p", tag("strong", f"The test had been opened before, for {names}.")))
    text = (
        "Settings were drawn for each cell and held against each other on validation clips alone. The test "
        "was scored once, for those chosen; scores of the others on it exist nowhere."
    )
    return join(tag("h2", "Drawn settings"), lead(text), parts)


def _curves(cells: Sequence[CellResult]) -> Html:
    figures = []
    for cell in cells[:_CURVES]:
        path = RunFiles(cell.first.folder).metrics
        curves = read_curves(path) if path.is_file() else {}
        tops = chosen(curves, {"train_top1": "training", "val_top1": "validation"})
        losses = chosen(curves, {"train_loss": "training", "val_loss": "validation"})
        if tops:
            figures.append(
                charts.line_chart(
                    tops, title=f"{cell.name}: top-1", show=lambda v: f"{100 * v:.0f} %", top=1.0
                )
            )
        if losses:
            figures.append(charts.line_chart(losses, title=f"{cell.name}: loss", show=lambda v: f"{v:.3g}"))
    if not figures:
        return Html("")
    more = f" The first {_CURVES} cells are shown." if len(cells) > _CURVES else ""
    return join(
        tag("h2", "Learning curves"), lead(f"By epoch, of each cell's first seed.{more}"),
        tag("div", figures, class_="charts"),
    )  # fmt: skip


def _cost(cells: Sequence[CellResult]) -> Html:
    known = [(cell, cost) for cell in cells if (cost := cell.cost) is not None]
    if not known:
        return Html("")
    heads = [tag("th", text) for text in ("cell", "training", "parameters", "multiply-adds of a view")]
    rows = [
        tag(
            "tr", tag("td", cell.name), tag("td", _duration(cost.seconds)),
            tag("td", _large(cost.parameters)),
            tag("td", "–" if cost.multiply_adds is None else _large(cost.multiply_adds)),
        )
        for cell, cost in known
    ]  # fmt: skip
    text = "Time of training by the mean over seeds, on the machine that trained it."
    return join(tag("h2", "Cost"), lead(text), _scrolled(table(heads, rows, class_="conditions")))


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _large(number: int) -> str:
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)


def _examples(cells: Sequence[CellResult], poses: FindPoses | None) -> Html:
    tested = [cell for cell in cells if cell.is_tested]
    if not tested:
        return Html("")
    best = max(tested, key=lambda cell: cell.score.value)
    shown = [with_frames(each, poses=poses) for each in choose_examples(best.first.answers, _EXAMPLES)]
    parts: list[Html] = []
    for kind, heading in (("right", "Right and sure"), ("wrong", "Wrong and sure")):
        cards = [_example(each) for each in shown if each.kind == kind]
        if cards:
            parts.append(join(tag("h3", heading), tag("div", cards, class_="examples")))
    text = f"Of {best.name}, the best cell, first seed. Each run's own report shows its own."
    return join(tag("h2", "Best and worst examples"), lead(text), parts)


def _example(example: Example) -> Html:
    frames = [jpeg(file) for file in example.frames]
    problem = tag("p", f"No frames: {example.problem}") if not frames else None
    answer = tag("span", f"{example.answer} {percent(example.probability)}", class_="verdict")
    truth = join(", is ", tag("b", example.truth)) if example.kind == "wrong" else None
    caption = tag("p", answer, truth, tag("small", Path(example.path).name))
    return tag(
        "figure", tag("div", frames, problem, class_="strip"), caption, class_=f"example {example.kind}"
    )


def _failed(report: StudyReport) -> Html:
    lines = [f"{each['cell']}, seed {each['seed']}: {each['reason']}" for each in report.failed]
    return left_out(lines, where=FILE_NAME, most=_LISTED, unit="runs, which failed")


def _protocol(report: StudyReport) -> Html:
    notes = dict.fromkeys(note for cell in report.cells for note in cell.first.report.notes)
    seeds = ", ".join(map(str, report.seeds))
    text = (
        f"Every cell was trained with the seeds {seeds} and lies below cells/, a run folder for each seed. "
        "Scores are means over seeds, and so is what pairs compare clip by clip. An interval of a mean has "
        "the means of the seeds' own ends: seeds share their test clips, so their mean is as uncertain as "
        "one of them at most. Top-2 and top-3 count a clip whose true class is among the first two or three."
    )
    return join(tag("h2", "How this was measured"), tag("p", text), [tag("p", note) for note in notes])
