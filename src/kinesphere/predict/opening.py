"""`Opening`: how a predictor comes to the pictures, flow and joints of a video."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from kinesphere.annotations.extract import PoseExtractor
from kinesphere.annotations.extract.pose import pose_extractor
from kinesphere.annotations.extract.registry import EXTRACTORS
from kinesphere.clips.modalities.flow.estimate import BOUND_PX, EstimatedFlow
from kinesphere.clips.modalities.pose.attach import on_clock
from kinesphere.clips.modalities.pose.file import SUFFIX as POSE_SUFFIX
from kinesphere.clips.modalities.pose.file import read_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.modalities.pose.track import PoseTrack
from kinesphere.clips.modality import MODALITIES, beside
from kinesphere.clips.preparation import Preparation
from kinesphere.clips.sidecar import CLOCK, Extracts
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InUse, InvalidAnnotation, UnreadableVideo
from kinesphere.data.cache.frames import CachedVideo
from kinesphere.data.source import AnnotatedVideo, lacks_flow, open_source
from kinesphere.predict.estimated_flow import FlowingVideo
from kinesphere.video import Video

Source = str | Path | bytes
Found = Video | CachedVideo | AnnotatedVideo | PoseTrack
Opened = Found | FlowingVideo
Span = tuple[float, float]

_Key = tuple[Path, int, int, PoseExtractor]
# Videos whose poses are remembered: as many as are read ahead and drawn afterwards.
_REMEMBERED = 16


class RecentPoses:
    """The poses of the files that were looked at last, so that what is drawn is not extracted again."""

    def __init__(self) -> None:
        self._held: OrderedDict[_Key, tuple[Poses, Span | None]] = OrderedDict()
        self._lock = Lock()
        self.files: set[Path] = set()
        """Those whose poses are nowhere else."""

    def find(self, path: Path, span: Span | None, extractor: PoseExtractor) -> Poses | None:
        """Poses of a file that cover a span (None: all of it), if the file is as it was then."""
        with self._lock:
            held = self._held.get((*_identity(path), extractor))
        if held is None:
            return None
        poses, covered = held
        is_covered = covered is None or (span and covered[0] <= span[0] and span[1] <= covered[1])
        return poses if is_covered else None

    def keep(self, path: Path, span: Span | None, extractor: PoseExtractor, poses: Poses) -> None:
        """Remember the poses of a span of a file, and forget those of the longest ago."""
        with self._lock:
            self._held[(*_identity(path), extractor)] = (poses, span)
            self.files.add(path)
            while len(self._held) > _REMEMBERED:
                self._held.popitem(last=False)


@dataclass(frozen=True)
class Opening:
    """Where extracted files lie, and what becomes of those that are missing.

    Flow without a file is computed from the frames that are needed. Poses without a file are extracted
    from the whole video, or from the span that is asked for, and stay in memory. Both are made as the files
    were that the model learnt from, as far as it knows; `remarks` says where they, or files, are not.

    Attributes:
        extracts: Where files of flow and poses are looked for.
        keep: Extract what a model needs of a whole video first, and keep the file there.
        pose_model: MediaPipe's `lite`, `full` or `heavy`, or a `.task` file (see `pose_model`). None takes
            the one that the poses came from which the model learnt from, `full` where that is not known.
        preparation: How the files were made that the model learnt from; a predictor sets its model's.
    """

    extracts: Extracts = Extracts()  # noqa: RUF009 (frozen)
    keep: bool = False
    pose_model: str | None = None
    preparation: Preparation = Preparation()  # noqa: RUF009 (frozen)
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
            known = AnnotatedVideo(video, poses=self.poses(source, span)) if sees_poses else video
            return self._with_flow(known, specs)
        if self.keep and not path.name.endswith(POSE_SUFFIX):
            self._extract(path, specs)
        extracted = self.poses(path, span) if sees_poses and self._lacks_poses(path) else None
        found = open_source(path, specs, extracts=self.extracts, poses=extracted, threads=threads)
        return self._with_flow(found, specs)

    def remarks(
        self, video: Opened, specs: Sequence[ClipSpec], source: Source | None = None
    ) -> tuple[str, ...]:
        """What of an open video's poses and flow was made otherwise than what the model learnt from.

        Args:
            video: As `open` gave it.
            specs: What is read of it.
            source: What was opened.
        """
        said: list[str] = []
        path = None if source is None else local_path(source)
        if path is not None and (remark := lacks_flow(path, specs, self.extracts)):
            said.append(remark)
        learnt = self.preparation
        for name in dict.fromkeys(spec.modality for spec in specs):
            sidecar, stored = MODALITIES.get(name).sidecar, beside(video, name)
            if sidecar is not None and stored is not None:
                said += sidecar.differences(stored, video, learnt)
        return tuple(said)

    def poses(self, source: Source, span: Span | None = None) -> Poses:
        """The poses of a source: from its file if there is one, else extracted.

        Raises:
            See `open`.
        """
        path = local_path(source)
        if path is None:
            return pose_extractor(self.preparation, self.pose_model).poses(source, span)
        if not self._lacks_poses(path):
            if path.name.endswith(POSE_SUFFIX):
                return read_poses(path)
            kept = read_poses(self.extracts.need(path, POSE_SUFFIX))
            if kept.clock >= CLOCK:
                return kept
            with Video.open(path, threads=1) as video:
                return on_clock(kept, video)
        if not path.exists():
            raise UnreadableVideo(f"{path} does not exist; check the path.")
        extractor = pose_extractor(self.preparation, self.pose_model)
        known = self._recent.find(path, span, extractor)
        if known is None:
            known = extractor.poses(path, span)
            self._recent.keep(path, span, extractor, known)
        return known

    @property
    def forgotten(self) -> int:
        """Files whose poses were extracted on the way, to be extracted again the next time."""
        return len(self._recent.files)

    def _lacks_poses(self, path: Path) -> bool:
        return not path.name.endswith(POSE_SUFFIX) and self.extracts.find(path, POSE_SUFFIX) is None

    def _with_flow(self, video: Found, specs: Sequence[ClipSpec]) -> Opened:
        """The video; where it has no file of flow, with flow at the size that the model learnt from."""
        short_side_px = self.preparation.flow_short_side_px
        methods = {spec.flow for spec in specs if spec.modality == "flow"}
        if len(methods) != 1 or short_side_px is None or isinstance(video, PoseTrack):
            return video
        if beside(video, "flow") is not None:
            return video
        bound_px = self.preparation.flow_bound_px or BOUND_PX
        return FlowingVideo(video, EstimatedFlow(video, methods.pop(), short_side_px, bound_px))

    def _extract(self, path: Path, specs: Sequence[ClipSpec]) -> None:
        """Make the files that some inputs are read from, as far as they are missing."""
        try:
            for spec in specs:
                sidecar = MODALITIES.get(spec.modality).sidecar
                if (
                    sidecar is None
                    or spec.modality not in EXTRACTORS
                    or self.extracts.find(path, sidecar.suffix)
                ):
                    continue
                make = EXTRACTORS.get(spec.modality).extractor
                target = self.extracts.free_place(path, sidecar.suffix)
                make(path, spec, self.preparation, self.pose_model).extract(path, target)
        except InUse as error:
            raise InvalidAnnotation(f"Its files are being made at this moment: {error}") from error


def local_path(source: Source) -> Path | None:
    """The path of a source that is a file of this machine; None for bytes and addresses."""
    return None if isinstance(source, bytes) or "://" in str(source) else Path(source)


def _identity(path: Path) -> tuple[Path, int, int]:
    state = path.stat()
    return path.absolute(), state.st_mtime_ns, state.st_size
