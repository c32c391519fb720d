"""What timed labels can be written as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kinesphere.annotations.formats.activitynet import write_activitynet
from kinesphere.annotations.formats.cvat_document import write_cvat
from kinesphere.annotations.formats.elan_document import write_elan
from kinesphere.annotations.formats.label_studio_document import write_label_studio
from kinesphere.annotations.formats.mot import write_tracks
from kinesphere.annotations.formats.opensportslib import write_opensportslib
from kinesphere.annotations.formats.timed_table import write_timed_table
from kinesphere.annotations.formats.via import write_via
from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.timed import TimedLabels
from kinesphere.core.files import replacing


@dataclass(frozen=True)
class TimedTarget:
    """A format that timed labels are written in.

    Attributes:
        title: Full name.
        suffix: End of the names of its files; empty where it is a folder for each video.
        write: Writes a file, and returns what is not in it as it was, a line each.
        one_video: Whether a file is of one video.
        keeps_tiers: Whether labels keep the names of their tiers.
        keeps_scores: Whether labels keep their scores.
        keeps_tracks: Whether boxes over frames are written.
    """

    title: str
    suffix: str
    write: Callable[[TimedLabels, Path, Recordings], tuple[str, ...]]
    one_video: bool = False
    keeps_tiers: bool = True
    keeps_scores: bool = True
    keeps_tracks: bool = False


def _activitynet(found: TimedLabels, path: Path, recordings: Recordings) -> tuple[str, ...]:
    with replacing(path) as scratch:
        write_activitynet(found, scratch)
    return ()


def _table(found: TimedLabels, path: Path, recordings: Recordings) -> tuple[str, ...]:
    with replacing(path) as scratch:
        write_timed_table(found, scratch)
    return ()


def _mot(found: TimedLabels, path: Path, recordings: Recordings) -> tuple[str, ...]:
    write_tracks(path, found.tracks.get(found.videos[0], ()))
    return ()


TIMED_TARGETS: Mapping[str, TimedTarget] = {
    "elan": TimedTarget("ELAN annotation document", ".eaf", write_elan, one_video=True),
    "cvat": TimedTarget("CVAT XML", ".xml", write_cvat, one_video=True, keeps_tracks=True),
    "label_studio": TimedTarget("Label Studio JSON", ".json", write_label_studio, keeps_tracks=True),
    "opensportslib": TimedTarget("OpenSportsLib JSON", ".json", write_opensportslib),
    "mot": TimedTarget("MOTChallenge text", "", _mot, one_video=True, keeps_tracks=True, keeps_scores=False),
    "via": TimedTarget("VIA 3 project", ".json", write_via),
    "activitynet": TimedTarget("ActivityNet JSON", ".json", _activitynet, keeps_tiers=False),
    "csv": TimedTarget("CSV", ".csv", _table),
}
"""By the names that users pick."""
