"""What timed labels can be written as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kinesphere.annotations.formats.activitynet import write_activitynet
from kinesphere.annotations.formats.cvat_document import write_cvat
from kinesphere.annotations.formats.elan_document import write_elan
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
        suffix: End of the names of its files.
        write: Writes a file, and returns what is not in it as it was, a line each.
        one_video: Whether a file is of one video.
        keeps_tiers: Whether labels keep the names of their tiers.
        keeps_scores: Whether labels keep their scores.
    """

    title: str
    suffix: str
    write: Callable[[TimedLabels, Path, Recordings], tuple[str, ...]]
    one_video: bool = False
    keeps_tiers: bool = True
    keeps_scores: bool = True


def _activitynet(found: TimedLabels, path: Path, recordings: Recordings) -> tuple[str, ...]:
    with replacing(path) as scratch:
        write_activitynet(found, scratch)
    return ()


def _table(found: TimedLabels, path: Path, recordings: Recordings) -> tuple[str, ...]:
    with replacing(path) as scratch:
        write_timed_table(found, scratch)
    return ()


TIMED_TARGETS: Mapping[str, TimedTarget] = {
    "elan": TimedTarget("ELAN annotation document", ".eaf", write_elan, one_video=True),
    "cvat": TimedTarget("CVAT XML", ".xml", write_cvat, one_video=True),
    "via": TimedTarget("VIA 3 project", ".json", write_via),
    "activitynet": TimedTarget("ActivityNet JSON", ".json", _activitynet, keeps_tiers=False),
    "csv": TimedTarget("CSV", ".csv", _table),
}
"""By the names that users pick."""
