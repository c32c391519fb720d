"""`Recogniser`: a network together with the contract of its inputs and the names of its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from types import MappingProxyType
from typing import Any, Self

from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.batch_norm import single_clip_norms
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.models.card import ModelCard
from kinesphere.models.head import HeadForm, resized, rows_of, shaped, unchanging
from kinesphere.models.probe_head import ProbeForm, card_with, put_on
from kinesphere.models.provenance import Provenance
from kinesphere.models.rejection import Rejection
from kinesphere.models.runtime.activation_checkpointing import checkpoint_activations
from kinesphere.models.weights.keymap import Arguments
from kinesphere.models.words import ComparesWithWords

TAIL = "tail"
"""Group of the layers between the last stage and the head."""
ALL = "all"
"""Everything but the head, where it is told what is frozen."""


class Recogniser(nn.Module):
    """A classifier of clips that knows what it eats and what its outputs are called.

    Args:
        net: `forward(*inputs)` takes one normalised float clip `(B, T, C, H, W)` per spec and returns
            logits `(B, K)`.
        card: Its architecture.
        specs: One input contract per input.
        labels: The K labels, in the order of the logits.
        arguments: Builder arguments that rebuild `net`.
        provenance: Where the weights come from.
        head: The form that `net`'s head has been given (`shape_head`), or that of the probe in its place
            (`probed`); None where it is the builder's.
    """

    def __init__(
        self,
        net: nn.Module,
        card: ModelCard,
        specs: tuple[ClipSpec, ...],
        labels: LabelSet,
        arguments: Arguments,
        provenance: Provenance,
        head: HeadForm | ProbeForm | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.card = card
        self.specs = specs
        self.labels = labels
        self.arguments: Mapping[str, Any] = MappingProxyType(dict(arguments))
        self.provenance = provenance
        self.head = head
        self.reset: tuple[str, ...] = ()
        """Names of the tensors that do not come from the loaded weights."""
        self.former_labels: LabelSet | None = None
        """Labels of the loaded weights, where they were exchanged for others."""
        self._frozen: tuple[nn.Module, ...] = ()

    @property
    def rejection(self) -> Rejection | None:
        """When it answers that it knows none of what it sees; None for never, as with a fresh head."""
        return None if self.reset else self.provenance.rejection

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the feature stages from input to output; the head is none of them."""
        return self.card.stages

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits `(B, K)` of normalised float clips `(B, T, C, H, W)`, one per spec.

        In training a batch of one clip is normalised with the running statistics wherever a batch norm
        would have a single value per channel (`core/batch_norm.py`).
        """
        if len(inputs) != len(self.specs):
            raise InvalidSetting(
                f"{self.card.name} takes {len(self.specs)} input(s), one per clip spec; got {len(inputs)}."
            )
        with single_clip_norms(len(inputs[0])) if self.training else nullcontext():
            logits: Tensor = self.net(*inputs)
        return logits

    def features(self, inputs: tuple[Tensor, ...], stage: str) -> Tensor:
        """Output of a stage for normalised clips `(B, T, C, H, W)`, in the stage's own layout.

        Layers after the stage do not run.

        Raises:
            InvalidSetting: If there is no such stage.
        """
        reached: list[Tensor] = []

        def stop(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            reached.append(output)
            raise _Reached

        handle = self.net.get_submodule(self.card.check_stage(stage, self.stages)).register_forward_hook(stop)
        try:
            self(*inputs)
        except _Reached:
            pass
        finally:
            handle.remove()
        return reached[0]

    def reset_head(self, labels: LabelSet | Sequence[str]) -> list[str]:
        """Replace the last layer by a fresh one for `labels`.

        Returns:
            Names of the tensors that were reset.
        """
        labels = labels if isinstance(labels, LabelSet) else LabelSet(tuple(labels))
        names = []
        for path in self.card.head:
            parent, _, leaf = path.rpartition(".")
            fresh = resized(self.net.get_submodule(path), len(labels), path)
            setattr(self.net.get_submodule(parent), leaf, fresh)
            names += [f"{path}.{name}" for name, _ in fresh.named_parameters()]
        self.labels = labels
        self.reset = tuple(sorted({*self.reset, *names}))
        return names

    def without_head(self) -> Recogniser:
        """A copy whose outputs are what reaches the head, averaged as the logits are: `(B, D)`.

        Raises:
            InvalidSetting: If there is not one head alone.
        """
        path, *others = self.card.head
        several = bool(others) or isinstance(self.net.get_submodule(path), nn.ModuleList)
        if several or isinstance(self.net, ComparesWithWords):
            raise InvalidSetting(
                f"{self.card.name} has several heads on features of their own, or classes in words (see "
                "kinesphere search); take the features of a model with one head."
            )
        net = deepcopy(self.net)
        parent, _, leaf = path.rpartition(".")
        setattr(net.get_submodule(parent), leaf, unchanging(net.get_submodule(path), path))
        copy = Recogniser(net, self.card, self.specs, self.labels, dict(self.arguments), self.provenance)
        return copy.train(self.training)

    def with_rows(self, rows: slice, labels: LabelSet) -> Recogniser:
        """A copy that answers for some of the classes alone, with the weights of their outputs.

        Args:
            rows: The outputs.
            labels: Their names.

        Raises:
            InvalidSetting: If the model's head is no layer with a row for each class.
        """
        net = deepcopy(self.net)
        for path in self.card.head:
            parent, _, leaf = path.rpartition(".")
            setattr(net.get_submodule(parent), leaf, rows_of(net.get_submodule(path), rows, path))
        arguments = dict(self.arguments)
        copy = Recogniser(net, self.card, self.specs, labels, arguments, self.provenance, self.head)
        return copy.train(self.training)

    def shape_head(self, form: HeadForm) -> None:
        """Give the last layer another form, with the weights that it has.

        Raises:
            InvalidSetting: If the model's head is no layer that can have one, or a probe.
        """
        if isinstance(self.head, ProbeForm):
            raise InvalidSetting(
                f"This {self.card.name} answers by a probe ({self.head.kind}), whose head keeps its form."
            )
        give_form(self.net, self.card, form)
        self.head = form

    def probed(self, probe: nn.Module, form: ProbeForm) -> Recogniser:
        """A copy whose network learns nothing and answers by a probe.

        Args:
            probe: Positions `(B, L, C)` of the last grid to logits; pooled, numbers `(B, D)`.
            form: What it is.

        Raises:
            InvalidSetting: If the model has no such grid, or its head has another form already.
        """
        if self.head is not None:
            raise InvalidSetting(
                f"The head of this {self.card.name} is {self.head.kind} already; put a probe on the weights "
                "that it started from."
            )
        net = put_on(deepcopy(self.net).requires_grad_(False), self.card, probe, form)
        other = Recogniser(
            net, card_with(self.card, form), self.specs, self.labels, dict(self.arguments), self.provenance,
            form,
        )  # fmt: skip
        other._frozen = (net.encoder,)
        other.former_labels = self.former_labels
        return other.train(self.training)

    def freeze(self, up_to: str) -> list[str]:
        """Stop training everything up to and including a stage.

        Frozen parameters take no gradient; batch norms and dropouts of modules that are frozen altogether
        stay in evaluation mode. What is frozen already stays so.

        Args:
            up_to: A stage, `"tail"` for all but the head where layers stand between it and the last stage, or
                `"all"` for all but the head in every model.

        Returns:
            Names of the parameters up to there.

        Raises:
            InvalidSetting: If there is no such stage.
        """
        groups = self.stage_parameters()[:-1]
        known = tuple(name for name, _ in groups)
        last = known[-1] if up_to == ALL else self.card.check_stage(up_to, known)
        reached = groups[: known.index(last) + 1]
        for _, parameters in reached:
            for parameter in parameters.values():
                parameter.requires_grad_(False)
        self._frozen = tuple(module for module in self.net.modules() if _is_frozen(module))
        self.train(self.training)
        return [name for _, parameters in reached for name in parameters]

    def checkpoint_activations(self) -> None:
        """Train with less memory: the stages' activations are computed again in the backward pass.

        Gradients and running statistics stay exactly the same; evaluation is untouched. A stage that is a
        sequence of blocks keeps the inputs of its blocks, any other its own input
        (`models/runtime/activation_checkpointing.py`).
        """
        for stage in self.stages:
            checkpoint_activations(self.net.get_submodule(stage))

    def stage_parameters(self) -> list[tuple[str, dict[str, nn.Parameter]]]:
        """Parameters by depth: one group per stage, `"tail"` if there are any, and `"head"`.

        Of the parameters outside stages and head, those defined before the end of the last stage (stems,
        class tokens, position tables) count to the first stage; those defined behind it are the tail.
        """
        groups: dict[str, dict[str, nn.Parameter]] = {stage: {} for stage in (*self.stages, TAIL, "head")}
        outside = self.stages[0]
        for name, parameter in self.net.named_parameters():
            inside = [stage for stage in self.stages if name.startswith(f"{stage}.")]
            if any(name.startswith(f"{path}.") for path in self.card.head):
                group = "head"
            else:
                group = max(inside, key=len, default=outside)
            if group == self.stages[-1]:
                outside = TAIL
            groups[group][name] = parameter
        return [(name, group) for name, group in groups.items() if group or name != TAIL]

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode, except for what is frozen."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self


def give_form(net: nn.Module, card: ModelCard, form: HeadForm) -> None:
    """Give the last layers of a model's network another form, with the weights that they have."""
    for path in card.head:
        parent, _, leaf = path.rpartition(".")
        setattr(net.get_submodule(parent), leaf, shaped(net.get_submodule(path), form, path))


class _Reached(Exception):
    """Leaves a forward pass once the wanted stage has run."""


def _is_frozen(module: nn.Module) -> bool:
    """Whether it has parameters and none of them learns."""
    learns = [parameter.requires_grad for parameter in module.parameters()]
    return bool(learns) and not any(learns)
