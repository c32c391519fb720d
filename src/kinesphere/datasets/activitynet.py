"""ActivityNet 1.2 and 1.3: untrimmed videos of the web, with the spans in which an activity is seen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kinesphere.annotations.formats.activitynet import LARGEST, short_name
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.skipped import Skipped
from kinesphere.core.structured import read_json
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.media import SetFolder
from kinesphere.data.official import Count, Entry, Origin, lists_of, seconds, table_of
from kinesphere.datasets.example_videos import write_lines, write_videos

_WATCH = "https://www.youtube.com/watch?v="
_PARTS = {"training": "train", "validation": "val", "testing": "test"}
# BMN's public annotations of 1.3, of the videos that its authors still found; subsets stand in a table.
_BMN, _BMN_SUBSETS = r"anet_anno_action\.json", r"video_info(?:_new)?\.csv"


def _card(version: int, classes: int, size: str, counts: tuple[Count, ...]) -> DatasetCard:
    others = "; or BMN's anet_anno_action.json with video_info_new.csv" if version == 3 else ""
    return DatasetCard(
        title=f"ActivityNet 1.{version}",
        content="videos",
        size=size,
        licence="MIT for the annotations; the videos belong to those who published them",
        source="annotations: http://activity-net.org/download.html; videos from YouTube by a downloader of "
        "your choice (kinesphere datasets … --urls), or by the authors' form for those that are gone",
        layout=f"v_<youtube id>.mp4 anywhere, uncut; activity_net.v1-{version}.min.json{others}",
        splits=("train", "val"),
        groups="YouTube video",
        paper="Caba Heilbron, Escorcia, Ghanem, Niebles (2015): ActivityNet: a large-scale video benchmark "
        "for human activity understanding",
        counts=counts,
        class_count=classes,
    )


CARDS = {
    2: _card(
        2,
        100,
        "9 682 videos, 7 202 of them annotated",
        (
            Count("train", 4_819, unit="videos"),
            Count("val", 2_383, unit="videos"),
            Count("test", 2_480, unit="videos"),
        ),
    ),
    3: _card(
        3,
        200,
        "19 994 videos, 14 950 of them annotated; the test's annotations are kept back",
        (
            Count("train", 10_024, unit="videos"),
            Count("val", 4_926, is_checked=True, unit="videos"),
            Count("test", 5_044, unit="videos"),
            Count("train", 15_410, unit="annotations"),
            Count("val", 7_654, is_checked=True, unit="annotations"),
        ),
    ),
}


def entries(folder: SetFolder, version: int) -> Iterator[Entry | Skipped]:
    """The annotated spans of all videos, and the videos whose annotations are kept back.

    Labels of one span of a video are one clip. The official annotations are read where they are there, else
    those of BMN.
    """
    official = rf"activity_net\.v1-{version}(?:\.min)?\.json"
    pattern = rf"{official}|{_BMN}" if version == 3 else official
    paths = [path for path, _ in lists_of(folder, pattern, f"activity_net.v1-{version}.min.json")]
    path = next((each for each in paths if each.name.lower().startswith("activity_net")), paths[0])
    content = read_json(path, InvalidAnnotation, LARGEST)
    videos = content.get("database", content) if isinstance(content, dict) else None
    if not isinstance(videos, dict):
        raise InvalidAnnotation(f"{path} is no ActivityNet JSON: it holds no videos by their names.")
    subsets = {} if "database" in content else _subsets(folder)
    for name, facts in videos.items():
        where = f"{path.name}, {name[:80]}"
        if not isinstance(facts, dict) or not isinstance(facts.get("annotations", []), list):
            yield Skipped(where, "it is no video with a list of annotations")
            continue
        subset = facts.get("subset", subsets.get(short_name(name)))
        if not isinstance(subset, str) or subset not in _PARTS:
            yield Skipped(where, f"its subset is {str(subset)[:80]!r}, none of {', '.join(_PARTS)}")
            continue
        yield from _of_video(where, short_name(name), facts, _PARTS[subset])


def _subsets(folder: SetFolder) -> dict[str, str]:
    """Subset of each video, from the table beside BMN's annotations."""
    (path, _), *_ = lists_of(folder, _BMN_SUBSETS, "video_info_new.csv, which tells the subsets")
    columns, rows = table_of(path)
    if not {"video", "subset"} <= {*columns}:
        raise InvalidAnnotation(f"{path} tells no subsets: it has no columns video and subset.")
    return {short_name(row["video"]): row["subset"] for _, row in rows}


def _of_video(where: str, name: str, facts: Mapping[str, Any], part: str) -> Iterator[Entry | Skipped]:
    spans: dict[str, tuple[tuple[float, float], list[str]]] = {}
    for annotation in facts.get("annotations", []):
        span = _span(annotation)
        if span is None:
            yield Skipped(where, "an annotation has no label, or no segment from a start to a later end")
        else:
            # Two annotators' times, or one's twice, differ in digits that no frame knows.
            spans.setdefault(f"{span[0]:g} {span[1]:g}", (span, []))[1].append(annotation["label"])
    url = facts.get("url")
    origin = Origin(url if isinstance(url, str) and url else f"{_WATCH}{name}", name)
    duration = facts.get("duration", facts.get("duration_second"))
    whole = Entry(
        f"v_{name}",
        parts=(("", part),),
        group=name,
        also=(name,),
        origin=origin,
        video_s=None if isinstance(duration, str) else seconds(duration),
    )
    if not facts.get("annotations"):
        yield whole
    for span, labels in spans.values():
        yield Entry(
            whole.video,
            tuple(dict.fromkeys(labels)),
            whole.parts,
            span,
            whole.group,
            whole.also,
            origin,
            annotations=len(labels),
            video_s=whole.video_s,
        )


def _span(annotation: Any) -> tuple[float, float] | None:
    """When an annotation is, from the video's start at the earliest; None if it is wrong."""
    if not isinstance(annotation, dict) or not isinstance(annotation.get("label"), str):
        return None
    segment = annotation.get("segment")
    if not isinstance(segment, list) or len(segment) != 2:
        return None
    start, end = map(seconds, segment)
    if start is None or end is None:
        return None
    return (max(0.0, start), end) if max(0.0, start) <= end < 1e6 else None


def _write_example(folder: Path, version: int) -> Path:
    def video(name: str, subset: str, *spans: tuple[str, float, float]) -> dict[str, Any]:
        write_videos(folder / "videos", [f"v_{name}.mp4"], seconds=2)
        annotations = [{"label": label, "segment": [start, end]} for label, start, end in spans]
        url = f"{_WATCH}{name}"
        return {"duration": 2.0, "subset": subset, "url": url, "annotations": annotations}

    database = {
        "aaaaaaaaaa1": video("aaaaaaaaaa1", "training", ("Archery", 0, 0.8), ("Ballet", 1, 1.9)),
        "bbbbbbbbbb2": video("bbbbbbbbbb2", "validation", ("Ballet", 0.5, 1.5)),
        "cccccccccc3": video("cccccccccc3", "testing"),
    }
    content = {"version": f"VERSION 1.{version}", "database": database}
    write_lines(folder / f"activity_net.v1-{version}.min.json", [json.dumps(content)])
    return folder


for _version, _known in CARDS.items():
    DATASETS.add(
        f"activitynet1{_version}",
        Dataset.listed(_known, partial(entries, version=_version), partial(_write_example, version=_version)),
    )
