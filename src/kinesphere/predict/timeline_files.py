"""Timelines and segments on disk: JSON, CSV, Parquet, ELAN and WebVTT."""

from __future__ import annotations

import html
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.annotations.formats.elan import PROBABILITY, RUNNER_UP
from kinesphere.annotations.formats.elan_document import elan_document, without_overlaps
from kinesphere.annotations.kept_labels import refuse_to_lose
from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.timed import Detection, TimedLabels, video_name
from kinesphere.annotations.timed_targets import TIMED_TARGETS, TimedTarget
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, KinesphereWarning
from kinesphere.core.files import replacing
from kinesphere.core.labels import LabelSet
from kinesphere.core.parquet import read_table
from kinesphere.core.rows import write_csv, write_json, write_parquet
from kinesphere.core.structured import parse_json, read_json
from kinesphere.models.rejection import Rejection
from kinesphere.predict.segmentation import Below, Segment
from kinesphere.predict.timeline import Timeline

TOOLS = {".xml": "cvat", ".via.json": "via", ".label_studio.json": "label_studio"}
"""Annotation tools by the ends of the names of their files."""
_HEADER = b"kinesphere.timeline"
_NO_MORE: Mapping[str, Sequence[Segment]] = {}
_COLUMNS = [field.name for field in fields(Segment)]


def write_timeline(timeline: Timeline, path: str | Path) -> None:
    """Write every window with all probabilities, as `.json`, `.csv` or `.parquet`.

    CSV and Parquet have the columns `start_s`, `end_s` and one per label.

    Raises:
        InvalidSetting: If the suffix is none of these.
    """
    path = Path(path)
    with replacing(path) as scratch:
        match path.suffix.lower():
            case ".json":
                write_json(scratch, _plain(timeline))
            case ".csv":
                rows = np.hstack([timeline.spans, timeline.probabilities]).tolist()
                write_csv(scratch, ["start_s", "end_s", *timeline.labels], rows)
            case ".parquet":
                _write_parquet(timeline, scratch)
            case other:
                raise InvalidSetting(f"A timeline is written as .json, .csv or .parquet; got {other!r}.")


def read_timeline(path: str | Path) -> Timeline:
    """Inverse of `write_timeline` for JSON and Parquet, which keep source and label set.

    Raises:
        InvalidSetting: If the suffix is neither.
        InvalidAnnotation: If the file is missing or does not hold a timeline.
    """

    path = Path(path)
    if path.suffix.lower() not in (".json", ".parquet"):
        raise InvalidSetting(f"A timeline is read from .json or .parquet; got {path.suffix!r}.")
    try:
        if path.suffix.lower() == ".parquet":
            return _read_parquet(path)
        plain = read_json(path, InvalidAnnotation)
        return Timeline(
            np.array(plain["probabilities"], dtype=np.float64),
            np.array(plain["spans"], dtype=np.float64),
            LabelSet(tuple(plain["labels"]), multi=plain["multi"]),
            plain["source"],
            **_rest(plain, len(plain["spans"])),
        )
    except (InvalidAnnotation, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InvalidAnnotation(f"{path} does not hold a timeline: {error!r}. Write it again.") from error


def write_segments(
    segments: Sequence[Segment],
    path: str | Path,
    *,
    source: str,
    coverage: Below | None = None,
    date: datetime | None = None,
    more: Mapping[str, Sequence[Segment]] = _NO_MORE,
) -> None:
    """Write segments as `.json`, `.csv`, `.parquet`, `.vtt` (WebVTT subtitles), or for an annotation tool, in
    which they are corrected: `.eaf` (ELAN), `.xml` (CVAT), `.via.json` (VIA) or `.label_studio.json`.

    Each comes with its probability and with the runner-up's, for which CVAT, VIA and Label Studio have no
    place.

    Args:
        segments: Ordered by start.
        path: The suffix chooses the format.
        source: The video, which an ELAN file points to.
        coverage: How many windows have no segment; in JSON, ELAN and WebVTT; the others have no field for
            it.
        date: Stamp of an ELAN file; None means now.
        more: What else an ELAN file holds, by the names of its tiers; the others have no place for it.

    Raises:
        InvalidSetting: If the suffix is none of these.
        InvalidAnnotation: If it is CVAT's or Label Studio's, which count in frames, without the video; or if
            there is a file that holds labels without scores, which people have made.
    """
    path = Path(path)
    refuse_to_lose(path, recordings=_recordings(source))
    for ending, tool in TOOLS.items():
        if path.name.lower().endswith(ending):
            _write_for_tool(segments, path, source, TIMED_TARGETS[tool])
            return
    with replacing(path) as scratch:
        match path.suffix.lower():
            case ".json":
                write_json(scratch, {"source": source, **_plain_segments(segments, coverage)}, indent=1)
            case ".csv":
                rows = [[getattr(segment, name) for name in _COLUMNS] for segment in segments]
                write_csv(scratch, _COLUMNS, rows)
            case ".parquet":
                write_parquet(scratch, _COLUMNS, map(asdict, segments), {"label": str, "runner_up": str})
            case ".eaf":
                scratch.write_bytes(elan(segments, source, date or datetime.now(UTC), coverage, more))
            case ".vtt":
                scratch.write_text(web_vtt(segments, coverage), encoding="utf-8")
            case other:
                raise InvalidSetting(
                    f"Segments are written as .json, .csv, .parquet, .eaf, .vtt, {', '.join(TOOLS)}; got "
                    f"{other!r}."
                )


def _write_for_tool(segments: Sequence[Segment], path: Path, source: str, tool: TimedTarget) -> None:
    """Write segments as labels with scores of one video; what the tool cannot hold is warned of."""
    name = video_name(source)
    labels = tuple(
        Detection(name, each.label, each.start_s, each.end_s, score=each.probability) for each in segments
    )
    for note in tool.write(TimedLabels(labels, (name,)), path, _recordings(source)):
        warnings.warn(note, KinesphereWarning, stacklevel=3)


def _recordings(source: str) -> Recordings:
    """The video, where it is a file."""
    return Recordings(files={video_name(source): Path(source)} if Path(source).is_file() else {})


def write_whole(
    timeline: Timeline,
    segments: Sequence[Segment],
    path: str | Path,
    *,
    coverage: Below | None = None,
    rule: str = "",
) -> None:
    """Write every window with all probabilities and the segments with how they were made, as JSON.

    Such a file is read by `read_timeline`, and wherever segments are read.

    Args:
        timeline: The windows.
        segments: Its segments, ordered by start.
        path: The file.
        coverage: How many windows have no segment.
        rule: How windows became segments, in words.
    """
    with replacing(Path(path)) as scratch:
        write_json(scratch, {**_plain(timeline), "rule": rule, **_plain_segments(segments, coverage)})


def elan(
    segments: Sequence[Segment],
    source: str,
    date: datetime,
    coverage: Below | None = None,
    more: Mapping[str, Sequence[Segment]] = _NO_MORE,
) -> bytes:
    """An ELAN annotation document of one timeline, with `more` tiers; see `elan_tiers`.

    Segments that overlap go to tiers of their label, the others to one tier, since annotations of one
    tier may not overlap.
    """
    tiers: dict[str, list[Segment]] = {}
    overlapping = any(b.start_s < a.end_s for a, b in pairwise(segments))
    for segment in segments:
        tiers.setdefault(segment.label if overlapping else "kinesphere", []).append(segment)
    return elan_tiers({**(tiers or {"kinesphere": []}), **more}, source, date, coverage)


def elan_tiers(
    tiers: Mapping[str, Sequence[Segment]], source: str, date: datetime, coverage: Below | None = None
) -> bytes:
    """An ELAN annotation document.

    Each tier has two below it, with an annotation for each of its own: the probability, and the runner-up
    with its.

    Args:
        tiers: Segments in the order of their starts by the name of their tier; those of one that overlap go
            to further tiers, `NAME 2` and so on.
        source: The video.
        date: Stamp of the file.
        coverage: How many windows have no segment.
    """
    return elan_document(
        without_overlaps(tiers),
        source,
        date,
        notes={PROBABILITY: _probability, RUNNER_UP: _runner_up},
        properties={} if coverage is None else {"coverage": str(coverage)},
    )


def _probability(segment: Segment) -> str:
    return f"{segment.probability:.3f}"


def _runner_up(segment: Segment) -> str:
    return "" if segment.runner_up is None else f"{segment.runner_up} {segment.runner_up_probability:.3f}"


def web_vtt(segments: Sequence[Segment], coverage: Below | None = None) -> str:
    """WebVTT subtitles: one cue per segment, with its label and probability and the runner-up's."""
    cues = ["WEBVTT\n"] + ([] if coverage is None else [f"NOTE {coverage}\n"])
    for segment in segments:
        text = html.escape(" ".join(segment.label.split()), quote=False)
        times = f"{_clock(segment.start_s)} --> {_clock(segment.end_s)}"
        rival = ""
        if segment.runner_up is not None and segment.runner_up_probability is not None:
            other = html.escape(" ".join(segment.runner_up.split()), quote=False)
            rival = f" ({other} {100 * segment.runner_up_probability:.0f} %)"
        cues.append(f"{times}\n{text} {100 * segment.probability:.0f} %{rival}\n")
    return "\n".join(cues)


def _clock(time_s: float) -> str:
    """`01:02:03.456`."""
    total = round(1000 * time_s)
    hours, rest = divmod(total, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def _plain_segments(segments: Sequence[Segment], coverage: Below | None) -> dict[str, object]:
    plain: dict[str, object] = {}
    if coverage is not None:
        silent = {"below_threshold": coverage.windows - coverage.rejected, "threshold": coverage.threshold}
        # Which answer that is, is known of models alone that may give it.
        rejected = {"rejected": coverage.rejected, "rejected_as": coverage.label} if coverage.label else {}
        plain["windows"] = {"count": coverage.of, **silent, **rejected}
    return plain | {"segments": [asdict(segment) for segment in segments]}


def _plain(timeline: Timeline) -> dict[str, object]:
    return {
        "source": timeline.source,
        "labels": timeline.labels.names,
        "multi": timeline.labels.multi,
        "spans": timeline.spans.tolist(),
        "probabilities": timeline.probabilities.tolist(),
        **_plain_rest(timeline),
    }


def _plain_rest(timeline: Timeline) -> dict[str, object]:
    """What a timeline has beside its tables; `nobody` as the numbers of the windows."""
    plain: dict[str, object] = {
        "nobody": np.flatnonzero(timeline.nobody).tolist(),
        "notes": list(timeline.notes),
    }
    if len(timeline.breaks_s):
        plain["breaks_s"] = timeline.breaks_s.tolist()
    if timeline.rejection is not None:
        plain["rejection"] = timeline.rejection.to_json()
    if timeline.model:
        plain["model"] = timeline.model
    if timeline.found is not None:
        plain["found"] = timeline.found_json()
    return plain


def _rest(plain: dict[str, Any], windows: int) -> dict[str, Any]:
    """Inverse of `_plain_rest`; files of before have none of it."""
    nobody = np.zeros(windows, bool)
    nobody[plain.get("nobody", [])] = True
    stated, found = plain.get("rejection"), plain.get("found")
    video = video_name(str(plain["source"]))
    return {
        "nobody": nobody,
        "breaks_s": np.array(plain.get("breaks_s", []), dtype=np.float64),
        "notes": tuple(plain.get("notes", ())),
        "rejection": None if stated is None else Rejection.from_json(stated),
        "model": str(plain.get("model", "")),
        "found": None if found is None else tuple(Detection(video, **each) for each in found),
    }


def _write_parquet(timeline: Timeline, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = np.hstack([timeline.spans, timeline.probabilities]).T
    table = pa.table(list(map(pa.array, columns)), names=["start_s", "end_s", *timeline.labels])
    header = json.dumps({"source": timeline.source, "multi": timeline.labels.multi, **_plain_rest(timeline)})
    pq.write_table(table.replace_schema_metadata({_HEADER: header}), path)


def _read_parquet(path: Path) -> Timeline:
    table = read_table(path, InvalidAnnotation)
    header = parse_json((table.schema.metadata or {})[_HEADER], path.name, InvalidAnnotation)
    columns = np.stack([column.to_numpy() for column in table.columns], axis=1)
    labels = LabelSet(tuple(table.column_names[2:]), multi=header["multi"])
    return Timeline(columns[:, 2:], columns[:, :2], labels, header["source"], **_rest(header, len(columns)))
