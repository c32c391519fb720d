"""`explain`: which pixels, frames and joints of a video an answer rests on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from kinesphere.clips.augment.settings import check_views
from kinesphere.clips.clip import Clip, stack
from kinesphere.clips.geometry import Size
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.skeleton import SKELETONS
from kinesphere.clips.source import VideoSource, duration_of, start_of
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core.errors import InvalidSetting, NobodySeen, NotFinite
from kinesphere.core.sides import mirror_order
from kinesphere.data.sources import Source, shown
from kinesphere.explain.attribution import Attribution, InputHeat
from kinesphere.explain.faithfulness import Faithfulness, Work, faithfulness
from kinesphere.explain.geometry import Offset, fill_cells, placements
from kinesphere.explain.method import METHODS, Method, Settings
from kinesphere.explain.neutral import baselines, is_joints
from kinesphere.explain.streams import StreamContribution, fused_contributions, input_contributions
from kinesphere.explain.target import Scored, Target
from kinesphere.models import Recogniser
from kinesphere.predict import FusedPredictor, Predictor, VideoPredictor
from kinesphere.predict.long_video import damage_of, window_clips

Span = tuple[float, float]
_OUTSHONE = 0.99
_SUMS_UP = 0.01
"""How far a sum may miss, as a share of what it promises, before the answer says so."""


@dataclass(frozen=True)
class Question:
    """What is asked of a model's answers.

    Attributes:
        method: Name of the method; None for the one of the model's card.
        label: The class; None for the one that the model answers with.
        against: Another class: "why `label` and not `against`?"
        views: Clips and crops, each of which is explained.
        settings: How much work the method does.
        faithful: How finely it is measured whether the map is true; None leaves that out.
    """

    method: str | None = None
    label: str | None = None
    against: str | None = None
    views: Views = Views()  # noqa: RUF009 (frozen)
    settings: Settings = Settings()  # noqa: RUF009 (frozen)
    faithful: Work | None = None


@dataclass(frozen=True)
class _Seen:
    """The clips that a model saw of one input, and where they lie in the source."""

    spec: ClipSpec
    clips: tuple[Clip, ...]
    frame_size: Size
    points: tuple[np.ndarray, ...] | None


def explain(
    model: VideoPredictor | Recogniser,
    source: Source,
    question: Question = Question(),
    *,
    span: Span | None = None,
) -> Attribution:
    """What a model's answer to a video rests on.

    Everything runs in fp32, through the model's own input contract.

    Args:
        model: A predictor, several that are fused, or a recogniser, which is left in evaluation mode.
        source: A path, a URL, or the file's bytes.
        question: Which class, by which method.
        span: `(start_s, end_s)`; None for the whole video.

    Raises:
        UnknownName: If there is no such method.
        InvalidSetting: If the method is not defined for the model; the message says what to use instead.
        LabelMismatch: If the model does not know a class.
        VideoError: If the video cannot be decoded.
        NotFinite: If the model's answer is not a number.
    """
    predictor = model if isinstance(model, VideoPredictor) else Predictor(model, optimise=False)
    predictor = predictor.for_source(source)
    answering = _Answering.of(predictor, question)
    with predictor.opening.open(source, predictor.specs, span=span) as video:
        seen = [
            _seen(video, spec, span, question.views, MODALITIES.get(spec.modality).read(
                video, spec, span, views=question.views
            ))
            for spec in predictor.specs
        ]  # fmt: skip
        start_s, end_s = span or (start_of(video), duration_of(video))
        notes = (*video.remarks, *damage_of(video))
        return answering.answer(seen, shown(source), (start_s, min(end_s, duration_of(video))), notes)


def explain_windows(
    model: VideoPredictor,
    source: Source,
    question: Question = Question(),
    *,
    window_s: float,
    stride_s: float,
    skip: int = 0,
) -> Iterator[Attribution]:
    """What a model's answers to the windows of a long video rest on, in order, one in memory at a time.

    Args:
        model: A predictor, or several that are fused.
        source: A path, or the file's bytes.
        question: Which class, by which method; without a class each window's own answer is explained.
        window_s: Length of a window in seconds.
        stride_s: Seconds between the starts of windows.
        skip: Windows at the start that are passed over.

    Raises:
        See `explain`.
    """
    model = model.for_source(source)
    answering = _Answering.of(model, question)
    windows = window_clips(source, model.specs, window_s, stride_s, question.views, model.opening)
    for window in islice(windows, skip, None):
        seen = [
            _seen(video, spec, window.span, question.views, clips)
            for video, spec, clips in zip(window.videos, model.specs, window.clips, strict=True)
        ]
        yield answering.answer(seen, shown(source), window.span, window.notes)


def _seen(
    video: VideoSource, spec: ClipSpec, span: Span | None, views: Views, clips: Sequence[Clip]
) -> _Seen:
    return _Seen(spec, tuple(clips), video.size, _points(video, spec, span, views))


def _points(
    video: VideoSource, spec: ClipSpec, span: Span | None, views: Views
) -> tuple[np.ndarray, ...] | None:
    """Joints of the clips, for each crop of each: in pixels of the displayed source, or in metres."""
    if not is_joints(spec):
        return None
    whole = (
        spec if spec.dimensions == 3 else spec.with_(size=video.size, resize="stretch", short_side_px=None)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NobodySeen)  # it was said when the clips were read
        clips = MODALITIES.get(spec.modality).read(video, whole, span, views=Views(views.clips))
    return tuple(clip.data.numpy() for clip in clips for _ in range(views.crops))


# ------------------------------------------------------------------------------------------- one network


@dataclass(frozen=True)
class _Network:
    """A network under the name that its heat gets, with its method."""

    name: str
    predictor: Predictor
    method: Method


@dataclass(frozen=True)
class _Answering:
    """A question with what answers it: networks, and the method of each."""

    predictor: VideoPredictor
    question: Question
    networks: tuple[_Network, ...]

    @classmethod
    def of(cls, predictor: VideoPredictor, question: Question) -> _Answering:
        check_views(question.views, predictor.labels)
        named: list[tuple[str, VideoPredictor]] = [(predictor.name, predictor)]
        if isinstance(predictor, FusedPredictor):
            named = list(zip(predictor.member_names, predictor.members, strict=True))
        for label in (question.label, question.against):
            if label is not None:
                predictor.labels.index(label, "the question")
        if question.label is not None and question.label == question.against:
            raise InvalidSetting(f"A class cannot be held against itself: {question.label!r}.")
        found = []
        for name, network in named:
            if not isinstance(network, Predictor):
                raise InvalidSetting(f"{name} has no network of its own that could be explained.")
            found.append(_Network(name, network, method_for(network.module, question.method)))
        return cls(predictor, question, tuple(found))

    def answer(self, seen: Sequence[_Seen], source: str, span: Span, notes: tuple[str, ...]) -> Attribution:
        """The attribution of clips, one `_Seen` per input of the predictor."""
        inputs = [stack(each.clips)[None] for each in seen]
        (probabilities,) = self.predictor.answers(inputs, self.question.views, [source])
        labels = self.predictor.labels
        best = int(probabilities.argmax())
        label = labels.index(self.question.label) if self.question.label is not None else best
        against = None if self.question.against is None else labels.index(self.question.against)
        heats: list[InputHeat] = []
        scores, residuals = [], []
        measured: dict[str, Faithfulness] = {}
        streams: tuple[StreamContribution, ...] = ()
        if isinstance(self.predictor, FusedPredictor):
            target = Target(label, against)
            streams = fused_contributions(self.predictor, inputs, target, self.question.views)
        by_spec = {each.spec: each for each in seen}
        for network in self.networks:
            order = [network.predictor.labels.index(name) for name in labels.names]
            target = Target(order[label], None if against is None else order[against])
            own = tuple(by_spec[spec] for spec in network.predictor.specs)
            explained = _Explained.of(network, own, target, order[best], self.question)
            heats += explained.heats
            scores.append(explained.score)
            residuals.append(explained.residual)
            streams += explained.streams
            if explained.faithfulness is not None:
                measured[network.name] = explained.faithfulness
        residual = max((each for each in residuals if each is not None), default=None)
        if residual is not None and residual > _SUMS_UP:
            notes = (*notes, _missed(residual))
        named = " + ".join(dict.fromkeys(network.method.name for network in self.networks))
        return Attribution(
            source, seen[0].frame_size, span, named,
            labels.names[label], self.question.against, float(probabilities[label]),
            float(np.average(scores, weights=_weights(self.predictor, inputs))),
            (labels.names[best], float(probabilities[best])), tuple(heats),
            any(network.method.signed for network in self.networks), residual, notes,
            measured, streams,
        )  # fmt: skip


def method_for(recogniser: Recogniser, name: str | None) -> Method:
    """The method of this name, or the one of the model's card.

    Raises:
        UnknownName: If there is no such method.
        InvalidSetting: If it is not defined for the model.
    """
    method = METHODS.get(name or recogniser.card.explanation)
    if refusal := method.refusal(recogniser):
        raise InvalidSetting(refusal)
    return method


def check_question(predictor: VideoPredictor, question: Question) -> None:
    """Refuse a question that a model cannot be asked, before a video is opened.

    Raises:
        See `explain`.
    """
    _Answering.of(predictor, question)


def _missed(residual: float) -> str:
    return (
        "The sum of heat misses the score's difference to an input without content by "
        f"{100 * residual:.1f} %: the score jumps on the way, or has more kinks than there were points."
    )


def _weights(predictor: VideoPredictor, inputs: Sequence[Tensor]) -> np.ndarray:
    """What each network counts for in the answer to one sample."""
    return predictor.weights_for(inputs)[0] if isinstance(predictor, FusedPredictor) else np.ones(1)


@dataclass(frozen=True)
class _Explained:
    """The heat of all views of one network."""

    heats: tuple[InputHeat, ...]
    score: float
    residual: float | None
    faithfulness: Faithfulness | None
    streams: tuple[StreamContribution, ...]

    @classmethod
    def of(
        cls,
        network: _Network,
        seen: Sequence[_Seen],
        target: Target,
        best: int,
        question: Question,
    ) -> _Explained:
        """Explain `target`; the class `best`, the one answered with, gives the scale of the colours."""
        views = _Views.of(network, seen, question)
        values, score, residual = views.explain(target)
        full = [_strongest(each) for each in values]
        if network.method.by_class and target != Target(best):
            answered, _, _ = views.explain(Target(best))
            full = [max(pair) for pair in zip(full, map(_strongest, answered), strict=True)]
        heats = [
            replace(heat, values=part, full=strongest)
            for blank, value, strongest in zip(views.blank(), values, full, strict=True)
            if value is not None
            for heat, part in zip(blank, value, strict=True)
        ]
        true = None
        if question.faithful is not None:
            one = [None if value is None else torch.from_numpy(value[0]) for value in values]
            clips = [x[:1] for x in views.inputs]
            true = faithfulness(network.predictor.module, clips, one, target.label, question.faithful)
        return cls(tuple(heats), score, residual, true, views.contributions(target))


def _strongest(values: np.ndarray | None) -> float:
    """The heat of full colour: the strongest there is but for the last hundredth, where single pixels lie."""
    heat = np.abs(values[values != 0]) if values is not None else np.zeros(0)
    return float(np.quantile(heat, _OUTSHONE)) if len(heat) else 0.0


@dataclass(frozen=True)
class _Views:
    """The V views of one sample as a network takes them."""

    network: _Network
    seen: tuple[_Seen, ...]
    inputs: tuple[Tensor, ...]
    flipped: tuple[bool, ...]
    question: Question

    @classmethod
    def of(cls, network: _Network, seen: Sequence[_Seen], question: Question) -> _Views:
        device = network.predictor.compute.device
        inputs = tuple(
            MODALITIES.get(each.spec.modality).normalise(
                stack(each.clips).to(device), each.spec, torch.float32
            )
            for each in seen
        )
        flipped = question.views.flipped * (len(inputs[0]) // question.views.crops)
        return cls(network, tuple(seen), inputs, flipped, question)

    def _each(self, target: Target) -> Iterator[tuple[Scored, tuple[Tensor, ...], bool]]:
        """For each view what is scored, its clips, and whether they are a mirror image."""
        mirror = mirror_order(self.network.predictor.labels) if any(self.flipped) else None
        for view, flipped in enumerate(self.flipped):
            own = target if not flipped or mirror is None else _mirrored(target, mirror)
            inputs = tuple(x[view : view + 1] for x in self.inputs)
            yield Scored(self.network.predictor.module, own), inputs, flipped

    def contributions(self, target: Target) -> tuple[StreamContribution, ...]:
        """What each of several inputs adds to the score, the mean of all views."""
        if len(self.inputs) < 2:
            return ()
        batch = self.question.settings.batch
        views = [input_contributions(scored, inputs, batch) for scored, inputs, _ in self._each(target)]
        return tuple(
            replace(
                of_view[0],
                contribution=float(np.mean([each.contribution for each in of_view])),
                without=float(np.mean([each.without for each in of_view])),
                total=float(np.mean([each.total for each in of_view])),
                within=self.network.name,
            )
            for of_view in zip(*views, strict=True)
        )

    def explain(self, target: Target) -> tuple[list[np.ndarray | None], float, float | None]:
        """Per input the heat `(V, T, ...)`; the mean score; and how far sums miss it."""
        views: list[tuple[np.ndarray | None, ...]] = []
        scores, sums, differences = [], 0.0, 0.0
        joints = [is_joints(each.spec) for each in self.seen]
        method, specs = self.network.method, self.network.predictor.specs
        for scored, inputs, flipped in self._each(target):
            origins = baselines(inputs, specs)
            heat = method.heat(scored, inputs, self.question.settings)
            offsets = method.offsets(scored.recogniser, inputs, self.question.settings)
            with torch.inference_mode():
                scores.append(float(scored(*inputs)))
                if method.sums_up:
                    difference = scores[-1] - float(scored(*origins))
                    differences += abs(difference)
                    total = sum(float(each.sum(dtype=torch.float64)) for each in heat if each is not None)
                    sums += abs(difference - total)
            filled = map(self._filled, heat, inputs, joints, offsets)
            # In a mirror image left and right joints have changed places.
            views.append(tuple(map(_unmirrored, filled, specs)) if flipped else tuple(filled))
        values = [None if each[0] is None else np.stack(each) for each in zip(*views, strict=True)]
        if not all(value is None or np.isfinite(value).all() for value in values):
            raise NotFinite(f"The explanation of {self.network.name} by {method.name} is not finite.")
        return values, float(np.mean(scores)), sums / differences if differences else None

    def blank(self) -> list[list[InputHeat]]:
        """Per input and view where its heat belongs, without the heat."""
        nothing, method = np.zeros(0, np.float32), self.network.method
        result = []
        for each in self.seen:
            spec, joints = each.spec, is_joints(each.spec)
            places = [] if joints else placements(each.frame_size, spec, self.question.views)
            result.append([
                InputHeat(
                    self.network.name, spec, view, clip.times, nothing, 0.0,
                    None if joints else places[view % len(places)],
                    None if each.points is None else each.points[view],
                    method.name, method.signed, method.sums_up,
                )
                for view, clip in enumerate(each.clips)
            ])  # fmt: skip
        return result

    @staticmethod
    def _filled(heat: Tensor | None, x: Tensor, joints: bool, offset: Offset) -> np.ndarray | None:
        """Heat of one view for each pixel or joint of its clip."""
        if heat is None:
            return None
        length, height, width = x.shape[1:4] if joints else (x.shape[1], *x.shape[-2:])
        filled: np.ndarray = fill_cells(heat.detach(), (length, height, width), offset)[0].cpu().numpy()
        return filled


def _unmirrored(heat: np.ndarray | None, spec: ClipSpec) -> np.ndarray | None:
    """Heat of the joints `(T, M, J)` of a mirror image for those of the source; pixels have a placement."""
    if heat is None or spec.skeleton is None:
        return heat
    own: np.ndarray = heat[..., list(SKELETONS.get(spec.skeleton).mirror)]
    return own


def _mirrored(target: Target, mirror: Sequence[int]) -> Target:
    return Target(mirror[target.label], None if target.against is None else mirror[target.against])
