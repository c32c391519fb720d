"""Our model file: weights and everything needed to use them, in one `.safetensors`.

The header's metadata holds one JSON text under `kinesphere`: format version, architecture with
arguments, clip specs, labels, provenance. A file is checked in full before a tensor is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import (
    BrokenPackage,
    InvalidCheckpoint,
    InvalidSetting,
    KinesphereError,
    MissingWeights,
)
from kinesphere.core.labels import LabelSet
from kinesphere.core.limits import brief, file_size
from kinesphere.core.paths import is_barred, is_file, is_folder, is_there, why_absent
from kinesphere.models.head import HeadForm
from kinesphere.models.header import KEY, header_of, metadata_of, write_file
from kinesphere.models.probe_head import ProbeForm, card_with, form_from_json, put_on
from kinesphere.models.provenance import Provenance
from kinesphere.models.recogniser import Recogniser, give_form
from kinesphere.models.registry import (
    LARGEST_ARGUMENT,
    MODELS,
    MOST_PARTS,
    Architecture,
    building_at_most,
)
from kinesphere.models.weights.keymap import Arguments, StateDict
from kinesphere.models.weights.readers import ENDINGS

FILE_NAME = "model.safetensors"
_LONGEST_REASON = 500
Form = HeadForm | ProbeForm | None
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def save_model(recogniser: Recogniser, path: str | Path, *, provenance: Provenance | None = None) -> Path:
    """Write a recogniser to `path` (`.safetensors`); the file appears whole or not at all.

    Args:
        recogniser: What to save.
        path: Target; its folder is made.
        provenance: In place of the recogniser's own.

    Raises:
        InvalidCheckpoint: If the name ends otherwise.
        UnwritableFile: If the place or the disk refuses.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InvalidCheckpoint(f"A model file ends in .safetensors; got {path.name}.")
    header = {
        "architecture": recogniser.card.name,
        "arguments": dict(recogniser.arguments),
        "specs": [spec.to_json() for spec in recogniser.specs],
        "labels": recogniser.labels.to_json(),
        "provenance": (provenance or recogniser.provenance).to_json(),
    }
    if recogniser.head is not None:
        header["head"] = recogniser.head.to_json()
    write_file(path, header, recogniser.net.state_dict())
    return path


def model_file(source: str | Path) -> Path:
    """The model file in a run folder, or `source` itself.

    Raises:
        MissingWeights: If a folder holds none.
    """
    path = Path(source)
    if not is_folder(path):
        return path
    if not is_file(path / FILE_NAME):
        if is_folder(path / SETS):
            models = sorted(str(each.parent) for each in (path / SETS).glob(f"*/{FILE_NAME}"))
            raise MissingWeights(
                f"{path} was trained on several data sets at once and holds a model for each; name one of "
                f"them: {', '.join(models) or 'none yet, resume it'}."
            )
        raise MissingWeights(f"The folder {path} holds no {FILE_NAME}; is it a finished run?")
    return path / FILE_NAME


def is_path(source: str, *, registered: bool) -> bool:
    """Whether a model, or weights of one, are given by where they lie rather than by a registered name.

    A folder without a model that has a registered name, such as one of data, is not meant.

    Args:
        source: A path or a name, as users write it.
        registered: Whether something of this name is registered.

    Raises:
        MissingWeights: If it is a path, and nothing is there.
    """
    path = Path(source)
    if is_there(path):
        return not is_folder(path) or is_file(path / FILE_NAME) or not registered
    if is_barred(path):
        raise MissingWeights(why_absent(path))
    if "/" in source or path.suffix.lower() in ENDINGS:
        raise MissingWeights(f"There is no file and no run folder {source}; check the path.")
    return False


def architecture_in(path: Path) -> str | None:
    """The architecture that a model file of ours states; None if it is a foreign file.

    Raises:
        InvalidCheckpoint: If the file is damaged.
    """
    if path.suffix.lower() != ".safetensors":
        return None
    metadata = metadata_of(path)
    if KEY not in (metadata or {}):
        return None
    return _contract(header_of(metadata, path.name), path.name)[0].card.name


def read_model(path: Path, given: Arguments) -> Recogniser:
    """A recogniser from our file, everything checked, built with `given` arguments before its own.

    Raises:
        InvalidCheckpoint: If the file is damaged, foreign or contradicts itself.
        InvalidSetting: If an argument is unknown, or the weights do not fit a network built with them.
    """
    from safetensors import SafetensorError, safe_open

    file_size(path, InvalidCheckpoint)
    try:
        with safe_open(path, "pt") as file:
            header = header_of(file.metadata(), path.name)
            architecture, own_arguments, specs, labels, provenance = _contract(header, path.name)
            form = _head(header, path.name)
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
            found = {key: (tuple(s.get_shape()), _DTYPES.get(s.get_dtype())) for key, s in slices.items()}
            arguments = {**own_arguments, **architecture.typed(given)}
            own = _expected(architecture, len(labels), own_arguments, form, path.name, len(found))
            _compare(own, found, path.name)
            if given:
                _check_fit(architecture, len(labels), arguments, form, found, path.name)
                specs = architecture.specs(arguments, specs)
            state = {key: file.get_tensor(key) for key in found}
    except (SafetensorError, OSError) as error:
        raise InvalidCheckpoint(f"{path.name} is damaged or no model file: {error}.") from error
    shape = partial(_shape, architecture, form, len(labels))
    net = architecture.build_with(state, len(labels), arguments, shape)
    card = card_with(architecture.card, form) if isinstance(form, ProbeForm) else architecture.card
    return Recogniser(net, card, specs, labels, arguments, provenance, form).eval()


def read_provenance(path: Path) -> Provenance:
    """Where the weights of a model file come from, without reading them.

    Raises:
        InvalidCheckpoint: If it is damaged or no model file of ours.
    """
    return _contract(header_of(metadata_of(path), path.name), path.name)[-1]


def read_specs(path: Path) -> tuple[ClipSpec, ...]:
    """The input contracts of a model file, without reading its weights.

    Raises:
        InvalidCheckpoint: If it is damaged or no model file of ours.
    """
    return _contract(header_of(metadata_of(path), path.name), path.name)[2]


def _check_fit(
    architecture: Architecture, classes: int, arguments: Arguments, form: Form,
    found: Mapping[str, Any], name: str,
) -> None:  # fmt: skip
    """Refuse arguments that ask for other tensors than the file has."""
    with torch.device("meta"), building_at_most(len(found), name):
        wanted = _shape(architecture, form, classes, architecture.build(classes, arguments)).state_dict()
    other = [
        key
        for key in {**wanted, **found}
        if key not in wanted or key not in found or found[key][0] != tuple(wanted[key].shape)
    ]
    if other:
        raise InvalidSetting(
            f"The weights in {name} do not fit a {architecture.card.name} with {brief(arguments)}: "
            f"{len(other)} tensors differ ({', '.join(other[:8])}{', …' if len(other) > 8 else ''}). Leave "
            "out the arguments that change them, or start without these weights."
        )


def _contract(
    header: dict[str, Any], name: str
) -> tuple[Architecture, Arguments, tuple[ClipSpec, ...], LabelSet, Provenance]:
    if "kind" in header:
        raise InvalidCheckpoint(
            f"{name} holds a {brief(header['kind'])} that finds when actions happen in long recordings, and "
            "no recogniser of clips; ask it by `kinesphere predict` and `kinesphere evaluate`."
        )
    try:
        architecture = MODELS.get(_text(header["architecture"]))
        arguments = {_text(key): _plain(value) for key, value in header["arguments"].items()}
        specs = tuple(ClipSpec.from_json(spec) for spec in header["specs"])
        plain = header["labels"]
        labels = LabelSet(
            tuple(_text(label) for label in plain["names"]),
            tuple((_text(a), _text(b)) for a, b in plain["mirror"]),
            bool(plain["multi"]),
            bool(plain.get("ordered", False)),
            tuple((_text(a), _text(b)) for a, b in plain.get("parents", ())),
            bool(plain.get("graded", False)),
        )
        provenance = Provenance.from_json(header["provenance"])
    except BrokenPackage:  # says nothing of the file
        raise
    except (KinesphereError, KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)[:_LONGEST_REASON]
        raise InvalidCheckpoint(f"The header of {name} is incomplete or wrong: {what}") from error
    modalities = tuple(spec.modality for spec in specs)
    wanted = tuple(spec.modality for spec in architecture.card.inputs)
    if modalities != wanted:
        raise InvalidCheckpoint(
            f"{name} states inputs {modalities}; {architecture.card.name} takes {wanted}."
        )
    return architecture, arguments, specs, labels, provenance


def _head(header: Mapping[str, Any], name: str) -> Form:
    """The form of the head that a header states; None where it is the builder's."""
    if header.get("head") is None:
        return None
    try:
        return form_from_json(header["head"])
    except (InvalidSetting, TypeError) as error:
        raise InvalidCheckpoint(f"The header of {name} is incomplete or wrong: {error}") from error


def _shape(architecture: Architecture, form: Form, classes: int, net: nn.Module) -> nn.Module:
    """A network with its head in the form that a file states, or with a probe in its place."""
    if isinstance(form, ProbeForm):
        return put_on(net, architecture.card, form.build(classes), form)
    if form is not None:
        give_form(net, architecture.card, form)
    return net


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {str(value)[:40]!r}")
    return value


def _plain(value: object) -> Any:
    """An argument of a builder; bounded, since a builder loops over it."""
    if isinstance(value, list) and len(value) <= MOST_PARTS:
        return tuple(_plain(item) for item in value)
    if isinstance(value, int | float) and not abs(value) <= LARGEST_ARGUMENT:
        raise ValueError(f"an argument of {brief(value)} is beyond {LARGEST_ARGUMENT}")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"an argument is a {type(value).__name__}")


def _expected(
    architecture: Architecture, classes: int, arguments: Arguments, form: Form, name: str,
    tensors: int,
) -> StateDict:  # fmt: skip
    """The state's names, shapes and types, without allocating it."""
    try:
        with torch.device("meta"), building_at_most(tensors, name):
            return _shape(architecture, form, classes, architecture.build(classes, arguments)).state_dict()
    except Exception as error:  # builders do not expect arguments from a hostile header
        raise InvalidCheckpoint(
            f"{name} states arguments that {architecture.card.name} cannot be built with: {error}"
        ) from error


def _compare(own: Mapping[str, Tensor], found: Mapping[str, tuple[Any, Any]], name: str) -> None:
    problems = {
        "missing": [key for key in own if key not in found],
        "unexpected": [key for key in found if key not in own],
        "of another shape or type": [
            key
            for key, form in found.items()
            if key in own and form != (tuple(own[key].shape), own[key].dtype)
        ],
    }
    told = [
        f"{len(keys)} tensors {what} ({', '.join(keys[:8])}{', …' if len(keys) > 8 else ''})"
        for what, keys in problems.items()
        if keys
    ]
    if told:
        raise InvalidCheckpoint(f"{name} contradicts its header: {'; '.join(told)}.")


SETS = "sets"
"""Folder in that of a joint training, with one of each data set."""
