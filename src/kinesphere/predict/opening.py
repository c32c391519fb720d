"""`Opening`: how a predictor comes to the pictures, flow and joints of a video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kinesphere.clips.archive import Extracts
from kinesphere.clips.spec import ClipSpec
from kinesphere.data.cache import CachedVideo
from kinesphere.data.extract import Extractor, FlowExtractor
from kinesphere.data.source import AnnotatedVideo, PoseTrack, open_source
from kinesphere.video import Video

Source = str | Path | bytes
Opened = Video | CachedVideo | AnnotatedVideo | PoseTrack


@dataclass(frozen=True)
class Opening:
    """Where extracted files lie, and whether those that are missing are made.

    Attributes:
        extracts: Where files of flow and poses are looked for. Flow without a file is computed from the
            frames that are needed.
        keep: Extract what a model needs of a whole video first, and keep the file there.
    """

    extracts: Extracts = Extracts()  # noqa: RUF009 (frozen)
    keep: bool = False

    def open(self, source: Source, specs: Sequence[ClipSpec], *, threads: int | None = None) -> Opened:
        """Open what the specs need of a source. Addresses and bytes have no files beside them.

        Raises:
            VideoError: If it cannot be decoded.
            InvalidAnnotation: If a file is needed and missing, or belongs to another video.
        """
        if isinstance(source, bytes) or "://" in str(source):
            return Video.open(source, threads=threads)
        path = Path(source)
        if self.keep:
            for extractor in needed(specs):
                target = self.extracts.path(path, extractor.suffix)
                if not target.exists():
                    extractor.extract(path, target)
        return open_source(path, specs, extracts=self.extracts, threads=threads)


def needed(specs: Sequence[ClipSpec]) -> list[Extractor]:
    """What makes the files that some inputs are read from."""
    methods = dict.fromkeys(spec.flow for spec in specs if spec.modality == "flow")
    return [FlowExtractor(method) for method in methods]
