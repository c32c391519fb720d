"""Models made of others: whole networks from their parts, each trained or imported by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kinesphere.clips.preparation import Preparation
from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.models.head import HeadForm
from kinesphere.models.probe_head import ProbeForm
from kinesphere.models.provenance import Provenance
from kinesphere.models.recogniser import Recogniser, give_form
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.importing import import_checkpoint
from kinesphere.models.weights.keymap import Arguments

_COUNTS = ("no", "one", "two", "three", "four")


def join(model: str, parts: Sequence[Recogniser], arguments: Arguments | None = None) -> Recogniser:
    """A recogniser from those of its parts.

    Args:
        model: A registered architecture that names its parts.
        parts: One for each, in their order, all with the same labels.
        arguments: Builder arguments of the whole, beside those that the parts were built with.

    Returns:
        The recogniser in evaluation mode, with the parts' weights and input contracts.

    Raises:
        InvalidSetting: If the model has no such parts, one is of another model, or one has layers that the
            whole has not.
        InvalidCheckpoint: If their labels differ.
    """
    architecture = MODELS.get(model)
    if not architecture.parts or len(parts) != len(architecture.parts):
        raise InvalidSetting(f"{model} is joined from {len(architecture.parts)} models; got {len(parts)}.")
    labels = parts[0].labels
    taken = dict(arguments or {})
    for part, given in zip(architecture.parts, parts, strict=True):
        if given.card.name != part.model:
            article = "an" if part.model[0] in "aeiou" else "a"
            raise InvalidSetting(f"{model} needs {article} {part.model} here; got {given.card.name}.")
        if given.labels.names != labels.names:
            raise InvalidCheckpoint(
                f"The parts of {model} know different classes ({len(labels)} and {len(given.labels)}); "
                "train or import all on the same."
            )
        taken |= {
            ours: given.arguments[theirs]
            for theirs, ours in part.arguments.items()
            if theirs in given.arguments
        }
    net, form = architecture.build(len(labels), taken), _common_form(model, parts)
    if form is not None:
        give_form(net, architecture.card, form)
    for part, given in zip(architecture.parts, parts, strict=True):
        try:
            net.get_submodule(part.path).load_state_dict(given.net.state_dict())
        except RuntimeError as error:
            raise InvalidSetting(
                f"{model} has no place for a {part.model} built with {dict(given.arguments)}: {error}"
            ) from error
    notes = tuple(
        f"{part.shows}: {remark}"
        for part, given in zip(architecture.parts, parts, strict=True)
        for remark in (given.provenance.origin, *given.provenance.notes)
    )
    preparation, _ = Preparation.common([given.provenance.preparation for given in parts])
    joined = " and ".join(part.shows for part in architecture.parts)
    origin = Provenance(f"{joined} joined", notes=notes, preparation=preparation)
    specs = tuple(spec for given in parts for spec in given.specs)
    return Recogniser(net, architecture.card, specs, labels, taken, origin, form).eval()


def import_parts(
    paths: Sequence[str | Path],
    model: str,
    *,
    layout: str | None = None,
    labels: LabelSet | Sequence[str] | None = None,
    arguments: Arguments | None = None,
) -> Recogniser:
    """A recogniser from public checkpoints of its parts; further arguments as of `import_checkpoint`.

    Raises:
        InvalidSetting: If there are more or fewer files than parts.
        InvalidCheckpoint: If one is not that of its part, or their classes differ.
    """
    parts = MODELS.get(model).parts
    if len(paths) != len(parts):
        order = ", then ".join(f"the {part.shows}'" + "s" * (part.shows[-1] != "s") for part in parts)
        raise InvalidSetting(
            f"{model} is read from {_COUNTS[len(parts)]} files, first {order}; got {len(paths)}."
        )
    arguments = arguments or {}
    streams = [
        import_checkpoint(
            path,
            part.model,
            layout=layout,
            labels=labels,
            arguments={
                theirs: arguments[ours] for theirs, ours in part.arguments.items() if ours in arguments
            },
        )
        for path, part in zip(paths, parts, strict=True)
    ]
    return join(model, streams, arguments)


def join_i3d(rgb: Recogniser, flow: Recogniser) -> Recogniser:
    """A `two_stream_i3d` from an `i3d_inception` and an `i3d_inception_flow`; errors as of `join`."""
    return join("two_stream_i3d", (rgb, flow))


def _common_form(model: str, parts: Sequence[Recogniser]) -> HeadForm | None:
    """The form of all parts' heads; None where it is the builder's.

    Raises:
        InvalidSetting: If they differ, or a part answers by a probe.
    """
    form = parts[0].head
    if any(given.head != form for given in parts):
        raise InvalidSetting(
            f"The parts of {model} have heads of different forms (model.head); train all with the same."
        )
    if isinstance(form, ProbeForm):
        raise InvalidSetting(
            f"The parts of {model} answer by probes ({form.kind}), which cannot be joined; fuse "
            "their answers with kinesphere fuse."
        )
    return form
