"""`EXTRACTORS`: by modality, what makes the sidecar files that a model needs and a video lacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kinesphere.annotations.extract.job import Extractor
from kinesphere.clips.preparation import Preparation
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.registry import Registry


def _nothing(learnt: Preparation) -> str | None:
    return None


class Following(Protocol):
    """Extraction that goes along with a source that has no end. One thread shows frames, another asks."""

    @property
    def fps(self) -> float | None:
        """Frames per second worth looking at; None for all."""
        ...

    def take(self, image: np.ndarray, time_s: float) -> None:
        """Look at the next frame, uint8 RGB `(H, W, 3)`; its time is later than that of the frame before."""
        ...

    def content(self, since_s: float) -> Any | None:
        """What a file would hold of the frames since a time; None before the first."""
        ...

    def restart(self) -> None:
        """Forget what was seen: what comes next has nothing to do with it."""
        ...

    def close(self) -> None:
        """Free what extracts."""
        ...


@dataclass(frozen=True)
class Extracting:
    """How missing files of one modality are made.

    Attributes:
        extractor: What writes them as those were made that a model learnt from: for a video (None: for
            bytes), the model's contract (None where no model reads them), how its own files were made, and
            the name of an extraction model if the user chose one.
        at_hand: The name of an extraction model with which files can be made as those were, or nearly, with
            nothing downloaded; None where there is none.
        following: Extraction that goes along with a live source, keeping so many seconds; None where there is
            none.
        in_memory: What a file would hold, of a source or of a span `(start_s, end_s)` of it; None where
            clips can be made without a file.
    """

    extractor: Callable[[Path | None, ClipSpec | None, Preparation, str | None], Extractor]
    in_memory: Callable[[Any, str | Path | bytes, tuple[float, float] | None], Any] | None = None
    at_hand: Callable[[Preparation], str | None] = _nothing
    following: Callable[[Any, float], Following] | None = None


EXTRACTORS: Registry[Extracting] = Registry(
    "extractor", Extracting, package="kinesphere.annotations.extract", group="kinesphere.extractors"
)
