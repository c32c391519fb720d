"""The ways to get a recogniser: fresh, with public weights, or from a model file, a run or a hub."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.download import named_file
from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting, MissingWeights
from kinesphere.core.labels import LabelSet
from kinesphere.core.paths import is_barred, is_file, is_folder, why_absent
from kinesphere.core.registry import nearest
from kinesphere.core.text import named
from kinesphere.models.card import ModelCard, WeightEntry
from kinesphere.models.checkpoint import FILE_NAME, model_file, read_model
from kinesphere.models.provenance import Provenance
from kinesphere.models.recogniser import Recogniser
from kinesphere.models.registry import MODELS, Architecture
from kinesphere.models.weights.class_names import numbered
from kinesphere.models.weights.download import fetch, in_repository
from kinesphere.models.weights.importing import import_backbone, import_checkpoint
from kinesphere.models.weights.keymap import Arguments
from kinesphere.models.weights.readers import ENDINGS

DEFAULT_MODEL = "kine_small"
"""What is trained when nobody names a model: the compact one, made for a laptop CPU."""
DEFAULT_POSE_MODEL = "dd_net"
"""The same where the data are pose files and no videos."""

_HUB_TIMEOUT_S = 10.0
_MOST_NAMES = 1000
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FOREIGN = tuple(ending for ending in ENDINGS if ending != ".safetensors")

log = logging.getLogger("kinesphere.models")


def create_model(
    name: str,
    labels: LabelSet | Sequence[str] | None = None,
    *,
    pretrained: str | bool | None = None,
    spec: ClipSpec | Sequence[ClipSpec] | None = None,
    arguments: Arguments | None = None,
    tell: bool = True,
) -> Recogniser:
    """Build a recogniser, fresh or from public weights.

    Args:
        name: A registered model, or `model.tag` for one with its public weights (`r3d_18.k400`).
        labels: The classes. None keeps those of the weights.
        pretrained: A weight tag of the card, True for its first one, None or False for a fresh network.
        spec: Input contract in place of the card's; one for each input of the model.
        arguments: Builder arguments in place of the defaults.
        tell: Whether the log says that the head of weights is fresh; a training says it by itself.

    Returns:
        The recogniser in evaluation mode. If `labels` are not those of the weights, the head is fresh:
        `recogniser.reset` names its tensors and the log says so. The same classes in another order keep it.

    Raises:
        UnknownName: If the model or the weight tag is unknown.
        InvalidSetting: If labels are missing, or the spec does not fit the architecture, or the weights have
            as many classes as are wanted and do not name them.
        MissingWeights: If the weights are neither cached nor reachable.
    """
    stem, _, tag = name.partition(".")
    if tag and pretrained not in (None, True, tag):
        raise InvalidSetting(f"{name!r} already names its weights; leave out pretrained={pretrained!r}.")
    architecture = MODELS.get(stem)
    wanted = labels if labels is None or isinstance(labels, LabelSet) else LabelSet(tuple(labels))
    weights = tag or pretrained
    if weights:
        entry = architecture.card.published(weights)
        recogniser = _from_weights(architecture, entry, wanted, arguments or {}, tell)
    elif wanted is None:
        raise InvalidSetting(f"A fresh {stem} needs labels; give them, or start from weights.")
    else:
        net = architecture.build(len(wanted), arguments or {})
        recogniser = Recogniser(
            net,
            architecture.card,
            architecture.specs(arguments or {}),
            wanted,
            arguments or {},
            Provenance("initialised"),
        )
    if spec is not None:
        given = (spec,) if isinstance(spec, ClipSpec) else tuple(spec)
        with_specs(recogniser, given)
    return recogniser.eval()


def _from_weights(
    architecture: Architecture, entry: WeightEntry, labels: LabelSet | None, arguments: Arguments, tell: bool
) -> Recogniser:

    name = f"{architecture.card.name}.{entry.tag}"
    if entry.file is not None:
        recogniser = read_model(Path(entry.file), arguments)
        if labels is not None:
            relabel(recogniser, labels, name, tell=tell)
        return recogniser
    if entry.in_words and labels is None:
        raise InvalidSetting(
            f"The classes of {name} are named in words: `kinesphere import FOLDER --model {name} --classes "
            f'"wave,clap" --out MODEL.safetensors`, FOLDER with the files of '
            f"{entry.url.partition('/resolve')[0]}; or give labels, which are learnt."
        )
    path = fetch(entry)
    if entry.backbone_only or entry.in_words:
        if labels is None:
            raise InvalidSetting(f"{name} holds a backbone without classes; give labels.")
        return import_backbone(path, name, labels, arguments=arguments)
    recogniser = import_checkpoint(path, name, arguments=arguments)
    if labels is not None:
        _check_named(recogniser, labels, name, path)
        relabel(recogniser, labels, name, tell=tell)
    return recogniser


def load_model(source: str | Path, *, arguments: Arguments | None = None) -> Recogniser:
    """A recogniser from a model file, a run folder, a registered `model.tag`, or a Hugging Face id.

    Args:
        source: What to load.
        arguments: Builder arguments in place of those that the file states (the clip's length, dropout).

    Returns:
        The recogniser in evaluation mode.

    Raises:
        InvalidCheckpoint: If the file is damaged, foreign or contradicts itself.
        MissingWeights: If nothing is there, or a download is not possible.
        UnknownName: If a name without a path looks like a model's and is none.
        InvalidSetting: If an argument is unknown, or the weights do not fit a network built with them.
    """
    path = model_file(source)
    if path.suffix.lower() in _FOREIGN:
        raise InvalidCheckpoint(
            f"{path.name} is a foreign checkpoint; bring it in once with "
            f"`kinesphere import {path} --model NAME --out {path.stem}.safetensors`."
        )
    if is_file(path):
        return read_model(path, arguments or {})
    name = str(source)
    if is_barred(path):
        raise MissingWeights(why_absent(path))
    if _HUB_ID.fullmatch(name) and path.suffix != ".safetensors":
        folder = Path(name).parent
        if is_folder(folder):
            close = nearest(Path(name).name, (each.name for each in islice(folder.iterdir(), _MOST_NAMES)))
            hint = f"did you mean {' or '.join(str(folder / each) for each in close)}? " if close else ""
            raise MissingWeights(
                f"There is no model file or run folder {name}; {hint}({folder} is a folder here, so nothing "
                "is looked up on Hugging Face.)"
            )
        return read_model(_from_hub(name), arguments or {})
    if "/" in name or path.suffix == ".safetensors":
        raise MissingWeights(
            f"There is no model file or run folder {name}; kinesphere train and kinesphere import make them."
        )
    return _registered(name, arguments)


def _registered(name: str, arguments: Arguments | None) -> Recogniser:
    stem, _, tag = name.partition(".")
    card = MODELS.get(stem).card
    if not tag:
        known = ", ".join(f"{stem}.{entry.tag}" for entry in card.weights) or "none"
        raise MissingWeights(f"{stem} alone is an architecture without weights; public ones: {known}.")
    return create_model(name, arguments=arguments)


def _from_hub(repository: str) -> Path:
    import huggingface_hub as hub

    name = in_repository(repository, FILE_NAME)
    own = named_file(name)
    if own is not None and is_file(own):
        return own
    address = f"https://huggingface.co/{repository}/resolve/main/{FILE_NAME}"
    try:
        if not isinstance(hub.try_to_load_from_cache(repository, FILE_NAME), str):
            # The download itself asks a hub that cannot be reached six times, for up to a minute and a half.
            hub.get_hf_file_metadata(hub.hf_hub_url(repository, FILE_NAME), timeout=_HUB_TIMEOUT_S)
        return Path(hub.hf_hub_download(repository, FILE_NAME))
    except Exception as error:  # the hub's own, and those of the HTTP library that its version uses
        raise MissingWeights(
            f"Cannot get {FILE_NAME} of {repository} ({type(error).__name__}). No local file has this "
            f"name either; download {address} elsewhere and pass the file's path, or put it, as {name}, "
            "into a folder that KINESPHERE_WEIGHTS names."
        ) from error


def relabel(recogniser: Recogniser, labels: LabelSet, name: str, *, tell: bool = True) -> None:
    """Give weights the classes that are wanted: the head stays if they are its own, in any order.

    Args:
        recogniser: With the classes of its weights.
        labels: Those that are wanted.
        name: Name of the weights, for the log.
        tell: Whether the log says that the head is fresh.
    """

    own = recogniser.former_labels = recogniser.labels
    if set(labels.names) == set(own.names):
        order = [own.index(label) for label in labels]
        with torch.no_grad():
            for head in recogniser.card.head:
                for parameter in recogniser.net.get_submodule(head).parameters():
                    parameter.copy_(parameter[order])
        recogniser.labels = labels
        return
    reset = recogniser.reset_head(labels)
    if not tell:
        return
    is_named = own.names != numbered(len(own)).names
    unknown = [label for label in labels if label not in own] if is_named else []
    log.warning(
        "%s: labels differ (%d in the weights, %d wanted); fresh head: %s%s",
        name, len(own), len(labels), ", ".join(reset),
        f"; not in the weights: {named(unknown, 8)}" if unknown else "",
    )  # fmt: skip


def _check_named(recogniser: Recogniser, labels: LabelSet, name: str, path: Path) -> None:
    """Refuse as many classes as weights have that do not name theirs."""

    own = recogniser.labels
    same = set(labels.names) == set(own.names)
    if own.names == numbered(len(own)).names and len(labels) == len(own) and not same:
        raise InvalidSetting(
            f"{name} does not name its {len(own)} classes, and {len(labels)} are wanted: whether they are "
            f"the same cannot be told. Import {path} with `kinesphere import FILE --model {name} --out "
            "MODEL.safetensors` and start from that file: with `--labels NAMES.txt`, the names in the file's "
            "order, the trained head is kept; without, it is replaced."
        )


def with_specs(recogniser: Recogniser, specs: Sequence[ClipSpec]) -> Recogniser:
    """The recogniser with other input contracts, one for each input.

    Raises:
        InvalidSetting: If the architecture does not take them.
    """
    recogniser.specs = _replaced(recogniser.card, recogniser.specs, tuple(specs))
    return recogniser


def _replaced(
    card: ModelCard, specs: tuple[ClipSpec, ...], given: tuple[ClipSpec, ...]
) -> tuple[ClipSpec, ...]:
    if len(specs) != len(given):
        raise InvalidSetting(f"{card.name} has {len(specs)} inputs; got {len(given)} specs in their place.")
    for own, spec in zip(specs, given, strict=True):
        if card.fixed_length and spec.length != own.length:
            raise InvalidSetting(
                f"{card.name} takes exactly {own.length} frames; got a spec of {spec.length}."
                + _way_out(card, "length", "length")
            )
        if card.fixes_size(own.modality) and spec.size != own.size:
            raise InvalidSetting(
                f"{card.name} takes exactly {own.size} pixels; got a spec of {spec.size}."
                + _way_out(card, "size", "size_px")
            )
        if spec.modality != own.modality:
            raise InvalidSetting(f"{card.name} takes {own.modality} clips; got a spec of {spec.modality}.")
    return given


def _way_out(card: ModelCard, what: str, argument: str) -> str:
    known = inspect.signature(MODELS.get(card.name).builder).parameters
    return f" Build it for another {what} with its argument {argument}." if argument in known else ""
