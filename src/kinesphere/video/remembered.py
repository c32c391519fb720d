"""What the first opening of a file found out, so that the next one need not: its frames and its facts.

Training opens one long recording for each of its clips, and a timeline for each of its inputs. The packets of
an hour take longer to read through than a clip takes to decode.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from cachetools import LRUCache

from kinesphere.core.content import State, settled_state
from kinesphere.video.container import Source
from kinesphere.video.frame_index import FrameIndex
from kinesphere.video.info import VideoInfo

# Of what is known, by each process: the frames of about ten hours.
_KEPT_BYTES = 64 * 2**20
_LEAST_BYTES = 4096


@dataclass(frozen=True, eq=False)
class Findings:
    """What opening a video found out.

    Attributes:
        frame_index: Its frames; to be copied before use, as reading learns which key frames to distrust.
        info: Facts about it.
        damage: What could not be read, with how often.
        stream: Number of the stream that is the film.
    """

    frame_index: FrameIndex
    info: VideoInfo
    damage: Counter[str]
    stream: int

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return _LEAST_BYTES + self.frame_index.nbytes


_FINDINGS: LRUCache[State, Findings] = LRUCache(_KEPT_BYTES, getsizeof=lambda each: each.nbytes)
_LOCK = Lock()


def findings_of(source: Source) -> Findings | None:
    """What is known of a file that has not changed since; None of one that is new, and of URLs and bytes."""
    state = _state(source)
    if state is None:
        return None
    with _LOCK:
        return _FINDINGS.get(state)


def remember(source: Source, findings: Findings) -> None:
    """Keep what was found out of a file, as long as there is room for it."""
    state = _state(source)
    if state is None or findings.nbytes > _KEPT_BYTES:
        return
    with _LOCK:
        _FINDINGS[state] = findings


def forget() -> None:
    """Know nothing of any file, as a new process does."""
    with _LOCK:
        _FINDINGS.clear()


def _state(source: Source) -> State | None:
    """A file as it is now; None where that cannot be told."""
    return settled_state(Path(source.location)) if source.kind == "file" else None
