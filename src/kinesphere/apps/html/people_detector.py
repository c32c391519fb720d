"""`report.html` of a detector of people's actions: scores, classes, and keyframes with boxes that play."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kinesphere import __version__
from kinesphere.annotations.formats.ava import read_ava, read_label_map
from kinesphere.annotations.keyframe_files import read_ava_keyframes
from kinesphere.apps.html import charts
from kinesphere.apps.html.charts import percent
from kinesphere.apps.html.curves import Curves, read_curves
from kinesphere.apps.html.detector_parts import curves_section, read_report, score_of, skipped_section
from kinesphere.apps.html.keyframes import Seen, keyframes_section, seen_frames
from kinesphere.apps.html.page import Parts, page
from kinesphere.apps.html.parts import boxed, described, meter, sorting_heads
from kinesphere.core.files import write_text
from kinesphere.core.markup import Html, join, lead, table, tag
from kinesphere.predict.files.player import MEDIA, asset

SCORE = "map@0.5"
_WANTED = ("scores", "intervals", "per_class", "counts", "rules", "videos", "skipped", "detector", "chance")


def write_people_html(run: str | Path, *, title: str | None = None) -> Path:
    """Render the report.json, detections.csv, truth.csv and metrics.csv of a folder to its report.html.

    Keyframes are drawn from the videos where they lie, and played from there; without them the page says so.

    Args:
        run: Folder of a run or evaluation of a detector of people's actions.
        title: Title of the page; None takes the folder's name.

    Returns:
        The page's path.

    Raises:
        InvalidSetting: If the report is missing or damaged.
        InvalidAnnotation: If detections or ground truth are.
    """
    folder = Path(run)
    report = read_report(folder / "report.json", _WANTED)
    names = read_label_map(folder / "label_map.pbtxt")
    truth = read_ava_keyframes(folder / "truth.csv", names)
    seen = seen_frames(read_ava(folder / "detections.csv"), truth, names)
    history, target = folder / "metrics.csv", folder / "report.html"
    curves = read_curves(history) if history.is_file() else {}
    write_text(target, render_people(report, seen, curves, title or folder.resolve().name, target))
    return target


def render_people(
    report: Mapping[str, Any], seen: tuple[Seen, ...], curves: Curves, title: str, target: Path
) -> str:
    """The page as text.

    Args:
        report: What `report.json` holds.
        seen: All keyframes with what is done and what was answered.
        curves: Of training, by column.
        title: Headline.
        target: Where the page will lie, from which it finds the videos.
    """
    paths = {name: Path(path) for name, path in report["videos"].items()}
    sections = [
        ("scores", "Score", _scores(report)),
        ("skipped", "Skipped", skipped_section(report)),
        ("training", "Training", curves_section(curves)),
        ("classes", "Classes", _classes(report)),
        ("keyframes", "Keyframes", keyframes_section(seen, paths, target)),
        ("protocol", "Protocol", _protocol(report)),
    ]
    parts = Parts(MEDIA, (asset("player.css"),), (asset("player.js"),))
    where = f"{report['detector']} · people's actions · AVA"
    heading = f"{title}: frame-mAP {score_of(report, SCORE)}"
    return page(title, sections, where=where, heading=heading, version=__version__, parts=parts)


def _scores(report: Mapping[str, Any]) -> Html:
    score, counts = score_of(report, SCORE), report["counts"]
    bounds = f", 95 % interval {score.bounds(' to ')} %" if score.low is not None else ""
    chance = float(report["chance"][SCORE])
    given = (
        f"{counts['frames']:g} keyframes of {counts['videos']:g} videos with {counts['instances']:g} actions"
    )
    told = f"Random scores on the same boxes have {percent(chance)}."
    if score.value <= chance:
        told += " The detector is not above them: it has learnt nothing."
    seen = len(report.get("videos_trained_on", ()))
    flattered = f"Trained on {seen} of these {len(report['videos'])} videos, which flatters the scores."
    return join(
        tag("p", tag("strong", flattered)) if seen else None,
        tag(
            "div",
            tag("strong", percent(score.value)),
            tag("span", f"frame-mAP at IoU 0.5{bounds}"),
            class_="headline",
        ),
        charts.score_scale(score, [(chance, "random scores")]),
        lead(f"On {given}, boxes {report.get('boxes', 'as given')}. {told}"),
    )


def _classes(report: Mapping[str, Any]) -> Html:
    rows = report["per_class"]
    ap = "ap@0.5" if all("ap@0.5" in row for row in rows.values()) else "ap"
    body = [
        tag(
            "tr",
            tag("td", label, data_value=label, title=label),
            tag("td", str(row["instances"]), data_value=row["instances"]),
            meter(row[ap], row[ap] < 0.5),
        )
        for label, row in sorted(rows.items(), key=lambda item: -item[1][ap])
    ]
    heads = sorting_heads(("class", "instances", "AP"), "AP")
    text = "Average precision at IoU 0.5, best first. A column's name sorts by it."
    return join(tag("h2", "Classes"), lead(text), boxed(table(heads, body, data_sortable=True), len(body)))


def _protocol(report: Mapping[str, Any]) -> Html:
    counts = [f"{value:g} {name.replace('_', ' ')}" for name, value in report["counts"].items() if value]
    rows = [
        ("Protocol", "AVA: average precision of boxes with actions, IoU 0.5, classes weigh the same"),
        ("Detector", str(report["detector"])),
        ("Classes", ", ".join(report.get("classes", ()))),
        ("Boxes", str(report.get("boxes", ""))),
        ("Counted", ", ".join(counts)),
        ("Intervals", "95 %; videos count as independent"),
    ]
    rules = tag("ul", [tag("li", rule) for rule in report["rules"]], class_="files")
    return join(tag("h2", "How this was measured"), described(rows), rules)
