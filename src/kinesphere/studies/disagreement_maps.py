"""What two models looked at: maps of the clips that they disagree about, and of classes taken for others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kinesphere.core.content import content_key
from kinesphere.core.errors import InvalidAnnotation, NotFinite, VideoError
from kinesphere.explain.attribution import Attribution
from kinesphere.explain.explaining import Question, check_question, explain
from kinesphere.explain.render.strips import Strips, strips
from kinesphere.explain.store import SUFFIX, read_attribution, write_attribution
from kinesphere.studies.answerers import Answerers
from kinesphere.studies.disagreement import Clip, Confusion, Disagreement


@dataclass(frozen=True)
class Map:
    """What one model looked at in one clip, for one class.

    Attributes:
        model: Name of the model.
        label: The class that is explained.
        probability: What the model gives to it.
        strips: Frames with heat; None where there are none.
        problem: Why there are none.
    """

    model: str
    label: str
    probability: float
    strips: Strips | None
    problem: str = ""


@dataclass(frozen=True)
class MappedClip:
    """One clip with its maps."""

    clip: Clip
    maps: tuple[Map, ...]


@dataclass(frozen=True)
class Maps:
    """Everything of a comparison that is looked at.

    Attributes:
        apart: The clips that the models are farthest apart about, each explained by both, for the
            answer of each.
        confusions: The most frequent confusions with clips of each, explained for the class answered and for
            the true one, by each model that took them so.
    """

    apart: tuple[MappedClip, ...]
    confusions: tuple[tuple[Confusion, tuple[MappedClip, ...]], ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Why maps are missing, each with its clip."""
        clips = [*self.apart, *(clip for _, clips in self.confusions for clip in clips)]
        return tuple(
            dict.fromkeys(
                f"{each.clip.path}: {one.problem}" for each in clips for one in each.maps if one.problem
            )
        )


@dataclass(frozen=True)
class Extent:
    """How much is looked at.

    Attributes:
        method: Name of a method; None for the one of each model's card.
        clips: Clips of disagreement.
        confusions: Pairs of classes.
        examples: Clips of each pair.
    """

    method: str | None = None
    clips: int = 8
    confusions: int = 3
    examples: int = 2


def map_disagreement(
    comparison: Disagreement,
    models: tuple[Answerers, Answerers],
    out: Path,
    extent: Extent = Extent(),
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Maps:
    """Explain what there is to see of a comparison.

    Heat is kept in `out`, under names that follow from the clip's content, the model and the question: the
    same call goes on where it stopped. Clips that can no longer be read are listed.

    Args:
        comparison: What was measured.
        models: The two models; of a cross-validation a clip is explained by the fold that held it out.
        out: Folder of the heat.
        extent: How much is looked at.
        progress: Called with the number of maps that are done and their total.

    Raises:
        UnknownName: If there is no such method.
        InvalidSetting: If it is not defined for a model, or no fold held a clip out.
    """
    apart = comparison.apart[: extent.clips]
    confused = [
        (pair, tuple(_examples(comparison, pair))[: extent.examples])
        for pair in comparison.confusions[: extent.confusions]
    ]
    total = 2 * len(apart) + 2 * sum(
        answer == pair.answer for pair, clips in confused for clip in clips for answer in clip.answers
    )
    shown = [*apart, *(clip for _, clips in confused for clip in clips)]
    for model in models:
        for predictor in dict.fromkeys(model.of(clip.id)[0] for clip in shown):
            check_question(predictor, Question(extent.method))
    mapping = _Mapping(comparison.short_names, models, out, extent.method, progress, total)
    return Maps(
        tuple(
            MappedClip(clip, tuple(mapping.map(number, clip, clip.answers[number]) for number in (0, 1)))
            for clip in apart
        ),
        tuple(
            (pair, tuple(MappedClip(clip, mapping.of_pair(clip, pair)) for clip in clips))
            for pair, clips in confused
        ),
    )


def _examples(comparison: Disagreement, pair: Confusion) -> Iterator[Clip]:
    """Clips of the true class that some model takes for the other."""
    for clip in comparison.mistakes:
        if clip.truth == pair.truth and pair.answer in clip.answers:
            yield clip


@dataclass
class _Mapping:
    """Makes maps, from their files as far as these are there."""

    names: tuple[str, str]
    models: tuple[Answerers, Answerers]
    out: Path
    method: str | None
    progress: Callable[[int, int], None] | None
    total: int
    done: int = 0

    def of_pair(self, clip: Clip, pair: Confusion) -> tuple[Map, ...]:
        """The maps of both classes, by each model that takes the clip for the wrong one."""
        return tuple(
            self.map(number, clip, label)
            for number in (0, 1)
            if clip.answers[number] == pair.answer
            for label in (pair.answer, pair.truth)
        )

    def map(self, number: int, clip: Clip, label: str) -> Map:
        """One map."""
        given = clip.probabilities if label == clip.answers[number] else clip.truth_probabilities
        drawn, problem = None, ""
        try:
            drawn = strips(self._heat(number, clip, label), clip.path)
        except (VideoError, InvalidAnnotation, NotFinite) as error:
            problem = str(error)
        self.done += 1
        if self.progress:
            self.progress(self.done, self.total)
        return Map(self.names[number], label, given[number], drawn, problem)

    def _heat(self, number: int, clip: Clip, label: str) -> Attribution:
        model, digest = self.models[number].of(clip.id)
        path = Path(clip.path)
        content = content_key(path) if path.is_file() else clip.path
        text = "\n".join((content, str(clip.span), digest, str(self.method), label))
        file = (
            self.out / f"{hashlib.sha256(text.encode('utf-8', 'backslashreplace')).hexdigest()[:24]}{SUFFIX}"
        )
        if file.is_file():
            return read_attribution(file)
        found = explain(model, path, Question(self.method, label), span=clip.span)
        write_attribution(file, found)
        return found
