"""`Family`: what the models of one zoo file share. Each model is a named function beside it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast

from torch import nn

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidSetting
from kinesphere.models import counts
from kinesphere.models.card import CamLayer, ModelCard, Paper, Part, WeightEntry
from kinesphere.models.registry import MODELS, Architecture, Fit
from kinesphere.models.weights.keymap import KeyMap
from kinesphere.models.weights.public import public_weights
from kinesphere.models.weights.shipped import shipped_weights
from kinesphere.models.words import Words

P = ParamSpec("P")
Q = ParamSpec("Q")
N = TypeVar("N", bound=nn.Module)
M = TypeVar("M", bound=nn.Module)
F = TypeVar("F", bound=Callable[..., nn.Module])


class _Question(int):
    """A number of classes that asks a model's function for its values instead of a network."""

    values: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Family(Generic[P, N]):
    """A paper's network with what is known of all its sizes.

    A model is a function under `@FAMILY.model(...)`, and bears its name::

        @R3D.model("18-layer residual network with 3D convolutions throughout.", weights=...)
        def r3d_18(num_classes: int) -> VideoResNet:
            return R3D.build(num_classes, kinds=("3d",) * 5, depths=(2, 2, 2, 2))

    Recipes, key maps and weight entries may change every argument of `network`; the values that the function
    gives are the defaults.

    Attributes:
        name: Name of the zoo file.
        paper: Origin; None for our own designs.
        network: What `build` calls: the network's class, or a function that returns one.
        inputs: One contract per input of `forward`.
        tiny_inputs: Those of the reduced variants for tests.
        stages: Dotted paths of the stages from input to output.
        head: Dotted paths of the layers that are replaced when labels differ.
        cam_layers: Per input and pathway, the last layer whose activations lie on a grid over the clip.
        explanation: Name of the explanation method that suits the network best.
        classes: Size K of the head for which a card's counts hold; 5 in reduced variants.
        key_maps: Public layouts of checkpoints.
        fit: The input contract of a network for its arguments.
        fixed_length: True where the paper's design fixes T.
        fixed_size: True where it fixes H and W; of several inputs, the modalities for which it does.
        words: How classes are named in words; None where they are learnt.
        frame_wise: Whether overlapping windows share what it computes of a frame (`runtime.framewise`).
        notes: Deviations from the paper and what parity rests on.
    """

    name: str
    paper: Paper | None
    network: Callable[Concatenate[int, P], N]
    inputs: tuple[ClipSpec, ...]
    tiny_inputs: tuple[ClipSpec, ...]
    stages: tuple[str, ...]
    head: tuple[str, ...] = ("fc",)
    cam_layers: tuple[CamLayer, ...] = ()
    explanation: str = "gradcam"
    classes: int = 400
    key_maps: tuple[KeyMap, ...] = ()
    fit: Fit | None = None
    fixed_length: bool = False
    fixed_size: bool | tuple[str, ...] = False
    words: Words | None = None
    frame_wise: bool = False
    notes: str = ""

    def build(self, num_classes: int, *args: P.args, **values: P.kwargs) -> N:
        """The network with these values; the return value of a model's function."""
        if isinstance(num_classes, _Question):
            bound = inspect.signature(self.network).bind(num_classes, *args, **values).arguments
            num_classes.values = dict(list(bound.items())[1:])
            return cast("N", None)  # nobody looks at it: the function is asked for its values
        return self.network(num_classes, *args, **values)

    def of(self, network: Callable[Concatenate[int, Q], M], **changes: Any) -> Family[Q, M]:
        """This record for another network, with `changes` of further attributes."""
        return cast("Family[Q, M]", replace(cast("Any", self), network=network, **changes))

    def model(
        self,
        summary: str,
        *,
        weights: tuple[WeightEntry, ...] | None = None,
        paper: Paper | None = None,
        inputs: tuple[ClipSpec, ...] | None = None,
        stages: tuple[str, ...] | None = None,
        classes: int | None = None,
        key_maps: tuple[KeyMap, ...] | None = None,
        parts: tuple[Part, ...] = (),
        notes: str | None = None,
        streaming: bool = False,
        tiny: bool = False,
    ) -> Callable[[F], F]:
        """Decorator that enters a function of the number of classes as a model of its name.

        Args:
            summary: One sentence; the function's documentation where it has none.
            weights: Public checkpoints; None for those of the table `zoo/weights.jsonl`. What comes with the
                package is added.
            paper: Where this model comes from, if not from the family's paper.
            inputs: In place of the family's.
            stages: In place of the family's.
            classes: In place of the family's.
            key_maps: In place of the family's.
            parts: Models that it can be joined from.
            notes: In place of the family's.
            streaming: Whether it takes a video frame by frame (`runtime.streaming`).
            tiny: Whether this is a reduced variant for tests.
        """

        own = replace(
            self,
            paper=paper or self.paper,
            inputs=inputs or (self.tiny_inputs if tiny else self.inputs),
            stages=self.stages if stages is None else stages,
            classes=classes or (5 if tiny else self.classes),
            key_maps=self.key_maps if key_maps is None else key_maps,
            notes=self.notes if notes is None else notes,
        )

        def enter(function: F) -> F:
            builder = own._builder(function)
            card = own._card(function.__name__, builder, summary, weights, streaming=streaming, tiny=tiny)
            MODELS.add(card.name, Architecture(card, builder, own.key_maps, own.fit, parts, own.words))
            function.__doc__ = function.__doc__ or summary
            return function

        return enter

    def _builder(self, function: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        """The network with a model's values as its defaults, all of which may be changed by name."""
        question = _Question(self.classes)
        function(question)
        if question.values is None:
            raise InvalidSetting(f"{function.__name__} must return the network of its family's `build`.")
        return partial(self.network, **question.values)

    def _card(
        self,
        name: str,
        builder: Callable[..., nn.Module],
        summary: str,
        weights: tuple[WeightEntry, ...] | None,
        *,
        streaming: bool,
        tiny: bool,
    ) -> ModelCard:
        known = counts.table().get(name)
        parameters, multiply_adds = known or counts.measure(builder, self.classes, self.inputs)
        return ModelCard(
            name=name,
            family=self.name,
            summary=summary,
            paper=self.paper,
            inputs=self.inputs,
            parameters=parameters,
            multiply_adds=multiply_adds,
            classes=self.classes,
            head=self.head,
            stages=self.stages,
            cam_layers=self.cam_layers,
            explanation=self.explanation,
            weights=(
                *(public_weights(name, self.inputs[0]) if weights is None else weights),
                *shipped_weights(name, self.inputs[0]),
            ),
            tiny=tiny,
            fixed_length=self.fixed_length,
            fixed_size=self.fixed_size,
            frame_wise=self.frame_wise,
            streaming=streaming,
            notes=self.notes,
        )
