"""`report.html`: a report that one reads, in one file that needs no network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kinesphere.apps.html import charts
from kinesphere.apps.html.charts import percent
from kinesphere.apps.html.curves import Curves, chosen, read_curves
from kinesphere.apps.html.examples import Example, FindPoses, choose_examples, with_frames
from kinesphere.apps.html.explained import Explain
from kinesphere.apps.html.label_groups import families_section, frequency_section
from kinesphere.apps.html.mistakes import FILE_NAME, Mistake, find_mistakes, mistakes_section, write_mistakes
from kinesphere.apps.html.page import page
from kinesphere.apps.html.parts import boxed, described, listed_files, meter, sorting_heads, tile
from kinesphere.core.files import write_text
from kinesphere.core.markup import Html, join, jpeg, lead, table, tag
from kinesphere.evaluate.metrics import ClassScore, Score, lower_is_better, score_name
from kinesphere.evaluate.predictions import FILE_NAME as PREDICTIONS
from kinesphere.evaluate.predictions import Predictions
from kinesphere.evaluate.report import Report

if TYPE_CHECKING:
    from kinesphere.explain.render.strips import Strips

_THOUSANDS = re.compile(r"(?<=\d) (?=\d{3}\b)")


def write_report_html(
    run: str | Path,
    *,
    examples: int = 4,
    title: str | None = None,
    poses: FindPoses | None = None,
    explained: Explain | None = None,
) -> Path:
    """Render a run folder's report.json, metrics.csv and predictions.parquet to its report.html.

    Beside the page lies mistakes.csv with all clips that were answered wrongly.

    Args:
        run: Folder that holds at least report.json. Without metrics.csv the page shows no curves,
            without predictions.parquet no examples.
        examples: Number of right and of wrong answers that are shown with frames.
        title: Title of the page; None takes the folder's name.
        poses: Finds the skeletons that the model saw of a video, which are drawn into its examples.
        explained: Adds what the answers rest on to the examples (see `explainer`).

    Returns:
        The page's path.

    Raises:
        InvalidSetting: If one of the files is damaged or report.json is missing.
    """
    folder = Path(run)
    report = Report.read(folder / "report.json")
    history, table = folder / "metrics.csv", folder / PREDICTIONS
    curves = read_curves(history) if history.is_file() else {}
    predictions = Predictions.read(table) if table.is_file() else None
    picks = choose_examples(predictions, examples) if predictions is not None else []
    mistakes = find_mistakes(predictions) if predictions is not None else None
    if mistakes is not None:
        write_mistakes(mistakes, folder / FILE_NAME)
    shown = [with_frames(pick, poses=poses) for pick in picks]
    text = render_report(
        report,
        curves=curves,
        examples=shown if explained is None else [explained(each) for each in shown],
        mistakes=mistakes,
        title=title or folder.resolve().name,
    )
    target = folder / "report.html"
    write_text(target, text)
    return target


def render_report(
    report: Report,
    *,
    curves: Curves | None = None,
    examples: Sequence[Example] = (),
    mistakes: list[Mistake] | None = None,
    title: str = "",
) -> str:
    """The page as text.

    Args:
        report: What was measured.
        curves: Training curves by column name; the page knows those that a run writes.
        examples: Clips with their frames.
        mistakes: All clips that were answered wrongly, if that is known.
        title: Headline; by default the model's name.
    """
    sections = [
        ("scores", "Score", join(_notes(report), _scores(report))),
        ("skipped", "Skipped", _skipped(report)),
        ("folds", "Folds", _folds(report)),
        ("training", "Training", _curves(curves or {})),
        ("confusion", "Confusions", _confusion(report)),
        ("families", "Families", families_section(report)),
        ("classes", "Classes", _classes(report)),
        ("frequency", "Frequency", frequency_section(report)),
        ("calibration", "Calibration", _calibration(report)),
        ("examples", "Examples", _examples(examples)),
        ("mistakes", "Wrong clips", mistakes_section(mistakes)),
        ("protocol", "Protocol", _protocol(report)),
    ]
    where = " · ".join(
        filter(None, (report.environment.model, report.protocol.dataset, report.protocol.split))
    )
    title = title or report.environment.model
    return page(
        title, sections, where=where, heading=f"{title}: {report.line()}", version=report.environment.version
    )


def _notes(report: Report) -> Html:
    """What a reader of the scores must know, before them."""
    return join(tag("p", tag("strong", note)) for note in report.notes)


def _scores(report: Report) -> Html:
    name, score = report.primary
    marks = [] if report.labels.multi else _baselines(report)
    level = f"{100 * report.intervals.level:g} %"
    bounds = None
    if score.low is not None and score.high is not None:
        bounds = f"{score_name(name)}, {level} interval {score.bounds(' to ')} %"
    return join(
        tag(
            "div",
            tag("strong", percent(score.value)),
            tag("span", bounds or score_name(name)),
            class_="headline",
        ),
        charts.score_scale(score, marks),
        lead(_THOUSANDS.sub("\u00a0", report.line())),
        tag(
            "div",
            [
                tile(score_name(key), other, lower=lower_is_better(key))
                for key, other in report.scores.items()
                if key != name
            ],
            class_="tiles",
        ),
    )


def _baselines(report: Report) -> list[tuple[float, str]]:
    """Scores that need no model, unless they are too close together to be told apart."""
    chance, majority = 1 / len(report.labels), report.majority
    if majority - chance < 0.1:
        return [(majority, "always the largest class")]
    return [(chance, "chance"), (majority, "always the largest class")]


def _skipped(report: Report) -> Html:
    parts = []
    if report.skipped:
        total = report.clips + len(report.skipped)
        text = (
            f"{len(report.skipped)} of {total} clips could not be scored. "
            "They count neither for nor against the model."
        )
        parts += [lead(text), listed_files(report.skipped)]
    if report.damaged:
        count = len(report.damaged)
        are = "clip is damaged and was" if count == 1 else "clips are damaged and were"
        text = f"{count} {are} scored from what could be read."
        parts += [lead(text), listed_files(report.damaged)]
    return join(tag("h2", "Skipped and damaged"), parts) if parts else Html("")


def _folds(report: Report) -> Html:
    if not report.folds:
        return Html("")
    values = [fold.value for fold in report.folds]
    mean = float(np.mean(values))
    rows = [
        tag(
            "tr",
            tag("td", fold.name),
            tag("td", str(fold.clips)),
            meter(fold.value, fold.value < mean - 0.1),
        )
        for fold in report.folds
    ]
    heads = [tag("th", name) for name in ("held out", "clips", score_name(report.primary[0]))]
    spread = (
        f"Their mean is {percent(mean)}; they lie between {percent(min(values))} and {percent(max(values))}."
    )
    return join(
        tag("h2", "Folds"),
        lead(f"Each clip was scored once, by a model that had not seen its fold. {spread}"),
        boxed(table(heads, rows), len(rows)),
    )


def _curves(curves: Curves) -> Html:
    figures = []
    if losses := chosen(curves, {"train_loss": "training", "val_loss": "validation"}):
        figures.append(charts.line_chart(losses, title="Loss", show=lambda v: f"{v:.3g}"))
    if tops := chosen(curves, {"train_top1": "training", "val_top1": "validation"}):
        figures.append(charts.line_chart(tops, title="Top-1", show=lambda v: f"{100 * v:.0f} %", top=1.0))
    if rates := chosen(curves, {"lr": "highest of the groups"}):
        figures.append(charts.line_chart(rates, title="Learning rate", show=lambda v: f"{v:.2g}"))
    if not figures:
        return Html("")
    return join(tag("h2", "Training"), lead("By epoch."), tag("div", figures, class_="charts"))


def _confusion(report: Report) -> Html:
    if report.confusion is None:
        return Html("")
    pairs = report.confused_pairs(12)
    support = {row.label: row.support for row in report.classes}
    rows = [
        tag(
            "tr",
            tag("td", true),
            tag("td", given, class_="left"),
            tag("td", str(count)),
            tag("td", percent(count / support[true])),
        )
        for true, given, count in pairs
    ]
    names = {"was": None, "called": "left", "clips": None, "of its class": None}
    heads = [tag("th", name, class_=style) for name, style in names.items()]
    key = lead(
        "Rows are the true classes, columns the model's answers: ",
        tag("span", class_="swatch right"), "right, ",
        tag("span", class_="swatch wrong"), "wrong; the stronger, the larger the share of the row.",
    )  # fmt: skip
    mistakes = lead("There was no mistake.")
    if rows:
        listed = boxed(table(heads, rows, class_="pairs"), len(rows))
        mistakes = join(tag("h3", "Most frequent mistakes"), listed)
    return join(
        tag("h2", "Confusions"), key, charts.confusion(report.confusion, report.labels.names), mistakes
    )


def _classes(report: Report) -> Html:
    multi, kept = report.labels.multi, report.labels.ordered
    sorted_by = None if kept else "F1"
    names = ["class", "clips", "precision", "recall", *(["average precision"] if multi else []), "F1"]
    heads = sorting_heads(names, sorted_by, wide=("precision", "recall"))
    ordered = list(report.classes) if kept else sorted(report.classes, key=_worse)
    rows = [_class_row(row, multi) for row in ordered]
    absent = sum(row.support == 0 for row in report.classes)
    last = "" if kept else " and come last"
    note = f" {absent} of the {len(report.classes)} classes do not occur here{last}." if absent else ""
    order = "In the order that the recipe states." if kept else "Best first by F1."
    text = f"{order} F1 is the harmonic mean of precision and recall. A column's name sorts by it.{note}"
    listed = boxed(table(heads, rows, data_sortable=True), len(rows))
    return join(tag("h2", "Classes"), lead(text), listed)


def _worse(row: ClassScore) -> float:
    return -row.f1 if row.support and row.f1 is not None else 2.0


def _class_row(row: ClassScore, multi: bool) -> Html:
    def cell(value: float | None, wide: bool = False) -> Html:
        known = row.support and value is not None
        text = percent(value) if known and value is not None else "–"
        return tag("td", text, data_value=value if known else -1, class_="wide" if wide else None)

    return tag(
        "tr",
        tag("td", row.label, data_value=row.label, title=row.label),
        tag("td", str(row.support), data_value=row.support),
        cell(row.precision, wide=True),
        _recall(row),
        cell(row.average_precision) if multi else None,
        meter(row.f1, row.f1 < 0.5) if row.support else tag("td", "–", data_value=-1, class_="absent"),
    )


def _recall(row: ClassScore) -> Html:
    if not row.support:
        return tag("td", "–", data_value=-1, class_="wide")
    known = row.recall_low is not None and row.recall_high is not None
    text = str(Score(row.recall, row.recall_low, row.recall_high)) if known else percent(row.recall)
    return tag("td", text, data_value=row.recall, class_="wide")


def _calibration(report: Report) -> Html:
    bins = report.calibration
    counts = np.array(bins.counts, dtype=np.float64)
    surplus = float((counts * (np.array(bins.confidence) - np.array(bins.accuracy))).sum() / counts.sum())
    if abs(surplus) < 0.01:
        verdict = "On average the model is as sure as it is right."
    else:
        sense = "surer" if surplus > 0 else "less sure"
        verdict = f"On average the model is {100 * abs(surplus):.1f} points {sense} than it is right."
    what = "each label's probability" if report.labels.multi else "the probability of the answer"
    ece = percent(report.scores["ece"].value)
    error = f"The expected calibration error over {len(bins.counts)} bins is {ece}."
    text = join(
        lead(f"Confidence is {what}. Could it be taken at its word, every column would end on the dashed "
            "line. Outlined parts are the difference: ",
            tag("span", class_="swatch over"), "promised and not kept, ",
            tag("span", class_="swatch under"), "right more often than promised. The columns that hang below "
            "count the answers."),
        lead(f"{verdict} {error}"),
    )  # fmt: skip
    return join(
        tag("h2", "Calibration"), tag("div", charts.reliability(bins), tag("div", text), class_="split")
    )


def _examples(examples: Sequence[Example]) -> Html:
    if not examples:
        return Html("")
    parts = []
    for kind, heading in (("right", "Right and sure"), ("wrong", "Wrong and sure")):
        cards = [_example(each) for each in examples if each.kind == kind]
        if cards:
            parts.append(join(tag("h3", heading), tag("div", cards, class_="examples")))
    return join(tag("h2", "Examples"), parts)


def _example(example: Example) -> Html:
    frames = [jpeg(file) for file in example.frames]
    problem = tag("p", f"No frames: {example.problem}") if not frames else None
    span = f", {example.span[0]:.1f} to {example.span[1]:.1f} s" if example.span else ""
    answer = tag("span", f"{example.answer} {percent(example.probability)}", class_="verdict")
    truth = None
    if example.kind == "wrong":
        truth = join(", was ", tag("b", example.truth), f" ({percent(example.truth_probability)})")
    return tag(
        "figure",
        tag("div", frames, problem, class_="strip"),
        [_heat(each) for each in example.heats],
        tag("p", tag("small", example.agreement)) if example.agreement else None,
        tag("p", answer, truth, tag("small", Path(example.path).name + span)),
        class_=f"example {example.kind}",
    )


def _heat(strips: Strips) -> Html:
    frames = [jpeg(file) for file in strips.frames]
    return join(
        tag("div", frames, class_="strip") if frames else None,
        tag("p", tag("small", f"Heat: {strips.caption}")),
    )


def _pooled(views: str) -> str:
    return "largest probabilities" if views.endswith("max") else "probabilities averaged"


def _protocol(report: Report) -> Html:
    protocol, environment = report.protocol, report.environment
    rows = [
        ("Data", protocol.dataset),
        ("Split", protocol.split or "all of it"),
        ("Fingerprint", protocol.fingerprint),
        ("Views", f"{protocol.views.removesuffix('max')} (clips × crops), {_pooled(protocol.views)}"),
        ("Sampling", ", ".join(protocol.sampling)),
        ("Background", "as filmed" if protocol.background == "keep" else protocol.background),
        ("Intervals", report.intervals.sentence()),
        ("Model", environment.model),
        ("Computed on", f"{environment.device}, {environment.precision}, torch {environment.torch}"),
        ("Date", environment.date),
    ]
    return join(tag("h2", "How this was measured"), described(rows))
