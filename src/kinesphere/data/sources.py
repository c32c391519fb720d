"""`Opening`: how a sample is opened, for training, evaluation, prediction and long videos alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from cachetools import LRUCache

from kinesphere.annotations.extract.job import Extractor
from kinesphere.annotations.extract.registry import EXTRACTORS
from kinesphere.clips.modality import MODALITIES, stands_alone
from kinesphere.clips.preparation import Preparation
from kinesphere.clips.sidecar import Extracts
from kinesphere.clips.source import VideoSource, WrappedSource, beside
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InUse, InvalidAnnotation, MissingWeights, UnreadableVideo
from kinesphere.core.paths import is_folder, is_there, why_absent
from kinesphere.data.cache.frames import FrameCache
from kinesphere.video import ImageFolder, Video

Source = str | Path | bytes
Span = tuple[float, float]

# Videos whose extracted data are remembered: as many as are read ahead and drawn afterwards.
_REMEMBERED = 16


@dataclass(frozen=True)
class Opening:
    """Where sidecar files and decoded frames lie, and what becomes of sidecar files that are missing.

    What no file holds is made as the files were that the model learnt from, as far as it knows: flow is
    estimated from the frames that are needed, poses are extracted from the whole video, or from the span that
    is asked for, and stay in memory. The remarks of an open source say where that, or a file, is otherwise.

    Attributes:
        extracts: Where sidecar files are looked for.
        keep: Extract what a model needs of a whole video first, and keep the file there.
        pose_model: MediaPipe's `lite`, `full` or `heavy`, or a `.task` file (see `pose_model`). None takes
            the one that the poses came from which the model learnt from, `full` where that is not known.
        preparation: How the files were made that the model learnt from; a predictor sets its model's.
        cache: Where decoded frames are kept.
        extracting: Whether what is missing is extracted on the way; training refuses it, which would extract
            it anew in each epoch.
    """

    extracts: Extracts = Extracts()  # noqa: RUF009 (frozen)
    keep: bool = False
    pose_model: str | None = None
    preparation: Preparation = Preparation()  # noqa: RUF009 (frozen)
    cache: FrameCache | None = None
    extracting: bool = True
    _recent: _Recent = field(default_factory=lambda: _Recent(), repr=False, compare=False)

    def open(
        self,
        source: Source,
        specs: Sequence[ClipSpec] = (),
        *,
        span: Span | None = None,
        files: Mapping[str, Path] | None = None,
        also: Iterable[str] = (),
        threads: int | None = None,
        shared: VideoSource | None = None,
        fps: float | None = None,
    ) -> WrappedSource:
        """Open what the specs need of a source. Addresses and bytes have no files beside them.

        Args:
            source: A path, a URL, or the file's bytes; a pose file stands for a video's poses.
            specs: What will be read.
            span: The part that will be read; None for all of it.
            files: Sidecar files that lie elsewhere, by modality.
            also: Modalities that are needed beside what the specs need.
            threads: Threads of the decoder.
            fps: Frame rate of a folder of images; None takes what a file in it states.
            shared: The same source, open already, whose frames are taken; it stays open if this fails.

        Raises:
            VideoError: If it cannot be decoded.
            InvalidAnnotation: If a file is needed and missing, cannot be read, or belongs to another video.
            MissingExtra: If poses are to be extracted and MediaPipe is not installed.
            MissingWeights: If MediaPipe's model is not here and cannot be downloaded.
        """
        path = local_path(source)
        if path is not None and (sidecar := stands_alone(path)) is not None and sidecar.alone is not None:
            track: VideoSource = shared or sidecar.alone(path)
            names = [*_names(specs), *also]
            return self._opened(track, {name: beside(track, name) for name in names}, specs, path)
        if path is not None and self.keep:
            self._write_missing(path, specs)
        wanted = {**dict.fromkeys(also), **{spec.modality: spec for spec in specs}}
        read = {
            name: self._file(path, name, (files or {}).get(name)) if path is not None else None
            for name in wanted
        }
        known = {
            name: found
            for name, spec in wanted.items()
            if read[name] is None and (found := self._made(source, name, spec, span)) is not None
        }
        video = shared or self._frames(source, path, span, threads, fps)
        try:
            for name, content in read.items():
                if content is not None and (sidecar := MODALITIES.get(name).sidecar) is not None:
                    known[name] = sidecar.attach(content, video)
            return self._opened(video, known, specs, path)
        except BaseException:
            if shared is None:
                video.close()
            raise

    def _frames(
        self, source: Source, path: Path | None, span: Span | None, threads: int | None, fps: float | None
    ) -> VideoSource:
        if path is not None and is_folder(path):
            return ImageFolder.open(path, fps)
        if self.cache is not None and path is not None:
            return self.cache.open(path, span)
        return Video.open(source, threads=threads)

    def beside(self, source: Source, modality: str, span: Span | None = None) -> Any:
        """What belongs to a source of one modality: from its file if there is one, else extracted.

        Raises:
            See `open`.
        """
        with self.open(source, span=span, also=[modality]) as video:
            return beside(video, modality)

    def offers(self, source: Source, spec: ClipSpec) -> bool:
        """Whether what an input needs of a source is there, or can be made with what is on this machine.

        Args:
            source: A path, a URL, or the file's bytes; a pose file stands for a video's poses.
            spec: The input's contract.

        Raises:
            InvalidAnnotation: If the file that is needed is of another video.
        """
        sidecar = MODALITIES.get(spec.modality).sidecar
        path = local_path(source)
        if path is not None and (alone := stands_alone(path)) is not None:
            return alone is sidecar
        if sidecar is None or not sidecar.needed:
            return True
        if path is not None and self.extracts.find(path, sidecar.suffix) is not None:
            return True
        return (
            self.extracting
            and _is_extracted(spec.modality)
            and (
                self.pose_model is not None
                or EXTRACTORS.get(spec.modality).at_hand(self.preparation) is not None
            )
        )

    def files(self, source: Source, specs: Sequence[ClipSpec]) -> list[Path]:
        """The sidecar files of a source that are there, of the modalities of some contracts."""
        path = local_path(source)
        if path is None or stands_alone(path) is not None:
            return []
        sidecars = [MODALITIES.get(name).sidecar for name in _names(specs)]
        found = [self.extracts.find(path, each.suffix) for each in sidecars if each is not None]
        return [file for file in found if file is not None]

    @property
    def forgotten(self) -> int:
        """Files whose data were extracted on the way, to be extracted again the next time."""
        return len(self._recent.files)

    def _opened(
        self, video: VideoSource, known: Mapping[str, Any], specs: Sequence[ClipSpec], path: Path | None
    ) -> WrappedSource:
        remarks: list[str] = []
        for name in _names(specs):
            sidecar = MODALITIES.get(name).sidecar
            if sidecar is None:
                continue
            if known.get(name) is not None:
                remarks += sidecar.differences(known[name], video, self.preparation)
            elif path is not None and (remark := lacks_file(path, name, self.extracts)):
                remarks.append(remark)
        return WrappedSource(video, known=known, preparation=self.preparation, remarks=tuple(remarks))

    def _file(self, path: Path, name: str, given: Path | None) -> Any | None:
        """What the sidecar file of a video holds; None where there is none, and none is needed."""
        sidecar = MODALITIES.get(name).sidecar
        if sidecar is None:
            return None
        file = given or self.extracts.find(path, sidecar.suffix)
        if file is None and sidecar.needed and not (self.extracting and _is_extracted(name)):
            file = self.extracts.need(path, sidecar.suffix)  # reading it says what is missing
        return None if file is None else sidecar.open(file)

    def _made(self, source: Source, name: str, spec: ClipSpec | None, span: Span | None) -> Any | None:
        """What is extracted from a video that has no file of it; None of what is not extracted so."""
        if not self.extracting or not _is_extracted(name):
            return None
        path = local_path(source)
        if path is not None and not is_there(path):
            raise UnreadableVideo(why_absent(path))
        extracting = EXTRACTORS.get(name)
        assert extracting.in_memory is not None
        asked = name, self.pose_model, self.preparation
        if asked in self._recent.refusals:  # do not look for weights anew for each of many videos
            raise self._recent.refusals[asked]
        try:
            extractor = extracting.extractor(path, spec, self.preparation, self.pose_model)
        except MissingWeights as error:
            self._recent.refusals[asked] = error
            raise
        if path is None:
            return extracting.in_memory(extractor, source, span)
        known = self._recent.find(path, span, extractor)
        if known is None:
            known = extracting.in_memory(extractor, path, span)
            self._recent.keep(path, span, extractor, known)
        return known

    def _write_missing(self, path: Path, specs: Sequence[ClipSpec]) -> None:
        """Make the files that some inputs are read from, as far as they are missing."""
        try:
            for spec in specs:
                sidecar = MODALITIES.get(spec.modality).sidecar
                if sidecar is None or spec.modality not in EXTRACTORS:
                    continue
                if self.extracts.find(path, sidecar.suffix) is None:
                    extracting = EXTRACTORS.get(spec.modality)
                    extractor = extracting.extractor(path, spec, self.preparation, self.pose_model)
                    extractor.extract(path, self.extracts.free_place(path, sidecar.suffix))
        except InUse as error:
            raise InvalidAnnotation(f"Its files are being made at this moment: {error}") from error


def lacks_file(path: Path, modality: str, extracts: Extracts) -> str | None:
    """What to say of a video without a file that is not needed, where there is a folder of such files."""
    sidecar = MODALITIES.get(modality).sidecar
    if extracts.folder is None or sidecar is None or sidecar.needed:
        return None
    if extracts.find(path, sidecar.suffix) is not None:
        return None
    folder = extracts.folder
    return f"there is no {modality} file of it in {folder}, so its {modality} is estimated from the frames"


def local_path(source: Source) -> Path | None:
    """The path of a source that is a file of this machine; None for bytes and URLs."""
    return None if isinstance(source, bytes) or "://" in str(source) else Path(source)


def shown(source: Source) -> str:
    """A source as messages and records name it."""
    return f"{len(source)} bytes" if isinstance(source, bytes) else str(source)


def _names(specs: Sequence[ClipSpec]) -> list[str]:
    return list(dict.fromkeys(spec.modality for spec in specs))


def _is_extracted(modality: str) -> bool:
    """Whether what is missing of a modality is extracted and held in memory."""
    return modality in EXTRACTORS and EXTRACTORS.get(modality).in_memory is not None


_Key = tuple[Path, int, int, Extractor]


class _Recent:
    """What was extracted of the files looked at last, so that what is drawn is not extracted again."""

    def __init__(self) -> None:
        self._held: LRUCache[_Key, tuple[Any, Span | None]] = LRUCache(_REMEMBERED)
        self._lock = Lock()
        self.files: set[Path] = set()
        """Those whose data are nowhere else."""
        self.refusals: dict[tuple[str, str | None, Preparation], MissingWeights] = {}
        """Why a modality cannot be extracted with a model for poses as a preparation says."""

    def find(self, path: Path, span: Span | None, extractor: Extractor) -> Any | None:
        """Data of a span of a file, or of all of it, if the file is as it was then."""
        with self._lock:
            held = self._held.get((*_identity(path), extractor))
        if held is None:
            return None
        content, covered = held
        # What a part of a larger span shows depends on where that began, and an answer must not.
        return content if covered in (None, span) else None

    def keep(self, path: Path, span: Span | None, extractor: Extractor, content: Any) -> None:
        """Remember the data of a span of a file, and forget those of the longest ago."""
        with self._lock:
            self._held[(*_identity(path), extractor)] = (content, span)
            self.files.add(path)

    def __reduce__(self) -> tuple[type[_Recent], tuple[()]]:
        return _Recent, ()  # another process begins with nothing


def _identity(path: Path) -> tuple[Path, int, int]:
    state = path.stat()
    return path.absolute(), state.st_mtime_ns, state.st_size
