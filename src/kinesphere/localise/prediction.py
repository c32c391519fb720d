"""`LocalisingPredictor`: what happens when in videos, from the videos themselves."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kinesphere.annotations.timed import Detection
from kinesphere.clips.sidecar import Extracts, stated_video
from kinesphere.core.content import content_key
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, VideoError
from kinesphere.core.labels import LabelSet
from kinesphere.core.paths import is_file, is_folder
from kinesphere.core.skipped import Skipped
from kinesphere.localise.detector_file import is_localiser
from kinesphere.localise.fusion import Judges, check_fusable, fused
from kinesphere.localise.methods.registry import Detector, Proposes, load_detector
from kinesphere.localise.proposal_fates import Hear, Proposing
from kinesphere.localise.recordings import recording_name
from kinesphere.localise.settings import LocaliseRecipe
from kinesphere.predict.bulk import Progress
from kinesphere.predict.features import (
    SUFFIX,
    FeatureExtractor,
    FeatureGrid,
    FeaturePredictor,
    VideoFeatures,
    read_features,
)
from kinesphere.predict.fusion import FILE_NAME as FUSION
from kinesphere.predict.fusion import FusionFile
from kinesphere.predict.long_video import REFUSALS
from kinesphere.predict.scorers import Mode
from kinesphere.predict.timeline import Timeline
from kinesphere.train.recipe import RECIPE_FILE
from kinesphere.train.run_folder import RunFiles

SEEN_BY = "recogniser.safetensors"
"""In a run folder: the recogniser whose features the detector sees."""
_FILE = "model.safetensors"


def localiser_file(source: str | Path) -> Path | None:
    """The model file of a detector that a run folder or a file is, or the file of a fusion of detectors; None
    for anything else.

    Raises:
        InvalidCheckpoint: If a model file is damaged.
    """
    folder = Path(source)
    path = folder / _FILE if is_folder(folder) else folder
    if not is_file(path) and is_file(folder / FUSION):
        return folder / FUSION if localiser_file(FusionFile.read(folder).models[0]) is not None else None
    return path if is_file(path) and path.suffix.lower() == ".safetensors" and is_localiser(path) else None


@dataclass(frozen=True)
class Answer:
    """What a detector says of a video.

    Attributes:
        timeline: What happens when.
        proposals: Where any action is; None by detectors without such a step.
    """

    timeline: Timeline
    proposals: tuple[Detection, ...] | None


def feature_place(recipe: LocaliseRecipe, files: RunFiles) -> Extracts:
    """Where the feature files of a run lie that its detector sees."""
    section = recipe.features
    if section.model is not None and (section.folder is None or recipe.backbone.train):
        return Extracts(files.features)
    return Extracts(None if section.folder is None else Path(section.folder))


def _recipe_of(model: Path) -> LocaliseRecipe | None:
    """The recipe beside a model; None without one."""
    recipe = model.with_name(RECIPE_FILE)
    return LocaliseRecipe.load(recipe) if is_file(recipe) else None


@dataclass(frozen=True)
class LocalisingPredictor:
    """A detector with what makes the features that it sees.

    Attributes:
        name: As the user named it.
        detector: Finds actions in features.
        extractor: Makes them; None where they came from another program.
        extracts: Where feature files of videos lie.
        keep: Whether features that are made on the way are kept there.
        hear: Told of the features of each video once it is seen.
        others: Further detectors that it is fused with.
        weights: Of it and the others, which sum to 1; none without others.
        run: Where it lies by itself, if it is fused with others.
        kept: Where the run that the detector is of has its own feature files; None for no run. What a file
            there is of is told by its content, or by its name where the video is not there.
    """

    name: str
    detector: Detector
    extractor: FeatureExtractor | None
    extracts: Extracts = Extracts()  # noqa: RUF009 (frozen)
    keep: bool = False
    hear: Hear | None = None
    others: tuple[LocalisingPredictor, ...] = ()
    weights: tuple[float, ...] = ()
    run: str = ""
    kept: Extracts | None = None

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        compute: Compute | None = None,
        extracts: Extracts = Extracts(),  # noqa: B008 (frozen)
        keep: bool = False,
    ) -> LocalisingPredictor:
        """The detector of a run folder or a model file, with the recogniser beside it.

        Args:
            source: The folder or the file.
            compute: Where and how features are made; None for the best for this machine.
            extracts: Where feature files lie.
            keep: Whether those that are made are kept.

        Raises:
            InvalidCheckpoint: If it is no detector, or damaged.
            InvalidSetting: If it is a fusion of detectors that do not go together, or whose features are to
                be kept.
        """
        path = localiser_file(source) or Path(source)
        if path.name == FUSION:
            return _fused(path.parent, str(source), compute, extracts, keep=keep)
        detector = load_detector(path)
        recogniser, sight, recipe = path.with_name(SEEN_BY), detector.sight, _recipe_of(path)
        extractor = None
        if is_file(recogniser):
            mode: Mode = "streaming" if sight.origin.endswith(" streaming") else "windows"
            # A window of None in a recipe is the recogniser's own clip, longer at a lower frame rate.
            window_s = sight.window_s if recipe is None else recipe.features.window_s
            extractor = FeatureExtractor(
                str(recogniser), FeatureGrid(sight.stride_s, window_s, mode), compute
            )
        # What is to be kept beside the video is made, whatever the run has of it.
        kept = None if recipe is None or keep else feature_place(recipe, RunFiles(path.parent))
        return cls(str(source), detector, extractor, extracts, keep, kept=kept)

    @property
    def members(self) -> tuple[str, ...]:
        """The runs that are fused; none of one alone."""
        return (self.run, *(each.name for each in self.others)) if self.others else ()

    @property
    def proposes(self) -> Proposing:
        """The detector as one that proposes first.

        Raises:
            InvalidSetting: If it does not.
        """
        if self.others:
            raise InvalidSetting(
                f"{self.name} is several detectors in one; what becomes of proposals is told of one of them."
            )
        if not isinstance(self.detector, Proposing):
            raise InvalidSetting(
                f"{self.detector.name} proposes nothing that it could drop: every point of it answers at "
                "once. Detectors that propose first: ssn."
            )
        return self.detector

    def digest(self) -> str:
        """A short digest of the detector and of what it sees, equal for equal answers."""
        with tempfile.TemporaryDirectory(prefix="kinesphere-") as scratch:
            key = content_key(self.detector.save(Path(scratch) / _FILE))
        own = f"{key} {self.detector.sight.origin}"
        return " + ".join((own, *(each.digest() for each in self.others), *map(str, self.weights)))

    @property
    def sees(self) -> FeaturePredictor | None:
        """The recogniser without its head, whose features the detector sees."""
        return None if self.extractor is None else self.extractor.predictor()

    def timeline(self, source: str | Path, unfinished: Path | None = None) -> Timeline:
        """What happens in a video when; see `answer`."""
        return self.answer(source, unfinished).timeline

    def answer(self, source: str | Path, unfinished: Path | None = None) -> Answer:
        """What happens in a video when, and where any action is.

        Features are read from their file where there is one that fits, and made otherwise.

        Args:
            source: The video.
            unfinished: Where features lie that are not kept, so that a stopped extraction goes on there; None
                for a folder that goes.

        Raises:
            VideoError: If the video cannot be decoded.
            InvalidAnnotation: If a feature file is damaged, or there is none and nothing that makes it.
            InvalidSetting: If features are others than the detector sees.
        """
        if "://" in str(source):
            raise VideoError(f"{source} is a stream; features are made of files. Download it first.")
        with ExitStack() as held:
            features, *others = (
                held.enter_context(each._features(Path(source), _beside(unfinished, number)))
                for number, each in enumerate((self, *self.others))
            )
            video = recording_name(Path(source))
            found = self._found(features, others, video)
            if self.hear is not None:
                self.hear(features, video)
            timeline = timeline_of(found, features, self.detector.labels, str(source), self.name)
            return Answer(timeline, proposals_of(self.detector, features, video))

    def _found(self, features: VideoFeatures, others: Sequence[VideoFeatures], video: str) -> list[Detection]:
        """What it finds by itself, or with the others."""
        detectors = [each.detector for each in (self, *self.others)]
        judges = [each for each in detectors if isinstance(each, Judges)]
        if not others or len(judges) < len(detectors):
            return self.detector.detect(features, video)
        return fused(judges, (features, *others), self.weights, video)

    @contextmanager
    def _features(self, video: Path, unfinished: Path | None) -> Iterator[VideoFeatures]:
        for own in self._files(video):
            if self.extractor is None or self.extractor.differs(own) is None:
                yield read_features(own)
                return
        if self.extractor is None:
            raise InvalidAnnotation(
                f"There is no file {video.name}{SUFFIX}, and {self.name} has no {SEEN_BY} that would make "
                "one: the detector learnt from features of another program. Import those of this video "
                "beside it, or name their folder with --extracts."
            )
        with tempfile.TemporaryDirectory(prefix="kinesphere-") as scratch:
            target = unfinished or Path(scratch) / f"video{SUFFIX}"
            if self.keep:
                target = self.extracts.free_place(video, SUFFIX)
            self.extractor.extract(video, target)
            yield read_features(target)
            if unfinished is not None and not self.keep:
                target.unlink(missing_ok=True)

    def _files(self, video: Path) -> Iterator[Path]:
        """The feature files that a video may have."""
        if video.name.endswith(SUFFIX):
            yield video
            return
        if (own := self.extracts.find(video, SUFFIX)) is not None:
            yield own
        own = None if self.kept is None else self.kept.find(video, SUFFIX)
        if own is not None and (stated_video(own) is not None or not is_file(video)):
            yield own


def _fused(
    folder: Path, name: str, compute: Compute | None, extracts: Extracts, *, keep: bool
) -> LocalisingPredictor:
    """Several detectors as one."""
    if keep:
        raise InvalidSetting(
            f"{name} is several detectors, whose features would lie in one place; leave --keep out."
        )
    file = FusionFile.read(folder)
    first, *others = (LocalisingPredictor.load(m, compute=compute, extracts=extracts) for m in file.models)
    check_fusable([each.detector for each in (first, *others)])
    return replace(first, name=name, others=tuple(others), weights=file.weights, run=first.name)


def _beside(unfinished: Path | None, number: int) -> Path | None:
    """Where the features of a further detector lie, beside those of the first."""
    return unfinished.with_name(f"{number}-{unfinished.name}") if unfinished and number else unfinished


def timeline_of(
    found: Sequence[Detection], features: VideoFeatures, labels: LabelSet, source: str, model: str = ""
) -> Timeline:
    """What was found in a video as a timeline, a window a row of features."""
    edges = np.concatenate([[0.0], (features.times_s[1:] + features.times_s[:-1]) / 2, [features.duration_s]])
    spans = np.stack([edges[:-1], np.maximum(edges[1:], edges[:-1] + 1e-3)], 1)
    probabilities, middles = np.zeros((len(spans), len(labels))), spans.mean(1)
    for each in found:
        inside = (middles >= each.start_s) & (middles < each.end_s)
        column = probabilities[:, labels.names.index(each.label)]
        column[inside] = np.maximum(column[inside], each.score)
    several = LabelSet(labels.names, labels.mirror, multi=True)
    return Timeline(probabilities.clip(0, 1), spans, several, source, model=model, found=tuple(found))


def proposals_of(detector: Detector, features: VideoFeatures, video: str) -> tuple[Detection, ...] | None:
    """Where any action is; None by detectors without such a step."""
    return tuple(detector.propose(features, video)) if isinstance(detector, Proposes) else None


def timelines(
    predictor: LocalisingPredictor,
    sources: Sequence[str],
    progress: Progress = Progress(),  # noqa: B008 (frozen)
) -> Iterator[Timeline | Skipped]:
    """What happens in each of many videos; see `answers`."""
    for each in answers(predictor, sources, progress):
        yield each if isinstance(each, Skipped) else each.timeline


def answers(
    predictor: LocalisingPredictor,
    sources: Sequence[str],
    progress: Progress = Progress(),  # noqa: B008 (frozen)
) -> Iterator[Answer | Skipped]:
    """What a detector says of each of many videos, in their order; the others go on where one fails.

    Args:
        predictor: The detector.
        sources: Paths.
        progress: Beside what features lie that are not kept.
    """
    for source in sources:
        beside = progress.keep(source)
        try:
            yield predictor.answer(source, beside and beside.with_name(f"{beside.name}{SUFFIX}"))
        except (*REFUSALS, InvalidSetting) as error:
            yield Skipped(source, str(error))
