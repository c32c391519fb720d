"""`report.html` of a detector of actions: scores, errors, videos, and timelines that play."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from kinesphere import __version__
from kinesphere.annotations.timed import TimedLabels
from kinesphere.annotations.timed_files import read_timed
from kinesphere.apps.html import charts
from kinesphere.apps.html.charts import percent
from kinesphere.apps.html.curves import Curves, read_curves
from kinesphere.apps.html.detected import Videos, timelines_section, videos_section
from kinesphere.apps.html.detector_parts import curves_section, read_report, score_of, skipped_section
from kinesphere.apps.html.error_charts import errors_section
from kinesphere.apps.html.page import Parts, page
from kinesphere.apps.html.parts import boxed, described, meter, sorting_heads, tile
from kinesphere.core.files import write_text
from kinesphere.core.markup import Html, join, lead, table, tag
from kinesphere.evaluate.files.detection_errors import errors_of
from kinesphere.evaluate.files.detections import TemporalProtocol, hold
from kinesphere.evaluate.metrics.detected_videos import operating_point, video_scores
from kinesphere.predict.files.player import MEDIA, asset

_PROTOCOLS = {"thumos14": "THUMOS14", "activitynet": "ActivityNet"}


def write_localiser_html(run: str | Path, *, title: str | None = None) -> Path:
    """Render the report.json, detections.json, truth.json and metrics.csv of a folder to its report.html.

    Videos are played from where they lie; without them the page has their timelines alone, and says so.

    Args:
        run: Folder of a detector's run or evaluation. Without metrics.csv the page shows no curve.
        title: Title of the page; None takes the folder's name.

    Returns:
        The page's path.

    Raises:
        InvalidSetting: If the report is missing or damaged.
        InvalidAnnotation: If detections or ground truth are.
    """
    folder = Path(run)
    report = read_report(folder / "report.json", _WANTED)
    history, target = folder / "metrics.csv", folder / "report.html"
    curves = read_curves(history) if history.is_file() else {}
    found, truth = read_timed(folder / "detections.json"), read_timed(folder / "truth.json")
    name = title or folder.resolve().name
    write_text(target, render_localiser(report, found, truth, curves=curves, title=name, target=target))
    return target


_WANTED = ("scores", "intervals", "per_class", "counts", "rules", "videos", "skipped", "detector")


def render_localiser(
    report: Mapping[str, Any],
    found: TimedLabels,
    truth: TimedLabels,
    *,
    curves: Curves,
    title: str,
    target: Path,
) -> str:
    """The page as text.

    Args:
        report: What `report.json` holds.
        found: Detections.
        truth: What happens in the videos.
        curves: Of training, by column.
        title: Headline.
        target: Where the page will lie, from which it finds the videos.
    """
    protocol = cast("TemporalProtocol", report["protocol"])
    held = hold(found, truth)
    errors = errors_of(held, protocol)
    point = operating_point(errors)
    videos = Videos(
        tuple(dict.fromkeys((*held.truth.videos, *held.parts.unknown_videos))),
        {name: Path(path) for name, path in report["videos"].items()},
        tuple(each for each in held.parts.kept if each.label in held.classes),
        truth,
        errors,
        point,
        video_scores(errors, point),
    )
    sections = [
        ("scores", "Score", join(_notes(report), _scores(report))),
        ("skipped", "Skipped", skipped_section(report)),
        ("training", "Training", curves_section(curves)),
        ("classes", "Classes", _classes(report)),
        ("errors", "Errors", errors_section(errors)),
        ("videos", "Videos", videos_section(videos)),
        ("timelines", "Timelines", timelines_section(videos, target)),
        ("protocol", "Protocol", _protocol(report)),
    ]
    parts = Parts(MEDIA, (asset("player.css"),), (asset("player.js"),))
    where = f"{report['detector']} · temporal localisation · {_PROTOCOLS.get(protocol, protocol)}"
    return page(
        title, sections, where=where, heading=f"{title}: mAP {score_of(report, 'map')}", version=__version__,
        parts=parts,
    )  # fmt: skip


def _title(name: str) -> str:
    return name.replace("map", "mAP at tIoU ", 1).replace("@", "")


def _range(report: Mapping[str, Any]) -> str:
    """The overlaps that mAP is averaged over, as people write them."""
    at = [name.partition("@")[2] for name in report["scores"] if name.startswith("map@")]
    return f"tIoU {at[0]} to {at[-1]}" if len(at) > 1 else f"tIoU {at[0]}"


def _notes(report: Mapping[str, Any]) -> Html:
    """What a reader of the scores must know, before them."""
    seen, notes = report.get("videos_trained_on", ()), []
    if seen:
        notes.append(
            f"Trained on {len(seen)} of these {len(report['videos'])} videos, which flatters the scores."
        )
    if external := report.get("external"):
        notes.append(external["note"])
    return join(tag("p", tag("strong", note)) for note in notes)


def _scores(report: Mapping[str, Any]) -> Html:
    score, counts = score_of(report, "map"), report["counts"]
    bounds = f", 95 % interval {score.bounds(' to ')} %" if score.low is not None else ""
    baseline = report.get("baseline")
    marks = []
    if baseline is not None:
        marks.append((float(baseline["scores"]["map"]), "baseline"))
    without = report.get("external", {}).get("without")
    if without is not None:
        marks.append((float(without["scores"]["map"]), "without the classifier"))
    given = (f"{counts['videos']:g} videos with {counts['instances']:g} instances, "
             f"{counts['detections_scored']:g} detections")  # fmt: skip
    tiles = [
        tile(_title(name), score_of(report, name)) for name in report["scores"] if name != "map"
    ]  # fmt: skip
    return join(
        tag(
            "div",
            tag("strong", percent(score.value)),
            tag("span", f"mAP over {_range(report)}{bounds}"),
            class_="headline",
        ),
        charts.score_scale(score, sorted(marks)),
        lead(f"On {given}. {_beside(report)}"),
        tag("div", tiles, class_="tiles"),
    )


def _beside(report: Mapping[str, Any]) -> str:
    baseline = report.get("baseline")
    if baseline is None:
        return "No baseline was measured on these videos."
    text = (
        "The baseline, a linear classifier of the same rows whose probabilities are smoothed and held "
        f"against thresholds, has {score_of(baseline, 'map')}."
    )
    if baseline["scores"]["map"] >= report["scores"]["map"]:
        text += " The detector is not above it: it has learnt nothing about time."
    return text


def _classes(report: Mapping[str, Any]) -> Html:
    rows = report["per_class"]
    plain = (report.get("baseline") or {}).get("per_class", {})
    columns = [name for name in next(iter(rows.values())) if name.startswith("ap@")]
    columns = columns if len(columns) <= 5 else [columns[0], columns[len(columns) // 2], columns[-1]]
    names = ["class", "instances", "detections", *columns, *(["baseline"] if plain else []), "AP"]
    body = [
        tag(
            "tr",
            tag("td", label, data_value=label, title=label),
            tag("td", str(row["instances"]), data_value=row["instances"]),
            tag("td", str(row["detections"]), data_value=row["detections"], class_="wide"),
            [tag("td", percent(row[name]), data_value=row[name], class_="wide") for name in columns],
            _baseline(plain, label) if plain else None,
            meter(row["ap"], row["ap"] < 0.5),
        )
        for label, row in sorted(rows.items(), key=lambda item: -item[1]["ap"])
    ]
    heads = sorting_heads(names, "AP", wide=("detections", *columns))
    text = f"Average precision over {_range(report)}, best first. A column's name sorts by it."
    return join(tag("h2", "Classes"), lead(text), boxed(table(heads, body, data_sortable=True), len(body)))


def _baseline(plain: Mapping[str, Any], label: str) -> Html:
    value = plain.get(label, {}).get("ap")
    return tag("td", "–" if value is None else percent(value), data_value=-1 if value is None else value)


def _rule(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """How the baseline makes segments."""
    return cast("Mapping[str, Any]", (report.get("baseline") or {}).get("rule", {}))


def _protocol(report: Mapping[str, Any]) -> Html:
    sight, counts = report.get("features", {}), report["counts"]
    left = [f"{value:g} {name.replace('_', ' ')}" for name, value in counts.items() if value]
    rows = [
        ("Protocol", f"{_PROTOCOLS.get(report['protocol'], report['protocol'])}, mAP over {_range(report)}"),
        ("Detector", str(report["detector"])),
        ("Classes", ", ".join(report.get("classes", ()))),
        ("Features", f"{sight['origin']}, every {sight['stride_s']:g} s" if "origin" in sight else ""),
        ("Baseline", ", ".join(f"{key} {value}" for key, value in _rule(report).items())),
        ("Counted", ", ".join(left)),
        ("Unknown videos", ", ".join(report.get("unknown_videos", ()))),
        ("Unknown classes", ", ".join(report.get("unknown_classes", ()))),
        ("Intervals", "95 %; videos count as independent"),
    ]
    rules = tag("ul", [tag("li", rule) for rule in report["rules"]], class_="files")
    return join(tag("h2", "How this was measured"), described(rows), rules)
