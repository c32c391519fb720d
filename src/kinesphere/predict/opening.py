"""`Opening`: how a predictor comes to the pictures, flow and joints of a video."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from kinesphere.clips.archive import Extracts
from kinesphere.clips.pose_file import SUFFIX as POSE_SUFFIX
from kinesphere.clips.pose_file import read_poses
from kinesphere.clips.poses import Poses
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import UnreadableVideo
from kinesphere.data.cache import CachedVideo
from kinesphere.data.extract import Extractor, FlowExtractor, PoseExtractor, PoseSettings, pose_model
from kinesphere.data.extract.mediapipe_pose import require_mediapipe
from kinesphere.data.source import AnnotatedVideo, PoseTrack, open_source
from kinesphere.video import Video

Source = str | Path | bytes
Opened = Video | CachedVideo | AnnotatedVideo | PoseTrack
Span = tuple[float, float]

# Videos whose poses are remembered: as many as are read ahead and drawn afterwards.
_REMEMBERED = 16


class RecentPoses:
    """The poses of the files that were looked at last, so that what is drawn is not extracted again."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[Path, int, int], tuple[Poses, Span | None]] = OrderedDict()
        self._lock = Lock()

    def find(self, path: Path, span: Span | None) -> Poses | None:
        """Poses of a file that cover a span (None: all of it), if the file is as it was then."""
        with self._lock:
            held = self._held.get(_identity(path))
        if held is None:
            return None
        poses, covered = held
        is_covered = covered is None or (span and covered[0] <= span[0] and span[1] <= covered[1])
        return poses if is_covered else None

    def keep(self, path: Path, span: Span | None, poses: Poses) -> None:
        """Remember the poses of a span of a file, and forget those of the longest ago."""
        with self._lock:
            self._held[_identity(path)] = (poses, span)
            while len(self._held) > _REMEMBERED:
                self._held.popitem(last=False)


@dataclass(frozen=True)
class Opening:
    """Where extracted files lie, and what becomes of those that are missing.

    Flow without a file is computed from the frames that are needed. Poses without a file are extracted
    from the whole video, or from the span that is asked for, and stay in memory.

    Attributes:
        extracts: Where files of flow and poses are looked for.
        keep: Extract what a model needs of a whole video first, and keep the file there.
        pose_model: MediaPipe's `lite`, `full` or `heavy`, or a `.task` file (see `pose_model`). Take the
            one that the poses a network learnt from came from.
    """

    extracts: Extracts = Extracts()  # noqa: RUF009 (frozen)
    keep: bool = False
    pose_model: str = "full"
    _recent: RecentPoses = field(default_factory=RecentPoses, repr=False, compare=False)

    def open(
        self,
        source: Source,
        specs: Sequence[ClipSpec],
        *,
        span: Span | None = None,
        threads: int | None = None,
    ) -> Opened:
        """Open what the specs need of a source. Addresses and bytes have no files beside them.

        Args:
            source: A path, an address, or the file's bytes; a pose file stands for a video's poses.
            specs: What will be read.
            span: The part that will be read; None for all of it.
            threads: Of the decoder.

        Raises:
            VideoError: If it cannot be decoded.
            InvalidAnnotation: If a file cannot be read, or belongs to another video.
            MissingExtra: If poses are to be extracted and MediaPipe is not installed.
            MissingWeights: If MediaPipe's model is not here and cannot be downloaded.
        """
        sees_poses = any(spec.modality == "pose" for spec in specs)
        path = local_path(source)
        if path is None:
            video = Video.open(source, threads=threads)
            return AnnotatedVideo(video, poses=self.poses(source, span)) if sees_poses else video
        if self.keep and not path.name.endswith(POSE_SUFFIX):
            for extractor in self._needed(specs):
                target = self.extracts.path(path, extractor.suffix)
                if not target.exists():
                    extractor.extract(path, target)
        extracted = self.poses(path, span) if sees_poses and self._lacks_poses(path) else None
        return open_source(path, specs, extracts=self.extracts, poses=extracted, threads=threads)

    def poses(self, source: Source, span: Span | None = None) -> Poses:
        """The poses of a source: from its file if there is one, else extracted.

        Raises:
            See `open`.
        """
        path = local_path(source)
        if path is None:
            return self._pose_extractor().poses(source, span)
        if not self._lacks_poses(path):
            is_pose_file = path.name.endswith(POSE_SUFFIX)
            return read_poses(path if is_pose_file else self.extracts.path(path, POSE_SUFFIX))
        if not path.exists():
            raise UnreadableVideo(f"{path} does not exist; check the path.")
        known = self._recent.find(path, span)
        if known is None:
            known = self._pose_extractor().poses(path, span)
            self._recent.keep(path, span, known)
        return known

    def _lacks_poses(self, path: Path) -> bool:
        return not (path.name.endswith(POSE_SUFFIX) or self.extracts.path(path, POSE_SUFFIX).exists())

    def _pose_extractor(self) -> PoseExtractor:
        require_mediapipe()
        return PoseExtractor(PoseSettings(pose_model(self.pose_model)))

    def _needed(self, specs: Sequence[ClipSpec]) -> list[Extractor]:
        """What makes the files that some inputs are read from."""
        methods = dict.fromkeys(spec.flow for spec in specs if spec.modality == "flow")
        flows: list[Extractor] = [FlowExtractor(method) for method in methods]
        return [*flows, self._pose_extractor()] if any(s.modality == "pose" for s in specs) else flows


def local_path(source: Source) -> Path | None:
    """The path of a source that is a file of this machine; None for bytes and addresses."""
    return None if isinstance(source, bytes) or "://" in str(source) else Path(source)


def _identity(path: Path) -> tuple[Path, int, int]:
    state = path.stat()
    return path.absolute(), state.st_mtime_ns, state.st_size
