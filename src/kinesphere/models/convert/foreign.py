"""`Foreign`: what a foreign checkpoint file holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.models.keymap import State

_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "blobs", "module")
_PREFIXES = ("module.", "_orig_mod.")
_LABEL_KEYS = ("CLASSES", "classes", "class_names", "labels", "categories")


@dataclass(frozen=True, eq=False)
class Foreign:
    """Named tensors in the source's layout.

    Attributes:
        state: The tensors.
        labels: Class names, if the file states them.
        inert: Names of classes in the file that were not followed.
    """

    state: State
    labels: tuple[str, ...] | None = None
    inert: tuple[str, ...] = ()


def unwrap(content: Any, name: str) -> Foreign:
    """Find the state in what toolkits wrap around it (`state_dict`, `model_state`, `module.` …).

    Raises:
        InvalidCheckpoint: If there is no mapping from names to tensors inside.
    """
    labels = _labels(content)
    while isinstance(content, Mapping):
        labels = labels or _labels(content.get("meta"))
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    state = _tensors(content) if isinstance(content, Mapping) else {}
    if not state:
        raise InvalidCheckpoint(f"{name} holds no named tensors.")
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return Foreign(state, labels)


def _tensors(content: Mapping[Any, Any]) -> State:
    """The entries that are tensors or numeric arrays; momenta and counters of Caffe2 stay out."""
    found: State = {}
    for key, value in content.items():
        key = key.decode("latin1") if isinstance(key, bytes) else key
        if not isinstance(key, str) or key.endswith("_momentum"):
            continue
        if isinstance(value, Tensor):
            found[key] = value.detach()
        elif isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
            found[key] = torch.from_numpy(np.array(value))
    return found


def _labels(content: Any) -> tuple[str, ...] | None:
    if not isinstance(content, Mapping):
        return None
    for key in _LABEL_KEYS:
        names = content.get(key)
        if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
            return tuple(names)
    return None
