"""Public detectors of people's actions: checkpoints of MMAction2's AVA models, whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting, KinesphereError
from kinesphere.core.labels import LabelSet
from kinesphere.localise.people.detector import PeopleDetector
from kinesphere.models import create_model
from kinesphere.models.registry import MODELS
from kinesphere.models.spatiotemporal.box_head import BoxHeadForm, Context
from kinesphere.models.spatiotemporal.public import HEAD
from kinesphere.models.weights.keymap import KeyMap
from kinesphere.models.weights.readers import read_foreign

SIZE = (256, 456)
"""Frames of 16:9 whose short side is that of the public tests."""
_HEAD, _LAYOUT = "roi_head.", "mmaction2"
_CLASSIFIER = f"{_HEAD}bbox_head.fc_cls.weight"


def is_people_detector(path: Path) -> bool:
    """Whether a foreign checkpoint that can be read holds a detector of people's actions."""
    try:
        return _CLASSIFIER in read_foreign(path).state
    except KinesphereError:
        return False


def import_people_detector(
    path: Path, model: str, names: Mapping[str, str] | None = None, size: tuple[int, int] = SIZE
) -> PeopleDetector:
    """Read a public detector; nothing in the file is executed, and every key is checked.

    Class 0 of these files, the background, is left out: of independent answers it changes none.

    Args:
        path: The file.
        model: Name of the model whose maps it looks at: `slowfast_resnet50`, `slowonly_resnet50` …
        names: Names of the classes by their number, from 1 on; None keeps the numbers.
        size: `(H, W)` of the input.

    Raises:
        UnknownName: If there is no such model.
        InvalidSetting: If no public detector of it is known.
        InvalidCheckpoint: If a key is left over or missing, or a shape differs.
    """
    state = read_foreign(path).state
    if _CLASSIFIER not in state:
        raise InvalidCheckpoint(f"{path.name} holds no detector of people's actions: no {_CLASSIFIER}.")
    key_map = _map_of(model)
    head = HEAD.to_ours({key: value for key, value in state.items() if key.startswith(_HEAD)})
    rest = {key: value for key, value in state.items() if not key.startswith(_HEAD)}
    mapped = key_map.to_ours(rest)
    if left := [*head.unmapped, *mapped.unmapped]:
        raise InvalidCheckpoint(f"{path.name}: {len(left)} tensors are none of {model}'s: {_some(left)}.")
    classes = len(head.state["fc.bias"]) - 1
    labels, numbers = _labels(classes, names)
    body = create_model(model, ["-"], arguments=key_map.builder_arguments(rest))
    spec = _spec(body.specs[0], size)
    channels = cast("nn.Linear", body.net.get_submodule("fc")).weight.shape[1]
    found = PeopleDetector.around(
        body, labels, numbers, _form(head.state, channels), "dense", spec,
        f"imported {path.name}",
    )  # fmt: skip
    own = {f"body.{key}": value for key, value in mapped.state.items()}
    own |= {f"head.{key}": value[1:] if key.startswith("fc.") else value for key, value in head.state.items()}
    wanted = found.net.state_dict()
    shapes = [{key: value.shape for key, value in each.items()} for each in (wanted, own)]
    wrong = [key for key in {*wanted, *own} if shapes[0].get(key) != shapes[1].get(key)]
    if wrong:
        raise InvalidCheckpoint(
            f"{path.name} does not fit {model}: {len(wrong)} tensors are missing, left over or of another "
            f"shape: {_some(sorted(wrong))}. Name the model that it was trained with."
        )
    found.net.load_state_dict(own)
    found.net.eval()
    return found


def _map_of(model: str) -> KeyMap:
    key_map = next((each for each in MODELS.get(model).key_maps if each.layout == _LAYOUT), None)
    if key_map is None:
        raise InvalidSetting(
            f"No public detector of {model} is known; name slowfast_resnet50, slowfast_resnet50_4x16, "
            "slowonly_resnet50 or another model that MMAction2 has."
        )
    return key_map


def _form(head: Mapping[str, Tensor], channels: int) -> BoxHeadForm:
    """The head that its tensors are of."""
    context: Context = "none"
    width = BoxHeadForm().relation_width
    if "relation.conv1.weight" in head:
        context, width = "actor", len(head["relation.conv1.weight"])
    elif head["fc.weight"].shape[1] == 2 * channels:
        context = "frame"
    return BoxHeadForm(context=context, relation_width=width)


def _labels(classes: int, names: Mapping[str, str] | None) -> tuple[LabelSet, dict[str, int]]:
    named = {(names or {}).get(str(number), str(number)): number for number in range(1, classes + 1)}
    if len(named) < classes:
        raise InvalidSetting(f"The label map names some of the {classes} classes alike; tell them apart.")
    if names is not None and (beyond := [each for each in names if not 1 <= int(each) <= classes]):
        raise InvalidSetting(
            f"The label map names {len(beyond)} classes that the file does not have, such as {beyond[0]}; it "
            f"has {classes}, from 1 on."
        )
    return LabelSet(tuple(named), multi=True), named


def _spec(spec: ClipSpec, size: tuple[int, int]) -> ClipSpec:
    return spec.with_(size=size, resize="letterbox", short_side_px=None)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def to_public(detector: PeopleDetector) -> dict[str, Tensor]:
    """The state of a detector under the names of public files, with a background that is never there."""
    state = detector.net.state_dict()
    body = {key.removeprefix("body."): value for key, value in state.items() if key.startswith("body.")}
    head = {key.removeprefix("head."): value for key, value in state.items() if key.startswith("head.")}
    for key in ("fc.weight", "fc.bias"):
        head[key] = torch.cat((torch.zeros_like(head[key][:1]), head[key]))
    return _map_of(detector.architecture).to_theirs(body).state | HEAD.to_theirs(head).state
