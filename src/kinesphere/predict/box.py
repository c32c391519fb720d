"""`BoxPredictor`: the recogniser that comes with the package, for whoever names no model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from torch import Tensor

from kinesphere.annotations.extract.registry import EXTRACTORS
from kinesphere.clips.modality import MODALITIES, sees_frames
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core.device import Compute
from kinesphere.core.download import digest
from kinesphere.core.errors import InvalidAnnotation, MissingWeights
from kinesphere.core.labels import LabelSet
from kinesphere.core.paths import is_file
from kinesphere.data.sources import Opening, Source
from kinesphere.models.box import FOLDER, LIMITS
from kinesphere.models.checkpoint import architecture_in, read_model, read_provenance, read_specs
from kinesphere.models.provenance import Provenance
from kinesphere.models.rejection import Rejection
from kinesphere.predict.fusion import FILE_NAME, FusedPredictor, FusionFile
from kinesphere.predict.prediction import Prediction
from kinesphere.predict.predictor import Predictor
from kinesphere.predict.video_predictor import A, VideoPredictor

PAGE = "docs/first_answer.md"
BESIDE = "Where a pose file lies beside a video (kinesphere extract pose VIDEOS), its models answer together."
EXTRACTED = "Where none does, poses are extracted first ({}), which takes longer than the answer."
_VIEWS = Views(3, 1)
"""What it looks at of a video without windows: its beginning, its middle and its end."""
# A video so many times as long as what is looked at is better asked window by window.
_LONG = 2.0


class BoxPredictor(VideoPredictor):
    """Answers with those models of the box whose inputs a source offers, fused where they are all of them.

    Pixels are in every video; joints where a pose file lies beside it, where it is a pose file itself, or
    where they can be extracted with what is on this machine. Nothing is downloaded.

    Args:
        folder: Model files, and the `fusion.json` that fuses them.
        compute: Where and how it runs; by default the best for this machine.
        opening: Where files of poses lie, and what becomes of those that are missing.

    Raises:
        MissingWeights: If there is no model of frames in the folder.
        InvalidCheckpoint: If a file is damaged.
    """

    def __init__(
        self, folder: Path = FOLDER, compute: Compute | None = None, opening: Opening | None = None
    ) -> None:
        self._fusion = FusionFile.read(folder) if is_file(folder / FILE_NAME) else None
        found = sorted(folder.glob("*.safetensors")) if self._fusion is None else self._fusion.models
        self._files = tuple(path for path in found if is_file(path))
        self._inputs = [read_specs(path) for path in self._files]
        frames = [number for number, specs in enumerate(self._inputs) if sees_frames(specs)]
        if not frames:
            raise MissingWeights(
                f"This installation of Kinesphere has no recogniser of its own in {folder}; name one with "
                "--model, or install the package again."
            )
        self._first = frames[0]
        super().__init__(
            "the recogniser in the box",
            compute or Compute.choose(),
            _at_hand(opening or Opening(), self._files, self._inputs),
        )
        self._loaded: dict[int, Predictor] = {}

    @property
    def labels(self) -> LabelSet:
        """See `VideoPredictor.labels`."""
        return self.of_frames.labels

    @property
    def specs(self) -> tuple[ClipSpec, ...]:
        """The input contracts of the model that answers about any video."""
        return self.of_frames.specs

    @property
    def provenances(self) -> tuple[Provenance, ...]:
        """See `VideoPredictor.provenances`; of all models of the box."""
        return tuple(map(read_provenance, self._files))

    @property
    def test_views(self) -> Views:
        """See `VideoPredictor.test_views`."""
        return _VIEWS

    @property
    def rejection(self) -> Rejection | None:
        """See `VideoPredictor.rejection`; of the model that answers about any video."""
        return self.of_frames.rejection

    @property
    def of_frames(self) -> Predictor:
        """The model that answers about any video."""
        return self._member(self._first)

    @cached_property
    def fused(self) -> FusedPredictor:
        """All models of the box as one."""
        members = [self._member(number) for number in range(len(self._files))]
        fusion = self._fusion
        return FusedPredictor(
            members,
            None if fusion is None else fusion.weights,
            rejection=None if fusion is None else fusion.rejection,
            opening=self.opening,
        )

    def for_source(self, source: Source) -> VideoPredictor:
        """What answers about a source: all models, or the first whose inputs it offers."""
        try:
            usable = [
                number
                for number, specs in enumerate(self._inputs)
                if all(self.opening.offers(source, spec) for spec in specs)
            ]
        except InvalidAnnotation:  # the file beside it is of another video: reading it says so
            return self.fused
        if len(usable) == len(self._files) > 1:
            return self.fused
        return self._member(usable[0] if usable else self._first)

    def with_joints(self) -> VideoPredictor:
        """See `VideoPredictor.with_joints`: all models."""
        return self.fused if len(self._files) > 1 else self.of_frames

    def about(self) -> tuple[str, ...]:
        """What to say of it before its answers, in sentences."""
        rejection = self.rejection
        known = self.labels.names if rejection is None else rejection.known(self.labels)
        looks = {name: self._looks_at(number) for number, name in enumerate(map(_name, self._files))}
        parts = ", ".join(f"{name} on {what}" for name, what in looks.items())
        lines = [
            f"No model was named, so the recogniser in the box answers ({parts}).",
            f"It knows {len(known)} movements: {', '.join(known)}."
            + ("" if rejection is None else f" Whoever does none of them is {rejection.label!r}."),
            *([BESIDE] if len(self._files) > 1 else []),
            *([EXTRACTED.format(self.opening.pose_model)] if self.opening.pose_model is not None else []),
            f"{LIMITS[0]} {LIMITS[1]} Measured: {PAGE}; a model of your own: kinesphere train.",
        ]
        return tuple(lines)

    def signed(self, answer: A, member: VideoPredictor, views: Views) -> A:
        """An answer with who gave it, and a note where most of the video was not looked at."""
        if isinstance(answer, Prediction):
            answer = replace(answer, notes=(*answer.notes, *_unseen(answer.span, member, views)))
        return replace(answer, model=member.name)

    def probabilities(self, inputs: Sequence[Tensor], views: Views = Views()) -> Tensor:  # noqa: B008
        """See `VideoPredictor.probabilities`; of the model that answers about any video."""
        return self.of_frames.probabilities(inputs, views)

    def threads(self, clips: float) -> int | None:
        """See `VideoPredictor.threads`."""
        return self.of_frames.threads(clips)

    def digest(self) -> str:
        """See `VideoPredictor.digest`."""
        weights = None if self._fusion is None else self._fusion.weights
        rejection = None if self._fusion is None else self._fusion.rejection
        rule = [] if rejection is None else [rejection.rule]
        text = " ".join([*map(digest, self._files), repr(weights), *rule])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _member(self, number: int) -> Predictor:
        if number not in self._loaded:
            path = self._files[number]
            self._loaded[number] = Predictor(
                read_model(path, {}), self.compute, name=_name(path), opening=self.opening
            )
        return self._loaded[number]

    def _looks_at(self, number: int) -> str:
        return " and ".join(MODALITIES.get(spec.modality).what for spec in self._inputs[number])


def _unseen(span: tuple[float, float], member: VideoPredictor, views: Views) -> tuple[str, ...]:
    """A note where most of the video was not looked at."""
    seen_s = max(_seen_s(spec) for spec in member.specs) * views.clips
    start_s, end_s = span
    if not 0 < _LONG * seen_s < end_s - start_s:
        return ()
    lasts = f"it lasts {end_s - start_s:.0f} s, of which {seen_s:.0f} s were looked at"
    return (f"{lasts}; --window 2 asks about all of it",)


def _seen_s(spec: ClipSpec) -> float:
    """How long a clip is, in seconds; 0 where it spans the whole video."""
    sampling = spec.sampling
    if sampling.kind == "uniform" or spec.fps is None:
        return 0.0
    return sampling.length * sampling.interval / spec.fps


def _name(path: Path) -> str:
    """The name of weights in the box, `model.tag`."""
    return f"{architecture_in(path)}.{path.stem.partition('_')[0]}"


def _at_hand(opening: Opening, files: Sequence[Path], inputs: Sequence[tuple[ClipSpec, ...]]) -> Opening:
    """The opening, extracting with what is on this machine unless somebody chose what with."""
    if opening.pose_model is not None:
        return opening
    for path, specs in zip(files, inputs, strict=True):
        for modality in (spec.modality for spec in specs if spec.modality in EXTRACTORS):
            found = EXTRACTORS.get(modality).at_hand(read_provenance(path).preparation)
            if found is not None:
                return replace(opening, pose_model=found)
    return opening
