"""`Foreign`: what a foreign checkpoint file holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.core.unpickle import Inert
from kinesphere.models.keymap import State

# averages over the training come last: they are taken where a file holds nothing else
_WRAPPERS = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "blobs", "module", "weights", "params",
    "ema_state_dict", "state_dict_ema", "model_ema", "params_ema", "ema",
)  # fmt: skip
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
_LABEL_KEYS = ("CLASSES", "classes", "class_names", "labels", "categories")
_META_KEYS = ("meta", "dataset_meta")
_SHOWN = 12


@dataclass(frozen=True, eq=False)
class Foreign:
    """Named tensors in the source's layout.

    Attributes:
        state: The tensors.
        labels: Class names, if the file states them.
        inert: Names of classes in the file that were not followed.
        others: What else in the file holds weights, and was left out.
    """

    state: State
    labels: tuple[str, ...] | None = None
    inert: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def unwrap(content: Any, name: str) -> Foreign:
    """Find the state in what toolkits wrap around it (`state_dict`, `model_state`, `module.` …).

    Raises:
        InvalidCheckpoint: If there is no mapping from names to tensors inside.
    """
    labels = _labels(content)
    others: list[str] = []
    while isinstance(content, Mapping):
        labels = labels or _labels(content)
        wrapped = [key for key in _WRAPPERS if _holds_weights(content.get(key))]
        if not wrapped:
            break
        others += wrapped[1:]
        content = content[wrapped[0]]
    state = _tensors(content) if isinstance(content, Mapping) else {}
    if not state:
        raise _nothing(content, name)
    return Foreign(_stripped(state), labels, others=tuple(others))


def _nothing(content: Any, name: str) -> InvalidCheckpoint:
    """What is in a file without named tensors."""
    parts = dict(content) if isinstance(content, Mapping) else {}
    networks = (content, *(parts.get(key) for key in _WRAPPERS))
    network = next((part for part in networks if isinstance(part, Inert)), None)
    if network is not None:
        return InvalidCheckpoint(
            f"{name} holds a whole pickled network ({type(network).__name__}), which only its own program "
            "can rebuild; save its state_dict() there with torch.save."
        )
    keys = [str(key) for key in parts]
    found = f"its top level has {', '.join(keys[:_SHOWN])}" if keys else f"it is a {type(content).__name__}"
    return InvalidCheckpoint(f"{name} holds no named tensors: {found}. Save the network's state_dict().")


def _holds_weights(part: Any) -> bool:
    if not isinstance(part, Mapping):
        return False
    return any(isinstance(value, Tensor | np.ndarray) for value in part.values()) or any(
        isinstance(part.get(key), Mapping) for key in _WRAPPERS
    )


def _stripped(state: State) -> State:
    """Without what wrappers of the network put before every name."""
    while prefix := next((p for p in _PREFIXES if all(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state


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
    numbers = content.get("class_to_idx")
    if isinstance(numbers, Mapping) and set(numbers.values()) == set(range(len(numbers))):
        return tuple(str(name) for name, _ in sorted(numbers.items(), key=lambda item: item[1]))
    return next((names for key in _META_KEYS if (names := _labels(content.get(key)))), None)
