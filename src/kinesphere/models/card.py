"""`ModelCard`: what is known about an architecture and its public weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidSetting, UnknownName
from kinesphere.core.registry import nearest
from kinesphere.models.weights.keymap import Arguments
from kinesphere.models.weights.training_sets import TITLES, UNKNOWN


@dataclass(frozen=True)
class Paper:
    """Where an architecture comes from."""

    title: str
    authors: str
    year: int
    url: str
    section: str = ""


@dataclass(frozen=True)
class ReportedScore:
    """A result that the weights' publisher states, with the protocol it was measured under.

    Attributes:
        value: Fraction in [0, 1].
        origin: `"publisher"` for a figure read in a source, `"memory"` for one that was not, `"measured"` for
            one of ours, taken from its record.
    """

    metric: str
    value: float
    dataset: str
    protocol: str
    origin: str = "publisher"


@dataclass(frozen=True)
class WeightEntry:
    """A checkpoint of a model: a public one, or one that comes with the package.

    Attributes:
        tag: Name after the dot in `r3d_18.k400`.
        url: Upstream URL; empty for weights that come with the package.
        layout: Name of the key map (registered by the model's file) that reads it.
        labels: Label-list name such as `"kinetics400"`, or None for a backbone without one. The names are
            in `class_names/` where the publisher's order is known.
        classes: Size K of its head; 0 where classes are named in words.
        sha256: Full digest or the published prefix of at least 8 digits; None if not published.
        licence: Licence of the weights, as published.
        trained_on: Data sets that the weights learnt from, first to last (see `weights.training_sets`);
            `unknown` stands first where the publisher does not say what they started from.
        spec: Input contract, where it differs from the card's.
        arguments: Builder arguments that the file's tensors do not tell (what a network looks at).
        backbone_only: True if the head is not part of the model (ImageNet weights of a frame encoder).
        file: The model file, for weights that come with the package.
        names: The classes, where the entry itself states them.
        notes: What a user has to know of the weights, in sentences: their data, their limits.
    """

    tag: str
    url: str
    layout: str
    labels: str | None
    classes: int
    sha256: str | None = None
    licence: str = "unknown"
    trained_on: tuple[str, ...] = (UNKNOWN,)
    spec: ClipSpec | None = None
    scores: tuple[ReportedScore, ...] = ()
    arguments: Arguments = field(default_factory=dict)
    backbone_only: bool = False
    file: str | None = None
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def in_words(self) -> bool:
        """Whether its classes are named in words, so that it has none of its own."""
        return not self.classes

    def __post_init__(self) -> None:
        for name in self.trained_on:
            if name not in TITLES:
                raise UnknownName(
                    f"Weights {self.tag!r} name a training set {name!r}, which is none of "
                    f"{', '.join(sorted(TITLES))}; add it to models/weights/training_sets.py."
                )


@dataclass(frozen=True)
class Part:
    """A network inside another that is a model of its own, trained or imported by itself.

    Attributes:
        path: Dotted path in the whole.
        model: Name of the part's architecture.
        shows: What it looks at, for notes and messages: `"pixels"`.
        arguments: Names of its builder's arguments, each with the whole's name for it.
    """

    path: str
    model: str
    shows: str
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CamLayer:
    """A layer whose activations lie on a grid over the clip: where class-activation maps are made.

    Attributes:
        path: Dotted path of the module; `-1` stands for the last one of a list: `blocks.-1.norm1`.
        layout: Axes of its output, separated by spaces: B batch, C channels, T time, H W rows and columns,
            M people, J joints. Letters of one word are one axis, the first slowest (`BT C H W`: frames
            folded into the batch), `1+` is a class token before them (`B 1+THW C`). An axis of time may
            occur twice, snippets and frames of a snippet (`BT C T H W`).
        input: Index of the input that it shows.
        centre: Whether it covers the central half of the frame's height and width alone.
        heatmaps: Whether its rows and columns are those of heatmaps of joints.
    """

    path: str
    layout: str
    input: int = 0
    centre: bool = False
    heatmaps: bool = False

    def module(self, net: nn.Module) -> nn.Module:
        """The layer in a network of the card.

        Raises:
            AttributeError: If there is none.
        """
        return net.get_submodule(resolved(net, self.path))


def resolved(net: nn.Module, path: str) -> str:
    """A dotted path with the names of the last modules of lists in place of `-1`."""
    names: list[str] = []
    for name in path.split("."):
        if name == "-1":
            name = list(dict(net.get_submodule(".".join(names)).named_children()))[-1]
        names.append(name)
    return ".".join(names)


@dataclass(frozen=True)
class ModelCard:
    """Everything a user asks before choosing a model.

    Attributes:
        name: `family_size`, for example `r3d_18`.
        family: Name of the zoo file.
        summary: One sentence.
        paper: Origin; None for our own designs.
        inputs: One contract per input of `forward`.
        parameters: Number of parameters with `classes` outputs; a contract test counts them.
        multiply_adds: Per view at `inputs`' size; a contract test counts them.
        classes: Size K of the head for which the two numbers hold.
        head: Dotted path of the last linear layer(s), or of a list of them, replaced when labels differ.
        stages: Dotted paths of the stages from input to output, for features, freezing and layer-wise
            learning rates.
        cam_layers: Per input and pathway, the last layer whose activations lie on a grid over the clip.
        explanation: Name of the explanation method that suits the network best.
        weights: Public checkpoints.
        tiny: Whether this is a reduced variant for tests (not listed to users).
        fixed_length: True where the paper's design fixes T.
        fixed_size: True where it fixes H and W; of several inputs, the modalities for which it does.
        frame_wise: Whether overlapping windows share what it computes of a frame (`runtime.framewise`).
        streaming: Whether it takes a video frame by frame (`runtime.streaming`).
        notes: Deviations from the paper and what parity rests on.
    """

    name: str
    family: str
    summary: str
    paper: Paper | None
    inputs: tuple[ClipSpec, ...]
    parameters: int
    multiply_adds: int
    classes: int
    head: tuple[str, ...]
    stages: tuple[str, ...]
    cam_layers: tuple[CamLayer, ...] = ()
    explanation: str = "gradcam"
    weights: tuple[WeightEntry, ...] = ()
    tiny: bool = False
    fixed_length: bool = False
    fixed_size: bool | tuple[str, ...] = False
    frame_wise: bool = False
    streaming: bool = False
    notes: str = ""

    def __post_init__(self) -> None:
        tags = [entry.tag for entry in self.weights]
        if len(set(tags)) != len(tags):
            raise InvalidSetting(f"Model card {self.name!r} repeats a weight tag: {sorted(tags)}.")
        if not self.inputs:
            raise InvalidSetting(f"Model card {self.name!r} states no input.")

    def work(self, specs: Sequence[ClipSpec], batch: float = 1) -> float:
        """Multiply-adds of a forward pass, about: `multiply_adds` by how much larger the inputs are.

        Args:
            specs: Contracts of the inputs.
            batch: Clips in a pass.
        """
        return self.multiply_adds * batch * sum(map(_numbers, specs)) / sum(map(_numbers, self.inputs))

    def fixes_size(self, modality: str) -> bool:
        """Whether an input of this modality has one size."""
        fixed = self.fixed_size
        return fixed if isinstance(fixed, bool) else modality in fixed

    def check_stage(self, name: str, known: tuple[str, ...]) -> str:
        """The name of a stage, if it is among those that can be meant.

        Raises:
            InvalidSetting: If it is not; the nearest one is named.
        """
        if name not in known:
            close = nearest(name, known)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(known)}."
            raise InvalidSetting(f"{self.name} has no stage {name!r}; {hint}")
        return name

    def weight(self, tag: str) -> WeightEntry | None:
        """The entry called `tag`, if there is one."""
        return next((entry for entry in self.weights if entry.tag == tag), None)

    def published(self, tag: str | bool) -> WeightEntry:
        """The entry called `tag`, or the first one for True.

        Raises:
            UnknownName: If there is none; the known ones are listed.
        """
        entry = self.weights[0] if tag is True and self.weights else self.weight(str(tag))
        if entry is None:
            known = ", ".join(entry.tag for entry in self.weights) or "none"
            raise UnknownName(f"{self.name} has no weights {tag!r}; public ones: {known}.")
        return entry


def _numbers(spec: ClipSpec) -> int:
    """How many numbers a clip has."""
    return spec.length * math.prod(MODALITIES.get(spec.modality).shape(spec))
