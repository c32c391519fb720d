"""`Foreign`: what a foreign checkpoint file holds, out of the wrappings that toolkits put around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.core.limits import Budget
from kinesphere.core.unpickle import Inert
from kinesphere.models.weights.keymap import StateDict
from kinesphere.models.weights.readers.class_lists import Stated, stated_in
from kinesphere.models.weights.readers.prefixes import without_counters, without_prefixes

# averages over the training come last: they are taken where a file holds nothing else
_WRAPPERS = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "blobs", "module", "weights",
    "params", "model_weights", "current_model_state", "student", "online_model",
    "ema_state_dict", "state_dict_ema", "model_ema", "params_ema", "ema", "ema_model", "ema_model_state_dict",
    "swa_state_dict", "swa_model", "swa_model_state_dict", "averaged_model", "average_model",
    "averaging_state", "model_averaged", "teacher",
)  # fmt: skip
_TARGETS = ("target_encoder", "ema_encoder")
"""Averages of an encoder over its training; beside them lie its last state and a predictor."""
_PROBES = "classifiers"
"""Heads on one encoder that were trained together, in a list."""
_NO_NETWORK = ("optim", "sched", "scaler", "loss", "criterion", "callback", "rng", "loader", "sampler")
_SHOWN = 12


@dataclass(frozen=True, eq=False)
class Content:
    """What a reader found in a file.

    Attributes:
        content: Plain values, tensors and arrays, nested.
        inert: Names of classes in the file that were not followed.
        metadata: What the container says beside its content.
    """

    content: Any
    inert: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Foreign:
    """Named tensors in the source's layout.

    Attributes:
        state: The tensors.
        stated: Lists of class names that the file states, or that lie beside it, the likeliest first.
        inert: Names of classes in the file that were not followed.
        others: What else in the file holds weights, and was left out.
        counters: Numbers that training tools keep among the tensors, left out.
    """

    state: StateDict
    stated: tuple[Stated, ...] = ()
    inert: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    counters: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The likeliest class names."""
        return self.stated[0].names if self.stated else None


def unwrap(found: Content, name: str, size: int) -> Foreign:
    """Find the state in what toolkits wrap around it (`state_dict`, `model_state`, `module.` …).

    Args:
        found: What a reader found.
        name: Name of the file, for messages.
        size: Its bytes; tensors that claim far more are refused before anything is built of them.

    Raises:
        InvalidCheckpoint: If there is no mapping from names to tensors inside, or several.
    """
    content = found.content
    stated = [*stated_in(content), *stated_in(found.metadata)]
    others: list[str] = []
    while isinstance(content, Mapping | list):
        stated += [each for each in stated_in(content) if each not in stated]
        wrapped = _wrapped(content, name)
        if not wrapped:
            break
        others += [str(key) for key in wrapped[1:]]
        content = content[wrapped[0]]
    state = _tensors(content, Budget(name, size, InvalidCheckpoint)) if isinstance(content, Mapping) else {}
    if not state:
        raise _nothing(content, name)
    state, counters = without_counters(without_prefixes(state))
    if not state:
        raise _nothing(content, name)
    return Foreign(without_prefixes(state), tuple(stated), found.inert, tuple(others), counters)


def _wrapped(content: Mapping[Any, Any] | list[Any], name: str) -> list[Any]:
    """Keys of what holds the weights, the best first; none if it is `content` itself."""
    if isinstance(content, list):
        return [i for i, part in enumerate(content) if isinstance(part, Mapping) and _holds_weights(part)][:1]
    if isinstance(content.get(_PROBES), list) and _wrapped(content[_PROBES], name):
        return [_PROBES]
    if targets := [key for key in _TARGETS if _holds_weights(content.get(key))]:
        return [*targets, *(key for key in ("encoder", "predictor") if _holds_weights(content.get(key)))]
    known = [key for key in _WRAPPERS if _holds_weights(content.get(key))]
    if known or any(isinstance(value, Tensor | np.ndarray) for value in content.values()):
        return known
    parts = [
        key
        for key, part in content.items()
        if isinstance(key, str)
        and isinstance(part, Mapping)
        and _holds_weights(part)
        and not any(word in key.lower() for word in _NO_NETWORK)
    ]
    if len(parts) > 1:
        raise InvalidCheckpoint(
            f"{name} holds several sets of weights ({', '.join(parts[:_SHOWN])}); save the one of the "
            "network in a file of its own."
        )
    return parts


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
    keys = [str(key)[:40] for key in parts]
    found = f"its top level has {', '.join(keys[:_SHOWN])}" if keys else f"it is a {type(content).__name__}"
    return InvalidCheckpoint(f"{name} holds no named tensors: {found}. Save the network's state_dict().")


def _holds_weights(part: Any) -> bool:
    if not isinstance(part, Mapping):
        return False
    return any(isinstance(value, Tensor | np.ndarray) for value in part.values()) or any(
        isinstance(part.get(key), Mapping) for key in _WRAPPERS
    )


def _tensors(content: Mapping[Any, Any], budget: Budget) -> StateDict:
    """The entries that are tensors or numeric arrays; momenta and counters of Caffe2 stay out."""
    found: StateDict = {}
    for key, value in content.items():
        key = key.decode("latin1") if isinstance(key, bytes) else key
        if not isinstance(key, str) or key.endswith("_momentum"):
            continue
        if isinstance(value, Tensor):
            budget.array(value.shape, value.element_size(), f"{key[:80]}, a tensor")
            found[key] = value.detach()
        elif isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
            budget.array(value.shape, value.itemsize, f"{key[:80]}, an array")
            found[key] = torch.from_numpy(np.array(value))
    return found
