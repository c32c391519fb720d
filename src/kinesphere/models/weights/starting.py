"""Training that starts from weights in a file: a run's, a model file's, or those of any other program."""

from __future__ import annotations

import logging

from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting, UnknownName
from kinesphere.core.labels import LabelSet
from kinesphere.core.text import named
from kinesphere.models.checkpoint import architecture_in, is_path, model_file
from kinesphere.models.create import load_model, relabel
from kinesphere.models.recogniser import ALL, TAIL, Recogniser
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.class_names import numbered
from kinesphere.models.weights.importing import NoClassifier, import_backbone, import_checkpoint
from kinesphere.models.weights.keymap import Arguments
from kinesphere.models.weights.matching import advice, advice_for, matches
from kinesphere.models.weights.readers import read_foreign

log = logging.getLogger("kinesphere.models")


def is_file(pretrained: str, model: str = "auto") -> bool:
    """Whether weights are named by a file or a run folder rather than by a tag of a model's card.

    Args:
        pretrained: As a recipe names them.
        model: Name of the model that they are for, if one is named.

    Raises:
        MissingWeights: If it is the name of a file, and there is none.
    """
    stem = model.partition(".")[0]
    registered = stem in MODELS and MODELS.get(stem).card.weight(pretrained) is not None
    return is_path(pretrained, registered=registered)


def named_weights(pretrained: str, model: str) -> tuple[str, str]:
    """The model and the tag that weights named as `model.tag` are of; else both as they were given.

    Args:
        pretrained: As a recipe names weights that are no file.
        model: The model that is named beside them; `"auto"` for whichever they are of.

    Raises:
        InvalidSetting: If another model is named.
    """
    stem, _, tag = pretrained.partition(".")
    if not tag or stem not in MODELS:
        return model, pretrained
    if model.partition(".")[0] not in ("auto", stem):
        raise InvalidSetting(
            f"model.pretrained={pretrained} are weights of {stem}, but model.name is {model}; make them "
            "agree, or leave model.name out."
        )
    return stem, tag


def check_name(name: str, pretrained: str | bool | None, freeze: str | None = None) -> None:
    """Refuse a model that there is not; where weights in a file are named, with those that they fit.

    Args:
        name: The model, or `model.tag`.
        pretrained: Weights to start from.
        freeze: Its last stage that is not trained.

    Raises:
        UnknownName: If there is no such model.
        InvalidSetting: If it has no such stage, or the file holds another model.
        InvalidCheckpoint: If the file is one of ours and damaged.
    """
    try:
        card = MODELS.get(name.partition(".")[0]).card
    except UnknownName as error:
        if isinstance(pretrained, str) and is_file(pretrained, name):
            raise UnknownName(f"{error}{advice(model_file(pretrained))}") from error
        raise
    if isinstance(pretrained, str) and is_file(pretrained, name):
        _is_ours(pretrained, card.name)
    if freeze is not None and freeze not in (TAIL, ALL):  # whether there is a tail, the network tells
        card.check_stage(freeze, card.stages)


def _is_ours(pretrained: str, name: str) -> bool:
    """Whether weights are in a model file of ours; one of another model is refused."""
    own = architecture_in(model_file(pretrained))
    if own not in (None, name):
        raise InvalidSetting(
            f"{pretrained} holds a {own}, but model.name is {name}; make them agree, or leave model.name out."
        )
    return own is not None


def model_of(pretrained: str) -> str:
    """The model that the weights in a file belong to.

    Raises:
        InvalidCheckpoint: If they fit none or several; those that they fit are named.
    """
    path = model_file(pretrained)
    own = architecture_in(path)
    if own is not None:
        return own
    state = read_foreign(path).state
    found = matches(state)
    whole = [match.model for match in found if match.classes is not None]
    candidates = whole or [match.model for match in found]
    if len(candidates) == 1:
        log.warning("%s is read as a %s, the one model that its tensors fit.", path.name, candidates[0])
        return candidates[0]
    raise InvalidCheckpoint(
        f"Which model {path.name} belongs to is not certain.{advice_for(found, pretrained, state)}"
    )


def start_from(
    pretrained: str, name: str, labels: LabelSet, arguments: Arguments, *, tell: bool = True
) -> Recogniser:
    """A recogniser of a model with the weights in a file, for the labels of the data.

    A foreign file is imported on the way. The trained head stays where its classes are those that are wanted,
    in any order; where a foreign file names none and has as many, they are taken in the order of the data,
    which is said.

    Args:
        pretrained: A run folder, a model file or a foreign checkpoint.
        name: The model; `model.tag` for weights of its card that the file holds.
        labels: Those of the data.
        arguments: Builder arguments.
        tell: Whether the log says that the head is fresh; a training says it by itself.

    Raises:
        InvalidSetting: If the file holds another model, or an argument is unknown or does not fit.
        InvalidCheckpoint: If the file is damaged, or its tensors are those of other models, which are named.
    """
    path = model_file(pretrained)
    architecture = MODELS.get(name.partition(".")[0])
    arguments = architecture.typed(arguments)
    if _is_ours(pretrained, architecture.card.name):
        recogniser = load_model(path, arguments=arguments)
        relabel(recogniser, labels, pretrained, tell=tell)
        return recogniser
    try:
        recogniser = import_checkpoint(path, name, arguments=arguments)
    except NoClassifier:
        return import_backbone(path, name, labels, arguments=arguments)
    for note in recogniser.provenance.notes:
        log.info("%s: %s", path.name, note)
    own_names = recogniser.labels.names
    if own_names == numbered(len(own_names)).names and len(labels) == len(own_names):
        log.warning(
            "%s does not name its %d classes; they are taken to be those of the data in their order (%s). "
            "Training corrects the head where they are not.",
            path.name, len(labels), named(labels.names, 4),
        )  # fmt: skip
        recogniser.labels = labels
        return recogniser
    relabel(recogniser, labels, pretrained, tell=tell)
    return recogniser
